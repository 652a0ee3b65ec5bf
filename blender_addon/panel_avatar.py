# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's state 5: an avatar is in the scene; look at it, move it, render it."""

import bpy

from .importer import LICENCE_KEY
from .overlay import shows_guessed
from .panel_fit import draw_fit
from .wrapping import paragraph


def draw_avatar(layout: bpy.types.UILayout, context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """Name, doubts, motion, render."""
    box = layout.box()
    row = box.row()
    row.label(text=rig.name, icon="OUTLINER_OB_ARMATURE")
    row.operator("likeness.frame_avatar", text="Frame It")
    row.operator("likeness.show_guessed", text="", icon="OVERLAY", depress=shows_guessed(context))
    draw_fit(box, context, rig)
    if "non-commercial" in str(rig.get(LICENCE_KEY, "")).lower():
        paragraph(box, context, "Holds parts for non-commercial use only.", icon="ERROR", reserve_pt=8)
    window = context.window_manager
    column = box.column(align=True)
    row = column.row(align=True)
    row.prop(window, "likeness_clip", text="")
    apply = row.operator("likeness.apply_motion", text="Apply", icon="PLAY")
    apply.clip = window.likeness_clip
    column.operator("likeness.open_motion", text="Motion File…", icon="FILEBROWSER")
    row = box.row(align=True)
    row.operator("likeness.apply_capture_pose", text="As Captured")
    row.operator("likeness.rest_pose", text="Rest Pose")
    column = box.column(align=True)
    if context.scene.camera is None or not context.scene.camera.get("likeness_camera"):
        column.operator("likeness.add_camera", icon="CAMERA_DATA")
    else:
        column.operator("render.render", text="Render Image", icon="RENDER_STILL")
        column.operator("render.render", text="Render Animation", icon="RENDER_ANIMATION").animation = True
