"""What a surface off the body's topology lacks: skin weights, body parts, and an atlas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xatlas
from scipy.spatial import cKDTree

from ..body.model import BodyModel
from ..core.fit import Fit
from ..core.surface import CapturedSurface
from .weights import nearest, transfer

_ATLAS_PX = 2048
_PADDING_PX = 8


def complete(surface: CapturedSurface, model: BodyModel, fit: Fit) -> CapturedSurface:
    """The surface with corner_uvs, skin_weights, body_part, body_corners and body_shares; what it brings is kept.

    Raises LikenessError("body.too_far") where the fitted body does not lie in the surface.
    """
    if surface.skin_weights is None or surface.body_part is None or surface.body_corners is None:
        surface = _on_body(surface, model, fit)
    if surface.corner_uvs is None:
        surface = replace(surface, corner_uvs=unwrap(surface.vertices, surface.faces))
    return surface


def _on_body(surface: CapturedSurface, model: BodyModel, fit: Fit) -> CapturedSurface:
    body, _ = model.posed(fit.betas, fit.pose, fit.translation, correctives=True)
    found = nearest(surface.vertices, surface.faces, body, model.faces)
    if surface.body_corners is None:
        # Cloth far from the body bends as the nearest cloth does that is near it.
        near = np.flatnonzero(found.accepted)
        near = near[cKDTree(surface.vertices[near]).query(surface.vertices)[1]]
        corners, shares = found.corners[near], found.shares[near].astype(np.float32)
        surface = replace(surface, body_corners=corners, body_shares=shares)
    if surface.skin_weights is not None and surface.body_part is not None:
        return surface
    parts = np.eye(len(model.part_names), dtype=np.float32)[model.parts]
    values = transfer(surface.vertices, surface.faces, found, np.concatenate([model.weights, parts], axis=1))
    joints = model.weights.shape[1]
    weights = values[:, :joints] / np.maximum(values[:, :joints].sum(1, keepdims=True), 1e-9)
    return replace(surface, skin_weights=weights, body_part=values[:, joints:].argmax(1).astype(np.uint8))


def unwrap(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """A non-overlapping atlas of the mesh: (F, 3, 2) f32 in 0..1, V up, charts 8 texels apart at 2048."""
    atlas = xatlas.Atlas()
    atlas.add_mesh(np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.uint32))
    pack = xatlas.PackOptions()
    pack.resolution = _ATLAS_PX
    pack.padding = _PADDING_PX
    pack.bilinear = True
    atlas.generate(pack_options=pack)
    _, indices, uvs = atlas[0]
    return np.asarray(uvs, np.float32)[np.asarray(indices, np.int64)]
