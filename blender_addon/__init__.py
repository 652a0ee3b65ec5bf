# SPDX-License-Identifier: GPL-3.0-or-later
"""Likeness: one capture or photo becomes a rigged, textured avatar. The heavy work is done by the engine process."""

import bpy

from . import dropping, operators_avatar, operators_fit, operators_job, panel, preferences, runtime

_CLASSES = (
    *preferences.CLASSES,
    *operators_avatar.CLASSES,
    *operators_fit.CLASSES,
    *operators_job.CLASSES,
    *panel.CLASSES,
    *dropping.CLASSES,
)
#: Modules that hang something onto Blender's own types or keep something running.
_MODULES = (preferences, operators_avatar, runtime)


def register() -> None:
    """Called by Blender when the extension is enabled."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    for module in _MODULES:
        module.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled: everything goes, in reverse order."""
    for module in reversed(_MODULES):
        module.unregister()
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
