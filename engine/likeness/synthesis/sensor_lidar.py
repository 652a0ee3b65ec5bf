"""A phone's LiDAR: some hundred dots, spread over a small depth map along the edges of the colour picture."""

from __future__ import annotations

import torch
from torch import Tensor

from likeness.core.camera import Camera
from likeness.synthesis.sensor_models import Sensor
from likeness.synthesis.sensor_noise import Chance, Seen, blurred, surroundings

# Of the reading's distance; neighbours nearer than that flow into one another.
_JOINED = 0.05


def lidar(seen: Seen, camera: Camera, sensor: Sensor, scale: float, chance: Chance) -> Tensor:
    """The phone's depth map (h, w) f32 m, 0 = none: relief smoothed within a surface, edges soft, dots in error.

    In half of the readings the pixels of low confidence, those on edges, are left out.
    """
    depth = seen.depth
    found = (depth > 0).to(depth.dtype)
    near, far = surroundings(depth)
    even = ((far - near < _JOINED * depth) & (depth > 0)).to(depth.dtype)
    sigma = sensor.window_px / 3
    within = blurred(depth * even, sigma) / blurred(even, sigma).clamp(min=1e-3)
    smooth = torch.where((within - depth).abs() < _JOINED * depth, within, depth)
    # What the dots do not tell is guessed from colour: edges bleed over a pixel or two.
    bled = blurred(smooth * found, sensor.spot_px) / blurred(found, sensor.spot_px).clamp(min=1e-3)
    edge = far - near > _JOINED * depth
    reading = torch.where(edge, smooth + min(scale, 1.0) * (bled - smooth), bled)
    base, slope, _ = sensor.noise_mm
    dots = (base + slope * depth) * chance.smooth(sensor.grain_px)
    offset = (2 * chance.numbers(1)[0] - 1) * sensor.bias_mm
    reading = reading + 1e-3 * scale * (dots + offset)
    trusted = chance.numbers(1)[0] < 0.5 and scale > 0
    lost = edge if trusted else torch.zeros_like(edge)
    return torch.where((depth > 0) & ~lost, reading, 0.0)
