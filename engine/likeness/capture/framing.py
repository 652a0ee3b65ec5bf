"""What an artist should know about how a person stands in the picture, and cameras assumed where none is given."""

from __future__ import annotations

import math

import numpy as np

from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError

#: Focal length of an unknown camera as a share of the longest side: 45 degrees, a phone's main lens in a light crop.
ASSUMED_FOCAL = 1.2
#: A person lower than this in the picture has no readable face or hands.
_LOW_PERSON_PX = 160
#: Share of a picture's side in which a sensor may see nothing.
_BLIND_SHARE = 0.05
#: Who ends at the picture's edge and is shorter than this shows hardly any leg.
_WHOLE_M = 1.15
_FEET = "Feet are cut off: they will be guessed."
_LEGS = "Only the upper body is in the picture: the legs will be guessed."


def assumed_camera(size: tuple[int, int], focal_px: float | None) -> Camera:
    """A camera for (width, height) with its centre in the middle; focal_px from EXIF, or None for the usual angle."""
    width, height = size
    focal = focal_px if focal_px is not None else ASSUMED_FOCAL * max(size)
    return Camera(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)


def checked_focal(focal_px: float, size: tuple[int, int], name: str) -> float:
    """A focal length that the artist gave, in pixels of a picture of (width, height). Raises `input.focal`."""
    longest = max(size)
    if not (math.isfinite(focal_px) and 0.2 * longest <= focal_px <= 50 * longest):
        raise LikenessError(
            "input.focal",
            f"A focal length of {focal_px:g} pixels cannot belong to {name} ({size[0]} x {size[1]}).",
            f"Give it in pixels of this picture, a phone's is about {longest}, or leave it out.",
        )
    return focal_px


def framing_warnings(capture: Capture) -> tuple[str, ...]:
    """Sentences about parts that are cut off, few pixels, and missing depth."""
    warnings: list[str] = []
    touched = _touched_sides(capture.mask)
    down = _image_side(-capture.up)
    if down in touched:
        short = capture.depth is not None and np.ptp(capture.points() @ capture.up) < _WHOLE_M
        warnings.append(_LEGS if short else _FEET)
    if _image_side(capture.up) in touched:
        warnings.append("The head is cut off: it will be guessed.")
    height = person_height_px(capture)
    if height < _LOW_PERSON_PX:
        warnings.append(f"The person is only {height} pixels high: face and hands will be rough.")
    if capture.depth is not None:
        share = capture.valid.sum() / max(int(capture.mask.sum()), 1)
        if share < 0.6:
            warnings.append(f"Depth is missing on {100 * (1 - share):.0f} % of the person: it will be guessed there.")
    return tuple(warnings)


def person_height_px(capture: Capture) -> int:
    """Extent of the mask along the picture's side that `up` follows, pixels."""
    rows, cols = np.nonzero(capture.mask)
    along = rows if _image_side(capture.up) in ("top", "bottom") else cols
    return int(np.ptp(along)) + 1 if along.size else 0


def _image_side(direction: np.ndarray) -> str:
    """The side of the picture that a direction in camera space points to."""
    x, y = float(direction[0]), float(direction[1])
    if abs(x) > abs(y):
        return "right" if x > 0 else "left"
    return "bottom" if y > 0 else "top"


def _touched_sides(mask: np.ndarray) -> set[str]:
    """Sides of the picture that the mask runs into.

    Either with more than a few stray pixels, or, since sensors often see nothing in the last rows, with a broad
    straight edge close by: soles and crowns are neither broad nor straight.
    """
    rows, cols = np.nonzero(mask)
    if rows.size == 0:
        return set()
    least = max(3.0, 0.03 * min(np.ptp(rows) + 1, np.ptp(cols) + 1))
    sides: set[str] = set()
    for side, turned in (("top", mask), ("bottom", mask[::-1]), ("left", mask.T), ("right", mask.T[::-1])):
        counts = turned.sum(axis=1)
        first = int(np.argmax(counts > 0))
        if turned[:2].any(axis=0).sum() >= least or (
            first <= _BLIND_SHARE * len(counts) and counts[first + 2] >= 0.5 * counts.max()
        ):
            sides.add(side)
    return sides
