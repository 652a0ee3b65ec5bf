"""Rays through a place made of a floor, a room or an open sky, upright boxes and leafy balls, on any device."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likeness.synthesis.surfaces import LOOKS, Rgb, fractal, tint

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
        """Light (..., 3) from unit directions (..., 3)."""
        up = directions[..., 1]
        rise = up.clamp(0, 1).pow(0.55)[..., None]
        light = tint(self.horizon, up) * (1 - rise) + tint(self.zenith, up) * rise
        if self.clouds > 0:
            flat = 1 / (up.clamp(min=0) + 0.18)
            u, v = directions[..., 0] * flat, directions[..., 2] * flat
            field_ = 0.65 * fractal(u, v, 9.0, self.seed) + 0.35 * fractal(u, v, 2.3, self.seed + 1)
            cover = ((field_ - 0.62 + 0.3 * self.clouds) * 9).clamp(0, 1)[..., None] * min(1.0, 0.4 + self.clouds)
            shade = (0.7 + 0.6 * fractal(u + 0.1, v + 0.1, 5.0, self.seed + 2))[..., None]
            light = light * (1 - cover) + tint(self.cloud, up) * shade * cover
        if self.sun is not None:
            near = (directions @ tint(self.sun, up)).clamp(0, 1)
            light = (
                light + tint(self.horizon, up) * (self.glow * (0.35 * near.pow(12) + 1.2 * near.pow(160)))[..., None]
            )
        return self._with_skyline(light, directions)

    def _with_skyline(self, light: Tensor, directions: Tensor) -> Tensor:
        if self.skyline_height <= 0:
            return light
        turn = torch.atan2(directions[..., 0], -directions[..., 2]) / (2 * np.pi)
        height = self.skyline_height * (0.25 + 1.5 * fractal(turn * 6, turn * 0 + self.seed * 0.13, 6.0, self.seed + 3))
        below = ((height - directions[..., 1]) / 0.006 + 0.5).clamp(0, 1)[..., None]
        haze = 0.35 + 0.4 * fractal(turn * 40, directions[..., 1] * 6, 6.0, self.seed + 1)[..., None]
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


@dataclass
class Sight:
    """What rays met. color (H, W, 3) radiance; distance (H, W) in ray lengths, FAR_M where open; floor (H, W) bool."""

    color: Tensor
    distance: Tensor
    floor: Tensor


class Tracer:
    """Casts a grid of rays (H, W, 3) from one point into a scenery. pixel: angle between neighbouring rays, radians;
    frame: world (..., 3) -> pixel coordinates and depth of points, to bound what each prop covers; None: everywhere."""

    def __init__(
        self, scenery: Scenery, origin: NDArray, directions: Tensor, pixel: float, project: Any = None
    ) -> None:
        self.scenery, self.pixel, self.project = scenery, pixel, project
        self.origin = torch.tensor(np.asarray(origin), dtype=torch.float32, device=directions.device)
        self.directions = directions
        self.length = directions.norm(dim=-1)

    def cast(self, *, hidden: bool) -> Sight:
        """Everything along the rays; `hidden` lights only if asked for."""
        sight = self._open() if self.scenery.room is None else self._room()
        person = float(self.origin[[0, 2]].norm())
        for prop in self.scenery.props:
            if (prop.hidden and not hidden) or (self.project is not None and self._in_the_way(prop, person)):
                continue
            window = self._window(prop)
            if window is not None:
                self._draw(sight, prop, window)
        return sight

    def _in_the_way(self, prop: Prop, person: float) -> bool:
        """Whether a prop stands between camera and person, seen from above."""
        eye = self.origin.cpu().numpy()[[0, 2]].astype(float)
        if person < 1e-3:
            return False
        axis = -eye / person
        away = np.array([prop.centre[0], prop.centre[2]]) - eye
        reach = float(np.hypot(prop.half[0], prop.half[2]))
        forward, aside = float(away @ axis), abs(float(away[0] * axis[1] - away[1] * axis[0]))
        nearest = forward - reach
        beside = aside - reach > CLEAR_M * max(nearest, 0.3) / person
        return nearest < person + 0.5 and not (beside and nearest > 0.6)

    def _window(self, prop: Prop) -> tuple[slice, slice] | None:
        height, width = self.length.shape
        if self.project is None:
            return slice(0, height), slice(0, width)
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
        corners = (signs * np.array(prop.half)) @ _turn(prop.yaw).T + np.array(prop.centre)
        pixels, depth = self.project(corners)
        if (depth < 0.05).all():
            return None
        if (depth < 0.05).any():
            return slice(0, height), slice(0, width)
        low, high = np.floor(pixels.min(0)).astype(int), np.ceil(pixels.max(0)).astype(int) + 1
        left, top = max(low[0], 0), max(low[1], 0)
        right, bottom = min(high[0], width), min(high[1], height)
        return (slice(top, bottom), slice(left, right)) if right > left and bottom > top else None

    def _open(self) -> Sight:
        """Floor and sky."""
        d = self.directions
        down = d[..., 1] < -1e-4 * self.length
        distance = torch.where(down, -self.origin[1] / d[..., 1].clamp(max=-1e-6), torch.full_like(self.length, FAR_M))
        distance = torch.where(distance * self.length < 400, distance, torch.full_like(distance, FAR_M))
        floor = distance < FAR_M
        light = self.scenery.sky.radiance(d / self.length[..., None])
        points = self.origin + d * torch.where(floor, distance, torch.zeros_like(distance))[..., None]
        ground = self._floor(points, distance)
        # Air between here and the horizon takes the far ground into the sky's colour.
        haze = (1 - torch.exp(-distance * self.length / 160))[..., None].clamp(0, 1)
        ground = ground * (1 - haze) + tint(self.scenery.sky.horizon, haze) * 0.7 * haze
        return Sight(torch.where(floor[..., None], ground, light), distance, floor)

    def _room(self) -> Sight:
        """Inside of the room's box, seen from within or through its near walls."""
        scene = self.scenery
        assert scene.room is not None
        half_x, height, half_z, centre_x, centre_z = scene.room
        turn = torch.tensor(_turn(scene.yaw), dtype=torch.float32, device=self.length.device)
        middle = torch.tensor([centre_x, height / 2, centre_z], dtype=torch.float32, device=self.length.device)
        half = torch.tensor([half_x, height / 2, half_z], dtype=torch.float32, device=self.length.device)
        o, d = (self.origin - middle) @ turn, self.directions @ turn
        safe = torch.where(d.abs() < 1e-7, torch.full_like(d, 1e-7), d)
        ahead = (torch.sign(safe) * half - o) / safe
        distance, axis = ahead.min(-1)
        distance = distance.clamp(min=0)
        points = o + d * distance[..., None]
        world = self.origin + self.directions * distance[..., None]
        floor = (axis == 1) & (d[..., 1] < 0)
        soft = distance * self.length * self.pixel
        normal = -torch.nn.functional.one_hot(axis, 3).float() * torch.sign(safe)
        color = self._floor_albedo(world, soft)
        up = points[..., 1] + half[1]
        for k, (look, first, second) in enumerate(scene.walls):
            on = (axis == (0 if k < 2 else 2)) & ((d[..., 0 if k < 2 else 2] > 0) == (k % 2 == 0))
            if bool(on.any()):
                u = points[..., 2 if k < 2 else 0]
                color = torch.where(on[..., None], LOOKS[look](u, up, soft, first, second, k + scene.floor[3]), color)
        roof = ((axis == 1) & (d[..., 1] > 0))[..., None]
        color = torch.where(roof, tint(scene.ceiling, color).expand_as(color), color)
        if scene.round_m > 0:
            normal = _swept(normal, points, half, scene.round_m)
        else:
            gap = (half - points.abs()).sort(-1).values[..., 1]
            color = color * (1 - 0.38 * torch.exp(-gap / 0.22) - 0.12 * torch.exp(-gap / 0.9))[..., None]
            skirting = (axis != 1) & (up < 0.09)
            color = torch.where(skirting[..., None], tint((0.6, 0.59, 0.56), color).expand_as(color), color)
        return Sight(color / np.pi * self._irradiance(world, normal @ turn.T), distance, floor)

    def _floor(self, points: Tensor, distance: Tensor) -> Tensor:
        soft = distance.clamp(max=400) * self.length * self.pixel
        # A floor seen at a slant covers more of itself a pixel.
        soft = soft * (distance.clamp(max=400) * self.length / self.origin[1].abs().clamp(min=0.2)).clamp(1, 30).sqrt()
        normal = torch.zeros_like(points)
        normal[..., 1] = 1
        shade = self._shadows(points)
        return self._floor_albedo(points, soft) / np.pi * self._irradiance(points, normal, shade)

    def _floor_albedo(self, points: Tensor, soft: Tensor) -> Tensor:
        scene = self.scenery
        cosine, sine = float(np.cos(scene.yaw)), float(np.sin(scene.yaw))
        u = points[..., 0] * cosine - points[..., 2] * sine
        v = points[..., 0] * sine + points[..., 2] * cosine
        look, first, second, seed = scene.floor
        color = LOOKS[look](u, v, soft, first, second, seed)
        if scene.strip is not None:
            name, one, two, low, high = scene.strip
            wave = 0.0 if name != "plain" else 0.8 * (fractal(u, v, 23.0, seed) - 0.5)
            on = ((v + wave > low) & (v + wave < high))[..., None]
            color = torch.where(on, LOOKS[name](u, v, soft, one, two, seed + 1), color)
        return color

    def _shadows(self, points: Tensor) -> Tensor | None:
        """Share (H, W) of the sun that reaches the floor past the props, each taken for an ellipsoid."""
        if self.scenery.sun is None:
            return None
        sun = tint(self.scenery.sun[0], points)
        light = torch.ones_like(points[..., 0])
        for prop in self.scenery.props:
            if prop.hidden or prop.glow > 0 or max(prop.half) > 8:
                continue
            half = torch.tensor(prop.half, device=points.device)
            turn = torch.tensor(_turn(prop.yaw), dtype=torch.float32, device=points.device)
            start = ((points - tint(prop.centre, points)) @ turn) / half
            ray = (sun @ turn) / half
            along = -(start @ ray) / (ray @ ray)
            nearest = (start + ray * along[..., None]).norm(dim=-1)
            soft = 0.18 if prop.shape == "box" else 0.45
            block = ((1.05 - nearest) / soft).clamp(0, 1) * (along > 0)
            if prop.shape == "leaves":
                block = block * (0.35 + 1.1 * fractal(points[..., 0], points[..., 2], 1.7, prop.seed)).clamp(0, 1)
            light = light * (1 - block)
        return light

    def _irradiance(self, points: Tensor, normal: Tensor, shade: Tensor | None = None) -> Tensor:
        up, side, down = (tint(color, points) for color in self.scenery.ambient)
        y = normal[..., 1:2]
        total = side + (up - side) * y.clamp(min=0) + (down - side) * (-y).clamp(min=0)
        for lamp in self.scenery.lamps:
            away = tint(lamp.place, points) - points
            square = away.square().sum(-1, keepdim=True)
            ray = away / square.sqrt().clamp(min=1e-3)
            cosine = (ray * normal).sum(-1, keepdim=True).clamp(min=0)
            if lamp.facing is not None:
                cosine = cosine * (-(ray @ tint(lamp.facing, points))[..., None]).clamp(min=0)
            total = total + tint(lamp.power, points) * cosine / (square + 0.15)
        if self.scenery.sun is not None:
            direction, power = self.scenery.sun
            cosine = (normal @ tint(direction, points)).clamp(min=0)
            total = total + tint(power, points) * (cosine if shade is None else cosine * shade)[..., None]
        return total

    def _draw(self, sight: Sight, prop: Prop, window: tuple[slice, slice]) -> None:
        turn = torch.tensor(_turn(prop.yaw), dtype=torch.float32, device=self.length.device)
        half = torch.tensor(prop.half, dtype=torch.float32, device=self.length.device)
        direction = self.directions[window]
        o, d = (self.origin - tint(prop.centre, self.origin)) @ turn, direction @ turn
        find = _meet_box if prop.shape == "box" else _meet_ball
        distance, normal, hit = find(o, d, half)
        hit = hit & (distance < sight.distance[window])
        if not bool(hit.any()):
            return
        local = o + d * distance[..., None]
        world = self.origin + direction * distance[..., None]
        soft = distance * self.length[window] * self.pixel
        if prop.shape == "leaves":
            hit, shade = _leafy(hit, local / half, normal, prop)
            albedo = tint(prop.color, soft) * shade[..., None]
        else:
            u = torch.where(normal[..., 0].abs() > 0.5, local[..., 2], local[..., 0])
            v = torch.where(normal[..., 1].abs() > 0.5, local[..., 2] + half[2], local[..., 1] + half[1])
            albedo = _box_albedo(prop, u, v, soft, half, normal)
        color = albedo * prop.glow if prop.glow > 0 else albedo / np.pi * self._irradiance(world, normal @ turn.T)
        sight.color[window] = torch.where(hit[..., None], color, sight.color[window])
        sight.distance[window] = torch.where(hit, distance, sight.distance[window])
        sight.floor[window] = sight.floor[window] & ~hit


def _box_albedo(prop: Prop, u: Tensor, v: Tensor, soft: Tensor, half: Tensor, normal: Tensor) -> Tensor:
    if prop.look == "light":
        return tint(prop.color, u).expand(*u.shape, 3)
    if prop.look == "window":
        return _window_light(prop, u, v, soft, half, normal)
    albedo = LOOKS[prop.look](u, v, soft, prop.color, prop.second, prop.seed)
    if prop.look == "picture":
        width = torch.where(normal[..., 0].abs() > 0.5, half[2], half[0])
        inward = torch.minimum(width - u.abs(), torch.minimum(v, 2 * half[1] - v))
        albedo = torch.where((inward < 0.07)[..., None], tint((0.7, 0.7, 0.67), u).expand_as(albedo), albedo)
        albedo = torch.where((inward < 0.025)[..., None], tint((0.03, 0.025, 0.02), u).expand_as(albedo), albedo)
    return albedo


def _window_light(prop: Prop, u: Tensor, v: Tensor, soft: Tensor, half: Tensor, normal: Tensor) -> Tensor:
    """Sky over houses or trees out of focus, behind bars of the frame."""
    width = torch.where(normal[..., 0].abs() > 0.5, half[2], half[0])
    outside = fractal(u, v, 7.0, prop.seed)
    rise = v / (2 * half[1])
    land = ((0.25 + 0.9 * (outside - 0.3) - rise) * 7).sigmoid()[..., None]
    view = tint(prop.color, u) * (1 - 0.75 * land) + tint(prop.second, u) * 0.45 * land
    view = view * (0.85 + 0.3 * fractal(u, v, 2.6, prop.seed + 1))[..., None]
    inward = torch.minimum(width - u.abs(), torch.minimum(v, 2 * half[1] - v))
    bar = torch.minimum(inward, torch.minimum(u.abs(), (v - 1.3 * half[1]).abs() + 0.01))
    frame = ((0.035 - bar) / (soft + 0.004) + 0.5).clamp(0, 1)[..., None]
    return view * (1 - frame) + tint((0.09, 0.09, 0.085), u) * frame


def _leafy(hit: Tensor, local: Tensor, normal: Tensor, prop: Prop) -> tuple[Tensor, Tensor]:
    """Where an ellipsoid of leaves is solid, and how dark (...,) each place of it is."""
    turn = torch.atan2(local[..., 0], local[..., 2])
    detail = (
        fractal(turn * 1.2, local[..., 1], 2.4, prop.seed) * 0.6
        + fractal(turn * 1.2, local[..., 1], 0.7, prop.seed + 1) * 0.4
    )
    rim = 1 - normal.abs().amax(-1)
    shade = 0.25 + 1.3 * (detail - 0.25).clamp(min=0) * (0.7 + 0.5 * local[..., 1])
    return hit & (detail > 0.33 + 0.0 * rim), shade.clamp(0.08, 1.5)


def _meet_box(o: Tensor, d: Tensor, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    safe = torch.where(d.abs() < 1e-7, torch.full_like(d, 1e-7), d)
    sign = torch.sign(safe)
    near, far = (-sign * half - o) / safe, (sign * half - o) / safe
    distance, axis = near.max(-1)
    hit = (distance < far.min(-1).values) & (distance > 1e-3)
    return distance, -torch.nn.functional.one_hot(axis, 3).float() * sign, hit


def _meet_ball(o: Tensor, d: Tensor, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    start, ray = o / half, d / half
    a, b, c = ray.square().sum(-1), ray @ start, start @ start - 1
    root = b * b - a * c
    distance = (-b - root.clamp(min=0).sqrt()) / a
    normal = (start + ray * distance[..., None]) / half
    normal = normal / normal.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    return distance, normal, (root > 0) & (distance > 1e-3)


def _swept(normal: Tensor, points: Tensor, half: Tensor, radius: float) -> Tensor:
    """Normals near the corners turned as those of a rounded sweep."""
    inward = half - points.abs()
    lean = (1 - inward / radius).clamp(0, 1) * -torch.sign(points)
    turned = normal + lean * (1 - normal.abs())
    return turned / turned.norm(dim=-1, keepdim=True)


def _turn(yaw: float) -> NDArray[np.float64]:
    """Columns: the turned box's own axes in the world."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
