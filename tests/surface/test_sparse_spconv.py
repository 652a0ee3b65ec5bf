"""Our sparse convolution beside the spconv package: values and gradients, on the CPU in one thread."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator

import pytest
import torch
from likeness.core.errors import LikenessError
from likeness.surface.sparse import SparseConv3d, SparseTensor, SparseUNet, SubMConv3d, sample_levels, spconv_backend


@pytest.fixture
def one_thread() -> Iterator[None]:
    """spconv in one thread: with more it is silently wrong."""
    if importlib.util.find_spec("spconv") is None:
        pytest.skip("spconv is not installed; LIKENESS_TEST_SPCONV=1 brings it where it has wheels")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def skin(batch: int = 2, channels: int = 5) -> SparseTensor:
    """Spheres' skins, rows in random order."""
    z, y, x = torch.meshgrid(*[torch.arange(21.0)] * 3, indexing="ij")
    radius = ((z - 10) ** 2 + (y - 9) ** 2 + (x - 11) ** 2).sqrt()
    skins = [torch.nonzero((radius - 5 - 3 * b).abs() < 0.8) for b in range(batch)]
    indices = torch.cat([torch.nn.functional.pad(skin, (1, 0), value=b) for b, skin in enumerate(skins)])
    random = torch.Generator().manual_seed(0)
    order = torch.randperm(len(indices), generator=random)
    return SparseTensor(torch.randn(len(order), channels, generator=random), indices[order], (21, 22, 23), batch)


def twins(**options: object) -> tuple[SparseUNet, SparseUNet]:
    """The same network by both backends; the second takes the first one's checkpoint."""
    torch.manual_seed(0)
    ours = SparseUNet(5, (8, 16, 24), backend="torch", **options)  # type: ignore[arg-type]
    theirs = SparseUNet(5, (8, 16, 24), backend="spconv", **options)  # type: ignore[arg-type]
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.usefixtures("one_thread")
def test_unet_equals_spconvs_values_and_gradients() -> None:
    """Submanifold, strided and inverse layers, concatenations and norms, all at once."""
    ours, theirs = twins()
    tensor = skin()
    points = torch.rand(40, 3) * 20
    results = []
    for net in (ours, theirs):
        source = tensor.replace_feature(tensor.features.detach().clone().requires_grad_())
        levels = net(source)
        sample_levels(levels, points, torch.arange(40) % 2).square().sum().backward()
        results.append((levels, [source.features.grad, *(p.grad for p in net.parameters())]))
    for one, other in zip(results[0][0], results[1][0]):
        assert torch.equal(one.indices, other.indices)
        torch.testing.assert_close(one.features, other.features, rtol=1e-4, atol=1e-5)
    for one, other in zip(results[0][1], results[1][1]):
        assert (one - other).norm() < 1e-4 * other.norm()
    assert list(theirs.state_dict()) == list(ours.state_dict())


@pytest.mark.usefixtures("one_thread")
def test_spconvs_own_layers_take_our_weights() -> None:
    """Without our adapter between: the package's modules, its tensor, our state_dict."""
    package = importlib.import_module("spconv.pytorch")
    tensor = skin(channels=4)
    for ours, theirs in (
        (SubMConv3d(4, 6), package.SubMConv3d(4, 6, 3)),
        (SparseConv3d(4, 6), package.SparseConv3d(4, 6, 3, stride=2, padding=1)),
    ):
        theirs.load_state_dict(ours.state_dict())
        given = package.SparseConvTensor(tensor.features, tensor.indices, list(tensor.spatial_shape), 2)
        torch.testing.assert_close(ours(tensor).dense(), theirs(given).dense(), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("one_thread")
def test_bias_and_evaluation() -> None:
    ours, theirs = SubMConv3d(5, 3).eval(), SubMConv3d(5, 3, backend="spconv").eval()
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(skin()).features, theirs(skin()).features, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("one_thread")
def test_several_threads_are_refused() -> None:
    torch.set_num_threads(2)
    with pytest.raises(LikenessError, match="one thread"):
        SubMConv3d(5, 3, backend="spconv")(skin())


def test_absence_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spconv_backend, "present", lambda: False)
    with pytest.raises(LikenessError, match="not installed"):
        SubMConv3d(5, 3, backend="spconv")(skin())
    with pytest.raises(ValueError, match="backend"):
        SubMConv3d(5, 3, backend="sponge")
