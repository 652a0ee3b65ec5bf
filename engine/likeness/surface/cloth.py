"""Cloth bridges hollows of the body: the cleft behind trousers, the gaps between toes in a shoe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .correspond import Wishes
from .solve import SmoothField

# Hollows narrower than this are bridged; a waist or the small of the back is wider and stays.
BRIDGE_M = 0.035
# Nobody shows hollows under clothes in a photo: trunk and feet are dressed unless depth says otherwise.
DRESSED_BY_DEFAULT = {"trunk": 1.0, "legs": 0.5, "feet": 1.0, "arms": 0.0, "bare": 0.0}
# The default counts as much as this many vertices that measure a hollow of 5 mm.
DEFAULT_VOTES = 20
HOLLOW_M = 0.002


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


def hollows(vertices: np.ndarray, normals: np.ndarray, field: SmoothField) -> np.ndarray:
    """(V,) metres by which taut cloth would lie above (V, 3) vertices, 0 where the body is convex."""
    smooth = field.solve(vertices, np.ones(len(vertices)), BRIDGE_M)
    return np.maximum(np.sum((smooth - vertices) * normals, axis=1), 0.0)


def dressed(
    hollow: np.ndarray, normals: np.ndarray, depth: Wishes, weights: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """(V,) 0..1: how far hollows are bridged, region by region.

    Where depth was measured, the share of each hollow (V,) metres that the readings fill decides; weights (V, J).
    """
    cosine = np.sum(normals * depth.normal, axis=1)
    facing = cosine > 0.3
    above = np.sum(depth.normal * depth.move, axis=1) / np.where(facing, cosine, 1.0)
    vote = np.where(facing & (hollow > HOLLOW_M), depth.weight, 0.0)
    strongest = np.argmax(weights, axis=1)
    share = np.zeros(len(names))
    regions = np.array([region(n) for n in names])
    for name, default in DRESSED_BY_DEFAULT.items():
        joints = regions == name
        if name == "bare":
            continue
        mine = joints[strongest] * vote
        prior = DEFAULT_VOTES * 0.005**2
        filled = (np.sum(mine * hollow * above) + prior * default) / (np.sum(mine * hollow**2) + prior)
        share[joints] = np.clip(filled, 0.0, 1.0)
    return weights @ share
