# SPDX-License-Identifier: GPL-3.0-or-later
"""A camera and lights that show an avatar: what is missing between a walk and a picture."""

import math

import bpy
import numpy as np
from mathutils import Vector

from .armature import joint_names

#: Custom property of our cameras.
CAMERA_KEY = "likeness_camera"
#: Share of the picture that the avatar fills.
_FILL = 0.9
#: Bones end inside the body; head, hands and soles reach further.
_FLESH_M = 0.15
_FRAMES = 24
#: A little to the side and above the hips: straight from the front a walk looks flat.
_FROM = Vector((0.35, -1.0, 0.12)).normalized()
_LIGHTS = (("Key", (0.7, -1, 1), 3.0), ("Fill", (-1, -0.8, 0.4), 1.2), ("Rim", (0.3, 1, 0.9), 2.0))


def reach(context: bpy.types.Context, rig: bpy.types.Object) -> tuple[float, float, float]:
    """Lowest and highest point of the motion in world space, and how far it goes sideways from the root, metres."""
    scene = context.scene
    before = scene.frame_current
    root = joint_names(rig)[0]
    low, high, side = math.inf, -math.inf, 0.0
    for frame in np.unique(np.linspace(scene.frame_start, scene.frame_end, _FRAMES).astype(int)):
        scene.frame_set(int(frame))
        posed = rig.evaluated_get(context.evaluated_depsgraph_get())
        ends = np.array([posed.matrix_world @ p for bone in posed.pose.bones for p in (bone.head, bone.tail)])
        centre = np.array(posed.matrix_world @ posed.pose.bones[root].head)
        low, high = min(low, ends[:, 2].min()), max(high, ends[:, 2].max())
        side = max(side, np.linalg.norm(ends[:, :2] - centre[:2], axis=1).max())
    scene.frame_set(before)
    return low - _FLESH_M / 2, high + _FLESH_M, side + _FLESH_M


def add_stage(context: bpy.types.Context, rig: bpy.types.Object) -> bpy.types.Object:
    """Add a camera that walks along with the avatar, and a key, fill and rim light. Returns the camera."""
    scene = context.scene
    collection = rig.users_collection[0] if rig.users_collection else scene.collection
    low, high, side = reach(context, rig)
    target = bpy.data.objects.new(f"{rig.name} Target", None)
    target.empty_display_size = 0.1
    target.location.z = (low + high) / 2
    # Only along the ground: a camera that follows the hips up and down makes the picture rock.
    follow = target.constraints.new("COPY_LOCATION")
    follow.target, follow.subtarget, follow.use_z = rig, joint_names(rig)[0], False
    lens = bpy.data.cameras.new(f"{rig.name} Camera")
    lens.lens = 50
    camera = bpy.data.objects.new(lens.name, lens)
    camera[CAMERA_KEY] = True
    camera.parent = target
    across = 2 * math.tan(lens.angle / 2)  # width of the longer side of the picture at a distance of one metre
    width, height = scene.render.resolution_x, scene.render.resolution_y
    longer = max(width, height)
    distance = max((high - low) * longer / height, 2 * side * longer / width) / (across * _FILL) + side / 2
    camera.location = _FROM * distance
    camera.rotation_euler = (-_FROM).to_track_quat("-Z", "Y").to_euler()
    lens.clip_end = max(100.0, 4 * distance)
    scene.camera = camera
    made = [target, camera]
    for name, direction, strength in _LIGHTS:
        light = bpy.data.lights.new(f"{rig.name} {name}", "SUN")
        light.energy, light.angle = strength, math.radians(10)
        sun = bpy.data.objects.new(light.name, light)
        sun.location = Vector(direction) * 2
        sun.rotation_euler = (-Vector(direction)).to_track_quat("-Z", "Y").to_euler()
        made.append(sun)
    if scene.world is None:  # without one the surroundings are black
        scene.world = bpy.data.worlds.new(f"{rig.name} World")
    for one in made:
        collection.objects.link(one)
    return camera
