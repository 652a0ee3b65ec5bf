"""Voxels from points, and features between voxels, beside torch's grid_sample and plain loops."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as functional
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from likeness.surface.sparse import Grid, SparseConv3d, SparseTensor, occupied, sample_levels, sites, voxelize
from likeness.surface.sparse.sampling import gather, spread
from torch import Tensor


def random_tensor(seed: int, shape: tuple[int, int, int], batch: int, share: float, channels: int = 2) -> SparseTensor:
    random = torch.Generator().manual_seed(seed)
    indices = torch.nonzero(torch.rand(batch, *shape, generator=random) < share)
    features = torch.randn(len(indices), channels, dtype=torch.float64, generator=random)
    return SparseTensor(features.requires_grad_(), indices, shape, batch)


def grid_sampled(dense: Tensor, points: Tensor, batch: Tensor, stride: int = 1) -> Tensor:
    """grid_sample(align_corners=True, zeros outside) at points in voxels."""
    sizes = torch.tensor(dense.shape[2:]).flip(0).to(points)
    rows = []
    for point, b in zip(points / stride, batch.tolist()):
        place = (2 * point / (sizes - 1) - 1).view(1, 1, 1, 1, 3)
        value = functional.grid_sample(dense[b : b + 1], place, align_corners=True, padding_mode="zeros")
        rows.append(value.flatten())
    return torch.stack(rows)


@pytest.mark.parametrize("cells", [2**26, 0])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**31 - 1),
    shape=st.tuples(*[st.integers(2, 6)] * 3),
    batch=st.integers(1, 3),
    share=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_sample_equals_grid_sample(
    monkeypatch: pytest.MonkeyPatch, cells: int, seed: int, shape: tuple[int, int, int], batch: int, share: float
) -> None:
    """By a table of all cells and, where that would be too large, by searching."""
    monkeypatch.setattr(sites, "TABLE_CELLS", cells)
    tensor = random_tensor(seed, shape, batch, share)
    random = torch.Generator().manual_seed(seed)
    points = torch.rand(12, 3, dtype=torch.float64, generator=random) * 10 - 2
    points = torch.cat([points, points.round(), points[:1] + 1e9]).requires_grad_()
    which = torch.randint(0, batch, (len(points),), generator=random)
    ours = tensor.sample(points, which)
    reference = grid_sampled(tensor.dense(), points, which)
    torch.testing.assert_close(ours, reference, rtol=1e-7, atol=1e-9)
    weights = torch.randn(ours.shape, dtype=torch.float64, generator=random)
    (to_features, to_points), (features_reference, points_reference) = (
        torch.autograd.grad((values * weights).sum(), [tensor.features, points]) for values in (ours, reference)
    )
    torch.testing.assert_close(to_features, features_reference, rtol=1e-7, atol=1e-9)
    # At whole coordinates the slope along points is one-sided, and either side is right.
    torch.testing.assert_close(to_points[:12], points_reference[:12], rtol=1e-7, atol=1e-9)


def test_a_coarse_level_is_sampled_where_its_voxels_are() -> None:
    """Voxel i of a level of stride 2 lies at voxel 2i of the finest; the dense reference is asked at half the place."""
    coarse = SparseConv3d(2, 3).double()(random_tensor(0, (8, 9, 7), 1, 0.3))
    assert coarse.sites.stride == 2
    centres = coarse.indices[:, 1:].flip(-1).double() * 2
    torch.testing.assert_close(coarse.sample(centres), coarse.features)
    points = torch.rand(20, 3, dtype=torch.float64) * 8
    zeros = torch.zeros(20, dtype=torch.long)
    torch.testing.assert_close(coarse.sample(points), grid_sampled(coarse.dense(), points, zeros, stride=2))
    assert sample_levels([coarse, coarse], points).shape == (20, 6)


def test_gather_and_spread_twice_differentiable() -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(5, 2, dtype=torch.float64, generator=random, requires_grad=True)
    weights = torch.rand(4, 3, dtype=torch.float64, generator=random, requires_grad=True)
    values = torch.randn(4, 2, dtype=torch.float64, generator=random, requires_grad=True)
    rows = torch.randint(0, 5, (4, 3), generator=random)
    for function, inputs in (
        (lambda f, w: gather(f, w, rows), (features, weights)),
        (lambda v, w: spread(v, w, rows, 5), (values, weights)),
    ):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def test_voxelize_means_points_of_a_voxel() -> None:
    random = torch.Generator().manual_seed(1)
    grid = Grid((-1.0, 2.0, 0.5), 0.1, (5, 6, 7))
    points = torch.rand(300, 3, generator=random, dtype=torch.float64) * 0.9 + torch.tensor(grid.origin) - 0.1
    which = torch.randint(0, 2, (300,), generator=random)
    features = torch.randn(300, 2, dtype=torch.float64, generator=random, requires_grad=True)
    tensor = voxelize(points, features, grid, which, 2)
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, (point, b) in enumerate(zip(points, which.tolist())):
        x, y, z = ((point - torch.tensor(grid.origin)) / grid.size).round().int().tolist()
        if 0 <= z < 5 and 0 <= y < 6 and 0 <= x < 7:
            groups.setdefault((b, z, y, x), []).append(i)
    assert 20 < len(groups) < 300
    assert [tuple(row) for row in tensor.indices.tolist()] == sorted(groups)
    means = torch.stack([features[rows].mean(0) for _, rows in sorted(groups.items())])
    torch.testing.assert_close(tensor.features, means)
    weights = torch.randn(means.shape, dtype=torch.float64, generator=random)
    torch.testing.assert_close(
        torch.autograd.grad((tensor.features * weights).sum(), features)[0],
        torch.autograd.grad((means * weights).sum(), features)[0],
    )
    # A voxel's own centre falls into it, and is where its feature is read.
    centres = grid.centers(tensor.sites)
    again, rows = occupied(centres, grid, tensor.indices[:, 0], 2)
    assert torch.equal(again.keys, tensor.sites.keys)
    assert torch.equal(rows, torch.arange(len(rows)))
    read = tensor.sample(grid.to_index(centres.double()), tensor.indices[:, 0])
    torch.testing.assert_close(read, tensor.features, rtol=1e-4, atol=1e-4)


def test_no_points() -> None:
    grid = Grid((0.0, 0.0, 0.0), 0.1, (4, 4, 4))
    features = torch.zeros(0, 3, requires_grad=True)
    tensor = voxelize(torch.zeros(0, 3), features, grid)
    assert tensor.features.shape == (0, 3)
    value = tensor.sample(torch.rand(5, 3))
    assert value.shape == (5, 3)
    value.sum().backward()
    assert features.grad is not None
