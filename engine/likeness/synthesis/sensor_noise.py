"""What goes wrong on a depth sensor's own pixel grid: noise, mixed pixels, matching windows, shadows, holes.

Every function takes tensors (h, w) on one device and is deterministic by the torch.Generator that it is given.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from likeness.core.camera import Camera
from likeness.synthesis.sensor_models import Sensor

# Axial noise grows without bound towards grazing incidence; readings fail before this.
_STEEPEST = math.radians(80.0)
# Share of a time-of-flight pixel's noise variance that does not come with the light, as a reflectivity [ours].
_READ_OUT = 0.3
_DARKEST = 0.05
_DEEPEST_HOLLOW_M = 0.15
# Depth over two pixels, in widths of a pixel, that a surface seen at 76 degrees has.
_STEEP_PX = 8.0
# White error of a disparity before it is rounded, in steps [Barron, Malik 2013; Handa 2014].
_DITHER = 1 / 6


@dataclass(frozen=True)
class Seen:
    """What an ideal camera in the sensor's place sees: depth (h, w) f32 m, 0 = nothing; cosine of incidence; infrared
    reflectivity 0..1; glass (h, w) bool: eyes and glasses; person (h, w) bool."""

    depth: Tensor
    cosine: Tensor
    infrared: Tensor
    glass: Tensor
    person: Tensor


class Chance:
    """Random fields (h, w) of one reading."""

    def __init__(self, generator: torch.Generator, like: Tensor) -> None:
        self._generator = generator
        self._device = like.device
        self.shape = (like.shape[-2], like.shape[-1])

    def numbers(self, count: int) -> list[float]:
        """`count` numbers uniform in 0..1."""
        return torch.rand(count, generator=self._generator, device=self._generator.device).tolist()

    def normals(self, count: int) -> list[float]:
        """`count` standard normal numbers."""
        return torch.randn(count, generator=self._generator, device=self._generator.device).tolist()

    def uniform(self) -> Tensor:
        """White, uniform in 0..1."""
        return torch.rand(self.shape, generator=self._generator, device=self._generator.device).to(self._device)

    def white(self, shape: tuple[int, int] | None = None) -> Tensor:
        """White, standard normal."""
        drawn = torch.randn(shape or self.shape, generator=self._generator, device=self._generator.device)
        return drawn.to(self._device)

    def smooth(self, period_px: float) -> Tensor:
        """Standard normal in every pixel, smooth over about `period_px`: cubic splines on a randomly placed lattice."""
        if period_px <= 1:
            return self.white()
        weights = [
            _spline_weights(size, period_px, start, self._device)
            for size, start in zip(self.shape, self.numbers(2), strict=True)
        ]
        return weights[0] @ self.white((weights[0].shape[1], weights[1].shape[1])) @ weights[1].T

    def grained(self, window_px: float) -> Tensor:
        """Standard normal in every pixel, correlated as by a Gaussian as wide as a window of `window_px`."""
        if window_px <= 1:
            return self.white()
        kernel = _gaussian(math.sqrt((window_px**2 - 1) / 12), self._device)
        kernel = kernel / kernel.square().sum().sqrt()
        margin = len(kernel) - 1
        field = self.white((self.shape[0] + margin, self.shape[1] + margin))
        return _separable(field, kernel, pad=False)


def axial_sigma(depth: Tensor, cosine: Tensor, infrared: Tensor, sensor: Sensor) -> Tensor:
    """Standard deviation (h, w) in metres of one reading, as the sensor's data state it."""
    if sensor.noise_px > 0:
        return depth.square() * (sensor.noise_px / (sensor.focal_px * sensor.baseline_m))
    base, slope, square = sensor.noise_mm
    sigma = base + slope * depth + square * depth.square()
    if sensor.grazing_noise_mm > 0:
        theta = torch.acos(cosine.clamp(0, 1)).clamp(max=_STEEPEST)
        sigma = sigma + sensor.grazing_noise_mm * depth**1.5 * theta.square() / (math.pi / 2 - theta).square()
    if sensor.family == "flight":
        # Noise of the light itself and of the read-out, over the light: darker surfaces return less.
        light = infrared.clamp(min=_DARKEST)
        sigma = sigma * (0.5 / light) * ((light + _READ_OUT) / (0.5 + _READ_OUT)).sqrt()
    return 1e-3 * sigma.clamp(min=0.0)


def flight(seen: Seen, camera: Camera, sensor: Sensor, scale: float, chance: Chance) -> Tensor:
    """A time-of-flight reading (h, w) f32 m, 0 = none: mixed edges, multipath, amplitude-dependent noise, holes."""
    light = torch.where(seen.depth > 0, seen.infrared * seen.cosine.clamp(min=0.05), 0.0) + 1e-6
    light = light / seen.depth.clamp(min=0.3).square()
    mixed, lost = _mixed(seen.depth, light, sensor.jump_m + _STEEP_PX * seen.depth / camera.fx, sensor, scale, chance)
    reading = mixed + scale * _multipath(seen, sensor)
    sigma = axial_sigma(seen.depth, seen.cosine, seen.infrared, sensor)
    # Drivers filter differently by version and mode.
    grain = sensor.grain_px * (0.7 + 0.6 * chance.numbers(1)[0])
    reading = reading + scale * sigma * chance.grained(grain)
    reading = reading + 1e-3 * scale * _drift(sensor, camera, chance)
    lost |= holes(seen, sensor, scale, chance)
    return torch.where((mixed > 0) & ~lost, reading, 0.0)


def triangulation(seen: Seen, camera: Camera, sensor: Sensor, scale: float, chance: Chance) -> Tensor:
    """A reading (h, w) f32 m of structured light or stereo, 0 = none: matching windows, disparity steps, shadow."""
    reach = float(camera.fx * sensor.baseline_m)
    found = seen.depth > 0
    disparity = torch.where(found, reach / seen.depth.clamp(min=1e-3), 0.0)
    matched = _window_mean(disparity, sensor)
    if scale > 0:
        matched = _fattened(matched, sensor, scale, chance)
    depth = torch.where(matched > 0, reach / matched.clamp(min=1e-6), 0.0)
    sigma = axial_sigma(depth, seen.cosine, seen.infrared, sensor) * reach / depth.clamp(min=0.1).square()
    # The stated noise includes what rounding to steps adds.
    dither = _DITHER * sensor.step_px
    sigma = (sigma.square() - sensor.step_px**2 / 12 - dither**2).clamp(min=0).sqrt()
    wiggle = 1e-3 * scale * _drift(sensor, camera, chance) * reach / depth.clamp(min=0.1).square()
    noisy = matched + scale * sigma * chance.grained(sensor.grain_px) + wiggle
    if sensor.step_px > 0:
        noisy = noisy + scale * dither * chance.white()
        noisy = torch.round(noisy / sensor.step_px) * sensor.step_px
    lost = shadow(disparity) | holes(seen, sensor, scale, chance)
    kept = (matched > 0) & (noisy > 0) & ~lost
    return torch.where(kept, reach / noisy.clamp(min=1e-6), 0.0)


def shadow(disparity: Tensor) -> Tensor:
    """Pixels (h, w) bool that the projector or second imager at +x does not see, by a z-buffer in its picture.

    disparity (h, w) px, 0 = nothing there. Behind an edge from z1 to z2 the shadow on the left of the nearer surface is
    focal * baseline * (1 / z1 - 1 / z2) pixels wide.
    """
    height, width = disparity.shape
    column = torch.arange(width, device=disparity.device, dtype=disparity.dtype)
    seen_at = column - disparity
    found = disparity > 0
    margin = 1
    place = seen_at.floor().long()
    row = torch.arange(height, device=disparity.device)[:, None] * (width + 2 * margin)
    buffer = torch.zeros(height * (width + 2 * margin), device=disparity.device, dtype=disparity.dtype)
    # A surface between two columns covers both, so that nothing behind shines through.
    inside = found & (place >= -margin)
    for step in (0, 1):
        index = (row + (place + step).clamp(0, width + 2 * margin - 1)).reshape(-1)
        buffer.scatter_reduce_(0, index, torch.where(inside, disparity, 0.0).reshape(-1), "amax")
    nearest = seen_at.round().long().clamp(0, width + 2 * margin - 1)
    blocker = buffer[(row + nearest).reshape(-1)].reshape(height, width)
    return found & (place >= 0) & (blocker > disparity + 1.0)


def holes(seen: Seen, sensor: Sensor, scale: float, chance: Chance) -> Tensor:
    """Pixels (h, w) bool without a reading for what the surface is: dark, grazing, glass; and stray losses.

    Half the readings fail at the sensor's dark reflectivity (times (z / 2 m)^2) and grazing angle, nearly none 50 %
    above and 8 degrees short of them.
    """
    lost = torch.zeros(chance.shape, dtype=torch.bool, device=seen.depth.device)
    if scale <= 0:
        return lost
    # Whole patches fail, not single pixels: a part of the threshold's spread is smooth.
    patchy = 0.8 * chance.smooth(6) + 0.6 * chance.white()
    if sensor.dark > 0:
        needed = sensor.dark * (seen.depth / 2.0).square()
        lost |= seen.infrared < needed * (1 + 0.25 * patchy)
    if sensor.grazing_deg < 90:
        lost |= torch.rad2deg(torch.acos(seen.cosine.clamp(0, 1))) > sensor.grazing_deg - 4 * patchy
    draw = chance.uniform()
    if sensor.specular > 0:
        lost |= seen.glass & (draw < sensor.specular)
    return lost | (draw > 1 - scale * sensor.dropout)


def _drift(sensor: Sensor, camera: Camera, chance: Chance) -> Tensor:
    """Systematic error (h, w) in millimetres: one offset and a smooth wave over some tens of pixels."""
    offset = (2 * chance.numbers(1)[0] - 1) * sensor.bias_mm
    return offset + sensor.wiggle_mm * chance.smooth(camera.fx / 12)


def _mixed(
    depth: Tensor, light: Tensor, jump: Tensor, sensor: Sensor, scale: float, chance: Chance
) -> tuple[Tensor, Tensor]:
    """Depth (h, w) with front and back mixed by their light where the optics blur them, and pixels (bool) dropped.

    jump (h, w) m: steps beyond it part two surfaces.
    """
    if sensor.spot_px <= 0 or scale <= 0:
        return depth, torch.zeros_like(depth, dtype=torch.bool)
    kernel = _gaussian(sensor.spot_px, depth.device)
    blurred = _separable(light * depth, kernel) / _separable(light, kernel)
    near, far = surroundings(depth)
    edge = (far - near > jump) & (depth > 0)
    # Edges fall anywhere within a pixel, so the share of the other surface varies.
    share = scale * 1.6 * chance.uniform()
    mixed = torch.where(edge, depth + share * (blurred - depth), depth)
    mixed = torch.minimum(torch.maximum(mixed, near), far)
    between = (mixed - near).minimum(far - mixed)
    dropped = edge & (between > 0.4 * jump) & (chance.uniform() < sensor.lost_edge)
    return mixed, dropped


def _multipath(seen: Seen, sensor: Sensor) -> Tensor:
    """How far hollows of the person (h, w) are pushed away, metres: light that bounces there takes the longer way."""
    person = seen.person & (seen.depth > 0)
    if sensor.multipath_mm <= 0:
        return torch.zeros_like(seen.depth)
    # The person's surface around each pixel, from means over cells of four pixels.
    fields = torch.stack([torch.where(person, seen.depth, 0.0), person.to(seen.depth.dtype)])[:, None]
    depth, share = functional.avg_pool2d(fields, 4, ceil_mode=True)[:, 0]
    kernel = _gaussian(2.0, depth.device)
    around = _separable(depth, kernel) / _separable(share, kernel).clamp(min=1e-3)
    around = functional.interpolate(around[None, None], size=person.shape, mode="bilinear")[0, 0]
    hollow = seen.depth - around
    # A limb in front of the body makes no hollow of the body behind it.
    inside = person & (hollow > 0) & (hollow < _DEEPEST_HOLLOW_M)
    pushed = (0.3 * hollow * (1 - hollow / _DEEPEST_HOLLOW_M)).clamp(max=1e-3 * sensor.multipath_mm)
    return torch.where(inside, pushed, 0.0)


def _window_mean(disparity: Tensor, sensor: Sensor) -> Tensor:
    """Disparity (h, w) averaged over the matching window where the window lies on one surface."""
    if sensor.window_px <= 1:
        return disparity
    window = sensor.window_px | 1
    near, far = surroundings(disparity)
    even = ((far - near < 1.0) & (disparity > 0)).to(disparity.dtype)
    mean = _box(disparity * even, window) / _box(even, window).clamp(min=1e-3)
    smooth = (even > 0) & ((mean - disparity).abs() < 1.0)
    return torch.where(smooth, mean, disparity)


def _fattened(disparity: Tensor, sensor: Sensor, scale: float, chance: Chance) -> Tensor:
    """Disparity (h, w) whose edges wander: the nearer surface wins windows that it only partly fills."""
    wander = chance.smooth(max(2.0, sensor.window_px / 2)) * scale
    grown, shrunk = disparity, disparity
    steps = max(1, sensor.window_px // 3)
    out = disparity
    for step in range(1, steps + 1):
        grown, shrunk = _pooled_max(grown), -_pooled_max(-shrunk)
        # On average the front grows: a window is won by texture, which the nearer surface shows more of.
        out = torch.where(wander > step - 0.9, grown, out)
        out = torch.where(wander < -step - 0.4, shrunk, out)
    edge = (grown - shrunk) > 1.0
    return torch.where(edge, out, disparity)


def surroundings(depth: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest and farthest reading (h, w) within one pixel, empty pixels left out; 0 where there is none."""
    far = _pooled_max(depth)
    near = -_pooled_max(torch.where(depth > 0, -depth, -torch.inf))
    return torch.where(torch.isfinite(near), near, 0.0), far


def _pooled_max(field: Tensor) -> Tensor:
    padded = functional.pad(field, (1, 1, 1, 1), value=-torch.inf)
    rows = torch.maximum(torch.maximum(padded[:-2], padded[1:-1]), padded[2:])
    return torch.maximum(torch.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])


def blurred(field: Tensor, sigma_px: float) -> Tensor:
    """The field (h, w) under a Gaussian of `sigma_px`, the rim repeated."""
    if sigma_px <= 0.1:
        return field
    return _separable(field, _gaussian(sigma_px, field.device))


def opened(field: Tensor, radius_px: int) -> Tensor:
    """The field (h, w) without bright parts narrower than 2 radius + 1 pixels."""
    for _ in range(radius_px):
        field = -_pooled_max(-field)
    for _ in range(radius_px):
        field = _pooled_max(field)
    return field


def _box(field: Tensor, window: int) -> Tensor:
    """Mean (h, w) over a window of odd width, zeros beyond the rim."""
    rows = functional.avg_pool2d(field[None, None], (window, 1), stride=1, padding=(window // 2, 0))
    return functional.avg_pool2d(rows, (1, window), stride=1, padding=(0, window // 2))[0, 0]


def _spline_weights(size: int, period: float, start: float, device: torch.device) -> Tensor:
    """Shares (size, nodes) of a cubic B-spline's nodes in each pixel, scaled so that unit nodes keep unit variance."""
    at = torch.arange(size, device=device, dtype=torch.float32) / period + start + 1
    nodes = torch.arange(math.ceil(size / period + start) + 4, device=device, dtype=torch.float32)
    away = (at[:, None] - nodes).abs()
    inner = 2 / 3 - away.square() * (1 - away / 2)
    outer = (2 - away).clamp(min=0).pow(3) / 6
    shares = torch.where(away < 1, inner, outer)
    return shares / shares.square().sum(1, keepdim=True).sqrt()


def _gaussian(sigma: float, device: torch.device) -> Tensor:
    reach = max(1, round(2.2 * sigma))
    at = torch.arange(-reach, reach + 1, device=device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (at / sigma).square())
    return kernel / kernel.sum()


def _separable(field: Tensor, kernel: Tensor, pad: bool = True) -> Tensor:
    """The field convolved with the kernel along both axes; `pad` repeats the rim and keeps the size."""
    reach = len(kernel) // 2
    if pad:
        field = functional.pad(field[None, None], (reach, reach, reach, reach), mode="replicate")[0, 0]
    for axis in (0, 1):
        length = field.shape[axis] - len(kernel) + 1
        parts = (field.narrow(axis, at, length) * weight for at, weight in enumerate(kernel))
        field = functools.reduce(torch.add, parts)
    return field
