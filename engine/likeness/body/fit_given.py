"""Where a pose that was given without a place stands in a capture."""

from __future__ import annotations

import numpy as np
from likeness.body.fit_observe import observe
from likeness.body.fit_start import place, root_orientation
from likeness.body.landmarks import Landmarks
from likeness.body.model import BodyModel
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit
from likeness.core.frames import axis_angle
from likeness.core.given_pose import GivenPose


def place_pose(capture: Capture, model: BodyModel, given: GivenPose, landmarks: Landmarks | None, seed: int = 0) -> Fit:
    """A start for fit_body(..., hold_pose=True): the given limbs on the given or mean shape, put where it is seen.

    landmarks: None where nobody was found; then the pose has to bring its own place and turn. Raises
    LikenessError("body.no_place") where it does not.
    """
    pose = Fit(given.pose, np.zeros(0, np.float32), np.zeros(3, np.float32), capture.camera)
    betas = np.zeros(model.betas_count, np.float32)
    if given.betas is not None:
        known = min(len(betas), len(given.betas))
        betas[:known] = given.betas[:known]
    limbs = pose.with_joints(len(model.parents)).pose.copy()
    if landmarks is None:
        if not given.root_known or given.pelvis is None:
            raise LikenessError(
                "body.no_place",
                f"{capture.name}: nobody can be found in the picture, and the given pose does not say where it stands.",
                "Say where the joints are with --keypoints.",
            )
        return Fit(limbs, betas, given.pelvis - model.rest(betas)[1][0], capture.camera)
    evidence = observe(capture, landmarks, np.random.default_rng(seed))
    if not given.root_known:
        limbs[0] = axis_angle(root_orientation(evidence))
    vertices, joints = model.posed(betas, limbs)
    points = model.blazepose_points(vertices.astype(np.float64), joints.astype(np.float64))
    return Fit(limbs, betas, place(evidence, points).astype(np.float32), capture.camera)
