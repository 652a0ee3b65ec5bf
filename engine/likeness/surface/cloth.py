"""Cloth bridges hollows of the body: the cleft behind trousers, the spine, the gaps between toes in a shoe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from .refine import unique_edges
from .solve import SmoothField

# Hollows narrower than this are bridged; a waist or the small of the back is wider and stays.
BRIDGE_M = 0.05
# Heights at which the trunk is cut, and over which a seat begins above the place where legs part.
SLICE_M, CROTCH_M = 0.01, 0.05
# Of a cut's half width: where hollows of the back begin to count less, and where they are a side's.
SIDE = (0.6, 0.85)
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


def flat_back(rest: np.ndarray, faces: np.ndarray, weights: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(V, 3) metres at rest from the back to cloth that is drawn from cheek to cheek and from blade to blade.

    rest (V, 3) facing +Z, Y up, of faces (F, 3); weights (V, J), names of the joints. At each height cloth follows the
    convex hull of the back's cut. Zero off the back, on its sides, and where the legs part.
    """
    move = np.zeros_like(rest)
    trunk = weights[:, [region(n) == "trunk" for n in names]].sum(axis=1)
    inside = np.flatnonzero(trunk > 0.5)
    middle = inside[np.abs(rest[inside, 0]) < SLICE_M]
    if len(middle) < 4:
        return move
    low, high = (float(end) for end in (rest[middle, 1].min(), rest[middle, 1].max()))
    rows = inside[rest[inside, 2] < np.median(rest[middle, 2])]
    x, y, z = rest[rows].T
    edges = unique_edges(faces)[0]
    edges = edges[np.isin(edges, rows).all(axis=1)]
    cuts = [_cover(rest[edges[:, 0]], rest[edges[:, 1]], height) for height in np.arange(low, high + SLICE_M, SLICE_M)]
    place = (y - low) / SLICE_M
    below = np.clip(np.floor(place).astype(int), 0, len(cuts) - 2)
    share = np.clip(place - below, 0, 1)
    depth = (1 - share) * _depth(x, z, below, cuts) + share * _depth(x, z, below + 1, cuts)
    # The legs part at the lowest place of the middle, the shoulders turn at the trunk's end.
    ends = np.clip(np.minimum((y - low) / CROTCH_M, (high - y) / (2 * CROTCH_M)), 0, 1)
    move[rows, 2] = -np.clip(depth, 0, DEEPEST_M) * ends * np.clip((trunk[rows] - 0.5) / 0.3, 0, 1)
    return move


def _cover(start: np.ndarray, end: np.ndarray, height: float) -> np.ndarray:
    """(K, 2) x ascending and z of the hull of the cut through edges from start to end (E, 3), as far as it is its back;
    empty where there is no cut."""
    across = (start[:, 1] < height) != (end[:, 1] < height)
    start, end = start[across], end[across]
    share = ((height - start[:, 1]) / (end[:, 1] - start[:, 1]))[:, None]
    cut = (start + share * (end - start))[:, [0, 2]]
    if len(cut) < 4:
        return np.zeros((0, 2))
    corners = cut[ConvexHull(cut).vertices]
    corners = corners[np.argsort(corners[:, 0])]
    line = np.interp(corners[:, 0], corners[[0, -1], 0], corners[[0, -1], 1])
    return corners[corners[:, 1] <= line + 1e-9]


def _depth(x: np.ndarray, z: np.ndarray, chosen: np.ndarray, cuts: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) metres from z (N,) back to the hull of each vertex's chosen cut, less and less towards the cut's ends."""
    depth = np.zeros(len(x))
    for number in np.unique(chosen):
        corners, mine = cuts[number], chosen == number
        if not len(corners):
            continue
        half = max(float(np.ptp(corners[:, 0])) / 2, 1e-6)
        from_middle = np.abs(x[mine] - corners[[0, -1], 0].mean()) / half
        inner = np.clip((SIDE[1] - from_middle) / (SIDE[1] - SIDE[0]), 0, 1)
        depth[mine] = inner * (z[mine] - np.interp(x[mine], corners[:, 0], corners[:, 1]))
    return depth


def turned(move: np.ndarray, rest: np.ndarray, posed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Displacements (V, 3) at rest as the bones turned them: rest and posed (V, 3) of the same body, weights (V, J)."""
    out, total = np.zeros_like(move), np.zeros(len(move))
    moving = move.any(axis=1)
    for joint in np.flatnonzero(weights[moving].max(axis=0, initial=0) > 0.05):
        held = weights[:, joint] > 0.5
        if held.sum() < 10:
            continue
        before, after = (points[held] - points[held].mean(axis=0) for points in (rest, posed))
        turn = Rotation.align_vectors(after, before)[0]
        out += weights[:, joint, None] * turn.apply(move)
        total += weights[:, joint]
    return out / np.maximum(total, 1e-6)[:, None]


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
