"""What networks take a person for, as the start of a fit and as one of its energies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from likeness.body.corrector import JOINTS, Guess
from likeness.body.depth_pose import DepthPose
from likeness.body.fit_observe import Evidence
from likeness.body.fit_points import BodyPoints, Posed, State
from likeness.body.fit_start import place
from likeness.body.fit_system import System
from likeness.core.frames import axis_angle, rodrigues

# A joint that is off by more than about three sigmas (the root of this) was guessed wrong altogether.
GUESS_LIMIT = 9.0


def state_of(guess: Guess, evidence: Evidence, points: BodyPoints) -> State:
    """The guess as unknowns of a fit, put where the landmarks are seen."""
    pose = guess.pose[:JOINTS].astype(np.float64)
    state = State(rodrigues(pose[0]), pose, np.zeros(3), np.zeros(points.betas_count))
    return replace(state, translation=place(evidence, points.posed(state).marks))


def state_of_depth(guess: DepthPose, points: BodyPoints) -> State:
    """What depth shows as unknowns of a fit, its joints on the mean where they were seen."""
    pose = guess.pose[:JOINTS].astype(np.float64)
    state = State(rodrigues(pose[0]), pose, np.zeros(3), np.zeros(points.betas_count))
    share = 1 / np.square(guess.sigma_m)
    away = guess.joints - points.posed(state).places[:JOINTS]
    return replace(state, translation=(share[:, None] * away).sum(axis=0) / share.sum())


def add_guess(system: System, posed: Posed, pose: np.ndarray, sigma: np.ndarray, weight: float) -> None:
    """Joints and root are turned about as a network says, pose (J, 3), as far as it is sure of each, sigma (22,)."""
    away = posed.state.pose - pose[:JOINTS]
    away[0] = axis_angle(posed.state.turn @ rodrigues(pose[0].astype(np.float64)).T)
    jacobian = np.zeros((JOINTS, 3, len(system.scale)))
    joint, axis = np.divmod(np.arange(3 * JOINTS), 3)
    jacobian[joint, axis, np.arange(3 * JOINTS)] = 1.0 / sigma[joint]
    system.add(lambda: jacobian, away / sigma[:, None], weight, GUESS_LIMIT)


def add_joints(system: System, posed: Posed, guess: DepthPose, weight: float) -> None:
    """Joints stand about where depth shows them, as far as the network is sure of each."""
    sigma = guess.sigma_m[:, None]
    away = (posed.places[:JOINTS] - guess.joints) / sigma
    system.add(lambda: posed.joint_jacobian[:JOINTS] / sigma[..., None], away, weight, GUESS_LIMIT)
