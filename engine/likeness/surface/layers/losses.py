"""How far two layers lie from the truth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from likeness.surface.layers.features import Pictures, picture_normals, rays

# Weights against the back's L1 in decimetres.
NORMALS, FRONT = 1.0, 0.5
UNIT_M = 0.1


@dataclass(frozen=True)
class Truth:
    """True first and last hit (B, H, W) f32 m relative to Pictures.distance, and where a ray hits the person at all."""

    first: Tensor
    last: Tensor
    hit: Tensor


def layer_loss(pictures: Pictures, truth: Truth, front: Tensor, back: Tensor) -> dict[str, Tensor]:
    """Named terms for layers (B, H, W) m relative: loss; back_cm, front_cm and normals_deg to be read.

    L1 of both layers and one less the cosine between the back's normals, over rays that hit inside the mask.
    """
    inside = pictures.mask & truth.hit
    directions = rays(pictures.camera, *pictures.mask.shape[-2:])
    away = pictures.distance[:, None, None]
    wanted, good = picture_normals(truth.last + away, inside, directions)
    found = unit_normals(back + away, directions)
    cosine = (wanted * found).sum(1)
    back_error = _mean((back - truth.last).abs(), inside)
    front_error = _mean((front - truth.first).abs(), inside)
    normals = _mean(1 - cosine, good)
    loss = back_error / UNIT_M + NORMALS * normals + FRONT * front_error / UNIT_M
    with torch.no_grad():
        degrees = torch.rad2deg(torch.arccos(_mean(cosine.clamp(-1, 1), good).clamp(-1, 1)))
    return {"loss": loss, "back_cm": 100 * back_error.detach(), "front_cm": 100 * front_error.detach(),
            "normals_deg": degrees}  # fmt: skip


def unit_normals(depth: Tensor, directions: Tensor) -> Tensor:
    """(B, 3, H, W) normals of absolute depth (B, H, W) by central differences, everywhere; towards the camera."""
    everywhere = torch.ones_like(depth, dtype=torch.bool)
    return picture_normals(depth, everywhere, directions, jump_m=float("inf"))[0]


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return torch.where(where, values, 0.0).sum() / where.sum().clamp(min=1)
