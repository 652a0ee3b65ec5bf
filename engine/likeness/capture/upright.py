"""Which way is up: from the feet to the head of the person, in camera space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from likeness.core.camera import Camera

UP = np.array([0.0, -1.0, 0.0], np.float32)
#: MediaPipe's numbering of the 33 landmarks.
_HEAD = (0, 7, 8)
_SHOULDERS, _HIPS, _ANKLES = (11, 12), (23, 24), (27, 28)
_SURE = 0.5


def estimate_up(
    mask: np.ndarray, depth: np.ndarray | None, camera: Camera, people: Callable[[], Sequence[Any]]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(3,) f32 unit vector and notes. mask (H, W) bool, depth (H, W) f32 metres or None.

    A body that is taller than wide in the picture stands, as nearly all do, and people (landmarks of everyone in
    the picture) is not asked. For one that lies across it, up leads from its feet to its head.
    """
    rows, cols = np.nonzero(mask)
    if rows.size == 0 or np.ptp(rows) + 1 >= 0.9 * (np.ptp(cols) + 1):
        return UP.copy(), ()
    found = _person_in(mask, people())
    axis = None if found is None else _axis(found)
    if axis is None:
        return UP.copy(), ("The person seems to lie in the picture, and it is not clear where the head is.",)
    up = _direction(np.stack(axis), mask, depth, camera)
    if float(up @ UP) > 0.7:
        return UP.copy(), ()
    return up, ("The person lies across the picture; up is taken from the feet to the head.",)


def _person_in(mask: np.ndarray, people: Sequence[Any]) -> Any | None:
    """The one whose landmarks lie in the mask most; None where nobody's do."""
    best, best_share = None, 0.3
    for person in people:
        points = np.rint(np.asarray(person.points)).astype(int)
        inside = (points >= 0).all(axis=1) & (points < mask.shape[::-1]).all(axis=1)
        share = float(mask[points[inside, 1], points[inside, 0]].sum()) / len(points)
        if share > best_share:
            best, best_share = person, share
    return best


def _axis(person: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Feet (or hips) and head (or shoulders) in pixels, (2,) each, where the detector is sure of them."""
    points, sure = np.asarray(person.points, np.float64), np.asarray(person.visibility) > _SURE

    def middle(*groups: tuple[int, ...]) -> np.ndarray | None:
        for group in groups:
            good = [i for i in group if sure[i]]
            if good:
                return points[good].mean(axis=0)
        return None

    low, high = middle(_ANKLES, _HIPS), middle(_HEAD, _SHOULDERS)
    return None if low is None or high is None else (low, high)


def _direction(axis: np.ndarray, mask: np.ndarray, depth: np.ndarray | None, camera: Camera) -> np.ndarray:
    """(3,) f32 from feet to head. axis: (2, 2) pixels, feet first."""
    if depth is None:
        z = np.ones(2)
    else:
        rows, cols = np.nonzero(mask & (depth > 0))
        near = [np.argsort((cols - x) ** 2 + (rows - y) ** 2)[:200] for x, y in axis]
        z = np.array([np.median(depth[rows[i], cols[i]]) if i.size else 1.0 for i in near])
    points = np.stack([(axis[:, 0] - camera.cx) / camera.fx * z, (axis[:, 1] - camera.cy) / camera.fy * z, z], axis=1)
    along = points[1] - points[0]
    return (along / max(float(np.linalg.norm(along)), 1e-9)).astype(np.float32)
