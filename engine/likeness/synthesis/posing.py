"""Poses for synthetic people: the rig from A pose to a clip's pose, a relaxed stance, curled fingers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from likeness.core.frames import axis_angle, rodrigues
from likeness.synthesis.wardrobe import Arrays

Floats = NDArray[np.float32]

PARENTS = np.array([-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21])
# Joint -> (the joint that its limb points at, that limb's direction in the T pose).
_T_POSE = {
    16: (18, (1, 0, 0)),
    18: (20, (1, 0, 0)),
    20: (22, (1, 0, 0)),
    17: (19, (-1, 0, 0)),
    19: (21, (-1, 0, 0)),
    21: (23, (-1, 0, 0)),
    1: (4, (0, -1, 0)),
    4: (7, (0, -1, 0)),
    2: (5, (0, -1, 0)),
    5: (8, (0, -1, 0)),
}


@dataclass(frozen=True)
class Rig:
    """The shaped body's bones. heads (B, 3) metres; joints (24, 3) in SMPL's order; weights (19158, B) sparse."""

    heads: Floats
    joints: Floats
    bone_parents: NDArray[np.int64]
    bone_joint: NDArray[np.int64]
    joint_bone: NDArray[np.int64]
    bone_names: tuple[str, ...]
    weights: sparse.csr_matrix


def build_rig(base: Arrays, body: Floats) -> Rig:
    """Rig of a shaped body (19158, 3); joints follow the shape."""
    bounds, index = base["head_off"], base["head_idx"]
    heads = np.stack([body[index[bounds[k] : bounds[k + 1]]].mean(0) for k in range(len(bounds) - 1)])
    shape = (len(body), len(heads))
    weights = sparse.csr_matrix((base["skin_w"], (base["skin_vert"], base["skin_bone"])), shape=shape)
    totals = np.asarray(weights.sum(1)).ravel()
    free = np.flatnonzero(totals < 1e-6)
    loose = sparse.csr_matrix((np.ones(len(free)), (free, np.zeros(len(free), int))), shape=shape)
    weights = sparse.diags(1 / np.where(totals < 1e-6, 1, totals)) @ weights + loose
    names = tuple(str(name) for name in base["bone_names"])
    parents = base["bone_parent"].astype(np.int64)
    parents[names.index("root")] = -1
    return Rig(
        heads.astype(np.float32),
        heads[base["smpl24_bone"]].astype(np.float32),
        parents,
        base["bone_to_smpl24"].astype(np.int64),
        base["smpl24_bone"].astype(np.int64),
        names,
        weights.tocsr(),
    )


def rotation_between(source: NDArray, target: NDArray) -> NDArray:
    """Smallest rotation (3, 3) that turns direction source (3,) to target (3,)."""
    a, b = source / np.linalg.norm(source), np.asarray(target, float) / np.linalg.norm(target)
    axis = np.cross(a, b)
    sine, cosine = np.linalg.norm(axis), float(a @ b)
    if sine < 1e-9:
        return np.eye(3)
    return rodrigues(axis / sine * np.arctan2(sine, cosine))


def t_pose_rotations(joints: Floats) -> NDArray:
    """World rotation (24, 3, 3) of each joint that brings the A-shaped rest pose to the T pose."""
    rotations = np.tile(np.eye(3), (24, 1, 1))
    for joint, (tip, direction) in _T_POSE.items():
        rotations[joint] = rotation_between(joints[tip] - joints[joint], np.array(direction, float))
    rotations[22], rotations[23] = rotations[20], rotations[21]
    return rotations


def world_rotations(pose: NDArray) -> NDArray:
    """Accumulated rotations (24, 3, 3) of a T-relative pose (24, 3) axis-angle."""
    local = rodrigues(np.asarray(pose, float))
    world = local.copy()
    for joint in range(1, 24):
        world[joint] = world[PARENTS[joint]] @ local[joint]
    return world


def curl_fingers(rig: Rig, side: str, degrees: float) -> NDArray:
    """Rest-frame rotations (B, 3, 3) that bend the four fingers of one hand ('L', 'R') towards its palm."""
    rotations = np.tile(np.eye(3), (len(rig.heads), 1, 1))
    head = {name: rig.heads[k] for k, name in enumerate(rig.bone_names)}
    # The knuckle line is the hinge; its direction makes a positive angle close the fist on either hand.
    hinge = (head[f"finger5-1.{side}"] - head[f"finger2-1.{side}"]) * (1 if side == "L" else -1)
    hinge /= np.linalg.norm(hinge)
    for finger in range(2, 6):
        for joint, share in ((1, 0.6), (2, 1.0), (3, 0.6)):
            bend = degrees * share * (0.8 + 0.12 * (finger - 2))
            index = rig.bone_names.index(f"finger{finger}-{joint}.{side}")
            rotations[index] = rodrigues(hinge.astype(float) * np.radians(bend))
    return rotations


def bone_transforms(rig: Rig, pose: NDArray, curl_deg: float = 0.0) -> tuple[NDArray, NDArray, NDArray]:
    """Posed-from-rest transforms (B, 3, 4) of all bones, posed joints (24, 3) and their world rotations (24, 3, 3).

    pose: (24, 3) axis-angle relative to the T pose, SMPL's order; the rest pose is the rig's A pose.
    """
    world = world_rotations(pose)
    from_rest = world @ t_pose_rotations(rig.joints)
    fingers = np.tile(np.eye(3), (len(rig.heads), 1, 1))
    if curl_deg:
        for side in ("L", "R"):
            fingers = fingers @ curl_fingers(rig, side, curl_deg)
    rotation, position = np.zeros((len(rig.heads), 3, 3)), np.zeros((len(rig.heads), 3))
    bent = np.tile(np.eye(3), (len(rig.heads), 1, 1))
    for bone in _root_first(rig.bone_parents):
        parent = rig.bone_parents[bone]
        if parent < 0:
            position[bone] = rig.heads[bone]
        else:
            bent[bone] = bent[parent] @ fingers[bone]
            position[bone] = position[parent] + rotation[parent] @ (rig.heads[bone] - rig.heads[parent])
        rotation[bone] = from_rest[rig.bone_joint[bone]] @ bent[bone]
    offset = position - np.einsum("bij,bj->bi", rotation, rig.heads)
    return np.concatenate([rotation, offset[..., None]], 2), position[rig.joint_bone], world


def skin(vertices: Floats, weights: sparse.csr_matrix, transforms: NDArray) -> Floats:
    """Linear blend skinning of vertices (V, 3) by weights (V, B) and transforms (B, 3, 4)."""
    blended = np.asarray(weights @ transforms.reshape(len(transforms), 12)).reshape(-1, 3, 4)
    return (np.einsum("vij,vj->vi", blended[:, :, :3], vertices) + blended[:, :, 3]).astype(np.float32)


def relaxed_pose(rng: np.random.Generator, arm_from_body_deg: float = 27.0) -> Floats:
    """A natural stance (24, 3): arms off the body, soft elbows and knees, a slight asymmetry, feet flat."""

    def wobble(spread: float) -> float:
        return float(rng.uniform(-spread, spread))

    euler = np.zeros((24, 3))
    euler[3], euler[6], euler[9] = (2, wobble(3), wobble(2)), (-1, wobble(2), wobble(1)), (-2, wobble(2), 0)
    euler[12], euler[15] = (3, wobble(4), 0), (0, wobble(4), wobble(2))
    for side, sign in ((0, 1), (1, -1)):
        arm = 90 - arm_from_body_deg + wobble(4)
        euler[13 + side] = (0, 0, -sign * 3)
        euler[16 + side] = (wobble(4), -sign * (4 + wobble(4)), -sign * arm)
        euler[18 + side] = (0, -sign * (16 + wobble(7)), 0)
        swing = wobble(4)
        euler[1 + side] = (swing - 2, sign * (5 + wobble(4)), sign * (1 + wobble(1.5)))
        euler[4 + side] = (5 + wobble(2) - min(swing, 0), 0, 0)
    pose = euler_pose(euler)
    for side in (0, 1):
        _pronate(pose, side, 30 + wobble(8))
    return flat_feet(pose)


def _pronate(pose: Floats, side: int, degrees: float) -> None:
    """Turn a palm from forward to the thigh, in place: half in the forearm, half in the wrist."""
    twist = rodrigues(np.array([np.radians(degrees / 2), 0.0, 0.0]))
    for joint in (18 + side, 20 + side):
        pose[joint] = axis_angle(rodrigues(pose[joint].astype(float)) @ twist)


def euler_pose(degrees: NDArray) -> Floats:
    """Axis-angle pose (24, 3) of XYZ angles in degrees (24, 3), applied Z first, then Y, then X about the parent."""
    x, y, z = (rodrigues(np.radians(degrees)[:, [k]] * np.eye(3)[k]) for k in range(3))
    return axis_angle(x @ y @ z).astype(np.float32)


def flat_feet(pose: Floats, outward_deg: float = 9.0) -> Floats:
    """The pose with ankles turned so that both soles are level and point slightly outward."""
    pose = np.array(pose, np.float32)
    world = world_rotations(pose)
    forward = world[0][:, 2]
    heading = np.arctan2(forward[0], forward[2])
    for ankle, sign in ((7, 1), (8, -1)):
        level = rodrigues(np.array([0.0, heading + sign * np.radians(outward_deg), 0.0]))
        pose[ankle] = axis_angle(world[PARENTS[ankle]].T @ level)
    return pose


def _root_first(parents: NDArray[np.int64]) -> list[int]:
    order: list[int] = []
    known = {-1}
    while len(order) < len(parents):
        ready = [b for b in range(len(parents)) if b not in known and int(parents[b]) in known]
        known.update(ready)
        order.extend(ready)
    return order


def clip_pose(path: Path, moment: float) -> Floats:
    """The pose (24, 3) of a motion clip at a share 0..1 of its length, turned so that the person faces +Z."""
    with np.load(path, allow_pickle=False) as z:
        poses = z["poses"]
    pose = np.array(poses[min(int(moment * len(poses)), len(poses) - 1)], np.float32)
    root = rodrigues(pose[0].astype(float))
    heading = np.arctan2(root[0, 2], root[2, 2])
    pose[0] = axis_angle(rodrigues(np.array([0.0, -heading, 0.0])) @ root)
    return pose
