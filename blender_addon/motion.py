# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion clips and captured poses on an avatar's armature."""

import bpy
import numpy as np
from mathutils import Vector

from .actions import add_fcurve, new_action
from .armature import bone_quaternions, joint_bones, joint_names, rest_axes, root_locations, set_pose
from .coordinates import to_engine
from .core.avatar import Avatar
from .core.frames import axis_angle, rodrigues
from .core.motion import MotionClip
from .core.skinning import joint_transforms

#: Frames that are enough to find the height of the floor in a clip.
FLOOR_SAMPLES = 60
#: In a walk a foot is always down, in a run or jump not: the lower fifth of the frames stands on the floor in both.
FLOOR_PERCENTILE = 20.0
FOOT_JOINTS = ("left_ankle", "right_ankle", "left_foot", "right_foot")


def rest_joints(rig: bpy.types.Object) -> np.ndarray:
    """(J, 3) float64 rest joints in engine axes, metres."""
    return to_engine(np.array([bone.head_local[:] for bone in joint_bones(rig)], np.float64))


def parents(rig: bpy.types.Object) -> np.ndarray:
    """(J,) index of each joint's parent, -1 for the root."""
    index = {name: i for i, name in enumerate(joint_names(rig))}
    return np.array([index[bone.parent.name] if bone.parent else -1 for bone in joint_bones(rig)], np.int32)


def prepare_clip(rig: bpy.types.Object, clip: MotionClip, fps: float) -> MotionClip:
    """A clip for this armature: Y up, its joints, the scene's rate."""
    joints = rest_joints(rig)
    return clip.upright(joints[0]).with_joints(len(joints)).resampled(fps)


def pelvis_place(rig: bpy.types.Object) -> Vector:
    """Where the root bone is now, world space, metres."""
    bpy.context.view_layer.update()
    return rig.matrix_world @ rig.pose.bones[joint_names(rig)[0]].head


def settle(rig: bpy.types.Object, place: Vector | None, floor_m: float | None) -> None:
    """Move the whole object, so that bones keep SMPL's exact numbers: pelvis above `place`, and the floor at Z = 0.

    place: world space, its height is not used. floor_m: height of the floor in the armature's own space.
    """
    now = pelvis_place(rig)
    matrix = rig.matrix_world.copy()
    if place is not None:
        matrix.translation.xy += (place - now).xy
    if floor_m is not None:
        matrix.translation.z -= (rig.matrix_world @ Vector((0.0, 0.0, floor_m))).z
    rig.matrix_world = matrix
    bpy.context.view_layer.update()


def rest_floor(rig: bpy.types.Object) -> float:
    """The height of the soles in the rest pose, in the armature's own space, metres."""
    lowest = [0.0]
    for body in (child for child in rig.children if child.type == "MESH"):
        heights = np.empty(3 * len(body.data.vertices), np.float32)
        body.data.vertices.foreach_get("co", heights)
        lowest.append(float(heights[2::3].min(initial=0.0)))
    return min(lowest)


def floor_height(rig: bpy.types.Object, clip: MotionClip) -> float:
    """The height (engine Y, metres) on which the soles stand in an upright clip of this armature's joints."""
    soles = sole_points(rig)
    if not soles:
        return 0.0
    joints, tree = rest_joints(rig), parents(rig)
    lowest = []
    for frame in np.unique(np.linspace(0, len(clip) - 1, FLOOR_SAMPLES).astype(int)):
        transforms = joint_transforms(rodrigues(clip.poses[frame].astype(np.float64)), joints, tree)
        heights = [points @ transforms[j, 1, :3] + transforms[j, 1, 3] for j, points in soles.items()]
        lowest.append(min(h.min() for h in heights) + clip.trans[frame, 1])
    return float(np.percentile(lowest, FLOOR_PERCENTILE))


def sole_points(rig: bpy.types.Object) -> dict[int, np.ndarray]:
    """Joint -> (N, 3) rest vertices, engine axes, that follow mostly that joint of a foot."""
    names = joint_names(rig)
    found: dict[int, list[tuple[float, ...]]] = {}
    for body in (child for child in rig.children if child.type == "MESH"):
        wanted = {body.vertex_groups[n].index: names.index(n) for n in FOOT_JOINTS if n in body.vertex_groups}
        for vertex in body.data.vertices:
            for entry in vertex.groups:
                if entry.weight > 0.5 and entry.group in wanted:
                    found.setdefault(wanted[entry.group], []).append(tuple(vertex.co))
    return {joint: to_engine(np.array(points, np.float64)) for joint, points in found.items()}


def apply_clip(rig: bpy.types.Object, clip: MotionClip, start_frame: int) -> tuple[int, int]:
    """Write a prepared clip as a new action of `rig`, one key a frame. Returns its first and last frame.

    The root bone goes where SMPL puts it: rest pelvis + trans, in the armature's own axes.
    """
    names = joint_names(rig)
    axes = rest_axes(rig)
    quaternions = bone_quaternions(clip.poses, axes)
    locations = root_locations(clip.trans, axes)
    frames = start_frame + np.arange(len(clip), dtype=np.float64)
    holder = new_action(rig, f"{clip.name} ({rig.name})")
    for axis in range(3):
        add_fcurve(holder, f'pose.bones["{names[0]}"].location', axis, names[0], frames, locations[:, axis])
    for joint, name in enumerate(names):
        path = f'pose.bones["{name}"].rotation_quaternion'
        for axis in range(4):
            add_fcurve(holder, path, axis, name, frames, quaternions[:, joint, axis])
    return int(frames[0]), int(frames[-1])


def release(rig: bpy.types.Object) -> None:
    """Take the action off (it stays in the file) and clear the pose."""
    if rig.animation_data:
        rig.animation_data.action = None
    for bone in rig.pose.bones:
        bone.rotation_quaternion, bone.location, bone.scale = (1, 0, 0, 0), (0, 0, 0), (1, 1, 1)


def set_captured_pose(rig: bpy.types.Object, avatar: Avatar) -> None:
    """Pose the armature as the person stood in the capture, upright above the floor of its own space."""
    turn, shift = avatar.world_from_capture[:3, :3], avatar.world_from_capture[:3, 3]
    pose = avatar.capture.pose.astype(np.float64).copy()
    pose[0] = axis_angle(turn @ rodrigues(pose[0]))
    pelvis = avatar.rest_joints[0].astype(np.float64)
    trans = turn @ (pelvis + avatar.capture.translation) + shift - pelvis
    set_pose(rig, pose, trans)


def clip_titles(names: list[str]) -> list[tuple[str, str]]:
    """(name, title) of clips for a menu: walks first, without the numbers of the recordings.

    `walk_slow_07_04` is "Walk slow"; a second clip of that title becomes "Walk slow 2".
    """
    used: dict[str, int] = {}
    out = []
    for name in sorted(names, key=lambda n: (not n.startswith("walk"), n)):
        words = [word for word in name.split("_") if not word[0].isdigit()]
        title = " ".join(words).capitalize() or name
        used[title] = used.get(title, 0) + 1
        out.append((name, title if used[title] == 1 else f"{title} {used[title]}"))
    return out
