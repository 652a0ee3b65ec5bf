"""The volumetric feature extractor of ANIM: a U-Net of sparse convolutions over the observed voxels.

ANIM (arXiv 2403.10357) names a "SparseConvNet U-Net"; widths, doubles of submanifold convolutions and batch
normalization (eps 1e-3, momentum 0.01) follow Neural Body's SparseConvNet, which its figure is drawn after.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from likeness.surface.sparse.modules import (
    BatchNorm,
    SparseConv3d,
    SparseInverseConv3d,
    SparseSequential,
    SubMConv3d,
)
from likeness.surface.sparse.tensor import SparseTensor, cat


class SparseUNet(nn.Module):
    """Encoder of submanifold doubles and strided convolutions, decoder of inverse convolutions with skips.

    channels: width of each level, finest first; every level halves the resolution. decoder False leaves the encoder
    alone (Neural Body). backend: see `modules`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int] = (16, 32, 64, 128, 128),
        decoder: bool = True,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        pairs = list(zip(self.channels[:-1], self.channels[1:]))
        self.stem = _double(in_channels, self.channels[0], backend)
        self.down = nn.ModuleList(_block(SparseConv3d, a, b, backend) for a, b in pairs)
        self.encode = nn.ModuleList(_double(b, b, backend) for _, b in pairs)
        self.up = nn.ModuleList(_block(SparseInverseConv3d, b, a, backend) for a, b in pairs if decoder)
        self.decode = nn.ModuleList(_block(SubMConv3d, 2 * a, a, backend) for a, _ in pairs if decoder)

    @property
    def out_channels(self) -> int:
        """Channels of all levels together: the width of `sample_levels`."""
        return sum(self.channels)

    def forward(self, tensor: SparseTensor) -> list[SparseTensor]:
        """Features of every level, finest first, on the voxels that each level has."""
        levels = [self.stem(tensor)]
        for down, encode in zip(self.down, self.encode):
            levels.append(encode(down(levels[-1])))
        for i in reversed(range(len(self.up))):
            levels[i] = self.decode[i](cat([levels[i], self.up[i](levels[i + 1])]))
        return levels


def sample_levels(levels: Sequence[SparseTensor], points: Tensor, batch: Tensor | None = None) -> Tensor:
    """Trilinear features of all levels side by side, (P, sum of channels). points: as `SparseTensor.sample` takes."""
    return torch.cat([level.sample(points, batch) for level in levels], 1)


def _block(kind: type, a: int, b: int, backend: str) -> SparseSequential:
    return SparseSequential(
        kind(a, b, bias=False, backend=backend), BatchNorm(b, eps=1e-3, momentum=0.01), nn.ReLU(inplace=True)
    )


def _double(a: int, b: int, backend: str) -> SparseSequential:
    return SparseSequential(_block(SubMConv3d, a, b, backend), _block(SubMConv3d, b, b, backend))
