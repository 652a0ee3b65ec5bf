"""Depth sensors simulated at their own resolution, place and errors, then registered to the colour camera."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likeness.core.camera import Camera
from likeness.core.frames import rodrigues
from likeness.synthesis.figure import KINDS
from likeness.synthesis.mono import estimated
from likeness.synthesis.sensor_lidar import lidar
from likeness.synthesis.sensor_masks import noisy_mask
from likeness.synthesis.sensor_models import SENSORS, Sensor
from likeness.synthesis.sensor_noise import Chance, Seen, flight, triangulation
from likeness.synthesis.sensor_registration import enlarged, register
from likeness.synthesis.view import Frame, View

__all__ = ["SENSORS", "Reading", "Sensor", "fitting", "sensor_view", "simulate"]

_GLASS = tuple(1 + KINDS.index(kind) for kind in ("eye", "glasses"))
# A network's input for estimated depth is about this wide.
_ESTIMATE_PX = 384
# A sensor that sees less of the person than this does not fit the picture.
_WHOLE = 0.98
# No calibration is worse than this and still sold.
_WORST_ROTATION_DEG = 0.3


@dataclass(frozen=True)
class Reading:
    """What one sensor gives for one colour picture, tensors on the renderer's device.

    depth (H, W) f32 m registered to the colour view, 0 = none. raw (h, w) f32 m on the sensor's own pixels (those that
    look at the colour picture's field), raw_view their camera. mask (H, W) bool: the person as a segmenter outlines
    it. clean (h, w) f32 m: what raw would be without any error.
    """

    depth: Tensor
    raw: Tensor
    raw_view: View
    mask: Tensor
    clean: Tensor


def simulate(
    render_at: Callable[[View], Frame],
    color_view: View,
    sensor: Sensor,
    generator: torch.Generator,
    *,
    strength: float = 1.0,
    frame: Frame | None = None,
) -> Reading:
    """Read the scene with `sensor` and bring the depth to the colour view.

    render_at: an ideal renderer; of its frames depth, cosine, infrared, kind and mask are used. strength scales every
    random error; 0 leaves the resolution, place, steps and shadows of the sensor. frame: the frame of color_view where
    it is at hand, else it is rendered for the mask.
    """
    if frame is None:
        frame = render_at(color_view)
    if sensor.family == "ideal":
        return Reading(frame.depth.clone(), frame.depth, color_view, frame.mask.clone(), frame.depth)
    raw_view = sensor_view(color_view, sensor)
    same = raw_view.camera == color_view.camera and np.array_equal(
        raw_view.camera_from_world, color_view.camera_from_world
    )
    seen = _seen(frame if same else render_at(raw_view))
    chance = Chance(generator, seen.depth)
    scale = strength * (1 + sensor.spread * (2 * chance.numbers(1)[0] - 1))
    raw = _read(seen, raw_view.camera, sensor, scale, chance)
    depth = _registered(raw, color_view, raw_view, sensor, scale, chance)
    if sensor.millimetres:
        depth = _whole_millimetres(depth)
    mask = noisy_mask(frame, generator, strength=strength)
    return Reading(_in_range(depth, sensor), raw, raw_view, mask, seen.depth)


def sensor_view(color_view: View, sensor: Sensor) -> View:
    """The sensor's own camera, cut to the window that can look at the colour picture's field of view.

    Sensors without a size of their own (ideal, estimate) share the colour camera's axes.
    """
    color = color_view.camera
    if sensor.family == "ideal":
        return color_view
    if sensor.width == 0:
        scale = min(1.0, _ESTIMATE_PX / max(color.width, color.height))
        return replace(color_view, camera=color.scaled(round(color.width * scale), round(color.height * scale)))
    width, height = (sensor.height, sensor.width) if sensor.turned else (sensor.width, sensor.height)
    whole = Camera(sensor.focal_px, sensor.focal_px, (width - 1) / 2, (height - 1) / 2, width, height)
    camera_from_world = color_view.camera_from_world.copy()
    camera_from_world[:3, 3] -= _origin(sensor)
    return View(_window(whole, color, sensor), camera_from_world)


def fitting(sensors: Iterable[Sensor], color_view: View, points: NDArray) -> list[Sensor]:
    """The sensors, each held level or upright, that can read what the colour picture shows of `points` (N, 3) world.

    Of a sensor's two ways the one that sees more is taken. Where none sees nearly all, the one that sees most.
    """
    shown = points[_inside(color_view, points)]
    best = []
    for sensor in sensors:
        ways = (sensor, sensor.upright()) if sensor.width else (sensor,)
        shares = [float(_in_reach(way, color_view, shown).mean()) if len(shown) else 1.0 for way in ways]
        best.append((max(shares), ways[int(np.argmax(shares))]))
    whole = [sensor for share, sensor in best if share >= _WHOLE]
    return whole or [max(best, key=lambda found: found[0])[1]]


def _inside(view: View, points: NDArray) -> NDArray[np.bool_]:
    local = view.to_camera(points).astype(np.float64)
    pixels = view.camera.project(local)
    limit = np.array([view.camera.width, view.camera.height]) - 0.5
    return (local[:, 2] > 0) & (pixels > -0.5).all(1) & (pixels < limit).all(1)


def _in_reach(sensor: Sensor, color_view: View, points: NDArray) -> NDArray[np.bool_]:
    """Which points (N, 3) lie in the sensor's field and range."""
    view = sensor_view(color_view, sensor)
    depth = view.to_camera(points)[:, 2]
    return _inside(view, points) & (depth >= sensor.range_m[0]) & (depth <= sensor.range_m[1])


def _origin(sensor: Sensor) -> NDArray[np.float64]:
    """Of the depth camera in the colour camera's axes; turned by a quarter with the device."""
    x, y, z = sensor.origin_m
    return np.array((-y, x, z) if sensor.turned else (x, y, z))


def _window(whole: Camera, color: Camera, sensor: Sensor) -> Camera:
    """The part of the sensor's picture in which anything of the colour picture from `range_m` on can lie."""
    rim = np.array([[u, v] for u in (-0.5, color.width - 0.5) for v in (-0.5, color.height - 0.5)])
    rays = np.column_stack([(rim[:, 0] - color.cx) / color.fx, (rim[:, 1] - color.cy) / color.fy, np.ones(4)])
    points = np.concatenate([rays * z - _origin(sensor) for z in (max(sensor.range_m[0], 0.5), sensor.range_m[1])])
    pixels = whole.project(points)
    size = np.array([whole.width, whole.height])
    low = np.clip(np.floor(pixels.min(0)) - 4, 0, size - 16).astype(int)
    high = np.clip(np.ceil(pixels.max(0)) + 5, low + 16, size).astype(int)
    return whole.cropped(*low.tolist(), *(high - low).tolist())


def _seen(frame: Frame) -> Seen:
    glass = torch.zeros_like(frame.mask)
    for label in _GLASS:
        glass |= frame.kind == label
    return Seen(frame.depth, frame.cosine, frame.infrared, glass, frame.mask)


def _read(seen: Seen, camera: Camera, sensor: Sensor, scale: float, chance: Chance) -> Tensor:
    """The sensor's own picture (h, w) f32 m within its range, whole millimetres where it gives those."""
    turned = sensor.turned and sensor.family == "triangulation"
    if turned:
        # Held upright the baseline runs down the picture: read the transposed picture.
        seen = Seen(*(field.T for field in (seen.depth, seen.cosine, seen.infrared, seen.glass, seen.person)))
        chance.shape = chance.shape[::-1]
    models = {"flight": flight, "triangulation": triangulation, "lidar": lidar, "estimate": estimated}
    raw = models[sensor.family](seen, camera, sensor, scale, chance)
    if turned:
        raw = raw.T.contiguous()
        chance.shape = chance.shape[::-1]
    return _in_range(_whole_millimetres(raw) if sensor.millimetres else raw, sensor)


def _whole_millimetres(depth: Tensor) -> Tensor:
    return torch.round(depth * 1000) / 1000


def _in_range(depth: Tensor, sensor: Sensor) -> Tensor:
    near, far = sensor.range_m
    return torch.where((depth >= near) & (depth <= far), depth, 0.0)


def _registered(raw: Tensor, color_view: View, raw_view: View, sensor: Sensor, scale: float, chance: Chance) -> Tensor:
    """The reading (H, W) as the maker's software brings it to the colour picture, its calibration in error."""
    turn, shift, moved = np.split(scale * np.clip(chance.normals(8), -2, 2), (3, 6))
    # Motion between the exposures, mostly sideways.
    lag = sensor.lag_px * moved * (1.0, 0.3)
    if sensor.family in ("lidar", "estimate"):
        return enlarged(raw, raw_view.camera, color_view.camera, (float(lag[0]), float(lag[1])))
    limit = _WORST_ROTATION_DEG
    turn = np.radians(np.clip(sensor.rotation_deg * turn, -limit, limit))
    # Seen from the device, someone who moved looks like a turned camera.
    turn[:2] += (lag[1] / raw_view.camera.fy, lag[0] / raw_view.camera.fx)
    error = np.eye(4)
    error[:3, :3], error[:3, 3] = rodrigues(turn), sensor.shift_m * shift
    truth = color_view.camera_from_world @ np.linalg.inv(raw_view.camera_from_world)
    return register(raw, raw_view.camera, color_view.camera, error @ truth)
