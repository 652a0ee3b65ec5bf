"""One Catmull-Clark step for the coarse base meshes that people are dressed with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Indices = NDArray[np.integer]


@dataclass(frozen=True)
class Subdivision:
    """A refined mesh as a linear map of the coarse one, so that it can be applied after posing.

    matrix: (V', V) sparse, rows sum to 1. quads: (F', 4) i32. corner_uvs: (F', 4, 2) f32.
    """

    matrix: sparse.csr_matrix
    quads: Ints
    corner_uvs: Floats

    def triangles(self) -> tuple[Ints, Floats]:
        """Two triangles a quad: faces (2F', 3) i32 and corner UVs (2F', 3, 2) f32."""
        return split_quads(self.quads, self.corner_uvs)


def split_quads(quads: Ints, corner_uvs: Floats) -> tuple[Ints, Floats]:
    """Triangles of quads (F, 4); a quad that repeats its last index is a triangle and gives one."""
    second = quads[:, 2] != quads[:, 3]
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[second][:, [0, 2, 3]]])
    uvs = np.concatenate([corner_uvs[:, [0, 1, 2]], corner_uvs[second][:, [0, 2, 3]]])
    return faces.astype(np.int32), uvs.astype(np.float32)


def _corners(quads: Ints) -> tuple[Indices, Indices, Indices, Indices]:
    """Face, and position in the face of this, the next and the previous corner; triangles give three."""
    sides = np.where(quads[:, 2] == quads[:, 3], 3, 4)
    face = np.repeat(np.arange(len(quads)), sides)
    here = np.concatenate([np.arange(n) for n in sides]) if len(sides) else np.zeros(0, int)
    count = sides[face]
    return face, here, (here + 1) % count, (here - 1) % count


def _face_points(face: Indices, corner_vertex: Indices, shape: tuple[int, int]) -> sparse.csr_matrix:
    sides = np.bincount(face, minlength=shape[0])
    return sparse.csr_matrix((1.0 / sides[face], (face, corner_vertex)), shape=shape)


def _edge_points(edges: Indices, edge_of: Indices, face: Indices, faces: sparse.csr_matrix) -> sparse.csr_matrix:
    """Mean of both ends and both face points inside; the middle of the edge on a border."""
    count, vertices = len(edges), faces.shape[1]
    uses = np.bincount(edge_of, minlength=count)
    inner = uses == 2
    ends = sparse.csr_matrix(
        (np.full(2 * count, 0.5), (np.repeat(np.arange(count), 2), edges.ravel())), shape=(count, vertices)
    )
    adjacent = sparse.csr_matrix((np.full(len(edge_of), 0.5), (edge_of, face)), shape=(count, faces.shape[0]))
    blend = sparse.diags(np.where(inner, 0.5, 0.0))
    return sparse.diags(np.where(inner, 0.5, 1.0)) @ ends + blend @ (adjacent @ faces)


def _vertex_points(
    corner_vertex: Indices, face: Indices, edges: Indices, border: NDArray[np.bool_], faces: sparse.csr_matrix
) -> sparse.csr_matrix:
    """Catmull and Clark 1978: (Q + 2R + (n - 3) S) / n inside, the cubic B-spline rule on borders."""
    count = faces.shape[1]
    valence = np.maximum(np.bincount(corner_vertex, minlength=count), 1)
    identity = sparse.identity(count, format="csr")
    around = sparse.csr_matrix((1.0 / valence[corner_vertex], (corner_vertex, face)), shape=(count, faces.shape[0]))
    ends = np.concatenate([edges, edges[:, ::-1]])
    degree = np.maximum(np.bincount(ends[:, 0], minlength=count), 1)
    ring = sparse.csr_matrix((1.0 / degree[ends[:, 0]], (ends[:, 0], ends[:, 1])), shape=(count, count))
    middle = 0.5 * (identity + ring)
    n = valence.astype(float)
    inside = sparse.diags(1 / n) @ (around @ faces) + sparse.diags(2 / n) @ middle + sparse.diags((n - 3) / n)
    border_ends = np.concatenate([edges[border], edges[border][:, ::-1]])
    border_degree = np.bincount(border_ends[:, 0], minlength=count)
    along = sparse.csr_matrix(
        (np.full(len(border_ends), 0.125), (border_ends[:, 0], border_ends[:, 1])), shape=(count, count)
    )
    curve = sparse.diags(np.full(count, 0.75)) + along
    fixed = (border_degree > 0) & (border_degree != 2)
    return (
        sparse.diags((border_degree == 0).astype(float)) @ inside
        + sparse.diags((border_degree == 2).astype(float)) @ curve
        + sparse.diags(fixed.astype(float))
    )


def catmull_clark(quads: Ints, corner_uvs: Floats, vertex_count: int) -> Subdivision:
    """Refine quads (F, 4) i32 (a triangle repeats its last index) with corner UVs (F, 4, 2); UVs stay linear.

    Vertices that no face uses stay where they are.
    """
    face, here, following, previous = _corners(quads)
    vertex, after = quads[face, here], quads[face, following]
    edges, edge_of = np.unique(np.sort(np.stack([vertex, after], 1), 1), axis=0, return_inverse=True)
    edge_of = edge_of.reshape(-1)
    faces = _face_points(face, vertex, (len(quads), vertex_count))
    border = np.bincount(edge_of, minlength=len(edges)) != 2
    points = _vertex_points(vertex, face, edges, border, faces)
    used = np.bincount(vertex, minlength=vertex_count) > 0
    points = sparse.diags(used.astype(float)) @ points + sparse.diags((~used).astype(float))
    matrix = sparse.vstack([points, _edge_points(edges, edge_of, face, faces), faces]).tocsr().astype(np.float32)
    # The corner before in the same face owns the edge that arrives here.
    corner_index = np.full(quads.shape, -1)
    corner_index[face, here] = np.arange(len(face))
    arriving = edge_of[corner_index[face, previous]]
    fine = np.stack([vertex, vertex_count + edge_of, vertex_count + len(edges) + face, vertex_count + arriving], 1)
    uv, uv_after, uv_before = (corner_uvs[face, k] for k in (here, following, previous))
    sides = np.bincount(face, minlength=len(quads))[face, None]
    totals = np.zeros((len(quads), 2))
    np.add.at(totals, face, uv)
    uvs = np.stack([uv, (uv + uv_after) / 2, totals[face] / sides, (uv + uv_before) / 2], 1)
    return Subdivision(matrix, fine.astype(np.int32), uvs.astype(np.float32))
