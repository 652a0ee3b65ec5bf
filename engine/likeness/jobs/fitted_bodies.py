"""The body that the product itself fits to a made picture, in place of a disturbed true one.

Disturbed bodies miss everywhere alike; a fit keeps one distance from what was measured and errs behind it, in clothes
and in hidden limbs. Networks that are given fits in use have to have seen some. Takes 3 to 4 seconds a view and the
landmark models, so samples that want fits say so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likeness.body.model import product_body
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit

# Capture -> its fit; raises LikenessError where there is nobody to fit.
Fitter = Callable[[Capture], Fit]


@dataclass(frozen=True)
class FittedBody:
    """vertices (V, 3), joints (J, 3) f32 m in camera space; faces (F, 3)."""

    vertices: NDArray[np.float32]
    joints: NDArray[np.float32]
    faces: NDArray


def product_fit(capture: Capture) -> Fit:
    """The fit that `likeness fit` makes."""
    # Here, as machines that only train lack what reading captures and landmarks needs.
    from likeness.body.fit import fit_body
    from likeness.jobs.reading import find_person

    return fit_body(capture, product_body(), find_person(capture))


def made_capture(color: NDArray, depth: NDArray, mask: NDArray, camera: Camera) -> Capture:
    """What a user would have of a made picture: color (H, W, 3) u8, depth (H, W) m cleaned, mask (H, W)."""
    inside = np.ascontiguousarray(mask.astype(bool))
    measured = np.ascontiguousarray(np.where(inside, depth, 0), np.float32)
    return Capture(np.ascontiguousarray(color), inside, measured, camera, True, "made view", "", "file")


def fitted_body(capture: Capture, fitter: Fitter) -> FittedBody | None:
    """The bare body as fitted; None where the product refuses."""
    try:
        fit = fitter(capture)
    except LikenessError:
        return None
    model = product_body(fit.people)
    vertices, joints = model.posed(fit.betas, fit.pose, fit.translation)
    return FittedBody(vertices, joints, model.faces)
