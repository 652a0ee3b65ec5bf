# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the engine is, where avatars go, and the settings of the next one."""

import sys
from pathlib import Path

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from .core.errors import LikenessError
from .package import ADDON_PKG, user_folder

#: The file that install/engine_env.py writes last into a complete environment.
_COMPLETE = "likeness-setup.json"


class LikenessPreferences(bpy.types.AddonPreferences):
    """Shown in Blender's preferences, below the extension."""

    bl_idname = ADDON_PKG

    engine_folder: StringProperty(
        name="Engine folder",
        description="Set Up Engine installs the engine here",
        subtype="DIR_PATH",
        default="~/Likeness/engine",
    )
    engine_python: StringProperty(
        name="Own Python",
        description="A Python that has the engine already; empty: the one in the engine folder",
        subtype="FILE_PATH",
    )
    wheelhouse: StringProperty(
        name="Folder of wheels", description="Install the engine from these files, without network", subtype="DIR_PATH"
    )
    output_folder: StringProperty(
        name="Avatars", description="Finished avatars are stored here", subtype="DIR_PATH", default="~/Likeness/avatars"
    )

    body_model: StringProperty(
        name="Body model file",
        description="SMPL, SMPL-H or SMPL-X from its makers (.pkl, .npz), for non-commercial use only; empty: the free "
        "body that ships",
        subtype="FILE_PATH",
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """Five paths."""
        for name in ("output_folder", "engine_folder", "engine_python", "wheelhouse", "body_model"):
            self.layout.prop(self, name)


class LikenessSettings(bpy.types.PropertyGroup):
    """How the next avatar is made; saved with the scene."""

    preset: EnumProperty(
        name="Quality",
        items=[
            ("preview", "Preview", "1024 pixel texture, a quarter of the vertices, far side on a grid of 256 cells"),
            ("standard", "Standard", "2048 pixel texture, far side on a grid of 384 cells"),
            ("best", "Best", "4096 pixel texture, far side on a grid of 512 cells"),
        ],
        default="standard",
    )
    method: EnumProperty(
        name="Far side",
        description="How the side that the camera did not see is found",
        items=[
            ("auto", "Automatic", "Guessed with depth, the body's for photos"),
            ("layers", "Guessed", "A network guesses clothes and hair from the depth"),
            ("anim", "Guessed in Space", "ANIM corrects that guess in three dimensions; slower, for comparison"),
            ("draped", "Body", "The fitted body in clothes as thick as in front"),
        ],
        default="auto",
    )
    mask: StringProperty(
        name="Mask",
        description="Picture that is white where the person is; empty: Likeness finds them",
        subtype="FILE_PATH",
    )
    depth: StringProperty(name="Depth", description="Depth picture of a colour picture", subtype="FILE_PATH")
    intrinsics: StringProperty(name="Camera file", description="JSON with fx, fy, cx, cy", subtype="FILE_PATH")
    body: StringProperty(
        name="Body",
        description="A fit to use: fit.json of a .fit folder, or SMPL parameters (.npz); empty: Likeness fits one",
        subtype="FILE_PATH",
    )
    keypoints: StringProperty(
        name="Keypoints",
        description="Joints in the picture (Likeness's layout, OpenPose's or COCO's); empty: Likeness finds them",
        subtype="FILE_PATH",
    )
    unit: EnumProperty(
        name="Depth unit",
        items=[
            ("auto", "As the file says", "Taken from the file, else guessed from the distance of a person"),
            ("mm", "Millimetres", "1000 is a metre"),
            ("m", "Metres", "1 is a metre"),
        ],
    )
    focal_px: FloatProperty(
        name="Focal length", description="In pixels; 0: from the file, else guessed", min=0.0, max=100000.0
    )
    height_m: FloatProperty(
        name="Height", description="Of the person, in metres; photos show no size; 0: as usual", min=0.0, max=2.6
    )
    person: IntProperty(name="Person", description="Which of several people, from 0", min=0, max=63)


def preferences(context: bpy.types.Context | None = None) -> LikenessPreferences:
    """The extension's preferences."""
    return (context or bpy.context).preferences.addons[ADDON_PKG].preferences


def settings(context: bpy.types.Context) -> LikenessSettings:
    """The settings of the current scene."""
    return context.scene.likeness


def reset_reading(context: bpy.types.Context) -> None:
    """Forget what was said about the input before: another picture has another mask."""
    for name in ("mask", "depth", "intrinsics", "unit", "focal_px", "person", "height_m", "body", "keypoints"):
        settings(context).property_unset(name)


def absolute(path: str) -> Path:
    """A path as an artist types it: `~`, `//` relative to the .blend, or plain."""
    return Path(bpy.path.abspath(path)).expanduser()


def engine_python(context: bpy.types.Context | None = None) -> str | None:
    """The Python that runs the engine, None while there is none."""
    prefs = preferences(context)
    if prefs.engine_python:
        return str(absolute(prefs.engine_python))
    folder = absolute(prefs.engine_folder)
    python = folder / "Scripts" / "python.exe" if sys.platform == "win32" else folder / "bin" / "python"
    return str(python) if (folder / _COMPLETE).is_file() and python.is_file() else None


def require_engine(context: bpy.types.Context) -> str:
    """As engine_python. Raises LikenessError("engine.missing")."""
    python = engine_python(context)
    if python is None:
        raise LikenessError(
            "engine.missing",
            "The engine that builds avatars is not set up yet.",
            "Press Set Up Engine in the Likeness tab.",
        )
    return python


def engine_log() -> Path:
    """Where the engine's standard error goes."""
    return user_folder("logs") / "engine.log"


CLASSES = (LikenessPreferences, LikenessSettings)


def register() -> None:
    """Hang the settings onto the scene."""
    bpy.types.Scene.likeness = PointerProperty(type=LikenessSettings)


def unregister() -> None:
    """Take them off again."""
    del bpy.types.Scene.likeness
