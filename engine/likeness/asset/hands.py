"""Joints of wrists and fingers laid into the surface: a finger turns about its own middle, or it leaves its skin."""

from __future__ import annotations

import numpy as np

from ..body.model import BodyModel
from ..core.fit import Fit
from ..core.frames import rodrigues
from ..core.skinning import joint_transforms, posed_joints
from ..core.surface import CapturedSurface
from .limbs import REGIONS, region_of_joint

#: A surface farther from the body says nothing about where a finger's joint lies.
_MOST_M = 0.06
#: Sum of weights that a ring of skin must have to move its joint.
_LEAST_RING = 0.5


def joints_in_surface(surface: CapturedSurface, model: BodyModel, fit: Fit) -> np.ndarray:
    """Rest joints (J, 3) f64 of the fitted body, those of wrists and fingers moved with the skin around them.

    A fitted hand misses the captured one by a centimetre or three, and the drape carries the skin there. Arms and legs
    are thick enough not to care. surface: with skin_weights, body_corners and body_shares. The pose stays the fit's.
    """
    assert surface.skin_weights is not None
    assert surface.body_corners is not None and surface.body_shares is not None
    rest = model.rest(fit.betas)[1].astype(np.float64)
    turns = rodrigues(np.asarray(fit.pose, np.float64))
    moves = joint_transforms(turns, rest, model.parents)
    posed = posed_joints(moves, rest)
    body = model.posed(fit.betas, fit.pose, correctives=True)[0][surface.body_corners]
    skin = np.einsum("vk,vkc->vc", surface.body_shares, body)
    moved = surface.vertices - np.asarray(fit.translation, np.float64) - skin
    near = np.linalg.norm(moved, axis=1) < _MOST_M
    regions = region_of_joint(model.joint_names)
    hands = np.isin(regions, [REGIONS.index("left_hand"), REGIONS.index("right_hand")])
    for joint in np.flatnonzero(hands):
        parent = int(model.parents[joint])
        # Skin that a joint shares with its parent lies in a ring around it.
        ring = surface.skin_weights[near, joint].astype(np.float64) * surface.skin_weights[near, parent]
        shift = ring @ moved[near] / ring.sum() if ring.sum() > _LEAST_RING else np.zeros(3)
        rest[joint] = rest[parent] + moves[parent, :3, :3].T @ (posed[joint] + shift - posed[parent])
        posed[joint] += shift
    return rest
