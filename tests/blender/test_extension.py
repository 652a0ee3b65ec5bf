"""The extension as a whole: it comes and goes without a trace, and what it makes renders."""

import importlib
import itertools
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import bpy
import numpy as np
import pytest

MODULE = "bl_ext.user_default.likeness"


def our_types() -> set[str]:
    return {name for name in dir(bpy.types) if name.startswith(("LIKENESS", "Likeness"))}


def test_register_and_unregister_twice_leave_no_trace(scene):
    extension = importlib.import_module(MODULE)
    assert hasattr(bpy.types.Scene, "likeness") and our_types()
    for _ in range(2):
        extension.unregister()
        assert not our_types() and not hasattr(bpy.types.Scene, "likeness")
        assert not hasattr(bpy.types.WindowManager, "likeness_clip")
        extension.register()
    assert {"LIKENESS_PT_main", "LIKENESS_OT_create_avatar", "LIKENESS_FH_input"} <= our_types()


def test_nothing_heavy_is_imported_and_nothing_global_is_touched():
    for name in ("torch", "trimesh", "scipy", "likeness"):
        assert name not in sys.modules, f"the extension must not load {name} into Blender"
    inside = str(Path(sys.modules[MODULE].__file__).parent)
    assert not [path for path in sys.path if path.startswith(inside)]


def test_clean_exit_of_blender(tmp_path):
    """4.2 ends with a crash when a class or handler is left behind: a clean end shows that unregister is complete."""
    code = (
        "import bpy, importlib, sys\n"
        "bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo='user_default', enable_on_install=True)\n"
        f"importlib.import_module('{MODULE}')\n"
        "bpy.ops.preferences.addon_disable(module='" + MODULE + "')\n"
        "print('ended')\n"
    )
    environment = dict(os.environ, BLENDER_USER_RESOURCES=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code, os.environ["LIKENESS_ZIP"]],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert "ended" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr[-2000:]


def test_zip_holds_what_it_should():
    with zipfile.ZipFile(os.environ["LIKENESS_ZIP"]) as archive:
        names = archive.namelist()
    assert {"__init__.py", "blender_manifest.toml", "core/avatar.py", "panel.py"} <= set(names)
    assert not [n for n in names if "__pycache__" in n or n.startswith("tests")]


def test_dropped_files_are_taken(scene, tmp_path):
    handler = bpy.types.LIKENESS_FH_input
    assert handler.bl_import_operator == "likeness.choose"
    assert {".png", ".jpg", ".npz"} <= set(handler.bl_file_extensions.split(";"))
    assert handler.poll_drop(bpy.context) is False, "no window, no drop"


@pytest.fixture
def walking(scene, addon, mannequin_folder):
    """The mannequin walks; a small Workbench picture."""
    rig = addon("importer").import_avatar(mannequin_folder)
    bpy.ops.likeness.apply_motion(clip=next(n for n in addon("core.motion").list_clips() if n.startswith("walk")))
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.display.shading.color_type = "TEXTURE"
    scene.render.resolution_x, scene.render.resolution_y = 160, 160
    bpy.ops.likeness.add_camera()
    scene.render.film_transparent = True
    return rig


def rendered(path: Path) -> np.ndarray:
    """(H, W, 4) floats of a picture file."""
    image = bpy.data.images.load(str(path))
    pixels = np.array(image.pixels[:], np.float32).reshape(image.size[1], image.size[0], 4)
    bpy.data.images.remove(image)
    return pixels


def test_frame_shows_the_textured_avatar(scene, walking, tmp_path):
    scene.render.filepath = str(tmp_path / "frame.png")
    bpy.ops.render.render(write_still=True)
    picture = rendered(tmp_path / "frame.png")
    solid = picture[..., 3] > 0.5
    rows, columns = np.nonzero(solid)
    assert 70 < np.ptp(rows) < 150, "the avatar fills the picture"
    assert rows.min() > 0 and rows.max() < 159 and columns.min() > 0 and columns.max() < 159, "and is not cut off"
    assert picture[solid][:, :3].std(0).min() > 0.05, "in the colours of its texture"


def test_animation_moves(scene, walking, tmp_path):
    scene.frame_end = scene.frame_start + 20
    scene.frame_step = 10
    scene.render.filepath = str(tmp_path / "walk_")
    bpy.ops.render.render(animation=True)
    frames = [rendered(path) for path in sorted(tmp_path.glob("walk_*.png"))]
    assert len(frames) == 3
    for before, after in itertools.pairwise(frames):
        assert np.abs(before - after).mean() > 0.002


def test_saved_file_keeps_everything(scene, addon, walking, tmp_path):
    """Save and load: the rig still deforms, the panel finds the avatar, the clip plays."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    rig = addon("importer").find_avatar(bpy.context)
    assert rig is not None and rig.animation_data.action is not None
    bpy.context.scene.frame_set(bpy.context.scene.frame_start)
    first = np.array(rig.pose.bones["left_ankle"].matrix)
    bpy.context.scene.frame_set(bpy.context.scene.frame_start + 10)
    assert np.abs(np.array(rig.pose.bones["left_ankle"].matrix) - first).max() > 0.02
