"""The same layers by the spconv package, for graphics cards. Chosen by name only.

Run and compared with ours: on the CPU, spconv 2.3.8, one thread, values and gradients. **Not run on CUDA**: written
against the package's API as it is on the CPU, until somebody with a card has run tests/surface/test_sparse_spconv.py.
On the CPU it is there for that comparison alone: with more than one thread its results are silently wrong
(traveller59/spconv issue 679).
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from likeness.core.errors import LikenessError
from likeness.surface.sparse.sites import Sites
from likeness.surface.sparse.tensor import SparseTensor

if TYPE_CHECKING:
    from likeness.surface.sparse.modules import Convolution


@dataclass(frozen=True)
class _Finer:
    """What an inverse layer of spconv needs: finer sites, and the coarse ones in spconv's order with its tables."""

    sites: Sites
    order: Tensor | None
    indices: Tensor
    tables: object


def present() -> bool:
    """Whether a package named spconv can be imported."""
    return importlib.util.find_spec("spconv") is not None


def forward(layer: Convolution, tensor: SparseTensor) -> SparseTensor:
    """What layer(tensor) is, computed by spconv. Raises LikenessError where spconv is absent or not to be trusted."""
    package = _package(tensor.features.device)
    twin = _twin(layer, package)
    sites = tensor.sites
    kind = type(layer).__name__
    if kind == "SubMConv3d":
        result = twin(_theirs(package, tensor.features, sites.indices, sites, sites.cache.get("spconv")))
        sites.cache["spconv"] = result.indice_dict
        return tensor.replace_feature(_with_bias(result.features, layer.bias))
    if kind == "SparseConv3d":
        result = twin(_theirs(package, tensor.features, sites.indices, sites, None))
        coarse, order = Sites.from_indices(result.indices, result.spatial_shape, sites.batch_size, 2 * sites.stride)
        coarse.cache["spconv finer"] = _Finer(sites, order, result.indices, result.indice_dict)
        features = result.features if order is None else result.features[order]
        return SparseTensor.on(coarse, _with_bias(features, layer.bias))
    finer = sites.cache.get("spconv finer")
    if not isinstance(finer, _Finer):
        raise ValueError("an inverse convolution by spconv needs voxels that a strided convolution by spconv made")
    features = tensor.features if finer.order is None else tensor.features[torch.argsort(finer.order)]
    result = twin(_theirs(package, features, finer.indices, sites, finer.tables))
    return SparseTensor.on(finer.sites, _with_bias(result.features, layer.bias))


def _package(device: torch.device) -> Any:
    if not present():
        raise LikenessError(
            "environment.no_spconv",
            "Sparse convolution by spconv was asked for, but spconv is not installed.",
            "Install the extra 'cuda', or leave the backend at 'auto'.",
        )
    package = importlib.import_module("spconv.pytorch")
    if device.type == "cpu":
        if torch.get_num_threads() > 1:
            raise LikenessError(
                "environment.spconv_threads",
                "On the CPU spconv gives wrong results with more than one thread.",
                "Leave the backend at 'auto', or set torch to one thread.",
            )
        # Its backward asks for the CUDA stream even here.
        package.ops.get_current_stream = lambda: 0
    return package


def _twin(layer: Convolution, package: Any) -> Any:
    """spconv's module of the same kind, made once, which uses the layer's own weight."""
    twin = layer.__dict__.get("_spconv_twin")
    if twin is None:
        values = {"kernel_size": 3, "bias": False, "indice_key": "pairs"}
        if type(layer).__name__ == "SparseConv3d":
            values |= {"stride": 2, "padding": 1}
        twin = getattr(package, type(layer).__name__)(layer.in_channels, layer.out_channels, **values)
        # Past nn.Module's own bookkeeping: the twin holds nothing that belongs into a checkpoint.
        layer.__dict__["_spconv_twin"] = twin
    twin._parameters["weight"] = layer.weight
    return twin


def _theirs(package: Any, features: Tensor, indices: Tensor, sites: Sites, tables: object) -> Any:
    return package.SparseConvTensor(
        features.contiguous(), indices.contiguous(), list(sites.shape), sites.batch_size, indice_dict=tables
    )


def _with_bias(features: Tensor, bias: Tensor | None) -> Tensor:
    """Added here because spconv on the CPU refuses bias in evaluation (issue 719)."""
    return features if bias is None else features + bias.to(features.dtype)
