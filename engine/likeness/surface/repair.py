"""Finds triangles that a deformation folded or tore, and calms them."""

from __future__ import annotations

import numpy as np

from .refine import unique_edges, vertex_normals
from .solve import SmoothField

# An edge that grew more than this (and is not tiny) is a spike; cloth between legs stretches about threefold.
MAX_STRETCH = 5.0
TINY_EDGE_M = 0.012
# Neighbouring faces whose normals differ by more than 125 degrees after the drape but not before it are a fold.
FOLD_COSINE = -0.57


def troubled(vertices: np.ndarray, faces: np.ndarray, before: np.ndarray) -> np.ndarray:
    """(V,) bool: vertices of folded or over-stretched triangles of `vertices` compared with `before` (both (V, 3))."""
    bad = np.zeros(len(vertices), bool)
    edges, face_edges = unique_edges(faces)
    length, was = (np.linalg.norm(p[edges[:, 0]] - p[edges[:, 1]], axis=1) for p in (vertices, before))
    spike = (length > MAX_STRETCH * was) & (length > TINY_EDGE_M)
    bad[edges[spike].ravel()] = True
    order = np.argsort(face_edges.ravel(), kind="stable")
    # On a closed mesh every edge has two faces, so sorted by edge they come in pairs.
    pairs = order.reshape(-1, 2) // 3 if len(order) == 2 * len(edges) else np.zeros((0, 2), int)
    now, then = _face_normals(vertices, faces), _face_normals(before, faces)
    cos_now = np.sum(now[pairs[:, 0]] * now[pairs[:, 1]], axis=1)
    cos_then = np.sum(then[pairs[:, 0]] * then[pairs[:, 1]], axis=1)
    folded = (cos_now < FOLD_COSINE) & (cos_then > cos_now + 0.5)
    bad[faces[pairs[folded].ravel()].ravel()] = True
    against = np.sum(now * vertex_normals(vertices, faces)[faces].mean(axis=1), axis=1) < 0
    against &= np.sum(then * vertex_normals(before, faces)[faces].mean(axis=1), axis=1) > 0
    bad[faces[against].ravel()] = True
    return bad


def grow(chosen: np.ndarray, faces: np.ndarray, rings: int) -> np.ndarray:
    """(V,) bool: the chosen vertices and their neighbours up to `rings` edges away."""
    out = chosen.copy()
    for _ in range(rings):
        touched = out[faces].any(axis=1)
        out[faces[touched].ravel()] = True
    return out


def calm(
    vertices: np.ndarray, faces: np.ndarray, before: np.ndarray, field: SmoothField, rounds: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Smooth the displacement from `before` where triangles are troubled.

    Returns the vertices (V, 3) and (V,) bool which were touched.
    """
    touched = np.zeros(len(vertices), bool)
    for attempt in range(rounds):
        bad = troubled(vertices, faces, before)
        if not bad.any():
            break
        free = grow(bad, faces, 2 + 2 * attempt)
        touched |= free
        moved = vertices - before
        smooth = field.solve(moved, np.where(free, 0.0, 1e3), length=0.01 * (attempt + 1))
        vertices = np.where(free[:, None], before + smooth, vertices)
    return vertices, touched


def _face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-20)
