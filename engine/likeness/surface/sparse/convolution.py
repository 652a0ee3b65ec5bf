"""Sparse convolution of features along a rulebook, with its gradient, in plain torch on any device.

For each chunk of result rows: gather the inputs of all pairs, multiply the pairs of each offset by that offset's
matrix, and sum the products of each result row. The sum is one `embedding_bag` in which every result is written once:
nothing is scattered, so the result does not depend on threads, and as much is multiplied as there are pairs.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from likeness.surface.sparse.rulebook import Chunk, Plan, Rulebook
from likeness.surface.sparse.sites import CENTER, OFFSETS

#: Row counts of products in half precision on a CPU are multiples of this.
STEP = 256


def convolve(features: Tensor, weight: Tensor, bias: Tensor | None, rules: Rulebook) -> Tensor:
    """features (inputs, Cin), weight (Cout, 3, 3, 3, Cin) as spconv stores it -> (results, Cout).

    Under autocast the products are of its type (bfloat16), as a dense convolution's are.
    """
    kind = features.device.type
    if torch.is_autocast_enabled(kind):
        features, weight = (t.to(torch.get_autocast_dtype(kind)) for t in (features, weight))
    with torch.autocast(kind, enabled=False):
        result: Tensor = _Convolution.apply(features, weight, rules)
    return result if bias is None else result + bias.to(result.dtype)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, features: Tensor, weight: Tensor, rules: Rulebook) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.rules = rules  # type: ignore[attr-defined]
        return _products(features, _kernels(weight), rules.forward)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        rules: Rulebook = ctx.rules  # type: ignore[attr-defined]
        wanted = ctx.needs_input_grad  # type: ignore[attr-defined]
        kernels = [kernel.T for kernel in _kernels(weight).unbind()]
        gradient = gradient.contiguous()
        to_features = gradient.new_empty(features.shape) if wanted[0] else None
        to_kernels, totals = None, None
        if wanted[1]:
            kind = torch.promote_types(weight.dtype, torch.float32)
            to_kernels = torch.zeros(OFFSETS, features.shape[1], gradient.shape[1], dtype=kind, device=weight.device)
            totals = list(to_kernels.unbind())
        if rules.mirrored:
            kernels.reverse()
            totals = totals and totals[::-1]
        _gradients(gradient, features, kernels, rules.backward, to_features, totals)
        if to_kernels is None:
            return to_features, None, None
        return to_features, to_kernels.permute(2, 0, 1).reshape(weight.shape).to(weight.dtype), None


_kept = threading.local()


def _scratch(like: Tensor, rows: int, *widths: int) -> list[Tensor]:
    """Uninitialized (rows, width) tensors of the type and device of `like`, valid until this thread's next call.

    On a CPU the memory is kept: to get as many fresh pages from the system costs a sixth of a small convolution.
    """
    if like.device.type != "cpu":
        return [like.new_empty(rows, width) for width in widths]
    held: dict[torch.dtype, Tensor] = _kept.__dict__.setdefault("tensors", {})
    if like.dtype not in held or len(held[like.dtype]) < rows * sum(widths):
        # Memory made in inference mode could never be written to outside of it.
        with torch.inference_mode(False):
            held[like.dtype] = torch.empty(rows * sum(widths), dtype=like.dtype)
    parts = held[like.dtype][: rows * sum(widths)].split([rows * width for width in widths])
    return [part.view(rows, width) for part, width in zip(parts, widths)]


def _kernels(weight: Tensor) -> Tensor:
    """(Cout, 3, 3, 3, Cin) -> (27, Cin, Cout), contiguous."""
    return weight.flatten(1, 3).permute(1, 2, 0).contiguous()


def _products(features: Tensor, kernels: Tensor, plan: Plan) -> Tensor:
    features = features.contiguous()
    result = features.new_empty(plan.rows, kernels.shape[2])
    gathered, products = _scratch(features, plan.largest + STEP, kernels.shape[1], kernels.shape[2])
    for chunk in plan.chunks:
        torch.index_select(features, 0, chunk.inputs, out=gathered[: len(chunk.inputs)])
        _sum(gathered, kernels.unbind(), chunk, products, result[chunk.start : chunk.stop])
    if plan.center:
        result.addmm_(features, kernels[CENTER])
    return result


def _sum(gathered: Tensor, kernels: Sequence[Tensor], chunk: Chunk, products: Tensor, result: Tensor) -> None:
    """Write the sum over offsets of gathered rows times kernels into result. Both buffers are STEP rows too long."""
    pairs = len(chunk.inputs)
    if not pairs:
        result.zero_()
        return
    # For half precision on a CPU a kernel is compiled for each shape and forgotten after a thousand others, so shapes
    # are rounded up; what is written too far, the next offset overwrites.
    step = STEP if gathered.device.type == "cpu" and gathered.dtype in (torch.bfloat16, torch.float16) else 1
    start = 0
    for kernel, count in zip(kernels, chunk.counts):
        if count:
            stop = start + -(-count // step) * step
            torch.mm(gathered[start:stop], kernel, out=products[start:stop])
        start += count
    products = products[:pairs]
    result.copy_(functional.embedding_bag(chunk.order, products, chunk.ends, mode="sum", include_last_offset=True))


def _gradients(
    gradient: Tensor,
    features: Tensor,
    kernels: Sequence[Tensor],
    plan: Plan,
    to_features: Tensor | None,
    to_kernels: Sequence[Tensor] | None,
) -> None:
    """Fill to_features and add to to_kernels, both by the plan from results to inputs, so that the gathered gradients
    serve both. kernels: 27 of (Cout, Cin) by the offsets of this plan; to_kernels: 27 of (Cin, Cout) likewise."""
    features = features.contiguous()
    gathered, products = _scratch(gradient, plan.largest + STEP, gradient.shape[1], features.shape[1])
    for chunk in plan.chunks:
        rows = gathered[: len(chunk.inputs)]
        torch.index_select(gradient, 0, chunk.inputs, out=rows)
        if to_features is not None:
            _sum(gathered, kernels, chunk, products, to_features[chunk.start : chunk.stop])
        if to_kernels is None:
            continue
        inputs = products[: len(rows)]
        torch.index_select(features[chunk.start : chunk.stop], 0, chunk.results, out=inputs)
        start = 0
        for total, count in zip(to_kernels, chunk.counts):
            if count:
                _add_product(total, inputs[start : start + count], rows[start : start + count])
            start += count
    if plan.center:
        if to_features is not None:
            to_features.addmm_(gradient, kernels[CENTER])
        if to_kernels is not None:
            _add_product(to_kernels[CENTER], features, gradient)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left^T right, summed in total's precision where that is not slower."""
    if left.device.type == "cpu":
        total.addmm_(left.T.to(total.dtype), right.to(total.dtype))
    elif total.dtype == left.dtype:
        total.addmm_(left.T, right)
    else:
        total.add_(left.T @ right)
