"""Sparse convolution beside torch's dense one: values and gradients, on random shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as functional
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.surface.sparse import (
    SparseConv3d,
    SparseInverseConv3d,
    SparseTensor,
    SubMConv3d,
    cat,
    convolution,
    rulebook,
    sites,
)
from torch import Tensor

Layer = SubMConv3d | SparseConv3d | SparseInverseConv3d
KINDS = (SubMConv3d, SparseConv3d, SparseInverseConv3d)

grids = st.tuples(
    st.integers(0, 2**31 - 1),
    st.tuples(*[st.integers(1, 7)] * 3),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.05, 0.3, 1.0]),
)
widths = st.tuples(st.integers(1, 5), st.integers(1, 5))


def random_tensor(
    seed: int, shape: tuple[int, int, int], batch: int, share: float, channels: int, shuffled: bool = True
) -> SparseTensor:
    """float64 features that want gradients, on a share of all voxels given in any order."""
    random = torch.Generator().manual_seed(seed)
    indices = torch.nonzero(torch.rand(batch, *shape, generator=random) < share)
    if shuffled:
        indices = indices[torch.randperm(len(indices), generator=random)]
    features = torch.randn(len(indices), channels, dtype=torch.float64, generator=random)
    tensor = SparseTensor(features, indices, shape, batch)
    return tensor.replace_feature(tensor.features.detach().requires_grad_())


def dense_of(layer: Layer, dense: Tensor) -> Tensor:
    """What the layer means, by torch's own convolutions of the dense grid."""
    kernel = layer.weight.permute(0, 4, 1, 2, 3)
    if isinstance(layer, SubMConv3d):
        return functional.conv3d(dense, kernel, layer.bias, padding=1)
    if isinstance(layer, SparseConv3d):
        return functional.conv3d(dense, kernel, layer.bias, stride=2, padding=1)
    return functional.conv_transpose3d(dense, kernel.transpose(0, 1), layer.bias, stride=2, padding=1, output_padding=1)


def at(dense: Tensor, tensor: SparseTensor) -> Tensor:
    b, z, y, x = tensor.indices.long().unbind(1)
    return dense[b, :, z, y, x]


def run(layer: Layer, tensor: SparseTensor) -> tuple[Tensor, Tensor]:
    """The layer's result and the dense reference at the same voxels; both lead back to tensor.features."""
    if isinstance(layer, SparseInverseConv3d):
        down = SparseConv3d(1, 1).double()(tensor.replace_feature(tensor.features[:, :1]))
        spread = torch.linspace(-1, 1, layer.in_channels, dtype=torch.float64)
        tensor = down.replace_feature(down.features * spread + spread.flip(0))
    result = layer(tensor)
    return result.features, at(dense_of(layer, tensor.dense()), result)


def gradients(values: Tensor, sources: list[Tensor]) -> list[Tensor]:
    weights = torch.linspace(-1, 2, values.numel(), dtype=values.dtype).view_as(values)
    return list(torch.autograd.grad((values * weights).sum(), sources, retain_graph=True))


@pytest.fixture(params=[True, False], ids=["by result", "by offset"], scope="module")
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each of the two ways of working a rulebook off, whatever is thought to be faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "_by_result", lambda *_: request.param)
        patch.setitem(convolution.GATHERED, "cpu", 27 * 40)
        yield


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(grid=grids, width=widths, bias=st.booleans())
def test_equals_the_dense_convolution(kind: Callable[..., Layer], grid, width, bias) -> None:
    tensor = random_tensor(*grid, channels=width[0])
    layer = kind(*width, bias=bias).double()
    ours, reference = run(layer, tensor)
    torch.testing.assert_close(ours, reference, rtol=1e-10, atol=1e-12)
    sources = [tensor.features, *layer.parameters()]
    for one, other in zip(gradients(ours, sources), gradients(reference, sources)):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def test_strided_activates_exactly_what_an_active_voxel_reaches() -> None:
    tensor = random_tensor(0, (7, 6, 5), 2, 0.05, 1)
    ones = functional.max_pool3d((tensor.dense() != 0).double(), 3, stride=2, padding=1)
    coarse = SparseConv3d(1, 1).double()(tensor)
    assert torch.equal(torch.nonzero(ones[:, 0]).int(), coarse.indices)
    assert coarse.spatial_shape == tuple(ones.shape[2:])


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", KINDS)
def test_many_chunks_equal_one(kind: Callable[..., Layer], monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks that end anywhere, and found by searching."""
    monkeypatch.setitem(rulebook.CHUNK_ROWS, "cpu", 7)
    monkeypatch.setattr(sites, "TABLE_CELLS", 0)
    tensor = random_tensor(1, (6, 7, 8), 2, 0.2, 3)
    layer = kind(3, 4).double()
    ours, reference = run(layer, tensor)
    torch.testing.assert_close(ours, reference, rtol=1e-10, atol=1e-12)
    sources = [tensor.features, *layer.parameters()]
    for one, other in zip(gradients(ours, sources), gradients(reference, sources)):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", [SubMConv3d, SparseConv3d])
def test_gradcheck(kind: Callable[..., Layer]) -> None:
    tensor = random_tensor(2, (3, 4, 3), 2, 0.3, 2)
    layer = kind(2, 3).double()

    def values(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        state = {"weight": weight, "bias": bias}
        return torch.func.functional_call(layer, state, (tensor.replace_feature(features),)).features

    assert torch.autograd.gradcheck(values, (tensor.features, layer.weight, layer.bias))


def test_dense_and_concatenation() -> None:
    tensor = random_tensor(3, (3, 4, 5), 2, 0.3, 2)
    b, z, y, x = tensor.indices.long().unbind(1)
    expected = torch.zeros(2, 2, 3, 4, 5, dtype=torch.float64)
    expected[b, :, z, y, x] = tensor.features.detach()
    assert torch.equal(tensor.dense(), expected)
    assert torch.equal(cat([tensor, tensor]).dense(), torch.cat([expected, expected], 1))
    with pytest.raises(ValueError, match="different voxels"):
        cat([tensor, random_tensor(4, (3, 4, 5), 2, 0.3, 2)])


def test_duplicates_and_voxels_outside_are_refused() -> None:
    features = torch.zeros(2, 1)
    with pytest.raises(ValueError, match="twice"):
        SparseTensor(features, torch.zeros(2, 4, dtype=torch.int32), (2, 2, 2), 1)
    for outside in ([0, 0, 0, 2], [1, 0, 0, 0], [0, -1, 0, 0]):
        with pytest.raises(ValueError, match="outside"):
            SparseTensor(features[:1], torch.tensor([outside]), (2, 2, 2), 1)
    with pytest.raises(ValueError, match="int32"):
        SparseTensor(features[:1], torch.zeros(1, 4), (2, 2, 2), 1)
    with pytest.raises(ValueError, match="strided"):
        SparseInverseConv3d(1, 1)(SparseTensor(features[:1], torch.zeros(1, 4, dtype=torch.int64), (2, 2, 2), 1))


def test_a_grid_too_large_for_32_bits() -> None:
    shape = (30_000, 30_000, 30_000)
    corner = torch.tensor([[1, 29_999, 29_999, 29_999], [1, 29_999, 29_999, 29_998], [0, 0, 0, 0]])
    tensor = SparseTensor(torch.tensor([[1.0], [10.0], [100.0]]), corner, shape, 2)
    layer = SubMConv3d(1, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    assert layer(tensor).features.flatten().tolist() == [100.0, 11.0, 11.0]
    with pytest.raises(ValueError, match="64-bit"):
        SparseTensor(torch.zeros(1, 1), torch.zeros(1, 4, dtype=torch.int64), (2**21,) * 3, 1)


@pytest.mark.usefixtures("way")
def test_autocast_is_bfloat16_and_near() -> None:
    tensor = random_tensor(5, (6, 6, 6), 1, 0.4, 16)
    tensor = tensor.replace_feature(tensor.features.detach().float().requires_grad_())
    layer = SubMConv3d(16, 8)
    exact = layer(tensor).features
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = layer(tensor).features
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).abs().max() < 0.03 * exact.abs().max()
    sources = [tensor.features, *layer.parameters()]
    for one, other in zip(gradients(rough, sources), gradients(exact, sources)):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.03 * other.norm()


@pytest.mark.usefixtures("way")
def test_the_same_result_each_time_and_with_several_threads() -> None:
    tensor = random_tensor(6, (20, 20, 20), 1, 0.5, 8)
    layer = SubMConv3d(8, 8).double()
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            values = layer(tensor).features
            results.append([values.detach(), *gradients(values, [tensor.features, layer.weight])])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        for one, two in zip(results[0], other):
            torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


def test_inference_does_not_spoil_training() -> None:
    """Memory and rulebooks that an inference left behind serve a training step afterwards."""
    tensor = random_tensor(7, (6, 6, 6), 1, 0.4, 3)
    layer = SparseConv3d(3, 4).double()
    with torch.inference_mode():
        seen = SubMConv3d(3, 4).double()(tensor)
        kept = layer(tensor)
    layer(tensor).features.sum().backward()
    SubMConv3d(3, 4).double()(tensor).features.sum().backward()
    assert len(kept.features) and len(seen.features) and tensor.features.grad is not None
