"""Small mesh geometry that the asset room shares."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) float64 normals, twice the face's area long, outwards for faces oriented counter-clockwise."""
    corners = vertices[faces].astype(np.float64)
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) f32 unit normals, area-weighted; a vertex without area gets +Y."""
    normals = face_normals(vertices, faces)
    out = np.zeros((len(vertices), 3))
    for corner in range(3):
        for axis in range(3):
            out[:, axis] += np.bincount(faces[:, corner], normals[:, axis], minlength=len(vertices))
    length = np.linalg.norm(out, axis=1)
    out[length < 1e-20] = (0.0, 1.0, 0.0)
    return (out / np.where(length < 1e-20, 1.0, length)[:, None]).astype(np.float32)


def edges(faces: np.ndarray) -> np.ndarray:
    """(E, 2) i64 undirected edges, each once."""
    pairs = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).astype(np.int64)
    count = int(faces.max(initial=-1)) + 1
    keys = np.unique(pairs.min(1) * count + pairs.max(1))
    return np.stack([keys // max(count, 1), keys % max(count, 1)], axis=1)


def uniform_laplacian(edge: np.ndarray, count: int, weights: np.ndarray | None = None) -> sp.csr_matrix:
    """(count, count) graph Laplacian, symmetric and positive semi-definite: degree minus adjacency."""
    value = np.ones(len(edge)) if weights is None else weights
    adjacency = sp.coo_matrix((value, (edge[:, 0], edge[:, 1])), shape=(count, count)).tocsr()
    adjacency = adjacency + adjacency.T
    return (sp.diags(np.asarray(adjacency.sum(1)).ravel()) - adjacency).tocsr()


def neighbourhood(edge: np.ndarray, chosen: np.ndarray, rings: int) -> np.ndarray:
    """(V,) bool grown by `rings` edges."""
    grown = chosen.copy()
    for _ in range(rings):
        touched = grown[edge[:, 0]] | grown[edge[:, 1]]
        grown[edge[touched].ravel()] = True
    return grown
