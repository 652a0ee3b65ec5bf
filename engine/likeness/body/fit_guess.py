"""What the corrector takes a person for, as the start of a fit to a photo and as one of its energies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from likeness.body.corrector import JOINTS, Guess
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


def add_guess(system: System, posed: Posed, guess: Guess, weight: float) -> None:
    """Joints and root are turned about as the corrector says, as far as it is sure of each."""
    away = posed.state.pose - guess.pose[:JOINTS]
    away[0] = axis_angle(posed.state.turn @ rodrigues(guess.pose[0].astype(np.float64)).T)
    jacobian = np.zeros((JOINTS, 3, len(system.scale)))
    joint, axis = np.divmod(np.arange(3 * JOINTS), 3)
    jacobian[joint, axis, np.arange(3 * JOINTS)] = 1.0 / guess.sigma[joint]
    system.add(lambda: jacobian, away / guess.sigma[:, None], weight, GUESS_LIMIT)
