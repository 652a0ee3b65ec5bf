"""Depth as a sensor gives it to depth that lies on the person: flying pixels, interpolated rims and strays go."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

_EIGHT = np.ones((3, 3), bool)
#: Rim in which sensors and resizing mix the depths of two surfaces.
_RIM_PX = 2.5
#: A piece of surface apart from the body: least area, more of it for each metre of gap, and how far it may be.
_SPECK_M2, _GAP_M2 = 4e-4, 80e-4
_REACH_M, _BEHIND_M = 0.9, 0.45


def clean_depth(depth: np.ndarray, mask: np.ndarray, focal_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Keep only readings that belong to the person's surface.

    depth: (H, W) f32 metres, 0 = none. mask: (H, W) bool. focal_px: mean focal length, which makes thresholds follow
    resolution and distance. Returns (H, W) f32, 0 outside the mask and where a reading was dropped, and (H, W) bool:
    pixels of the mask that show something else (a wall behind, a piece too far away).
    """
    out = np.zeros(depth.shape, np.float32)
    background = np.zeros(depth.shape, bool)
    rows, cols = np.nonzero((depth > 0) & mask)
    if rows.size == 0:
        return out, background
    window = slice(max(rows.min() - 1, 0), rows.max() + 2), slice(max(cols.min() - 1, 0), cols.max() + 2)
    part = drop_flying(np.where(mask[window], depth[window], np.float32(0)), focal_px)
    part[_mixed_rim(part, focal_px)] = 0.0
    part = drop_flying(part, focal_px)
    alien = (part > 0) & ~_body_pieces(part, focal_px)
    part[alien] = 0.0
    out[window], background[window] = part, alien
    return out, background


def drop_flying(depth: np.ndarray, focal_px: float) -> np.ndarray:
    """A copy of depth (H, W) f32 metres without readings that hang in the air between surfaces."""
    return np.where(_flying(depth, focal_px), np.float32(0), depth)


def _step_m(depth: np.ndarray, focal_px: float) -> np.ndarray:
    """Depth step between neighbouring pixels that a surface seen at up to about 80 degrees can have, plus noise."""
    footprint = depth / focal_px
    return 6.0 * footprint + 0.005 + 0.002 * depth * depth


def _flying(depth: np.ndarray, focal_px: float) -> np.ndarray:
    """(H, W) bool: readings with fewer than three of eight neighbours on their own surface."""
    padded = np.pad(depth, 1)
    step = _step_m(depth, focal_px)
    near = np.zeros(depth.shape, np.int8)
    height, width = depth.shape
    for dy in range(3):
        for dx in range(3):
            if dy == dx == 1:
                continue
            other = padded[dy : dy + height, dx : dx + width]
            near += (other > 0) & (np.abs(other - depth) < step)
    return (depth > 0) & (near < 3)


def _mixed_rim(depth: np.ndarray, focal_px: float) -> np.ndarray:
    """(H, W) bool: rim pixels whose reading lies off the surface just inside them.

    Interpolation with "nothing" pulls a rim towards the camera, where no body surface curves to; interpolation with
    the background pushes it away, which a round limb does a little as well, so that side is judged more mildly.
    """
    valid = depth > 0
    # Padding makes the picture's own edge no rim: there a body is cut, not mixed with anything.
    distance = ndimage.distance_transform_edt(np.pad(valid, 1, mode="edge"))[1:-1, 1:-1]
    core = distance > _RIM_PX
    if not core.any():
        return np.zeros(depth.shape, bool)
    span, (rows, cols) = ndimage.distance_transform_edt(~core, return_indices=True)
    # Only where the inside is close by: a finger or a strap is all rim and says nothing about itself.
    rim = valid & (distance <= _RIM_PX) & (span <= _RIM_PX + 1.5)
    offset = depth - depth[rows, cols]
    footprint = depth / focal_px
    return rim & ((offset < -(0.015 + 1.5 * footprint)) | (offset > 0.06 + 6.0 * footprint))


def surface_labels(depth: np.ndarray, focal_px: float) -> tuple[np.ndarray, int]:
    """Label pieces of surface: neighbours belong together when no depth step lies between them.

    Returns (H, W) int32 with -1 where there is no reading, and the number of pieces.
    """
    valid = depth > 0
    index = np.full(depth.shape, -1, np.int32)
    index[valid] = np.arange(int(valid.sum()), dtype=np.int32)
    step = _step_m(depth, focal_px)
    starts, ends = [], []
    for a, b in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1, :], np.s_[1:, :]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]),
        (np.s_[:-1, 1:], np.s_[1:, :-1]),
    ):
        linked = valid[a] & valid[b] & (np.abs(depth[a] - depth[b]) < np.minimum(step[a], step[b]))
        starts.append(index[a][linked])
        ends.append(index[b][linked])
    count = int(valid.sum())
    i, j = np.concatenate(starts), np.concatenate(ends)
    graph = sparse.coo_matrix((np.ones(i.size, np.int8), (i, j)), shape=(count, count))
    pieces, labels = csgraph.connected_components(graph, directed=False)
    out = np.full(depth.shape, -1, np.int32)
    out[valid] = labels
    return out, int(pieces)


def _body_pieces(depth: np.ndarray, focal_px: float) -> np.ndarray:
    """(H, W) bool: pieces of surface that are the person: the nearest large one, and what is near enough to it.

    An arm held forward is its own piece up to an arm's length before the body; behind the body there is at most
    the other arm or leg. What is further away is background that the mask let through. The wider the gap, the
    larger a piece has to be: a fist, not a speck of floor before a shoe.
    """
    labels, count = surface_labels(depth, focal_px)
    if count <= 1:
        return labels >= 0
    valid = labels >= 0
    flat = labels[valid]
    z = depth[valid].astype(np.float64)
    # Area in square metres, so that a far and a near piece are compared fairly.
    area = np.bincount(flat, weights=(z / focal_px) ** 2, minlength=count)
    pixels = np.maximum(np.bincount(flat, minlength=count), 1)
    mean = np.bincount(flat, weights=z, minlength=count) / pixels
    # A loose mask can show more wall than person, but the wall is behind.
    large = np.nonzero(area >= 0.25 * area.max())[0]
    main = int(large[np.argmin(mean[large])])
    rows, cols = ndimage.distance_transform_edt(labels != main, return_distances=False, return_indices=True)
    beyond = np.bincount(flat, weights=z - depth[rows, cols][valid], minlength=count) / pixels
    keep = area >= _SPECK_M2 + _GAP_M2 * np.abs(beyond)
    keep &= (pixels >= 9) & (beyond > -_REACH_M) & (mean < np.percentile(z[flat == main], 98) + _BEHIND_M)
    keep[main] = True
    out = np.zeros(depth.shape, bool)
    out[valid] = keep[flat]
    return out
