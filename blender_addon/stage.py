# SPDX-License-Identifier: GPL-3.0-or-later
"""A camera and lights that show an avatar: what is missing between a walk and a picture."""

import math

import bpy
import numpy as np
from mathutils import Vector

CAMERA_KEY = "likeness_camera"
#: Share of the picture's height that the avatar fills.
_FILL = 0.8
_SAMPLES = 24


def motion_bounds(context: bpy.types.Context, rig: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner (3,) in world space of everywhere the avatar's bones go in the scene's frame range."""
    scene = context.scene
    before = scene.frame_current
    corners = []
    for frame in np.unique(np.linspace(scene.frame_start, scene.frame_end, _SAMPLES).astype(int)):
        scene.frame_set(int(frame))
        evaluated = rig.evaluated_get(context.evaluated_depsgraph_get())
        ends = [evaluated.matrix_world @ p for bone in evaluated.pose.bones for p in (bone.head, bone.tail)]
        corners.append(np.array(ends))
    scene.frame_set(before)
    points = np.concatenate(corners)
    return points.min(0) - 0.1, points.max(0) + 0.1


def add_stage(context: bpy.types.Context, rig: bpy.types.Object) -> bpy.types.Object:
    """Add a camera that sees the avatar's whole motion, and a key, fill and rim light. Returns the camera."""
    scene = context.scene
    low, high = motion_bounds(context, rig)
    middle = (low + high) / 2
    collection = rig.users_collection[0] if rig.users_collection else scene.collection
    lens = bpy.data.cameras.new(f"{rig.name} Camera")
    lens.lens = 50
    camera = bpy.data.objects.new(lens.name, lens)
    camera[CAMERA_KEY] = True
    collection.objects.link(camera)
    across = 2 * math.tan(lens.angle / 2)  # width of the picture at a distance of one metre
    aspect = scene.render.resolution_y / scene.render.resolution_x
    size = max((high[2] - low[2]) / min(aspect, 1.0), (high[0] - low[0]) / (1.0 if aspect < 1 else 1 / aspect))
    distance = size / (across * _FILL) + (middle[1] - low[1])
    # A little to the side and above the hips: straight from the front a walk looks flat.
    away = Vector((0.35, -1.0, 0.12)).normalized()
    camera.location = Vector(middle) + away * distance
    camera.rotation_euler = (-away).to_track_quat("-Z", "Y").to_euler()
    camera.data.clip_end = max(100.0, 4 * distance)
    scene.camera = camera
    for name, direction, strength in (
        ("Key", (0.7, -1, 1), 3.0),
        ("Fill", (-1, -0.8, 0.4), 1.2),
        ("Rim", (0.3, 1, 0.9), 2.0),
    ):
        light = bpy.data.lights.new(f"{rig.name} {name}", "SUN")
        light.energy, light.angle = strength, math.radians(10)
        sun = bpy.data.objects.new(light.name, light)
        sun.location = Vector(middle) + Vector(direction) * 2
        sun.rotation_euler = (-Vector(direction)).to_track_quat("-Z", "Y").to_euler()
        collection.objects.link(sun)
    return camera
