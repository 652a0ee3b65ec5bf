"""Cloth bridges hollows of the body: the cleft behind trousers, the gaps between toes in a shoe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import ConvexHull

from .solve import SmoothField

# Hollows narrower than this are bridged; a waist or the small of the back is wider and stays.
BRIDGE_M = 0.05
PULLS = 8
DEEPEST_M = 0.05
RIM_M = 0.008
# From the ball of the foot, where the cap of a shoe begins, to where it is whole: weights of the toes' joint.
TOE_WEIGHTS = (0.3, 0.6)
# Regions whose hollows cloth hides. Front hollows are corrected by depth anyway; this is for the sides that nobody saw.
DRESSED = {"trunk": 1.0, "legs": 0.5, "feet": 1.0, "arms": 0.0, "bare": 0.0}
# A body that fits four fifths of a region's readings this well wears nothing there, or nothing that matters.
BARE_M = 0.0015
LEAST_VOTES = 50.0
# Cloth that stands off this far levels bulges wholly, thinner cloth in proportion.
LEVELLING_M = 0.035


def region(joint_name: str) -> str:
    """Which piece of clothing covers the skin of a joint."""
    if joint_name.endswith(("ankle", "foot")):
        return "feet"
    if joint_name.endswith("knee"):
        return "legs"
    if joint_name.endswith(("shoulder", "elbow")):
        return "arms"
    if joint_name.endswith(("wrist", "hand")) or joint_name in ("head", "neck"):
        return "bare"
    return "trunk"


def taut_cloth(vertices: np.ndarray, normals: np.ndarray, field: SmoothField) -> tuple[np.ndarray, np.ndarray]:
    """How taut cloth differs from the (V, 3) vertices along `normals`, metres.

    hollows (V,) >= 0: what it bridges; bulges (V,) <= 0: what thick cloth levels (a loose jacket shows no breast).
    """
    height, bulges = np.zeros(len(vertices)), np.zeros(len(vertices))
    low_pass = field.low_pass(BRIDGE_M)
    # One smoothing fills a hollow by half; what it filled holds the next one up.
    for pull in range(PULLS):
        taut = vertices + height[:, None] * normals
        smooth = low_pass(taut)
        lift = np.sum((smooth - taut) * normals, axis=1)
        if pull == 0:
            bulges = np.minimum(lift, 0.0)
        height += np.maximum(lift, 0.0)
    # Where filling begins the surface would kink.
    height = np.clip(field.low_pass(RIM_M)(height[:, None])[:, 0], 0.0, DEEPEST_M)
    return height, np.maximum(bulges, -DEEPEST_M)


def toe_caps(vertices: np.ndarray, weights: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(V, 3) metres from the toes to the cap of a shoe: the toes' convex hull, which a shoe nearly is.

    vertices (V, 3); weights (V, J), names of the joints. Zero off the toes.
    """
    move = np.zeros_like(vertices)
    for joint in (j for j, name in enumerate(names) if name.endswith("foot")):
        toes = np.flatnonzero(weights[:, joint] > TOE_WEIGHTS[0])
        share = np.clip((weights[toes, joint] - TOE_WEIGHTS[0]) / (TOE_WEIGHTS[1] - TOE_WEIGHTS[0]), 0.0, 1.0)
        if len(toes) < 4 or share.min() > 0.5:
            continue
        # Seen from the ball of the foot toes point away: outwards from there their sides shrink to lines and the gaps
        # between them open, so that nothing folds.
        ball = vertices[toes[share < 0.5]].mean(axis=0)
        facets = ConvexHull(vertices[toes]).equations
        out = vertices[toes] - ball
        along = out @ facets[:, :3].T
        room = -(facets[:, :3] @ ball + facets[:, 3])
        exits = np.where(along > 1e-6, room / np.maximum(along, 1e-6), np.inf).min(axis=1)
        move[toes] = (share * (np.clip(exits, 1.0, 3.0) - 1.0))[:, None] * out
    return move


def levelling(thickness: np.ndarray, weights: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(V,) 0..1: how far bulges are levelled under cloth of (V,) `thickness` metres; on the trunk alone."""
    trunk = weights[:, [region(n) == "trunk" and not n.endswith("hip") for n in names]].sum(axis=1)
    return trunk * np.clip(thickness / LEVELLING_M, 0.0, 1.0)


def dressed(misfit: np.ndarray, weight: np.ndarray, weights: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(V,) 0..1: how far hollows are bridged, region by region.

    misfit (V,): distance of measured depth from the undressed body, metres, counted by weight (V,). Where a region of
    the body lies on its measurement to some millimetres nothing is worn there. weights (V, J), names of the joints.
    """
    strongest = np.argmax(weights, axis=1)
    regions = np.array([region(n) for n in names])
    share = np.zeros(len(names))
    for name, default in DRESSED.items():
        joints = regions == name
        votes = joints[strongest] * weight
        share[joints] = default
        if votes.sum() > LEAST_VOTES:
            share[joints] *= np.clip((_quantile(misfit, votes, 0.8) - BARE_M) / BARE_M, 0.0, 1.0)
    return weights @ share


def _quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, share * total[-1])])
