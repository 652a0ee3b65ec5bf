"""Cloth outside the skin and outer garments outside inner ones; skin that nobody can see is left out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from likeness.synthesis.cutting import border_edges
from likeness.synthesis.figure import Bytes, Floats
from likeness.synthesis.pieces import Piece
from likeness.synthesis.smoothing import neighbours, smooth_directions

REACH_M, CLOSE_M = 0.06, 0.015


def push_outside(
    outer: NDArray, inner: NDArray, inner_normals: NDArray, gap: float, outer_normals: NDArray | None = None
) -> Floats:
    """Points `outer` (N, 3) moved along the nearest normal of a surface until they lie `gap` metres outside it.

    inner (M, 3) samples the surface, inner_normals (M, 3) point out of it. Points farther than 6 cm stay, and so do
    those whose own normal (N, 3) faces the other way: they pass by what is behind them.
    """
    tree = cKDTree(inner)
    moved = np.array(outer, np.float32)
    for _ in range(3):
        distance, near = tree.query(moved)
        normal = inner_normals[near]
        depth = ((moved - inner[near]) * normal).sum(1)
        # A point beside a crease is in front of neither side: only what is truly behind or close by is moved.
        behind = (distance < CLOSE_M) | (depth < -0.4 * distance)
        if outer_normals is not None:
            behind &= (normal * outer_normals).sum(1) > 0
        lacking = np.where(behind & (distance < REACH_M), np.clip(gap - depth, 0, None), 0)
        if not (lacking > 1e-5).any():
            break
        moved += (normal * lacking[:, None]).astype(np.float32)
    return moved


def settled(piece: Piece, inner: Floats, inner_normals: Floats, gap: float) -> Piece:
    """A piece moved outside an inner surface without dents: what is beside a pushed vertex moves along."""
    around = neighbours(piece)
    facing = smooth_directions(piece, 3)
    pushed = push_outside(piece.vertices, inner, inner_normals, gap, facing) - piece.vertices
    soft = pushed
    for _ in range(5):
        soft = 0.5 * soft + 0.5 * (around @ soft)
    wanted, given = np.linalg.norm(pushed, axis=1), np.linalg.norm(soft, axis=1)
    # Smoothing shrinks the push; the rest of it comes along the smooth direction.
    scale = np.where(given > 1e-6, np.maximum(wanted, given) / np.maximum(given, 1e-6), 0)
    vertices = piece.vertices + soft * np.minimum(scale, 3)[:, None]
    return piece.moved(push_outside(vertices, inner, inner_normals, gap, facing))


def samples(piece: Piece, alpha: Bytes | None = None) -> tuple[Floats, Floats]:
    """Points (N, 3) and normals (N, 3) all over a piece: its vertices and face centres, where it is not cut out."""
    normals = piece.normals
    center = piece.vertices[piece.faces].mean(1)
    points = np.concatenate([piece.vertices, center])
    directions = np.concatenate([normals, normals[piece.faces].mean(1)])
    if alpha is None:
        return points, directions
    opaque = _opaque_faces(piece, alpha)
    vertex = np.zeros(len(piece.vertices), bool)
    vertex[piece.faces[opaque]] = True
    shown = np.concatenate([vertex, opaque])
    return points[shown], directions[shown]


def _opaque_faces(piece: Piece, alpha: Bytes) -> NDArray[np.bool_]:
    height, width = alpha.shape
    uv = piece.corner_uvs.mean(1)
    return alpha[((1 - uv[:, 1]) * height).astype(int) % height, (uv[:, 0] * width).astype(int) % width] > 127


def covered(
    points: Floats, normals: Floats, cloth: Piece, alpha: Bytes | None, reach: float = 0.04
) -> NDArray[np.bool_]:
    """Which skin points (N, 3) lie under cloth: some of it within `reach` straight above, and no hem close by."""
    over, _ = samples(cloth, alpha)
    if not len(over):
        return np.zeros(len(points), bool)
    border = np.unique(border_edges(cloth.faces))
    distance, near = cKDTree(over).query(points, k=8, distance_upper_bound=reach + 0.01, workers=1)
    found = np.isfinite(distance)
    offset = over[np.where(found, near, 0)] - points[:, None]
    along = (offset * normals[:, None]).sum(2)
    beside = np.linalg.norm(offset - along[..., None] * normals[:, None], axis=2)
    under = (found & (along > -0.004) & (along < reach) & (beside < 0.012 + 0.25 * np.clip(along, 0, None))).any(1)
    if len(border):
        edge = cKDTree(cloth.vertices[border]).query(points, distance_upper_bound=0.05)[0]
        # A hem is looked under at a slant: the looser it is, the farther.
        loose = np.where(np.isfinite(distance[:, 0]), distance[:, 0], reach)
        under &= edge > 0.014 + 0.9 * np.clip(loose - 0.006, 0, 0.035)
    return under
