"""Space that the picture rules out, so that the field is never asked about it and cells are for the person."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from likeness.core.camera import Camera
from likeness.core.capture import Capture

from .extract import Box

# Masks lose a limb's rim, hair and hems; the field decides within this much of the outline.
MARGIN_M = 0.03
# Around the outline, for what the mask cuts off; and the least cube, for hands and busts.
AROUND_M, LEAST_M = 0.1, 0.6


class Silhouette:
    """Whether anything can lie near points: only where their neighbourhood meets the mask in the picture.

    Serves as `near` of `extract`. mask (H, W) bool of the person, camera of the same picture; what leaves the picture
    is taken to go on as at its border.
    """

    def __init__(self, mask: NDArray[np.bool_], camera: Camera, margin_m: float = MARGIN_M) -> None:
        away = ndimage.distance_transform_edt(~mask) if mask.any() else np.full(mask.shape, np.inf)
        self._away = torch.from_numpy(np.asarray(away, np.float32))
        self._camera = camera
        self._margin_m = margin_m

    def __call__(self, points: Tensor, radius: float) -> Tensor:
        """(N,) bool for points (N, 3) in camera space: false where a ball of `radius` metres lies beside the person."""
        c = self._camera
        if self._away.device != points.device:
            self._away = self._away.to(points.device)
        # The ball's nearest point is seen largest.
        closest = (points[:, 2] - radius).clamp(min=1e-3)
        z = points[:, 2].clamp(min=1e-3)
        u = (points[:, 0] / z * c.fx + c.cx).round().clamp(0, c.width - 1).long()
        v = (points[:, 1] / z * c.fy + c.cy).round().clamp(0, c.height - 1).long()
        # One and a half pixels: of rounding, and of the outline between pixels.
        reach = (radius + self._margin_m) * max(c.fx, c.fy) * self._slant(points) / closest + 1.5
        return (self._away[v, u] <= reach) & (points[:, 2] > -radius)

    def _slant(self, points: Tensor) -> Tensor:
        """How much longer a ball's picture is off the axis: one over the cosine."""
        return points.norm(dim=1) / points[:, 2].abs().clamp(min=1e-3)


def box_of(capture: Capture, centre: NDArray, most_m: float) -> Box:
    """The smallest cube about the outline at the person's distance, at most the network's own of side `most_m`: cells
    are for the person. centre (3,): of the network's cube; the box keeps its depth and follows the outline across."""
    rows, columns = np.nonzero(capture.mask)
    near, far = np.percentile(capture.points()[:, 2], (2, 98))
    corners = np.array([[u, v] for u in (columns.min(), columns.max()) for v in (rows.min(), rows.max())], float)
    c = capture.camera
    ends = np.array([[(u - c.cx) / c.fx * z, (v - c.cy) / c.fy * z] for u, v in corners for z in (near, far)])
    low, high = ends.min(axis=0), ends.max(axis=0)
    side = float(np.clip((high - low).max() + 2 * AROUND_M, LEAST_M, most_m))
    # A leg stretched to the camera or away from it needs depth as well.
    side = min(max(side, float(far - near) + 0.5), most_m)
    # Never beyond the network's cube: there it knows nothing.
    reach = (most_m - side) / 2
    across = np.clip((low + high) / 2, centre[:2] - reach, centre[:2] + reach)
    corner = np.array([*across, centre[2]]) - side / 2
    return Box((float(corner[0]), float(corner[1]), float(corner[2])), side)
