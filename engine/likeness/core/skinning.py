"""Linear blend skinning as SMPL does it (Loper et al. 2015, equations 2 to 4), in NumPy."""

from __future__ import annotations

import numpy as np


def joint_transforms(rotations: np.ndarray, rest_joints: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Posed-from-rest transforms of all joints.

    rotations: (J, 3, 3) local rotations relative to the rest pose, joint frames world-aligned.
    rest_joints: (J, 3) metres, rest frame. parents: (J,) index of the parent, -1 for the root; parents come first.
    Returns (J, 4, 4): apply to a rest vertex to move it with that joint.
    """
    count = len(rest_joints)
    dtype = np.result_type(rotations.dtype, rest_joints.dtype)
    world = np.zeros((count, 4, 4), dtype)
    world[:, 3, 3] = 1
    for joint in range(count):
        parent = int(parents[joint])
        if parent < 0:
            world[joint, :3, :3] = rotations[joint]
            world[joint, :3, 3] = rest_joints[joint]
        else:
            turn = world[parent, :3, :3]
            world[joint, :3, :3] = turn @ rotations[joint]
            world[joint, :3, 3] = world[parent, :3, 3] + turn @ (rest_joints[joint] - rest_joints[parent])
    out = world.copy()
    out[:, :3, 3] -= np.einsum("jab,jb->ja", world[:, :3, :3], rest_joints)
    return out


def posed_joints(transforms: np.ndarray, rest_joints: np.ndarray) -> np.ndarray:
    """(J, 4, 4) posed-from-rest and (J, 3) rest joints -> (J, 3) posed joints."""
    return np.einsum("jab,jb->ja", transforms[:, :3, :3], rest_joints) + transforms[:, :3, 3]


def blend(skin_joints: np.ndarray, skin_weights: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """(V, K) joint indices and weights, (J, 4, 4) -> (V, 3, 4) blended transforms."""
    rows = transforms[:, :3, :].astype(np.result_type(skin_weights.dtype, transforms.dtype))
    out = np.zeros((len(skin_joints), 3, 4), rows.dtype)
    for k in range(skin_joints.shape[1]):
        out += skin_weights[:, k, None, None] * rows[skin_joints[:, k]]
    return out


def skin(vertices: np.ndarray, skin_joints: np.ndarray, skin_weights: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Rest vertices (V, 3) -> posed vertices (V, 3), by blending the transforms of up to K joints a vertex."""
    blended = blend(skin_joints, skin_weights, transforms)
    return np.einsum("vab,vb->va", blended[:, :, :3], vertices) + blended[:, :, 3]


def strongest(weights: np.ndarray, count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Dense weights (V, J) -> the `count` strongest as (V, count) u16 indices and f32 weights that sum to 1."""
    order = np.argsort(-weights, axis=1, kind="stable")[:, :count]
    kept = np.take_along_axis(weights, order, axis=1).astype(np.float64)
    kept /= np.maximum(kept.sum(1, keepdims=True), 1e-12)
    kept = kept.astype(np.float32)
    kept[:, 0] += 1.0 - kept.sum(1)
    return order.astype(np.uint16), kept
