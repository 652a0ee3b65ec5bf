"""Which point of the surface each texel of an atlas shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_CHUNK = 1 << 21
PADDING_PX = 8


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
    """corner_uvs (F, 3, 2), V up -> the texels whose centre lies in a face; where faces overlap, the last one wins."""
    corner = np.stack([corner_uvs[..., 0] * size - 0.5, (1 - corner_uvs[..., 1]) * size - 0.5], -1).astype(np.float64)
    low = np.clip(np.ceil(corner.min(1) - 1e-6), 0, size).astype(np.int64)
    high = np.clip(np.floor(corner.max(1) + 1e-6) + 1, 0, size).astype(np.int64)
    extent = np.maximum(high - low, 0)
    count = extent[:, 0] * extent[:, 1]
    owner = np.full(size * size, -1, np.int32)
    share = np.zeros((size * size, 3), np.float32)
    order = np.nonzero(count)[0]
    splits = np.searchsorted(np.cumsum(count[order]), np.arange(_CHUNK, count.sum(), _CHUNK))
    for batch in np.split(order, splits):
        if len(batch):
            _paint(batch, corner, low, extent, count, size, owner, share)
    covered = np.nonzero(owner >= 0)[0]
    return Texels(
        size,
        (covered // size).astype(np.int32),
        (covered % size).astype(np.int32),
        owner[covered],
        share[covered],
    )


def _paint(
    batch: np.ndarray,
    corner: np.ndarray,
    low: np.ndarray,
    extent: np.ndarray,
    count: np.ndarray,
    size: int,
    owner: np.ndarray,
    share: np.ndarray,
) -> None:
    face = np.repeat(batch, count[batch])
    step = np.arange(len(face)) - np.repeat(np.cumsum(count[batch]) - count[batch], count[batch])
    x = low[face, 0] + step % extent[face, 0]
    y = low[face, 1] + step // extent[face, 0]
    origin = corner[face, 0]
    first, second = corner[face, 1] - origin, corner[face, 2] - origin
    px, py = x - origin[:, 0], y - origin[:, 1]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    area = np.where(np.abs(area) < 1e-12, np.inf, area)
    b = (px * second[:, 1] - py * second[:, 0]) / area
    c = (py * first[:, 0] - px * first[:, 1]) / area
    inside = (b >= -1e-6) & (c >= -1e-6) & (b + c <= 1 + 1e-6) & np.isfinite(area)
    where = y[inside] * size + x[inside]
    owner[where] = face[inside]
    share[where] = np.stack([1 - b[inside] - c[inside], b[inside], c[inside]], 1)


def pad(image: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Colours of covered texels carried outwards to every other one, nearest first: no seam in any filter's reach.

    image (S, S, 3) u8, covered (S, S) bool -> (S, S, 3) u8, unchanged where covered.
    """
    _, nearest = ndimage.distance_transform_edt(~covered, return_indices=True)
    return image[nearest[0], nearest[1]]
