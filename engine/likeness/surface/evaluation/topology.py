"""Whether a mesh is closed, in how many pieces, and how many handles each piece has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .distance import Mesh

# Pieces with fewer faces than this share of the largest are crumbs, not parts.
CRUMB_SHARE = 0.01


@dataclass(frozen=True)
class Topology:
    """watertight: every edge has two faces that run it in opposite ways. components: connected pieces; parts: those
    that are no crumbs. genus: of each closed piece, largest first; the genus of a piece with a border is -1."""

    watertight: bool
    components: int
    parts: int
    genus: tuple[int, ...]


def topology(mesh: Mesh) -> Topology:
    """Of a mesh whose faces share vertices where they meet."""
    faces = mesh.faces
    if not len(faces):
        return Topology(False, 0, 0, ())
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    size = len(mesh.vertices)
    key = directed.min(axis=1) * size + directed.max(axis=1)
    edges, edge_of, uses = np.unique(key, return_inverse=True, return_counts=True)
    turns = np.bincount(edge_of, np.where(directed[:, 0] < directed[:, 1], 1, -1))
    good = (uses == 2) & (turns == 0)
    links = sparse.coo_matrix((np.ones(len(directed), bool), directed.T), shape=(size, size))
    piece = sparse.csgraph.connected_components(links, directed=False)[1]
    used = np.unique(faces)
    face_count, edge_count, vertex_count, bad_count = (
        np.bincount(piece[rows], weights, minlength=int(piece.max()) + 1).astype(int)
        for rows, weights in ((faces[:, 0], None), (edges // size, None), (used, None), (edges // size, ~good))
    )
    order = np.argsort(-face_count, kind="stable")[: int((face_count > 0).sum())]
    genus = np.where(bad_count > 0, -1, (2 - (vertex_count - edge_count + face_count)) // 2)[order]
    parts = int((face_count >= CRUMB_SHARE * face_count.max()).sum())
    return Topology(bool(good.all()), len(order), parts, tuple(int(g) for g in genus))
