"""Features at points: pictures bilinearly, sparse voxels trilinearly, and what depth itself says (section 8a, 8b)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .inputs import JUMP_M, AnimInputs, project

# Closer than this to the measured surface, a point is neither free nor hidden.
BAND_M = 0.015
PSDF_CHANNELS, STATE_CHANNELS, BODY_CHANNELS = 5, 5, 4
_EDGE_PX = 10.0
_BODY_M = 0.1


def sample_picture(features: Tensor, pixels: Tensor, *, stride: int) -> Tensor:
    """Features (B, C, h, w) of a 2D network at pixels (B, N, 2) of its input -> (B, N, C), zero beyond the picture.

    Where a feature's middle lies in the input follows from the layers that made it: the 7 x 7 stem of stride 2 is
    centred on pixel 2 j; averaging two of those lies in the middle, on 4 j + 1.
    """
    height, width = features.shape[-2:]
    offset = {2: 0.0, 4: 1.0}[stride]
    place = (pixels - offset) / stride
    scale = torch.tensor([2 / (width - 1), 2 / (height - 1)], device=pixels.device)
    grid = (place * scale - 1).unsqueeze(2).to(features.dtype)
    found = F.grid_sample(features, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return found[..., 0].transpose(1, 2)


def pick_pixels(image: Tensor, pixels: Tensor) -> Tensor:
    """The nearest pixel of (B, C, H, W) at pixels (B, N, 2) -> (B, N, C), zero beyond the picture."""
    height, width = image.shape[-2:]
    u, v = torch.floor(pixels + 0.5).long().unbind(-1)
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    where = v.clamp(0, height - 1) * width + u.clamp(0, width - 1)
    found = torch.gather(image.flatten(2), 2, where[:, None].expand(-1, image.shape[1], -1))
    return found.transpose(1, 2) * inside[..., None]


def depth_at(depth: Tensor, pixels: Tensor) -> Tensor:
    """Depth (B, 1, H, W) at pixels (B, N, 2) -> (B, N), 0 = none.

    Bilinear where the four readings around differ by less than 2 cm, else the nearest: never between two limbs.
    """
    height, width = depth.shape[-2:]
    flat = depth.flatten(1)
    low = torch.floor(pixels)
    share = pixels - low
    corners = []
    for dv in (0, 1):
        for du in (0, 1):
            u, v = low[..., 0].long() + du, low[..., 1].long() + dv
            inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
            where = v.clamp(0, height - 1) * width + u.clamp(0, width - 1)
            corners.append(torch.gather(flat, 1, where) * inside)
    four = torch.stack(corners, -1)
    x, y = share.unbind(-1)
    weights = torch.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], -1)
    smooth = (four > 0).all(-1) & (four.amax(-1) - four.amin(-1) < JUMP_M)
    near = torch.gather(four, -1, weights.argmax(-1, keepdim=True))[..., 0]
    return torch.where(smooth, (four * weights).sum(-1), near)


@dataclass(frozen=True)
class DepthQuery:
    """What the depth picture says of points: t (B, N) m along the axis from the point to the measured surface,
    positive in front of it; cosine (B, N); valid, inside (B, N) bool: there is a reading, the mask has the pixel;
    edge (B, N) pixels to the nearest step, at most 10."""

    t: Tensor
    cosine: Tensor
    valid: Tensor
    inside: Tensor
    edge: Tensor

    def psdf(self) -> Tensor:
        """The five channels of section 8a (B, N, 5)."""
        t = torch.where(self.valid, self.t, 0)
        channels = (
            (t / 0.01).clamp(-1, 1),
            (t / 0.1).clamp(-1, 1),
            (t * self.cosine / 0.1).clamp(-1, 1),
            self.valid.to(t.dtype),
            self.edge / _EDGE_PX,
        )
        return torch.stack(channels, -1)

    def state(self) -> Tensor:
        """One of free, band, hidden, off the mask, no reading (B, N, 5), section 8b."""
        on = self.inside & self.valid
        states = (
            on & (self.t > BAND_M),
            on & (self.t.abs() <= BAND_M),
            on & (self.t < -BAND_M),
            ~self.inside,
            self.inside & ~self.valid,
        )
        return torch.stack(states, -1).to(self.t.dtype)


def query_depth(inputs: AnimInputs, maps: Tensor, points: Tensor, pixels: Tensor) -> DepthQuery:
    """Points (B, N, 3) against the depth picture; maps (B, 2, S, S): cosine and distance to edges."""
    deep = depth_at(inputs.depth, pixels)
    inside = pick_pixels(inputs.mask.to(deep.dtype), pixels)[..., 0] > 0
    cosine, edge = pick_pixels(maps, pixels).unbind(-1)
    valid = (deep > 0) & inside
    return DepthQuery(torch.where(valid, deep - points[..., 2], 0), cosine, valid, inside, edge)


def query_body(body: Tensor | None, points: Tensor, pixels: Tensor) -> Tensor:
    """(B, N, 4) of points (B, N, 3): how far in front of the body's first hit and behind its last one (in 10 cm, at
    most 1), whether the ray meets the body, whether there is a body at all."""
    if body is None:
        return points.new_zeros(*points.shape[:2], BODY_CHANNELS)
    first, last = pick_pixels(body, pixels).unbind(-1)
    hit = (first > 0).to(points.dtype)
    z = points[..., 2]
    there = (body.flatten(1).amax(1) > 0).to(points.dtype)[:, None].expand_as(hit)
    before, behind = ((first - z) / _BODY_M).clamp(-1, 1), ((z - last) / _BODY_M).clamp(-1, 1)
    return torch.stack([before * hit, behind * hit, hit, there], -1)


def project_points(inputs: AnimInputs, points: Tensor) -> Tensor:
    """Points (B, N, 3) -> pixels (B, N, 2) of the square picture."""
    return project(points, inputs.intrinsics)
