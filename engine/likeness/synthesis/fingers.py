"""Hands for poses: how SMPL-H's thirty finger joints turn to curl, point, pinch and spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from likeness.core.frames import axis_angle, rodrigues
from likeness.synthesis.figure import Floats

# The first joint of each hand; then index, middle, pinky, ring, thumb with three joints each.
HAND_STARTS = (22, 37)
WRISTS = (20, 21)
FINGERS = ("index", "middle", "pinky", "ring", "thumb")

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


def finger_joints(side: int, finger: str) -> range:
    """The three joints of a finger of the left (0) or right (1) hand, from the knuckle out."""
    start = HAND_STARTS[side] + 3 * FINGERS.index(finger)
    return range(start, start + 3)


def palm_normal(joints: NDArray, side: int) -> NDArray:
    """Unit vector (3,) out of the palm at rest, from rest joints (52, 3)."""
    index, pinky, middle = (joints[finger_joints(side, f)[0]] for f in ("index", "pinky", "middle"))
    along, across = middle - joints[WRISTS[side]], index - pinky
    normal = np.cross(along, across) * (1 if side == 0 else -1)
    return normal / np.linalg.norm(normal)


def flexion_axes(joints: NDArray) -> NDArray[np.float64]:
    """Unit axes (30, 3) in the rest frame about which a positive angle bends each finger joint towards the palm.

    joints: (52, 3) at rest. Fingers hinge about the knuckle line; the thumb closes over the palm.
    """
    axes = np.zeros((30, 3))
    for side in (0, 1):
        palm = palm_normal(joints, side)
        for finger in FINGERS:
            first, second, third = (joints[k] for k in finger_joints(side, finger))
            towards = palm
            if finger == "thumb":
                towards = joints[finger_joints(side, "ring")[0]] + 0.03 * palm - second
            for joint, along in zip(
                finger_joints(side, finger), (second - first, third - second, third - second), strict=True
            ):
                axis = np.cross(along, towards)
                axes[joint - 22] = axis / np.linalg.norm(axis)
    return axes


def hand_pose(joints: NDArray, side: int, shape: str, rng: np.random.Generator, spread_deg: float = 5.0) -> Floats:
    """Axis-angle (15, 3) of one hand's joints in a shape of SHAPES, each angle disturbed by `spread_deg` (sigma)."""
    flexion, fan, opposition = SHAPES[shape]
    axes = flexion_axes(joints)[15 * side : 15 * side + 15]
    palm = palm_normal(joints, side)
    amount = rng.normal(1.0, 0.15)
    out = np.zeros((15, 3))
    for number, finger in enumerate(FINGERS):
        bends = np.array(flexion[finger]) * amount + rng.normal(0, spread_deg, 3)
        bends = np.clip(bends, -12, (85, 105, 75))
        for k in range(3):
            out[3 * number + k] = axes[3 * number + k] * np.radians(bends[k])
        # Fanning turns the index to the thumb's side and the pinky away from it, about the palm's normal.
        lean = {"index": 1.0, "middle": 0.15, "ring": -0.6, "pinky": -1.3, "thumb": 0.0}[finger]
        sign = 1 - 2 * side
        turn = rodrigues(palm * sign * np.radians(lean * fan + rng.normal(0, 1.5)))
        if finger == "thumb":
            along = joints[WRISTS[side]] - joints[finger_joints(side, "index")[0]]
            along /= np.linalg.norm(along)
            turn = rodrigues(along * -sign * np.radians(opposition + rng.normal(0, 4.0)))
        out[3 * number] = axis_angle(turn @ rodrigues(out[3 * number]))
    return out.astype(np.float32)


def draw_hand(rng: np.random.Generator) -> str:
    """A name of SHAPES for a hand that has nothing to do."""
    return str(rng.choice(list(_SHARES), p=list(_SHARES.values())))
