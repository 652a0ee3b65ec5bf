"""Streets, parks and beaches by day and night, drawn at random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from likeness.synthesis.indoors import Drawn, any_color, colored, glowing, lamp_color, pick, rgb, scaled, varied
from likeness.synthesis.scenery import Lamp, Prop, Scenery, Sky
from likeness.synthesis.surfaces import Rgb

Vector = tuple[float, float, float]
Light = tuple[Sky, tuple[Vector, Rgb] | None, tuple[Rgb, Rgb, Rgb], float]


def _draw_light(rng: np.random.Generator, ground: Rgb, *, shut_in: float = 0.0) -> Light:
    """Sky, sun, the ambient irradiance they give and the sun's radius. shut_in: share of the sky hidden by houses."""
    kind = str(rng.choice(["clear", "hazy", "overcast", "low"], p=[0.34, 0.22, 0.26, 0.18]))
    turn, seed = float(rng.uniform(0, 2 * np.pi)), int(rng.integers(500))
    rise = float(np.radians(rng.uniform(6, 20) if kind == "low" else rng.uniform(25, 68)))
    direction = (float(np.cos(rise) * np.sin(turn)), float(np.sin(rise)), float(np.cos(rise) * np.cos(turn)))
    skyline = varied(rng, pick(rng, ((0.05, 0.08, 0.04), (0.12, 0.12, 0.13), (0.08, 0.1, 0.12))), 0.2)
    height = float(rng.uniform(0.02, 0.1))
    if kind == "overcast":
        tone = float(rng.uniform(0.8, 1.3))
        sky = Sky(scaled((1.0, 1.03, 1.1), tone), scaled((0.8, 0.82, 0.85), tone), float(rng.uniform(0.5, 1)),
                  scaled((0.92, 0.94, 0.98), tone), skyline, height, None, 0, seed)  # fmt: skip
        sun = None
    elif kind == "low":
        warm = lamp_color(float(rng.uniform(2600, 3800)))
        sky = Sky(
            (0.16, 0.26, 0.48),
            (0.75, 0.55, 0.38),
            float(rng.uniform(0.1, 0.6)),
            (0.9, 0.62, 0.45),
            skyline,
            height,
            direction,
            2.0,
            seed,
        )
        sun = (direction, scaled(warm, float(rng.uniform(1.2, 3.0))))
    else:
        haze = 0.55 if kind == "hazy" else 0.0
        zenith = rgb(np.array([0.16, 0.32, 0.72]) * (1 - haze) + np.array([0.75, 0.8, 0.9]) * haze)
        sky = Sky(
            zenith,
            (0.72, 0.84, 1.0),
            float(rng.uniform(0.05, 0.6)),
            (1.1, 1.1, 1.1),
            skyline,
            height,
            direction,
            0.8 + haze,
            seed,
        )
        sun = (
            direction,
            scaled(lamp_color(float(rng.uniform(4700, 5600))), float(rng.uniform(2.2, 4.5) * (1 - 0.6 * haze))),
        )
    mean = 0.5 * (np.asarray(sky.zenith) + np.asarray(sky.horizon)) + 0.25 * sky.clouds * np.asarray(sky.cloud)
    above = np.pi * mean * (1 - 0.6 * shut_in)
    bounce = np.asarray(ground) * (above + (0 if sun is None else np.asarray(sun[1]) * sun[0][1]))
    ambient = (rgb(above), rgb(0.5 * above * (1 - 0.3 * shut_in) + 0.5 * bounce), rgb(bounce))
    return sky, sun, ambient, float(rng.uniform(0.0047, 0.02) if kind != "hazy" else rng.uniform(0.03, 0.08))


def _tree(rng: np.random.Generator, x: float, z: float) -> list[Prop]:
    tall, wide = float(rng.uniform(1.6, 3.2)), float(rng.uniform(1.1, 2.4))
    trunk = float(rng.uniform(1.6, 2.6))
    green = varied(rng, pick(rng, ((0.06, 0.12, 0.03), (0.09, 0.13, 0.03), (0.04, 0.09, 0.04), (0.2, 0.13, 0.03))), 0.2)
    stem = Prop(
        "box",
        (x, trunk / 2 + 0.4, z),
        (0.13, trunk / 2 + 0.4, 0.13),
        float(rng.uniform(0, 1.5)),
        "carpet",
        (0.09, 0.065, 0.05),
    )
    found = [stem]
    for k in range(int(rng.integers(2, 4))):
        shift = rng.uniform(-0.5, 0.5, 3) * wide if k else np.zeros(3)
        size = 1.0 if k == 0 else float(rng.uniform(0.5, 0.8))
        centre = (float(x + shift[0]), float(trunk + tall * 0.8 + shift[1] * 0.7), float(z + shift[2]))
        found.append(
            Prop(
                "leaves",
                centre,
                (wide * size, tall * size, wide * size),
                float(rng.uniform(0, 6)),
                "plain",
                green,
                seed=int(rng.integers(99)),
            )
        )
    return found


def _around(rng: np.random.Generator, near: float, far: float) -> tuple[float, float]:
    away, turn = float(rng.uniform(near, far)), float(rng.uniform(0, 2 * np.pi))
    return away * float(np.sin(turn)), away * float(np.cos(turn))


def _draw_park(rng: np.random.Generator) -> Drawn:
    grass = varied(rng, pick(rng, ((0.07, 0.12, 0.03), (0.1, 0.14, 0.04), (0.16, 0.15, 0.06))), 0.15)
    sky, sun, ambient, radius = _draw_light(rng, grass, shut_in=0.3)
    path = None
    if rng.random() < 0.6:
        middle, look = float(rng.uniform(-0.6, 0.6)), pick(rng, ("sand", "asphalt", "pavement"))
        color: Rgb = {"sand": (0.34, 0.28, 0.2), "asphalt": (0.11, 0.11, 0.11), "pavement": (0.26, 0.25, 0.23)}[
            str(look)
        ]
        path = (str(look), varied(rng, color, 0.1), color, middle - 1.1, middle + 1.1)
    props: list[Prop] = []
    for _ in range(int(rng.integers(4, 9))):
        props += _tree(rng, *_around(rng, 5, 22))
    for _ in range(int(rng.integers(2, 7))):
        x, z = _around(rng, 3.2, 14)
        size = float(rng.uniform(0.4, 1.0))
        props.append(
            Prop(
                "leaves",
                (x, size * 0.7, z),
                (size * 1.4, size, size * 1.2),
                0.0,
                "plain",
                varied(rng, (0.05, 0.1, 0.03), 0.25),
                seed=int(rng.integers(99)),
            )
        )
    if rng.random() < 0.5:
        x, z = _around(rng, 2.8, 6)
        turn = float(np.arctan2(x, z))
        wood = (0.22, 0.13, 0.07)
        props.append(Prop("box", (x, 0.44, z), (0.8, 0.03, 0.22), turn, "planks", wood, wood, 3))
        props.append(Prop("box", (x * 1.05, 0.72, z * 1.05), (0.8, 0.16, 0.03), turn, "planks", wood, wood, 3))
        props.append(Prop("box", (x, 0.2, z), (0.6, 0.2, 0.14), turn, "plain", (0.03, 0.03, 0.03)))
    floor = ("grass", grass, varied(rng, (0.2, 0.17, 0.07), 0.2), int(rng.integers(1000)))
    scenery = Scenery(
        floor, float(rng.uniform(0, np.pi)), path, None, (), props=tuple(props), sky=sky, ambient=ambient, sun=sun
    )
    return Drawn(scenery, "in a park", radius)


def _draw_beach(rng: np.random.Generator) -> Drawn:
    sand = varied(rng, (0.44, 0.36, 0.25), 0.12)
    sky, sun, ambient, radius = _draw_light(rng, sand)
    sky = Sky(
        **{**{n: getattr(sky, n) for n in sky.__dataclass_fields__}, "skyline_height": float(rng.choice([0.0, 0.02]))}
    )
    sea = ("water", varied(rng, (0.05, 0.14, 0.17), 0.2), (0.1, 0.2, 0.2), float(rng.uniform(7, 16)), 900.0)
    props: list[Prop] = []
    for _ in range(int(rng.integers(0, 4))):
        x, z = _around(rng, 3.5, 10)
        color = any_color(rng, 0.6)
        props.append(Prop("box", (x, 0.03, z), (0.45, 0.03, 0.95), float(rng.uniform(0, 3)), "fabric", color))
        if rng.random() < 0.6:
            props.append(Prop("leaves", (x, 2.1, z), (1.1, 0.25, 1.1), 0.0, "plain", varied(rng, color, 0.3), seed=99))
            props.append(Prop("box", (x, 1.0, z), (0.02, 1.0, 0.02), 0.0, "plain", (0.6, 0.6, 0.6)))
    floor = ("sand", sand, sand, int(rng.integers(1000)))
    scenery = Scenery(
        floor, float(rng.uniform(0, 2 * np.pi)), sea, None, (), props=tuple(props), sky=sky, ambient=ambient, sun=sun
    )
    return Drawn(scenery, "on a beach", radius)


FACADES: tuple[Rgb, ...] = (
    (0.42, 0.38, 0.32), (0.34, 0.16, 0.11), (0.5, 0.48, 0.44), (0.3, 0.29, 0.28), (0.45, 0.36, 0.22), (0.36, 0.4, 0.42),
    (0.55, 0.5, 0.42), (0.4, 0.24, 0.18),
)  # fmt: skip


def _houses(rng: np.random.Generator, yaw: float, near: float, far: float) -> list[Prop]:
    """Two rows of houses along a street whose axis is its own x, at z = -near and z = far."""
    found = []
    for sign, away in ((-1, near), (1, far)):
        x = float(rng.uniform(-26, -20))
        while x < 24:
            width, tall = float(rng.uniform(6, 13)), float(rng.uniform(5, 15))
            local = np.array([x + width / 2, tall / 2, sign * (away + 4 + rng.uniform(-0.3, 0.3))])
            found.append(
                Prop("box", rgb(_turned(local, yaw)), (width / 2, tall / 2, 4.0), yaw, "facade",
                     varied(rng, pick(rng, FACADES), 0.1), varied(rng, (0.5, 0.49, 0.46), 0.2), int(rng.integers(997)))
            )  # fmt: skip
            x += width + (float(rng.uniform(1, 4)) if rng.random() < 0.12 else 0)
    # The street bends or ends somewhere, so its vista is closed.
    for sign in (-1, 1):
        tall = float(rng.uniform(6, 14))
        local = np.array([sign * float(rng.uniform(30, 60)), tall / 2, float(rng.uniform(-6, 6))])
        color = varied(rng, pick(rng, FACADES), 0.1)
        seed = int(rng.integers(997))
        half = (5.0, tall / 2, 14.0)
        found.append(Prop("box", rgb(_turned(local, yaw)), half, yaw, "facade", color, (0.45, 0.44, 0.42), seed))
    return found


def _clutter(rng: np.random.Generator, yaw: float, z: float) -> list[Prop]:
    """What stands along a front at its own z: bins, planters, boards, bollards."""
    found: list[Prop] = []
    for x in np.arange(-11, 12, 2.6):
        if rng.random() < 0.4:
            continue
        place = _turned(np.array([x + rng.uniform(-0.8, 0.8), 0.0, z + rng.uniform(-0.25, 0.25)]), yaw)
        if np.hypot(place[0], place[2]) < 1.7:
            continue
        kind, seed, color = int(rng.integers(4)), int(rng.integers(99)), any_color(rng, 0.35)
        if kind == 0:
            found.append(Prop("box", (place[0], 0.5, place[2]), (0.25, 0.5, 0.25), yaw, "plain", color, color, seed))
        elif kind == 1:
            size = float(rng.uniform(0.3, 0.6))
            green = varied(rng, (0.06, 0.11, 0.03), 0.25)
            found.append(
                Prop("box", (place[0], 0.25, place[2]), (0.45, 0.25, 0.25), yaw, "concrete", color, color, seed)
            )
            found.append(
                Prop(
                    "leaves", (place[0], 0.5 + size * 0.8, place[2]), (0.45, size, 0.35), 0.0, "plain", green, seed=seed
                )
            )
        elif kind == 2:
            turn = yaw + float(rng.uniform(-0.5, 0.5))
            found.append(
                Prop(
                    "box",
                    (place[0], 0.55, place[2]),
                    (0.32, 0.55, 0.03),
                    turn,
                    "picture",
                    color,
                    any_color(rng, 0.6),
                    seed,
                )
            )
        else:
            found.append(Prop("box", (place[0], 0.45, place[2]), (0.06, 0.45, 0.06), yaw, "plain", (0.05, 0.05, 0.05)))
    return found


def _turned(local: np.ndarray, yaw: float) -> np.ndarray:
    cosine, sine = np.cos(yaw), np.sin(yaw)
    return np.array([cosine * local[0] + sine * local[2], local[1], -sine * local[0] + cosine * local[2]])


def _cars(rng: np.random.Generator, yaw: float, z: float, count: int) -> list[Prop]:
    found = []
    for x in rng.choice(np.arange(-14, 15, 5.2), size=count, replace=False):
        color = varied(
            rng,
            pick(
                rng,
                (
                    (0.02, 0.02, 0.022),
                    (0.4, 0.4, 0.4),
                    (0.12, 0.13, 0.14),
                    (0.25, 0.02, 0.02),
                    (0.03, 0.06, 0.2),
                    (0.6, 0.6, 0.6),
                ),
            ),
            0.1,
        )
        shift = float(x + rng.uniform(-0.4, 0.4))
        body = _turned(np.array([shift, 0.46, z]), yaw)
        cabin = _turned(np.array([shift + 0.1, 0.74, z]), yaw)
        seed = int(rng.integers(9))
        found.append(Prop("box", rgb(body), (2.1, 0.44, 0.86), yaw, "car", color, color, seed))
        found.append(Prop("box", rgb(cabin), (1.15, 0.70, 0.74), yaw, "car", color, color, seed))
    return found


def _street(rng: np.random.Generator, yaw: float) -> tuple[tuple, tuple, list[Prop], float]:
    """Pavement, road strip, houses with cars and trees, and the far row's distance."""
    near, kerb = float(rng.uniform(2.4, 5.0)), float(rng.uniform(1.3, 3.0))
    road = float(rng.uniform(6, 9))
    far = kerb + road + float(rng.uniform(2, 5))
    tone = varied(rng, pick(rng, ((0.24, 0.23, 0.22), (0.3, 0.28, 0.25), (0.18, 0.18, 0.18))), 0.08)
    floor = (pick(rng, ("pavement", "pavement", "concrete", "asphalt")), tone, tone, int(rng.integers(1000)))
    strip = ("asphalt", varied(rng, (0.075, 0.075, 0.078), 0.1), (0.07, 0.07, 0.07), kerb, kerb + road)
    props = _houses(rng, yaw, near, far)
    props += _cars(rng, yaw, kerb + 1.2, int(rng.integers(0, 3))) + _cars(
        rng, yaw, kerb + road - 1.2, int(rng.integers(1, 5))
    )
    props += _clutter(rng, yaw, -near + 0.5) + _clutter(rng, yaw, far - 0.6)
    return floor, strip, props, far


def _draw_street(rng: np.random.Generator) -> Drawn:
    yaw = float(rng.uniform(0, 2 * np.pi))
    floor, strip, props, far = _street(rng, yaw)
    sky, sun, ambient, radius = _draw_light(rng, floor[1], shut_in=0.5)
    for x in rng.choice(np.arange(-15, 16, 5.0), size=int(rng.integers(0, 4)), replace=False):
        place = _turned(np.array([float(x) + 1.5, 0, far - 1.2]), yaw)
        props += _tree(rng, float(place[0]), float(place[2]))
    for x in (-9.0, 7.0):
        place = _turned(np.array([x, 2.4, strip[3] - 0.4]), yaw)
        props.append(Prop("box", rgb(place), (0.06, 2.4, 0.06), yaw, "plain", (0.05, 0.05, 0.05)))
    scenery = Scenery(floor, yaw, strip, None, (), props=tuple(props), sky=sky, ambient=ambient, sun=sun)
    return Drawn(scenery, "in a street", radius)


def _draw_night(rng: np.random.Generator) -> Drawn:
    yaw = float(rng.uniform(0, 2 * np.pi))
    floor, strip, props, _ = _street(rng, yaw)
    lamps: list[Lamp] = []
    for x in (-8.0, float(rng.uniform(-1.5, 1.5)), 9.0):
        place = _turned(np.array([x, 4.2, strip[3] - 0.3]), yaw)
        color = lamp_color(float(rng.choice([2100, 2700, 4000])))
        head = Prop("box", rgb(place), (0.22, 0.06, 0.22), yaw, "light", color, glow=float(rng.uniform(25, 60)))
        lamp, _ = glowing(head, (0.0, -1.0, 0.0))
        props += [
            head,
            Prop("box", (head.centre[0], 2.1, head.centre[2]), (0.05, 2.1, 0.05), yaw, "plain", (0.04, 0.04, 0.04)),
        ]
        lamps.append(lamp)
    for _ in range(int(rng.integers(2, 7))):
        # Lit shop fronts and signs on the near row of houses, and across the road.
        front = [p for p in props if p.look == "facade"]
        house = front[int(rng.integers(len(front)))]
        local = _turned(np.array(house.centre), -yaw)
        depth = local[2] - np.sign(local[2]) * 4.03
        place = _turned(np.array([local[0], 1.5 if rng.random() < 0.6 else 3.2, depth]), yaw)
        color = lamp_color(3400) if rng.random() < 0.6 else colored(rng, 0.6, 1.2)
        half = (float(rng.uniform(0.8, 2.2)), 0.9, 0.03) if place[1] < 2 else (float(rng.uniform(0.5, 1.6)), 0.25, 0.05)
        shop = Prop(
            "box",
            rgb(place),
            half,
            yaw,
            "window" if place[1] < 2 else "light",
            color,
            scaled(color, 0.5),
            int(rng.integers(99)),
            glow=float(rng.uniform(1.2, 3.5)),
        )
        side = np.sign(local[2]) * -1.0
        inward = rgb(_turned(np.array([0, 0, side]), yaw))
        lamp, _ = glowing(shop, inward)
        props.append(shop)
        lamps.append(lamp)
    tone = float(rng.uniform(0.01, 0.04))
    sky = Sky(
        scaled((0.6, 0.7, 1.3), tone),
        scaled((1.6, 1.2, 1.0), tone),
        0.3,
        scaled((1.2, 1, 1), tone),
        (0.004, 0.004, 0.006),
        0.08,
        None,
        0,
        3,
    )
    up = np.array([1.3, 1.1, 1.0]) * tone * 3
    scenery = Scenery(
        floor,
        yaw,
        strip,
        None,
        (),
        props=tuple(props),
        lamps=tuple(lamps),
        sky=sky,
        ambient=(rgb(up), rgb(up * 0.9), rgb(up * 0.6)),
    )
    return Drawn(scenery, "in a street at night")


DRAW: dict[str, Callable[[np.random.Generator], Drawn]] = {
    "street": _draw_street, "park": _draw_park, "beach": _draw_beach, "night": _draw_night,
}  # fmt: skip
