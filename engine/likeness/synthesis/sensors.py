"""Simulated depth sensors: noise that grows with distance, flying pixels, eroded edges, holes, whole millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from likeness.core.camera import Camera
from likeness.synthesis.render import CleanDepth

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Sensor:
    """A time-of-flight sensor; the defaults follow Microsoft's Azure Kinect in its narrow mode.

    focal_px: of the sensor's own picture. noise_base_mm, noise_square_mm: axial sigma is base + square z^2 (z in m)
    at a reflectivity of one half. bias_mm: an offset drawn once a picture within +-bias; wiggle_mm: standard deviation
    of a smooth error over the picture. jump_m: a larger step between neighbours is an edge. flying: share of edge
    pixels that mix front and back; eroded: share that is lost. dark: reflectivity under which readings start to fail.
    grazing_deg: readings fail from this incidence to 15 degrees more. range_m: the farthest reading.
    """

    focal_px: float = 504.0
    noise_base_mm: float = 0.7
    noise_square_mm: float = 0.3
    bias_mm: float = 4.0
    wiggle_mm: float = 1.5
    jump_m: float = 0.06
    flying: float = 0.3
    eroded: float = 0.35
    dark: float = 0.13
    grazing_deg: float = 72.0
    range_m: float = 5.4


AZURE_KINECT = Sensor()
IDEAL = Sensor(noise_base_mm=0, noise_square_mm=0, bias_mm=0, wiggle_mm=0, flying=0, eroded=0, dark=0, grazing_deg=90)


def sensor_camera(color: Camera, sensor: Sensor) -> Camera:
    """The sensor's own camera: the colour camera's field of view at the sensor's focal length."""
    scale = sensor.focal_px / color.fx
    return color.scaled(max(1, round(color.width * scale)), max(1, round(color.height * scale)))


def noise_sigma_m(depth: Floats, reflectivity: Floats, sensor: Sensor) -> Floats:
    """Axial standard deviation (H, W) in metres; darker surfaces return less light."""
    sigma_mm = sensor.noise_base_mm + sensor.noise_square_mm * depth**2
    return (1e-3 * sigma_mm / np.sqrt(np.maximum(reflectivity, 0.1) / 0.5)).astype(np.float32)


def simulate_depth(clean: CleanDepth, sensor: Sensor, rng: np.random.Generator) -> Floats:
    """What the sensor reads (H, W), metres in whole millimetres, 0 where it reads nothing."""
    depth = clean.depth.astype(np.float32)
    valid = depth > 0
    wiggle = ndimage.gaussian_filter(rng.normal(size=depth.shape), 12)
    wiggle *= sensor.wiggle_mm * 1e-3 / max(float(wiggle.std()), 1e-9)
    noisy = depth + rng.normal(size=depth.shape) * noise_sigma_m(depth, clean.reflectivity, sensor)
    noisy += wiggle + rng.uniform(-1, 1) * sensor.bias_mm * 1e-3
    near, far = edge_range(depth)
    edge = valid & (far - near > sensor.jump_m)
    draw = rng.random(depth.shape)
    mixed = near + rng.random(depth.shape) * (far - near)
    noisy = np.where(edge & (draw < sensor.flying), mixed, noisy)
    lost = edge & (draw > 1 - sensor.eroded)
    angle = np.degrees(np.arccos(np.clip(clean.cosine, 0, 1)))
    lost |= rng.random(depth.shape) < (angle - sensor.grazing_deg) / 15
    lost |= rng.random(depth.shape) < 0.5 * (sensor.dark - clean.reflectivity) / 0.05
    kept = valid & ~lost & (noisy > 0) & (noisy < sensor.range_m)
    return np.where(kept, np.round(noisy * 1000) / 1000, 0).astype(np.float32)


def edge_range(depth: Floats) -> tuple[Floats, Floats]:
    """Nearest and farthest reading (H, W) within one pixel, pixels without a reading left out."""
    near = ndimage.minimum_filter(np.where(depth > 0, depth, np.inf), 3)
    far = ndimage.maximum_filter(np.where(depth > 0, depth, -np.inf), 3)
    empty = ~np.isfinite(near)
    return np.where(empty, 0, near).astype(np.float32), np.where(empty, 0, far).astype(np.float32)


def register_depth(depth: Floats, sensor: Camera, color: Camera, jump_m: float = 0.03) -> Floats:
    """Depth (h, w) of a sensor that shares the colour camera's axis, resampled to the colour picture (H, W).

    Bilinear on one surface, the nearest reading across an edge or a hole, so that no new flying pixels arise.
    """
    u = (np.arange(color.width) - color.cx) / color.fx * sensor.fx + sensor.cx
    v = (np.arange(color.height) - color.cy) / color.fy * sensor.fy + sensor.cy
    rows, columns = np.meshgrid(np.clip(v, 0, sensor.height - 1), np.clip(u, 0, sensor.width - 1), indexing="ij")
    r0, c0 = np.floor(rows).astype(int), np.floor(columns).astype(int)
    r1, c1 = np.minimum(r0 + 1, sensor.height - 1), np.minimum(c0 + 1, sensor.width - 1)
    fr, fc = rows - r0, columns - c0
    corners = np.stack([depth[r0, c0], depth[r0, c1], depth[r1, c0], depth[r1, c1]])
    shares = np.stack([(1 - fr) * (1 - fc), (1 - fr) * fc, fr * (1 - fc), fr * fc])
    smooth = (corners.min(0) > 0) & (corners.max(0) - corners.min(0) < jump_m)
    nearest = depth[np.rint(rows).astype(int), np.rint(columns).astype(int)]
    return np.where(smooth, (corners * shares).sum(0), nearest).astype(np.float32)
