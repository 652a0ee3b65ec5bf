"""Tests inside Blender (the bpy module): the built extension zip is installed into a throw-away user folder.

Run in an environment that holds bpy:  LIKENESS_ZIP=build/likeness-X.zip python -m pytest tests/blender
"""

import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

# Before bpy is imported: Blender reads and writes preferences below this folder, never the user's own.
_USER = tempfile.mkdtemp(prefix="likeness-blender-user-")
os.environ["BLENDER_USER_RESOURCES"] = _USER

import bpy  # noqa: E402
import pytest  # noqa: E402

MODULE = "bl_ext.user_default.likeness"
_exit_status = 0


def pytest_configure(config: pytest.Config) -> None:
    """Install the zip once, as an artist does with Install from Disk."""
    zip_path = os.environ.get("LIKENESS_ZIP")
    if not zip_path or not Path(zip_path).is_file():
        raise pytest.UsageError("LIKENESS_ZIP must name the built extension (python install/extension.py builds it).")
    outcome = bpy.ops.extensions.package_install_files(
        filepath=str(Path(zip_path).resolve()), repo="user_default", enable_on_install=True
    )
    if outcome != {"FINISHED"} or MODULE not in sys.modules:
        raise pytest.UsageError(f"Blender {bpy.app.version_string} did not install {zip_path}: {outcome}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remember the outcome for pytest_unconfigure."""
    global _exit_status
    _exit_status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave without Blender's own shutdown, which crashes or hangs in 4.2 and 4.5 when anything is still registered."""
    shutil.rmtree(_USER, ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_exit_status)


@pytest.fixture
def addon():
    """The installed add-on's module finder: addon("motion") is bl_ext.user_default.likeness.motion."""

    def find(name: str):
        return importlib.import_module(f"{MODULE}.{name}")

    return find


@pytest.fixture
def scene():
    """An empty scene at 30 frames a second, with the extension enabled."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)
    bpy.context.scene.render.fps = 30
    return bpy.context.scene


@pytest.fixture
def mannequin_folder(tmp_path, addon) -> Path:
    """An avatar folder of a synthetic mannequin of boxes."""
    from mannequin import write_mannequin

    return write_mannequin(tmp_path / "Box.avatar", addon, seed=1)


sys.path.insert(0, str(Path(__file__).parent))
