"""Rotations and the frames of the engine.

Rest frame: right-handed, Y up, the avatar looks along +Z, its left hand points to +X, metres.
Camera space: x right, y down, z forward. Transforms are named target_from_source.
"""

from __future__ import annotations

import numpy as np

#: Camera space from an upright frame (Y up, looking towards the camera): half a turn about X.
CAMERA_FROM_UPRIGHT = np.diag([1.0, -1.0, -1.0])


def rodrigues(axis_angle: np.ndarray) -> np.ndarray:
    """Axis-angle vectors (..., 3) in radians -> rotation matrices (..., 3, 3), same dtype."""
    vectors = np.asarray(axis_angle)
    if not np.issubdtype(vectors.dtype, np.floating):
        vectors = vectors.astype(np.float64)
    angle = np.linalg.norm(vectors.astype(np.float64), axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors.astype(np.float64), -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*vectors.shape[:-1], 3, 3)
    small = angle < 1e-6
    safe = np.where(small, 1.0, angle)
    first = np.where(small, 1.0 - angle**2 / 6, np.sin(safe) / safe)
    second = np.where(small, 0.5 - angle**2 / 24, (1 - np.cos(safe)) / safe**2)
    return (np.eye(3) + first * cross + second * (cross @ cross)).astype(vectors.dtype)


def quaternion(matrix: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) -> unit quaternions (..., 4), order w, x, y, z, w >= 0, float64."""
    m = np.asarray(matrix, np.float64)
    t = np.trace(m, axis1=-2, axis2=-1)
    # Bar-Itzhack: the largest eigenvector of K is the quaternion; stable at every angle.
    k = np.empty((*m.shape[:-2], 4, 4))
    k[..., 0, 0] = t
    k[..., 0, 1] = k[..., 1, 0] = m[..., 2, 1] - m[..., 1, 2]
    k[..., 0, 2] = k[..., 2, 0] = m[..., 0, 2] - m[..., 2, 0]
    k[..., 0, 3] = k[..., 3, 0] = m[..., 1, 0] - m[..., 0, 1]
    for i in range(3):
        for j in range(3):
            k[..., i + 1, j + 1] = m[..., i, j] + m[..., j, i] - (t if i == j else 0.0)
    _, vectors = np.linalg.eigh(k / 3.0)
    q = vectors[..., :, -1]
    return np.where(q[..., :1] < 0, -q, q)


def axis_angle(matrix: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) -> axis-angle vectors (..., 3), angle in [0, pi], float64."""
    q = quaternion(matrix)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, q[..., :1])
    return q[..., 1:] * np.where(sine < 1e-12, 2.0, angle / np.where(sine < 1e-12, 1.0, sine))


def rigid(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(3, 3) and (3,) -> (4, 4) float64."""
    out = np.eye(4)
    out[:3, :3] = rotation
    out[:3, 3] = translation
    return out


def transform_points(target_from_source: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a (4, 4) transform to points (..., 3), keeping their dtype."""
    moved = points @ target_from_source[:3, :3].T.astype(points.dtype) + target_from_source[:3, 3].astype(points.dtype)
    return moved.astype(points.dtype)
