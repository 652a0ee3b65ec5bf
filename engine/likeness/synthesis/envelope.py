"""What cloth that hangs from a body clears: the convex outline of trunk and legs at every height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, map_coordinates
from scipy.spatial import ConvexHull

from likeness.synthesis.figure import Floats
from likeness.synthesis.skeleton import RestBody

Doubles = NDArray[np.float64]
ANGLES, STEP_M = 72, 0.025


@dataclass(frozen=True)
class Envelope:
    """radius (R, A): from the axis x = 0, z = `axis` to the outline, rows upwards from `low` in steps of STEP_M,
    angles from +Z towards +X."""

    low: float
    axis: float
    radius: Doubles

    def below(self, top: float) -> Envelope:
        """Where cloth falls that is held at height `top`: no row is narrower than one between it and the top."""
        first = int(np.clip((top - self.low) / STEP_M, 0, len(self.radius) - 1))
        radius = self.radius.copy()
        radius[: first + 1] = np.maximum.accumulate(radius[first::-1], 0)[::-1]
        smooth = gaussian_filter1d(gaussian_filter1d(radius, 1.5, axis=0, mode="nearest"), 1.0, axis=1, mode="wrap")
        return Envelope(self.low, self.axis, np.maximum(smooth, self.radius))

    def polar(self, points: NDArray) -> tuple[Doubles, Doubles]:
        """Angle and radius (N,) of points (N, 3) about the axis."""
        x, z = points[:, 0].astype(np.float64), points[:, 2] - self.axis
        return np.arctan2(x, z), np.hypot(x, z)

    def at(self, angle: NDArray, height: NDArray) -> Doubles:
        """Radius (N,) at angles and heights (N,)."""
        row = np.clip((height - self.low) / STEP_M, 0, len(self.radius) - 1)
        column = np.mod(angle / (2 * np.pi) * ANGLES, ANGLES)
        wrapped = np.concatenate([self.radius, self.radius[:, :1]], 1)
        return map_coordinates(wrapped, [row, column], order=1, mode="nearest")

    def place(self, angle: NDArray, radius: NDArray, height: NDArray) -> Floats:
        """Points (N, 3) at angles, radii and heights (N,)."""
        x, z = radius * np.sin(angle), self.axis + radius * np.cos(angle)
        return np.stack([x, np.broadcast_to(height, x.shape), z], 1).astype(np.float32)


def envelope(rest: RestBody, skin_count: int, worn: Sequence[NDArray] = ()) -> Envelope:
    """The envelope of a body's trunk and legs from the soles to the shoulders, with points (N, 3) of what is worn."""
    limb = rest.skin_weights[:skin_count] * (
        (rest.skin_joints[:skin_count] >= 15) & (rest.skin_joints[:skin_count] != 9)
    )
    points = rest.vertices[:skin_count][limb.sum(1) < 0.3].astype(np.float64)
    top = float(rest.joints[16, 1]) - 0.02
    reach = float(np.abs(points[:, 0]).max())
    clothes = [p[(np.abs(p[:, 0]) < reach) | (p[:, 1] < rest.joints[1, 1])] for p in worn]
    points = np.concatenate([points, *clothes]).astype(np.float64)
    low = float(points[:, 1].min())
    heights = np.arange(low, top, STEP_M)
    axis = float(rest.joints[3, 2])
    angles = np.arange(ANGLES) / ANGLES * 2 * np.pi
    radius = np.stack([_outline(points[np.abs(points[:, 1] - y) < STEP_M][:, [0, 2]], axis, angles) for y in heights])
    for row in range(len(radius) - 2, -1, -1):
        # The outline of feet and gaps in the data: fall back on the row above.
        radius[row] = np.where(np.isnan(radius[row]), radius[row + 1], radius[row])
    return Envelope(low, axis, radius)


def _outline(points: Doubles, axis: float, angles: Doubles) -> Doubles:
    """Radius of the convex outline of points (N, 2) x, z at angles (A,)."""
    if len(points) < 8:
        return np.full(len(angles), np.nan)
    hull = ConvexHull(points - [0, axis])
    normal, offset = hull.equations[:, :2], hull.equations[:, 2]
    direction = np.stack([np.sin(angles), np.cos(angles)])
    # Distance to each edge's line along the ray; the nearest line ahead bounds a convex outline.
    along = normal @ direction
    distance = np.where(along > 1e-9, -offset[:, None] / np.maximum(along, 1e-9), np.inf)
    return np.maximum(distance.min(0), 0.02)
