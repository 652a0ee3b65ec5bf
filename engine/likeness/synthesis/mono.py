"""Depth estimated from one colour picture, as networks get it wrong: smoothly, not noisily."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from likeness.core.camera import Camera
from likeness.synthesis.sensor_models import Sensor
from likeness.synthesis.sensor_noise import Chance, Seen, blurred, opened, surroundings

# Errors of published networks on people, by eye and by their stated relative error of 3 to 8 % [ours]: log scale and
# shift in disparity, relief left, bend in metres, blur in pixels of a 384-pixel input.
_LOG_SCALE = 0.06
_SHIFT = 0.03
_RELIEF = (0.55, 1.1)
_BEND_M = 0.02
_DETAIL_PX = (1.5, 5.0)
_EDGE_PX = (0.6, 2.0)


def estimated(seen: Seen, camera: Camera, sensor: Sensor, scale: float, chance: Chance) -> Tensor:
    """An estimate (h, w) f32 m, 0 = none, of one person before a background.

    Wrong in scale and shift, its relief flattened about the person's middle, bent by a smooth field, without fine
    folds, thin parts now and then swallowed by the background, edges from too sharp to bleeding.
    """
    depth = seen.depth
    if scale <= 0 or not bool((depth > 0).any()):
        return depth.clone()
    person = seen.person & (depth > 0)
    middle = float(depth[person if bool(person.any()) else depth > 0].median())
    detail, edge, relief, thin = chance.numbers(4)
    pixel = max(depth.shape) / 384
    shape = _without_thin_parts(depth, person, thin, scale, chance)
    # Gaps as narrow as those between fingers close.
    shape = opened(shape, max(1, round(pixel)))
    shape = _smoothed(shape, pixel * scale * _between(_DETAIL_PX, detail))
    shape = torch.where(person, middle + (shape - middle) * (1 + scale * (_between(_RELIEF, relief) - 1)), shape)
    bend = chance.smooth(max(depth.shape) / 5) + 0.3 * chance.smooth(max(depth.shape) / 15)
    shape = shape + scale * _BEND_M * middle / 2.5 * bend
    shape = _bled(shape, pixel * scale * _between(_EDGE_PX, edge))
    stretch, shift = chance.normals(2)
    inverse = math.exp(_LOG_SCALE * scale * stretch) / shape.clamp(min=0.1) + _SHIFT * scale * shift / middle
    return torch.where(depth > 0, 1 / inverse.clamp(min=0.05), 0.0)


def _between(span: tuple[float, float], share: float) -> float:
    return span[0] + share * (span[1] - span[0])


def _without_thin_parts(depth: Tensor, person: Tensor, draw: float, scale: float, chance: Chance) -> Tensor:
    """Depth (h, w) where parts of the person thinner than a few pixels are, in patches, at the background's depth."""
    width = int(min(scale, 1.5) * draw * 3) * max(1, round(max(depth.shape) / 384))
    if width == 0:
        return depth
    body = person.to(depth.dtype)
    thin = person & (opened(body, width) < 0.5) & (chance.smooth(24) > 0.3)
    behind = depth
    for _ in range(2 * width):
        behind = surroundings(behind)[1]
    return torch.where(thin, behind, depth)


def _smoothed(depth: Tensor, sigma: float) -> Tensor:
    """Depth (h, w) without detail finer than `sigma` pixels; steps stay."""
    near, far = surroundings(depth)
    even = ((far - near < 0.05) & (depth > 0)).to(depth.dtype)
    mean = blurred(depth * even, sigma) / blurred(even, sigma).clamp(min=1e-3)
    return torch.where((mean - depth).abs() < 0.06, mean, depth)


def _bled(depth: Tensor, sigma: float) -> Tensor:
    """Depth (h, w) with steps smeared in disparity over `sigma` pixels."""
    found = depth > 0
    inverse = torch.where(found, 1 / depth.clamp(min=0.1), 0.0)
    mean = blurred(inverse, sigma) / blurred(found.to(depth.dtype), sigma).clamp(min=1e-3)
    return torch.where(found, 1 / mean.clamp(min=1e-3), 0.0)
