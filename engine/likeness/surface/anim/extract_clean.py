"""What a field may invent: islands far from the person, bubbles inside. Real loose parts stay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

# A piece that measured points lie on is real whatever its size; this many of them, closer than so many cells.
SUPPORT, SUPPORT_CELLS = 5, 2.0
# A piece that nothing measured lies on stays where it is this large and this near to what stays (a bun, a heel).
LEAST_M2, NEAR_M = 0.002, 0.05


def without_islands(
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    seeds: NDArray | None,
    cell_m: float,
    near_m: float = NEAR_M,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The largest piece of a closed mesh, what is measured or large and near, without bubbles (turned inwards).

    vertices (V, 3) metres, faces (F, 3) outwards, seeds (S, 3): measured points. near_m: how far from what is measured
    a large piece may lie.
    """
    links = faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = sparse.coo_matrix((np.ones(len(links), bool), links.T), shape=(len(vertices), len(vertices)))
    count, piece = sparse.csgraph.connected_components(graph, directed=False)
    if count == 1:
        return vertices, faces
    corners = vertices[faces].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    mine = piece[faces[:, 0]]
    area = np.bincount(mine, np.linalg.norm(cross, axis=1) / 2, minlength=count)
    volume = np.bincount(mine, (corners[:, 0] * cross).sum(axis=1) / 6, minlength=count)
    kept = np.zeros(count, bool)
    kept[int(np.argmax(volume))] = True
    solid = volume > 0
    if seeds is not None and len(seeds):
        away, nearest = cKDTree(vertices).query(np.asarray(seeds), distance_upper_bound=SUPPORT_CELLS * cell_m)
        votes = np.bincount(piece[nearest[np.isfinite(away)]], minlength=count)
        kept |= solid & (votes >= SUPPORT)
    large = np.flatnonzero(solid & ~kept & (area >= LEAST_M2))
    if len(large):
        tree = cKDTree(vertices[kept[piece]])
        for k in large:
            away = tree.query(vertices[piece == k], distance_upper_bound=near_m)[0]
            kept[k] = bool(np.isfinite(away).any())
    faces = faces[kept[mine]]
    used, compact = np.unique(faces, return_inverse=True)
    return vertices[used], compact.reshape(-1, 3).astype(np.int32)
