# SPDX-License-Identifier: Apache-2.0
"""Environments with the `bpy` wheel that stand for Blender: 5.0 for the demo, 4.2 and 5.0 for the tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import setup_venv as venv
from setup_checks import (
    BPY42_LIBRARIES,
    BPY_LIBRARIES,
    BPY_PYTHON,
    GB,
    SetupError,
    check_disk,
    check_libraries,
    explain_install_failure,
    find_python,
)

STAGES = {"checks": 0.02, "environment": 0.1, "bpy": 0.8, "verify": 0.08}
BPY_BYTES = 960_000_000
NEED_BYTES = int(1.6 * GB)


@dataclass(frozen=True)
class BlenderEnv:
    """One bpy version: the folder of its environment, its pin, and the system libraries it links."""

    name: str
    folder: str
    version: str
    libraries: Mapping[str, str]


BPY50 = BlenderEnv("Blender 5.0", ".venv-blender", "5.0.1", BPY_LIBRARIES)
BPY42 = BlenderEnv("Blender 4.2", ".venv-blender42", "4.2.23", BPY42_LIBRARIES)


def ensure_blender(root: Path, which: BlenderEnv, requirements: Path, progress: venv.Progress) -> bool:
    """Make `root/which.folder` hold bpy. Returns False when nothing was to do. Raises SetupError."""
    target = root / which.folder
    fingerprint = venv.digest([which.version, requirements.read_bytes()])
    if venv.is_current(target, fingerprint, ()):
        return False
    with venv.exclusive(target):
        progress.report("checks", 0.0, "libraries, disk and Python")
        check_libraries(which.libraries, which.name)
        python = find_python([BPY_PYTHON], f"The bpy wheel that stands for {which.name}")
        if venv.installed_count(target) < 8:
            check_disk(target, NEED_BYTES, which.name)
        progress.report("environment", 0.0, f"making {target}")
        venv.make_venv(target, python)
        _install(target, which, requirements, progress)
        _verify(target, which, progress)
        venv.write_stamp(target, fingerprint, ())
    return True


def _install(target: Path, which: BlenderEnv, requirements: Path, progress: venv.Progress) -> None:
    wanted = f"bpy=={which.version}"
    progress.report("bpy", 0.0, f"{wanted}, about 350 MB to download")
    command: Sequence[str] = [
        str(venv.venv_python(target)),
        "-m",
        "pip",
        "install",
        "--progress-bar",
        "off",
        wanted,
        "-r",
        str(requirements),
    ]
    venv.run_installer(command, target, wanted, venv.size_teller(progress, "bpy", target, BPY_BYTES))


def _verify(target: Path, which: BlenderEnv, progress: venv.Progress) -> None:
    progress.report("verify", 0.0, "starting Blender")
    python = str(venv.venv_python(target))
    # bpy may crash while it shuts down, so the process ends itself after the answer.
    code = "import bpy, os, sys; print(bpy.app.version_string); sys.stdout.flush(); os._exit(0)"
    for command in ([python, "-m", "pip", "check"], [python, "-c", code]):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=venv.clean_environ(), cwd=target, timeout=120, check=False
            )
        except subprocess.TimeoutExpired:
            raise SetupError("environment.blender", f"{which.name} did not start within two minutes.") from None
        if done.returncode != 0:
            raise explain_install_failure(done.stdout + done.stderr, which.name)
    progress.report("verify", 1.0, f"Blender {done.stdout.strip().splitlines()[-1]} starts")


def blender_python(root: Path, which: BlenderEnv) -> Path:
    """The interpreter that can `import bpy`."""
    return venv.venv_python(root / which.folder, sys.platform)
