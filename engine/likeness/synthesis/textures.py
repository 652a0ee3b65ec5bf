"""All textures of a person in one table with smaller copies, so that one lookup serves every layer at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from likeness.synthesis.figure import Layer

# Each level halves the one before; beyond these the islands of a texture would run into each other.
LEVELS = 5
SOLID = 128
_CODE = np.arange(256) / 255
SRGB_TO_LINEAR = np.where(_CODE <= 0.04045, _CODE / 12.92, ((_CODE + 0.055) / 1.055) ** 2.4).astype(np.float32)


@dataclass(frozen=True)
class Sheet:
    """Pictures of several layers in one row of texels.

    texels (N, C) u8; start, height, width (L, levels) i64: where each layer's picture lies and its size.
    """

    texels: torch.Tensor
    start: torch.Tensor
    height: torch.Tensor
    width: torch.Tensor

    def nearest(self, layer: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
        """Texels (N, C) u8 of the first level at uv (N, 2), V up, repeating."""
        height, width = self.height[layer, 0], self.width[layer, 0]
        column = (uv[:, 0] * width).floor().long() % width
        row = ((1 - uv[:, 1]) * height).floor().long() % height
        return self.texels[self.start[layer, 0] + row * width + column]

    def corners(self, layer: torch.Tensor, level: torch.Tensor, uv: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The four texels (N, 4, C) u8 about uv (N, 2) on a level (N,) and their weights (N, 4)."""
        place = layer * self.start.shape[1] + level
        start, height, width = (table.flatten()[place] for table in (self.start, self.height, self.width))
        x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
        left, top = x.floor(), y.floor()
        right_share, low_share = x - left, y - top
        columns = torch.stack([left.long() % width, (left.long() + 1) % width], 1)
        rows = torch.stack([top.long() % height, (top.long() + 1) % height], 1)
        index = (start[:, None] + rows * width[:, None])[:, :, None] + columns[:, None, :]
        across = torch.stack([1 - right_share, right_share], 1)
        down = torch.stack([1 - low_share, low_share], 1)
        weights = down[:, :, None] * across[:, None, :]
        return self.texels[index.flatten(1)], weights.flatten(1)


def make_sheet(pictures: Sequence[np.ndarray], levels: int, device: torch.device | str) -> Sheet:
    """A sheet of pictures (H, W, C) u8, each followed by `levels` - 1 halvings."""
    flat: list[torch.Tensor] = []
    start: list[list[int]] = []
    heights: list[list[int]] = []
    widths: list[list[int]] = []
    position = 0
    for picture in pictures:
        pyramid = _halvings(torch.from_numpy(np.array(picture)).to(device), levels)
        start.append([])
        for level in pyramid:
            start[-1].append(position)
            position += level.shape[0] * level.shape[1]
            flat.append(level.reshape(-1, level.shape[2]))
        heights.append([level.shape[0] for level in pyramid])
        widths.append([level.shape[1] for level in pyramid])
    tables = (torch.tensor(table, device=device, dtype=torch.int64) for table in (start, heights, widths))
    return Sheet(torch.cat(flat), *tables)


class Textures:
    """Colours, holes and known regions of layers, on a device."""

    def __init__(self, layers: Sequence[Layer], device: torch.device | str) -> None:
        self.color = make_sheet([layer.color for layer in layers], LEVELS, device)
        blank = np.full((1, 1, 1), 255, np.uint8)
        self._alpha = make_sheet(
            [blank if layer.alpha is None else layer.alpha[..., None] for layer in layers], 1, device
        )
        self._known = make_sheet(
            [blank if layer.known is None else layer.known[..., None].astype(np.uint8) for layer in layers], 1, device
        )
        self._linear = torch.from_numpy(SRGB_TO_LINEAR).to(device)
        has_holes = [layer.alpha is not None and bool((layer.alpha < SOLID).any()) for layer in layers]
        self.has_holes = torch.tensor(has_holes, device=device)

    def albedo(self, layer: torch.Tensor, uv: torch.Tensor, texels_per_pixel: torch.Tensor) -> torch.Tensor:
        """Linear colour (N, 3) f32 at uv (N, 2), smoothed over a pixel that covers so many texels (N,) by area."""
        # Half a level sharper than the plain rule: bilinear lookup blurs by itself.
        level = (0.5 * torch.log2(texels_per_pixel.clamp(min=1e-6)) - 0.5).clamp(0, LEVELS - 1)
        fine = level.floor().clamp(max=LEVELS - 2)
        share = (level - fine)[:, None]
        return self._smooth(layer, fine.long(), uv) * (1 - share) + self._smooth(layer, fine.long() + 1, uv) * share

    def solid(self, layer: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
        """Whether the layer (N,) is there at uv (N, 2), not cut out; (N,) bool."""
        texels, weights = self._alpha.corners(layer, torch.zeros_like(layer), uv)
        return (texels[..., 0] * weights).sum(1) >= SOLID

    def known(self, layer: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
        """Whether the colour at uv (N, 2) is truth; (N,) bool."""
        return self._known.nearest(layer, uv)[:, 0] > 0

    def _smooth(self, layer: torch.Tensor, level: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
        texels, weights = self.color.corners(layer, level, uv)
        return (self._linear[texels.long()] * weights[..., None]).sum(1)


def _halvings(picture: torch.Tensor, levels: int) -> list[torch.Tensor]:
    """A picture (H, W, C) u8 and its box-filtered halvings; a side of one texel stays."""
    pyramid = [picture]
    for _ in range(levels - 1):
        last = pyramid[-1].to(torch.int16)
        if last.shape[0] > 1:
            even = last.shape[0] // 2 * 2
            last = last[0:even:2] + last[1:even:2]
        else:
            last = last * 2
        if last.shape[1] > 1:
            even = last.shape[1] // 2 * 2
            last = last[:, 0:even:2] + last[:, 1:even:2]
        else:
            last = last * 2
        pyramid.append(((last + 2) // 4).to(torch.uint8))
    return pyramid
