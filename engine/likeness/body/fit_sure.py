"""How sure a fit is of each limb."""

from __future__ import annotations

import numpy as np
from likeness.body.fit_observe import Evidence, depth_at
from likeness.body.fit_points import Posed

# BlazePose's points of every limb.
LIMB_POINTS = {
    "head": list(range(11)),
    "torso": [11, 12, 23, 24],
    "left_arm": [11, 13, 15, 19],
    "right_arm": [12, 14, 16, 20],
    "left_leg": [23, 25, 27, 31],
    "right_leg": [24, 26, 28, 32],
}
# A joint deeper than this behind the measured surface is hidden by another limb.
HIDDEN_M = 0.16


def confidence(evidence: Evidence, posed: Posed, miss: np.ndarray) -> dict[str, float]:
    """Limb -> 0..1 from what was seen of it and how well the body agrees; miss (33,) px of BlazePose's points."""
    focal = 0.5 * (evidence.camera.fx + evidence.camera.fy)
    sigma_px = 1.0 + 0.04 * focal / float(posed.state.translation[2])
    trust = evidence.trust * np.where(_hidden(evidence, posed.marks), 0.4, 1.0)
    return {
        limb: float(np.mean(trust[ids] * np.exp(-0.5 * np.square(miss[ids] / sigma_px))))
        for limb, ids in LIMB_POINTS.items()
    }


def _hidden(evidence: Evidence, points: np.ndarray) -> np.ndarray:
    """Which points (N, 3) lie well behind a depth reading, behind another part of the person: (N,) bool."""
    if evidence.depth is None:
        return np.zeros(len(points), bool)
    reading = depth_at(evidence.depth, evidence.camera.project(points))
    return (reading > 0) & (points[:, 2] > reading + HIDDEN_M)
