"""Random natural poses on the default body's T pose: a stance, what the arms do, and the words for both."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from likeness.synthesis import gestures, stances
from likeness.synthesis.limbs import Skeleton

Hands = tuple[str, str]
Drawn = tuple[Skeleton, Hands, str]

# One arm's gesture: its words, and how often.
_ONE_ARM: tuple[tuple[gestures.Gesture, str, float], ...] = (
    (gestures.hang, "", 5.0),
    (gestures.on_hip, "one hand on the hip", 1.6),
    (gestures.by_pocket, "", 1.6),
    (gestures.at_ear, "holding a phone to the ear", 0.8),
    (gestures.on_head, "one hand at the head", 0.6),
    (gestures.at_chin, "one hand at the chin", 0.6),
    (gestures.waving, "waving", 1.0),
    (gestures.pointing, "pointing", 1.0),
    (gestures.reaching, "reaching out", 1.2),
    (gestures.carrying, "carrying a bag", 0.8),
    (gestures.at_strap, "holding a strap", 0.5),
)


def _pick(rng: np.random.Generator) -> tuple[gestures.Gesture, str]:
    shares = np.array([entry[2] for entry in _ONE_ARM])
    chosen = _ONE_ARM[int(rng.choice(len(shares), p=shares / shares.sum()))]
    return chosen[0], chosen[1]


def _each_arm(skeleton: Skeleton, rng: np.random.Generator) -> tuple[Hands, str]:
    first = int(rng.integers(2))
    hands, words = ["", ""], ""
    for side in (first, 1 - first):
        gesture, said = _pick(rng) if side == first or rng.random() < 0.4 else (gestures.hang, "")
        hands[side] = gesture(skeleton, side, rng)
        words = words or said
    return (hands[0], hands[1]), words


def _both(gesture: gestures.Gesture, words: str, skeleton: Skeleton, rng: np.random.Generator) -> tuple[Hands, str]:
    return (gesture(skeleton, 0, rng), gesture(skeleton, 1, rng)), words


def _folded(skeleton: Skeleton, rng: np.random.Generator) -> tuple[Hands, str]:
    return gestures.folded(skeleton, rng), "arms crossed"


def _clasped(skeleton: Skeleton, rng: np.random.Generator) -> tuple[Hands, str]:
    return gestures.clasped(skeleton, rng), "hands clasped in front"


Arms = Callable[[Skeleton, np.random.Generator], tuple[Hands, str]]
_UPRIGHT_ARMS: tuple[tuple[Arms, float], ...] = (
    (_each_arm, 5.0),
    (partial(_both, gestures.hang, ""), 2.0),
    (_folded, 2.4),
    (_clasped, 1.0),
    (partial(_both, gestures.on_hip, "hands on the hips"), 1.0),
    (partial(_both, gestures.by_pocket, ""), 0.8),
    (partial(_both, gestures.behind, "hands behind the back"), 0.5),
    (partial(_both, gestures.reaching, "reaching out"), 0.8),
    (partial(_both, gestures.on_head, "hands at the head"), 0.3),
)
_SEATED_ARMS: tuple[tuple[Arms, float], ...] = (
    (partial(_both, gestures.on_thigh, ""), 3.0),
    (_folded, 1.2),
    (_each_arm, 1.5),
    (partial(_both, gestures.hang, ""), 0.6),
)


def _arms(options: tuple[tuple[Arms, float], ...], skeleton: Skeleton, rng: np.random.Generator) -> tuple[Hands, str]:
    shares = np.array([share for _, share in options])
    return options[int(rng.choice(len(shares), p=shares / shares.sum()))][0](skeleton, rng)


def _upright(stance: stances.Stance, said: str, skeleton: Skeleton, rng: np.random.Generator) -> tuple[Hands, str]:
    stance(skeleton, rng)
    hands, words = _arms(_UPRIGHT_ARMS, skeleton, rng)
    return hands, f"{said}, {words}" if words else said


def _seated(stance: stances.Stance, said: str, skeleton: Skeleton, rng: np.random.Generator) -> tuple[Hands, str]:
    stance(skeleton, rng)
    hands, words = _arms(_SEATED_ARMS, skeleton, rng)
    return hands, f"{said}, {words}" if words else said


def _walking(skeleton: Skeleton, rng: np.random.Generator) -> tuple[Hands, str]:
    lead, length = int(rng.integers(2)), rng.uniform(0.35, 0.8)
    stances.stride(skeleton, rng, length, lead)
    if rng.random() < 0.2:
        hands, words = _each_arm(skeleton, rng)
        return hands, f"walking, {words}" if words else "walking"
    return _swung(skeleton, rng, lead, length / 0.8, rng.uniform(10, 40)), "walking"


def _stepping(skeleton: Skeleton, rng: np.random.Generator) -> tuple[Hands, str]:
    lead = int(rng.integers(2))
    stances.passing(skeleton, rng, lead)
    return _swung(skeleton, rng, lead, rng.normal(0, 0.3), rng.uniform(10, 35)), "walking"


def _running(skeleton: Skeleton, rng: np.random.Generator) -> tuple[Hands, str]:
    lead = int(rng.integers(2))
    stances.running(skeleton, rng, lead)
    return _swung(skeleton, rng, lead, rng.uniform(0.6, 1.2), rng.uniform(75, 105)), "running"


def _swung(skeleton: Skeleton, rng: np.random.Generator, lead: int, amount: float, bend_deg: float) -> Hands:
    ways = [(-amount if side == lead else amount) + rng.normal(0, 0.12) for side in (0, 1)]
    bends = [max(6.0, bend_deg + 14 * way + rng.normal(0, 5)) for way in ways]
    hands = [gestures.swing(skeleton, side, rng, ways[side], bends[side]) for side in (0, 1)]
    return hands[0], hands[1]


def _straight(drop_deg: float, said: str, skeleton: Skeleton, rng: np.random.Generator) -> tuple[Hands, str]:
    stances.straight(skeleton, rng)
    return (
        gestures.level(skeleton, 0, rng, drop_deg),
        gestures.level(skeleton, 1, rng, drop_deg),
    ), said


def _dancing(skeleton: Skeleton, rng: np.random.Generator) -> tuple[Hands, str]:
    stances.dancing(skeleton, rng)
    return _both(gestures.reaching, "", skeleton, rng)[0], "dancing"


# Strides and crossed limbs come two to three times as often as people show them: what hides itself is hard to learn.
_POSES: tuple[tuple[Arms, float], ...] = (
    (partial(_upright, stances.standing, "standing"), 4.0),
    (partial(_upright, stances.contrapposto, "standing"), 4.0),
    (partial(_upright, stances.wide, "standing, legs apart"), 1.0),
    (_walking, 5.0),
    (_stepping, 1.5),
    (_running, 1.6),
    (partial(_seated, stances.sitting, "sitting"), 1.6),
    (partial(_seated, stances.legs_crossed, "sitting, legs crossed"), 0.8),
    (partial(_seated, stances.squatting, "squatting"), 0.8),
    (partial(_seated, stances.kneeling, "kneeling"), 0.8),
    (partial(_upright, stances.lunging, "lunging"), 1.0),
    (partial(_upright, stances.bending, "bending"), 1.0),
    (_dancing, 1.2),
    (partial(_straight, 45.0, "standing, arms slightly out"), 0.8),
    (partial(_straight, 4.0, "standing, arms out"), 0.4),
)


def draw_natural(joints: NDArray, rng: np.random.Generator) -> Drawn:
    """A random natural pose on rest joints (52, 3): its skeleton, the shapes of the two hands ('' = any), its words."""
    shares = np.array([share for _, share in _POSES])
    skeleton = Skeleton(joints)
    hands, words = _POSES[int(rng.choice(len(shares), p=shares / shares.sum()))][0](skeleton, rng)
    return skeleton, hands, words
