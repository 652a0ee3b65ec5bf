"""Linear blend skinning as SMPL does it (Loper et al. 2015, equations 2 to 4), in NumPy."""

from __future__ import annotations

import numpy as np

#: Vertices whose blends are made together, so that they stay in a processor's cache.
_CHUNK = 2048


def joint_transforms(rotations: np.ndarray, rest_joints: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Posed-from-rest transforms of all joints.

    rotations: (J, 3, 3) local rotations relative to the rest pose, joint frames world-aligned.
    rest_joints: (J, 3) metres, rest frame. parents: (J,) index of the parent, -1 for the root; parents come first.
    Returns (J, 4, 4): apply to a rest vertex to move it with that joint.
    """
    above = np.asarray(parents)
    moves = np.zeros((len(rest_joints), 4, 4), np.result_type(rotations.dtype, rest_joints.dtype))
    moves[:, :3, :3] = rotations
    moves[:, :3, 3] = rest_joints - np.where(above[:, None] < 0, 0, rest_joints[above])
    moves[:, 3, 3] = 1
    for joint, parent in enumerate(above.tolist()):
        if parent >= 0:
            moves[joint] = moves[parent] @ moves[joint]
    moves[:, :3, 3] -= np.einsum("jab,jb->ja", moves[:, :3, :3], rest_joints)
    return moves


def posed_joints(transforms: np.ndarray, rest_joints: np.ndarray) -> np.ndarray:
    """(J, 4, 4) posed-from-rest and (J, 3) rest joints -> (J, 3) posed joints."""
    return np.einsum("jab,jb->ja", transforms[:, :3, :3], rest_joints) + transforms[:, :3, 3]


def blend(skin_joints: np.ndarray, skin_weights: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """(V, K) joint indices and weights, (J, 4, 4) -> (V, 3, 4) blended transforms."""
    dtype = np.result_type(skin_weights.dtype, transforms.dtype)
    rows = np.ascontiguousarray(transforms[:, :3, :], dtype).reshape(len(transforms), 12)
    count, most = skin_joints.shape
    out = np.empty((count, 12), dtype)
    for part in (slice(at, at + _CHUNK) for at in range(0, count, _CHUNK)):
        near = rows.take(skin_joints[part].reshape(-1), axis=0).reshape(-1, most, 12)
        np.matmul(skin_weights[part, None, :], near, out=out[part, None, :])
    return out.reshape(-1, 3, 4)


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
