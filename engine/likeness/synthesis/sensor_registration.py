"""From the depth camera's picture to the colour camera's, as makers' software does it: patches with a z-buffer."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likeness.core.camera import Camera

#: Neighbouring readings within this share of their distance lie on one surface.
JUMP = 0.02
# Distances compare in steps of 10 micrometres, packed above the index of the reading.
_STEPS_A_METRE = 1e5
_INDEX_BITS = 21
_NOTHING = torch.iinfo(torch.int64).max


def register(depth: Tensor, sensor: Camera, color: Camera, color_from_sensor: NDArray, fill: bool = True) -> Tensor:
    """Depth (h, w) f32 m of `sensor`, 0 = none, as the colour camera sees it: (H, W) f32 m, 0 = none.

    Each reading is a patch of its pixel's size in front of the colour camera; the nearest patch over a pixel's centre
    wins. Within one surface the result is interpolated, exactly so on planes; across edges the winner's depth is
    taken. `fill` closes gaps of one pixel between readings of one surface. color_from_sensor (4, 4), metres.
    """
    moved = np.asarray(color_from_sensor, float)
    if color == sensor and np.array_equal(moved, np.eye(4)):
        return depth.clone()
    winner = _nearest_patch(depth, sensor, color, moved)
    out = _interpolated(depth, winner, sensor, color, moved)
    return _fill_gaps(out) if fill else out


def _ray_grid(camera: Camera, like: Tensor) -> tuple[Tensor, Tensor]:
    """x / z (1, W) and y / z (H, 1) of the pixel centres."""
    x = (torch.arange(camera.width, device=like.device, dtype=like.dtype) - camera.cx) / camera.fx
    y = (torch.arange(camera.height, device=like.device, dtype=like.dtype) - camera.cy) / camera.fy
    return x[None, :], y[:, None]


def _nearest_patch(depth: Tensor, sensor: Camera, color: Camera, moved: NDArray) -> Tensor:
    """Index (H, W) i64 of the reading whose patch lies nearest over each colour pixel's centre, -1 for none."""
    x, y = _ray_grid(sensor, depth)
    r, t = moved[:3, :3], moved[:3, 3]
    px, py, pz = ((r[i, 0] * x + r[i, 1] * y + r[i, 2]) * depth + t[i] for i in range(3))
    index = torch.nonzero((depth > 0) & (pz > 1e-3), as_tuple=False)
    index = index[:, 0] * depth.shape[1] + index[:, 1]
    z = pz.reshape(-1)[index]
    u = px.reshape(-1)[index] / z * color.fx + color.cx
    v = py.reshape(-1)[index] / z * color.fy + color.cy
    key = ((z * _STEPS_A_METRE).long() << _INDEX_BITS) | index
    half_u, half_v = 0.5 * color.fx / sensor.fx + 0.1, 0.5 * color.fy / sensor.fy + 0.1
    left, top = torch.ceil(u - half_u), torch.ceil(v - half_v)
    best = torch.full((color.height * color.width,), _NOTHING, dtype=torch.int64, device=depth.device)
    for row in range(int(2 * half_v) + 1):
        for column in range(int(2 * half_u) + 1):
            cu, cv = left + column, top + row
            inside = (cu <= u + half_u) & (cv <= v + half_v)
            inside &= (cu >= 0) & (cv >= 0) & (cu < color.width) & (cv < color.height)
            place = torch.where(inside, cv * color.width + cu, 0).long()
            best.scatter_reduce_(0, place, torch.where(inside, key, _NOTHING), "amin")
    found = best & ((1 << _INDEX_BITS) - 1)
    return torch.where(best == _NOTHING, -1, found).reshape(color.height, color.width)


def _interpolated(depth: Tensor, winner: Tensor, sensor: Camera, color: Camera, moved: NDArray) -> Tensor:
    """Where each colour ray meets the surface around its winning reading: (H, W) m along the colour axis."""
    back = np.linalg.inv(moved)
    x, y = _ray_grid(color, depth)
    r, o = back[:3, :3], back[:3, 3]
    dx, dy, dz = (r[i, 0] * x + r[i, 1] * y + r[i, 2] for i in range(3))
    found = winner >= 0
    index = winner.clamp(min=0)
    near = depth.reshape(-1)[index]
    row, column = torch.div(index, depth.shape[1], rounding_mode="floor"), index % depth.shape[1]
    z = near
    # Depth changes slowly along the short way that a ray's foot moves, so fixed-point steps converge at once.
    for _ in range(3):
        along = (z - o[2]) / dz
        u = (along * dx + o[0]) / z * sensor.fx + sensor.cx
        v = (along * dy + o[1]) / z * sensor.fy + sensor.cy
        z = _surface_depth(depth, torch.clamp(u, column - 1, column + 1), torch.clamp(v, row - 1, row + 1), near)
    return torch.where(found, (z - o[2]) / dz, 0.0)


def _surface_depth(depth: Tensor, u: Tensor, v: Tensor, near: Tensor) -> Tensor:
    """Depth at (u, v) (H, W) from the four readings around where all lie with `near`, else `near`."""
    height, width = depth.shape
    u, v = u.clamp(0, width - 1), v.clamp(0, height - 1)
    u0, v0 = u.floor().clamp(max=max(width - 2, 0)), v.floor().clamp(max=max(height - 2, 0))
    fu, fv = u - u0, v - v0
    right, below = min(1, width - 1), width * min(1, height - 1)
    first = (v0 * width + u0).long()
    flat = depth.reshape(-1)
    a, b, c, d = flat[first], flat[first + right], flat[first + below], flat[first + right + below]
    low = torch.minimum(torch.minimum(a, b), torch.minimum(c, d))
    high = torch.maximum(torch.maximum(a, b), torch.maximum(c, d))
    smooth = (low > 0) & (high - low < JUMP * near) & ((a - near).abs() < JUMP * near)
    # Planes are linear in 1 / depth over a picture.
    a, b, c, d = (1.0 / torch.where(smooth, corner, 1.0) for corner in (a, b, c, d))
    inverse = (a + (b - a) * fu) * (1 - fv) + (c + (d - c) * fu) * fv
    return torch.where(smooth, 1.0 / inverse, near)


def _fill_gaps(depth: Tensor) -> Tensor:
    """Single empty pixels between two readings of one surface, left and right or above and below, get their mean."""
    padded = torch.nn.functional.pad(depth, (1, 1, 1, 1))
    filled = depth
    for one, other in (
        (padded[1:-1, :-2], padded[1:-1, 2:]),
        (padded[:-2, 1:-1], padded[2:, 1:-1]),
    ):
        joined = (filled == 0) & (one > 0) & (other > 0) & ((one - other).abs() < JUMP * one)
        filled = torch.where(joined, 0.5 * (one + other), filled)
    return filled
