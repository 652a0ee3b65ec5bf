"""Weighted sums of gathered rows, differentiable any number of times, and without atomics: the same result each run."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.autograd.function import FunctionCtx


def gather(features: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
    """features (N, C), weights (P, K), rows (P, K) int64 -> (P, C): sum over K of weights times features[rows].

    Where a weight is 0 its row may be any valid one.
    """
    result: Tensor = _Gather.apply(features, weights, rows)
    return result


def spread(values: Tensor, weights: Tensor, rows: Tensor, count: int) -> Tensor:
    """Transpose of `gather`: values (P, C) -> (count, C)."""
    result: Tensor = _Spread.apply(values, weights, rows, count)
    return result


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, features: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(features, weights, rows)
        return functional.embedding_bag(rows, features, per_sample_weights=weights.to(features.dtype), mode="sum")

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, weights, rows = ctx.saved_tensors  # type: ignore[attr-defined]
        wanted = ctx.needs_input_grad  # type: ignore[attr-defined]
        to_features = spread(gradient, weights, rows, len(features)) if wanted[0] else None
        to_weights = (features[rows] * gradient[:, None]).sum(-1).to(weights.dtype) if wanted[1] else None
        return to_features, to_weights, None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, weights: Tensor, rows: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(values, weights, rows)
        weight, row = weights.flatten(), rows.flatten()
        used = torch.nonzero(weight).flatten()
        row, order = torch.sort(row[used], stable=True)
        used = used[order]
        ends = torch.searchsorted(row, torch.arange(count + 1, device=row.device))
        source = torch.div(used, rows.shape[1], rounding_mode="floor")
        return functional.embedding_bag(
            source,
            values.contiguous(),
            ends,
            per_sample_weights=weight[used].to(values.dtype),
            mode="sum",
            include_last_offset=True,
        )

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        values, weights, rows = ctx.saved_tensors  # type: ignore[attr-defined]
        wanted = ctx.needs_input_grad  # type: ignore[attr-defined]
        to_values = gather(gradient, weights, rows) if wanted[0] else None
        to_weights = (gradient[rows] * values[:, None]).sum(-1).to(weights.dtype) if wanted[1] else None
        return to_values, to_weights, None, None
