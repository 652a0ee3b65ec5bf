"""What the two-layer network says of a capture, for ANIM to stand on: the option `explicit_back` (feasibility.md: ANIM
has to beat that network; so it begins as that network's surface and learns what is missing).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.surface.layers.network import LayerNetwork
from likeness.surface.layers.predict import Body, Layers, gaps, guess_layers
from likeness.surface.layers.spans import Gap
from likeness.surface.layers.volume import BAND, span_field

from .crop import nearest

# Nodes of the grid around the person.
SPARE = 4
# Distances along the ray from here on, as a share of the field's band, are cut and say nothing of how far it is.
_CUT = 0.85
QUERY_CHANNELS, PICTURE_CHANNELS, NODE_CHANNELS = 8, 4, 2
_NEAR_M, _FAR_M, _STEP_M = 0.01, 0.1, 0.02


@dataclass(frozen=True)
class RayGrid:
    """Numbers on nodes that stand on a camera's rays, for a continuous field in metres.

    values (Z, H, W): node (k, v, u) lies on the ray of pixel (u, v) at depth first_m + k step_m along the axis.
    intrinsics (4,) fx, fy, cx, cy.
    """

    values: Tensor
    intrinsics: Tensor
    first_m: float
    step_m: float

    def at(self, points: Tensor) -> Tensor:
        """Trilinear at points (N, 3) in camera space -> (N,) f32; beyond the grid its rim's number and how far away the
        rim is."""
        z = points[:, 2].clamp(min=1e-3)
        place = torch.stack(
            [
                (z - self.first_m) / self.step_m,
                points[:, 1] / z * self.intrinsics[1] + self.intrinsics[3],
                points[:, 0] / z * self.intrinsics[0] + self.intrinsics[2],
            ],
            1,
        )
        last = torch.tensor(self.values.shape, device=place.device) - 1
        within = torch.minimum(place.clamp(min=0), last.to(place.dtype))
        low = torch.minimum(within.floor().long(), last - 1)
        share = within - low
        height, width = self.values.shape[1:]
        flat = self.values.reshape(-1)
        total = torch.zeros_like(z)
        for dz in (0, 1):
            for dv in (0, 1):
                for du in (0, 1):
                    corner = ((low[:, 0] + dz) * height + low[:, 1] + dv) * width + low[:, 2] + du
                    parts = [share[:, k] if d else 1 - share[:, k] for k, d in enumerate((dz, dv, du))]
                    total = total + flat[corner].to(z.dtype) * parts[0] * parts[1] * parts[2]
        off = (place - within) * torch.stack(
            [torch.full_like(z, self.step_m), z / self.intrinsics[1], z / self.intrinsics[0]], 1
        )
        return total + off.norm(dim=1)

    def nodes(self) -> Tensor:
        """Where the nodes lie (Z, H, W, 3), camera space."""
        k, v, u = (torch.arange(n, device=self.values.device) for n in self.values.shape)
        z = (self.first_m + self.step_m * k)[:, None, None].expand(self.values.shape)
        fx, fy, cx, cy = self.intrinsics
        return torch.stack([(u - cx) / fx * z, ((v - cy) / fy)[:, None] * z, z], -1)

    def thinned(self, by: int) -> RayGrid:
        """Every by-th node."""
        values = self.values[::by, ::by, ::by]
        return RayGrid(values.contiguous(), self.intrinsics / by, self.first_m, self.step_m * by)

    def to(self, device: torch.device | str) -> RayGrid:
        """The same on another device."""
        return replace(self, values=self.values.to(device), intrinsics=self.intrinsics.to(device))


@dataclass(frozen=True)
class Guess:
    """Of one capture. maps (4, S, S) f32 m on ANIM's square picture, 0 = none: front, back, start and stop of the air
    between. solid: signed distance in metres, negative inside. features (C, h, w): the two-layer network's last ones,
    feature j over pixels fold j .. fold j + fold - 1 of a camera with feature_intrinsics (4,)."""

    maps: Tensor
    solid: RayGrid
    features: Tensor
    feature_intrinsics: Tensor
    fold: int

    def to(self, device: torch.device | str) -> Guess:
        """The same on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("maps", "solid", "features", "feature_intrinsics")}
        return replace(self, **moved)

    def known_at(self, points: Tensor) -> Tensor:
        """Features (N, C) f32 at the projections of points (N, 3), bilinear, the rim's beyond it."""
        height, width = self.features.shape[-2:]
        k = self.feature_intrinsics
        pixels = points[:, :2] / points[:, 2:].clamp(min=1e-3) * k[:2] + k[2:]
        place = (pixels - (self.fold - 1) / 2) / self.fold
        grid = place * torch.tensor([2 / (width - 1), 2 / (height - 1)], device=points.device) - 1
        sampled = F.grid_sample(
            self.features[None].float(), grid[None, None], "bilinear", padding_mode="border", align_corners=True
        )
        return sampled[0, :, 0].T


def guess_of(capture: Capture, body: Body | None, network: LayerNetwork, picture: Camera, step_m: float) -> Guess:
    """See `Guess`. picture: camera of ANIM's square picture; step_m: of the grid. Raises "capture.no_depth"."""
    layers, decoded = guess_layers(capture, body, network)
    layers = layers.thinned(step_m)
    gap = gaps(layers, body)
    air = (np.where(gap.open, side, 0) for side in (gap.start, gap.stop))
    shown = [nearest(np.asarray(one, np.float32), layers.camera, picture) for one in (layers.front, layers.back, *air)]
    return Guess(
        torch.from_numpy(np.stack(shown)),
        solid_of(layers, gap, step_m),
        decoded.features.detach(),
        numbers(decoded.camera),
        decoded.fold,
    )


def solid_of(layers: Layers, gap: Gap, step_m: float) -> RayGrid:
    """Signed distance in metres to the surface that `volume` draws around both layers; its zero level is the same.

    The field there counts along rays, and no farther than a band: near the surface it is divided by its slope, beyond
    that the nearest such node counts.
    """
    camera, (front, back, mask, start, stop, opened) = window(
        layers.camera, layers.mask, [layers.front, layers.back, layers.mask, gap.start, gap.stop, gap.open]
    )
    field, first = span_field(front, back, Gap(start, stop, opened), mask, camera, step_m, SPARE)
    # The field has a border of one pixel, and rows before depths.
    pixel_m = float(np.median(front[mask])) / camera.fx
    spacing = (pixel_m, step_m, pixel_m)
    slope = np.sqrt(sum(np.square(np.gradient(field, length, axis=k)) for k, length in enumerate(spacing)))
    metric = field / np.maximum(slope, 1)
    sure = np.abs(field) < _CUT * BAND * step_m
    away, seed = ndimage.distance_transform_edt(~sure, sampling=spacing, return_indices=True)
    metric = metric[tuple(seed)] + np.sign(field) * away
    values = torch.from_numpy(np.ascontiguousarray(metric.transpose(1, 0, 2), np.float16))
    return RayGrid(values, numbers(camera) + torch.tensor([0.0, 0.0, 1.0, 1.0]), first, step_m)


def window(
    camera: Camera, mask: NDArray[np.bool_], arrays: list[NDArray], spare: int = SPARE
) -> tuple[Camera, list[NDArray]]:
    """Pictures (H, W) cut to the mask's box and `spare` pixels of zeros around it, and the camera of that."""
    rows, columns = np.nonzero(mask)
    low, high = (rows.min(), columns.min()), (rows.max() + 1, columns.max() + 1)
    cut = [np.pad(array[low[0] : high[0], low[1] : high[1]], spare) for array in arrays]
    height, width = cut[0].shape
    return Camera(camera.fx, camera.fy, camera.cx - low[1] + spare, camera.cy - low[0] + spare, width, height), cut


def numbers(camera: Camera) -> Tensor:
    """fx, fy, cx, cy (4,) f32."""
    return torch.tensor([camera.fx, camera.fy, camera.cx, camera.cy], dtype=torch.float32)


def query_guess(guesses: tuple[Guess, ...], points: Tensor, picked: Tensor) -> tuple[Tensor, Tensor]:
    """What the guesses say of points (B, N, 3): QUERY_CHANNELS and the network's features (B, N, ...), and the signed
    distance (B, N) m. picked (B, N, 4): their maps at the points' pixels."""
    solid = torch.stack([guess.solid.at(part) for guess, part in zip(guesses, points, strict=True)])
    known = torch.stack([guess.known_at(part) for guess, part in zip(guesses, points, strict=True)])
    front, back, start, stop = picked.unbind(-1)
    z = points[..., 2]
    on = (front > 0).to(z.dtype)
    opened = (start > 0).to(z.dtype)
    told = [
        (solid / _NEAR_M).clamp(-1, 1),
        (solid / _FAR_M).clamp(-1, 1),
        ((front - z) / _FAR_M).clamp(-1, 1) * on,
        ((z - back) / _FAR_M).clamp(-1, 1) * on,
        ((z - start) / _FAR_M).clamp(-1, 1) * opened,
        ((stop - z) / _FAR_M).clamp(-1, 1) * opened,
        on,
        opened,
    ]
    return torch.cat([torch.stack(told, -1), known], -1), solid


def node_guess(guesses: tuple[Guess, ...], points: Tensor, batch: Tensor) -> Tensor:
    """Signed distance of nodes (M, 3) of items batch (M,) in two scales (M, NODE_CHANNELS)."""
    solid = torch.zeros(len(points), device=points.device)
    for number, guess in enumerate(guesses):
        mine = batch == number
        solid[mine] = guess.solid.at(points[mine])
    return torch.stack([(solid / _FAR_M).clamp(-1, 1), (solid / (3 * _FAR_M)).clamp(-1, 1)], 1)


def picture_guess(guesses: tuple[Guess, ...], depth: Tensor) -> Tensor:
    """Channels (B, PICTURE_CHANNELS, S, S) for the 2D networks: front against depth (B, 1, S, S), thickness, air."""
    maps = torch.stack([guess.maps for guess in guesses])
    front, back, start, stop = maps.split(1, 1)
    on = front > 0
    off = torch.where(on & (depth > 0), ((front - depth) / _STEP_M).clamp(-1, 1), 0)
    return torch.cat([off, (back - front) / (3 * _FAR_M), (stop - start) / (3 * _FAR_M), on.to(depth.dtype)], 1)
