# SPDX-License-Identifier: GPL-3.0-or-later
"""Likeness: one capture or photo becomes a rigged, textured avatar. The heavy work is done by the engine process."""

import bpy

from . import operators_avatar

_CLASSES = (*operators_avatar.CLASSES,)


def register() -> None:
    """Called by Blender when the extension is enabled."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Called by Blender when the extension is disabled: everything goes, in reverse order."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
