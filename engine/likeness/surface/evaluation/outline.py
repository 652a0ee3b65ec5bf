"""What a camera sees of a surface: its outline, and which points of it nothing hides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from likeness.core.camera import Camera

from ..view import Rays
from .distance import Floats, Mask

# A point counts as seen within this much of the depth that the camera measures there, and at no flatter incidence
# than this cosine (anim.md, section 9).
SEEN_M, SEEN_COSINE = 0.005, 0.1


def silhouette(vertices: NDArray, faces: NDArray, camera: Camera) -> Mask:
    """(H, W) bool: pixels whose centre ray from the camera's origin meets the mesh."""
    return Rays(vertices, faces).render(camera)[0] >= 0


def overlap(first: Mask, second: Mask) -> float:
    """Intersection over union of two bool masks of one shape; 1 where both are empty."""
    union = int((first | second).sum())
    return 1.0 if union == 0 else float((first & second).sum()) / union


def seen_points(rays: Rays, camera: Camera, points: Floats, normals: Floats) -> Mask:
    """(N,) bool: which points (N, 3) of a surface with outward normals (N, 3) the camera sees.

    Seen is what lies in the picture, within SEEN_M of the first hit of its own line of sight, and turned to the camera.
    The surface's depth is cast through the points themselves, so no pixel's width blurs limbs' edges.
    """
    face, reach = rays.cast(points)
    behind = np.where(face >= 0, points[:, 2] * (1 - reach), 0.0)
    away = np.linalg.norm(points, axis=1)
    cosine = -(points * normals).sum(axis=1) / np.maximum(away, 1e-9)
    pixel = camera.project(points)
    inside = (pixel > -0.5).all(axis=1) & (pixel < np.array([camera.width, camera.height]) - 0.5).all(axis=1)
    return np.asarray((points[:, 2] > 0) & inside & (behind < SEEN_M) & (cosine > SEEN_COSINE))


def seen_faces(rays: Rays) -> NDArray[np.int64]:
    """(K,) indices of faces with a corner that nothing hides and that face the origin; all faces if there is none."""
    corners = rays.vertices[rays.faces].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = np.sum(normal * corners.mean(axis=1), axis=1) < 0
    front = np.flatnonzero(facing & rays.visible()[rays.faces].any(axis=1))
    return front if len(front) else np.arange(len(rays.faces))
