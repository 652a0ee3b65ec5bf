"""How well a surface keeps what was measured: distances of depth points to it, and overlap of outlines."""

from __future__ import annotations

import numpy as np

from likeness.core.capture import Capture
from likeness.core.surface import CapturedSurface

from ..view import Rays
from .distance import point_to_surface
from .outline import overlap, seen_faces

# A percentile over 60k points is good to 0.1 mm; all points of a 2-megapixel depth map would take a minute.
MAX_POINTS = 60_000


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
