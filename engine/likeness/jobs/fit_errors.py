"""Fits as they go wrong: a posed body disturbed limb by limb as a fitter would leave it, now and then grossly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likeness.body.model import BodyModel
from likeness.core.frames import axis_angle, rodrigues

# Standard deviation of each joint's error in degrees: what bears more of the body is seen from more sides.
_ROOT_DEG, _SPINE_DEG, _UPPER_DEG, _LOWER_DEG, _END_DEG, _FINGER_DEG = 1.2, 1.0, 2.3, 3.6, 8.0, 15.0
_UPPER, _LOWER, _END = (1, 2, 13, 14, 16, 17), (4, 5, 18, 19), (7, 8, 10, 11, 20, 21)
# A limb errs as a whole: its joints share one scale.
_LIMBS = ((1, 4, 7, 10), (2, 5, 8, 11), (13, 16, 18, 20), (14, 17, 19, 21))
_BETAS = 0.45
# Across the view and along it, metres: depth holds the front, so a wrong girth moves the body along the ray.
_SHIFT_M = (0.008, 0.008, 0.016)
_SPREAD = (0.35, 1.6)


@dataclass(frozen=True)
class WrongFit:
    """A disturbed body. vertices (V, 3), joints (J, 3) f32 m, its root turned as posed, at no particular place;
    shift (3,) m in camera axes, to be added to the true place; gross: wrong beyond what a good fit does."""

    vertices: NDArray[np.float32]
    joints: NDArray[np.float32]
    shift: NDArray[np.float64]
    gross: bool


def disturbed(
    model: BodyModel,
    pose: NDArray,
    betas: NDArray,
    rng: np.random.Generator,
    *,
    gross: bool = False,
    amount: float = 1.0,
) -> WrongFit:
    """A body (pose (52, 3), betas (K,)) as a fit would find it: mean joint error 25 to 40 mm at amount 1.

    gross: legs or arms swapped, a limb astray, turned back to front, or centimetres off.
    """
    scale = amount * rng.uniform(*_SPREAD)
    degrees = np.full(len(pose), _FINGER_DEG)
    degrees[:22] = _SPINE_DEG
    degrees[0] = _ROOT_DEG
    for these, value in ((_UPPER, _UPPER_DEG), (_LOWER, _LOWER_DEG), (_END, _END_DEG)):
        degrees[list(these)] = value
    for limb in _LIMBS:
        degrees[list(limb)] *= rng.uniform(0.4, 1.7)
    turns = rng.normal(0, 1, (len(pose), 3)) * np.radians(degrees)[:, None] * scale
    wrong = np.asarray(pose, np.float64).copy()
    shift = rng.normal(0, 1, 3) * _SHIFT_M * scale
    if gross:
        wrong, astray = _astray(wrong, rng)
        shift = shift + astray
    turned = axis_angle(rodrigues(wrong) @ rodrigues(turns))
    shape = np.zeros(model.betas_count)
    known = np.asarray(betas, np.float64)[: model.betas_count]
    shape[: len(known)] = known
    shape[:10] += rng.normal(0, _BETAS * scale, 10)
    vertices, joints = model.posed(shape, turned)
    return WrongFit(vertices, joints, shift, gross)


def _astray(pose: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A pose that a fitter could mistake this one for, and how far (3,) m it stands off in camera axes."""
    wrong, shift = pose.copy(), np.zeros(3)
    kind = int(rng.integers(5))
    if kind == 0:
        for left, right in zip(_LIMBS[0], _LIMBS[1], strict=True):
            wrong[left], wrong[right] = pose[right] * (1, -1, -1), pose[left] * (1, -1, -1)
    elif kind == 1:
        for left, right in zip(_LIMBS[2], _LIMBS[3], strict=True):
            wrong[left], wrong[right] = pose[right] * (1, -1, -1), pose[left] * (1, -1, -1)
    elif kind == 2:
        limb = _LIMBS[int(rng.integers(4))]
        turn = rng.normal(0, 1, 3)
        turn *= np.radians(rng.uniform(35, 80)) / np.linalg.norm(turn)
        first = limb[0] if limb[0] < 3 else limb[1]
        wrong[first] = axis_angle(rodrigues(wrong[first]) @ rodrigues(turn))
    elif kind == 3:
        wrong[0] = axis_angle(rodrigues(wrong[0]) @ rodrigues(np.array([0.0, np.pi + rng.normal(0, 0.3), 0.0])))
    else:
        shift = rng.normal(0, 1, 3) * (0.05, 0.05, 0.12)
    return wrong, shift
