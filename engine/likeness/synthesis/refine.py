"""Garments with finer triangles, so that small folds have room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from likeness.synthesis.figure import Floats, Layer

COARSE_M, MOST_VERTICES = 0.013, 24000
_FREE, _FREE_SHARE = 0.4, 0.3


def coarse(layer: Layer) -> bool:
    """Whether much of a layer hangs, on edges too long to fold finely, and few enough to be cut in half."""
    free = (layer.slack > _FREE)[layer.faces].all(1)
    if free.mean() < _FREE_SHARE:
        return False
    corner = layer.vertices[layer.faces[free]]
    length = np.linalg.norm(corner - corner[:, [1, 2, 0]], axis=2)
    return float(np.median(length)) > COARSE_M and len(layer.vertices) + 1.5 * len(layer.faces) < MOST_VERTICES


class Refinement:
    """Every triangle (F, 3) of a mesh of V vertices cut into four at the middles of its edges.

    edges (E, 2); faces (4 F, 3): those at corner 0, 1 and 2 of all old triangles, then their middles; vertex V + e is
    the middle of edge e.
    """

    def __init__(self, faces: NDArray, count: int) -> None:
        pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
        self.edges, inverse = np.unique(np.sort(pairs, 1), axis=0, return_inverse=True)
        ab, bc, ca = count + inverse.reshape(3, -1)
        a, b, c = faces.T
        stacked = [np.stack(s, 1) for s in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
        self.faces = np.concatenate(stacked).astype(np.int32)

    def values(self, values: NDArray) -> NDArray:
        """Values (V, ...) at the old vertices -> (V + E, ...), means in the middles."""
        return np.concatenate([values, 0.5 * (values[self.edges[:, 0]] + values[self.edges[:, 1]])])

    def corners(self, values: NDArray) -> NDArray:
        """Values at the corners of the old faces (F, 3, ...) -> of the new ones (4 F, 3, ...)."""
        a, b, c = np.moveaxis(values, 1, 0)
        ab, bc, ca = 0.5 * (a + b), 0.5 * (b + c), 0.5 * (c + a)
        stacked = [np.stack(s, 1) for s in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
        return np.concatenate(stacked)

    def skin(self, joints: NDArray, weights: Floats) -> tuple[NDArray[np.uint16], Floats]:
        """The four strongest joints and weights (V + E, 4) of all vertices."""
        ends = [(joints[self.edges[:, k]], weights[self.edges[:, k]]) for k in (0, 1)]
        both = np.concatenate([ends[0][0], ends[1][0]], 1).astype(np.int64)
        share = 0.5 * np.concatenate([ends[0][1], ends[1][1]], 1)
        same = both[:, :4, None] == both[:, None, 4:]
        share[:, :4] += (same * share[:, None, 4:]).sum(2)
        share[:, 4:][same.any(1)] = 0
        order = np.argsort(-share, axis=1, kind="stable")[:, :4]
        middle = np.take_along_axis(share, order, 1)
        middle /= middle.sum(1, keepdims=True)
        found = np.take_along_axis(both, order, 1)
        return np.concatenate([joints, found]).astype(np.uint16), np.concatenate([weights, middle]).astype(np.float32)


def refined(layer: Layer, cut: Refinement) -> Layer:
    """A layer with all its triangles cut into four."""
    joints, weights = cut.skin(layer.skin_joints, layer.skin_weights)
    return replace(
        layer,
        vertices=cut.values(layer.vertices).astype(np.float32),
        faces=cut.faces,
        corner_uvs=cut.corners(layer.corner_uvs).astype(np.float32),
        skin_joints=joints,
        skin_weights=weights,
        part=np.tile(layer.part, 4),
        slack=cut.values(layer.slack).astype(np.float32),
    )
