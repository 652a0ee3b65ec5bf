"""Rooms, corridors, photo studios and stages, drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from likeness.synthesis.scenery import Lamp, Prop, Scenery
from likeness.synthesis.surfaces import Rgb

Vector = tuple[float, float, float]
T = TypeVar("T")


@dataclass(frozen=True)
class Drawn:
    """A scenery with what a renderer must know beside it. sun_radius: half the sun's angle, radians."""

    scenery: Scenery
    words: str
    sun_radius: float = 0.0047


# Linear colours of painted walls; white ones are the most common.
WALLS: tuple[Rgb, ...] = (
    (0.66, 0.65, 0.62), (0.70, 0.69, 0.66), (0.60, 0.58, 0.53), (0.55, 0.51, 0.43), (0.48, 0.50, 0.50), (0.36, 0.42,
    0.46), (0.30, 0.36, 0.30), (0.50, 0.40, 0.33), (0.42, 0.25, 0.20), (0.16, 0.20, 0.26), (0.58, 0.56, 0.44), (0.25,
    0.25, 0.26),
)  # fmt: skip
WOODS: tuple[Rgb, ...] = (
    (0.30, 0.18, 0.10),
    (0.42, 0.28, 0.16),
    (0.16, 0.09, 0.055),
    (0.50, 0.38, 0.25),
    (0.35, 0.30, 0.25),
)


def lamp_color(kelvin: float) -> Rgb:
    """Linear colour of a black body at a mean of 1, from a fit of Planck's law at three wavelengths against 6000 K."""
    waves = np.array([0.61, 0.55, 0.465])
    radiance = 1 / (np.exp(14388 / (waves * kelvin)) - 1)
    white = 1 / (np.exp(14388 / (waves * 6000)) - 1)
    color = radiance / white
    color = color / color.mean()
    return float(color[0]), float(color[1]), float(color[2])


def scaled(color: Rgb, factor: float) -> Rgb:
    """A colour times a number."""
    return color[0] * factor, color[1] * factor, color[2] * factor


def varied(rng: np.random.Generator, color: Rgb, spread: float = 0.12) -> Rgb:
    """A colour near another one."""
    tone = rng.normal(0, spread) + 0.3 * spread * rng.normal(0, 1, 3)
    moved = np.clip(np.asarray(color) * np.exp(tone), 0.008, 0.85)
    return float(moved[0]), float(moved[1]), float(moved[2])


def colored(rng: np.random.Generator, grey: float, strength: float) -> Rgb:
    """A colour of mean about `grey`: warm to cold by chance, a little green or magenta."""
    warm, green = rng.normal(0.2, 1) * strength, rng.normal(0, 0.35) * strength
    moved = np.clip(grey * np.exp([warm, green, -warm]), 0.008, 0.85)
    return float(moved[0]), float(moved[1]), float(moved[2])


def any_color(rng: np.random.Generator, brightness: float = 0.35) -> Rgb:
    """A furniture colour: mostly muted and rather warm than cold."""
    grey = float(rng.uniform(0.03, brightness))
    strength = float(rng.choice([0.06, 0.2, 0.5], p=[0.5, 0.36, 0.14]))
    return colored(rng, grey, strength)


def pick(rng: np.random.Generator, choices: tuple[T, ...]) -> T:
    """One of several."""
    return choices[int(rng.integers(len(choices)))]


def settle(scenery: Scenery, flux: Rgb, albedo: float) -> Scenery:
    """The scenery with the ambient light that `flux` (total power of its lamps) leaves after many bounces in its
    room."""
    assert scenery.room is not None
    x, y, z = 2 * scenery.room[0], scenery.room[1], 2 * scenery.room[2]
    area = 2 * (x * y + y * z + x * z)
    mean = np.asarray(flux) * albedo / (1 - albedo) / area
    wall, floor = np.asarray(scenery.walls[0][1]), np.asarray(scenery.floor[1])
    tinge = (wall / wall.mean()) ** 0.5 * (floor / floor.mean()) ** 0.15
    up, side, down = (tuple(float(v) for v in mean * tinge * f) for f in (1.15, 1.0, 0.8))
    return Scenery(**{**{n: getattr(scenery, n) for n in scenery.__dataclass_fields__}, "ambient": (up, side, down)})


def glowing(prop: Prop, facing: Vector | None) -> tuple[Lamp, np.ndarray]:
    """The light that a glowing prop casts, and its flux (3,)."""
    size = sorted(prop.half)
    area = 4 * size[1] * size[2]
    power = np.asarray(prop.color) * prop.glow * area
    flux = power * np.pi * (1 if facing is not None else 2)
    return Lamp(prop.centre, (float(power[0]), float(power[1]), float(power[2])), facing), flux


def _draw_room(rng: np.random.Generator) -> Drawn:
    half_x, half_z, height = rng.uniform(2.0, 4.2), rng.uniform(2.2, 4.5), rng.uniform(2.35, 3.2)
    centre_x, centre_z = rng.uniform(-1, 1) * (half_x - 1.3), rng.uniform(-1, 1) * (half_z - 1.3)
    room = (float(half_x), float(height), float(half_z), float(centre_x), float(centre_z))
    wall, accent = (
        varied(rng, pick(rng, WALLS[:5] if rng.random() < 0.65 else WALLS), 0.06),
        varied(rng, pick(rng, WALLS), 0.1),
    )
    looks = [str(rng.choice(["plaster", "plaster", "plaster", "wallpaper", "brick"])) for _ in range(2)]
    brick = (0.34, 0.16, 0.11)
    walls = [("plaster", wall, wall)] * 4
    walls[int(rng.integers(4))] = (looks[0], brick if looks[0] == "brick" else accent, wall)
    floor = pick(rng, ("planks", "planks", "tiles", "carpet", "concrete"))
    base = varied(rng, pick(rng, WOODS), 0.1) if floor == "planks" else varied(rng, any_color(rng, 0.45), 0.1)
    scenery = Scenery(
        (floor, base, scaled(base, 0.5), int(rng.integers(1000))),
        yaw=float(rng.uniform(0, 2 * np.pi)) if rng.random() < 0.6 else float(rng.integers(4) * np.pi / 2),
        room=room,
        walls=tuple(walls),
        ceiling=scaled((0.75, 0.74, 0.72), float(rng.uniform(0.8, 1))),
    )
    props, lamps, flux = _room_light(rng, scenery)
    props += _furnish(rng, scenery)
    whole = Scenery(**{**vars_of(scenery), "props": tuple(props), "lamps": tuple(lamps)})
    return Drawn(settle(whole, rgb(flux), 0.52), "in a room")


def vars_of(scenery: Scenery) -> dict:
    """The fields of a scenery by name."""
    return {name: getattr(scenery, name) for name in scenery.__dataclass_fields__}


def rgb(values: np.ndarray) -> Rgb:
    """Three floats."""
    return float(values[0]), float(values[1]), float(values[2])


def on_wall(
    scenery: Scenery, wall: int, along: float, up: float, half: Vector, depth: float
) -> tuple[Vector, Vector, Vector]:
    """Centre, half widths and inward normal of a box against a wall (0 +x, 1 -x, 2 +z, 3 -z of the room's own axes).

    along: -1..1 of the wall's free length; up: height of the box's middle; half (along, up, unused); depth: half
    thickness.
    """
    assert scenery.room is not None
    half_x, _, half_z, centre_x, centre_z = scenery.room
    sign = 1 if wall % 2 == 0 else -1
    if wall < 2:
        local = np.array([sign * (half_x - depth), up, along * max(half_z - half[0] - 0.05, 0)])
        size, inward = (depth, half[1], half[0]), np.array([-sign, 0.0, 0.0])
    else:
        local = np.array([along * max(half_x - half[0] - 0.05, 0), up, sign * (half_z - depth)])
        size, inward = (half[0], half[1], depth), np.array([0.0, 0.0, -sign])
    cosine, sine = np.cos(scenery.yaw), np.sin(scenery.yaw)
    turn = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    centre = turn @ local + np.array([centre_x, 0, centre_z])
    return rgb(centre), size, rgb(turn @ inward)


def _room_light(rng: np.random.Generator, scenery: Scenery) -> tuple[list[Prop], list[Lamp], np.ndarray]:
    """Windows by day, lamps by night, or both."""
    props: list[Prop] = []
    lamps: list[Lamp] = []
    flux = np.zeros(3)
    assert scenery.room is not None
    height = scenery.room[1]
    day = rng.random() < 0.72
    if day:
        for wall in rng.choice(4, size=int(rng.integers(1, 3)), replace=False):
            half = (float(rng.uniform(0.5, 1.1)), float(rng.uniform(0.55, 0.75)), 0.0)
            centre, size, inward = on_wall(scenery, int(wall), float(rng.uniform(-0.8, 0.8)), height * 0.56, half, 0.02)
            color = lamp_color(float(rng.uniform(5200, 8500)))
            land = pick(rng, ((0.25, 0.35, 0.2), (0.4, 0.38, 0.35), (0.6, 0.6, 0.62)))
            pane = Prop(
                "box", centre, size, scenery.yaw, "window", color, land, int(rng.integers(99)), float(rng.uniform(5, 9))
            )
            lamp, power = glowing(pane, inward)
            props.append(pane)
            lamps.append(lamp)
            flux += power * 0.75
            if rng.random() < 0.6:
                props += _curtains(rng, scenery, int(wall), pane, inward)
    for _ in range(int(rng.integers(0, 2)) if day else int(rng.integers(1, 4))):
        lamps_props = _lamp(rng, scenery)
        props += lamps_props[0]
        lamps.append(lamps_props[1])
        flux += lamps_props[2]
    return props, lamps, flux


def _curtains(rng: np.random.Generator, scenery: Scenery, wall: int, pane: Prop, inward: Vector) -> list[Prop]:
    side = np.cross(np.array(inward), (0, 1, 0))
    width = max(pane.half[0], pane.half[2])
    color = any_color(rng, 0.6)
    found = []
    for sign in (-1, 1):
        centre = np.array(pane.centre) + sign * (width + 0.08) * side + 0.06 * np.array(inward)
        half = (0.24, centre[1] - 0.02, 0.05) if wall > 1 else (0.05, centre[1] - 0.02, 0.24)
        found.append(Prop("box", rgb(centre), half, scenery.yaw, "curtain", color, color, int(rng.integers(99))))
    return found


def _lamp(rng: np.random.Generator, scenery: Scenery) -> tuple[list[Prop], Lamp, np.ndarray]:
    assert scenery.room is not None
    _, height, _, x0, z0 = scenery.room
    color = lamp_color(float(rng.choice([2700, 3000, 3500, 4000])) * float(rng.uniform(0.95, 1.05)))
    if rng.random() < 0.5:
        panel = Prop(
            "box",
            (x0, height - 0.03, z0),
            (0.35, 0.03, 0.35),
            scenery.yaw,
            "light",
            color,
            glow=float(rng.uniform(9, 22)),
        )
        lamp, flux = glowing(panel, (0.0, -1.0, 0.0))
        return [panel], lamp, flux
    centre, _, _ = on_wall(scenery, int(rng.integers(4)), float(rng.choice([-0.9, 0.9])), 1.55, (0.2, 0.2, 0), 0.3)
    shade = Prop("box", centre, (0.17, 0.14, 0.17), scenery.yaw, "light", color, glow=float(rng.uniform(6, 14)))
    pole = Prop("box", (centre[0], 0.7, centre[2]), (0.015, 0.7, 0.015), 0.0, "plain", (0.03, 0.03, 0.03))
    lamp, flux = glowing(shade, None)
    return [shade, pole], lamp, flux


def _furnish(rng: np.random.Generator, scenery: Scenery) -> list[Prop]:
    """Furniture along the walls and pictures on them."""
    props: list[Prop] = []
    for wall in range(4):
        places = [-0.85, -0.25, 0.35, 0.95]
        for along in places:
            if rng.random() < 0.78:
                along = float(np.clip(along + rng.uniform(-0.15, 0.15), -1, 1))
                props += _piece(rng, scenery, wall, along)
    assert scenery.room is not None
    return [p for p in props if np.hypot(p.centre[0], p.centre[2]) - np.hypot(p.half[0], p.half[2]) > 0.75]


def _piece(rng: np.random.Generator, scenery: Scenery, wall: int, along: float) -> list[Prop]:
    kind = str(rng.choice(["picture", "shelf", "cupboard", "sofa", "plant", "door", "screen", "table", "box", "chair"]))
    seed, wood = int(rng.integers(999)), varied(rng, pick(rng, (*WOODS, (0.55, 0.54, 0.52))), 0.15)

    def put(
        half: Vector, up: float, depth: float, look: str, color: Rgb, second: Rgb | None = None, out: float = 0.0
    ) -> Prop:
        centre, size, inward = on_wall(scenery, wall, along, up, half, depth)
        moved = rgb(np.array(centre) + out * np.array(inward))
        return Prop("box", moved, size, scenery.yaw, look, color, second or scaled(color, 0.5), seed)

    if kind == "picture":
        half = (float(rng.uniform(0.2, 0.55)), float(rng.uniform(0.2, 0.45)), 0.0)
        return [put(half, float(rng.uniform(1.45, 1.7)), 0.015, "picture", any_color(rng, 0.6), any_color(rng, 0.5))]
    if kind == "shelf":
        tall = float(rng.uniform(0.6, 1.05))
        return [put((float(rng.uniform(0.4, 0.8)), tall, 0), tall, 0.15, "books", wood)]
    if kind == "cupboard":
        tall = float(rng.uniform(0.4, 1.0))
        return [put((float(rng.uniform(0.4, 0.8)), tall, 0), tall, 0.26, "wood", wood)]
    if kind == "sofa":
        color, width = any_color(rng), float(rng.uniform(0.6, 1.0))
        seat = put((width, 0.21, 0), 0.21, 0.42, "fabric", color)
        back = put((width, 0.2, 0), 0.6, 0.11, "fabric", varied(rng, color, 0.05))
        pillow = put((0.2, 0.16, 0), 0.56, 0.07, "fabric", any_color(rng, 0.5), out=0.25)
        return [seat, back, pillow]
    if kind == "plant":
        pot = put((0.14, 0.15, 0), 0.15, 0.14, "plain", any_color(rng, 0.5), out=0.1)
        x, _, z = pot.centre
        tall = float(rng.uniform(0.35, 0.7))
        return [
            pot,
            Prop(
                "leaves",
                (x, 0.3 + tall, z),
                (0.3, tall, 0.3),
                0.0,
                "plain",
                varied(rng, (0.06, 0.13, 0.04), 0.25),
                seed=seed,
            ),
        ]
    if kind == "door":
        return [
            put((0.44, 1.02, 0), 1.02, 0.03, "door", varied(rng, pick(rng, ((0.6, 0.58, 0.55), *WOODS)), 0.08)),
            put((0.5, 1.06, 0), 1.06, 0.02, "plain", (0.55, 0.54, 0.52)),
        ]
    if kind == "screen":
        return [
            put((0.6, 0.34, 0), 1.15, 0.02, "plain", (0.012, 0.012, 0.014)),
            put((0.75, 0.22, 0), 0.22, 0.2, "wood", wood),
        ]
    if kind == "table":
        top = put((0.6, 0.02, 0), 0.74, 0.35, "wood", wood)
        leg = put((0.03, 0.36, 0), 0.36, 0.3, "wood", scaled(wood, 0.8))
        return [top, leg, put((0.12, 0.1, 0), 0.86, 0.1, "plain", any_color(rng, 0.6), out=0.2)]
    if kind == "chair":
        color = any_color(rng)
        return [
            put((0.22, 0.03, 0), 0.46, 0.22, "fabric", color),
            put((0.22, 0.25, 0), 0.72, 0.03, "fabric", color),
            put((0.19, 0.22, 0), 0.22, 0.18, "plain", scaled(color, 0.3)),
        ]
    return [
        put((float(rng.uniform(0.15, 0.35)), float(rng.uniform(0.15, 0.3)), 0), 0.2, 0.2, "plain", any_color(rng, 0.5))
    ]


def _draw_corridor(rng: np.random.Generator) -> Drawn:
    width, length, height = float(rng.uniform(1.1, 1.7)), float(rng.uniform(6, 14)), float(rng.uniform(2.4, 3.0))
    yaw = float(rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)]))
    wall = varied(rng, pick(rng, WALLS[:6]), 0.06)
    floor = pick(rng, ("tiles", "carpet", "concrete", "planks"))
    base = varied(rng, any_color(rng, 0.4), 0.1)
    scenery = Scenery(
        (floor, base, scaled(base, 0.6), int(rng.integers(1000))),
        yaw=yaw,
        room=(width, height, length, float(rng.uniform(-0.3, 0.3)), float(rng.uniform(-0.3, 0.3))),
        walls=(("plaster", wall, wall),) * 4,
        ceiling=(0.68, 0.68, 0.67),
    )
    color = lamp_color(float(rng.choice([3000, 4000, 5000, 6500])))
    props, lamps, flux = [], [], np.zeros(3)
    glow = float(rng.uniform(8, 18))
    cosine, sine = np.cos(yaw), np.sin(yaw)
    for z in np.arange(-length + 1.5, length, 3.0):
        panel = Prop(
            "box",
            (float(sine * z), height - 0.02, float(cosine * z)),
            (0.12, 0.02, 0.6),
            yaw,
            "light",
            color,
            glow=glow,
        )
        lamp, power = glowing(panel, (0.0, -1.0, 0.0))
        props.append(panel)
        flux += power
        if abs(z) < 5:
            lamps.append(lamp)
    for wall_index in (0, 1):
        for along in np.linspace(-0.9, 0.9, 5) + rng.uniform(-0.06, 0.06, 5):
            if rng.random() < 0.75:
                centre, size, _ = on_wall(scenery, wall_index, float(along), 1.03, (0.45, 1.03, 0), 0.02)
                tone = varied(rng, pick(rng, ((0.55, 0.53, 0.5), WOODS[0], WOODS[1])), 0.05)
                props.append(Prop("box", centre, size, yaw, "door", tone, tone, int(rng.integers(99))))
            else:
                centre, size, _ = on_wall(scenery, wall_index, float(along), 1.55, (0.35, 0.25, 0), 0.012)
                props.append(
                    Prop(
                        "box",
                        centre,
                        size,
                        yaw,
                        "picture",
                        any_color(rng, 0.6),
                        any_color(rng, 0.5),
                        int(rng.integers(99)),
                    )
                )
    if rng.random() < 0.5:
        centre, size, inward = on_wall(scenery, 3, 0.0, height * 0.5, (width * 0.6, 0.8, 0), 0.02)
        props.append(
            Prop("box", centre, size, yaw, "window", lamp_color(6800), (0.3, 0.35, 0.3), 5, float(rng.uniform(5, 10)))
        )
        lamp, power = glowing(props[-1], inward)
        lamps.append(lamp)
        flux += power
    whole = Scenery(**{**vars_of(scenery), "props": tuple(props), "lamps": tuple(lamps)})
    return Drawn(settle(whole, rgb(flux), 0.5), "in a corridor")


def _draw_studio(rng: np.random.Generator, *, dark: bool = False) -> Drawn:
    paper = pick(rng, ((0.75, 0.75, 0.74), (0.6, 0.6, 0.6), (0.35, 0.35, 0.35), (0.16, 0.16, 0.16), (0.05, 0.05, 0.05)))
    if rng.random() < 0.3:
        paper = colored(rng, float(np.mean(paper)), 0.8)
    half = float(rng.uniform(2.6, 4.0))
    scenery = Scenery(
        ("plain", varied(rng, paper, 0.03), paper, int(rng.integers(1000))),
        yaw=float(rng.uniform(0, np.pi)),
        room=(half, 4.0, half, 0.0, 0.0),
        walls=(("plain", paper, paper),) * 4,
        ceiling=scaled(paper, 0.5) if sum(paper) < 1 else (0.4, 0.4, 0.4),
        round_m=1.2,
    )
    props, lamps, flux = [], [], np.zeros(3)
    color = lamp_color(float(rng.uniform(4800, 6500)))
    start = float(rng.uniform(0, 2 * np.pi))
    for k in range(int(rng.integers(1, 4))):
        turn = start + k * float(rng.uniform(1.6, 2.6))
        away, up = float(rng.uniform(2.0, 2.5)), float(rng.uniform(1.5, 3.0))
        centre = (away * float(np.sin(turn)), up, away * float(np.cos(turn)))
        size = float(rng.uniform(0.35, 0.8))
        box = Prop(
            "box", centre, (size, size, 0.05), turn, "light", color, glow=float(rng.uniform(4, 12)) / size, hidden=True
        )
        aim = np.array([0, 1.0, 0]) - np.array(centre)
        lamp, power = glowing(box, rgb(aim / np.linalg.norm(aim)))
        props.append(box)
        lamps.append(lamp)
        flux += power
    whole = Scenery(**{**vars_of(scenery), "props": tuple(props), "lamps": tuple(lamps)})
    return Drawn(settle(whole, rgb(flux), float(np.clip(np.mean(paper) * 0.8, 0.06, 0.55))), "in a studio")


def _draw_stage(rng: np.random.Generator) -> Drawn:
    cloth = varied(rng, pick(rng, ((0.02, 0.02, 0.022), (0.12, 0.015, 0.02), (0.03, 0.03, 0.06))), 0.1)
    floor = pick(rng, ("planks", "plain"))
    scenery = Scenery(
        (floor, (0.045, 0.04, 0.038), (0.03, 0.03, 0.03), int(rng.integers(1000))),
        yaw=float(rng.uniform(0, np.pi)),
        room=(4.5, 5.0, 3.8, 0.0, 0.0),
        walls=(("curtain", cloth, cloth),) * 4,
        ceiling=(0.02, 0.02, 0.02),
    )
    props, lamps, flux = [], [], np.zeros(3)
    for k in range(int(rng.integers(2, 5))):
        turn = float(rng.uniform(0, 2 * np.pi)) + k
        color = lamp_color(float(rng.uniform(2900, 5600)))
        if rng.random() < 0.35:
            color = colored(rng, 0.8, 1.0)
        centre = (2.8 * float(np.sin(turn)), float(rng.uniform(3, 4.4)), 2.8 * float(np.cos(turn)))
        spot = Prop("box", centre, (0.16, 0.16, 0.16), turn, "light", color, glow=float(rng.uniform(30, 90)))
        aim = np.array([0, 1.0, 0]) - np.array(centre)
        lamp, power = glowing(spot, rgb(aim / np.linalg.norm(aim)))
        props.append(spot)
        lamps.append(lamp)
        flux += power
    whole = Scenery(**{**vars_of(scenery), "props": tuple(props), "lamps": tuple(lamps)})
    return Drawn(settle(whole, rgb(flux), 0.12), "on a stage")


def _draw_gradient(rng: np.random.Generator) -> Drawn:
    drawn = _draw_studio(rng)
    return Drawn(drawn.scenery, "before a plain background")


DRAW: dict[str, Callable[[np.random.Generator], Drawn]] = {
    "room": _draw_room, "corridor": _draw_corridor, "studio": _draw_studio, "stage": _draw_stage,
    "gradient": _draw_gradient,
}  # fmt: skip
