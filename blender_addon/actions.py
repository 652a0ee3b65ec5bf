# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions and F-curves, alike in Blender 4.2 (flat actions) and from 4.4 on (layers and slots)."""

from typing import Any

import bpy
import numpy as np

#: Value of the enum `Keyframe.interpolation` as foreach_set wants it.
LINEAR = 1


def new_action(target: bpy.types.Object, name: str) -> Any:
    """Make an action that animates `target`, assign it, and return what holds its F-curves.

    The action gets a fake user, so that a later clip does not throw it away when the file is saved.
    """
    action = bpy.data.actions.new(name)
    action.use_fake_user = True
    animation = target.animation_data or target.animation_data_create()
    animation.action = action
    if not hasattr(action, "slots"):  # Blender 4.2 and 4.3
        return action
    slot = action.slots.new(id_type="OBJECT", name=target.name)
    animation.action_slot = slot
    strip = action.layers.new("Layer").strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True)


def add_fcurve(holder: Any, path: str, index: int, group: str, frames: np.ndarray, values: np.ndarray) -> None:
    """Write one F-curve of straight pieces.

    holder: from new_action. frames, values: (T,) floats. group: the name under which the dope sheet folds it.
    """
    if hasattr(holder, "slot"):
        curve = holder.fcurves.new(path, index=index)
        curve.group = holder.groups.get(group) or holder.groups.new(group)
    else:
        curve = holder.fcurves.new(path, index=index, action_group=group)
    points = curve.keyframe_points
    points.add(len(frames))
    points.foreach_set("co", np.column_stack([frames, values]).astype(np.float32).ravel())
    points.foreach_set("interpolation", np.full(len(frames), LINEAR, np.int32))
    curve.update()
