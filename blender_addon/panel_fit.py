# SPDX-License-Identifier: GPL-3.0-or-later
"""How sure the body's fit is, limb by limb, and what mends it."""

from pathlib import Path

import bpy

from .core.fit import LIMBS
from .importer import CONFIDENCE_KEY, FIT_KEY, REQUEST_KEY
from .pictures import icon
from .refit import unsure_limbs
from .wrapping import paragraph

_DOTS = 5


def draw_fit(layout: bpy.types.UILayout, context: bpy.types.Context, rig: bpy.types.Object) -> None:
    """A line for the whole, a small one for each limb, and the two buttons."""
    confidence = {str(k): float(v) for k, v in dict(rig.get(CONFIDENCE_KEY, {})).items()}
    fit = Path(str(rig.get(FIT_KEY, "")))
    header, body = layout.panel("LIKENESS_fit", default_closed=False)
    mean = sum(confidence.values()) / len(confidence) if confidence else 0.0
    header.label(text=f"Body fit  {dots(mean)}" if confidence else "Body fit")
    if body is None:
        return
    unsure = unsure_limbs(confidence)
    column = body.column(align=True)
    column.scale_y = 0.8
    for limb in (limb for limb in LIMBS if limb in confidence):
        row = column.row()
        name, sure = row.row(), row.row()
        name.alignment, sure.alignment = "LEFT", "RIGHT"
        name.operator("likeness.select_limb", text=limb.replace("_", " ").capitalize(), emboss=False).limb = limb
        sure.alert = limb in unsure
        sure.label(text=dots(confidence[limb]))
    hint = doubts(confidence)
    if hint:
        paragraph(body, context, hint, icon="INFO", reserve_pt=8)
    if icon(fit / "overlay.png"):
        body.template_icon(icon_value=icon(fit / "overlay.png"), scale=7.0)
    column = body.column(align=True)
    column.operator("likeness.pose_over_picture", icon="POSE_HLT")
    column.operator("likeness.refit", icon="FILE_REFRESH")
    if rig.get(FIT_KEY) and rig.get(REQUEST_KEY):
        column.operator("likeness.remake_avatar", icon="OUTLINER_OB_ARMATURE")


def dots(share: float) -> str:
    """0.8 -> '●●●●○'."""
    full = round(min(max(share, 0.0), 1.0) * _DOTS)
    return "●" * full + "○" * (_DOTS - full)


def doubts(confidence: dict[str, float]) -> str:
    """'Left arm unsure: pose it over the picture, then Refit.'; empty where nothing is."""
    names = [limb.replace("_", " ") for limb in unsure_limbs(confidence)]
    if not names:
        return ""
    pose = "it" if len(names) == 1 else "them"
    return f"{', '.join(names).capitalize()} unsure: pose {pose} over the picture, then Refit."
