"""Skin and socks that would poke through a garment are tucked under it."""

from __future__ import annotations

from dataclasses import replace

import igl
import numpy as np
from numpy.typing import NDArray

from likeness.synthesis.layer import Layer, vertex_normals

REACH_M = 0.010
DEPTH_M = 0.002


def tuck_under(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Layers with vertices of skin and shoes moved 2 mm under any cloth that they pierce by less than 10 mm."""
    cloth = [layer for layer in layers if layer.material == "cloth"]
    return tuple(_tucked(layer, cloth) if layer.material in ("skin", "shoe") else layer for layer in layers)


def _tucked(layer: Layer, cloth: list[Layer]) -> Layer:
    vertices = layer.vertices.astype(np.float64)
    for cover in cloth:
        outline = cover.vertices.astype(np.float64)
        square, face, nearest = igl.point_mesh_squared_distance(vertices, outline, cover.faces.astype(np.int64))[:3]
        corners = outline[cover.faces[face]]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        outside = ((vertices - nearest) * normal).sum(1) > -DEPTH_M
        # A hand beside the hip faces the cloth; what pierces it faces the same way as the cloth does.
        along = (vertex_normals(vertices.astype(np.float32), layer.faces) * normal).sum(1) > 0.3
        pierced = outside & along & (square < REACH_M**2) & ~_at_border(cover.faces)[face]
        vertices[pierced] = (nearest - normal * DEPTH_M)[pierced]
    return replace(layer, vertices=vertices.astype(np.float32))


def _at_border(faces: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(F,) whether a face touches an open edge: beyond a hem, skin is meant to be seen."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    border = np.zeros(int(faces.max()) + 1, bool)
    border[unique[count == 1]] = True
    return np.asarray(border[faces].any(axis=1))
