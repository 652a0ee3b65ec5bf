"""Space that the picture rules out, so that the field is never asked about it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from likeness.core.camera import Camera

# Masks lose a limb's rim, hair and hems; the field decides within this much of the outline.
MARGIN_M = 0.03


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
