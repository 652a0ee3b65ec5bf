"""A posed person made ready for pictures: one soup of triangles with textures and materials on a device."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch

from likeness.synthesis.figure import KINDS, Posed, concatenated, vertex_normals
from likeness.synthesis.lookup import blended, corners_of, places, rows
from likeness.synthesis.textures import Textures
from likeness.synthesis.visibility import SPACING_CELLS, Heights, cell_for, measure_heights, spread_points

# The square of the floor that a person may shade, half its side, and its cells along a side.
FLOOR_REACH_M = 1.9
FLOOR_CELLS = 128
# What lies so low touches the floor; shadows are soft from so far off.
TOUCH_M = 0.05
SOFT_M = 0.7
# Kinds that are made of strands.
STRANDS = ("hair", "beard")
# Where a finish does not say: how much of 850 nm each kind reflects at least, as most dyes are clear there.
INFRARED_FLOOR = {
    "skin": 0.45, "eye": 0.2, "hair": 0.09, "beard": 0.09, "cloth": 0.25,
    "shoe": 0.12, "hat": 0.2, "glasses": 0.1, "bag": 0.15,
}  # fmt: skip


@dataclass(frozen=True)
class Samples:
    """Points of the person that pixels see. picture (N,) i64; pixel (N,) i64 in its picture's samples; face (N,) i64;
    bary (3, N); depth (N,) m along the axis; texels (N,) per sample by area."""

    picture: torch.Tensor
    pixel: torch.Tensor
    face: torch.Tensor
    bary: torch.Tensor
    depth: torch.Tensor
    texels: torch.Tensor


@dataclass(frozen=True)
class Surface:
    """The person at samples. layer (N,) i64; position, normal, to_eye (3, N) world, normal unit and facing the eye;
    flipped (N,) bool: the back is seen; albedo (3, N) linear; uv (2, N)."""

    layer: torch.Tensor
    position: torch.Tensor
    normal: torch.Tensor
    to_eye: torch.Tensor
    flipped: torch.Tensor
    albedo: torch.Tensor
    uv: torch.Tensor


@dataclass(frozen=True)
class Transport:
    """How light from around reaches vertices.

    directions (D, 3) f32 unit. front, back (V, D): irradiance over pi on the side of the normal and on the other, for
    a unit of radiance about each direction; open_front, open_back (V,) their sums, 1 where nothing is hidden.
    seen (V, D) u8: how freely each direction is seen, 255 = wholly.
    """

    directions: torch.Tensor
    front: torch.Tensor
    back: torch.Tensor
    open_front: torch.Tensor
    open_back: torch.Tensor
    seen: torch.Tensor


class Scene:
    """What all views of a posed person share.

    vertices (V, 3) f32 metres; normals (V, 3) f32 unit, smooth; faces (F, 3) i64; owner (F,) i64: each face's layer;
    corner_uvs (F, 3, 2) f32; part (F,) u8: the body's part number; kind (L,) i64 into KINDS; sheet (L,) bool;
    strand (L,) bool: hair and beards; gloss, roughness, bleed, infrared (L,) f32, infrared NaN where it follows from
    the colour, infrared_floor (L,) f32 what it then is at least; textures.
    """

    def __init__(self, posed: Posed, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        layers = posed.layers
        vertices, faces, owner = concatenated(layers)
        self.vertices = torch.from_numpy(vertices).to(self.device)
        self.faces = torch.from_numpy(faces).to(self.device).long()
        self.owner = torch.from_numpy(owner).to(self.device).long()
        uvs = np.concatenate([layer.corner_uvs for layer in layers]).astype(np.float32)
        self.corner_uvs = torch.from_numpy(uvs).to(self.device)
        self.part = torch.from_numpy(np.concatenate([layer.part for layer in layers])).to(self.device)
        self.normals = torch.from_numpy(vertex_normals(vertices, faces)).to(self.device)
        self.textures = Textures(layers, self.device)
        self.cut = self.textures.has_holes[self.owner]
        finishes = [layer.finish for layer in layers]
        self.kind = torch.tensor([KINDS.index(layer.kind) for layer in layers], device=self.device)
        self.sheet = torch.tensor([layer.sheet for layer in layers], device=self.device)
        self.gloss = torch.tensor([f.gloss for f in finishes], device=self.device)
        self.roughness = torch.tensor([f.roughness for f in finishes], device=self.device)
        self.bleed = torch.tensor([f.bleed for f in finishes], device=self.device)
        infrared = [float("nan") if f.infrared is None else f.infrared for f in finishes]
        self.infrared = torch.tensor(infrared, device=self.device)
        floor = [INFRARED_FLOOR[layer.kind] for layer in layers]
        self.infrared_floor = torch.tensor(floor, device=self.device)
        self.strand = torch.tensor([layer.kind in STRANDS for layer in layers], device=self.device)
        # Texels that one unit of a face's texture area holds, times that area.
        edge = self.corner_uvs[:, 1:] - self.corner_uvs[:, :1]
        area = (edge[:, 0, 0] * edge[:, 1, 1] - edge[:, 0, 1] * edge[:, 1, 0]).abs() / 2
        _, height, width = self.textures.color.table[:, :, 0]
        self.texels = area * (height * width)[self.owner]

    def solid(self, triangle: torch.Tensor, bary: torch.Tensor) -> torch.Tensor:
        """Whether faces (N,) i64, counted on over several pictures, are there at bary (3, N); (N,) bool."""
        face = triangle % len(self.faces)
        return self.textures.solid(rows(self.owner, face), self.uv(face, bary))

    def uv(self, face: torch.Tensor, bary: torch.Tensor) -> torch.Tensor:
        """Texture coordinates (2, N) at bary (3, N) of faces (N,)."""
        first, second, third = (corner.index_select(1, face) for corner in self._uv_planes)
        return first * bary[0] + second * bary[1] + third * bary[2]

    @functools.cached_property
    def _uv_planes(self) -> torch.Tensor:
        return self.corner_uvs.permute(1, 2, 0).contiguous()

    @functools.cached_property
    def shape_planes(self) -> torch.Tensor:
        """Place and normal of the vertices (6, V)."""
        return torch.cat([self.vertices, self.normals], 1).T.contiguous()

    @functools.cached_property
    def heights(self) -> Heights:
        """Where the person hides what."""
        cell_m = cell_for(self.vertices, self.faces)
        face, bary = spread_points(self.vertices, self.faces, SPACING_CELLS * cell_m)
        # What has no holes is there everywhere.
        cut = places(rows(self.cut, face))
        solid = torch.ones_like(face, dtype=torch.bool)
        solid.scatter_(0, cut, self.solid(rows(face, cut), bary.index_select(1, cut)))
        points = blended(self.shape_planes[:3], corners_of(self.faces, face), bary)
        return measure_heights(points.index_select(1, places(solid)).T.contiguous(), cell_m)

    @functools.cached_property
    def transport(self) -> Transport:
        """Light's ways from around to the vertices."""
        return transport_to(self.heights, self.vertices, self.normals)

    @functools.cached_property
    def floor_middle(self) -> torch.Tensor:
        """x and z (2,) of the floor under the middle of the person."""
        if not len(self.vertices):
            return self.vertices.new_zeros(2)
        return ((self.vertices.amin(0) + self.vertices.amax(0)) / 2)[[0, 2]]

    @functools.cached_property
    def floor_transport(self) -> Transport:
        """Light's ways from around to the floor's points."""
        points = self._floor_points()
        up = torch.zeros_like(points)
        up[:, 1] = 1
        return transport_to(self.heights, points, up)

    @functools.cached_property
    def floor_clearance(self) -> torch.Tensor:
        """How far the floor's points lie from where the person touches it (cells, cells): 0 there, 1 from SOFT_M on."""
        low = self.vertices[:, 1].amin() if len(self.vertices) else 0.0
        touching = self.vertices[self.vertices[:, 1] < low + TOUCH_M]
        # A few hundred of them are enough.
        touching = touching[:: max(1, len(touching) // 300)]
        if not len(touching):
            return torch.ones((FLOOR_CELLS, FLOOR_CELLS), device=self.device)
        away = torch.cdist(self._floor_points()[:, [0, 2]], touching[:, [0, 2]]).amin(1)
        return (away / SOFT_M).clamp(0, 1).view(FLOOR_CELLS, FLOOR_CELLS)

    def _floor_points(self) -> torch.Tensor:
        """Points of the floor (FLOOR_CELLS squared, 3), rows along z, columns along x."""
        cells = ((torch.arange(FLOOR_CELLS, device=self.device) + 0.5) / FLOOR_CELLS * 2 - 1) * FLOOR_REACH_M
        z, x = torch.meshgrid(cells, cells, indexing="ij")
        middle = self.floor_middle
        return torch.stack([x + middle[0], torch.zeros_like(x), z + middle[1]], -1).reshape(-1, 3)

    @functools.cached_property
    def mean_albedo(self) -> torch.Tensor:
        """The person's mean linear colour (3,)."""
        face, bary = spread_points(self.vertices, self.faces, 0.03)
        if not len(face):
            return self.vertices.new_zeros(3)
        blurred = torch.full((len(face),), 256.0, device=self.device)
        return self.textures.albedo(rows(self.owner, face), self.uv(face, bary), blurred).T.contiguous().mean(0)


def transport_to(heights: Heights, points: torch.Tensor, normals: torch.Tensor) -> Transport:
    """Light's ways from around past a person to points (P, 3) with normals (P, 3)."""
    directions = heights.directions
    seen = heights.seen_from(points, normals)
    cosine = normals @ directions.T
    front, back = cosine.clamp(min=0), (-cosine).clamp(min=0)
    # What a surface sees that nothing hides sums to 1 exactly, however the few directions lie to its normal.
    front = front / front.sum(1, keepdim=True).clamp(min=1e-6) * seen
    back = back / back.sum(1, keepdim=True).clamp(min=1e-6) * seen
    return Transport(directions, front, back, front.sum(1), back.sum(1), (seen * 255).to(torch.uint8))
