"""Fit one person to several photos: one shape, one pose each.

Every photo is fitted alone first. What each then says about the shape is the Schur complement of its normal equations
on the betas, all else free; the sum of these, with the priors counted once, is one small linear system for the shape
they share. With it held, every photo is fitted on, twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from likeness.body.fit import Fitter, fitter_of
from likeness.body.fit_points import BETAS
from likeness.body.landmarks import Landmarks
from likeness.body.model import BodyModel
from likeness.core.capture import Capture
from likeness.core.fit import Fit
from likeness.core.progress import Report, quiet

ROUNDS = 2


def fit_photos(
    captures: Sequence[Capture],
    model: BodyModel,
    landmarks: Sequence[Landmarks],
    *,
    report: Report = quiet,
    seed: int = 0,
    height_m: float | None = None,
) -> list[Fit]:
    """One fit a capture, in their order, all with the same betas; else as fit_body, which one capture alone gives.

    Captures with depth may be among them: they settle the shape's size. Raises what fit_body raises.
    """
    fitters = [fitter_of(c, model, l, seed=seed, height_m=height_m) for c, l in zip(captures, landmarks, strict=True)]
    for number, fitter in enumerate(fitters):
        fitter.fit_alone()
        report(0.7 * (number + 1) / len(fitters), "Fitting the body to each photo")
    for turn in range(ROUNDS if len(fitters) > 1 else 0):
        betas = shared_shape(fitters)
        for fitter in fitters:
            fitter.fit_with(betas)
        report(0.7 + 0.3 * (turn + 1) / ROUNDS, "Fitting one shape to all photos")
    return [fitter.result() for fitter in fitters]


def shared_shape(fitters: Sequence[Fitter]) -> np.ndarray:
    """The betas (K,) that all photos together like best."""
    normal, right = fitters[0].shape_prior()
    for fitter in fitters:
        system, betas = fitter.system(), fitter.trial.state.betas
        matrix, slope = marginal(system.hessian, system.gradient, np.arange(len(system.scale))[BETAS])
        prior, prior_right = fitter.shape_prior()
        normal = normal + matrix - prior
        right = right + matrix @ betas - slope - prior_right
    return np.asarray(np.linalg.solve(normal, right))


def marginal(hessian: np.ndarray, gradient: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations (K, K), (K,) of the unknowns `kept` alone, all others free to follow (Schur complement)."""
    other = np.setdiff1d(np.arange(len(gradient)), kept)
    inner = hessian[np.ix_(other, other)] + 1e-6 * np.eye(len(other))
    across = hessian[np.ix_(kept, other)]
    through = np.linalg.solve(inner, np.column_stack([across.T, gradient[other]]))
    return hessian[np.ix_(kept, kept)] - across @ through[:, :-1], gradient[kept] - across @ through[:, -1]
