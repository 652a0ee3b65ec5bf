"""A small U-Net on a crop's pixels, and the two-layer network: where each ray leaves the person for the last time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from likeness.surface.layers.features import CHANNELS

# Network's unit of depth: residuals of a decimetre are of order one.
UNIT_M = 0.1


@dataclass(frozen=True)
class NetworkSettings:
    """widths: channels of each level, half the resolution from one to the next. fold: side of the square of pixels
    that is folded into channels first. groups: of the normalisation. pixel_m: that the weights were trained at."""

    widths: tuple[int, ...] = (48, 96, 128, 192)
    fold: int = 2
    groups: int = 8
    pixel_m: float = 0.012

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> NetworkSettings:
        """What to_dict gave."""
        return cls(tuple(data["widths"]), int(data["fold"]), int(data["groups"]), float(data["pixel_m"]))


class _Block(nn.Module):
    """3 x 3 convolution, normalisation, SiLU; a residual where width stays."""

    def __init__(self, before: int, after: int, groups: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm = nn.GroupNorm(groups, after)
        self.residual = before == after and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        out = functional.silu(self.norm(self.convolution(x)))
        return x + out if self.residual else out


class UNet(nn.Module):
    """Features (B, channels, H, W) f32 -> outputs (B, outputs, H, W); H and W are multiples of fold * 2^(levels - 1).

    The last convolution starts at zero: the untrained network says nothing.
    """

    def __init__(self, channels: int, outputs: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = s = settings
        widths, g = s.widths, s.groups
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(s.fold), _Block(channels * s.fold**2, widths[0], g), _Block(widths[0], widths[0], g)
        )
        self.down = nn.ModuleList(nn.Sequential(_Block(a, b, g, 2), _Block(b, b, g)) for a, b in pairwise(widths))
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.Sequential(_Block(2 * a, a, g), _Block(a, a, g)) for a in widths[:-1])
        self.head = nn.Conv2d(widths[0], outputs * s.fold**2, 3, 1, 1)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: Tensor) -> Tensor:
        return self.unfolded(self.decoded(features))

    def unfolded(self, decoded: Tensor) -> Tensor:
        """What `decoded` gave -> outputs (B, outputs, H, W) f32."""
        return functional.pixel_shuffle(self.head(decoded).float(), self.settings.fold)

    def decoded(self, features: Tensor) -> Tensor:
        """The last features (B, widths[0], H / fold, W / fold)."""
        x = self.stem(features.contiguous(memory_format=torch.channels_last))
        passed = []
        for step in self.down:
            passed.append(x)
            x = step(x)
        for level in range(len(self.up) - 1, -1, -1):
            wide = functional.interpolate(self.narrow[level](x), scale_factor=2.0, mode="nearest")
            x = self.up[level](torch.cat([wide, passed[level]], 1))
        return x


class LayerNetwork(UNet):
    """Features (B, CHANNELS, H, W) f32 -> residuals (B, 2, H, W) f32 metres, added to the front and to the first
    guess of the back: untrained, it is that guess, the body or naive inflation.
    """

    def __init__(self, settings: NetworkSettings | None = None) -> None:
        super().__init__(CHANNELS, 2, settings or NetworkSettings())

    def forward(self, features: Tensor) -> Tensor:
        return self.residuals(self.decoded(features))

    def residuals(self, decoded: Tensor) -> Tensor:
        """What `decoded` gave -> residuals (B, 2, H, W) f32 metres."""
        return UNIT_M * self.unfolded(decoded)
