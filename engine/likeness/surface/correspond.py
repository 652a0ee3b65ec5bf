"""What the picture asks of each vertex: measured depth under it, and the outline beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from .depthmap import DepthMap
from .view import Rays, View, outline_distance

# A depth pixel is labelled by the nearest vertex; a quarter of the pixels of a 2-megapixel map tells as much.
MAX_LABELLED = 60_000
# Whatever of the body lies further outside the mask than any fit error was missed by the mask (black cloth returns no
# depth), and is left where the body has it.
MAX_INWARD_M = 0.08


@dataclass(frozen=True)
class Wishes:
    """Wanted movements of the vertices, metres in camera space.

    move (V, 3): the movement; weight (V,): 0 where nothing is wanted; normal (V, 3): for depth the measured normal,
    for outlines the direction of the movement (only the part of a movement along it was measured).
    noise (V,): standard deviation of the readings there, metres; 0 for outlines.
    """

    move: np.ndarray
    weight: np.ndarray
    normal: np.ndarray
    noise: np.ndarray


def joint_neighbours(parents: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(J, J) bool: joints whose skin may pass for each other's: at most two bones apart, never left with right."""
    count = len(parents)
    near = np.eye(count, dtype=bool)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            near[joint, parent] = near[parent, joint] = True
    near = (near.astype(int) @ near.astype(int)) > 0
    side = np.array([-1 if n.startswith("left") else 1 if n.startswith("right") else 0 for n in names])
    return near & (side[:, None] * side[None, :] >= 0)


def sample_depth(depth: DepthMap, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth (N,) metres and trust (N,) at (N, 2) pixels, bilinear over readings of one surface; 0 without."""
    height, width = depth.depth.shape
    u0, v0 = np.floor(uv[:, 0]).astype(int), np.floor(uv[:, 1]).astype(int)
    fu, fv = uv[:, 0] - u0, uv[:, 1] - v0
    total, weight, trust = (np.zeros(len(uv)) for _ in range(3))
    low, high = np.full(len(uv), np.inf), np.zeros(len(uv))
    for dv in (0, 1):
        for du in (0, 1):
            u, v = u0 + du, v0 + dv
            inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
            u, v = np.clip(u, 0, width - 1), np.clip(v, 0, height - 1)
            z = np.where(inside, depth.depth[v, u], 0.0)
            share = np.where(du, fu, 1 - fu) * np.where(dv, fv, 1 - fv) * (z > 0)
            total += share * z
            trust += share * depth.trust[v, u]
            weight += share
            low, high = np.where(z > 0, np.minimum(low, z), low), np.maximum(high, z)
    good = (weight > 0.5) & (high - low < 0.04)
    return np.where(good, total / np.maximum(weight, 1e-9), 0.0), np.where(good, trust, 0.0)


def depth_labels(depth: DepthMap, vertices: np.ndarray, visible: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """(H, W) i64: joint of the visible vertex that is nearest in space to each depth reading, -1 without a reading.

    joint (V,) is each vertex's strongest joint. Nearest in space and not in the picture: a forearm before the belly
    labels its own readings and leaves the belly's alone.
    """
    out = np.full(depth.depth.shape, -1, np.int64)
    rows, cols = np.nonzero(depth.depth > 0)
    chosen = np.flatnonzero(visible)
    if len(rows) == 0 or len(chosen) == 0:
        return out
    step = int(np.ceil(np.sqrt(max(1.0, len(rows) / MAX_LABELLED))))
    kept = (rows % step == 0) & (cols % step == 0)
    nearest = cKDTree(vertices[chosen]).query(depth.points[rows[kept], cols[kept]])[1]
    out[rows[kept], cols[kept]] = joint[chosen[nearest]]
    if step > 1:
        missing = out < 0
        index = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
        out = np.where(depth.depth > 0, out[tuple(index)], -1)
    return out


def depth_wishes(
    view: View,
    rays: Rays,
    normals: np.ndarray,
    joint: np.ndarray,
    neighbours: np.ndarray,
    gate_m: float,
    *,
    far: DepthMap | None = None,
) -> Wishes:
    """Movements along the ray to the measured depth, for visible vertices that face the camera.

    normals (V, 3) outward; neighbours (J, J) from joint_neighbours. A reading further than `gate_m` from the vertex,
    of another body part, or with a normal more than 75 degrees off is another surface and is left alone. far: a map of
    the side that faces away, with normals that do; then it is about the vertices that are in plain view from behind.
    """
    depth, vertices = far or view.depth, rays.vertices.astype(np.float64)
    none = np.zeros_like(vertices)
    if depth is None:
        return Wishes(none, np.zeros(len(vertices)), none, np.zeros(len(vertices)))
    visible = rays.visible(behind=far is not None)
    uv = view.camera.project(vertices)
    z, trust = sample_depth(depth, uv)
    move = vertices * (z / np.maximum(vertices[:, 2], 1e-6) - 1)[:, None]
    row, col = _pixel(uv, depth.depth.shape)
    measured = depth.normals[row, col]
    toward = (vertices if far is not None else -vertices) / np.linalg.norm(vertices, axis=1, keepdims=True)
    facing = np.clip((np.sum(normals * toward, axis=1) - 0.05) / 0.25, 0, 1)
    agree = np.clip((np.sum(normals * measured, axis=1) - 0.25) / 0.35, 0, 1)
    label = depth_labels(depth, vertices, visible & (facing > 0), joint)[row, col]
    same = (label >= 0) & neighbours[np.maximum(label, 0), joint]
    # Distance to the measured plane, not along the ray: at grazing incidence the two differ by a lot.
    plane = np.abs(np.sum(move * measured, axis=1))
    gate = np.clip(1 - (plane / gate_m) ** 2, 0, 1) ** 2
    weight = trust * facing * agree * gate * (visible & same & (z > 0))
    return Wishes(move, weight, measured, depth.noise[row, col])


def outline_wishes(view: View, rays: Rays, normals: np.ndarray, reach_m: float, gate_m: float) -> Wishes:
    """Movements in the image plane that bring the mesh's outline onto the mask's.

    Vertices that project outside the mask move to its nearest pixel. Vertices on the mesh's own outline move outwards
    along their normal as long as the mask (and, where measured, depth within `gate_m`) goes on, at most `reach_m`;
    where another part of the mesh comes towards them (a skirt between two legs) they meet half way.
    """
    vertices = rays.vertices.astype(np.float64)
    camera, focal = view.camera, (view.camera.fx + view.camera.fy) / 2
    uv = camera.project(vertices)
    px = vertices[:, 2] / focal
    face, rendered = rays.render(camera)
    covered = face >= 0
    # The picture's border is no outline: beyond it the person may go on.
    mask_rim = _sample(outline_distance(view.mask | ~view.known), uv)
    own_rim = _sample(outline_distance(covered | ~view.known), uv)
    known = _sample(view.known.astype(float), uv) > 0.99
    outward = normals[:, :2] / np.maximum(np.linalg.norm(normals[:, :2], axis=1, keepdims=True), 1e-9)
    toward = -vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    profile = np.clip(1 - np.abs(np.sum(normals * toward, axis=1)) / 0.5, 0, 1)

    # Inwards: towards the mask's nearest pixel, for every vertex that sticks out. Both outlines are sampled from pixel
    # masks of one resolution, so that their rounding cancels: a body on its own mask does not move.
    distance, index = ndimage.distance_transform_edt(~view.mask, return_indices=True)
    row, col = _pixel(uv, view.mask.shape)
    nearest = np.stack([index[1][row, col], index[0][row, col]], axis=1) - uv
    missed = _missed(covered & ~view.mask & view.known, distance * float(np.median(px)))
    sticks_out = known & (mask_rim < 0) & ~missed[row, col]
    inward = np.maximum(np.minimum(own_rim, 1.5) - mask_rim, 0.0)
    pull = nearest * (inward / np.maximum(np.linalg.norm(nearest, axis=1), 1e-9))[:, None]

    on_rim = known & (np.abs(own_rim) < 2.0) & (profile > 0)
    gap = mask_rim - own_rim
    wide = np.flatnonzero(on_rim & (gap > 2.0))
    outward_px = np.where(on_rim, gap, 0.0)
    reach = _reach(view, rendered, uv[wide], outward[wide], vertices[wide, 2], px[wide], reach_m, gate_m)
    outward_px[wide] = np.maximum(reach - np.maximum(own_rim[wide], 0), 2.0)
    on_rim[wide] &= reach >= 0
    push = outward * outward_px[:, None]

    move2d = np.where(sticks_out[:, None], pull, push)
    weight = np.where(sticks_out, 1.0, np.where(on_rim & ~missed[row, col], profile, 0.0))
    move = np.concatenate([move2d * px[:, None], np.zeros((len(vertices), 1))], axis=1)
    size = np.linalg.norm(move, axis=1, keepdims=True)
    direction = np.concatenate([outward, np.zeros((len(vertices), 1))], axis=1)
    towards = np.where(size > 1e-9, move / np.maximum(size, 1e-12), direction)
    return Wishes(move, weight, towards, np.zeros(len(vertices)))


def _missed(overhang: np.ndarray, distance_m: np.ndarray) -> np.ndarray:
    """(H, W) bool: the pieces of `overhang` (body outside the mask) that reach too far outside to be a fit error."""
    label, count = ndimage.label(overhang)
    if count == 0:
        return np.zeros(overhang.shape, bool)
    farthest = np.asarray(ndimage.maximum(distance_m, label, index=np.arange(count + 1)))
    farthest[0] = 0.0
    # The rim of such a piece is cut through the body and says as little as the piece itself.
    return ndimage.binary_dilation((farthest > MAX_INWARD_M)[label], iterations=4)


def _reach(
    view: View,
    rendered: np.ndarray,
    uv: np.ndarray,
    outward: np.ndarray,
    z: np.ndarray,
    px: np.ndarray,
    reach_m: float,
    gate_m: float,
) -> np.ndarray:
    """How many pixels each contour vertex (N, 2) may go along (N, 2) `outward` before the person ends.

    -1 where the picture ends first.
    """
    shape = view.mask.shape
    alive = np.ones(len(uv), bool)
    met = np.zeros(len(uv), bool)
    reach = np.zeros(len(uv))
    longest = int(np.ceil(reach_m / max(float(np.median(px)), 1e-6))) if len(uv) else 0
    for step in range(1, longest + 1):
        row, col = _pixel(uv + outward * step, shape)
        reach[alive & ~view.known[row, col]] = -1
        inside = view.mask[row, col]
        if view.depth is not None:
            measured = view.depth.depth[row, col]
            inside = inside & ((measured == 0) | (np.abs(measured - z) < gate_m))
        # The first pixels may still show the vertex's own neighbourhood.
        met |= alive & (step > 3) & (rendered[row, col] > 0)
        alive &= inside & ~met & (step * px <= reach_m)
        if not alive.any():
            break
        reach[alive] = step
    return np.where(met, reach / 2, reach)


def _pixel(uv: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    col = np.clip(np.rint(uv[:, 0]), 0, shape[1] - 1).astype(int)
    row = np.clip(np.rint(uv[:, 1]), 0, shape[0] - 1).astype(int)
    return row, col


def _sample(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear values of a (H, W) image at (N, 2) pixels; the border's value beyond it."""
    return ndimage.map_coordinates(image, [uv[:, 1], uv[:, 0]], order=1, mode="nearest")


def outline_inside(view: View, vertices: np.ndarray) -> np.ndarray:
    """(V,) 0..1: how safely (V, 3) vertices project into the mask; falls to 0 at its rim over two pixels."""
    return np.clip(_sample(outline_distance(view.mask), view.camera.project(vertices)) / 2.0, 0, 1)
