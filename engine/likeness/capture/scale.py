"""Metres: which unit a depth file is in, and whether the person that comes out has a person's size."""

from __future__ import annotations

import math

import numpy as np

from likeness.core.errors import LikenessError

from .depth_files import DepthMap
from .limits import MAX_DEPTH_M, MAX_STATURE_M, MIN_DEPTH_M, MIN_STATURE_M
from .units import LIKELY, metres_of

#: Values that no depth unit makes a distance of: sensors write 2^16 - 1 at most, floats may carry 1e30.
_ABSURD = 1e7
_USUAL_DISTANCE_M, _USUAL_STATURE_M = 2.2, 1.7


def depth_unit(depth: DepthMap, stated_m: float | None, unit: str | float | None) -> tuple[float, tuple[str, ...]]:
    """Metres a unit: what the artist says, else what the files say, else the customary one with a note.

    Raises `capture.depth_8bit` and `capture.depth_unit`.
    """
    if unit is not None:
        return metres_of(unit, "The unit given"), ()
    if depth.bits <= 8 and depth.whole_numbers:
        raise LikenessError(
            "capture.depth_8bit",
            f"{depth.name} is an 8-bit picture, which cannot hold depth in millimetres.",
            "Give the 16-bit file, or say its unit when it really is depth.",
        )
    stated = depth.unit_m if depth.unit_m is not None else stated_m
    middle = typical(depth.values)
    if stated is not None:
        plain = not depth.whole_numbers and MIN_DEPTH_M <= middle <= MAX_DEPTH_M
        if plain and not MIN_DEPTH_M <= middle * stated <= MAX_DEPTH_M:
            # Calibrations state the unit of the sensor's 16-bit files; floats are metres nearly always.
            return 1.0, (f"The intrinsics say another unit, but {depth.name} is in metres by its values.",)
        return stated, ()
    usual = 0.001 if depth.whole_numbers or middle > 100.0 else 1.0
    word = "millimetres" if usual == 0.001 else "metres"
    return usual, (f"Nothing says which unit {depth.name} is in; {word} are assumed.",)


def typical(values: np.ndarray) -> float:
    """Median of the values that can be distances at all; 0 where there are none."""
    found = values[(values > 0) & (values < _ABSURD)]
    return float(np.median(found)) if found.size else 0.0


def to_metres(depth: DepthMap, unit_m: float) -> np.ndarray:
    """(H, W) f32 metres, 0 where missing or absurd, after checking that the unit can be right.

    Raises `capture.depth_empty` or `capture.depth_unit`.
    """
    middle = typical(depth.values)
    if middle == 0.0:
        raise LikenessError(
            "capture.depth_empty",
            f"No value in the depth map {depth.name} is a plausible distance.",
            "Choose the raw depth file of the capture.",
        )
    if not MIN_DEPTH_M <= middle * unit_m <= MAX_DEPTH_M:
        raise _unit_error(depth, middle, unit_m)
    metres = depth.values * unit_m
    metres[(metres < MIN_DEPTH_M) | (metres > MAX_DEPTH_M)] = 0.0
    return metres.astype(np.float32)


def _unit_error(depth: DepthMap, middle: float, unit_m: float) -> LikenessError:
    found = depth.values[(depth.values > 0) & (depth.values < _ABSURD)]
    low, high = float(found.min()), float(found.max())
    if depth.whole_numbers and high <= 15:
        return LikenessError(
            "capture.depth_unit",
            f"The values in {depth.name} ({low:g} to {high:g}) are far too small for millimetres and too coarse "
            "for metres.",
            "Export the depth map again as 16-bit millimetres.",
        )
    word = _likeliest([(middle * scale / _USUAL_DISTANCE_M, word) for scale, word in LIKELY])
    offer = f'Say the unit: probably "{word}".' if word else "Say the unit of the depth file."
    return LikenessError(
        "capture.depth_unit",
        f"Read with a unit of {unit_m:g} m, {depth.name} puts the person {middle * unit_m:.3g} m away.",
        offer,
    )


def _likeliest(candidates: list[tuple[float, str]]) -> str | None:
    """The word whose ratio to the usual size is nearest to 1, if any is within a factor of three."""
    ratio, word = min(candidates, key=lambda c: abs(math.log(max(c[0], 1e-12))))
    return word if 1 / 3 <= ratio <= 3 else None


def stature_m(points: np.ndarray, up: np.ndarray) -> float:
    """Extent of (N, 3) points along the unit vector up, metres; one point in a thousand at either end is ignored."""
    if len(points) == 0:
        return 0.0
    low, high = np.percentile(points.astype(np.float64) @ up.astype(np.float64), [0.1, 99.9])
    return float(high - low)


def check_stature(name: str, stature: float, distance: float, unit_m: float, certain: bool) -> tuple[str, ...]:
    """Refuse a body of impossible size when another unit explains it; else warn.

    certain: the artist gave the unit, so that only warnings are due. Raises `capture.depth_unit`.
    """
    if MIN_STATURE_M <= stature <= MAX_STATURE_M:
        return ()
    size = f"{stature:.2f}" if stature < 10 else f"{stature:.0f}"
    better = _likeliest([(stature * scale / unit_m / _USUAL_STATURE_M, word) for scale, word in LIKELY])
    if better and not certain:
        raise LikenessError(
            "capture.depth_unit",
            f"The person in {name} would be {size} m tall and {distance:.1f} m away, so the unit of depth is wrong.",
            f'Say the unit: probably "{better}".',
        )
    if stature > MAX_STATURE_M:
        return (f"What is masked in {name} is {size} m tall: check the unit, the intrinsics and the mask.",)
    return (f"What is masked in {name} is only {size} m tall: check the unit, the intrinsics and the mask.",)
