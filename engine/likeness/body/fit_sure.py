"""How sure a fit is of each limb."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from likeness.body.fit_observe import Evidence, depth_at
from likeness.body.fit_points import Posed
from likeness.body.fit_system import System

# Joints whose places tell how well a limb is known.
LIMB_JOINTS = {
    "head": [12, 15],
    "torso": [0, 3, 6, 9],
    "left_arm": [16, 18, 20],
    "right_arm": [17, 19, 21],
    "left_leg": [4, 7, 10],
    "right_leg": [5, 8, 11],
}
# BlazePose's points of each limb; what it does not see it guesses, and priors are surer of hidden limbs than they may.
LIMB_POINTS = {
    "head": list(range(11)),
    "torso": [11, 12, 23, 24],
    "left_arm": [13, 15, 19],
    "right_arm": [14, 16, 20],
    "left_leg": [25, 27, 31],
    "right_leg": [26, 28, 32],
}
UNSEEN_SHARE = 0.5
# A limb whose joints are known to this many metres counts as half sure.
HALF_SURE_M = 0.035
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


def joint_sigmas(posed: Posed, system: System) -> np.ndarray:
    """(22,) metres: spread of each joint's place that the evidence and the priors leave together (Laplace's method).

    system: the normal equations at this pose; robust terms have already dropped what the body does not explain.
    """
    spread = np.linalg.inv(system.hessian + np.diag(1e-6 / system.scale**2))
    jacobian = posed.joint_jacobian[:22]
    return np.sqrt(np.maximum(np.einsum("jcp,pq,jcq->j", jacobian, spread, jacobian), 0.0))


def confidence(posed: Posed, system: System, seen: Evidence) -> dict[str, float]:
    """Limb -> 0..1: 1 where evidence pins its joints, 0.5 where they may be HALF_SURE_M off, 0 where all is open.

    seen: seen_evidence of this body; a limb whose landmarks BlazePose does not see loses up to UNSEEN_SHARE of it.
    """
    sigma = joint_sigmas(posed, system)
    known = {limb: np.mean(1 / (1 + np.square(sigma[joints] / HALF_SURE_M))) for limb, joints in LIMB_JOINTS.items()}
    trust = {limb: seen.trust[ids].mean() for limb, ids in LIMB_POINTS.items()}
    return {limb: float(known[limb] * (UNSEEN_SHARE + (1 - UNSEEN_SHARE) * trust[limb])) for limb in LIMB_JOINTS}
