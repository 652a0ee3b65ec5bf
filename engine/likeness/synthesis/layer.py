"""One textured part of a synthetic scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Layer:
    """One textured part of a person.

    material: 'skin', 'cloth', 'hair', 'eye', 'shoe' or 'room'. vertices (V, 3) f32 metres; faces (F, 3) i32;
    corner_uvs (F, 3, 2) f32, v up; weights (V, 24) f32; color (H, W, 3) u8 sRGB; alpha (H, W) u8 or None.
    """

    name: str
    material: str
    vertices: Floats
    faces: Ints
    corner_uvs: Floats
    weights: Floats
    color: Bytes
    alpha: Bytes | None


def vertex_normals(vertices: Floats, faces: Ints) -> Floats:
    """Area-weighted unit normals (V, 3)."""
    corner = vertices[faces]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normals = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normals, faces[:, k], face)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
