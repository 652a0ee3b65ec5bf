"""Sparse tensors of voxels: made from points, turned dense, joined, and read between voxels.

Points are (x, y, z), grids and indices (z, y, x), as everywhere in this field; only `Grid` and `sample` see both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

from likeness.surface.sparse.sampling import gather, spread
from likeness.surface.sparse.sites import Sites, linear_keys, strides


class SparseTensor:
    """Features on voxels. Attributes are named as in spconv: features (N, C), indices (N, 4) int32 [batch, z, y, x],
    spatial_shape (Z, Y, X), batch_size. Rows are sorted by batch, z, y, x; `sites` keeps what is known of the voxels.
    """

    def __init__(self, features: Tensor, indices: Tensor, spatial_shape: Sequence[int], batch_size: int) -> None:
        """indices: any order, int32 or int64, distinct. Raises ValueError for duplicates and voxels outside."""
        if len(features) != len(indices):
            raise ValueError(f"{len(features)} rows of features for {len(indices)} voxels")
        self.sites, order = Sites.from_indices(indices, spatial_shape, batch_size)
        self.features = features if order is None else features[order]

    @classmethod
    def on(cls, sites: Sites, features: Tensor) -> SparseTensor:
        """features (N, C) in the order of sites."""
        if features.ndim != 2 or len(features) != len(sites):
            raise ValueError(f"features {tuple(features.shape)} on {len(sites)} voxels")
        made = cls.__new__(cls)
        made.sites, made.features = sites, features
        return made

    @property
    def indices(self) -> Tensor:
        return self.sites.indices

    @property
    def spatial_shape(self) -> tuple[int, int, int]:
        return self.sites.shape

    @property
    def batch_size(self) -> int:
        return self.sites.batch_size

    def replace_feature(self, features: Tensor) -> SparseTensor:
        """Other features (N, any) on the same voxels."""
        return SparseTensor.on(self.sites, features)

    def dense(self) -> Tensor:
        """(B, C, Z, Y, X), zero where nothing is active."""
        z, y, x = self.spatial_shape
        b, i, j, k = self.indices.to(torch.int64).unbind(1)
        cells = self.features.new_zeros(self.batch_size * z * y * x, self.features.shape[1])
        cells = cells.index_copy(0, ((b * z + i) * y + j) * x + k, self.features)
        return cells.view(self.batch_size, z, y, x, -1).permute(0, 4, 1, 2, 3)

    def sample(self, points: Tensor, batch: Tensor | None = None) -> Tensor:
        """Trilinear values (P, C) at points, as grid_sample(align_corners=True, padding_mode="zeros") of `dense()`.

        points: (P, 3) x, y, z in voxels of the *finest* level, whole numbers at voxel centres, whatever level this
        tensor is of. batch: (P,) integers, not needed for a batch of one. Inactive voxels count as zero. Differentiable
        any number of times in features and points. At least float32, whatever the features are.
        """
        rows, weights = _corners(self.sites, points, batch)
        # Half precision would round the weights, hence the surface, to steps.
        features = self.features.to(torch.promote_types(self.features.dtype, torch.float32))
        if len(self.sites) == 0:
            features = functional.pad(features, (0, 0, 0, 1))
        return gather(features, weights, rows)


def cat(tensors: Sequence[SparseTensor]) -> SparseTensor:
    """Features side by side; all tensors must be on the same voxels."""
    first = tensors[0]
    for other in tensors[1:]:
        if other.sites is not first.sites and not torch.equal(other.sites.keys, first.sites.keys):
            raise ValueError("concatenation of tensors on different voxels")
    return first.replace_feature(torch.cat([t.features for t in tensors], 1))


def _corners(sites: Sites, points: Tensor, batch: Tensor | None) -> tuple[Tensor, Tensor]:
    """(P, 8) rows and trilinear weights of the voxels around each point; weight 0 where inactive."""
    if batch is None:
        if sites.batch_size > 1:
            raise ValueError("points in a batch of several grids need to say which")
        batch = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    place = points.flip(-1) / sites.stride
    limits = torch.tensor(sites.shape, device=points.device)
    # Points far outside meet the border cell, whose corners are all inactive or of weight zero.
    low = torch.minimum(torch.floor(place.detach()).clamp_(min=-1), limits - 1).to(torch.int64)
    part = place - low
    inside = ((part.detach() >= 0) & (part.detach() <= 1)).all(1)
    weight = torch.stack([1 - part, part], -1)
    weights = weight[:, 0, :, None, None] * weight[:, 1, None, :, None] * weight[:, 2, None, None, :]
    step_z, step_y = strides(sites.shape)
    corner = torch.tensor([[z * step_z + y * step_y + x for z in (0, 1) for y in (0, 1) for x in (0, 1)]])
    first = linear_keys(torch.cat([batch.to(torch.int64)[:, None], low], 1), sites.shape, sites.batch_size)
    rows, found = sites.find(first[:, None] + corner.to(points.device))
    return rows, weights.flatten(1) * (found & inside[:, None])


@dataclass(frozen=True)
class Grid:
    """A regular grid of voxels in space.

    origin: (3,) metres, *centre* of voxel (0, 0, 0), as x, y, z. size: edge of a voxel, metres. shape: (Z, Y, X).
    """

    origin: tuple[float, float, float]
    size: float
    shape: tuple[int, int, int]

    def to_index(self, points: Tensor) -> Tensor:
        """(P, 3) metres -> (P, 3) x, y, z in voxels, whole numbers at voxel centres: what `sample` takes."""
        return (points - points.new_tensor(self.origin)) / self.size

    def centers(self, sites: Sites) -> Tensor:
        """(N, 3) float32 centres of voxels of any level, metres."""
        zyx = sites.indices[:, 1:].to(torch.float32) * sites.stride
        return zyx.flip(-1) * self.size + torch.tensor(self.origin, device=sites.device)


def occupied(points: Tensor, grid: Grid, batch: Tensor | None = None, batch_size: int = 1) -> tuple[Sites, Tensor]:
    """The voxels that points (P, 3) metres fall into -> sites and each point's row (P,) int64, -1 outside the grid.

    batch: (P,) integers, which grid of the batch a point belongs to (0 where not given).
    """
    voxel = torch.floor(grid.to_index(points.detach()) + 0.5).to(torch.int64).flip(-1)
    inside = ((voxel >= 0) & (voxel < torch.tensor(grid.shape, device=points.device))).all(1)
    which = torch.zeros_like(voxel[:, 0]) if batch is None else batch.to(torch.int64)
    keys = linear_keys(torch.cat([which[:, None], voxel], 1)[inside], grid.shape, batch_size)
    found, row = torch.unique(keys, return_inverse=True)
    rows = torch.full((len(points),), -1, dtype=torch.int64, device=points.device)
    rows[inside] = row
    return Sites.from_keys(found, grid.shape, batch_size), rows


def voxelize(
    points: Tensor, features: Tensor, grid: Grid, batch: Tensor | None = None, batch_size: int = 1
) -> SparseTensor:
    """Points (P, 3) metres with features (P, C) -> the voxels they fall into, with the mean of their features.

    Points outside the grid are left out. Differentiable in features.
    """
    sites, rows = occupied(points, grid, batch, batch_size)
    return SparseTensor.on(sites, mean_by_row(features, rows, len(sites)))


def mean_by_row(features: Tensor, rows: Tensor, count: int) -> Tensor:
    """Mean of features (P, C) over points of equal row -> (count, C); rows (P,) int64 from `occupied`, -1: left out."""
    inside = rows >= 0
    row = rows.clamp(min=0)
    numbers = torch.bincount(row[inside], minlength=count).clamp(min=1).to(features.dtype)
    weights = inside / numbers[row] if count else torch.zeros_like(rows, dtype=features.dtype)
    return spread(features, weights[:, None], row[:, None], count)
