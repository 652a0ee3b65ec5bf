# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows on the surface itself what was measured, what was only seen, and what was guessed."""

import bpy
import numpy as np

from .mesh import CONFIDENCE

#: Name of the colour attribute that the overlay paints.
ATTRIBUTE = "guessed"
#: Linear colours over the attribute's values: guessed surface becomes orange, seen blue, measured stays light grey.
_VALUES = np.array([0.0, 0.5, 1.0])
_COLOURS = np.array([[0.8, 0.2, 0.02, 1.0], [0.12, 0.3, 0.7, 1.0], [0.6, 0.6, 0.6, 1.0]])


def paint_guessed(body: bpy.types.Object) -> None:
    """Make the colour attribute from the point attribute of confidence and let solid views show it."""
    mesh = body.data
    known = np.zeros(len(mesh.vertices), np.float32)
    # Avatars that came in with an earlier version have `seen` alone, with shares: grey, and never blue.
    values, colours = _VALUES, _COLOURS
    if CONFIDENCE in mesh.attributes:
        mesh.attributes[CONFIDENCE].data.foreach_get("value", known)
    elif "seen" in mesh.attributes:
        mesh.attributes["seen"].data.foreach_get("value", known)
        values, colours = _VALUES[[0, 2]], _COLOURS[[0, 2]]
    painted = np.stack([np.interp(known, values, colours[:, channel]) for channel in range(4)], 1)
    layer = mesh.color_attributes.get(ATTRIBUTE) or mesh.color_attributes.new(ATTRIBUTE, "FLOAT_COLOR", "POINT")
    layer.data.foreach_set("color", painted.astype(np.float32).ravel())
    mesh.color_attributes.active_color = layer


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
