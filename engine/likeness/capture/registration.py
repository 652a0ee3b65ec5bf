"""One grid for colour and depth: other resolutions, and depth that was seen by a camera of its own."""

from __future__ import annotations

import numpy as np

from likeness.core.camera import Camera
from likeness.core.frames import transform_points

from .masks import resize_nearest

#: Neighbouring readings further apart than this, as a share of their distance, are not joined by a surface.
_JUMP = 0.02
#: Corners of a pixel as (down, right).
_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


def resize_depth(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring depth (H, W) f32 metres, 0 = none, to (width, height) of the same view.

    Smooth within a surface, never across a step or a hole: there the nearest reading is taken as it is.
    """
    width, height = size
    old_height, old_width = depth.shape
    nearest = resize_nearest(depth, size)
    if width <= old_width and height <= old_height:
        return nearest
    v = np.clip((np.arange(height) + 0.5) * old_height / height - 0.5, 0, old_height - 1)
    u = np.clip((np.arange(width) + 0.5) * old_width / width - 0.5, 0, old_width - 1)
    top, left = np.floor(v).astype(int), np.floor(u).astype(int)
    bottom, right = np.minimum(top + 1, old_height - 1), np.minimum(left + 1, old_width - 1)
    fv, fu = (v - top).astype(np.float32)[:, None], (u - left).astype(np.float32)[None, :]
    corners = [depth[r][:, c] for r in (top, bottom) for c in (left, right)]
    low = np.minimum.reduce(corners)
    high = np.maximum.reduce(corners)
    upper = corners[0] * (1 - fu) + corners[1] * fu
    lower = corners[2] * (1 - fu) + corners[3] * fu
    smooth = (low > 0) & (high - low < _JUMP * high)
    return np.where(smooth, upper * (1 - fv) + lower * fv, nearest).astype(np.float32)


def register_depth(
    depth: np.ndarray, depth_camera: Camera, color_camera: Camera, color_from_depth: np.ndarray
) -> np.ndarray:
    """Depth as the colour camera sees it: (H, W) f32 metres at colour's size, 0 where nothing lands.

    Every reading becomes a patch of the size of its pixel, bent to its neighbours on the same surface, and the
    patches are drawn with a z-buffer: no surface behind shines through, and outlines keep their place.
    color_from_depth: (4, 4), metres.
    """
    rows, cols = np.nonzero(depth > 0)
    corners = np.stack([_corner_depth(depth, dy, dx)[rows, cols] for dy, dx in _CORNERS], axis=1)
    u = cols[:, None] + np.array([dx for _, dx in _CORNERS]) - 0.5
    v = rows[:, None] + np.array([dy for dy, _ in _CORNERS]) - 0.5
    x, y = (u - depth_camera.cx) / depth_camera.fx, (v - depth_camera.cy) / depth_camera.fy
    points = transform_points(color_from_depth, np.stack([x * corners, y * corners, corners], axis=-1)).reshape(-1, 3)
    first = 4 * np.arange(len(rows))[:, None]
    triangles = np.concatenate([first + [0, 1, 2], first + [1, 3, 2]])
    triangles = triangles[(points[triangles][..., 2] > 1e-3).all(axis=1)]
    out = np.full((color_camera.height, color_camera.width), np.inf)
    _rasterize(color_camera.project(points), points[:, 2], triangles, out)
    return np.where(np.isfinite(out), out, 0.0).astype(np.float32)


def _corner_depth(depth: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """(H, W) f64 depth at one corner of every pixel, from the readings around it that lie on the pixel's surface.

    Planes are linear in 1/depth over the picture, so that is what is averaged.
    """
    height, width = depth.shape
    padded = np.pad(depth.astype(np.float64), 1)
    own = padded[1:-1, 1:-1]
    total, count = np.zeros(depth.shape), np.zeros(depth.shape)
    for row in (1, 2 * dy):
        for col in (1, 2 * dx):
            other = padded[row : row + height, col : col + width]
            same = (other > 0) & (np.abs(other - own) < _JUMP * own)
            total += np.where(same, 1.0 / np.where(same, other, 1.0), 0.0)
            count += same
    return np.where(total > 0, count / np.where(total > 0, total, 1.0), 0.0)


def _rasterize(pixels: np.ndarray, z: np.ndarray, triangles: np.ndarray, out: np.ndarray) -> None:
    """Draw triangles into the z-buffer out (H, W), perspective-correct, all triangles of one size class at once."""
    corners = pixels[triangles]
    low = np.ceil(corners.min(axis=1)).astype(np.int64)
    high = np.floor(corners.max(axis=1)).astype(np.int64)
    height, width = out.shape
    low = np.maximum(low, 0)
    high = np.minimum(high, [width - 1, height - 1])
    extent = high - low + 1
    # A cell of the depth grid covers a few pixels; one that covers a large part of the picture comes from a
    # calibration that does not belong to it, and drawing it would take minutes.
    visible = (extent > 0).all(axis=1) & (extent <= max(16, max(width, height) // 32)).all(axis=1)
    corners, low, extent = corners[visible], low[visible], extent[visible]
    inverse_z = 1.0 / z[triangles[visible]]
    area = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    usable = np.abs(area) > 1e-9
    for dy in range(int(extent[:, 1].max(initial=0))):
        for dx in range(int(extent[:, 0].max(initial=0))):
            use = np.nonzero(usable & (extent[:, 0] > dx) & (extent[:, 1] > dy))[0]
            if use.size == 0:
                continue
            at = low[use] + [dx, dy]
            w0 = _cross(corners[use, 1] - at, corners[use, 2] - at) / area[use]
            w1 = _cross(corners[use, 2] - at, corners[use, 0] - at) / area[use]
            w2 = 1.0 - w0 - w1
            hit = (w0 >= -1e-9) & (w1 >= -1e-9) & (w2 >= -1e-9)
            weights = np.stack([w0, w1, w2], axis=1)[hit]
            here = 1.0 / (weights * inverse_z[use[hit]]).sum(axis=1)
            np.minimum.at(out, (at[hit, 1], at[hit, 0]), here)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
