"""Rays through a place, shaded where they end, on any device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likeness.synthesis.lookup import dot, lengths, places, put, rows
from likeness.synthesis.scenery import CLEAR_M, FAR_M, Prop, Scenery
from likeness.synthesis.surfaces import LOOKS, fractal, tint

Window = tuple[int, int, int, int]
Projection = Callable[[NDArray], tuple[NDArray, NDArray]]
WITHOUT_SKIRTING = ("curtain", "plain", "brick", "concrete", "tiles")


@dataclass
class Sight:
    """What rays met. color (3, H, W) radiance, black where nobody asked for it; distance (H, W) in ray lengths, FAR_M
    where open; floor (H, W) bool."""

    color: Tensor
    distance: Tensor
    floor: Tensor


@dataclass
class _Spots:
    """Places to shade, a list of N. index (N,): of the ray in the flat picture; world (3, N); distance (N,) in ray
    lengths; soft (N,): metres that a pixel covers; normal (3, N) in the world."""

    index: Tensor
    world: Tensor
    distance: Tensor
    soft: Tensor
    normal: Tensor


class Tracer:
    """Casts a grid of rays into a scenery.

    origin (3,): where they start. directions (3, H, W), of any length. pixel: angle between neighbouring rays, radians.
    project: world (..., 3) -> pixels (..., 2) and depth of points, which bounds what each prop covers and says that a
    person stands at the origin whom nothing may hide; None: any ray may meet anything.
    """

    def __init__(
        self, scenery: Scenery, origin: NDArray, directions: Tensor, pixel: float, project: Projection | None = None
    ) -> None:
        self.scenery, self.pixel, self.project = scenery, pixel, project
        self.start = np.asarray(origin, float)
        self.origin = torch.tensor(self.start, dtype=torch.float32, device=directions.device)
        self.shape = directions.shape[1:]
        self.grid = directions
        self.directions = directions.reshape(3, -1)
        self.length = lengths(self.directions)
        self.turn = _axes_tensor(scenery.yaw, directions.device)

    def cast(self, *, hidden: bool, shaded: bool = True) -> Sight:
        """Everything along the rays; `hidden` lights only if asked for; unless `shaded`, distances alone."""
        count = len(self.length)
        color = torch.zeros((3, count), device=self.length.device)
        distance = torch.full((count,), FAR_M, device=self.length.device)
        props = [prop for prop in self.scenery.props if hidden or not prop.hidden]
        if self.project is not None:
            props = [prop for prop in props if not (self._in_the_way(prop) or self._on_moved_wall(prop))]
        # The nearest first, so that what it hides is not shaded.
        props.sort(
            key=lambda prop: float(np.linalg.norm(np.array(prop.centre) - self.start) - np.linalg.norm(prop.half))
        )
        for prop in props:
            window = self._window(prop)
            if window is not None:
                self._draw(color if shaded else None, distance, prop, window)
        meet_rest = self._open if self.scenery.room is None else self._room
        floor = meet_rest(color if shaded else None, distance, props)
        return Sight(color.reshape(3, *self.shape), distance.reshape(self.shape), floor.reshape(self.shape))

    def _in_the_way(self, prop: Prop) -> bool:
        """Whether a prop stands between camera and person, seen from above."""
        eye = self.start[[0, 2]]
        person = float(np.linalg.norm(eye))
        if person < 1e-3:
            return False
        axis = -eye / person
        away = np.array([prop.centre[0], prop.centre[2]]) - eye
        reach = float(np.hypot(prop.half[0], prop.half[2]))
        forward, aside = float(away @ axis), abs(float(away[0] * axis[1] - away[1] * axis[0]))
        nearest = forward - reach
        beside = aside - reach > CLEAR_M * max(nearest, 0.3) / person
        return nearest < person + 0.5 and not (beside and nearest > 0.6)

    def _window(self, prop: Prop, margin: float = 0.0, flat: bool = False) -> Window | None:
        """Rows and columns (top, bottom, left, right) that a prop, or its footprint on the floor, may cover."""
        height, width = self.shape
        if self.project is None:
            return 0, height, 0, width
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
        corners = (signs * (np.array(prop.half) + margin)) @ turned_axes(prop.yaw).T + np.array(prop.centre)
        if flat:
            corners[:, 1] = 0
        pixels, depth = self.project(corners)
        if (depth < 0.05).all():
            return None
        if (depth < 0.05).any():
            return 0, height, 0, width
        low, high = np.floor(pixels.min(0)).astype(int), np.ceil(pixels.max(0)).astype(int) + 1
        left, top = max(low[0], 0), max(low[1], 0)
        right, bottom = min(high[0], width), min(high[1], height)
        return (top, bottom, left, right) if right > left and bottom > top else None

    def _indices(self, window: Window) -> Tensor:
        top, bottom, left, right = window
        first = torch.arange(top, bottom, device=self.length.device)[:, None] * self.shape[1]
        return (first + torch.arange(left, right, device=self.length.device)).reshape(-1)

    def _spots(self, index: Tensor, distance: Tensor, normal: Tensor) -> _Spots:
        world = self.origin[:, None] + self.directions.index_select(1, index) * distance
        return _Spots(index, world, distance, distance * rows(self.length, index) * self.pixel, normal)

    def _draw(self, color: Tensor | None, distance: Tensor, prop: Prop, window: Window) -> None:
        turn = _axes_tensor(prop.yaw, self.length.device)
        half = tint(prop.half, self.length)
        top, bottom, left, right = window
        o = ((self.origin - tint(prop.centre, self.origin)[:, 0]) @ turn)[:, None]
        d = turn.T @ self.grid[:, top:bottom, left:right].reshape(3, -1)
        found, normal, hit = (_meet_box if prop.shape == "box" else _meet_ball)(o, d, half)
        index = self._indices(window)
        chosen = places(hit & (found < rows(distance, index)))
        if not len(chosen):
            return
        found, normal, index, d = (part.index_select(-1, chosen) for part in (found, normal, index, d))
        local, shade = o + d * found, torch.ones_like(found)
        if prop.shape == "leaves":
            soft = found * rows(self.length, index) * self.pixel
            kept, shade, normal = _leafy(local, o, d, normal, prop, soft)
            solid = places(kept)
            index, found, normal, local, shade = (
                part.index_select(-1, solid) for part in (index, found, normal, local, shade)
            )
        distance.scatter_(0, index, found)
        if color is None:
            return
        spots = self._spots(index, found, turn @ normal)
        if prop.shape == "leaves":
            albedo = tint(prop.color, found) * shade
        else:
            u = torch.where(normal[0].abs() > 0.5, local[2], local[0])
            v = torch.where(normal[1].abs() > 0.5, local[2] + half[2], local[1] + half[1])
            albedo = _box_albedo(prop, u, v, spots.soft, half, normal)
        light = albedo * prop.glow if prop.glow > 0 else albedo / np.pi * self._irradiance(spots.world, spots.normal)
        if prop.glow == 0 and prop.shape == "box" and prop.centre[1] - prop.half[1] < 0.1:
            # Close to the floor little light arrives from below.
            light = light * (1 - 0.35 * torch.exp(-spots.world[1].clamp(min=0) / 0.15))
        put(color, index, light)

    def _open(self, color: Tensor | None, distance: Tensor, props: list[Prop]) -> Tensor:
        """Floor and sky where no prop was met; whether each ray met the floor."""
        down = self.directions[1]
        ground = torch.where(down < -1e-4 * self.length, -self.origin[1] / down.clamp(max=-1e-6), FAR_M)
        floor = (ground < distance) & (ground * self.length < 400)
        if color is None:
            distance.copy_(torch.where(floor, ground, distance))
            return floor
        sky = places(~floor & (distance >= FAR_M))
        put(color, sky, self.scenery.sky.radiance(self.directions.index_select(1, sky) / rows(self.length, sky)))
        index = places(floor)
        light, spots = self._floor(index, rows(ground, index), props)
        # Air between here and the horizon takes the far ground into the sky's colour.
        haze = 1 - torch.exp(-spots.distance * rows(self.length, index) / 160)
        put(color, index, light * (1 - haze) + tint(self.scenery.sky.horizon, haze) * 0.7 * haze)
        distance.scatter_(0, index, spots.distance)
        return floor

    def _room_bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Middle (3,) in the world and half widths (3,) of the room. Walls between the rays' start and the person
        make way behind it, as a photographer's do who takes a picture from the next room."""
        assert self.scenery.room is not None
        half_x, height, half_z, centre_x, centre_z = self.scenery.room
        axes = turned_axes(self.scenery.yaw)
        middle, half = np.array([centre_x, height / 2, centre_z]), np.array([half_x, height / 2, half_z])
        start = (self.start - middle) @ axes
        low, high = np.minimum(-half, start - 0.3), np.maximum(half, start + 0.3)
        low[1] = -half[1]
        return middle + axes @ ((low + high) / 2), (high - low) / 2

    def _on_moved_wall(self, prop: Prop) -> bool:
        """Whether a prop belongs to a wall that made way."""
        if self.scenery.room is None:
            return False
        half_x, _, half_z, centre_x, centre_z = self.scenery.room
        axes = turned_axes(self.scenery.yaw)
        start = (self.start - np.array([centre_x, 0, centre_z])) @ axes
        local = (np.array(prop.centre) - np.array([centre_x, 0, centre_z])) @ axes
        sides = ((0, half_x), (2, half_z))
        return any(abs(start[k]) > half - 0.3 and local[k] * np.sign(start[k]) > half - 0.5 for k, half in sides)

    def _room(self, color: Tensor | None, distance: Tensor, props: list[Prop]) -> Tensor:
        """Inside of the room's box, seen from within or through its near walls; whether each ray met the floor."""
        scene = self.scenery
        assert scene.room is not None
        centre, width = self._room_bounds()
        middle, half = tint(tuple(centre), distance), tint(tuple(width), distance)
        free = places(distance >= FAR_M)
        o = ((self.origin - middle[:, 0]) @ self.turn)[:, None]
        d = self.turn.T @ self.directions.index_select(1, free)
        safe = torch.where(d.abs() < 1e-7, 1e-7, d)
        x, y, z = (torch.sign(safe) * half - o) / safe
        found = torch.minimum(torch.minimum(x, y), z)
        axis = torch.where(x == found, 0, torch.where(y == found, 1, 2))
        side = axis * 2 + (safe.gather(0, axis[None])[0] < 0)
        found = found.clamp(min=0)
        distance.scatter_(0, free, found)
        floor = torch.zeros(len(distance), dtype=torch.bool, device=distance.device)
        floor.scatter_(0, free, side == 3)
        if color is None:
            return floor
        for face in range(6):
            mine = places(side == face)
            if not len(mine):
                continue
            local = o + d.index_select(1, mine) * rows(found, mine)
            normal = torch.zeros_like(local)
            normal[face // 2] = 1.0 if face % 2 else -1.0
            if scene.round_m > 0:
                normal = _swept(normal, local, half, scene.round_m)
            spots = self._spots(rows(free, mine), rows(found, mine), self.turn @ normal)
            albedo = self._floor_albedo(spots) if face == 3 else self._wall_albedo(face, local, half, spots)
            light = albedo / np.pi * self._irradiance(spots.world, spots.normal)
            if scene.round_m == 0:
                inward = half - local.abs()
                gap = torch.minimum(inward[(face // 2 + 1) % 3], inward[(face // 2 + 2) % 3])
                light = light * (1 - 0.38 * torch.exp(-gap / 0.22) - 0.12 * torch.exp(-gap / 0.9))
            put(color, spots.index, light)
        self._darken(color, floor, distance, props)
        return floor

    def _wall_albedo(self, face: int, local: Tensor, half: Tensor, spots: _Spots) -> Tensor:
        scene = self.scenery
        if face == 2:
            return tint(scene.ceiling, local).expand_as(local)
        wall = face if face < 2 else face - 2
        look, first, second = scene.walls[wall]
        up = local[1] + half[1]
        albedo = LOOKS[look](local[2 if face < 2 else 0], up, spots.soft, first, second, wall + scene.floor[3])
        if look in WITHOUT_SKIRTING:
            return albedo
        cover = ((0.09 - up) / (spots.soft + 0.002) + 0.5).clamp(0, 1)
        return albedo * (1 - cover) + tint((0.6, 0.59, 0.56), albedo) * cover

    def _floor(self, index: Tensor, distance: Tensor, props: list[Prop]) -> tuple[Tensor, _Spots]:
        normal = torch.zeros((3, len(index)), device=distance.device)
        normal[1] = 1
        spots = self._spots(index, distance, normal)
        # A floor seen at a slant covers more of itself a pixel.
        spots.soft = (
            spots.soft * (distance * rows(self.length, index) / max(abs(float(self.start[1])), 0.2)).clamp(1, 30).sqrt()
        )
        shade = self._shadows(spots.world)
        light = self._floor_albedo(spots) / np.pi * self._irradiance(spots.world, normal, shade)
        return light, spots

    def _floor_albedo(self, spots: _Spots) -> Tensor:
        scene = self.scenery
        u, _, v = self.turn.T @ spots.world
        look, first, second, seed = scene.floor
        color = LOOKS[look](u, v, spots.soft, first, second, seed)
        if scene.strip is None:
            return color
        name, one, two, low, high = scene.strip
        wave = 0.0 if name != "water" else 0.8 * (fractal(u, v, 23.0, seed) - 0.5)
        on = places((v + wave > low) & (v + wave < high))
        put(color, on, LOOKS[name](rows(u, on), rows(v, on), rows(spots.soft, on), one, two, seed + 1))
        return color

    def _darken(self, color: Tensor, floor: Tensor, distance: Tensor, props: list[Prop]) -> None:
        """Less light on the floor close to what stands on it."""
        for prop in props:
            if prop.centre[1] - prop.half[1] > 0.2 or prop.glow > 0 or prop.shape != "box":
                continue
            window = self._window(prop, 0.4, flat=True)
            if window is None:
                continue
            index = self._indices(window)
            index = rows(index, places(rows(floor, index)))
            if not len(index):
                continue
            turn = _axes_tensor(prop.yaw, color.device)
            ray = self.directions.index_select(1, index) * rows(distance, index)
            local = (turn.T @ (self.origin[:, None] + ray - tint(prop.centre, color))).abs() - tint(prop.half, color)
            away = torch.hypot(local[0].clamp(min=0), local[2].clamp(min=0))
            darker = 1 - 0.5 * torch.exp(-away / 0.07) - 0.25 * torch.exp(-away / 0.25)
            put(color, index, color.index_select(1, index) * darker)

    def _shadows(self, points: Tensor) -> Tensor | None:
        """Share (N,) of the sun that reaches the floor past the props, each taken for an ellipsoid."""
        if self.scenery.sun is None:
            return None
        sun = tint(self.scenery.sun[0], points)
        light = torch.ones_like(points[0])
        for prop in self.scenery.props:
            if prop.hidden or prop.glow > 0 or max(prop.half) < 0.08:
                continue
            near = self._near_shadow(prop, points)
            if not len(near):
                continue
            turn = _axes_tensor(prop.yaw, points.device)
            spots = points.index_select(1, near)
            start, ray = turn.T @ (spots - tint(prop.centre, points)), turn.T @ sun
            if prop.shape == "box":
                lit = 1 - _box_shadow(start, ray, tint(prop.half, points))
            else:
                start, ray = start / tint(prop.half, points), ray / tint(prop.half, points)
                along = -dot(start, ray) / dot(ray, ray)
                block = ((1.05 - lengths(start + ray * along)) / 0.4).clamp(0, 1) * (along > 0)
                holes = fractal(spots[0], spots[2], 1.7, prop.seed)
                lit = 1 - block * (0.3 + 1.2 * holes).clamp(0, 1)
            light.scatter_(0, near, rows(light, near) * lit)
        return light

    def _near_shadow(self, prop: Prop, points: Tensor) -> Tensor:
        """Indices of the floor's points (3, N) within the rectangle that holds a prop's shadow."""
        assert self.scenery.sun is not None
        sun = np.asarray(self.scenery.sun[0])
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
        corners = (signs * np.array(prop.half)) @ turned_axes(prop.yaw).T + np.array(prop.centre)
        fallen = corners - sun * (np.maximum(corners[:, 1:2], 0) / max(sun[1], 0.05))
        both = np.concatenate([corners, fallen])
        (x0, _, z0), (x1, _, z1) = both.min(0) - 0.3, both.max(0) + 0.3
        x, z = points[0], points[2]
        return places((x > x0) & (x < x1) & (z > z0) & (z < z1))

    def _irradiance(self, points: Tensor, normal: Tensor, shade: Tensor | None = None) -> Tensor:
        up, side, down = (tint(color, points) for color in self.scenery.ambient)
        y = normal[1]
        total = side + (up - side) * y.clamp(min=0) + (down - side) * (-y).clamp(min=0)
        for lamp in self.scenery.lamps:
            away = tint(lamp.place, points) - points
            square = dot(away, away)
            ray = away / square.sqrt().clamp(min=1e-3)
            cosine = dot(ray, normal).clamp(min=0)
            if lamp.facing is not None:
                cosine = cosine * (-dot(ray, tint(lamp.facing, points))).clamp(min=0)
            total = total + tint(lamp.power, points) * cosine / (square + 0.15)
        if self.scenery.sun is not None:
            direction, power = self.scenery.sun
            cosine = dot(normal, tint(direction, points)).clamp(min=0)
            total = total + tint(power, points) * (cosine if shade is None else cosine * shade)
        return total


def turned_axes(yaw: float) -> NDArray[np.float64]:
    """Columns: the axes of a thing turned by `yaw` about Y, in the world."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])


@lru_cache(maxsize=4096)
def _axes_tensor(yaw: float, device: torch.device) -> Tensor:
    return torch.tensor(turned_axes(yaw), dtype=torch.float32, device=device)


def _box_albedo(prop: Prop, u: Tensor, v: Tensor, soft: Tensor, half: Tensor, normal: Tensor) -> Tensor:
    if prop.look == "light":
        return tint(prop.color, u).expand(3, len(u))
    width = torch.where(normal[0].abs() > 0.5, half[2], half[0])
    inward = torch.minimum(width - u.abs(), torch.minimum(v, 2 * half[1] - v))
    if prop.look == "window":
        return _window_light(prop, u, v, soft, half, inward)
    albedo = LOOKS[prop.look](u, v, soft, prop.color, prop.second, prop.seed)
    if prop.look == "picture":
        for width_m, tone in ((0.07, (0.7, 0.7, 0.67)), (0.025, (0.03, 0.025, 0.02))):
            cover = ((width_m - inward) / (soft + 0.002) + 0.5).clamp(0, 1)
            albedo = albedo * (1 - cover) + tint(tone, u) * cover
    elif prop.look == "door":
        handle = ((u - width * 0.8).abs() < 0.06) & ((v - half[1]).abs() < 0.015)
        albedo = torch.where(handle, tint((0.25, 0.25, 0.25), u), albedo)
    # Edges of things are worn and catch light differently from their faces.
    return albedo * (1 - 0.25 * torch.exp(-inward.clamp(min=0) / 0.012))


def _window_light(prop: Prop, u: Tensor, v: Tensor, soft: Tensor, half: Tensor, inward: Tensor) -> Tensor:
    """Sky over houses or trees out of focus, behind bars of the frame."""
    outside = fractal(u, v, 7.0, prop.seed)
    rise = v / (2 * half[1])
    land = ((0.35 + 0.9 * (outside - 0.3) - rise) * 7).sigmoid()
    view = tint(prop.color, u) * (1 - 0.75 * land) + tint(prop.second, u) * 0.45 * land
    view = view * (0.85 + 0.3 * fractal(u, v, 2.6, prop.seed + 1))
    bar = torch.minimum(inward, torch.minimum(u.abs(), (v - 1.3 * half[1]).abs() + 0.01))
    frame = ((0.04 - bar) / (soft + 0.004) + 0.5).clamp(0, 1)
    return view * (1 - frame) + tint((0.09, 0.09, 0.085), u) * frame


def _leafy(
    local: Tensor, origin: Tensor, direction: Tensor, normal: Tensor, prop: Prop, soft: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Where an ellipsoid of leaves is solid (N,), how bright (N,) it is there, and scattered normals (3, N).

    Leaves thin out towards the outline: what counts is how far the ray passes from the middle.
    """
    half = tint(prop.half, local)
    start, ray = origin / half, direction / half
    along = -dot(ray, start) / dot(ray, ray)
    passing = lengths(start + ray * along)
    turn = torch.atan2(local[0] / half[0], local[2] / half[2])
    u, v = turn * (half[0] + half[2]) / 2, local[1] * 1.2
    clump = fractal(u, v, 5.0 * prop.half[1], prop.seed)
    leaf = fractal(u, v, 1.1 * prop.half[1], prop.seed + 1)
    fine = 0.08 * prop.half[1] / (soft + 0.08 * prop.half[1])
    density = 0.62 * clump + 0.38 * (0.5 + (leaf - 0.5) * (0.4 + 0.6 * fine))
    solid = density > 0.24 + 0.42 * passing.pow(4)
    shade = 0.16 + 2.1 * (0.62 * clump + 0.38 * leaf - 0.27).clamp(min=0) * (0.8 + 0.35 * local[1] / half[1])
    scatter = torch.stack([clump - 0.5, leaf - 0.4, fractal(v, u, 1.1 * prop.half[1], prop.seed + 2) - 0.5])
    bent = normal + 2.6 * scatter
    return solid, shade.clamp(0.06, 1.6), bent / lengths(bent).clamp(min=1e-6)


def _meet_box(o: Tensor, d: Tensor, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    safe = torch.where(d.abs() < 1e-7, 1e-7, d)
    sign = torch.sign(safe)
    near, far = (-sign * half - o) / safe, (sign * half - o) / safe
    distance = torch.maximum(torch.maximum(near[0], near[1]), near[2])
    hit = (distance < torch.minimum(torch.minimum(far[0], far[1]), far[2])) & (distance > 1e-3)
    first = near[0] == distance
    second = (near[1] == distance) & ~first
    return distance, -torch.stack([first, second, ~(first | second)]).float() * sign, hit


def _box_shadow(start: Tensor, ray: Tensor, half: Tensor) -> Tensor:
    """Shadow (N,) 0..1 that a box casts along one ray direction (3, 1); its edge softens with the distance."""
    safe = torch.where(ray.abs() < 1e-5, 1e-5, ray)
    sign = torch.sign(safe)
    near = ((-sign * half - start) / safe).amax(0)
    far = ((sign * half - start) / safe).amin(0)
    return ((far - near) / (0.02 + 0.03 * near.clamp(min=0))).clamp(0, 1) * (far > 0.01)


def _meet_ball(o: Tensor, d: Tensor, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    start, ray = o / half, d / half
    a, b, c = dot(ray, ray), dot(ray, start), dot(start, start) - 1
    root = b * b - a * c
    distance = (-b - root.clamp(min=0).sqrt()) / a
    normal = (start + ray * distance) / half
    normal = normal / lengths(normal).clamp(min=1e-6)
    return distance, normal, (root > 0) & (distance > 1e-3)


def _swept(normal: Tensor, points: Tensor, half: Tensor, radius: float) -> Tensor:
    """Normals near the corners turned as those of a rounded sweep."""
    inward = half - points.abs()
    lean = (1 - inward / radius).clamp(0, 1) * -torch.sign(points)
    turned = normal + lean * (1 - normal.abs())
    return turned / lengths(turned)
