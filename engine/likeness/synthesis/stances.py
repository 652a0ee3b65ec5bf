"""What trunk and legs do in natural poses: each stance sets them on a skeleton, the pelvis at the origin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from likeness.synthesis.limbs import Skeleton

Stance = Callable[[Skeleton, np.random.Generator], None]
LEGS = ((1, 4, 7), (2, 5, 8))


def spine(skeleton: Skeleton, bend_deg: float, turn_deg: float, side_deg: float) -> None:
    """Share a bend (forward), turn (to the left) and lean (to the right) of the trunk among its three joints."""
    for joint, share in ((3, 0.3), (6, 0.4), (9, 0.3)):
        skeleton.turn(joint, bend_deg * share, turn_deg * share, -side_deg * share)


def look(skeleton: Skeleton, rng: np.random.Generator, spread_deg: float = 12.0) -> None:
    """Turn neck and head a little, most of all sideways."""
    turn, nod, tilt = rng.normal(0, spread_deg), rng.normal(2, spread_deg / 2), rng.normal(0, spread_deg / 3)
    for joint, share in ((12, 0.4), (15, 0.6)):
        skeleton.turn(joint, nod * share, turn * share, tilt * share)


def foot(skeleton: Skeleton, side: int, out: float, up: float, forward: float, pole_out: float = 0.15) -> None:
    """Put an ankle at (outwards, up, forward) metres from the pelvis, the knee forward."""
    sign = 1 - 2 * side
    skeleton.reach(LEGS[side], np.array([sign * out, up, forward]), np.array([sign * pole_out, 0.0, 1.0]))


def _heading(rng: np.random.Generator) -> float:
    return float(np.clip(rng.normal(9, 6), -8, 28))


def _drop(skeleton: Skeleton) -> float:
    return float(-skeleton.joints[7, 1])


def standing(skeleton: Skeleton, rng: np.random.Generator) -> None:
    """Both feet carry: side by side or a little apart."""
    apart, drop = rng.uniform(0.08, 0.2), _drop(skeleton)
    skeleton.turn(0, rng.normal(0, 2), rng.normal(0, 4), rng.normal(0, 1))
    spine(skeleton, rng.normal(1, 3), rng.normal(0, 4), rng.normal(0, 2))
    look(skeleton, rng)
    for side in (0, 1):
        foot(skeleton, side, apart, -drop + 0.008, rng.normal(0, 0.025))
        skeleton.level_foot(side, _heading(rng))


def contrapposto(skeleton: Skeleton, rng: np.random.Generator) -> None:
    """One leg carries, the hip above it out; the other is soft."""
    carries, drop = int(rng.integers(2)), _drop(skeleton)
    sign = 1 - 2 * carries
    lift = rng.uniform(3, 7)
    skeleton.turn(0, rng.normal(0, 2), rng.normal(0, 6), sign * lift)
    spine(skeleton, rng.normal(1, 2), rng.normal(0, 6), sign * lift * 1.3)
    look(skeleton, rng)
    foot(skeleton, carries, 0.05, -drop + 0.012, -0.01)
    foot(skeleton, 1 - carries, rng.uniform(0.13, 0.24), -drop + 0.014, rng.uniform(0.02, 0.14), 0.5)
    skeleton.level_foot(carries, _heading(rng))
    skeleton.level_foot(1 - carries, _heading(rng) + 12)


def wide(skeleton: Skeleton, rng: np.random.Generator) -> None:
    """Legs well apart."""
    apart, drop = rng.uniform(0.24, 0.42), _drop(skeleton)
    spine(skeleton, rng.normal(2, 4), rng.normal(0, 6), rng.normal(0, 4))
    look(skeleton, rng)
    for side in (0, 1):
        foot(skeleton, side, apart, -drop * np.cos(apart / 1.1) + 0.02, rng.normal(0, 0.03), 0.3)
        skeleton.level_foot(side, _heading(rng) + 12)


def stride(skeleton: Skeleton, rng: np.random.Generator, length: float, lead: int) -> None:
    """A walking step of `length` metres between the ankles; `lead` is the side in front."""
    drop = _drop(skeleton)
    down = -drop * np.cos(0.5 * length / 0.85) + 0.01
    sign = 1 - 2 * lead
    skeleton.turn(0, rng.normal(2, 2), -sign * rng.uniform(2, 9), rng.normal(0, 2))
    spine(skeleton, rng.normal(3, 3), sign * rng.uniform(3, 12), rng.normal(0, 2))
    look(skeleton, rng, 8)
    foot(skeleton, lead, rng.uniform(0.06, 0.1), down, 0.5 * length)
    skeleton.level_foot(lead, rng.normal(6, 4), -rng.uniform(5, 22))
    foot(skeleton, 1 - lead, rng.uniform(0.06, 0.1), down + 0.06, -0.5 * length)
    skeleton.level_foot(1 - lead, rng.normal(6, 4), rng.uniform(25, 50))


def passing(skeleton: Skeleton, rng: np.random.Generator, lead: int) -> None:
    """The moment of a step when one leg swings past the other."""
    drop = _drop(skeleton)
    skeleton.turn(0, 2, rng.normal(0, 4), rng.normal(0, 2))
    spine(skeleton, rng.normal(3, 2), rng.normal(0, 4), rng.normal(0, 2))
    look(skeleton, rng, 8)
    foot(skeleton, 1 - lead, 0.08, -drop + 0.004, -0.03)
    skeleton.level_foot(1 - lead, rng.normal(6, 4))
    foot(skeleton, lead, 0.09, -drop + rng.uniform(0.08, 0.2), rng.uniform(-0.2, 0.06))
    skeleton.level_foot(lead, 5, rng.uniform(10, 40))


def running(skeleton: Skeleton, rng: np.random.Generator, lead: int) -> None:
    """A running stride: one knee up, the other leg behind."""
    drop, sign = _drop(skeleton), 1 - 2 * lead
    skeleton.turn(0, rng.uniform(3, 10), -sign * rng.uniform(3, 10), rng.normal(0, 2))
    spine(skeleton, rng.uniform(4, 12), sign * rng.uniform(6, 16), 0)
    look(skeleton, rng, 6)
    foot(skeleton, lead, 0.09, -drop + rng.uniform(0.25, 0.42), rng.uniform(0.1, 0.34))
    skeleton.level_foot(lead, 4, rng.uniform(-15, 20))
    foot(skeleton, 1 - lead, 0.08, -drop + rng.uniform(0.08, 0.24), -rng.uniform(0.35, 0.5))
    skeleton.level_foot(1 - lead, 4, rng.uniform(40, 80))


def sitting(skeleton: Skeleton, rng: np.random.Generator) -> None:
    """On a seat of the shin's height; feet before it or tucked."""
    lean = rng.uniform(-14, 12)
    skeleton.turn(0, lean * 0.5 - 4, rng.normal(0, 5), rng.normal(0, 1.5))
    spine(skeleton, lean * 0.5 + rng.uniform(2, 14), rng.normal(0, 6), rng.normal(0, 3))
    look(skeleton, rng, 14)
    height = -0.42 + rng.normal(0, 0.02)
    for side in (0, 1):
        out, forward = rng.uniform(0.07, 0.2), 0.42 + rng.normal(0, 0.09)
        foot(skeleton, side, out, height, forward, rng.uniform(0.0, 0.5))
        skeleton.level_foot(side, _heading(rng), rng.uniform(0, 8))


def legs_crossed(skeleton: Skeleton, rng: np.random.Generator) -> None:
    """Sitting, one thigh over the other knee."""
    sitting(skeleton, rng)
    over = int(rng.integers(2))
    foot(skeleton, 1 - over, 0.03, -0.42, 0.42, 0.0)
    skeleton.level_foot(1 - over, 4)
    sign = 1 - 2 * over
    skeleton.reach(LEGS[over], np.array([-sign * 0.17, -0.20, 0.62]), np.array([0.45 * sign, 1.2, 0.55]))
    skeleton.turn(7 + over, x_deg=rng.uniform(0, 25))


def squatting(skeleton: Skeleton, rng: np.random.Generator) -> None:
    """Knees bent deeply over the feet, the trunk forward."""
    down = rng.uniform(-0.62, -0.26)
    deep = (0.85 + down) / 0.6
    skeleton.turn(0, 10 + 22 * deep, rng.normal(0, 4), 0)
    spine(skeleton, 8 + 18 * deep, rng.normal(0, 4), 0)
    skeleton.turn(15, -20 * deep, rng.normal(0, 10))
    apart, pole = rng.uniform(0.12, 0.26), rng.uniform(0.3, 0.9)
    for side in (0, 1):
        foot(skeleton, side, apart, down, 0.06 + 0.06 * deep, pole)
        skeleton.level_foot(side, 14 + 12 * pole, 28 * max(0.0, deep - 0.55))


def kneeling(skeleton: Skeleton, rng: np.random.Generator) -> None:
    """On one knee, or on both."""
    skeleton.turn(0, rng.normal(3, 3), rng.normal(0, 5), 0)
    spine(skeleton, rng.normal(4, 5), rng.normal(0, 6), 0)
    look(skeleton, rng)
    down = int(rng.integers(2))
    for side in (0, 1):
        if side == down or rng.random() < 0.35:
            foot(skeleton, side, 0.11, -0.40, -0.40 + rng.normal(0, 0.02), 0.1)
            skeleton.turn(7 + side, x_deg=rng.uniform(20, 50))
        else:
            foot(skeleton, side, 0.12, -0.44, 0.40, 0.15)
            skeleton.level_foot(side, _heading(rng))


def lunging(skeleton: Skeleton, rng: np.random.Generator) -> None:
    """A long step, the front knee bent."""
    lead = int(rng.integers(2))
    drop, length = -rng.uniform(0.5, 0.68), rng.uniform(0.7, 0.95)
    skeleton.turn(0, rng.uniform(0, 12), rng.normal(0, 8), 0)
    spine(skeleton, rng.uniform(-4, 14), rng.normal(0, 10), rng.normal(0, 5))
    look(skeleton, rng)
    foot(skeleton, lead, 0.1, drop, 0.45 * length)
    skeleton.level_foot(lead, _heading(rng))
    foot(skeleton, 1 - lead, 0.12, drop + 0.05, -0.55 * length)
    skeleton.level_foot(1 - lead, 8, rng.uniform(35, 55))


def bending(skeleton: Skeleton, rng: np.random.Generator) -> None:
    """The trunk bent forward or sideways over straight or soft legs."""
    amount = rng.uniform(20, 75)
    skeleton.turn(0, amount * 0.45, rng.normal(0, 5), rng.normal(0, 2))
    spine(skeleton, amount * 0.55, rng.normal(0, 12), rng.normal(0, 10))
    skeleton.turn(15, -amount * 0.25, rng.normal(0, 10))
    drop = _drop(skeleton)
    for side in (0, 1):
        foot(skeleton, side, rng.uniform(0.09, 0.2), -drop + rng.uniform(0.015, 0.1), 0.1 * amount / 75)
        skeleton.level_foot(side, _heading(rng))


def dancing(skeleton: Skeleton, rng: np.random.Generator) -> None:
    """On one leg, the other raised somewhere; trunk and hips swung."""
    carries, drop = int(rng.integers(2)), _drop(skeleton)
    skeleton.turn(0, rng.normal(0, 6), rng.normal(0, 10), rng.normal(0, 6))
    spine(skeleton, rng.normal(0, 10), rng.normal(0, 16), rng.normal(0, 12))
    look(skeleton, rng, 16)
    foot(skeleton, carries, 0.03, -drop + rng.uniform(0.01, 0.06), 0.0, 0.3)
    skeleton.level_foot(carries, _heading(rng) + 6)
    foot(skeleton, 1 - carries, rng.uniform(0.05, 0.5), -rng.uniform(0.35, 0.8), rng.uniform(-0.5, 0.5), 0.6)
    skeleton.turn(8 - carries, x_deg=rng.uniform(0, 45))


def straight(skeleton: Skeleton, rng: np.random.Generator) -> None:
    """Upright and straight, as scans are taken."""
    apart = rng.uniform(0.10, 0.2)
    for side in (0, 1):
        foot(skeleton, side, apart, -_drop(skeleton) + 0.006, 0.0)
        skeleton.level_foot(side, 6)
