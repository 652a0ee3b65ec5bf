"""Places where people stand: the light that arrives there and, consistent with it, what a camera sees behind them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from likeness.synthesis import indoors, outdoors
from likeness.synthesis.filters import gaussian
from likeness.synthesis.palette import luminance
from likeness.synthesis.scenery import FAR_M, Scenery, plain_fields
from likeness.synthesis.surfaces import Rgb
from likeness.synthesis.tracer import Tracer
from likeness.synthesis.view import View

Floats = NDArray[np.float32]
Vector = tuple[float, float, float]
ROWS, COLUMNS = 32, 64
CHEST_M = 1.2
# How often each kind of place is drawn.
KINDS: dict[str, float] = {
    "studio": 0.16, "room": 0.22, "corridor": 0.08, "street": 0.17, "park": 0.13, "beach": 0.06, "gradient": 0.08,
    "stage": 0.04, "night": 0.06,
}  # fmt: skip


class Sun(NamedTuple):
    """A far light. direction (3,) towards it, unit; radiance (3,) of its disc, linear; radius_rad: half its angle.

    What it brings to a surface that faces it is `irradiance` = radiance * pi * sin(radius)^2; it is not in
    `environment`.
    """

    direction: Vector
    radiance: Rgb
    radius_rad: float

    @property
    def irradiance(self) -> Floats:
        """(3,) on a surface that faces the sun."""
        return np.asarray(self.radiance, np.float32) * np.float32(np.pi * np.sin(self.radius_rad) ** 2)


@dataclass(frozen=True)
class Look:
    """A place through a camera, tensors on one device. color (H, W, 3) f32 linear radiance; depth (H, W) f32 m along
    the axis, 0 where open; floor (H, W) bool: pixels that show the floor, which the person may shade."""

    color: Tensor
    depth: Tensor
    floor: Tensor


@dataclass(frozen=True)
class Place:
    """Light and surroundings of a person who stands near the origin of a floor at y = 0.

    environment (32, 64, 3) f32: linear radiance that arrives at the chest from each direction, without the sun's disc,
    floor, walls and lamps included (see `direction`). sun: or None. exposure: factor that brings the radiances to
    display range. gain (3,): the camera's white balance, already in environment, sun and backdrop. floor_albedo (3,)
    linear. open_air: no floor is drawn (a paper backdrop without depth). focus_blur: how far out of focus the far
    background is, in share of the picture's height.
    """

    kind: str
    seed: int
    scenery: Scenery
    environment: Floats
    sun: Sun | None
    exposure: float
    focus_blur: float
    words: str
    gain: Rgb
    paper: tuple[Rgb, Rgb, float] | None = None

    @property
    def floor_albedo(self) -> Rgb:
        """Mean linear colour of the floor."""
        return self.scenery.floor[1]

    floor_normal: Vector = (0.0, 1.0, 0.0)

    def look(self, view: View, *, device: str | torch.device = "cpu", colored: bool = True) -> Look:
        """The place through a camera; its colour is black unless `colored`."""
        height, width = view.camera.height, view.camera.width
        if self.paper is not None:
            none = torch.zeros((height, width), device=device)
            color = self._paper(height, width, device) if colored else torch.zeros((height, width, 3), device=device)
            return Look(color, none, none.bool())
        tracer = Tracer(
            self.scenery,
            view.eye,
            world_rays(view, device),
            1 / view.camera.fx,
            lambda points: _project(view, points),
        )
        sight = tracer.cast(hidden=False, shaded=colored)
        depth = torch.where(sight.distance < FAR_M, sight.distance, torch.zeros_like(sight.distance))
        if not colored:
            return Look(sight.color.permute(1, 2, 0), depth, sight.floor)
        distance = float(np.linalg.norm(view.eye - np.array([0, 1.0, 0])))
        sight.color = sight.color * sight.color.new_tensor(self.gain)[:, None, None]
        return Look(_defocus(sight.color, sight.distance, distance, self.focus_blur * height), depth, sight.floor)

    def backdrop(self, view: View) -> Floats:
        """What the camera sees without the person: linear radiance (H, W, 3) f32."""
        return self.look(view).color.numpy()

    def backdrop_depth(self, view: View) -> Floats:
        """Depth along the axis (H, W) f32 m of floor, walls and things; 0 where open."""
        return self.look(view, colored=False).depth.numpy()

    def floor_mask(self, view: View) -> NDArray[np.bool_]:
        """Pixels (H, W) that show the floor."""
        return self.look(view, colored=False).floor.numpy()

    def sample_environment(self, directions: Floats) -> Floats:
        """Bilinear radiance (N, 3) from world directions (N, 3) of any length."""
        return sample_environment(self.environment, directions)

    def to_dict(self) -> dict[str, Any]:
        """Kind and seed, from which `place_of` makes the same place again."""
        return {"kind": self.kind, "seed": self.seed}

    def describe(self) -> dict[str, Any]:
        """Everything that stands and shines here as plain lists and numbers."""
        return {"kind": self.kind, "seed": self.seed, "words": self.words, "scenery": plain_fields(self.scenery)}

    def _paper(self, height: int, width: int, device: str | torch.device) -> Tensor:
        """A backdrop paper with a pool of light, without depth."""
        assert self.paper is not None
        middle, rim, x0 = self.paper
        y, x = torch.meshgrid(
            torch.linspace(-1, 1, height, device=device), torch.linspace(-1, 1, width, device=device), indexing="ij"
        )
        radius = (((x - x0) * width / max(height, width)).square() + (y + 0.2).square()).sqrt()
        share = (radius / 1.3).clamp(0, 1).pow(1.4)[..., None]
        return x.new_tensor(middle) * (1 - share) + x.new_tensor(rim) * share


def draw_place(rng: np.random.Generator, kind: str | None = None) -> Place:
    """A place of a kind in KINDS, or of any kind."""
    chosen = kind or str(rng.choice(list(KINDS), p=np.array(list(KINDS.values())) / sum(KINDS.values())))
    return place_of(chosen, int(rng.integers(1 << 31)))


def place_of(kind: str, seed: int) -> Place:
    """The place that `to_dict` named."""
    rng = np.random.default_rng((seed, 77))
    draw = indoors.DRAW.get(kind) or outdoors.DRAW[kind]
    drawn = draw(rng)
    environment = _environment(drawn.scenery)
    sun = None
    if drawn.scenery.sun is not None:
        direction, power = drawn.scenery.sun
        solid = np.pi * np.sin(drawn.sun_radius) ** 2
        sun = Sun(direction, tuple(float(p / solid) for p in power), drawn.sun_radius)  # type: ignore[arg-type]
    white = _mean_irradiance(environment, sun) / np.pi
    # Cameras take most of a light's tint away, and leave some.
    gain = (float(luminance(white)) / np.maximum(white, 1e-5)) ** float(rng.uniform(0.4, 1.0))
    gain = np.clip(gain / float(luminance(white * gain) / luminance(white)), 0.4, 3.0).astype(np.float32)
    white, environment = white * gain, environment * gain
    if sun is not None:
        sun = sun._replace(radiance=_rgb(np.asarray(sun.radiance) * gain))
    exposure = float(np.exp(rng.uniform(np.log(0.6), np.log(1.4)))) / max(float(luminance(white)), 1e-4)
    blur = float(rng.choice([0.0, rng.uniform(0.002, 0.008), rng.uniform(0.008, 0.03)], p=[0.35, 0.4, 0.25]))
    paper = None
    if kind == "gradient":
        tone = np.asarray(drawn.scenery.floor[1]) * white
        fall = float(rng.uniform(0.3, 0.9))
        paper = (_rgb(tone), _rgb(tone * fall), float(rng.uniform(-0.4, 0.4)))
    return Place(kind, seed, drawn.scenery, environment, sun, exposure, blur, drawn.words, _rgb(gain), paper)


def direction(row: NDArray, column: NDArray) -> Floats:
    """World directions (..., 3) of places in an environment: row 0 is straight up, row 31 straight down (centres lie
    half a row inside); column 0 looks along -Z and columns grow towards +X, so column 16 looks along +X."""
    polar = (np.asarray(row) + 0.5) * np.pi / ROWS
    turn = (np.asarray(column) + 0.5) * 2 * np.pi / COLUMNS
    ring = np.sin(polar)
    return np.stack([ring * np.sin(turn), np.cos(polar) + 0 * turn, -ring * np.cos(turn)], -1).astype(np.float32)


def sample_environment(environment: Floats, directions: Floats) -> Floats:
    """Bilinear radiance (N, 3) of an environment (32, 64, 3) from directions (N, 3) of any length."""
    rows, columns = environment.shape[:2]
    length = np.maximum(np.linalg.norm(directions, axis=1), 1e-12)
    row = np.arccos(np.clip(directions[:, 1] / length, -1, 1)) * rows / np.pi - 0.5
    turn = np.mod(np.arctan2(directions[:, 0], -directions[:, 2]), 2 * np.pi)
    column = turn * columns / (2 * np.pi) - 0.5
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    fy, fx = (row - top)[:, None], (column - left)[:, None]
    upper, lower = np.clip(top, 0, rows - 1), np.clip(top + 1, 0, rows - 1)
    west, east = left % columns, (left + 1) % columns
    above = environment[upper, west] * (1 - fx) + environment[upper, east] * fx
    below = environment[lower, west] * (1 - fx) + environment[lower, east] * fx
    return (above * (1 - fy) + below * fy).astype(np.float32)


def world_rays(view: View, device: str | torch.device = "cpu") -> Tensor:
    """Directions (3, H, W) through the pixels in world axes, length 1 along the camera's axis."""
    camera = view.camera
    u = (torch.arange(camera.width, device=device, dtype=torch.float32) - camera.cx) / camera.fx
    v = (torch.arange(camera.height, device=device, dtype=torch.float32) - camera.cy) / camera.fy
    rotation = torch.tensor(view.camera_from_world[:3, :3], dtype=torch.float32, device=device)[:, :, None, None]
    return u * rotation[0] + v[:, None] * rotation[1] + rotation[2]


def _project(view: View, points: NDArray) -> tuple[NDArray, NDArray]:
    local = view.to_camera(points).astype(float)
    return view.camera.project(local), local[:, 2]


def _environment(scenery: Scenery) -> Floats:
    """Radiance at the chest on twice the rows and columns, averaged down."""
    fine = 4
    row = (np.arange(ROWS * fine) + 0.5) / fine - 0.5
    column = (np.arange(COLUMNS * fine) + 0.5) / fine - 0.5
    rays = torch.from_numpy(direction(row[:, None], column[None, :])).permute(2, 0, 1)
    tracer = Tracer(scenery, np.array([0, CHEST_M, 0]), rays, np.pi / ROWS / fine)
    light = tracer.cast(hidden=True).color.clamp(min=0)
    return avg_pool2d(light[None], fine)[0].permute(1, 2, 0).contiguous().numpy()


def _mean_irradiance(environment: Floats, sun: Sun | None) -> Floats:
    """(3,) on upright surfaces, averaged over the compass."""
    polar = (np.arange(ROWS) + 0.5) * np.pi / ROWS
    # The mean over azimuth of max(cos, 0) between an upright normal and a ray is sin(polar) / pi.
    weight = np.sin(polar) ** 2 / np.pi * (np.pi / ROWS) * (2 * np.pi / COLUMNS)
    total = (environment * weight[:, None, None]).sum((0, 1))
    if sun is not None:
        total = total + sun.irradiance * np.hypot(sun.direction[0], sun.direction[2]) / np.pi
    return total.astype(np.float32)


def _defocus(color: Tensor, distance: Tensor, focus_m: float, blur_px: float) -> Tensor:
    """A picture (3, H, W) as (H, W, 3), blurred where it lies behind the person; at least enough to soften the stairs
    of edges."""
    image = color[None]
    soft = gaussian(image, 0.65)
    if blur_px < 0.8:
        return soft[0].permute(1, 2, 0)
    height, width = image.shape[2:]
    step = 2 if blur_px < 4 else 4
    small = avg_pool2d(image, step, ceil_mode=True, count_include_pad=False)
    wide = interpolate(gaussian(small, blur_px / step), size=(height, width), mode="bilinear", align_corners=False)
    # The circle of confusion grows with the difference of the inverse distances.
    apart = (1 - focus_m / distance.clamp(min=focus_m)).clamp(0, 1)
    share = gaussian((apart * 1.6).clamp(0, 1)[None, None], 1.5)
    return (soft * (1 - share) + wide * share)[0].permute(1, 2, 0)


def _rgb(values: NDArray) -> Rgb:
    return float(values[0]), float(values[1]), float(values[2])


__all__ = ["KINDS", "Look", "Place", "Sun", "direction", "draw_place", "place_of", "replace", "sample_environment"]
