"""How much of the surroundings each point of a person sees: heights of its surface along many directions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from likeness.synthesis.lookup import rows

AXES = 48
CELL_M = 0.006
MOST_CELLS = 400
MOST_POINTS = 100_000
# In cells: points of the surface lie this far apart on average; growing the maps by a cell closes what lies between.
SPACING_CELLS = 7 / 6
# In cells: a point looks from this far off its surface, else the surface about it, grown by a cell, hides the sky.
LIFT_CELLS = 2.0
SOFT_CELLS = 2.0


def axes(count: int = AXES) -> np.ndarray:
    """Unit directions (count, 3) f32, spread evenly over the upper half of the sphere."""
    index = np.arange(count) + 0.5
    height = index / count
    turn = index * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(turn), height, ring * np.sin(turn)], 1).astype(np.float32)


@dataclass(frozen=True)
class Heights:
    """A person's outermost heights along axes, both ways.

    cell_m: a cell's side. frames (A, 3, 3) f32: right, up and the axis itself as rows; low (A, 2) m: where each map
    begins; top, bottom (A, S, S) f32 m along the axis, -inf and inf where nothing is.
    """

    cell_m: float
    frames: torch.Tensor
    low: torch.Tensor
    top: torch.Tensor
    bottom: torch.Tensor

    @property
    def directions(self) -> torch.Tensor:
        """(2 A, 3): the axes, then their opposites."""
        return torch.cat([self.frames[:, 2], -self.frames[:, 2]])

    def seen_from(self, points: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
        """How freely points (P, 3) see each direction (P, 2 A) f32 in 0..1.

        Directions behind the normal (P, 3) are looked at from the other side of the surface.
        """
        # In pieces that stay in a CPU's cache.
        piece = 2048 if points.device.type == "cpu" else max(1, len(points))
        parts = [self._seen(p, n) for p, n in zip(points.split(piece), normals.split(piece), strict=True)]
        return torch.cat(parts) if parts else points.new_zeros((0, 2 * len(self.frames)))

    def _seen(self, points: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
        right, up, along = (points @ self.frames[:, k].T for k in range(3))
        lift_right, lift_up, facing = (normals @ self.frames[:, k].T for k in range(3))
        side = torch.where(facing >= 0, 1.0, -1.0) * (LIFT_CELLS * self.cell_m)
        lift_right, lift_up, raised = lift_right * side, lift_up * side, facing * side
        right, up = right - self.low[:, 0], up - self.low[:, 1]
        # The same surface is looked at from its one side along the axis, from its other side against it.
        above = self._lookup(self.top, right + lift_right, up + lift_up) - along - raised
        below = along - self._lookup(self.bottom, right - lift_right, up - lift_up) - raised
        hidden = torch.cat([above, below], 1).div_(SOFT_CELLS * self.cell_m).clamp_(0, 1)
        return hidden.neg_().add_(1)

    def _lookup(self, heights: torch.Tensor, right: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        """Heights (P, A) over places (P, A); the border of each map is empty and stands for all that lies beyond."""
        size = heights.shape[1]
        column = (right * (1 / self.cell_m)).clamp(0, size - 1).int()
        row = (up * (1 / self.cell_m)).clamp(0, size - 1).int()
        start = torch.arange(len(heights), device=heights.device, dtype=torch.int32) * (size * size)
        return rows(heights.reshape(-1), start + row * size + column)


def cell_for(vertices: torch.Tensor, faces: torch.Tensor) -> float:
    """Side of the maps' cells, metres: CELL_M unless the body is so large that it would need too many."""
    if not len(faces):
        return CELL_M
    corner = vertices[faces]
    area = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]).norm(dim=1).double().sum() / 2
    across = (vertices.amax(0) - vertices.amin(0)).norm()
    return max(CELL_M, float(across) / MOST_CELLS, float(area / MOST_POINTS) ** 0.5 / SPACING_CELLS)


def measure_heights(points: torch.Tensor, cell_m: float = CELL_M, count: int = AXES) -> Heights:
    """Heights along `count` axes of a surface given by points (P, 3) that lie SPACING_CELLS cells apart."""
    device = points.device
    axis = axes(count)
    right = np.cross(axis, np.where(np.abs(axis[:, 1:2]) < 0.9, [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]]))
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    frames = torch.from_numpy(np.stack([right, np.cross(axis, right), axis], 1).astype(np.float32)).to(device)
    if not len(points):
        flat = torch.zeros((count, 1, 1), device=device)
        return Heights(cell_m, frames, torch.zeros((count, 2), device=device), flat - math.inf, flat + math.inf)
    middle = (points.amin(0) + points.amax(0)) / 2
    reach = float((points - middle).norm(dim=1).max()) + 4 * cell_m
    size = math.ceil(2 * reach / cell_m) + 1
    low = torch.stack([frames[:, 0] @ middle, frames[:, 1] @ middle], 1) - reach
    # In pieces that stay in a CPU's cache.
    piece = 2 if device.type == "cpu" else count
    maps = [_heights_along(points, f, c, size, cell_m) for f, c in zip(frames.split(piece), low.split(piece))]
    return Heights(cell_m, frames, low, torch.cat([top for top, _ in maps]), torch.cat([low for _, low in maps]))


def _heights_along(
    points: torch.Tensor, frames: torch.Tensor, low: torch.Tensor, size: int, cell_m: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Highest and lowest points (A, S, S) along the axes of frames (A, 3, 3), maps beginning at low (A, 2)."""
    count = len(frames)
    place = torch.einsum("aij,pj->iap", frames, points)
    column = ((place[0] - low[:, :1]) * (1 / cell_m)).long()
    row = ((place[1] - low[:, 1:]) * (1 / cell_m)).long()
    start = torch.arange(count, device=points.device)[:, None] * (size * size)
    index = (row * size + column + start).reshape(-1)
    along = place[2].reshape(-1)
    top = torch.full((count * size * size,), -math.inf, device=points.device)
    bottom = torch.full_like(top, -math.inf)
    top.scatter_reduce_(0, index, along, "amax")
    bottom.scatter_reduce_(0, index, -along, "amax")
    shape = (count, size, size)
    return _grown(top.view(shape)), -_grown(bottom.view(shape))


def _grown(heights: torch.Tensor) -> torch.Tensor:
    """Each cell's highest neighbour in maps (A, S, S); the outermost cells stay."""
    rows = torch.maximum(torch.maximum(heights[:, :-2], heights[:, 1:-1]), heights[:, 2:])
    inner = torch.maximum(torch.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])
    return functional.pad(inner, (1, 1, 1, 1), value=-math.inf)


def spread_points(vertices: torch.Tensor, faces: torch.Tensor, spacing_m: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Points spread evenly over faces (F, 3), one for each spacing_m squared: their faces (P,) and bary (3, P)."""
    corner = vertices[faces]
    cross = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    # Systematic sampling: every time the area summed so far passes a whole number, the face gets one more point.
    passed = (torch.cumsum(cross.norm(dim=1).double() / 2, 0) / spacing_m**2).long()
    count = torch.diff(passed, prepend=passed.new_zeros(1))
    face = torch.repeat_interleave(count)
    turn = torch.arange(len(face), device=face.device, dtype=torch.float64)
    first, second = (turn * 0.7548776662466927 % 1).float(), (turn * 0.5698402909980532 % 1).float()
    over = first + second > 1
    first, second = torch.where(over, 1 - first, first), torch.where(over, 1 - second, second)
    return face, torch.stack([1 - first - second, first, second])
