"""Shadows of a person in the light of a far source: a depth map seen from it, looked up softly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from likeness.synthesis.raster import Projected, rasterize
from likeness.synthesis.scene import Scene

SIZE_PX = 1024
# Half the width of the filter in cells; the filter is a box of three cells, smoothed by a tent of one.
_TAPS = 4


@dataclass(frozen=True)
class ShadowMap:
    """frame (3, 3) f32: right, up and the direction to the light as rows; low (3,) f32 where map and heights begin;
    cell_m: a cell's side; height (S, S) f32 m above low[2], 0 = nothing."""

    frame: torch.Tensor
    low: torch.Tensor
    cell_m: float
    height: torch.Tensor

    def lit(self, points: torch.Tensor, slack_m: torch.Tensor | float = 0.0) -> torch.Tensor:
        """How much of the light reaches points (3, P), (P,) f32 0..1; `slack_m` is how deep under a surface still
        counts as on it."""
        size = self.height.shape[0]
        place = self.frame @ points - self.low[:, None]
        x, y, height = place[0] / self.cell_m - 0.5, place[1] / self.cell_m - 0.5, place[2] + slack_m
        left, top = x.floor(), y.floor()
        columns = [(left.int() + offset).clamp(0, size - 1) for offset in range(-1, _TAPS - 1)]
        heights, across = self.height.reshape(-1), _tent(x - left)
        total = torch.zeros_like(x)
        for offset, down in zip(range(-1, _TAPS - 1), _tent(y - top), strict=True):
            row = (top.int() + offset).clamp(0, size - 1) * size
            for column, share in zip(columns, across, strict=True):
                total += (heights.index_select(0, row + column) <= height) * (down * share)
        return total


def cast_shadow(scene: Scene, direction: torch.Tensor, size: int = SIZE_PX) -> ShadowMap:
    """The shadow map of a scene for light from `direction` (3,), unit, towards the light."""
    frame = light_frame(direction)
    place = scene.vertices @ frame.T
    margin = 0.02
    if len(place):
        low, high = place.amin(0) - margin, place.amax(0) + margin
    else:
        low, high = place.new_zeros(3), place.new_ones(3)
    cell = float((high - low)[:2].max()) / (size - 2 * _TAPS)
    # A border of empty cells stands for all that lies beyond.
    low = low - torch.tensor([_TAPS * cell, _TAPS * cell, 0.0], device=low.device)
    place = place - low
    projected = Projected(place[:, 0] / cell - 0.5, place[:, 1] / cell - 0.5, place[:, 2], False)
    seen = rasterize(projected, scene.faces, size, size, cut=scene.cut, accept=scene.solid)
    return ShadowMap(frame, low, cell, seen.nearness[0])


def light_frame(direction: torch.Tensor) -> torch.Tensor:
    """Right, up and `direction` (3,) as the rows of a rotation (3, 3) f32."""
    axis = direction.cpu().double().numpy()
    axis = axis / np.linalg.norm(axis)
    right = np.cross((0.0, 1.0, 0.0) if abs(axis[1]) < 0.9 else (1.0, 0.0, 0.0), axis)
    right /= np.linalg.norm(right)
    frame = np.stack([right, np.cross(axis, right), axis]).astype(np.float32)
    return torch.from_numpy(frame).to(direction.device)


def _tent(share: torch.Tensor) -> torch.Tensor:
    """Weights (4, P) of the cells -1, 0, 1, 2 about a point `share` (P,) of the way from cell 0 to cell 1."""
    one = torch.ones_like(share)
    return torch.stack([1 - share, one, one, share]) / 3
