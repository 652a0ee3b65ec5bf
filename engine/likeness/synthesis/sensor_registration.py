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
_CLOSEST_M = 1e-3
# Patches of a slanted surface part by less than this.
_OVERLAP_PX = 0.1
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
    px, py, pz = ((x * rx + y * ry + rz) * depth + t for rx, ry, rz, t in moved[:3].tolist())
    valid = (depth > 0) & (pz > _CLOSEST_M)
    pz = pz.clamp(min=_CLOSEST_M)
    index = torch.arange(depth.numel(), device=depth.device).reshape(depth.shape)
    key = torch.where(valid, ((pz * _STEPS_A_METRE).long() << _INDEX_BITS) | index, _NOTHING)
    columns = _covered(px / pz * color.fx + color.cx, 0.5 * color.fx / sensor.fx + _OVERLAP_PX, color.width)
    rows = _covered(py / pz * color.fy + color.cy, 0.5 * color.fy / sensor.fy + _OVERLAP_PX, color.height)
    # A margin of one pixel around the picture takes what falls off it.
    stride = color.width + 2
    best = torch.full(((color.height + 2) * stride,), _NOTHING, dtype=torch.int64, device=depth.device)
    for row, within_row in rows:
        for column, within_column in columns:
            kept = torch.where(within_row & within_column, key, _NOTHING)
            best.scatter_reduce_(0, (row * stride + column).reshape(-1), kept.reshape(-1), "amin")
    best = best.reshape(color.height + 2, stride)[1:-1, 1:-1]
    return torch.where(best == _NOTHING, -1, best & ((1 << _INDEX_BITS) - 1))


def _covered(centre: Tensor, half: float, size: int) -> list[tuple[Tensor, Tensor]]:
    """Pixel centres within `half` of each patch's centre: their index (h, w) i64 counted from -1, and if they are."""
    first = torch.ceil(centre - half)
    last = centre + half
    found = []
    for step in range(int(2 * half) + 1):
        at = first + step
        found.append((at.clamp(-1, size).long() + 1, at <= last))
    return found


def _interpolated(depth: Tensor, winner: Tensor, sensor: Camera, color: Camera, moved: NDArray) -> Tensor:
    """Where each colour ray meets the surface around its winning reading: (H, W) m along the colour axis."""
    back = np.linalg.inv(moved)
    x, y = _ray_grid(color, depth)
    dx, dy, dz = (x * rx + y * ry + rz for rx, ry, rz, _ in back[:3].tolist())
    ox, oy, oz = back[:3, 3].tolist()
    near = depth.reshape(-1)[winner.clamp(min=0)]
    # In the sensor's picture a colour ray is a line along which the pixel is linear in inverse depth.
    dx, dy = dx / dz, dy / dz
    inverse = 1 / near.clamp(min=_CLOSEST_M)
    along_u, along_v = (ox - oz * dx) * sensor.fx, (oy - oz * dy) * sensor.fy
    u = dx * sensor.fx + sensor.cx + along_u * inverse
    v = dy * sensor.fy + sensor.cy + along_v * inverse
    z = 1 / _surface_inverse(depth, u, v, inverse, along_u, along_v)
    return torch.where(winner >= 0, (z - oz) / dz, 0.0)


def _surface_inverse(depth: Tensor, u: Tensor, v: Tensor, near: Tensor, along_u: Tensor, along_v: Tensor) -> Tensor:
    """Inverse depth where rays meet the surface of the four readings around (u, v) (H, W), else `near`.

    near: inverse depth at which the rays pass (u, v); along_u, along_v: pixels that they move for a unit of it.
    Readings that are not all on one surface with `near` are not interpolated.
    """
    height, width = depth.shape
    u, v = u.clamp(0, width - 1), v.clamp(0, height - 1)
    left, top = u.floor().clamp(max=max(width - 2, 0)), v.floor().clamp(max=max(height - 2, 0))
    share_u, share_v = u - left, v - top
    right, below = min(1, width - 1), width * min(1, height - 1)
    first = (top * width + left).long()
    # Planes are linear in 1 / depth over a picture; no reading counts as infinitely far.
    flat = torch.where(depth > 0, 1 / depth.clamp(min=_CLOSEST_M), 0.0).reshape(-1)
    a, b, c, d = flat[first], flat[first + right], flat[first + below], flat[first + right + below]
    low = torch.minimum(torch.minimum(a, b), torch.minimum(c, d))
    high = torch.maximum(torch.maximum(a, b), torch.maximum(c, d))
    smooth = (low > (1 - JUMP) * near) & (high < (1 + JUMP) * near) & (high - low < JUMP * near)
    upper, lower = a + (b - a) * share_u, c + (d - c) * share_u
    here = upper + (lower - upper) * share_v
    # The surface's slope along the ray's line; the ray meets it where both agree.
    slope = ((b - a) * along_u + (lower - upper) * along_v).clamp(-0.5, 0.5)
    return torch.where(smooth, near + (here - near) / (1 - slope), near)


def enlarged(depth: Tensor, sensor: Camera, color: Camera, shift_px: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """Depth (h, w) f32 m of a camera on the colour camera's axes at the colour picture's size (H, W), 0 = none.

    Bilinear between any readings, across edges too, as small depth maps are enlarged; beside a hole the nearest.
    shift_px: the depth's shift in its own pixels (x, y).
    """
    if color == sensor and shift_px == (0.0, 0.0):
        return depth.clone()
    x, y = _ray_grid(color, depth)
    height, width = depth.shape
    u = (x * sensor.fx + sensor.cx + shift_px[0]).expand(color.height, -1)
    v = (y * sensor.fy + sensor.cy + shift_px[1]).expand(-1, color.width)
    inside = (u > -0.5) & (v > -0.5) & (u < width - 0.5) & (v < height - 0.5)
    # Picture coordinates in halves of the picture, as grid_sample wants them.
    grid = torch.stack([(2 * u + 1) / width - 1, (2 * v + 1) / height - 1], -1)[None]
    planes = torch.stack([depth, (depth > 0).to(depth.dtype)])[None]
    soft = torch.nn.functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)[0]
    hard = torch.nn.functional.grid_sample(
        planes[:, :1], grid, mode="nearest", padding_mode="border", align_corners=False
    )[0, 0]
    return torch.where(inside, torch.where(soft[1] > 0.999, soft[0], hard), 0.0)


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
