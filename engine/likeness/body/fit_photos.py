"""Fit one person to several photos: one shape, one pose each.

Every photo is fitted alone first. What each then says about the shape is the Schur complement of its normal equations
on the betas, all else free; the sum of these, with the priors counted once, is one small linear system for the shape
they share. With it held, every photo is fitted on; and once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from likeness.body.fit import Fitter, Trial, fitter_for, with_focal
from likeness.body.fit_points import BETAS, unknowns
from likeness.body.landmarks import Landmarks
from likeness.body.model import BodyModel
from likeness.core.capture import Capture
from likeness.core.fit import Fit
from likeness.core.progress import Report, quiet

TURNS = 2


def fit_photos(
    captures: Sequence[Capture],
    model: BodyModel,
    landmarks: Sequence[Landmarks],
    *,
    report: Report = quiet,
    seed: int = 0,
    height_m: float | None = None,
) -> list[Fit]:
    """One fit a capture, in their order, all with the same betas; of one capture what fit_body gives.

    Captures with depth may be among them: they settle how large the person is. Raises what fit_body raises.
    """
    fitters: list[Fitter] = []
    trials: list[Trial] = []
    for capture, found in zip(captures, landmarks, strict=True):
        fitter, evidence = fitter_for(capture, model, found, report=quiet, seed=seed, height_m=height_m)
        fitter, trial = with_focal(fitter, fitter.refined(fitter.best_guess(evidence), fitter.rounds), found)
        fitters.append(fitter)
        trials.append(trial)
        report(0.7 * len(trials) / len(captures), "Fitting the body to each photo")
    fixed = np.zeros(unknowns(model.betas_count), bool)
    fixed[BETAS] = True
    for turn in range(TURNS if len(fitters) > 1 else 0):
        betas = shared_shape(fitters, trials)
        trials = [
            fitter.refined(replace(trial, state=replace(trial.state, betas=betas)), fitter.rounds[-1:], fixed)
            for fitter, trial in zip(fitters, trials, strict=True)
        ]
        report(0.7 + 0.3 * (turn + 1) / TURNS, "Fitting one shape to all photos")
    return [fitter.result(trial) for fitter, trial in zip(fitters, trials, strict=True)]


def shared_shape(fitters: Sequence[Fitter], trials: Sequence[Trial]) -> np.ndarray:
    """The betas (K,) that all captures together like best."""
    # A capture with depth does not assume a stature, so nobody has to where there is one.
    normal, right = min(fitters, key=lambda fitter: fitter.sized).shape_prior()
    for fitter, trial in zip(fitters, trials, strict=True):
        system = fitter.system(trial)
        matrix, slope = marginal(system.hessian, system.gradient, np.arange(len(system.scale))[BETAS])
        prior, prior_right = fitter.shape_prior()
        normal = normal + matrix - prior
        right = right + matrix @ trial.state.betas - slope - prior_right
    return np.asarray(np.linalg.solve(normal, right))


def marginal(hessian: np.ndarray, gradient: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations (K, K), (K,) of the unknowns `kept` alone, all others free to follow (Schur complement)."""
    other = np.setdiff1d(np.arange(len(gradient)), kept)
    inner = hessian[np.ix_(other, other)] + 1e-6 * np.eye(len(other))
    across = hessian[np.ix_(kept, other)]
    through = np.linalg.solve(inner, np.column_stack([across.T, gradient[other]]))
    return hessian[np.ix_(kept, kept)] - across @ through[:, :-1], gradient[kept] - across @ through[:, -1]
