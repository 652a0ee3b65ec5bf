# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's states 2 and 3: choose an input, see what is in it, start."""

from typing import Any

import bpy

from . import runtime
from .pictures import icon, thumbnails
from .preferences import settings
from .wrapping import paragraph

_KINDS = {"rgbd": "RGB-D", "photo": "photo"}


def draw_ready(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """State 2: one button."""
    row = layout.row()
    row.scale_y = 1.4
    row.operator("likeness.choose", icon="FILEBROWSER")
    paragraph(layout, context, "or drop one into the view")


def draw_chosen(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """State 3: warnings first, then the settings that matter, the cost, and one button."""
    session, chosen = runtime.session, settings(context)
    source = session.source
    assert source is not None
    row = layout.row(align=True)
    row.label(text=source.name, icon="FILE_FOLDER" if source.is_dir() else "FILE_IMAGE")
    row.operator("likeness.choose", text="", icon="FILEBROWSER")
    row.operator("likeness.forget", text="", icon="X")
    if session.inspecting:
        layout.label(text="Looking at it…", icon="SORTTIME")
    facts = session.facts or {}
    if facts:
        paragraph(layout, context, summary(facts))
    row = layout.row()
    for _, path in thumbnails(facts)[:3]:
        if icon(path):
            row.template_icon(icon_value=icon(path), scale=4.0)
    for warning in warnings(facts):
        paragraph(layout, context, warning, icon="ERROR")
    _draw_details(layout, context, facts)
    layout.row().prop(chosen, "preset", expand=True)
    if facts.get("kind") == "rgbd":
        layout.prop(chosen, "method")
        paragraph(layout, context, method_text(chosen))
    cost = estimate_text(facts)
    if cost:
        paragraph(layout, context, cost)
    row = layout.row()
    row.scale_y = 1.4
    row.enabled = not session.inspecting
    row.operator("likeness.create_avatar", icon="OUTLINER_OB_ARMATURE")


def _draw_details(layout: bpy.types.UILayout, context: bpy.types.Context, facts: dict[str, Any]) -> None:
    """What the artist may have to say because the file does not; folded away."""
    chosen = settings(context)
    people = facts.get("people")
    if isinstance(people, int) and people > 1:
        layout.prop(chosen, "person", text=f"Person of {people} (from 0)")
    header, body = layout.panel("LIKENESS_details", default_closed=True)
    header.label(text="Reading")
    if body is None:
        return
    body.use_property_split, body.use_property_decorate = True, False
    body.prop(chosen, "mask")
    body.prop(chosen, "keypoints")
    body.prop(chosen, "body")
    body.prop(chosen, "focal_px")
    if facts.get("kind") == "photo":
        body.prop(chosen, "height_m")
    else:
        for name in ("unit", "depth", "intrinsics"):
            body.prop(chosen, name)
    if people is None:
        body.prop(chosen, "person")
    body.operator("likeness.inspect", icon="FILE_REFRESH")


def method_text(chosen: bpy.types.PropertyGroup) -> str:
    """One line on the chosen way to the far side."""
    items = chosen.bl_rna.properties["method"].enum_items
    return str(items[chosen.method].description)


def summary(facts: dict[str, Any]) -> str:
    """One line: kind, size, stature."""
    parts = [_KINDS.get(str(facts.get("kind")), str(facts.get("kind", "")))]
    if facts.get("width") and facts.get("height"):
        parts.append(f"{facts['width']} × {facts['height']}")
    stature = facts.get("stature_m")
    if isinstance(stature, int | float) and stature > 0:
        parts.append(f"{stature:.2f} m")
    return " · ".join(filter(None, parts))


def warnings(facts: dict[str, Any]) -> list[str]:
    """The engine's warnings as sentences."""
    found = facts.get("warnings")
    return [str(w) for w in found] if isinstance(found, list) else []


def estimate_text(facts: dict[str, Any]) -> str:
    """What it costs on this machine, as far as the engine knows."""
    found = facts.get("estimate")
    costs: dict[str, Any] = found if isinstance(found, dict) else {}
    seconds, memory = costs.get("seconds"), costs.get("memory_gb")
    if not isinstance(seconds, int | float) or not 0 < seconds < 1e6:
        return ""
    text = f"about {max(1, round(seconds / 60))} min"
    if isinstance(memory, int | float) and 0 < memory < 1e4:
        text += f" and {memory:.1f} GB of memory"
    return f"{text} on this machine"
