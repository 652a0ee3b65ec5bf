"""Distances between surfaces: points spread by area, and the closest points of a triangle mesh to them."""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Mesh:
    """vertices (V, 3) f64 metres, faces (F, 3) i64 oriented outwards, normals (V, 3) f64 unit, outwards."""

    vertices: Floats
    faces: Ints
    normals: Floats

    @classmethod
    def of(cls, vertices: NDArray, faces: NDArray) -> Mesh:
        """From arrays of any number type; normals are means over the faces around, weighted by area."""
        vertices = np.ascontiguousarray(vertices, np.float64)
        faces = np.ascontiguousarray(faces, np.int64)
        corners = vertices[faces]
        double = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = np.stack(
            [np.bincount(faces.ravel(), np.repeat(double[:, k], 3), minlength=len(vertices)) for k in range(3)], axis=1
        )
        return cls(vertices, faces, normals / np.maximum(np.linalg.norm(normals, axis=1), 1e-20)[:, None])

    def normals_at(self, face: Ints, points: Floats) -> Floats:
        """Unit normals (N, 3) at points (N, 3) that lie on faces (N,), blended from the corners."""
        share = barycentric(points, self.vertices[self.faces[face]])
        normal = (self.normals[self.faces[face]] * share[..., None]).sum(axis=1)
        return np.asarray(normal / np.maximum(np.linalg.norm(normal, axis=1), 1e-20)[:, None], np.float64)


@dataclass(frozen=True)
class Samples:
    """Points on a mesh: points (N, 3) f64 metres, normals (N, 3) f64 unit, face (N,) i64."""

    points: Floats
    normals: Floats
    face: Ints


@dataclass(frozen=True)
class Closest:
    """Of N points: distance (N,) f64 metres to a mesh and the mesh's unit normal (N, 3) where it is closest."""

    distance: Floats
    normals: Floats


def barycentric(points: Floats, corners: Floats) -> Floats:
    """Barycentric coordinates (N, 3) f64 of points (N, 3) in the planes of triangles (N, 3, 3); a third each where a
    triangle has no area."""
    first, second, to = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    normal = np.cross(first, second)
    area = (normal * normal).sum(axis=1)
    v = (np.cross(to, second) * normal).sum(axis=1) / np.maximum(area, 1e-300)
    w = (np.cross(first, to) * normal).sum(axis=1) / np.maximum(area, 1e-300)
    share = np.clip(np.stack([1 - v - w, v, w], axis=1), 0.0, 1.0)
    share = np.where(area[:, None] > 1e-30, share, 1.0 / 3.0)
    return np.asarray(share / share.sum(axis=1, keepdims=True), np.float64)


def spread(mesh: Mesh, count: int, seed: int = 0) -> Samples:
    """`count` points spread evenly by area over a mesh, the same for the same seed."""
    rng = np.random.default_rng(seed)
    corners = mesh.vertices[mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    # One draw in each of `count` equal strips of area: evener than free draws.
    place = (np.arange(count) + rng.random(count)) / count
    total = np.cumsum(area)
    face = np.minimum(np.searchsorted(total, place * total[-1], side="right"), len(area) - 1)
    root, share = np.sqrt(rng.random(count)), rng.random(count)
    bary = np.stack([1 - root, root * (1 - share), root * share], axis=1)
    points = (corners[face] * bary[..., None]).sum(axis=1)
    return Samples(points, mesh.normals_at(face, points), face.astype(np.int64))


def point_to_surface(points: NDArray, vertices: NDArray, faces: NDArray) -> Floats:
    """(N,) f64 distances in metres of (N, 3) points to the closest point of the triangles (V, 3), (F, 3)."""
    return _nearest(points, vertices, faces)[0]


def closest(points: Floats, mesh: Mesh) -> Closest:
    """Distances and normals of the closest points of a mesh to points (N, 3)."""
    distance, face, place = _nearest(points, mesh.vertices, mesh.faces)
    return Closest(distance, mesh.normals_at(face, place))


def _nearest(points: NDArray, vertices: NDArray, faces: NDArray) -> tuple[Floats, Ints, Floats]:
    squared, face, place = igl.point_mesh_squared_distance(
        np.ascontiguousarray(points, np.float64),
        np.ascontiguousarray(vertices, np.float64),
        np.ascontiguousarray(faces, np.int64),
    )
    return np.sqrt(np.maximum(squared, 0.0)), np.asarray(face, np.int64), np.asarray(place, np.float64)


def angle_deg(first: Floats, second: Floats) -> Floats:
    """(N,) f64 angles in degrees between unit vectors (N, 3): 0 to 180, so a surface turned inside out reads 180."""
    return np.degrees(np.arccos(np.clip((first * second).sum(axis=1), -1.0, 1.0)))
