"""What a place consists of: a floor, a room or an open sky, upright boxes and leafy balls, lamps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likeness.synthesis.lookup import dot
from likeness.synthesis.surfaces import Rgb, fractal, tint

Vector = tuple[float, float, float]
FAR_M = 1e6
# Nothing of the place may stand nearer to the person, and nothing is drawn that would stand before the person.
CLEAR_M = 1.1


@dataclass(frozen=True)
class Prop:
    """A thing in a place. shape 'box' (turned by `yaw` radians about Y) or 'leaves' (an ellipsoid with holes).

    centre, half (3,) metres; look: a key of `surfaces.LOOKS`, or 'light' / 'window' which glow; colours linear; glow:
    radiance factor of `color` for what glows. hidden: gives light and is left out of the backdrop.
    """

    shape: str
    centre: Vector
    half: Vector
    yaw: float = 0.0
    look: str = "plain"
    color: Rgb = (0.5, 0.5, 0.5)
    second: Rgb = (0.5, 0.5, 0.5)
    seed: int = 0
    glow: float = 0.0
    hidden: bool = False


@dataclass(frozen=True)
class Lamp:
    """A small or flat light at `place` that lights what faces it. power: radiance times area (RGB), W/sr-like units;
    facing: its normal, or None if it shines all round."""

    place: Vector
    power: Rgb
    facing: Vector | None = None


@dataclass(frozen=True)
class Sky:
    """Light from above the horizon, linear radiance. clouds 0..1; skyline: colour and height (radians) of what stands
    at the horizon; sun: direction towards it, or None; glow: brightness of the haze around the sun."""

    zenith: Rgb = (0.3, 0.5, 0.9)
    horizon: Rgb = (0.8, 0.85, 0.9)
    clouds: float = 0.3
    cloud: Rgb = (0.95, 0.95, 0.95)
    skyline: Rgb = (0.1, 0.14, 0.1)
    skyline_height: float = 0.05
    sun: Vector | None = None
    glow: float = 1.0
    seed: int = 0

    def radiance(self, directions: Tensor) -> Tensor:
        """Light (3, N) from unit directions (3, N)."""
        up = directions[1]
        rise = up.clamp(0, 1).pow(0.55)
        light = tint(self.horizon, up) * (1 - rise) + tint(self.zenith, up) * rise
        if self.clouds > 0:
            flat = 1 / (up.clamp(min=0) + 0.18)
            u, v = directions[0] * flat, directions[2] * flat
            field_ = 0.65 * fractal(u, v, 9.0, self.seed) + 0.35 * fractal(u, v, 2.3, self.seed + 1)
            cover = ((field_ - 0.62 + 0.3 * self.clouds) * 9).clamp(0, 1) * min(1.0, 0.4 + self.clouds)
            shade = 0.7 + 0.6 * fractal(u + 0.1, v + 0.1, 5.0, self.seed + 2)
            light = light * (1 - cover) + tint(self.cloud, up) * shade * cover
        if self.sun is not None:
            near = dot(directions, tint(self.sun, up)).clamp(0, 1)
            light = light + tint(self.horizon, up) * (self.glow * (0.35 * near.pow(12) + 1.2 * near.pow(160)))
        return self._with_skyline(light, directions)

    def _with_skyline(self, light: Tensor, directions: Tensor) -> Tensor:
        if self.skyline_height <= 0:
            return light
        turn = torch.atan2(directions[0], -directions[2]) / (2 * np.pi)
        height = self.skyline_height * (0.25 + 1.5 * fractal(turn * 6, turn * 0 + self.seed * 0.13, 6.0, self.seed + 3))
        below = ((height - directions[1]) / 0.006 + 0.5).clamp(0, 1)
        haze = 0.35 + 0.4 * fractal(turn * 40, directions[1] * 6, 6.0, self.seed + 1)
        return light * (1 - below) + (tint(self.skyline, turn) * 2 * haze + 0.12 * tint(self.horizon, turn)) * below


@dataclass(frozen=True)
class Scenery:
    """All that rays can meet.

    floor: look, colours, seed. yaw: of floor and room, radians. strip: a second floor look in a band of the floor's own
    z axis: look, colours, from, to. room: half_x, height, half_z, centre_x, centre_z of the walls around, or None under
    the sky; walls: look and colours of the four (+x, -x, +z, -z); round_m: radius of the sweep between floor and walls.
    ambient: irradiance on what faces up, sideways and down. sun: direction towards it and irradiance, or None.
    """

    floor: tuple[str, Rgb, Rgb, int]
    yaw: float = 0.0
    strip: tuple[str, Rgb, Rgb, float, float] | None = None
    room: tuple[float, float, float, float, float] | None = None
    walls: tuple[tuple[str, Rgb, Rgb], ...] = ()
    ceiling: Rgb = (0.7, 0.7, 0.68)
    round_m: float = 0.0
    props: tuple[Prop, ...] = ()
    lamps: tuple[Lamp, ...] = ()
    sky: Sky = field(default_factory=Sky)
    ambient: tuple[Rgb, Rgb, Rgb] = ((1.0, 1.0, 1.0),) * 3
    sun: tuple[Vector, Rgb] | None = None


def plain_fields(value: Any) -> Any:
    """Dataclasses and tuples as dicts and lists, for JSON."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain_fields(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, tuple | list):
        return [plain_fields(item) for item in value]
    return value
