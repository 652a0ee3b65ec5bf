"""Ray casting against triangle meshes, by Embree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from ..core.camera import Camera

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Hits:
    """First hits of N rays. face (N,) i32, -1 where nothing was hit; barycentric (N, 3) f32 of the face's corners;
    distance (N,) f32 in lengths of the ray's direction, infinite where nothing was hit."""

    face: np.ndarray
    barycentric: np.ndarray
    distance: np.ndarray

    def interpolate(self, corner_values: np.ndarray) -> np.ndarray:
        """(F, 3, C) values at the corners of the faces -> (N, C) at the hits; rows without a hit mean nothing."""
        return np.einsum("nk,nkc->nc", self.barycentric, corner_values[self.face])


class RayScene:
    """A triangle mesh ready for ray queries. vertices (V, 3) metres, faces (F, 3)."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        # Embree keeps no reference of its own to the scene's geometry object.
        self._scene = EmbreeScene()
        corners = np.ascontiguousarray(vertices[faces], np.float32)
        self._mesh = TriangleMesh(self._scene, corners)

    def first_hits(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """Origins (N, 3) or (3,), directions (N, 3): the nearest face along each ray, either side."""
        count = len(directions)
        face = np.empty(count, np.int32)
        barycentric = np.zeros((count, 3), np.float32)
        distance = np.empty(count, np.float32)
        for start in range(0, count, _CHUNK):
            rows = slice(start, min(start + _CHUNK, count))
            found = self._scene.run(*_rays(origins, directions, rows), query="INTERSECT", output=True)
            face[rows] = found["primID"]
            distance[rows] = np.where(found["primID"] >= 0, found["tfar"], np.inf)
            barycentric[rows, 1] = found["u"]
            barycentric[rows, 2] = found["v"]
        barycentric[:, 0] = 1.0 - barycentric[:, 1] - barycentric[:, 2]
        return Hits(face, barycentric, distance)

    def blocked(self, origins: np.ndarray, directions: np.ndarray, limit: np.ndarray) -> np.ndarray:
        """(N,) bool: whether anything is hit before `limit` (N,) lengths of the direction."""
        count = len(directions)
        out = np.empty(count, bool)
        for start in range(0, count, _CHUNK):
            rows = slice(start, min(start + _CHUNK, count))
            reach = np.ascontiguousarray(limit[rows], np.float32)
            out[rows] = self._scene.run(*_rays(origins, directions, rows), reach, query="OCCLUDED") >= 0
        return out

    def view(self, camera: Camera) -> tuple[np.ndarray, Hits]:
        """What each pixel centre sees, for a mesh in that camera's space.

        Returns face (H, W) i32 with -1 for nothing, and the hits of all pixels in row-major order; distances are
        depths along the optical axis in metres.
        """
        directions = camera.rays().reshape(-1, 3)
        hits = self.first_hits(np.zeros(3, np.float32), directions)
        return hits.face.reshape(camera.height, camera.width), hits


def _rays(origins: np.ndarray, directions: np.ndarray, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.ascontiguousarray(directions[rows], np.float32)
    if origins.ndim == 1:
        return np.ascontiguousarray(np.broadcast_to(origins.astype(np.float32), chosen.shape)), chosen
    return np.ascontiguousarray(origins[rows], np.float32), chosen
