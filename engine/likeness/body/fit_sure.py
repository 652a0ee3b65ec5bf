"""How sure a fit is of each limb."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from likeness.body.fit_observe import Evidence, depth_at
from likeness.body.fit_points import Posed
from likeness.body.fit_system import System
from likeness.core.fit import sure

# Joints whose places tell how well a limb is known.
LIMB_JOINTS = {
    "head": [12, 15],
    "torso": [0, 3, 6, 9],
    "left_arm": [16, 18, 20],
    "right_arm": [17, 19, 21],
    "left_leg": [4, 7, 10],
    "right_leg": [5, 8, 11],
}
# How far a limb usually is off (median over views), metres, as a power of the spread that Laplace's method leaves it:
# at one centimetre of spread, and the power. With depth in camera space; in photos, whose size and distance are open,
# about the pelvis after scaling. benchmarks/fit_confidence.py fits and checks them; of 90 views of the val split.
USUALLY_OFF = {"rgbd": (0.0187, 0.851), "photo": (0.0118, 1.162)}
SPREAD_UNIT_M = 0.01
# A joint deeper than this behind the measured surface is hidden by something: there BlazePose guesses, and counts by
# this share. Shoulders and hips always lie deep.
HIDDEN_M, HIDDEN_SHARE = 0.12, 0.1
_DEEP = np.isin(np.arange(33), (11, 12, 23, 24))


def seen_evidence(evidence: Evidence, posed: Posed) -> Evidence:
    """The evidence with little trust in landmarks that this body's limbs hide or that lie behind something."""
    if evidence.depth is None:
        return evidence
    reading = depth_at(evidence.depth, evidence.camera.project(posed.marks))
    hidden = (reading > 0) & (posed.marks[:, 2] > reading + HIDDEN_M) & ~_DEEP
    return replace(evidence, trust=evidence.trust * np.where(hidden, HIDDEN_SHARE, 1.0))


def limb_sigmas(posed: Posed, system: System, *, about_pelvis: bool) -> dict[str, float]:
    """Limb -> metres: spread of its joints' places that evidence and priors leave together (Laplace's method).

    system: the normal equations at this pose; robust terms have already dropped what the body does not explain.
    about_pelvis: of the places seen from the pelvis, else from the camera.
    """
    spread = np.linalg.inv(system.hessian + np.diag(1e-6 / system.scale**2))
    jacobian = posed.joint_jacobian[:22]
    if about_pelvis:
        jacobian = jacobian - jacobian[:1]
    squared = np.maximum(np.einsum("jcp,pq,jcq->j", jacobian, spread, jacobian), 0.0)
    return {limb: float(np.sqrt(squared[joints].mean())) for limb, joints in LIMB_JOINTS.items()}


def confidence(posed: Posed, system: System, kind: str) -> dict[str, float]:
    """Limb -> 0..1 by how far its joints usually are off (core.fit.sure): 0.8 says 2.5 cm, 0.5 5 cm, 0.2 10 cm.

    Half of the limbs of a confidence are farther off. kind: rgbd or photo.
    """
    sigmas = limb_sigmas(posed, system, about_pelvis=kind == "photo")
    return {limb: sure(expected_off(sigma, kind)) for limb, sigma in sigmas.items()}


def expected_off(sigma_m: float, kind: str) -> float:
    """Metres by which a limb of this spread usually is off."""
    at_unit, power = USUALLY_OFF[kind]
    return float(at_unit * (sigma_m / SPREAD_UNIT_M) ** power)


def spread_of(off_m: float, kind: str) -> float:
    """Metres of spread for which so much is expected; the inverse of expected_off."""
    at_unit, power = USUALLY_OFF[kind]
    return float(SPREAD_UNIT_M * (off_m / at_unit) ** (1 / power))
