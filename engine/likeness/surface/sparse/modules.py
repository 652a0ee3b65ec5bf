"""Layers on sparse tensors, with spconv's names, arguments and weight layout: checkpoints move either way."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from likeness.surface.sparse import rulebook, spconv_backend
from likeness.surface.sparse.convolution import convolve
from likeness.surface.sparse.rulebook import Rulebook
from likeness.surface.sparse.sites import Sites
from likeness.surface.sparse.tensor import SparseTensor

BACKENDS = ("auto", "torch", "spconv")


class Convolution(nn.Module, ABC):
    """Weight (out, kz, ky, kx, in) and bias (out), initialized as torch's dense convolutions are.

    backend: 'torch' is ours. 'spconv' is that package, see `spconv_backend`. 'auto' is ours too, on every device,
    until spconv has been run and found faster on a card.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True, backend: str = "auto") -> None:
        super().__init__()
        if backend not in BACKENDS:
            raise ValueError(f"backend {backend!r} is none of {', '.join(BACKENDS)}")
        self.in_channels, self.out_channels, self.backend = in_channels, out_channels, backend
        self.weight = nn.Parameter(torch.empty(out_channels, 3, 3, 3, in_channels))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(27 * self.in_channels)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        if self.backend == "spconv":
            return spconv_backend.forward(self, tensor)
        sites, rules = self.rules(tensor.sites)
        return SparseTensor.on(sites, convolve(tensor.features, self.weight, self.bias, rules))

    @abstractmethod
    def rules(self, sites: Sites) -> tuple[Sites, Rulebook]:
        """Voxels of the result, and the rulebook that leads to them."""

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size=3, bias={self.bias is not None}"


class SubMConv3d(Convolution):
    """Convolution of 3 x 3 x 3 whose result has exactly the input's voxels."""

    def rules(self, sites: Sites) -> tuple[Sites, Rulebook]:
        return sites, rulebook.submanifold(sites)


class SparseConv3d(Convolution):
    """Convolution of 3 x 3 x 3 with stride 2 and padding 1: active is every voxel that an active one reaches."""

    def rules(self, sites: Sites) -> tuple[Sites, Rulebook]:
        return rulebook.downward(sites)


class SparseInverseConv3d(Convolution):
    """Transpose of the strided convolution that made the input's voxels; the result has that one's input's voxels.

    Dense: conv_transpose3d(stride=2, padding=1, output_padding=1), read at those voxels.
    """

    def rules(self, sites: Sites) -> tuple[Sites, Rulebook]:
        return rulebook.upward(sites)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalization of features; a batch of fewer than two voxels has no statistics and uses the running ones."""

    def forward(self, features: Tensor) -> Tensor:
        if self.training and len(features) < 2:
            return nn.functional.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(features)


class SparseSequential(nn.Sequential):
    """Modules one after the other; those that know nothing of sparse tensors are given the features."""

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        for module in self:
            tensor = module(tensor) if is_sparse(module) else tensor.replace_feature(module(tensor.features))
        return tensor


def is_sparse(module: Any) -> bool:
    """Whether a module takes sparse tensors."""
    return isinstance(module, Convolution | SparseSequential)
