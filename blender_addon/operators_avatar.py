# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators on avatars that exist: bring in, frame, move."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from . import importer, motion, overlay, stage
from .core.avatar import read_avatar
from .core.errors import LikenessError
from .core.motion import list_clips, read_clip
from .operator_base import LikenessOperator

#: Blender keeps no reference to the strings of a dynamic menu, so this module does.
_clip_items: list[tuple[str, str, str]] = []


def clip_items(_owner: object, _context: bpy.types.Context | None) -> list[tuple[str, str, str]]:
    """The shipped clips as a menu; the files are looked up once."""
    if not _clip_items:
        titles = motion.clip_titles(list(list_clips()))
        _clip_items.extend((name, title, f"The clip {name} that ships with Likeness") for name, title in titles)
    return _clip_items or [("NONE", "No clips", "This extension came without motion clips")]


def wanted_avatar(context: bpy.types.Context) -> bpy.types.Object:
    """The avatar to work on. Raises LikenessError where that is not clear."""
    rig = importer.find_avatar(context)
    if rig is None:
        raise LikenessError("usage.avatar", "No avatar is selected.", "Click on an avatar first.")
    return rig


class LIKENESS_OT_import_avatar(LikenessOperator, bpy.types.Operator):
    """Bring in an avatar folder as mesh, armature and material in a collection of its own"""

    bl_idname = "likeness.import_avatar"
    bl_label = "Bring In Avatar"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(
        name="Avatar folder", description="A folder NAME.avatar", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask for the folder; a path that is given already (a drop) is taken."""
        if self.filepath:
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def run(self, context: bpy.types.Context) -> None:
        """Import it. A file inside the folder (avatar.json) stands for the folder."""
        path = Path(bpy.path.abspath(self.filepath))
        rig = importer.import_avatar(path.parent if path.is_file() else path)
        self.report({"INFO"}, f"{rig.name} is in the scene.")


class LIKENESS_OT_apply_motion(LikenessOperator, bpy.types.Operator):
    """Let the avatar move: a shipped clip, or an AMASS file of your own. The action of before is kept"""

    bl_idname = "likeness.apply_motion"
    bl_label = "Apply Motion"
    bl_options = {"REGISTER", "UNDO"}

    clip: EnumProperty(name="Motion", description="A clip that ships with Likeness", items=clip_items)
    filepath: StringProperty(
        name="File",
        description="An AMASS .npz file, instead of a shipped clip",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    filter_glob: StringProperty(default="*.npz", options={"HIDDEN"})
    start_frame: IntProperty(name="Start", description="Frame of the first pose", default=1)
    start_here: BoolProperty(
        name="Start here", description="Move the avatar so that it begins where it stands now", default=True
    )
    on_floor: BoolProperty(
        name="On the floor", description="Move the avatar so that its soles stand at Z = 0", default=True
    )
    set_range: BoolProperty(name="Set frame range", description="Play exactly the clip", default=True)

    def run(self, context: bpy.types.Context) -> None:
        """Write the action and set the scene's frame range."""
        rig = wanted_avatar(context)
        if self.filepath:
            clip = read_clip(Path(bpy.path.abspath(self.filepath)))
        elif self.clip in list_clips():
            clip = read_clip(list_clips()[self.clip])
        else:
            raise LikenessError("motion.unknown", "No motion is chosen.", "Choose a clip or an AMASS .npz file.")
        scene = context.scene
        before = rig.animation_data.action if rig.animation_data else None
        if before is not None:  # a walk goes on from where it had begun, not from where it happens to be
            scene.frame_set(int(before.frame_range[0]))
        place = motion.pelvis_place(rig) if self.start_here else None
        clip = motion.prepare_clip(rig, clip, scene.render.fps / scene.render.fps_base)
        first, last = motion.apply_clip(rig, clip, self.start_frame)
        if self.set_range:
            scene.frame_start, scene.frame_end = first, last
        scene.frame_set(first)
        motion.settle(rig, place, motion.floor_height(rig, clip) if self.on_floor else None)
        self.report({"INFO"}, f"{rig.name}: {clip.name}, frames {first} to {last}.")


class LIKENESS_OT_open_motion(bpy.types.Operator):
    """Choose an AMASS .npz file of your own and let the avatar move by it"""

    bl_idname = "likeness.open_motion"
    bl_label = "Motion File"

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.npz", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Open the file browser."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Hand the file to apply_motion, which owns the undo step."""
        return bpy.ops.likeness.apply_motion(filepath=self.filepath)


class LIKENESS_OT_apply_capture_pose(LikenessOperator, bpy.types.Operator):
    """Pose the avatar as the person stood in the capture"""

    bl_idname = "likeness.apply_capture_pose"
    bl_label = "Pose as Captured"
    bl_options = {"REGISTER", "UNDO"}

    def run(self, context: bpy.types.Context) -> None:
        """Read the pose from the avatar folder."""
        rig = wanted_avatar(context)
        avatar = read_avatar(Path(rig[importer.FOLDER_KEY]))
        place = motion.pelvis_place(rig)
        motion.release(rig)
        motion.set_captured_pose(rig, avatar)
        motion.settle(rig, place, 0.0)


class LIKENESS_OT_rest_pose(LikenessOperator, bpy.types.Operator):
    """Put the avatar back into its T-shaped rest pose; its actions are kept"""

    bl_idname = "likeness.rest_pose"
    bl_label = "Rest Pose"
    bl_options = {"REGISTER", "UNDO"}

    def run(self, context: bpy.types.Context) -> None:
        """Unassign the action and clear the pose."""
        rig = wanted_avatar(context)
        place = motion.pelvis_place(rig)
        motion.release(rig)
        motion.settle(rig, place, motion.rest_floor(rig))


class LIKENESS_OT_frame_avatar(LikenessOperator, bpy.types.Operator):
    """Select the avatar and bring it into view"""

    bl_idname = "likeness.frame_avatar"
    bl_label = "Frame Avatar"

    def run(self, context: bpy.types.Context) -> None:
        """Frame the mesh in the 3D view that the operator is called from."""
        rig = wanted_avatar(context)
        bodies = [child for child in rig.children if child.type == "MESH"]
        for other in context.selected_objects:
            other.select_set(False)
        for chosen in (*bodies, rig):
            chosen.select_set(True)
        context.view_layer.objects.active = rig
        if bpy.ops.view3d.view_selected.poll():
            bpy.ops.view3d.view_selected()


class LIKENESS_OT_show_guessed(LikenessOperator, bpy.types.Operator):
    """Colour the surface in this view: grey was measured, blue only seen, orange guessed. Again: back to the textures.
    The same numbers are the mesh attribute likeness_confidence: 1, 0.5 and 0"""

    bl_idname = "likeness.show_guessed"
    bl_label = "Show Guessed"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only where there is a 3D view to colour."""
        return context.space_data is not None and context.space_data.type == "VIEW_3D"

    def run(self, context: bpy.types.Context) -> None:
        """Toggle the overlay."""
        rig = wanted_avatar(context)
        overlay.toggle(context, [child for child in rig.children if child.type == "MESH"])


class LIKENESS_OT_add_camera(LikenessOperator, bpy.types.Operator):
    """Add lights, and a camera that follows the avatar and becomes the scene's; what is there already stays"""

    bl_idname = "likeness.add_camera"
    bl_label = "Camera and Lights"
    bl_options = {"REGISTER", "UNDO"}

    def run(self, context: bpy.types.Context) -> None:
        """Frame the avatar over the scene's frame range."""
        stage.add_stage(context, wanted_avatar(context))


CLASSES = (
    LIKENESS_OT_import_avatar,
    LIKENESS_OT_apply_motion,
    LIKENESS_OT_open_motion,
    LIKENESS_OT_apply_capture_pose,
    LIKENESS_OT_rest_pose,
    LIKENESS_OT_frame_avatar,
    LIKENESS_OT_show_guessed,
    LIKENESS_OT_add_camera,
)


def register() -> None:
    """The clip that the panel's menu shows belongs to the window, not to the file."""
    bpy.types.WindowManager.likeness_clip = EnumProperty(
        name="Motion", description="A clip that ships with Likeness", items=clip_items
    )


def unregister() -> None:
    """Take it off again."""
    del bpy.types.WindowManager.likeness_clip
