"""Terraces and cell patterns: relief that a reconstruction has and the person has not (anim.md, sections 8e and 9).

Both surfaces are brought to one mesh of equal edges by casting the camera's rays, Taubin-smoothed, and compared in how
far that moves them along their normals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likeness.core.camera import Camera

from ..view import Rays
from .distance import Floats, Mask, Mesh

EDGE_M = 0.004
# The sheet's factors; its 10 passes would leave four fifths of a ripple 2 cm long, 100 take it and leave 3 cm.
TAUBIN_PASSES, TAUBIN_SHRINK, TAUBIN_GROW = 100, 0.5, -0.53
# Neighbours that differ by more lie on different surfaces; what lies so many edges from a rim is left out.
JUMP_M, RIM = 0.02, 8
# Relief below this is invisible; without a floor two perfect planes would have no ratio.
FLOOR_M = 0.00005
LEAST_POINTS = 200
_WAYS = ((0, 1), (0, -1), (1, 1), (1, -1))


@dataclass(frozen=True)
class Relief:
    """points (H, W, 3) f64 metres, height (H, W) f64 metres over the smoothed copy, valid (H, W) bool."""

    points: Floats
    height: Floats
    valid: Mask


@dataclass(frozen=True)
class Terraces:
    """index: root mean square relief over that of the truth, 1.0 ideal, more is rougher. wave_m: largest amplitude of a
    wave as long as a cell along one of the camera's axes; 0 where no cell was named."""

    index: float
    wave_m: float


def terraces(
    surface: Mesh, truth: Mesh, camera: Camera, chosen: Mask | None = None, cell_m: float | None = None
) -> Terraces:
    """Of the seen side of `surface` against `truth`, camera space.

    chosen: (H, W) bool on `relief_camera(truth, camera)`: where to look, everywhere by default. cell_m: edge of the
    cells in which the surface was computed, along the camera's axes. index is nan where too little is in view.
    """
    view = relief_camera(truth, camera)
    ours, true = relief(surface, view), relief(truth, view)
    where = ours.valid & true.valid if chosen is None else ours.valid & true.valid & chosen
    if where.sum() < LEAST_POINTS:
        return Terraces(float("nan"), 0.0)
    rough = [float(np.sqrt(np.mean(r.height[where] ** 2) + FLOOR_M**2)) for r in (ours, true)]
    wave = 0.0 if cell_m is None else amplitude(ours.points[where], ours.height[where], cell_m)
    return Terraces(rough[0] / rough[1], wave)


def relief_camera(truth: Mesh, camera: Camera) -> Camera:
    """The camera at the resolution at which a pixel is EDGE_M wide in the middle of the person."""
    share = camera.fx * EDGE_M / float(np.median(truth.vertices[:, 2]))
    return camera.scaled(max(1, round(camera.width / share)), max(1, round(camera.height / share)))


def relief(mesh: Mesh, camera: Camera) -> Relief:
    """What Taubin smoothing of the seen side moves, along its normals."""
    face, depth = Rays(mesh.vertices, mesh.faces).render(camera)
    hit = face >= 0
    points = camera.rays().astype(np.float64) * depth[..., None]
    links = [_linked(hit, depth, axis, sign) for axis, sign in _WAYS]
    whole = np.logical_and.reduce(links)
    valid = whole.copy()
    for _ in range(RIM):
        valid &= np.logical_and.reduce([_moved(valid, axis, sign) for axis, sign in _WAYS])
    smooth = taubin(points, whole)
    normal = np.cross(_moved(smooth, 0, 1) - _moved(smooth, 0, -1), _moved(smooth, 1, 1) - _moved(smooth, 1, -1))
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-20)
    return Relief(points, np.where(valid, ((points - smooth) * normal).sum(axis=-1), 0.0), valid)


def taubin(points: Floats, free: Mask) -> Floats:
    """Points (H, W, 3) of a grid, smoothed where `free` (H, W), each towards the mean of its four neighbours."""
    if not free.any():
        return points.copy()
    rows, columns = (np.flatnonzero(free.any(axis=axis)) for axis in (1, 0))
    # A free point has all four neighbours, so the window with one more pixel around lies in the picture.
    window = (slice(rows[0] - 1, rows[-1] + 2), slice(columns[0] - 1, columns[-1] + 2))
    middle = points[free].mean(axis=0)
    moving = (points[window] - middle).astype(np.float32)
    inner, mask = moving[1:-1, 1:-1], free[window][1:-1, 1:-1, None].astype(np.float32)
    for step in range(2 * TAUBIN_PASSES):
        factor = np.float32(TAUBIN_SHRINK if step % 2 == 0 else TAUBIN_GROW)
        around = moving[1:-1, 2:] + moving[1:-1, :-2]
        around += moving[2:, 1:-1]
        around += moving[:-2, 1:-1]
        around *= np.float32(0.25)
        around -= inner
        around *= factor * mask
        inner += around
    out = points.copy()
    out[window] = np.where(free[window][..., None], moving + middle, points[window])
    return out


def amplitude(points: Floats, height: Floats, cell_m: float) -> float:
    """Largest amplitude in metres of a wave of length `cell_m` along x, y or z in heights (N,) at points (N, 3)."""
    even = height - height.mean()
    waves = np.exp(-2j * np.pi * points / cell_m)
    return float(np.abs((even[:, None] * waves).mean(axis=0)).max() * 2)


def _linked(hit: Mask, depth: Floats, axis: int, sign: int) -> Mask:
    other = _moved(hit, axis, sign)
    return np.asarray(hit & other & (np.abs(_moved(depth, axis, sign) - depth) < JUMP_M))


def _moved(image: NDArray, axis: int, sign: int) -> NDArray:
    """The neighbour `sign` pixels on along `axis`; zero or False beyond the border."""
    out = np.zeros_like(image)
    into, source = [slice(None)] * image.ndim, [slice(None)] * image.ndim
    into[axis], source[axis] = (slice(None, -1), slice(1, None)) if sign > 0 else (slice(1, None), slice(None, -1))
    out[tuple(into)] = image[tuple(source)]
    return out
