"""Averaging over the surface of a piece of cloth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from likeness.synthesis.cutting import border_edges
from likeness.synthesis.figure import Floats, vertex_normals
from likeness.synthesis.pieces import Piece


def neighbours(piece: Piece) -> sparse.csr_matrix:
    """Average (V, V) over the vertices that share an edge."""
    faces, count = piece.faces, len(piece.vertices)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    graph = sparse.csr_matrix((np.ones(len(edges), np.float32), (edges[:, 0], edges[:, 1])), shape=(count, count))
    graph = ((graph + graph.T) > 0).astype(np.float32)
    return sparse.diags(1 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1)) @ graph


def smoothed(values: NDArray, piece: Piece, rounds: int) -> Floats:
    """Values (V,) or (V, C) averaged with their neighbours; borders only along themselves."""
    around = neighbours(piece)
    border = np.zeros(len(piece.vertices), bool)
    border[border_edges(piece.faces).ravel()] = True
    out = np.asarray(values, np.float32)
    for _ in range(rounds):
        mean = around @ out
        keep = border if out.ndim == 1 else border[:, None]
        out = np.where(keep, out, 0.5 * out + 0.5 * mean).astype(np.float32)
    return out


def smooth_directions(piece: Piece, rounds: int = 6) -> Floats:
    """Unit normals (V, 3) averaged over their surroundings."""
    normals, around = vertex_normals(piece.vertices, piece.faces), neighbours(piece)
    for _ in range(rounds):
        normals = 0.5 * normals + 0.5 * (around @ normals)
    return (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)).astype(np.float32)
