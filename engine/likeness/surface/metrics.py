"""How well a surface keeps what was measured: distances of depth points to it, and overlap of outlines."""

from __future__ import annotations

import igl
import numpy as np

from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.surface import CapturedSurface

from .view import Rays

# A percentile over 60k points is good to 0.1 mm; all points of a 2-megapixel depth map would take a minute.
MAX_POINTS = 60_000


def point_to_surface(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(N,) f64 distances in metres of (N, 3) points to the closest point of the triangles (V, 3), (F, 3)."""
    squared = igl.point_mesh_squared_distance(
        np.ascontiguousarray(points, np.float64),
        np.ascontiguousarray(vertices, np.float64),
        np.ascontiguousarray(faces, np.int64),
    )[0]
    return np.sqrt(np.maximum(squared, 0.0))


def silhouette(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> np.ndarray:
    """(H, W) bool: pixels whose centre ray from the camera's origin meets the mesh."""
    return Rays(vertices, faces).render(camera)[0] >= 0


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two bool masks of one shape; 1 where both are empty."""
    union = int((first | second).sum())
    return 1.0 if union == 0 else float((first & second).sum()) / union


def surface_quality(surface: CapturedSurface, capture: Capture) -> dict[str, float]:
    """Figures for the avatar's `quality`, units in the names.

    silhouette_iou: outline of the surface against the mask. seen_share: area-free mean of `seen`.
    With depth also depth_median_mm and depth_p95_mm: distances of measured points (every reading inside the mask,
    at most 60 000, evenly drawn) to the part of the surface that the camera sees.
    """
    rays = Rays(surface.vertices, surface.faces)
    outline = rays.render(capture.camera)[0] >= 0
    out = {
        "silhouette_iou": round(overlap(outline, capture.mask), 4),
        "seen_share": round(float(np.mean(surface.seen)), 4),
    }
    points = capture.points()
    if len(points):
        step = max(1, -(-len(points) // MAX_POINTS))
        front = seen_faces(rays)
        distance = point_to_surface(points[::step], surface.vertices, surface.faces[front]) * 1000
        out["depth_median_mm"] = round(float(np.median(distance)), 3)
        out["depth_p95_mm"] = round(float(np.percentile(distance, 95)), 3)
    return out


def seen_faces(rays: Rays) -> np.ndarray:
    """(K,) indices of faces with a corner that nothing hides and that face the origin; all faces if there is none."""
    corners = rays.vertices[rays.faces].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = np.sum(normal * corners.mean(axis=1), axis=1) < 0
    front = np.flatnonzero(facing & rays.visible()[rays.faces].any(axis=1))
    return front if len(front) else np.arange(len(rays.faces))
