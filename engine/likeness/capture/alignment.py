"""Colour that sits a few pixels beside depth: seen by comparing outlines, and moved."""

from __future__ import annotations

import numpy as np

from .masks import resize_nearest
from .people import Crowd, person_in

#: Grid on which outlines are compared, and how far colour may be off: consumer sensors drift by a percent at most.
_COMPARE_PX = 512
_MAX_SHARE = 0.016
#: Least gain in overlap that is worth believing; the segmenter's own outline wavers by about a hundredth.
_LEAST_GAIN = 0.03
#: Spread of the colours around the person (0..255) below which the picture was cut out like the depth.
_EMPTY_SPREAD = 8.0


def align_color(color: np.ndarray, mask: np.ndarray, crowd: Crowd) -> tuple[np.ndarray, tuple[str, ...]]:
    """Move colour (H, W, 3) u8 onto a mask (H, W) bool that comes from depth, where both show the same outline.

    Geometry keeps its place, since depth does. Returns colour and a note where it was moved. Nothing is done where
    the person is not recognised or the picture has no background to tell the outline by.
    """
    if mask.all() or float(color[~mask].std(axis=0).max()) < _EMPTY_SPREAD:
        return color, ()
    index = person_in(mask, crowd.people())
    if index is None:
        return color, ()
    dx, dy = outline_shift(mask, crowd.silhouette(index, "the picture") > 0.5)
    if dx == 0 and dy == 0:
        return color, ()
    rows = np.clip(np.arange(color.shape[0]) + dy, 0, color.shape[0] - 1)
    cols = np.clip(np.arange(color.shape[1]) + dx, 0, color.shape[1] - 1)
    return color[rows][:, cols], (f"Colour sat {np.hypot(dx, dy):.0f} pixels beside depth and was moved onto it.",)


def outline_shift(mask: np.ndarray, silhouette: np.ndarray) -> tuple[int, int]:
    """(dx, dy) whole pixels by which mask has to move to lie on silhouette, both (H, W) bool; 0, 0 where unsure."""
    height, width = mask.shape
    step = max(1.0, max(height, width) / _COMPARE_PX)
    size = max(1, round(width / step)), max(1, round(height / step))
    reach = max(2, round(_MAX_SHARE * max(size)))
    small = np.pad(resize_nearest(mask, size), reach)
    target = np.pad(resize_nearest(silhouette, size), reach)
    total = int(small.sum()) + int(target.sum())
    best, unmoved, shift = -1.0, 0.0, (0, 0)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            shared = int((np.roll(small, (dy, dx), (0, 1)) & target).sum())
            overlap = shared / max(total - shared, 1)
            if (dx, dy) == (0, 0):
                unmoved = overlap
            if overlap > best:
                best, shift = overlap, (dx, dy)
    if best - unmoved < _LEAST_GAIN or max(abs(shift[0]), abs(shift[1])) == reach:
        return 0, 0
    return round(shift[0] * width / size[0]), round(shift[1] * height / size[1])
