"""Sparse convolution of features along a rulebook, with its gradient, in plain torch on any device.

In one of two ways, whichever is faster (`_by_result`), both without scattering, so nothing depends on threads:
- by offset: for each chunk of result rows gather the inputs of the pairs that exist, multiply those of each offset by
  its matrix, and sum the products of each result by one `embedding_bag`. As much is multiplied as there are pairs.
- by result: gather all 27 inputs of each result, zeros where there are none, and multiply once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from likeness.surface.sparse.rulebook import Chunk, Plan, Rulebook
from likeness.surface.sparse.sites import CENTER, OFFSETS

#: Row counts of products in half precision on a CPU are multiples of this.
STEP = 256
#: Numbers that are gathered at once where all 27 inputs are: 2 MB of float32 on a CPU, whose cache they must not leave.
GATHERED = {"cpu": 2**19}
GATHERED_ELSEWHERE = 2**27


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
        work = _products_by_result if _by_result(features, weight.shape[0], rules.forward) else _products
        return work(features.contiguous(), _kernels(weight), rules.forward)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        rules: Rulebook = ctx.rules  # type: ignore[attr-defined]
        wanted = ctx.needs_input_grad  # type: ignore[attr-defined]
        kernels = _kernels(weight).transpose(1, 2)
        if rules.mirrored:
            kernels = kernels.flip(0)
        to_features = gradient.new_empty(features.shape) if wanted[0] else None
        totals = None
        if wanted[1]:
            kind = torch.promote_types(weight.dtype, torch.float32)
            totals = torch.zeros(OFFSETS, gradient.shape[1], features.shape[1], dtype=kind, device=weight.device)
        work = _gradients_by_result if _by_result(gradient, weight.shape[-1], rules.backward) else _gradients
        work(gradient.contiguous(), features.contiguous(), kernels, rules.backward, to_features, totals)
        if totals is None:
            return to_features, None, None
        if rules.mirrored:
            totals = totals.flip(0)
        return to_features, totals.transpose(0, 1).reshape(weight.shape).to(weight.dtype), None


def _by_result(features: Tensor, made: int, plan: Plan) -> bool:
    """Whether to gather all 27 inputs of a result for one large product, zeros where there are none, rather than only
    those that exist for 27 small ones. On a CPU a model of both, nanoseconds a pair, fitted to 20,000 voxels of 16 to
    128 channels; elsewhere few launches are better."""
    if features.device.type != "cpu":
        return True
    given = features.shape[1]
    product = 2 * given * made / 85
    return product + 2.4 + 0.08 * given < plan.share * (product + 0.47 * (given + made))


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
    """(Cout, 3, 3, 3, Cin) -> (27, Cin, Cout), and as (27 Cin, Cout) too without a copy."""
    return weight.flatten(1, 3).permute(1, 2, 0)


def _products(features: Tensor, kernels: Tensor, plan: Plan) -> Tensor:
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
    kernels: Tensor,
    plan: Plan,
    to_features: Tensor | None,
    totals: Tensor | None,
) -> None:
    """Fill to_features and add to totals, both by the plan from results to inputs, so that the gathered gradients
    serve both. kernels, totals: (27, Cout, Cin) by the offsets of this plan."""
    gathered, products = _scratch(gradient, plan.largest + STEP, gradient.shape[1], features.shape[1])
    for chunk in plan.chunks:
        rows = gathered[: len(chunk.inputs)]
        torch.index_select(gradient, 0, chunk.inputs, out=rows)
        if to_features is not None:
            _sum(gathered, kernels.unbind(), chunk, products, to_features[chunk.start : chunk.stop])
        if totals is None:
            continue
        inputs = products[: len(rows)]
        torch.index_select(features[chunk.start : chunk.stop], 0, chunk.results, out=inputs)
        start = 0
        for total, count in zip(totals, chunk.counts):
            if count:
                _add_product(total, rows[start : start + count], inputs[start : start + count])
            start += count
    if plan.center:
        if to_features is not None:
            to_features.addmm_(gradient, kernels[CENTER])
        if totals is not None:
            _add_product(totals[CENTER], gradient, features)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left^T right; half precision on a CPU is widened first (see STEP)."""
    if left.device.type == "cpu":
        total.addmm_(left.T.to(total.dtype), right.to(total.dtype))
    else:
        total.add_(left.T @ right)


def _products_by_result(features: Tensor, kernels: Tensor, plan: Plan) -> Tensor:
    result = features.new_empty(plan.rows, kernels.shape[2])
    for start, stop, gathered in _all_inputs(features, plan):
        torch.mm(gathered, kernels.flatten(0, 1), out=result[start:stop])
    return result


def _gradients_by_result(
    gradient: Tensor,
    features: Tensor,
    kernels: Tensor,
    plan: Plan,
    to_features: Tensor | None,
    totals: Tensor | None,
) -> None:
    """As `_gradients`."""
    kernels = kernels.flatten(0, 1)
    for start, stop, gathered in _all_inputs(gradient, plan):
        if to_features is not None:
            torch.mm(gathered, kernels, out=to_features[start:stop])
        if totals is not None:
            product = gathered.T @ features[start:stop]
            totals.add_(product.view_as(totals))


def _all_inputs(features: Tensor, plan: Plan) -> Iterator[tuple[int, int, Tensor]]:
    """Ranges of results, and the features (stop - start, 27 C) of all their inputs, zero where there are none."""
    channels = features.shape[1]
    padded = torch.cat([features, features.new_zeros(1, channels)])
    size = max(GATHERED.get(features.device.type, GATHERED_ELSEWHERE) // (OFFSETS * channels), 1)
    (buffer,) = _scratch(features, min(size, plan.rows) * OFFSETS, channels)
    for start in range(0, plan.rows, size):
        stop = min(start + size, plan.rows)
        gathered = buffer[: (stop - start) * OFFSETS]
        torch.index_select(padded, 0, plan.table[start:stop].flatten(), out=gathered)
        yield start, stop, gathered.view(stop - start, OFFSETS * channels)
