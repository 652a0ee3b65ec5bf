"""Skin weights for surfaces that are not on the body's own topology: robust transfer by inpainting.

After Abdrashitov et al., "Robust Skin Weights Transfer via Weight Inpainting" (SIGGRAPH Asia 2023): weights are copied
where the body is near and faces the same way, and continued smoothly over the surface everywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np
import robust_laplacian
import scipy.sparse as sp
import scipy.sparse.linalg as spl

from ..core.errors import LikenessError
from .geometry import edges, uniform_laplacian, vertex_normals

_NEAR_SHARE = 0.05
_NORMAL_COSINE = float(np.cos(np.deg2rad(30.0)))
_SMOOTH_ROUNDS = 10
_SMOOTH_SHARE = 0.2


@dataclass(frozen=True)
class Nearest:
    """Where a surface lies on the body.

    corners (V, 3) vertices of the nearest triangle, shares (V, 3) f64 the point on it. accepted (V,) bool: near, and
    facing the same way; elsewhere the point says little.
    """

    corners: np.ndarray
    shares: np.ndarray
    accepted: np.ndarray


def nearest(vertices: np.ndarray, faces: np.ndarray, body: np.ndarray, body_faces: np.ndarray) -> Nearest:
    """Find a surface (V, 3), (F, 3) on the posed body (B, 3), body_faces; metres, one frame.

    Raises LikenessError("body.too_far") when nearly nothing lies near the body.
    """
    points = np.ascontiguousarray(vertices, np.float64)
    target = np.ascontiguousarray(body, np.float64)
    squared, face, closest = igl.point_mesh_squared_distance(points, target, body_faces.astype(np.int64))[:3]
    corner = body_faces[face]
    share = _barycentric(closest, target[corner])
    body_normal = np.einsum("vk,vkc->vc", share, vertex_normals(body, body_faces)[corner].astype(np.float64))
    body_normal /= np.maximum(np.linalg.norm(body_normal, axis=1, keepdims=True), 1e-9)
    along = np.einsum("vc,vc->v", vertex_normals(vertices, faces), body_normal)
    reach = _NEAR_SHARE * float(np.linalg.norm(points.max(0) - points.min(0)))
    accepted = (squared <= reach**2) & (along >= _NORMAL_COSINE)
    if accepted.sum() < max(10, 0.05 * len(points)):
        raise LikenessError(
            "body.too_far",
            "The fitted body does not lie in the surface: fewer than one point in twenty is near it.",
            "Fit the body again, or choose a capture that shows the whole person.",
        )
    return Nearest(corner, share, accepted)


def transfer(vertices: np.ndarray, faces: np.ndarray, found: Nearest, values: np.ndarray) -> np.ndarray:
    """Body values (B, C) carried to a surface (V, 3), (F, 3): (V, C) f32, rows in the body's range."""
    copied = np.einsum("vk,vkc->vc", found.shares, values[found.corners].astype(np.float64))
    filled = _inpaint(np.ascontiguousarray(vertices, np.float64), faces, copied, found.accepted)
    return _smooth(filled, faces, found.accepted).astype(np.float32)


def _barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    offset = points - corners[:, 0]
    a, b, c = (np.einsum("vk,vk->v", x, y) for x, y in ((first, first), (first, second), (second, second)))
    d, e = np.einsum("vk,vk->v", offset, first), np.einsum("vk,vk->v", offset, second)
    area = np.maximum(a * c - b * b, 1e-18)
    v, w = (c * d - b * e) / area, (a * e - b * d) / area
    return np.clip(np.stack([1 - v - w, v, w], 1), 0, 1)


def _inpaint(points: np.ndarray, faces: np.ndarray, values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Minimise the bending of the values over the surface with the known ones held."""
    if known.all():
        return values
    laplacian, mass = robust_laplacian.mesh_laplacian(points, faces.astype(np.int64))
    bending = laplacian @ sp.diags(1.0 / np.maximum(mass.diagonal(), 1e-12)) @ laplacian
    # A pinch of plain smoothness keeps parts that touch no known vertex solvable.
    system = (bending + 1e-6 * sp.identity(len(points)) * bending.diagonal().mean()).tocsr()
    free = np.nonzero(~known)[0]
    right = -(system[free][:, known] @ values[known])
    out = values.copy()
    out[free] = np.clip(spl.spsolve(system[free][:, free].tocsc(), right).reshape(len(free), -1), 0, None)
    lost = out.sum(1) < 1e-6
    out[lost] = values[lost]
    return out / out.sum(1, keepdims=True) * values.sum(1).mean()


def _smooth(values: np.ndarray, faces: np.ndarray, known: np.ndarray) -> np.ndarray:
    adjacency = -uniform_laplacian(edges(faces), len(values))
    adjacency.setdiag(0)
    degree = np.maximum(np.asarray(adjacency.sum(1)), 1.0)
    for _ in range(_SMOOTH_ROUNDS):
        mean = (adjacency @ values) / degree
        values = np.where(known[:, None], values, values + _SMOOTH_SHARE * (mean - values))
    return values
