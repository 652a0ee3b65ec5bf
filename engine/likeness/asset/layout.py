"""What a surface off the body's topology lacks: skin weights, body parts, and an atlas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xatlas

from ..body.model import BodyModel
from ..core.fit import Fit
from ..core.surface import CapturedSurface
from .weights import transfer

_ATLAS_PX = 2048
_PADDING_PX = 8


def complete(surface: CapturedSurface, model: BodyModel, fit: Fit) -> CapturedSurface:
    """The surface with corner_uvs, skin_weights and body_part; those that it brings are kept.

    Raises LikenessError("body.too_far") where the fitted body does not lie in the surface.
    """
    if surface.skin_weights is None or surface.body_part is None:
        surface = _with_weights(surface, model, fit)
    if surface.corner_uvs is None:
        surface = replace(surface, corner_uvs=unwrap(surface.vertices, surface.faces))
    return surface


def _with_weights(surface: CapturedSurface, model: BodyModel, fit: Fit) -> CapturedSurface:
    body, _ = model.posed(fit.betas, fit.pose, fit.translation)
    parts = np.eye(len(model.part_names), dtype=np.float32)[model.parts]
    values = np.concatenate([model.weights, parts], axis=1)
    found, _ = transfer(surface.vertices, surface.faces, body, model.faces, values)
    joints = model.weights.shape[1]
    weights = found[:, :joints] / np.maximum(found[:, :joints].sum(1, keepdims=True), 1e-9)
    return replace(surface, skin_weights=weights, body_part=found[:, joints:].argmax(1).astype(np.uint8))


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
