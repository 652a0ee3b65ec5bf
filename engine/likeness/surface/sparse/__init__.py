"""Sparse convolution on voxels: our own in plain torch for every device, spconv's weight layout and names."""

from likeness.surface.sparse.modules import (
    BatchNorm,
    SparseConv3d,
    SparseInverseConv3d,
    SparseSequential,
    SubMConv3d,
)
from likeness.surface.sparse.sites import Sites
from likeness.surface.sparse.tensor import Grid, SparseTensor, cat, mean_by_row, occupied, voxelize
from likeness.surface.sparse.unet import SparseUNet, sample_levels

__all__ = [
    "BatchNorm",
    "Grid",
    "Sites",
    "SparseConv3d",
    "SparseInverseConv3d",
    "SparseSequential",
    "SparseTensor",
    "SparseUNet",
    "SubMConv3d",
    "cat",
    "mean_by_row",
    "occupied",
    "sample_levels",
    "voxelize",
]
