"""What arms do in natural poses: each gesture lays one arm, or both, of a skeleton whose trunk and legs are set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from likeness.synthesis.limbs import Skeleton, unit

PELVIS, CHEST, HEAD = 0, 9, 15
ARMS = ((16, 18, 20), (17, 19, 21))

# A gesture lays the arm of a side (0 left, 1 right) and says which of fingers.SHAPES the hand takes ('' = any).
Gesture = Callable[[Skeleton, int, np.random.Generator], str]


def _point(skeleton: Skeleton, joint: int, side: int, offset: tuple[float, float, float]) -> NDArray:
    """World place of a point (outwards, up, forward) beside a joint, in the rest frame of that joint."""
    sign = 1 - 2 * side
    return skeleton.place(joint, np.array([sign * offset[0], offset[1], offset[2]]))


def _way(skeleton: Skeleton, joint: int, side: int, direction: tuple[float, float, float]) -> NDArray:
    """World direction of (outwards, up, forward) as a joint sees it."""
    sign = 1 - 2 * side
    turned, _ = skeleton.world(22)
    return unit(turned[joint] @ np.array([sign * direction[0], direction[1], direction[2]]))


def hang(skeleton: Skeleton, side: int, rng: np.random.Generator) -> str:
    """The arm hangs beside the body."""
    out, forward, bend = rng.uniform(0.06, 0.20), rng.normal(0.04, 0.05), rng.uniform(0.465, 0.482)
    target = skeleton.world(22)[1][16 + side] + bend * unit(
        np.array([(1 - 2 * side) * out / 0.47, -1.0, forward / 0.47])
    )
    skeleton.reach(ARMS[side], target, _way(skeleton, CHEST, side, (0.35, 0.0, -1.0)))
    skeleton.lay_hand(side, _way(skeleton, CHEST, side, (-1.0, 0.0, rng.uniform(-0.8, 0.0))))
    return "relaxed" if rng.random() < 0.75 else ""


def swing(skeleton: Skeleton, side: int, rng: np.random.Generator, forward: float, bend_deg: float) -> str:
    """The arm swings in a stride: `forward` -1..1, the elbow bent by about `bend_deg`."""
    length = np.sqrt(0.243**2 + 0.246**2 + 2 * 0.243 * 0.246 * np.cos(np.radians(bend_deg)))
    lean = np.radians(forward * 38 + bend_deg * 0.35)
    way = np.array([(1 - 2 * side) * rng.uniform(0.16, 0.3), -np.cos(lean), np.sin(lean)])
    target = skeleton.world(22)[1][16 + side] + length * unit(way)
    skeleton.reach(ARMS[side], target, _way(skeleton, CHEST, side, (0.3, -0.8, -1.0)))
    skeleton.lay_hand(side, _way(skeleton, CHEST, side, (-1.0, 0.0, -0.2)))
    return "relaxed" if bend_deg < 50 else "grip"


def on_hip(skeleton: Skeleton, side: int, rng: np.random.Generator) -> str:
    """The hand rests on the hip, the elbow out."""
    wrist = _point(skeleton, PELVIS, side, (0.225, 0.075 + rng.normal(0, 0.02), -0.005 + rng.normal(0, 0.015)))
    skeleton.reach(ARMS[side], wrist, _way(skeleton, CHEST, side, (1.0, 0.0, rng.uniform(-0.9, -0.1))))
    skeleton.lay_hand(side, _way(skeleton, PELVIS, side, (-1, 0.0, 0.2)), _way(skeleton, PELVIS, side, (-0.2, -0.4, 1)))
    return "flat" if rng.random() < 0.5 else "fist"


def by_pocket(skeleton: Skeleton, side: int, rng: np.random.Generator) -> str:
    """The hand lies in front of the trouser pocket."""
    wrist = _point(skeleton, PELVIS, side, (0.205, rng.normal(0.02, 0.02), rng.normal(0.085, 0.015)))
    skeleton.reach(ARMS[side], wrist, _way(skeleton, CHEST, side, (0.7, 0.0, -1.0)))
    skeleton.lay_hand(
        side, _way(skeleton, PELVIS, side, (-1, 0.0, -0.5)), _way(skeleton, PELVIS, side, (-0.1, -1, 0.2))
    )
    return "relaxed"


def at_ear(skeleton: Skeleton, side: int, rng: np.random.Generator) -> str:
    """The hand holds a phone at the ear."""
    wrist = _point(skeleton, HEAD, side, (0.135, 0.0 + rng.normal(0, 0.015), 0.07 + rng.normal(0, 0.01)))
    skeleton.reach(ARMS[side], wrist, _way(skeleton, CHEST, side, (0.9, -1.0, rng.uniform(-0.1, 0.5))))
    skeleton.lay_hand(side, _way(skeleton, HEAD, side, (-1, 0, -0.1)), _way(skeleton, HEAD, side, (-0.15, 1.0, -0.3)))
    return "grip"


def on_head(skeleton: Skeleton, side: int, rng: np.random.Generator) -> str:
    """The hand touches the head, the elbow up."""
    wrist = _point(skeleton, HEAD, side, (0.19, 0.16 + rng.normal(0, 0.02), rng.normal(-0.01, 0.02)))
    skeleton.reach(ARMS[side], wrist, _way(skeleton, CHEST, side, (1.0, 0.3, rng.uniform(-0.3, 0.4))))
    skeleton.lay_hand(side, _way(skeleton, HEAD, side, (-0.8, -0.7, 0)), _way(skeleton, HEAD, side, (-1.0, 0.4, -0.3)))
    return "flat"


def at_chin(skeleton: Skeleton, side: int, rng: np.random.Generator) -> str:
    """The hand supports the chin."""
    wrist = _point(skeleton, HEAD, side, (0.04, -0.115 + rng.normal(0, 0.01), 0.175))
    skeleton.reach(ARMS[side], wrist, _way(skeleton, CHEST, side, (0.6, -1.0, 0.1)))
    skeleton.lay_hand(side, _way(skeleton, HEAD, side, (-0.3, 0.4, -1)), _way(skeleton, HEAD, side, (-0.2, 1.0, 0.0)))
    return "fist" if rng.random() < 0.5 else "grip"


def waving(skeleton: Skeleton, side: int, rng: np.random.Generator) -> str:
    """The hand waves beside the head."""
    wrist = _point(skeleton, CHEST, side, (rng.uniform(0.3, 0.5), rng.uniform(0.28, 0.5), rng.uniform(0.05, 0.28)))
    skeleton.reach(ARMS[side], wrist, _way(skeleton, CHEST, side, (1.0, -1.0, -0.2)))
    lean = rng.uniform(-0.3, 0.5)
    skeleton.lay_hand(side, _way(skeleton, CHEST, side, (0, 0, 1)), _way(skeleton, CHEST, side, (lean, 1.0, 0.1)))
    return "spread" if rng.random() < 0.4 else "flat"


def pointing(skeleton: Skeleton, side: int, rng: np.random.Generator) -> str:
    """The arm points at something in front or beside."""
    way = (rng.uniform(-0.3, 1.2), rng.uniform(-0.3, 0.6), rng.uniform(0.2, 1.0))
    direction = _way(skeleton, CHEST, side, way)
    target = skeleton.world(22)[1][16 + side] + direction * rng.uniform(0.38, 0.485)
    skeleton.reach(ARMS[side], target, _way(skeleton, CHEST, side, (0.5, -1.0, -0.3)))
    skeleton.lay_hand(side, np.array([0.0, -1.0, 0.0]), direction)
    return "pointing"


def reaching(skeleton: Skeleton, side: int, rng: np.random.Generator) -> str:
    """The arm reaches out: up, forward or sideways."""
    way = (rng.uniform(-0.2, 1.0), rng.uniform(-0.6, 1.2), rng.uniform(-0.1, 1.0))
    direction = _way(skeleton, CHEST, side, way)
    target = skeleton.world(22)[1][16 + side] + direction * rng.uniform(0.34, 0.485)
    skeleton.reach(ARMS[side], target, _way(skeleton, CHEST, side, (0.8, -0.8, -0.5)))
    skeleton.lay_hand(side, _way(skeleton, CHEST, side, (-0.2, rng.uniform(-1, 1), 0.6)), direction)
    return ""


def carrying(skeleton: Skeleton, side: int, rng: np.random.Generator) -> str:
    """The hand holds a bag's handle at arm's length."""
    target = skeleton.world(22)[1][16 + side] + 0.484 * unit(
        np.array([(1 - 2 * side) * rng.uniform(0.18, 0.3), -1.0, rng.normal(0.03, 0.03)])
    )
    skeleton.reach(ARMS[side], target, _way(skeleton, CHEST, side, (0.4, 0.0, -1.0)))
    skeleton.lay_hand(side, _way(skeleton, CHEST, side, (-1.0, 0.0, 0.0)))
    return "grip"


def at_strap(skeleton: Skeleton, side: int, rng: np.random.Generator) -> str:
    """The hand holds a strap in front of its own shoulder."""
    wrist = _point(skeleton, CHEST, side, (0.15, rng.uniform(-0.04, 0.03), 0.20))
    skeleton.reach(ARMS[side], wrist, _way(skeleton, CHEST, side, (0.7, -1.0, -0.5)))
    skeleton.lay_hand(side, _way(skeleton, CHEST, side, (-0.5, 0, -1)), _way(skeleton, CHEST, side, (-0.3, 1.0, 0.0)))
    return "grip"


def behind(skeleton: Skeleton, side: int, rng: np.random.Generator) -> str:
    """The hand lies on the small of the back."""
    wrist = _point(skeleton, PELVIS, side, (0.06, 0.09 + 0.05 * side, -0.165))
    skeleton.reach(ARMS[side], wrist, _way(skeleton, CHEST, side, (1.0, 0.0, -0.5)))
    skeleton.lay_hand(side, _way(skeleton, PELVIS, side, (0, 0, -1)), _way(skeleton, PELVIS, side, (-1, -0.2, 0)))
    return "relaxed"


def on_thigh(skeleton: Skeleton, side: int, rng: np.random.Generator) -> str:
    """The hand lies on the thigh, near the knee: for those who sit, squat or kneel."""
    turned, places = skeleton.world(22)
    hip, knee = places[1 + side], places[4 + side]
    above = unit(turned[1 + side] @ np.array([0.0, 0.0, 1.0]))
    target = hip + (knee - hip) * rng.uniform(0.45, 0.75) + above * 0.115
    skeleton.reach(ARMS[side], target, _way(skeleton, CHEST, side, (0.8, -0.3, -0.8)))
    skeleton.lay_hand(side, -above, unit(knee - hip))
    return "relaxed" if rng.random() < 0.7 else "flat"


def folded(skeleton: Skeleton, rng: np.random.Generator) -> tuple[str, str]:
    """Both arms cross in front of the chest, one forearm over the other."""
    over = int(rng.integers(2))
    lift = rng.normal(0, 0.015)
    for side in (0, 1):
        outer = side == over
        height, depth = (-0.055, 0.262) if outer else (-0.085, 0.205)
        wrist = _point(skeleton, CHEST, side, (-0.07 if outer else -0.09, height + lift, depth))
        skeleton.reach(ARMS[side], wrist, _way(skeleton, CHEST, side, (1.0, -1.5, 0.1)))
        skeleton.lay_hand(
            side, _way(skeleton, CHEST, side, (0, 0.1, -1)), _way(skeleton, CHEST, side, (-1.0, 0.35, -0.25))
        )
    return ("flat", "relaxed") if over == 0 else ("relaxed", "flat")


def clasped(skeleton: Skeleton, rng: np.random.Generator) -> tuple[str, str]:
    """Both hands meet in front of the belly."""
    height, depth = rng.uniform(-0.06, 0.08), rng.uniform(0.2, 0.24)
    for side in (0, 1):
        wrist = _point(skeleton, PELVIS, side, (0.075, height, depth - 0.02 * side))
        skeleton.reach(ARMS[side], wrist, _way(skeleton, CHEST, side, (1.0, -0.3, -0.6)))
        skeleton.lay_hand(
            side, _way(skeleton, PELVIS, side, (-0.3, 0, -1)), _way(skeleton, PELVIS, side, (-1.0, -0.8, 0.35))
        )
    return "relaxed", "relaxed"


def level(skeleton: Skeleton, side: int, rng: np.random.Generator, drop_deg: float) -> str:
    """The straight arm stands off the body, `drop_deg` below the horizontal."""
    skeleton.turn(16 + side, z_deg=-(1 - 2 * side) * (drop_deg + rng.normal(0, 2)))
    return "flat" if rng.random() < 0.6 else "relaxed"
