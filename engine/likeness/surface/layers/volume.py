"""A closed mesh around what is solid along each ray: marching cubes on a grid that follows the rays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes

from likeness.core.camera import Camera
from likeness.core.surface import CapturedSurface
from likeness.surface.layers.spans import Gap

STEP_M = 0.006
# Distances beyond this many steps say nothing more.
BAND = 2.0
# Standard deviation in steps.
BLUR = 0.8
# Pieces with fewer triangles are flying pixels.
LEAST_FACES = 300


def volume(
    front: NDArray,
    back: NDArray,
    gap: Gap,
    mask: NDArray[np.bool_],
    seen: NDArray,
    camera: Camera,
    step_m: float = STEP_M,
) -> CapturedSurface:
    """The surface of all that lies between front and back (H, W) m, but for the gap; closed, camera space, metres.

    mask (H, W) bool, seen (H, W) f32 0..1: of the front. Nodes stand on the pixels' rays every step_m along the axis,
    so that front and back are exact there.
    """
    if not mask.any():
        return CapturedSurface(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros(0, np.float32))
    field, first = span_field(front, back, gap, mask, camera, step_m)
    vertices, faces, _, _ = marching_cubes(field, 0.0, allow_degenerate=False)
    v, u, depth = vertices[:, 0] - 1, vertices[:, 2] - 1, first + step_m * vertices[:, 1]
    points = np.stack([(u - camera.cx) / camera.fx * depth, (v - camera.cy) / camera.fy * depth, depth], 1)
    points, faces, kept = _without_crumbs(points.astype(np.float32), faces)
    row = np.clip(np.rint(v[kept]), 0, mask.shape[0] - 1).astype(int)
    column = np.clip(np.rint(u[kept]), 0, mask.shape[1] - 1).astype(int)
    at_front = np.abs(points[:, 2] - front[row, column]) < step_m
    return CapturedSurface(points, faces, np.where(at_front, seen[row, column], 0).astype(np.float32))


def span_field(
    front: NDArray, back: NDArray, gap: Gap, mask: NDArray[np.bool_], camera: Camera, step_m: float, spare: int = 3
) -> tuple[NDArray[np.float32], float]:
    """How far outside (negative: inside) of all that lies between front and back, but for the gap, in metres along the
    ray or, at the outline, across it; at most BAND steps. (H + 2, Z, W + 2) f32: a pixel's border around the mask's
    (H, W), nodes every step_m along the axis, `spare` of them before and behind. And where the first of them lies.
    """
    first = float(front[mask].min()) - spare * step_m
    count = int(np.ceil((float(back[mask].max()) + spare * step_m - first) / step_m)) + 1
    limit = BAND * step_m
    rim = _inside(mask, camera, front)
    z = (first + step_m * np.arange(count, dtype=np.float32))[:, None]
    # One row of the picture at a time: whole grids would not fit the cache.
    field = np.empty((mask.shape[0] + 2, count, mask.shape[1] + 2), np.float32)
    field[[0, -1]] = limit
    for v in range(mask.shape[0]):
        solid = np.maximum(front[v] - z, z - back[v])
        air = np.where(gap.open[v], np.maximum(gap.start[v] - z, z - gap.stop[v]), limit)
        row = np.clip(np.maximum(np.maximum(solid, -air), -rim[v]), -limit, limit)
        field[v + 1] = np.pad(row, ((0, 0), (1, 1)), constant_values=limit)
    # Outlines and jumps come in whole pixels, and noise in rows: a blur below a step takes both off.
    return ndimage.gaussian_filter(field, BLUR, mode="nearest"), first


def _inside(mask: NDArray[np.bool_], camera: Camera, depth: NDArray) -> NDArray[np.float32]:
    """Signed distance (H, W) m to the outline, positive inside; smoothed, as outlines of pixels are stairs."""
    padded = np.pad(mask, 2)
    within, beyond = (ndimage.distance_transform_edt(side) for side in (padded, ~padded))
    pixels = np.where(padded, within - 0.5, 0.5 - beyond)
    smooth = ndimage.gaussian_filter(pixels, 0.7)[2:-2, 2:-2]
    return (smooth * float(np.median(depth[mask])) / camera.fx).astype(np.float32)


def _without_crumbs(points: NDArray, faces: NDArray) -> tuple[NDArray, NDArray[np.int32], NDArray[np.int64]]:
    """Drop pieces of fewer than LEAST_FACES triangles but never the largest; returns kept vertices' numbers too.

    Rows run down the picture and the grid is left-handed, so triangles are turned outwards here.
    """
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    links = coo_matrix((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(len(points), len(points)))
    _, piece = connected_components(links, directed=False)
    size = np.bincount(piece[faces[:, 0]])
    large = (size >= LEAST_FACES) | (size == size.max())
    faces = faces[large[piece[faces[:, 0]]]]
    kept = np.unique(faces)
    number = np.zeros(len(points), np.int64)
    number[kept] = np.arange(len(kept))
    faces = number[faces]
    a, b, c = (points[kept][faces[:, k]].astype(np.float64) for k in range(3))
    if (a * np.cross(b, c)).sum() < 0:
        faces = faces[:, ::-1]
    return points[kept], faces.astype(np.int32), kept
