# SPDX-License-Identifier: Apache-2.0
"""Build the engine's wheel and, around it, the extension zip that an artist installs from disk.

The zip is staged: the manifest lies beside the add-on's `__init__.py`; `core/` is copied in from the engine, because
both sides read the same avatar folders; `engine/` holds the wheel and the scripts that make its environment, as data
files that Blender never imports. Built twice from the same files, it has the same bytes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import setup_venv as venv
from setup_checks import SetupError

#: What travels so that the panel can make the engine's environment.
ENGINE_FILES = ("engine_env.py", "setup_checks.py", "setup_venv.py", "constraints.txt")

#: Every path in the zip matches one of these, or the build stops: a stray file must not reach an artist.
ALLOWED = tuple(
    re.compile(pattern)
    for pattern in (
        r"blender_manifest\.toml",
        r"[a-z0-9_]+\.py",
        r"(?!core/|engine/)[a-z0-9_]+(/[a-z0-9_]+)*\.py",
        r"icons/[a-z0-9_]+\.png",
        r"core/[a-z0-9_]+\.py",
        r"core/clips/[a-z0-9_]+\.(npz|json)",
        r"engine/likeness-[0-9.]+-py3-none-any\.whl",
        r"engine/(engine_env|setup_checks|setup_venv)\.py",
        r"engine/constraints\.txt",
        r"LICENSES/[A-Za-z0-9.-]+\.(txt|md)",
    )
)
#: The oldest time that a zip can hold: times of day have no place in a reproducible file.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def version(root: Path) -> str:
    """The extension's version, as the manifest says it."""
    return str(tomllib.loads((root / "blender_manifest.toml").read_text("utf-8"))["version"])


def build_wheel(root: Path, python: Path, out: Path) -> Path:
    """Build `likeness-X-py3-none-any.whl` into `out` with the setuptools of the environment of `python`."""
    staged = root / "build" / "wheel"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    for name in ("pyproject.toml", "LICENSES", "engine"):
        _copy(root / name, staged / name)
    environ = {**venv.clean_environ(), "SOURCE_DATE_EPOCH": "315532800"}
    command = [
        str(python),
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "-w",
        str(out),
        str(staged),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    wheel = out / f"likeness-{version(root)}-py3-none-any.whl"
    if done.returncode != 0 or not wheel.is_file():
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise SetupError("environment.package", f"The engine's wheel could not be built: {last[0]}")
    return wheel


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info"))
    else:
        shutil.copy2(source, target)


def stage(root: Path, wheel: Path, folder: Path) -> None:
    """Lay out the extension in `folder`, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    _copy(root / "blender_addon", folder)
    shutil.copy2(root / "blender_manifest.toml", folder)
    _copy(root / "engine" / "likeness" / "core", folder / "core")
    _copy(root / "LICENSES", folder / "LICENSES")
    (folder / "engine").mkdir()
    shutil.copy2(wheel, folder / "engine")
    for name in ENGINE_FILES:
        shutil.copy2(root / "install" / name, folder / "engine")


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


def strays(names: list[str]) -> list[str]:
    """Names that have no business in the zip."""
    return [name for name in names if not any(pattern.fullmatch(name) for pattern in ALLOWED)]


def write_zip(folder: Path, target: Path) -> None:
    """Pack `folder` with sorted names and fixed times. Raises SetupError when it holds a file that is not allowed."""
    files = list(_files(folder))
    unwanted = strays([name for name, _ in files])
    if unwanted:
        raise SetupError("environment.extension", f"The extension must not contain {', '.join(unwanted[:5])}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".new")
    with zipfile.ZipFile(temporary, "w") as archive:
        for name, path in files:
            entry = zipfile.ZipInfo(name, _ZIP_TIME)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_STORED if path.suffix == ".whl" else zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    os.replace(temporary, target)


def build_extension(root: Path, python: Path) -> Path:
    """Build wheel and zip into `dist/`. Returns the zip's path."""
    dist = root / "dist"
    wheel = build_wheel(root, python, dist)
    folder = root / "build" / "extension"
    stage(root, wheel, folder)
    target = dist / f"likeness-{version(root)}.zip"
    write_zip(folder, target)
    return target
