"""Splits the body's long edges, so that cloth on limbs and trunk finds enough vertices to lie on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

# Corner choices of the triangles that replace one with 1, 2 (two ways) or 3 split edges.
# 0..2 are the corners, 3..5 the midpoints of edges 01, 12, 20; faces are turned so that edge 01 is split and,
# with two split edges, edge 20 is whole.
_ONE = ((0, 3, 2), (3, 1, 2))
_TWO_A = ((3, 1, 4), (0, 3, 4), (0, 4, 2))
_TWO_B = ((3, 1, 4), (0, 3, 2), (3, 4, 2))
_THREE = ((0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5))


@dataclass(frozen=True)
class DrapeMesh:
    """The body as it is draped: one pose, one rest shape, one topology.

    vertices (V, 3) f64 camera space, metres; rest (V, 3) f64 the undressed body's rest frame; faces (F, 3) i64;
    corner_uvs (F, 3, 2) f64; weights (V, J) f64 rows sum to 1; parts (V,) u8; origin (V, B) f64 sparse: each vertex as
    a blend of the body's B vertices, at most three.
    """

    vertices: np.ndarray
    rest: np.ndarray
    faces: np.ndarray
    corner_uvs: np.ndarray
    weights: np.ndarray
    parts: np.ndarray
    origin: sparse.csr_matrix


def body_corners(origin: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """DrapeMesh.origin (V, B) -> (V, 3) i32 vertices of the body and (V, 3) f32 shares that sum to 1."""
    corners = np.zeros((origin.shape[0], 3), np.int32)
    shares = np.zeros(corners.shape, np.float32)
    row = np.repeat(np.arange(len(corners)), np.diff(origin.indptr))
    slot = np.arange(origin.nnz) - origin.indptr[row]
    corners[row, slot], shares[row, slot] = origin.indices, origin.data
    return corners, shares


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, area-weighted over the adjacent (F, 3) faces; zero where a vertex has no area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    out = np.stack(
        [np.bincount(faces.ravel(), np.repeat(face[:, k], 3), minlength=len(vertices)) for k in range(3)], axis=1
    )
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-20)


def unique_edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(E, 2) edges with rising vertex indices, and (F, 3) the edge of corners 01, 12, 20 of each face."""
    pairs = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    count = int(faces.max()) + 1
    keys, inverse = np.unique(pairs[:, 0] * count + pairs[:, 1], return_inverse=True)
    return np.stack([keys // count, keys % count], axis=1), inverse.reshape(-1, 3)


def refine_long_edges(mesh: DrapeMesh, max_edge_m: float, passes: int = 4) -> DrapeMesh:
    """Halve edges longer than `max_edge_m` (metres, in the current pose) until none is left or `passes` are done.

    Neighbouring triangles are split alike, so a closed mesh stays closed. New vertices lie on a curve through the
    edge's ends that respects their normals: a limb of 3 cm facets becomes round and not merely denser.
    """
    for _ in range(passes):
        edges, face_edges = unique_edges(mesh.faces)
        lengths = np.linalg.norm(mesh.vertices[edges[:, 0]] - mesh.vertices[edges[:, 1]], axis=1)
        split = lengths > max_edge_m
        if not split.any():
            return mesh
        mesh = _split(mesh, edges, face_edges, split)
    return mesh


def _split(mesh: DrapeMesh, edges: np.ndarray, face_edges: np.ndarray, split: np.ndarray) -> DrapeMesh:
    a, b = edges[split, 0], edges[split, 1]
    middle = np.full(len(edges), -1, np.int64)
    middle[split] = len(mesh.vertices) + np.arange(int(split.sum()))
    vertices = np.concatenate([mesh.vertices, _curved_midpoints(mesh.vertices, mesh.faces, a, b)])
    faces, corner_uvs = _split_faces(mesh, middle[face_edges], vertices)
    return DrapeMesh(
        vertices=vertices,
        rest=np.concatenate([mesh.rest, _curved_midpoints(mesh.rest, mesh.faces, a, b)]),
        faces=faces,
        corner_uvs=corner_uvs,
        weights=np.concatenate([mesh.weights, (mesh.weights[a] + mesh.weights[b]) / 2]),
        parts=np.concatenate([mesh.parts, mesh.parts[a]]),
        origin=sparse.vstack([mesh.origin, 0.5 * (mesh.origin[a] + mesh.origin[b])], format="csr"),
    )


def _curved_midpoints(vertices: np.ndarray, faces: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Middles of cubic Hermite curves whose ends are tangent to the surface at a and b."""
    normals = vertex_normals(vertices, faces)
    edge = vertices[b] - vertices[a]
    bulge = (
        np.sum(edge * normals[b], axis=1, keepdims=True) * normals[b]
        - np.sum(edge * normals[a], axis=1, keepdims=True) * normals[a]
    ) / 8
    length = np.linalg.norm(edge, axis=1, keepdims=True)
    # Across a sharp fold (groin, armpit) the two normals say little about the way between them.
    limit = 0.12 * length / np.maximum(np.linalg.norm(bulge, axis=1, keepdims=True), 1e-12)
    return (vertices[a] + vertices[b]) / 2 + bulge * np.minimum(limit, 1.0)


def _split_faces(mesh: DrapeMesh, middles: np.ndarray, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces and corner UVs after the split; `middles` (F, 3) holds the new vertex on each edge or -1."""
    uvs = mesh.corner_uvs
    index = np.concatenate([mesh.faces, middles], axis=1)
    uv = np.concatenate([uvs, (uvs + uvs[:, [1, 2, 0]]) / 2], axis=1)
    is_split = middles >= 0
    count = is_split.sum(axis=1)
    # Turn each face so that its pattern is the one of the tables above.
    first = np.argmax(is_split, axis=1)
    whole = np.argmin(is_split, axis=1)
    turn = np.where(count == 2, (whole + 1) % 3, np.where(count == 1, first, 0))
    order = (np.arange(3)[None, :] + turn[:, None]) % 3
    order = np.concatenate([order, order + 3], axis=1)
    index = np.take_along_axis(index, order, axis=1)
    uv = np.take_along_axis(uv, order[..., None], axis=1)

    def gap(i: int, j: int) -> np.ndarray:
        return np.linalg.norm(vertices[index[:, i]] - vertices[index[:, j]], axis=1)

    short_a = gap(0, 4) <= gap(3, 2)
    cases = (
        (count == 0, ((0, 1, 2),)),
        (count == 1, _ONE),
        ((count == 2) & short_a, _TWO_A),
        ((count == 2) & ~short_a, _TWO_B),
        (count == 3, _THREE),
    )
    new_faces, new_uvs = [], []
    for chosen, triangles in cases:
        for corners in triangles:
            new_faces.append(index[chosen][:, corners])
            new_uvs.append(uv[chosen][:, corners])
    return np.concatenate(new_faces), np.concatenate(new_uvs)
