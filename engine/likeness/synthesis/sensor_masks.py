"""The outline of the person as a segmenter gives it: blobs missing or added, hands and hair lost, stairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from likeness.synthesis.figure import KINDS
from likeness.synthesis.sensor_noise import Chance, blurred, opened
from likeness.synthesis.view import Frame

_HAIR = 1 + KINDS.index("hair")
# A segmenter works on a picture of about this size and its answer is enlarged.
_NETWORK_PX = (144.0, 400.0)
# The outline wanders by about this share of the person's size in the picture.
_REACH = 0.01
# How often hands and other parts thinner than this share of the person's size are lost in places.
_LOSES_LIMBS, _THIN = 0.25, 0.03


def noisy_mask(frame: Frame, generator: torch.Generator, *, strength: float = 1.0) -> Tensor:
    """The person (H, W) bool as a segmenter outlines it; the truth at strength 0.

    The outline lies off the true one by at most about 3 % of the larger side of the person's box, apart from hair and
    hands that are lost.
    """
    mask = frame.mask
    if strength <= 0 or not bool(mask.any()):
        return mask.clone()
    rows, columns = torch.nonzero(mask, as_tuple=True)
    size = float(max(rows.max() - rows.min(), columns.max() - columns.min())) + 1
    network, shift, hair, soft, care, limbs = torch.rand(6, generator=generator, device=generator.device).tolist()
    side = _NETWORK_PX[0] + network * (_NETWORK_PX[1] - _NETWORK_PX[0])
    share = min(1.0, side / max(mask.shape))
    body = _smaller(frame.coverage if soft < 0.5 else mask.to(frame.depth.dtype), share)
    chance = Chance(generator, body)
    size *= share
    hairy = _smaller((frame.kind == _HAIR).to(body.dtype), share) > 0.5
    hair_lost = hairy & (chance.smooth(max(4.0, 0.03 * size)) > 1.0 + 0.5 * hair)
    body = torch.where(hair_lost, 0.3 * body, body)
    if limbs < _LOSES_LIMBS:
        thin = body - opened(body, max(1, round(_THIN * size / 2)))
        body = torch.where((thin > 0.5) & (chance.smooth(max(4.0, 0.08 * size)) > 0.8), 0.2 * body, body)
    # A blurred outline crosses any level smoothly; a level that varies moves it out and in.
    edge = blurred(body, max(0.5, strength * _REACH * size * (0.2 + care)))
    wave = chance.smooth(max(3.0, 0.05 * size)) * 0.12 + chance.smooth(max(6.0, 0.2 * size)) * 0.08
    level = 0.5 + strength * (wave + 0.3 * (2 * shift - 1)).clamp(-0.35, 0.35)
    answer = functional.interpolate((edge - level)[None, None], size=mask.shape, mode="bilinear")
    return answer[0, 0] > 0


def _smaller(field: Tensor, share: float) -> Tensor:
    """The field (H, W) at `share` of its size."""
    if share >= 1:
        return field
    size = [max(2, round(side * share)) for side in field.shape]
    return functional.interpolate(field[None, None], size=size, mode="area")[0, 0]
