"""The U-Net of sparse convolutions: its shape, its reach, and that all of it learns."""

from __future__ import annotations

import pytest
import torch
from likeness.surface.sparse import SparseTensor, SparseUNet, sample_levels, spconv_backend


def shell(batch: int = 2, channels: int = 3) -> SparseTensor:
    """A sphere's skin in each grid of a batch, of different size."""
    z, y, x = torch.meshgrid(*[torch.arange(24.0)] * 3, indexing="ij")
    radius = ((z - 11) ** 2 + (y - 12) ** 2 + (x - 12) ** 2).sqrt()
    skins = [torch.nonzero((radius - 7 - 2 * b).abs() < 0.7) for b in range(batch)]
    indices = torch.cat([torch.nn.functional.pad(skin, (1, 0), value=b) for b, skin in enumerate(skins)])
    random = torch.Generator().manual_seed(0)
    return SparseTensor(torch.randn(len(indices), channels, generator=random), indices, (24, 24, 24), batch)


@pytest.mark.parametrize("decoder", [True, False])
def test_levels_and_gradients(decoder: bool) -> None:
    torch.manual_seed(0)
    net = SparseUNet(3, (4, 6, 8), decoder=decoder)
    tensor = shell()
    levels = net(tensor)
    assert [level.features.shape[1] for level in levels] == [4, 6, 8]
    assert [level.spatial_shape[0] for level in levels] == [24, 12, 6]
    assert [level.sites.stride for level in levels] == [1, 2, 4]
    assert levels[0].sites is tensor.sites
    points = torch.rand(50, 3) * 23
    features = sample_levels(levels, points, torch.arange(50) % 2)
    assert features.shape == (50, net.out_channels)
    features.pow(2).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_batch_gives_what_its_parts_give() -> None:
    torch.manual_seed(0)
    net = SparseUNet(3, (4, 6, 8)).eval()
    tensor = shell()
    whole = net(tensor)
    for b in range(2):
        rows = tensor.indices[:, 0] == b
        indices = tensor.indices[rows] * torch.tensor([0, 1, 1, 1], dtype=torch.int32)
        for level, alone in zip(whole, net(SparseTensor(tensor.features[rows], indices, (24, 24, 24), 1))):
            torch.testing.assert_close(level.features[level.indices[:, 0] == b], alone.features, rtol=1e-4, atol=1e-5)


def test_shuffled_input_gives_the_same() -> None:
    torch.manual_seed(0)
    net = SparseUNet(3, (4, 6)).eval()
    tensor = shell(1)
    order = torch.randperm(len(tensor.features))
    other = net(SparseTensor(tensor.features[order], tensor.indices[order], tensor.spatial_shape, 1))
    for one, two in zip(net(tensor), other):
        assert torch.equal(one.indices, two.indices)
        assert torch.equal(one.features, two.features)


@pytest.mark.parametrize("count", [0, 1])
def test_next_to_nothing(count: int) -> None:
    net = SparseUNet(3, (4, 6)).train()
    features = torch.randn(count, 3, requires_grad=True)
    levels = net(SparseTensor(features, torch.full((count, 4), 3) * torch.tensor([0, 1, 1, 1]), (8, 8, 8), 1))
    assert len(levels[0].features) == count
    sample_levels(levels, torch.full((1, 3), 3.0)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
    assert all(torch.isfinite(b).all() for b in net.buffers())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics card: sparse convolution on one is not tested")
@pytest.mark.parametrize("backend", ["torch", "spconv"])
def test_a_graphics_card_gives_what_the_cpu_gives(backend: str) -> None:
    if backend == "spconv" and not spconv_backend.present():
        pytest.skip("spconv is not installed")
    torch.manual_seed(0)
    net = SparseUNet(3, (8, 16, 24), backend="torch")
    card = SparseUNet(3, (8, 16, 24), backend=backend).cuda()
    card.load_state_dict(net.state_dict())
    tensor = shell()
    points = torch.rand(50, 3) * 23
    results = []
    for one, device in ((net, "cpu"), (card, "cuda")):
        features = tensor.features.to(device).requires_grad_()
        levels = one(SparseTensor(features, tensor.indices.to(device), tensor.spatial_shape, 2))
        values = sample_levels(levels, points.to(device), torch.arange(50, device=device) % 2)
        values.square().sum().backward()
        results.append([values, features.grad, *(p.grad for p in one.parameters())])
    for one, other in zip(*results):
        assert (one - other.cpu()).norm() < 1e-3 * one.norm()
