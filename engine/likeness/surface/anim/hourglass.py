"""Stacked hourglasses: PIFu's filter with PIFuHD's option not to pool (anim.md, section 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_GROUP = 16


def group_norm(width: int) -> nn.GroupNorm:
    """Groups of up to 16 channels, so that narrow networks keep several."""
    return nn.GroupNorm(max(width // _GROUP, 1), width)


class ConvBlock(nn.Module):
    """Three 3 x 3 convolutions of width 1/2, 1/4, 1/4, concatenated, plus the input (PIFu's ConvBlock)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        widths = (outputs // 2, outputs // 4, outputs - outputs // 2 - outputs // 4)
        entering = (inputs, widths[0], widths[1])
        self.norms = nn.ModuleList(group_norm(n) for n in entering)
        self.convs = nn.ModuleList(
            nn.Conv2d(n, m, 3, padding=1, bias=False) for n, m in zip(entering, widths, strict=True)
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, outputs, H, W)."""
        parts, now = [], x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            now = conv(F.relu(norm(now)))
            parts.append(now)
        return torch.cat(parts, 1) + self.skip(x)


class Hourglass(nn.Module):
    """One hourglass: down `depth` times and up again, a block on each way at each level."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.across = ConvBlock(width, width)
        self.down = ConvBlock(width, width)
        self.inner: nn.Module = Hourglass(width, depth - 1) if depth > 1 else ConvBlock(width, width)
        self.up = ConvBlock(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape; H and W even at every level."""
        low = self.up(self.inner(self.down(F.avg_pool2d(x, 2))))
        return self.across(x) + F.interpolate(low, scale_factor=2, mode="nearest")


class StackedHourglass(nn.Module):
    """Pictures (B, inputs, S, S) -> features (B, outputs, S / 2, S / 2), or S / 4 with `pool`; of the last stack."""

    def __init__(self, inputs: int, width: int, stacks: int, outputs: int, *, pool: bool, depth: int = 2) -> None:
        super().__init__()
        half = max(width // 2, 8)
        self.stem = nn.Conv2d(inputs, half, 7, stride=2, padding=3)
        self.stem_norm = group_norm(half)
        self.before = ConvBlock(half, width)
        self.pool = pool
        self.after = ConvBlock(width, width)
        self.glasses = nn.ModuleList(Hourglass(width, depth) for _ in range(stacks))
        self.blocks = nn.ModuleList(ConvBlock(width, width) for _ in range(stacks))
        self.mixes = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 1), group_norm(width), nn.ReLU()) for _ in range(stacks)
        )
        self.outs = nn.ModuleList(nn.Conv2d(width, outputs, 1) for _ in range(stacks))
        self.back = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(stacks - 1))
        self.back_out = nn.ModuleList(nn.Conv2d(outputs, width, 1) for _ in range(stacks - 1))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        now = self.before(F.relu(self.stem_norm(self.stem(x))))
        now = self.after(F.avg_pool2d(now, 2) if self.pool else now)
        out = now
        for number, glass in enumerate(self.glasses):
            mixed = self.mixes[number](self.blocks[number](glass(now)))
            out = self.outs[number](mixed)
            if number + 1 < len(self.glasses):
                now = now + self.back[number](mixed) + self.back_out[number](out)
        return out
