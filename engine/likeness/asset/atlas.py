"""Which point of the surface each texel of an atlas shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .rays import RayScene

_CHUNK = 1 << 19


@dataclass(frozen=True)
class Texels:
    """The covered texels of a square texture: row, column (N,) i32, face (N,) i32, barycentric (N, 3) f32."""

    size: int
    row: np.ndarray
    column: np.ndarray
    face: np.ndarray
    barycentric: np.ndarray

    def interpolate(self, vertex_values: np.ndarray, faces: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
        """(V, C) values at the vertices -> (N, C) f32 at the texels."""
        corner = faces[self.face[rows]]
        share = self.barycentric[rows]
        out = share[:, :1] * vertex_values[corner[:, 0]]
        out += share[:, 1:2] * vertex_values[corner[:, 1]]
        out += share[:, 2:] * vertex_values[corner[:, 2]]
        return out.astype(np.float32)

    def __len__(self) -> int:
        return len(self.face)


def rasterize(corner_uvs: np.ndarray, size: int) -> Texels:
    """corner_uvs (F, 3, 2), V up -> the texels whose centre lies in a face; where faces overlap, either one."""
    flat = np.zeros((len(corner_uvs) * 3, 3))
    flat[:, 0] = corner_uvs[..., 0].ravel() * size - 0.5
    flat[:, 1] = (1 - corner_uvs[..., 1].ravel()) * size - 0.5
    # The atlas is a flat mesh and each texel one ray straight down: Embree beats any loop that NumPy could run.
    scene = RayScene(flat, np.arange(len(flat)).reshape(-1, 3))
    found: list[tuple[np.ndarray, ...]] = []
    band = max(1, _CHUNK // size)
    for top in range(0, size, band):
        row, column = np.mgrid[top : min(top + band, size), 0:size].reshape(2, -1).astype(np.int32)
        origins = np.stack([column, row, np.full(len(row), -1)], axis=1).astype(np.float32)
        hits = scene.first_hits(origins, np.broadcast_to(np.array([0, 0, 1], np.float32), origins.shape))
        struck = np.nonzero(hits.face >= 0)[0]
        found.append((row[struck], column[struck], hits.face[struck], hits.barycentric[struck]))
    row, column, face, barycentric = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Texels(size, row, column, face, barycentric)


def pad(image: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Colours of covered texels carried outwards to every other one, nearest first: no seam in any filter's reach.

    image (S, S, 3) u8, covered (S, S) bool -> (S, S, 3) u8, unchanged where covered.
    """
    _, nearest = ndimage.distance_transform_edt(~covered, return_indices=True)
    return image[nearest[0], nearest[1]]
