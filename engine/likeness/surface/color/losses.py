"""How far guessed colours lie from the truth, as eyes see it."""

from __future__ import annotations

import torch
from torch import Tensor

# CIE 1931 XYZ of sRGB's primaries, over D65's white.
_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_WHITE = (0.9505, 1.0, 1.089)
# Weight of edges against colours: hems and hairlines are sharp.
EDGES = 0.5
# Small beside cloth, and what people look at: heads, hands and feet.
_DEAR = 2.0


def lab(color: Tensor) -> Tensor:
    """sRGB (B, 3, H, W) 0..1 -> CIE L*a*b* under D65, (B, 3, H, W)."""
    color = color.clamp(0, 1)
    linear = torch.where(color <= 0.04045, color / 12.92, ((color.clamp(min=0.04) + 0.055) / 1.055) ** 2.4)
    matrix = torch.tensor(_XYZ, device=color.device) / torch.tensor(_WHITE, device=color.device)[:, None]
    xyz = torch.einsum("ij,bjhw->bihw", matrix, linear)
    low = (6 / 29) ** 3
    root = torch.where(xyz > low, xyz.clamp(min=low) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def color_loss(found: Tensor, truth: Tensor, known: Tensor, dear: Tensor) -> dict[str, Tensor]:
    """Named terms for sRGB colours (B, 3, H, W) 0..1 where the truth is known (B, H, W): loss; delta_e (CIE 1976) and
    dear_delta_e to be read. dear (B, H, W) 0..1: how much of a head, hand or foot a pixel is.

    Distances in Lab, and distances of their steps from pixel to pixel.
    """
    ours, theirs = lab(found), lab(truth)
    weight = known * (1 + _DEAR * dear)
    away = _length(ours - theirs)
    loss = _mean(away, weight)
    for axis in (2, 3):
        count = ours.shape[axis] - 1
        step = _length((ours - theirs).diff(dim=axis))
        pair = weight.narrow(axis - 1, 0, count) * known.narrow(axis - 1, 1, count)
        loss = loss + EDGES / 2 * _mean(step, pair)
    return {"loss": loss / 10, "delta_e": _mean(away, known.float()).detach(),
            "dear_delta_e": _mean(away, known * dear).detach()}  # fmt: skip


def _length(vectors: Tensor) -> Tensor:
    return (vectors.square().sum(1) + 0.01).sqrt() - 0.1


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)
