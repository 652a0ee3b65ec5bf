"""The albedo texture: the picture at full resolution where it shows the surface, sensible colours elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..core.capture import Capture
from ..core.progress import Report, part, quiet
from ..surface.color.predict import FarSide
from .atlas import Texels, pad, rasterize
from .far import trusted, wanted
from .fill import Overrides, Profiles, RestBody, read_overrides, read_profiles
from .geometry import vertex_normals
from .limbs import REGIONS
from .photo import Photo, read_photo
from .texture import bilinear

_CHUNK = 1 << 18


@dataclass(frozen=True)
class Baked:
    """image (S, S, 3) u8 sRGB; vertex_colors (V, 3) u8; visible (V,) f32 0..1; figures with units in their names."""

    image: np.ndarray
    vertex_colors: np.ndarray
    visible: np.ndarray
    figures: dict[str, float]


def bake(
    capture: Capture,
    captured: np.ndarray,
    corner_uvs: np.ndarray,
    body: RestBody,
    *,
    far: FarSide | None = None,
    size: int,
    report: Report = quiet,
) -> Baked:
    """Bake the capture's picture onto the atlas.

    captured: (V, 3) the surface in the capture's camera space, metres. corner_uvs: (F, 3, 2), V up.
    far: guessed colours of the far side. size: texels a side.
    """
    report(0.0, "Reading the picture")
    photo = read_photo(capture, captured, body.faces, body.regions, body.cheeks)
    normals = vertex_normals(captured, body.faces)
    visible = photo.visibility(captured, normals)
    report(0.08, "Guessing what the picture hides")
    profiles = read_profiles(photo, body)
    report(0.12, "Guessing what the picture hides")
    last = photo.last(captured, normals) * wanted(body) if far is not None else np.zeros(len(captured), np.float32)
    overrides = read_overrides(photo, captured, visible, body, last)
    painter = _Painter(photo, body, captured, normals, profiles, overrides, None)
    if far is not None:
        painter = painter.guided(far, visible)
    report(0.16, "Laying out the texture")
    texels = rasterize(corner_uvs, size)
    flat = np.zeros((size * size, 3), np.uint8)
    covered = np.zeros(size * size, bool)
    shown = 0.0
    painting = part(report, 0.2, 0.95)
    for start in range(0, len(texels), _CHUNK):
        rows = slice(start, min(start + _CHUNK, len(texels)))
        painting(start / len(texels), "Painting the texture")
        paint, weight = painter.texels(texels, rows)
        where = texels.row[rows].astype(np.int64) * size + texels.column[rows]
        flat[where] = np.clip(paint + 0.5, 0, 255).astype(np.uint8)
        covered[where] = True
        shown += float(weight.sum())
    image = pad(flat.reshape(size, size, 3), covered.reshape(size, size))
    report(1.0, "Texture painted")
    return Baked(image, painter.vertices(visible), visible, {"texture_seen_share": shown / max(len(texels), 1)})


@dataclass(frozen=True)
class _Painter:
    """Colours of surface points: seen ones from the picture, others guessed, blended by visibility."""

    photo: Photo
    body: RestBody
    captured: np.ndarray
    normals: np.ndarray
    profiles: Profiles
    overrides: Overrides
    far: FarSide | None

    def texels(self, texels: Texels, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) f32 colours 0..255 and (N,) visibility of these texels."""
        faces = self.body.faces
        points = texels.interpolate(self.captured, faces, rows)
        normals = texels.interpolate(self.normals, faces, rows)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        weight = self.photo.visibility(points, normals)
        out = np.zeros((len(points), 3), np.float32)
        hidden = np.nonzero(weight < 1)[0]
        guess = self._guess(points[hidden], texels.interpolate(self._table(), faces, rows)[hidden])
        out[hidden] = guess * (1 - weight[hidden, None])
        shown = np.nonzero(weight > 0)[0]
        out[shown] += self.photo.colours(points[shown]) * weight[shown, None]
        return out, weight

    def vertices(self, visible: np.ndarray) -> np.ndarray:
        """(V, 3) u8 colours of the vertices."""
        guess = self._guess(self.captured, self._table())
        colour = guess + visible[:, None] * (self.photo.colours(self.captured) - guess)
        return np.clip(colour + 0.5, 0, 255).astype(np.uint8)

    def guided(self, far: FarSide, visible: np.ndarray) -> _Painter:
        """The same with the network's far side where it is trusted; visible (V,)."""
        rules, told = self._guess(self.captured, self._table()), _told(far, self.captured)
        kept = self.overrides.far * trusted(self.body, visible, self.overrides.far, rules, told)
        return replace(self, far=far, overrides=replace(self.overrides, far=kept))

    def _table(self) -> np.ndarray:
        """(V, 3 + R + 6) f32: what _guess reads of each vertex."""
        extra = self.overrides
        columns = [self.body.positions, self.body.regions, extra.colour, extra.share, extra.depth, extra.far]
        return np.column_stack(columns).astype(np.float32)

    def _guess(self, points: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Captured points (N, 3) and their rest position, regions, override colour, share, depth, far -> (N, 3)."""
        regions = table[:, 3 : 3 + len(REGIONS)]
        colour, share, depth, far = table[:, -6:-3], table[:, -3:-2], table[:, -2], table[:, -1]
        guess = np.zeros((len(points), 3), np.float32)
        near, deep = np.nonzero(depth < 0.99)[0], np.nonzero(depth > 0.01)[0]
        guess[near] = self.photo.suggestion(points[near], regions[near]) * (1 - depth[near, None])
        guess[deep] += self.profiles.at(table[deep, :3], regions[deep]) * depth[deep, None]
        guess += share * (colour - guess)
        if self.far is not None:
            rows = np.nonzero(far > 0.003)[0]
            guess[rows] += far[rows, None] * (_told(self.far, points[rows]) - guess[rows])
        return guess


def _told(far: FarSide, points: np.ndarray) -> np.ndarray:
    """(N, 3) f32 0..255: the far side's colours at points (N, 3) in the capture's camera space."""
    return bilinear(far.color, far.camera.project(points))
