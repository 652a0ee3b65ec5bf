"""Which way is up: from the feet to the head of the person, in camera space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from likeness.core.camera import Camera

from .people import person_in

UP = np.array([0.0, -1.0, 0.0], np.float32)
#: MediaPipe's numbering of the 33 landmarks.
_HEAD = (0, 7, 8)
_SHOULDERS, _HIPS, _ANKLES = (11, 12), (23, 24), (27, 28)
_SURE = 0.5
_WHOLE_M = 1.2
_LEAN, _MAX_PITCH = np.radians(4.0), np.radians(30.0)


def estimate_up(
    mask: np.ndarray,
    depth: np.ndarray | None,
    camera: Camera,
    people: Callable[[], Sequence[Any]],
    *,
    known: bool = False,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(3,) f32 unit vector and notes. mask (H, W) bool, depth (H, W) f32 metres or None.

    A body that is taller than wide in the picture stands, as nearly all do; people (landmarks of everyone in the
    picture) is asked about it only when that costs nothing any more (known). Depth then tells how far the camera was
    tilted. For a body that lies across the picture or stands on its head, up leads from its feet to its head.
    """
    rows, cols = np.nonzero(mask)
    if rows.size == 0:
        return UP.copy(), ()
    points = _points(mask, depth, camera)
    stands = np.ptp(rows) + 1 >= 0.9 * (np.ptp(cols) + 1)
    axis = _axis_of(mask, people()) if known or not stands else None
    if axis is None:
        if stands:
            return _standing(points), ()
        return UP.copy(), ("The person seems to lie in the picture, and it is not clear where the head is.",)
    flat = (axis[1] - axis[0]) / np.array([camera.fx, camera.fy])
    up = np.array([flat[0], flat[1], 0.0]) / max(float(np.linalg.norm(flat)), 1e-9)
    if up @ UP > 0.7:
        return _standing(points) if stands else UP.copy(), ()
    if points is not None:
        long = _long_axis(points)
        up = long if long @ up > 0 else -long
    how = "is upside down" if up @ UP < -0.7 else "lies across the picture"
    return up.astype(np.float32), (f"The person {how}; up is taken from the feet to the head.",)


def _axis_of(mask: np.ndarray, people: Sequence[Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Feet and head of the one in the mask, pixels, (2,) each; None where nobody is recognised."""
    found = person_in(mask, people)
    return None if found is None else _axis(people[found])


def _points(mask: np.ndarray, depth: np.ndarray | None, camera: Camera) -> np.ndarray | None:
    """(N, 3) f64 points of the person, thinned; None for a photo or next to no readings."""
    if depth is None:
        return None
    rows, cols = np.nonzero(mask & (depth > 0))
    every = max(1, rows.size // 20000)
    rows, cols = rows[::every], cols[::every]
    if rows.size < 100:
        return None
    z = depth[rows, cols].astype(np.float64)
    return np.stack([(cols - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z, z], axis=1)


def _long_axis(points: np.ndarray) -> np.ndarray:
    """(3,) unit vector along which the points spread most."""
    return np.asarray(np.linalg.eigh(np.cov(points.T))[1][:, -1])


def _standing(points: np.ndarray | None) -> np.ndarray:
    """Up for someone who stands in the picture: the camera's pitch is read off the lean of the body.

    Only whole bodies tell (a bust leans as it likes), and a lean within what people do by themselves is none.
    """
    if points is None or np.ptp(np.percentile(points[:, 1], [1, 99])) < _WHOLE_M:
        return UP.copy()
    _, y, z = _long_axis(points)
    pitch = float(np.arctan(z / y)) if abs(y) > 1e-6 else 0.0
    if not _LEAN <= abs(pitch) <= _MAX_PITCH:
        return UP.copy()
    return np.array([0.0, -np.cos(pitch), -np.sin(pitch)], np.float32)


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
