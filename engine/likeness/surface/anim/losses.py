"""What ANIM is trained with: L_sdf and L_depth (paper), and what may be added; each with a weight, 0 = off.

Distances count in centimetres, so that weights are comparable. Gradients of the field are differences over 5 mm:
bilinear samples of pictures have no second derivative in torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .inputs import AnimInputs
from .network import AnimNet

_STEP_M = 0.005
_NEAR_M = 0.01


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms. near: points on the surface count 1 + near times, falling off over 1 cm. depth: L_depth.
    sign: of which points are inside, which asks where the surface lies and not how steep the field is. eikonal,
    normal: on `slopes` points of each item near the surface. free: what reaches in front of the measured surface.
    color: of the colour head, where it exists."""

    sdf: float = 1.0
    near: float = 0.0
    depth: float = 0.5
    sign: float = 1.0
    eikonal: float = 0.0
    normal: float = 0.0
    free: float = 0.0
    color: float = 0.5
    slopes: int = 512


# For networks on a guess. Near the readings they keep to the guess, so L_depth has nothing to say.
ON_A_GUESS = LossWeights(depth=0.0)


@dataclass(frozen=True)
class AnimTargets:
    """What is known of a batch, camera space, metres. points (B, N, 3), sdf (B, N) negative inside, normal (B, N, 3)
    outward at the closest point, color (B, N, 3) 0..1 and known (B, N) bool of the closest point; cloud (B, M, 3) on
    the true seen surface; free (B, F, 3) on rays before it."""

    points: Tensor
    sdf: Tensor
    normal: Tensor
    color: Tensor
    known: Tensor
    cloud: Tensor
    free: Tensor

    def to(self, device: torch.device | str) -> AnimTargets:
        """The same on another device."""
        return AnimTargets(**{name: value.to(device) for name, value in vars(self).items()})


def anim_losses(net: AnimNet, inputs: AnimInputs, targets: AnimTargets, weights: LossWeights) -> dict[str, Tensor]:
    """Named scalar terms, 'loss' their weighted sum; all queries go through the head together."""
    groups = [targets.points]
    if weights.depth:
        groups.append(targets.cloud)
    if weights.free:
        groups.append(targets.free)
    slopes = _sloped(targets, weights)
    if slopes is not None:
        groups.append(slopes)
    state = net.encode(inputs)
    features, surface = state.query(torch.cat(groups, 1))
    found = list(net.head(features, surface).split([group.shape[1] for group in groups], 1))
    at_points = found.pop(0)
    terms = {"sdf": sdf_loss(at_points, targets.sdf, net.config.truncation_m, weights.near)}
    if weights.sign:
        terms["sign"] = sign_loss(at_points, targets.sdf)
    if weights.depth:
        terms["depth"] = found.pop(0).abs().mean() * 100
    if weights.free:
        terms["free"] = F.relu(-found.pop(0)).mean() * 100
    if slopes is not None:
        gradient = field_gradient(found.pop(0))
        length = gradient.norm(dim=-1)
        terms["eikonal"] = (length - 1).abs().mean()
        normal = targets.normal[:, : gradient.shape[1]]
        terms["normal"] = (1 - (gradient * normal).sum(-1) / length.clamp(min=1e-3)).mean()
    if net.config.color and weights.color:
        count = targets.points.shape[1]
        near = (targets.known & (targets.sdf.abs() < 2 * _NEAR_M)).to(surface.dtype)[..., None]
        miss = (net.head.colors(features[:, :count]) - targets.color).abs() * near
        terms["color"] = miss.sum() / (3 * near.sum()).clamp(min=1)
    total = torch.stack([getattr(weights, name) * value for name, value in terms.items()]).sum()
    return {"loss": total, **terms}


def sdf_loss(found: Tensor, truth: Tensor, truncation_m: float, near: float) -> Tensor:
    """Mean of |f - s| in cm, s clamped to what the head can say, 1 + near exp(-|s| / 1 cm) as weight (section 3)."""
    weight = 1 + near * torch.exp(-truth.abs() / _NEAR_M)
    # tanh reaches the truncation at infinity only: ask for a little less.
    limit = 0.97 * truncation_m
    miss = (found - truth.clamp(-limit, limit)).abs()
    return (weight * miss).sum() / weight.sum() * 100


def sign_loss(found: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of being inside, the field over 1 cm as log-odds: zero where inside and outside are as likely.

    L_sdf alone, with most points near the surface, is also lowered by a field that is small everywhere: without the
    sign two small rows of the comparison had |f| under 1 mm within 2 cm of the surface, inside and outside.
    """
    return F.binary_cross_entropy_with_logits(-found / _NEAR_M, (truth < 0).to(found.dtype))


def _sloped(targets: AnimTargets, weights: LossWeights) -> Tensor | None:
    """The first points of each item and their neighbours along the axes (B, 4 K, 3), where gradients are asked for."""
    if not (weights.eikonal or weights.normal):
        return None
    points = targets.points[:, : weights.slopes]
    # On the surface, where the labelled normal is the field's gradient: step back along it.
    points = points - targets.normal[:, : weights.slopes] * targets.sdf[:, : weights.slopes, None]
    steps = torch.cat([torch.zeros(1, 3), _STEP_M * torch.eye(3)]).to(points.device)
    return (points[:, :, None] + steps).reshape(points.shape[0], -1, 3)


def field_gradient(values: Tensor) -> Tensor:
    """Values (B, 4 K) at points and 5 mm further along x, y and z -> gradients (B, K, 3)."""
    four = values.view(values.shape[0], -1, 4)
    return (four[..., 1:] - four[..., :1]) / _STEP_M
