"""The far side's colours as the colour network guesses them, and where they are better than the rules of fill.py.

Measured and looked at on people of the val split (docs/anim.md): of people who face the camera the network knows heads
and feet better; the rules know hems to the centimetre, and neither is claimed to be better on chests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..body.model import BodyModel
from ..core.capture import Capture
from ..core.fit import Fit
from ..core.skinning import strongest
from ..surface.color.looks import body_marks
from ..surface.color.network import ColorNetwork
from ..surface.color.predict import FarSide, guess_far_side
from .fill import RestBody
from .limbs import PAIRED, paired, region_weights
from .photo import ramp

# Where it would make the hidden head lighter than the rules by more than this (of 255), they have found hair that it
# has not.
_LIGHTER = (4.0, 12.0)
_FACE_SEEN = 0.1
_MANY = 20


def wanted(body: RestBody) -> NDArray[np.float32]:
    """(V,) f32 0..1: where on the body the network is asked: heads and feet."""
    shares = paired(body.regions)
    return shares[:, PAIRED.index("head")] + shares[:, PAIRED.index("foot")]


def trusted(body: RestBody, visible: NDArray, far: NDArray, rules: NDArray, told: NDArray) -> NDArray[np.float32]:
    """(V,) f32 0..1: the part of `far` (V,) that stays.

    visible (V,): how well the picture shows a vertex; rules, told (V, 3) 0..255: its colours by either.
    """
    cheeks = body.cheeks > 0.5
    # Whoever looks away has a face on the far side, and the rules know to leave it plain.
    if not cheeks.any() or visible[cheeks].mean() < _FACE_SEEN:
        return np.zeros(len(far), np.float32)
    head = paired(body.regions)[:, PAIRED.index("head")]
    mine = far * head > 0.5
    lighter = float((told - rules)[mine].mean()) if mine.sum() >= _MANY else 0.0
    return (1 - head * ramp(np.array(lighter), *_LIGHTER)).astype(np.float32)


def far_side(capture: Capture, model: BodyModel, fit: Fit, network: ColorNetwork | None = None) -> FarSide:
    """Colours of what the capture's rays leave last; network: by default the one that ships.

    Raises LikenessError("input.weights").
    """
    vertices, _ = model.posed(fit.betas, fit.pose, fit.translation)
    return guess_far_side(capture, (vertices, model.faces), marks_of(model, fit.betas), network)


def marks_of(model: BodyModel, betas: NDArray) -> NDArray[np.float32]:
    """(V, MARKS): where on the body each vertex of a model is; see `body_marks`."""
    joints, weights = strongest(model.weights, 4)
    regions = region_weights(joints, weights, list(model.joint_names))
    return body_marks(model.rest(betas)[0], paired(regions))
