"""Coarse triangle meshes made fine where their edges are long, rounded on the way without shrinking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likeness.synthesis.figure import Floats, Ints, vertex_normals

# Neighbouring normals further apart than this cosine make a crease that stays sharp.
_CREASE = 0.3
# Split patterns of a triangle (0, 1, 2) with midpoints 3 of edge 01, 4 of edge 12, 5 of edge 20, by the marked edges
# (bit 0 = edge 01, ...).
_PATTERNS: dict[int, tuple[tuple[int, int, int], ...]] = {
    0: ((0, 1, 2),),
    1: ((0, 3, 2), (3, 1, 2)),
    2: ((1, 4, 0), (4, 2, 0)),
    4: ((2, 5, 1), (5, 0, 1)),
    3: ((3, 1, 4), (0, 3, 4), (0, 4, 2)),
    6: ((4, 2, 5), (1, 4, 5), (1, 5, 0)),
    5: ((5, 0, 3), (2, 5, 3), (2, 3, 1)),
    7: ((0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5)),
}


@dataclass(frozen=True)
class FineMesh:
    """vertices (V, 3); faces (F, 3); corner_uvs (F, 3, 2); values (V, A), linear along edges; origin (F,) the coarse
    face of each face."""

    vertices: Floats
    faces: Ints
    corner_uvs: Floats
    values: Floats
    origin: Ints


def refine(vertices: NDArray, faces: NDArray, corner_uvs: NDArray, values: NDArray, longest_m: float) -> FineMesh:
    """Split edges longer than `longest_m` up to three times; midpoints lie on the curve that both normals ask for
    (Vlachos et al. 2001, curved PN triangles), so that original vertices stay where they are.

    vertices (V, 3), faces (F, 3), corner_uvs (F, 3, 2), values (V, A).
    """
    mesh = FineMesh(
        np.asarray(vertices, np.float32),
        np.asarray(faces, np.int32),
        np.asarray(corner_uvs, np.float32),
        np.asarray(values, np.float32),
        np.arange(len(faces), dtype=np.int32),
    )
    for _ in range(3):
        finer = _split_long(mesh, longest_m)
        if len(finer.faces) == len(mesh.faces):
            break
        mesh = finer
    return mesh


def _split_long(mesh: FineMesh, longest_m: float) -> FineMesh:
    count = len(mesh.vertices)
    sides = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    key = np.minimum(sides[:, 0], sides[:, 1]) * count + np.maximum(sides[:, 0], sides[:, 1])
    unique, edge_of = np.unique(key, return_inverse=True)
    ends = np.stack([unique // count, unique % count], 1)
    long = np.linalg.norm(mesh.vertices[ends[:, 0]] - mesh.vertices[ends[:, 1]], axis=1) > longest_m
    number = np.where(long, count + np.cumsum(long) - 1, -1)
    middle = number[edge_of].reshape(-1, 3)
    cut = ends[long]
    points = _curved_middle(mesh.vertices, vertex_normals(mesh.vertices, mesh.faces), cut)
    corner = np.concatenate([mesh.faces, middle], 1)
    uv = mesh.corner_uvs
    uv = np.concatenate([uv, (uv + uv[:, [1, 2, 0]]) / 2], 1)
    code = ((middle >= 0) * np.array([1, 2, 4])).sum(1)
    faces, uvs, origin = [], [], []
    for pattern, triangles in _PATTERNS.items():
        rows = np.flatnonzero(code == pattern)
        for triangle in triangles:
            faces.append(corner[rows][:, triangle])
            uvs.append(uv[rows][:, triangle])
            origin.append(mesh.origin[rows])
    values = np.concatenate([mesh.values, (mesh.values[cut[:, 0]] + mesh.values[cut[:, 1]]) / 2])
    return FineMesh(
        np.concatenate([mesh.vertices, points]),
        np.concatenate(faces).astype(np.int32),
        np.concatenate(uvs),
        values,
        np.concatenate(origin),
    )


def _curved_middle(vertices: Floats, normals: Floats, ends: NDArray) -> Floats:
    """Middle of the cubic curve over each edge (E, 2) whose ends are square to the normals."""
    a, b = vertices[ends[:, 0]], vertices[ends[:, 1]]
    na, nb = normals[ends[:, 0]], normals[ends[:, 1]]
    span = b - a
    lift = ((span * nb).sum(1, keepdims=True) * nb - (span * na).sum(1, keepdims=True) * na) / 8
    smooth = np.clip(((na * nb).sum(1, keepdims=True) - _CREASE) / 0.3, 0, 1)
    limit = 0.12 * np.linalg.norm(span, axis=1, keepdims=True)
    size = np.maximum(np.linalg.norm(lift, axis=1, keepdims=True), 1e-9)
    return ((a + b) / 2 + smooth * lift * np.minimum(1, limit / size)).astype(np.float32)
