"""All textures of a person in one table with smaller copies, so that one lookup serves every layer at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from likeness.synthesis.figure import Layer
from likeness.synthesis.lookup import rows

# Each level halves the one before; beyond these the islands of a texture would run into each other.
LEVELS = 5
SOLID = 128
_CODE = np.arange(256) / 255
SRGB_TO_LINEAR = np.where(_CODE <= 0.04045, _CODE / 12.92, ((_CODE + 0.055) / 1.055) ** 2.4).astype(np.float32)


@dataclass(frozen=True)
class Sheet:
    """Pictures of several layers in one row of texels.

    texels (C, N) u8; table (3, L, levels) i32: where each layer's picture lies, its height and its width.
    """

    texels: torch.Tensor
    table: torch.Tensor

    def nearest(self, layer: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
        """Texels (C, N) u8 of the first level at uv (2, N), V up, repeating."""
        start, height, width = self.table[:, :, 0].index_select(1, layer)
        column = (uv[0] * width).floor().int() % width
        row = ((1 - uv[1]) * height).floor().int() % height
        return self.texels.index_select(1, start + row * width + column)

    def corners(
        self, layer: torch.Tensor, level: torch.Tensor, uv: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The four texels (C, N) u8 about uv (2, N) on a level (N,), each with its weight (N,)."""
        start, height, width = self.table.flatten(1).index_select(1, layer * self.table.shape[2] + level)
        x, y = uv[0] * width - 0.5, (1 - uv[1]) * height - 0.5
        left, top = x.floor(), y.floor()
        right_share, low_share = x - left, y - top
        for row, down in zip(_and_next(top, height), (1 - low_share, low_share), strict=True):
            first = start + row * width
            for column, across in zip(_and_next(left, width), (1 - right_share, right_share), strict=True):
                yield self.texels.index_select(1, first + column), down * across


def _and_next(place: torch.Tensor, size: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole numbers (N,) f32 and those after them, brought into 0..size (N,) i32 by repeating."""
    here = place.int() % size
    after = here + 1
    return here, after * (after < size)


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
            flat.append(level.reshape(-1, level.shape[2]).T)
        heights.append([level.shape[0] for level in pyramid])
        widths.append([level.shape[1] for level in pyramid])
    return Sheet(torch.cat(flat, 1), torch.tensor([start, heights, widths], device=device, dtype=torch.int32))


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
        self._all_known = all(layer.known is None for layer in layers)
        self._linear = torch.from_numpy(SRGB_TO_LINEAR).to(device)
        has_holes = [layer.alpha is not None and bool((layer.alpha < SOLID).any()) for layer in layers]
        self.has_holes = torch.tensor(has_holes, device=device)

    def albedo(self, layer: torch.Tensor, uv: torch.Tensor, texels_per_pixel: torch.Tensor) -> torch.Tensor:
        """Linear colour (3, N) f32 at uv (2, N), smoothed over a pixel that covers so many texels (N,) by area."""
        # Half a level sharper than the plain rule: bilinear lookup blurs by itself.
        level = (0.5 * torch.log2(texels_per_pixel.clamp(min=1e-6)) - 0.5).clamp(0, LEVELS - 1)
        fine = level.floor().clamp(max=LEVELS - 2)
        share = level - fine
        return self._smooth(layer, fine.long(), uv) * (1 - share) + self._smooth(layer, fine.long() + 1, uv) * share

    def solid(self, layer: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
        """Whether the layer (N,) is there at uv (2, N), not cut out; (N,) bool."""
        corners = self._alpha.corners(layer, torch.zeros_like(layer), uv)
        return _total(texels[0] * weight for texels, weight in corners) >= SOLID

    def known(self, layer: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
        """Whether the colour at uv (2, N) is truth; (N,) bool."""
        if self._all_known:
            return torch.ones_like(layer, dtype=torch.bool)
        return self._known.nearest(layer, uv)[0] > 0

    def _smooth(self, layer: torch.Tensor, level: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
        corners = self.color.corners(layer, level, uv)
        return _total(rows(self._linear, texels.int()) * weight for texels, weight in corners)


def _total(parts: Iterator[torch.Tensor]) -> torch.Tensor:
    total = next(parts)
    for part in parts:
        total += part
    return total


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
