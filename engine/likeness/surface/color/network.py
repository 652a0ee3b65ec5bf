"""The colour network: which pixels of the near side look like what each ray leaves last.

It never paints. A U-Net gives every pixel two vectors, what the near side is there and what the far side is; the far
side's colour is a mean of the near side's pixels, weighted by how well these vectors agree (attention). So hair, cloth
and skin keep the person's own colours. Untrained it takes them from the same part of the body at the same height.
(PIFu, section 3.2, regresses colours instead.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from likeness.surface.color.looks import CHANNELS, KINDS, PIXEL_M, PLACES, Looks, features
from likeness.surface.layers.network import NetworkSettings, UNet

# Length of the vectors.
DEPTH = 24
# Colours that people have where the picture shows none of theirs.
USUAL = 8
SETTINGS = NetworkSettings(widths=(32, 48, 64, 96), pixel_m=PIXEL_M)
# The untrained network: places this far apart (of the body's height) are half as good; parts of the body that are the
# same count e to the SAME.
_NEAR, _SAME = 0.08, 3.0


class ColorNetwork(nn.Module):
    """Looks -> colours of the far side (B, 3, H, W) f32 sRGB 0..1, black off the mask."""

    def __init__(self, settings: NetworkSettings = SETTINGS) -> None:
        super().__init__()
        self.settings = settings
        self.trunk = UNet(CHANNELS, 2 * DEPTH, settings)
        assert self.trunk.head.bias is not None
        # Both vectors zero would stay so.
        nn.init.normal_(self.trunk.head.weight, std=0.02)
        self.usual = nn.Parameter(torch.linspace(0.1, 0.8, USUAL)[:, None].repeat(1, 3))
        spread = torch.randn((USUAL, DEPTH), generator=torch.Generator().manual_seed(0))
        self.usual_vectors = nn.Parameter(functional.pad(0.3 * spread, (0, 4 + KINDS)))
        self.near = nn.Parameter(torch.full((2,), 0.5 / _NEAR**2).log())
        self.same = nn.Parameter(torch.tensor(_SAME))

    def forward(self, seen: Looks) -> Tensor:
        far, near = self.vectors(seen)
        out = torch.zeros_like(seen.color).flatten(2)
        rows = []
        for number in range(len(out)):
            where = seen.mask[number].flatten()
            keys, colors = self.palette(seen, near, number)
            found = mixed(far[number].flatten(1)[:, where].T, keys, colors)
            rows.append(out[number].masked_scatter(where, found.T))
        return torch.stack(rows).view_as(seen.color)

    def vectors(self, seen: Looks) -> tuple[Tensor, Tensor]:
        """What the far side asks for (B, C, H, W) and the near side offers: the better they agree, the larger their
        product."""
        both = self.trunk(features(seen)).float()
        scale = DEPTH**-0.25
        strength = self.near.exp()[:, None, None]
        wanted, there = seen.last[:, :2], seen.first[:, :2]
        one, parts = torch.ones_like(there[:, :1]), slice(PLACES, PLACES + KINDS)
        # Products that come to minus the squared distance of two places.
        asked = [2 * strength * wanted, -(strength * wanted**2).sum(1, keepdim=True), -one]
        offered = [there, one, (strength * there**2).sum(1, keepdim=True)]
        far = torch.cat([both[:, :DEPTH] * scale, *asked, self.same * seen.last[:, parts]], 1)
        return far, torch.cat([both[:, DEPTH:] * scale, *offered, seen.first[:, parts]], 1)

    def palette(self, seen: Looks, near: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """What sample `number` offers: vectors (N, C) and colours (N, 3) of its pixels, then the usual ones."""
        where = seen.mask[number].flatten()
        own, colors = (values[number].flatten(1)[:, where].T for values in (near, seen.color))
        return torch.cat([own, self.usual_vectors]), torch.cat([colors, self.usual.clamp(0, 1)])


def mixed(asked: Tensor, offered: Tensor, colors: Tensor, harder: float = 1.0) -> Tensor:
    """Colours (N, 3) for what is asked (N, C): means of colors (M, 3) by how well what is offered (M, C) agrees."""
    # Products of places are large numbers with small differences: half precision would not do.
    with torch.autocast(asked.device.type, enabled=False):
        return (harder * (asked.float() @ offered.float().T)).softmax(1) @ colors.float()
