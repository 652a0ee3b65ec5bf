# SPDX-License-Identifier: GPL-3.0-or-later
"""SMPL's joints as a Blender armature, and SMPL's pose parameters as pose-bone rotations.

SMPL turns every joint about world-aligned axes of the rest pose. A Blender bone turns about its own rest axes B (its
`matrix_local`), so the same rotation R is B^-1 R B there; as an axis-angle vector that is B^T v. The deformation
is then equal, and the bones may point along the limbs as artists expect.
"""

from collections.abc import Sequence

import bpy
import numpy as np
from mathutils import Vector

from .coordinates import to_blender
from .core.errors import LikenessError

#: The child that a bone with several children points to.
MAIN_CHILD = {"spine3": "neck", "left_wrist": "left_middle1", "right_wrist": "right_middle1"}
#: The pelvis points half forward instead of to the spine. Blender stores rest axes relative to the parent, and loses
#: digits where a child points against it, as the thighs would: axes square to 7e-6 only, 1e-5 m at the feet.
PELVIS_AXIS = np.array([0.0, -0.7071, 0.7071])
#: Custom property of the armature object: joint names in the order of the avatar's files (Blender sorts bones anew).
JOINTS_KEY = "likeness_joints"
#: Shorter bones cannot be picked. The last joint of a child's finger is 6 mm long.
SHORTEST_M = 0.004
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
#: How far a chain's last bone goes on, as a share of the one before it; heads and finger tips are longer than feet.
REACH = {"head": 1.0, "thumb": 0.9, "index": 0.9, "middle": 0.9, "ring": 0.9, "pinky": 0.9}
USUAL_REACH = 0.6
#: Bone collections, by the side of the fingers in them.
COLLECTIONS = {"": "Body", "left": "Left Hand", "right": "Right Hand"}


def bone_tails(names: Sequence[str], parents: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Where the bones end: at their child, and beyond the joint for the last bone of a chain.

    heads: (J, 3) metres, Blender's axes. Returns (J, 3), each at least SHORTEST_M from its head.
    """
    tails = np.empty_like(heads)
    for joint, name in enumerate(names):
        children = [c for c in range(len(names)) if parents[c] == joint]
        main = [c for c in children if names[c] == MAIN_CHILD.get(name)]
        if name == "pelvis" and children:
            tails[joint] = heads[joint] + PELVIS_AXIS * np.linalg.norm(heads[children] - heads[joint], axis=1).max()
        elif children:
            tails[joint] = heads[main or children].mean(0)
        elif parents[joint] >= 0:
            reach = next((share for word, share in REACH.items() if word in name), USUAL_REACH)
            tails[joint] = heads[joint] + reach * (heads[joint] - heads[parents[joint]])
        else:
            tails[joint] = heads[joint]
        if np.linalg.norm(tails[joint] - heads[joint]) < SHORTEST_M:
            tails[joint] = heads[joint] + np.array([0.0, 0.0, 5 * SHORTEST_M])
    return tails


def finger_side(name: str) -> str:
    """left or right for a finger's joint, empty for all others."""
    side, _, word = name.partition("_")
    return side if word.startswith(FINGERS) else ""


def bend_directions(names: Sequence[str], heads: np.ndarray) -> np.ndarray:
    """Where bones bend to when they turn about their own X: fingers to the palm, the thumb over it, all else ahead.

    heads: (J, 3) metres, Blender's axes. Returns (J, 3). Bones that lie forward (feet) bend up.
    """
    out = np.tile(np.array([0.0, -1.0, 0.0]), (len(names), 1))
    place = dict(zip(names, heads, strict=True))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        if f"{side}_thumb2" not in place:
            continue
        wrist, index, middle, ring, pinky, thumb = (
            place[f"{side}_{joint}"] for joint in ("wrist", "index1", "middle1", "ring1", "pinky1", "thumb2")
        )
        palm = sign * np.cross(middle - wrist, index - pinky)
        for joint, name in enumerate(names):
            if finger_side(name) == side:
                out[joint] = ring - thumb if "thumb" in name else palm
    return out


def build_armature(rig: bpy.types.Object, names: Sequence[str], parents: np.ndarray, rest_joints: np.ndarray) -> None:
    """Fill the armature of `rig` with one bone a joint.

    rig: an armature object that is linked to the current view layer; it becomes the active object.
    parents: (J,) -1 for the root. rest_joints: (J, 3) metres, engine axes.
    """
    heads = to_blender(np.asarray(rest_joints, np.float64))
    tails, bends = bone_tails(names, parents, heads), bend_directions(names, heads)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    bones: list[bpy.types.EditBone] = []
    for joint, name in enumerate(names):
        bone = rig.data.edit_bones.new(name)
        bone.head, bone.tail = Vector(heads[joint]), Vector(tails[joint])
        # Bones that lie forward (feet) take up as the reference, all others the front: knees and elbows bend about X.
        lies_forward = abs((tails[joint] - heads[joint])[1]) > 0.9 * np.linalg.norm(tails[joint] - heads[joint])
        forward = lies_forward and not finger_side(name)
        bone.align_roll(Vector((0, 0, 1)) if forward else Vector(bends[joint]))
        if parents[joint] >= 0:
            bone.parent = bones[parents[joint]]
            bone.use_connect = bool(np.allclose(tails[parents[joint]], heads[joint], atol=1e-7))
        bones.append(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    for bone in rig.pose.bones:
        bone.rotation_mode = "QUATERNION"
        bone.lock_location = (bone.parent is not None,) * 3
    _collect(rig.data, names)
    rig[JOINTS_KEY] = list(names)
    rig.data.display_type = "STICK"
    rig.show_in_front = True


def _collect(armature: bpy.types.Armature, names: Sequence[str]) -> None:
    """Bone collections, so that the fingers can be hidden at once."""
    for side, title in COLLECTIONS.items():
        wanted = [name for name in names if finger_side(name) == side]
        if wanted:
            collection = armature.collections.new(title)
            for name in wanted:
                collection.assign(armature.bones[name])


def joint_names(rig: bpy.types.Object) -> list[str]:
    """The joints in the order of the avatar's files."""
    return [str(name) for name in rig[JOINTS_KEY]]


def joint_bones(rig: bpy.types.Object) -> list[bpy.types.Bone]:
    """The bones in the order of the avatar's files. Raises LikenessError where the artist has removed one."""
    bones = [rig.data.bones.get(name) for name in joint_names(rig)]
    if None in bones:
        missing = joint_names(rig)[bones.index(None)]
        raise LikenessError("avatar.bones", f"{rig.name} has no bone {missing} any more.", "Bring in the avatar again.")
    return bones


def rest_axes(rig: bpy.types.Object) -> np.ndarray:
    """(J, 3, 3) float64 rotations: Blender's armature axes from each bone's rest axes."""
    return np.array([np.array(bone.matrix_local.to_3x3(), np.float64) for bone in joint_bones(rig)])


def bone_quaternions(pose: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """SMPL pose parameters as rotations of pose bones.

    pose: (T, J, 3) axis-angle in radians, engine axes. axes: (J, 3, 3) from rest_axes.
    Returns (T, J, 4) w, x, y, z, each frame in the same half of the sphere as the one before: curves must not jump.
    """
    turns = np.einsum("jba,tjb->tja", axes, to_blender(np.asarray(pose, np.float64)))
    angles = np.linalg.norm(turns, axis=-1, keepdims=True)
    half = 0.5 * angles
    # sin(a/2)/a tends to 1/2; np.sinc(x) is sin(pi x)/(pi x).
    quaternions = np.concatenate([np.cos(half), 0.5 * np.sinc(half / np.pi) * turns], axis=-1)
    steps = np.einsum("tja,tja->tj", quaternions[1:], quaternions[:-1])
    signs = np.cumprod(np.where(steps < 0, -1.0, 1.0), axis=0)
    quaternions[1:] *= signs[..., None]
    return quaternions


def root_locations(trans: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """SMPL translations (T, 3) in engine axes, metres -> locations of the root bone (T, 3) along its rest axes."""
    return to_blender(np.asarray(trans, np.float64)) @ axes[0]


def set_pose(rig: bpy.types.Object, pose: np.ndarray, trans: np.ndarray) -> None:
    """Pose the armature without keyframes. pose: (J, 3) axis-angle; trans: (3,) metres; engine axes."""
    names, axes = joint_names(rig), rest_axes(rig)
    quaternions = bone_quaternions(pose[None], axes)[0]
    for name, quaternion in zip(names, quaternions, strict=True):
        rig.pose.bones[name].rotation_quaternion = quaternion
    rig.pose.bones[names[0]].location = root_locations(trans[None], axes)[0]
