"""Hands for poses: how SMPL-H's thirty finger joints turn to curl, point, pinch and spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from likeness.body.hand_skeleton import ANGLES, FINGERS, SPREADS, HandSkeleton
from likeness.synthesis.figure import Floats

# Flexion in degrees of a finger's three joints, by finger; then how far the four fingers spread and the thumb opposes.
Shape = tuple[dict[str, tuple[float, float, float]], float, float]
_CURLED, _STRAIGHT = (72.0, 92.0, 62.0), (2.0, 4.0, 3.0)
SHAPES: dict[str, Shape] = {
    "relaxed": (
        {
            "index": (14, 26, 14),
            "middle": (20, 32, 18),
            "ring": (24, 36, 20),
            "pinky": (24, 34, 18),
            "thumb": (4, 12, 14),
        },
        -5.0,
        10.0,
    ),
    "fist": (
        {"index": _CURLED, "middle": _CURLED, "ring": _CURLED, "pinky": _CURLED, "thumb": (10, 34, 44)},
        -8.0,
        22.0,
    ),
    "flat": (
        {"index": _STRAIGHT, "middle": _STRAIGHT, "ring": _STRAIGHT, "pinky": _STRAIGHT, "thumb": (0, 2, 2)},
        -7.0,
        2.0,
    ),
    "pointing": (
        {"index": _STRAIGHT, "middle": _CURLED, "ring": _CURLED, "pinky": _CURLED, "thumb": (8, 30, 36)},
        -2.0,
        18.0,
    ),
    "pinch": (
        {
            "index": (44, 50, 26),
            "middle": (30, 34, 18),
            "ring": (24, 28, 16),
            "pinky": (20, 24, 14),
            "thumb": (8, 22, 24),
        },
        -5.0,
        24.0,
    ),
    "peace": (
        {"index": _STRAIGHT, "middle": _STRAIGHT, "ring": _CURLED, "pinky": _CURLED, "thumb": (12, 32, 40)},
        7.0,
        24.0,
    ),
    "spread": (
        {"index": _STRAIGHT, "middle": _STRAIGHT, "ring": _STRAIGHT, "pinky": _STRAIGHT, "thumb": (-6, -2, 0)},
        5.0,
        -12.0,
    ),
    "grip": (
        {
            "index": (48, 62, 36),
            "middle": (52, 64, 38),
            "ring": (54, 64, 38),
            "pinky": (54, 62, 36),
            "thumb": (8, 26, 30),
        },
        -2.0,
        24.0,
    ),
}
# Shares of the fan by which fingers lean to the thumb's side.
_LEAN = {"index": 1.0, "middle": 0.15, "ring": -0.6, "pinky": -1.3}
# How often a hand that has nothing to do takes each shape.
_SHARES = {
    "relaxed": 0.5,
    "fist": 0.1,
    "flat": 0.1,
    "pointing": 0.06,
    "pinch": 0.06,
    "peace": 0.05,
    "spread": 0.06,
    "grip": 0.07,
}


def hand_pose(joints: NDArray, side: int, shape: str, rng: np.random.Generator, spread_deg: float = 5.0) -> Floats:
    """Axis-angle (15, 3) of one hand's joints in a shape of SHAPES, each angle disturbed by `spread_deg` (sigma)."""
    flexion, fan, opposition = SHAPES[shape]
    amount = rng.normal(1.0, 0.15)
    angles = np.zeros(ANGLES)
    spread = angles[SPREADS]
    for number, finger in enumerate(FINGERS):
        bends = np.array(flexion[finger]) * amount + rng.normal(0, spread_deg, 3)
        angles[3 * number : 3 * number + 3] = np.clip(bends, -12, (85, 105, 75))
        spread[number] = _LEAN.get(finger, 0.0) * fan + rng.normal(0, 1.5)
        if finger == "thumb":
            spread[number] = opposition + rng.normal(0, 4.0)
    return HandSkeleton.of_joints(joints, side).pose(np.radians(angles))


def draw_hand(rng: np.random.Generator) -> str:
    """A name of SHAPES for a hand that has nothing to do."""
    return str(rng.choice(list(_SHARES), p=list(_SHARES.values())))
