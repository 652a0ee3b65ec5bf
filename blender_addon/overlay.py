# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows on the surface itself what the camera has seen and what was guessed."""

import bpy
import numpy as np

#: Name of the colour attribute that the overlay paints.
ATTRIBUTE = "guessed"
#: Seen surface stays light grey, guessed surface becomes orange (linear colours).
_SEEN = np.array([0.6, 0.6, 0.6, 1.0])
_GUESSED = np.array([0.8, 0.2, 0.02, 1.0])


def paint_guessed(body: bpy.types.Object) -> None:
    """Make the colour attribute from the point attribute `seen` (1 seen, 0 guessed) and let solid views show it."""
    mesh = body.data
    seen = np.zeros(len(mesh.vertices), np.float32)
    if "seen" in mesh.attributes:
        mesh.attributes["seen"].data.foreach_get("value", seen)
    share = np.clip(seen, 0, 1)[:, None]
    colours = mesh.color_attributes.get(ATTRIBUTE) or mesh.color_attributes.new(ATTRIBUTE, "FLOAT_COLOR", "POINT")
    colours.data.foreach_set("color", (share * _SEEN + (1 - share) * _GUESSED).astype(np.float32).ravel())
    mesh.color_attributes.active_color = colours


def shows_guessed(context: bpy.types.Context) -> bool:
    """Whether the 3D view that is drawn shows the overlay."""
    space = context.space_data
    return space is not None and space.type == "VIEW_3D" and space.shading.color_type == "VERTEX"


def toggle(context: bpy.types.Context, bodies: list[bpy.types.Object]) -> None:
    """Switch the 3D view between the textures and the overlay, in Solid shading."""
    shading = context.space_data.shading
    if shows_guessed(context):
        shading.color_type = "TEXTURE"
        return
    for body in bodies:
        paint_guessed(body)
    shading.type, shading.color_type = "SOLID", "VERTEX"
