"""ANIM's network: two hourglasses, voxel features, a head; one class for all rows of the comparison."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from likeness.core.errors import LikenessError
from likeness.surface.layers.network import LayerNetwork

from .config import AnimConfig
from .guess import QUERY_CHANNELS, picture_guess, query_guess
from .head import Head
from .hourglass import StackedHourglass
from .inputs import AnimInputs, cosines, depth_edges, surface_normals
from .sampling import (
    BODY_CHANNELS,
    PSDF_CHANNELS,
    STATE_CHANNELS,
    pick_pixels,
    project_points,
    query_body,
    query_depth,
    sample_picture,
)
from .voxels import VoxelFeatures, VoxelNet

# Points that go through the head together: their features stay in the cache.
CHUNK = 32_768
_BODY_M = 0.25


class AnimNet(nn.Module):
    """See the module. `encode` looks at captures once, the state then answers any number of points."""

    def __init__(self, config: AnimConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        wanted = c.lr_direct or (c.vfe and c.voxel_code == "lifted")
        self.lr = StackedHourglass(c.image_channels, c.lr_width, c.lr_stacks, c.lr_out, pool=True) if wanted else None
        self.hr = StackedHourglass(c.image_channels, c.hr_width, c.hr_stacks, c.hr_out, pool=False) if c.hr else None
        self.voxels = VoxelNet(c, c.lr_out) if c.vfe else None
        inputs = 2 + c.hr_out * c.hr + c.lr_out * c.lr_direct + PSDF_CHANNELS * c.psdf
        inputs += STATE_CHANNELS * c.visibility + BODY_CHANNELS * c.body
        inputs += self.voxels.outputs if self.voxels is not None else 0
        self.layers = LayerNetwork().requires_grad_(False) if c.explicit_back else None
        inputs += 0 if self.layers is None else QUERY_CHANNELS + self.layers.settings.widths[0]
        self.head = Head(inputs, c.head, c.truncation_m, residual=c.residual, color=c.color, explicit=c.explicit_back)

    def encode(self, inputs: AnimInputs) -> AnimState:
        """Features of a batch of captures. Raises LikenessError("weights.config") for pictures of another size."""
        if inputs.size != self.config.image:
            raise LikenessError(
                "weights.config",
                f"The network looks at pictures of {self.config.image} pixels, not {inputs.size}.",
                "Make the inputs with the network's own configuration.",
            )
        if self.config.explicit_back and inputs.guess is None:
            raise ValueError("this network stands on a guess, and the inputs have none")
        normals, valid = surface_normals(inputs.depth, inputs.intrinsics)
        maps = torch.cat([cosines(normals, inputs.intrinsics), depth_edges(inputs.depth)], 1)
        picture = self._picture(inputs, normals, valid)
        lr = None if self.lr is None else self.lr(picture)
        hr = None if self.hr is None else self.hr(picture)
        voxels = None if self.voxels is None else self.voxels(inputs, maps, normals, lr)
        return AnimState(self, inputs, maps, lr if self.config.lr_direct else None, hr, voxels)

    def _picture(self, inputs: AnimInputs, normals: Tensor, valid: Tensor) -> Tensor:
        """What both hourglasses see (B, image_channels, S, S)."""
        c = self.config
        parts = [inputs.mask.to(normals.dtype), valid.to(normals.dtype)]
        if c.rgb:
            parts.append(inputs.color * 2 - 1)
        if c.normals:
            parts.append(normals)
        seen = inputs.depth > 0
        if c.depth:
            deep = inputs.depth - inputs.centre[:, 2].view(-1, 1, 1, 1)
            parts.append(torch.where(seen, deep, 0))
        if c.body:
            body = inputs.body if inputs.body is not None else torch.zeros_like(inputs.depth).expand(-1, 2, -1, -1)
            hit = body[:, :1] > 0
            # Against what was measured, so that numbers stay small; where nothing was, against the body's own front.
            front = torch.where(seen, inputs.depth, body[:, :1])
            parts += [torch.where(hit, ((body - front) / _BODY_M).clamp(-2, 2), 0), hit.to(normals.dtype)]
        if inputs.guess is not None and c.explicit_back:
            parts.append(picture_guess(inputs.guess, inputs.depth))
        return torch.cat(parts, 1)


@dataclass(frozen=True)
class AnimState:
    """Captures as the network sees them; ask it for distances and colours."""

    net: AnimNet
    inputs: AnimInputs
    maps: Tensor
    lr: Tensor | None
    hr: Tensor | None
    voxels: VoxelFeatures | None

    def query(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Points (B, N, 3) in camera space, metres -> features (B, N, C), what the head starts from (B, N)."""
        c = self.net.config
        pixels = project_points(self.inputs, points)
        seen = query_depth(self.inputs, self.maps, points, pixels)
        size = self.inputs.size
        shown = ((pixels >= 0) & (pixels <= size - 1)).all(-1)
        depth = (points[..., 2] - self.inputs.centre[:, None, 2]) / (c.side_m / 2)
        parts = [torch.stack([depth, shown.to(depth.dtype)], -1)]
        if self.hr is not None:
            parts.append(sample_picture(self.hr, pixels, stride=2))
        if self.lr is not None:
            parts.append(sample_picture(self.lr, pixels, stride=4))
        if self.voxels is not None:
            parts.append(self.voxels.sample(points))
        if c.psdf:
            parts.append(seen.psdf())
        if c.visibility:
            parts.append(seen.state())
        if c.body:
            parts.append(query_body(self.inputs.body, points, pixels))
        surface = torch.where(seen.valid, seen.t * seen.cosine, 0)
        if c.explicit_back and self.inputs.guess is not None:
            maps = torch.stack([guess.maps for guess in self.inputs.guess])
            told, surface = query_guess(self.inputs.guess, points, pick_pixels(maps, pixels))
            parts.append(told)
        return torch.cat([part.to(depth.dtype) for part in parts], -1), surface

    def distances(self, points: Tensor) -> Tensor:
        """Signed distances (B, N) of points (B, N, 3), negative inside; differentiable."""
        return self.net.head(*self.query(points))

    def sdf(self, points: Tensor) -> Tensor:
        """Signed distances (N,) of points (N, 3) for a batch of one, without gradients, in float32."""
        return self._in_chunks(points, lambda part: self.distances(part[None])[0])

    def reading(self, points: Tensor) -> Tensor:
        """Distance (N,) m along the normal from points (N, 3) to the measured surface of their pixels, positive before
        it, for a batch of one; 1000 where there is no reading."""
        query = query_depth(self.inputs, self.maps, points[None], project_points(self.inputs, points[None]))
        return torch.where(query.valid, query.t * query.cosine, 1000.0)[0]

    def colors(self, points: Tensor) -> Tensor:
        """Albedo (N, 3) sRGB 0..1 at points (N, 3) for a batch of one. Only where the configuration has `color`."""
        return self._in_chunks(points, lambda part: self.net.head.colors(self.query(part[None])[0])[0])

    def _in_chunks(self, points: Tensor, answer: object) -> Tensor:
        with torch.no_grad(), torch.autocast(points.device.type, enabled=False):
            return torch.cat([answer(part) for part in points.float().split(CHUNK)])  # type: ignore[operator]
