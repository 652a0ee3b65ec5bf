"""Backpacks, bags on a strap or in the hand, and scarves, built around what a person wears."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from likeness.synthesis.figure import Floats
from likeness.synthesis.layering import push_outside
from likeness.synthesis.pieces import Piece, joined
from likeness.synthesis.skeleton import dense_weights, strongest_four
from likeness.synthesis.wearer import Wearer

BAGS = ("backpack", "shoulder bag", "handbag")
Surface = tuple[Floats, Floats]
STRAP_GAP_M = 0.005
# A band's cross-section: side as a share of the width, and rise in metres.
_SECTION = ((-0.5, 0.0), (-0.5, 0.004), (0.0, 0.005), (0.5, 0.004), (0.5, 0.0), (0.0, -0.001), (-0.5, 0.0))


def accessory(noun: str, wearer: Wearer, surface: Surface, seed: int) -> Piece:
    """A bag of BAGS or a scarf. surface: points and normals (N, 3) of skin and clothes. seed: its size and side."""
    rng = np.random.default_rng((seed, 11))
    return {"backpack": _backpack, "shoulder bag": _shoulder_bag, "handbag": _handbag, "scarf": _scarf}[noun](
        wearer, surface, rng
    )


def _backpack(wearer: Wearer, surface: Surface, rng: np.random.Generator) -> Piece:
    at, size = wearer.measures, wearer.measures.size
    half = np.array([rng.uniform(0.13, 0.16), rng.uniform(0.18, 0.24), rng.uniform(0.06, 0.1)]) * size
    top = at.neck - 0.05 * size
    middle = top - half[1]
    points = surface[0]
    near = (np.abs(points[:, 0]) < half[0]) & (np.abs(points[:, 1] - middle) < half[1])
    back = float(np.quantile(points[near, 2], 0.02))
    box = _rigid(_box(np.array([0, middle, back - half[2] * 0.92]), half), (0.15, 0.35, 0.5), (3, 6, 9))
    straps = []
    for side in (-1, 1):
        x, wide = side * 0.075 * size, side * 0.13 * size
        low = middle - 0.55 * half[1]
        path = np.array(
            [
                [x * 0.8, top - 0.03 * size, back],
                [x, at.neck - 0.01, back + 0.05],
                [x * 1.15, at.neck + 0.02, at.neck_z],
                [x * 1.3, at.neck - 0.06 * size, at.neck_z + 0.12 * size],
                [wide, at.armpit - 0.03 * size, at.neck_z + 0.11 * size],
                [wide * 1.25, low + 0.05 * size, at.neck_z + 0.02],
                [wide, low, back + 0.01],
            ]
        )
        straps.append(_strap(wearer, _laid(path, "bbuffsb", surface), 0.05 * size, surface))
    return joined([box, *straps])


def _shoulder_bag(wearer: Wearer, surface: Surface, rng: np.random.Generator) -> Piece:
    at, size = wearer.measures, wearer.measures.size
    side = 1 if rng.random() < 0.5 else -1
    half = np.array([rng.uniform(0.04, 0.06), rng.uniform(0.1, 0.15), rng.uniform(0.12, 0.18)]) * size
    middle = at.crotch + rng.uniform(-0.02, 0.08) * size
    points = surface[0]
    near = (np.abs(points[:, 1] - middle) < half[1]) & (points[:, 0] * side > 0) & (np.abs(points[:, 0]) < 0.4 * size)
    hip = float(np.quantile(points[near, 0] * side, 0.99))
    axis = wearer.envelope.axis
    box = _rigid(_box(np.array([side * (hip + half[0]), middle, axis]), half), (1.0,), (0,))
    top = middle + 0.8 * half[1]
    far = -side * 0.085 * size
    path = np.array(
        [
            [side * hip, top, axis + 0.5 * half[2]],
            [side * 0.6 * hip, at.waist + 0.02, axis + 0.14 * size],
            [0.0, at.armpit - 0.05 * size, axis + 0.15 * size],
            [far, at.neck - 0.05 * size, at.neck_z + 0.1 * size],
            [far * 1.1, at.neck + 0.02, at.neck_z],
            [far, at.neck - 0.06 * size, at.neck_z - 0.1 * size],
            [0.0, at.armpit - 0.06 * size, axis - 0.12 * size],
            [side * 0.6 * hip, at.waist, axis - 0.12 * size],
            [side * hip, top, axis - 0.5 * half[2]],
        ]
    )
    return joined([box, _strap(wearer, _laid(path, ".fffubbb.", surface), 0.035 * size, surface)])


def _handbag(wearer: Wearer, surface: Surface, rng: np.random.Generator) -> Piece:
    side, size = (1 if rng.random() < 0.5 else -1), wearer.measures.size
    knuckle = wearer.rest.joints[25 if side > 0 else 40].astype(float)
    # Arms hang most of the time: what is outward in the T pose is down then.
    half = np.array([rng.uniform(0.1, 0.14), rng.uniform(0.045, 0.07), rng.uniform(0.13, 0.18)]) * size
    grip = knuckle + [side * 0.03 * size, -0.025 * size, 0]
    drop = 0.11 * size
    box = _box(grip + [side * (drop + half[0]), 0, 0], half)
    handle = np.array(
        [
            [side * (drop + 0.02), 0, -0.5 * half[2]],
            [side * 0.5 * drop, 0, -0.4 * half[2]],
            [0.0, 0, 0.0],
            [side * 0.5 * drop, 0, 0.4 * half[2]],
            [side * (drop + 0.02), 0, 0.5 * half[2]],
        ]
    )
    parts = [box, _ribbon(handle + grip, 0.02 * size, np.array([0.0, 1.0, 0.0]))]
    return _rigid(joined(parts), (1.0,), (20 if side > 0 else 21,))


def _scarf(wearer: Wearer, surface: Surface, rng: np.random.Generator) -> Piece:
    at, size = wearer.measures, wearer.measures.size
    thick = rng.uniform(0.02, 0.035) * size
    around, across = 48, 12
    angle, turn = np.meshgrid(np.arange(around + 1) / around * 2 * np.pi, np.arange(across + 1) / across * 2 * np.pi)
    wave = 1 + 0.12 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.08 * np.sin(7 * angle + rng.uniform(0, 6))
    radius = 0.068 * size + thick * (1 + 0.75 * np.cos(turn) * wave)
    points = np.stack(
        [
            radius * np.sin(angle),
            at.neck + 0.012 * size + 1.3 * thick * np.sin(turn) * wave - 0.022 * size * np.cos(angle),
            at.neck_z + 0.012 * size + 1.05 * radius * np.cos(angle),
        ],
        2,
    ).astype(np.float32)
    ring = _grid(points, closed=True)
    x = rng.choice([-1, 1]) * 0.03 * size
    length = rng.uniform(0.18, 0.4) * size
    tail = np.array([[x, at.neck - 0.01, at.neck_z + 0.09 * size], [x * 1.2, at.neck - 0.5 * length, at.neck_z + 0.15],
                     [x * 1.3, at.neck - length, at.neck_z + 0.15]])  # fmt: skip
    hung = _ribbon(_laid(tail, ".ff", surface), 0.1 * size, np.array([0.0, 0.0, 1.0]))
    hung = hung.moved(push_outside(hung.vertices, *surface, 0.008))
    piece = joined([ring.moved(push_outside(ring.vertices, *surface, 0.004)), hung])
    return _bound(wearer, piece)


def _laid(path: NDArray, ways: str, surface: Surface) -> NDArray:
    """Control points (N, 3) moved onto the clothes: 'f' to the front, 'b' to the back, 'u' up, 's' to the side, '.'."""
    points = surface[0]
    out = path.astype(float).copy()
    for row, way in enumerate(ways):
        if way == ".":
            continue
        axis, sign = {"f": (2, 1.0), "b": (2, -1.0), "u": (1, 1.0), "s": (0, float(np.sign(path[row, 0]) or 1))}[way]
        others = [k for k in range(3) if k != axis]
        # Arms, which spread to the sides, are no part of the trunk.
        near = (np.abs(points[:, others] - out[row, others]) < 0.03).all(1) & (np.abs(points[:, 0]) < 0.35)
        # Above the shoulders there are ears.
        ahead = sign * (points[:, axis] - out[row, axis])
        near &= (ahead > -0.2) & (ahead < (0.01 if way == "u" else 0.2))
        if near.any():
            out[row, axis] = sign * float((sign * points[near, axis]).max()) + sign * 0.006
    return out


def _box(middle: NDArray, half: NDArray) -> Piece:
    """A box with round edges: a superellipsoid of half sizes (3,) about a point."""
    u, v = np.meshgrid(np.linspace(-np.pi, np.pi, 41), np.linspace(np.pi / 2, -np.pi / 2, 21))

    def power(value: NDArray, exponent: float) -> NDArray:
        return np.sign(value) * np.abs(value) ** exponent

    around = power(np.cos(v), 0.3)
    points = np.stack([around * power(np.sin(u), 0.35), power(np.sin(v), 0.4), around * power(np.cos(u), 0.35)], 2)
    return _grid((points * half + middle).astype(np.float32), closed=True)


def _grid(points: Floats, closed: bool) -> Piece:
    """A grid (R, C, 3) of points as cloth, its last column (if closed) the first again; rows run down, faces out."""
    rows, columns = points.shape[:2]
    number = np.arange(rows * columns).reshape(rows, columns)
    here, right, below, corner = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    quads = np.stack([here, below, corner, right], 2).reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    u, v = np.meshgrid(np.linspace(0.02, 0.98, columns), np.linspace(0.98, 0.02, rows))
    uvs = np.stack([u, v], 2).reshape(-1, 2)[faces].astype(np.float32)
    if closed:
        merged = number.copy()
        merged[:, -1] = merged[:, 0]
        faces = merged.ravel()[faces]
    flat = points.reshape(-1, 3)
    corner_points = flat[faces]
    area = np.linalg.norm(
        np.cross(corner_points[:, 1] - corner_points[:, 0], corner_points[:, 2] - corner_points[:, 0]), axis=1
    )
    count = len(flat)
    piece = Piece(
        flat,
        faces.astype(np.int32),
        uvs,
        np.zeros((count, 4), np.uint16),
        np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        np.zeros(count, np.float32),
    )
    piece = piece.only(area > 1e-10)
    corners = piece.vertices[piece.faces].astype(np.float64) - piece.vertices.mean(0)
    inward = closed and float(np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))) < 0
    return (
        replace(piece, faces=piece.faces[:, ::-1].copy(), corner_uvs=piece.corner_uvs[:, ::-1].copy())
        if inward
        else piece
    )


def _ribbon(path: NDArray, width: float, out: NDArray) -> Piece:
    """A band along control points (N, 3), `width` metres wide; out (3,): where its upper side faces."""
    curve = _curve(path)
    return _band(curve, np.broadcast_to(out, curve.shape), width)


def _curve(path: NDArray) -> NDArray:
    steps = np.linspace(0, len(path) - 1, 10 * len(path))
    return np.stack([_catmull_rom(path, step) for step in steps])


def _band(curve: NDArray, facing: NDArray, width: float) -> Piece:
    """A closed flat tube along a curve (N, 3) whose upper side faces (N, 3)."""
    along = np.gradient(curve, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    across = np.cross(facing, along)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    up = np.cross(along, across)
    points = np.stack([curve + across * side * width + up * rise for side, rise in _SECTION], 1)
    return _grid(points.astype(np.float32), closed=True)


def _strap(wearer: Wearer, path: NDArray, width: float, surface: Surface) -> Piece:
    """A band along a path that is laid onto the clothes and moves with the body under it."""
    curve = _curve(path)
    tree = cKDTree(surface[0])
    laid = curve
    for _ in range(3):
        laid = push_outside(laid, *surface, STRAP_GAP_M).astype(float)
        laid[1:-1] = 0.5 * laid[1:-1] + 0.25 * (laid[:-2] + laid[2:])
    laid = push_outside(laid, *surface, STRAP_GAP_M).astype(float)
    normals = surface[1][tree.query(laid, k=12)[1]].mean(1)
    normals[1:-1] = (normals[:-2] + normals[1:-1] + normals[2:]) / 3
    piece = _band(laid, normals, width)
    return _bound(wearer, piece.moved(push_outside(piece.vertices, *surface, 0.002)))


def _catmull_rom(path: NDArray, step: float) -> NDArray:
    number = min(int(step), len(path) - 2)
    t = step - number
    before, start, end, after = (path[int(np.clip(number + k, 0, len(path) - 1))] for k in (-1, 0, 1, 2))
    return 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )


def _rigid(piece: Piece, shares: tuple[float, ...], joints: tuple[int, ...]) -> Piece:
    weights = np.zeros((1, 52), np.float32)
    weights[0, list(joints)] = shares
    index, values = strongest_four(weights)
    count = len(piece.vertices)
    return Piece(
        piece.vertices,
        piece.faces,
        piece.corner_uvs,
        np.repeat(index, count, 0),
        np.repeat(values, count, 0),
        np.zeros(count, np.float32),
    )


def _bound(wearer: Wearer, piece: Piece) -> Piece:
    """Moves with the skin under it, averaged so that it does not tear."""
    count = wearer.skin_count
    distance, near = cKDTree(wearer.skin).query(piece.vertices, k=16)
    share = 1 / (distance + 0.02) ** 2
    share /= share.sum(1, keepdims=True)
    body = dense_weights(wearer.rest.skin_joints[:count], wearer.rest.skin_weights[:count])
    index, values = strongest_four(np.einsum("nk,nkj->nj", share, body[near]))
    return Piece(piece.vertices, piece.faces, piece.corner_uvs, index, values, piece.slack)
