"""The wheel and the zip: one version, pure Python, nothing astray, the same bytes each time."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import extension
import likeness
import pytest
from setup_checks import SetupError

ROOT = Path(__file__).resolve().parents[2]


def manifest() -> dict:
    return tomllib.loads((ROOT / "blender_manifest.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The engine's wheel, built by this environment's setuptools."""
    pytest.importorskip("setuptools")
    return extension.build_wheel(ROOT, Path(sys.executable), tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def archive(wheel, tmp_path_factory) -> Path:
    """The extension zip around that wheel."""
    folder = tmp_path_factory.mktemp("zip")
    extension.stage(ROOT, wheel, folder / "stage")
    extension.write_zip(folder / "stage", folder / "likeness.zip")
    return folder / "likeness.zip"


def test_one_version_number():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "likeness.__version__"}
    assert manifest()["version"] == likeness.__version__ == extension.version(ROOT)
    assert re.fullmatch(r"\d+\.\d+\.\d+", likeness.__version__)


def test_wheel_is_pure_and_carries_weights_and_clips(wheel):
    assert wheel.name == f"likeness-{likeness.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    carried = {Path(name).suffix for name in names if name.startswith("likeness/")}
    assert not carried & {".so", ".pyd", ".dll", ".dylib", ".pyc", ".pkl"}
    on_disk = {
        path.relative_to(ROOT / "engine").as_posix()
        for folder in ("weights", "core/clips")
        for path in (ROOT / "engine" / "likeness" / folder).rglob("*")
        if path.is_file()
    }
    assert any(name.endswith(".npz") for name in on_disk)
    assert on_disk <= set(names)
    top = {name.split("/")[0] for name in names}
    assert top == {"likeness", f"likeness-{likeness.__version__}.dist-info"}


def test_wheel_names_its_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        points = archive.read(f"likeness-{likeness.__version__}.dist-info/entry_points.txt").decode()
    assert "likeness = likeness.cli:main" in points


def test_manifest_is_what_the_platform_asks_for():
    table = manifest()
    assert table["id"] == "likeness"
    assert table["license"] == ["SPDX:GPL-3.0-or-later"]
    assert table["blender_version_min"] == "4.2.0"
    assert set(table["permissions"]) <= {"files", "network", "clipboard", "camera", "microphone"}
    for text in (table["tagline"], *table["permissions"].values()):
        assert len(text) <= 64
        assert text[-1].isalnum()
    assert "blender" not in table["name"].lower()


def test_zip_holds_addon_core_wheel_and_nothing_astray(archive, wheel):
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
        inner = opened.read(f"engine/{wheel.name}")
    assert extension.strays(names) == []
    assert {"__init__.py", "blender_manifest.toml", "core/__init__.py", "core/protocol.py"} <= set(names)
    assert {f"engine/{name}" for name in extension.ENGINE_FILES} <= set(names)
    assert any(name.startswith("core/clips/walk") for name in names)
    assert inner == wheel.read_bytes()
    assert not [name for name in names if "torch" in name or "test" in name or "__pycache__" in name]


def test_zip_has_the_same_bytes_each_time(archive, wheel, tmp_path):
    extension.stage(ROOT, wheel, tmp_path / "stage")
    extension.write_zip(tmp_path / "stage", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


@pytest.mark.parametrize(
    "name",
    ["secret.env", "core/weights.npz", "engine/other-1.0-py3-none-any.whl", "tests/test_a.py.bak", "data/photo.jpg"],
)
def test_a_stray_file_stops_the_build(tmp_path, name):
    path = tmp_path / "stage" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    with pytest.raises(SetupError, match=re.escape(name)):
        extension.write_zip(tmp_path / "stage", tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


def test_setup_files_in_the_zip_start_by_themselves(archive, tmp_path):
    """The panel's button runs engine_env.py out of the installed extension, with nothing of the checkout beside it."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path)
    command = [sys.executable, "-E", "-s", str(tmp_path / "engine" / "engine_env.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--wheelhouse" in done.stdout


@pytest.mark.parametrize("environment", [".venv-blender42", ".venv-blender"])
def test_blender_itself_accepts_the_zip(archive, environment, tmp_path):
    """Blender's own `extension validate`, which runs in any Python."""
    tools = list(
        (ROOT / environment).glob("lib/python3*/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py")
    )
    if not tools:
        pytest.skip(f"{environment} does not exist here: python3 install/bootstrap.py blender makes it")
    done = subprocess.run([sys.executable, str(tools[0]), "validate", str(archive)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(broken, "w") as target:
        text = source.read("blender_manifest.toml").decode().replace('type = "add-on"', 'type = "sandwich"')
        target.writestr("blender_manifest.toml", text)
        target.writestr("__init__.py", "")
    refused = subprocess.run([sys.executable, str(tools[0]), "validate", str(broken)], capture_output=True, text=True)
    assert refused.returncode != 0
