"""What the colour network is shown: the person's picture and where on the body each ray goes in and comes out.

The crop is the two-layer network's, with coarser pixels: edges are found between them by how sure of either side the
network is (predict.py). The body is a fitted bare one, so captures without depth have all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from likeness.surface.layers.crop import border_distance

PIXEL_M = 0.024
# Rest position over the body's height, and shares of head, torso, arms, hands, legs, feet.
PLACES, KINDS = 3, 6
MARKS = PLACES + KINDS
CHANNELS = 3 + 3 + 2 * MARKS
_BORDER_PX = 8.0


@dataclass(frozen=True)
class Looks:
    """A batch of people. color (B, 3, H, W) f32 sRGB 0..1; mask, body (B, H, W) bool: the person, and where a ray meets
    the body; border (B, H, W) f32 px to the outline; first, last (B, MARKS, H, W) f32: `body_marks` where the ray goes
    in and comes out, carried on to where it misses the body."""

    color: Tensor
    mask: Tensor
    body: Tensor
    border: Tensor
    first: Tensor
    last: Tensor

    def flipped(self, which: Tensor) -> Looks:
        """Samples (B,) bool mirrored left to right; a body's left becomes its right."""
        turn = torch.ones(MARKS, device=self.mask.device)
        turn[0] = -1
        chosen = which[:, None, None]
        out = {name: torch.where(chosen, getattr(self, name).flip(-1), getattr(self, name))
               for name in ("mask", "body", "border")}  # fmt: skip
        many = which[:, None, None, None]
        color = torch.where(many, self.color.flip(-1), self.color)
        first, last = (torch.where(many, x.flip(-1) * turn[:, None, None], x) for x in (self.first, self.last))
        return Looks(color=color, first=first, last=last, **out)

    def recolored(self, color: Tensor) -> Looks:
        """The same people in other colours."""
        return replace(self, color=color)


def looks(color: NDArray, mask: NDArray[np.bool_], first: NDArray, last: NDArray) -> Looks:
    """A batch of one: color (H, W, 3) u8, mask (H, W), first and last (H, W, MARKS), nan where the body is missed."""
    body = np.isfinite(first[..., 0])
    first, last = carried(first, body), carried(last, body)

    def tensor(values: NDArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values))[None]

    return Looks(
        color=tensor(color.astype(np.float32).transpose(2, 0, 1) / 255),
        mask=tensor(mask),
        body=tensor(body),
        border=tensor(border_distance(mask)),
        first=tensor(first.transpose(2, 0, 1)),
        last=tensor(last.transpose(2, 0, 1)),
    )


def carried(values: NDArray, known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Values (H, W, C) with each unknown pixel as its nearest known one; zero where there is none; f32."""
    if not known.any():
        return np.zeros(values.shape, np.float32)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return values[tuple(nearest)].astype(np.float32)


def body_marks(rest: NDArray, kinds: NDArray) -> NDArray[np.float32]:
    """What tells the network where on a body it is: (V, MARKS) f32 from rest positions (V, 3) m, Y up, and shares
    (V, KINDS) of head, torso, arms, hands, legs and feet."""
    low, high = rest[:, 1].min(), rest[:, 1].max()
    place = (rest - [0, (low + high) / 2, 0]) / (high - low)
    return np.concatenate([place, kinds], 1).astype(np.float32)


def reduced(color: NDArray, where: NDArray[np.bool_], times: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A picture (n H, n W, 3) u8 as means over what counts (n H, n W) bool, and where half or more of it does."""
    height, width = where.shape[0] // times, where.shape[1] // times
    count = where.reshape(height, times, width, times).sum((1, 3))
    total = (color.astype(np.float32) * where[..., None]).reshape(height, times, width, times, 3).sum((1, 3))
    mean = total / np.maximum(count, 1)[..., None]
    return np.clip(mean + 0.5, 0, 255).astype(np.uint8), 2 * count >= times**2


def features(seen: Looks) -> Tensor:
    """(B, CHANNELS, H, W) f32: colour, mask, whether the body is met, distance to the outline, marks."""
    mask = seen.mask.float()[:, None]
    single = torch.stack([seen.mask.float(), seen.body.float(), seen.border / _BORDER_PX], 1)
    scale = torch.ones(MARKS, device=mask.device)
    scale[:PLACES] = 4.0
    scale = scale[:, None, None]
    return torch.cat([(seen.color - 0.5) * 2 * mask, single, seen.first * scale * mask, seen.last * scale * mask], 1)
