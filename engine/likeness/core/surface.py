"""The person's surface as captured: what a reconstruction hands over to become an avatar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CapturedSurface:
    """A triangle mesh in the capture's camera space, metres.

    vertices (V, 3) f32, faces (F, 3) i32 oriented outwards, seen (V,) f32: 1 measured, 0 guessed.
    A surface on the body's own topology brings what follows; any other leaves it None and the asset room finds it:
    corner_uvs (F, 3, 2) f32 in 0..1 (V up), skin_weights (V, J) f32, body_part (V,) u8,
    rest_body (V, 3) f32: the undressed body's rest position of each vertex (rest frame);
    body_corners (V, 3) i32 and body_shares (V, 3) f32: three vertices of the body, and the point between them that each
    vertex lies on (shares sum to 1).
    """

    vertices: np.ndarray
    faces: np.ndarray
    seen: np.ndarray
    corner_uvs: np.ndarray | None = None
    skin_weights: np.ndarray | None = None
    body_part: np.ndarray | None = None
    rest_body: np.ndarray | None = None
    body_corners: np.ndarray | None = None
    body_shares: np.ndarray | None = None
