"""Random bodies: age, sex, build and stature as in a crowd, and small draws of MakeHuman's local shape targets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from likeness.synthesis.pack import Pack

CHILDREN, TEENS = 0.12, 0.06
# From this age on bodies and clothes are drawn as an adult's.
GROWN_YEARS = 17
# Age in years -> mean stature in metres of girls and boys (growth references, rounded).
_GROWTH = np.array([[4, 1.02, 1.03], [6, 1.15, 1.16], [8, 1.27, 1.28], [10, 1.38, 1.38], [12, 1.51, 1.49],
                    [14, 1.60, 1.63], [16, 1.62, 1.73], [18, 1.63, 1.76]])  # fmt: skip
_ADULT_SPREAD_M = (0.066, 0.072)
_OPPOSITES = {"incr": "decr", "up": "down", "in": "out", "forward": "backward", "convex": "concave"}
# Region of a target -> standard deviation of the drawn weight, and how often it is drawn at all.
_SPREADS = (
    (r"^(l-|r-)?(cheek|chin|forehead|nose|mouth|head|eyebrows)", 0.22, 0.35),
    (r"^(l-)(eye|ear)", 0.16, 0.25),
    (r"^neck|^measure-neck", 0.15, 0.25),
    (r"^l-(hand|foot)", 0.16, 0.35),
    (r"^(l-)(upperarm|lowerarm|upperleg|lowerleg)-(fat|muscle)", 0.22, 0.5),
    (r"^(l-)(upperarm|lowerarm|upperleg|lowerleg)-scale", 0.09, 0.4),
    (r"^torso-(muscle|scale|vshape)|^hip-scale|^buttocks|^stomach-tone|^pelvis-tone", 0.2, 0.5),
    (r"^measure-(shoulder|bust|underbust|waist|hips|thigh|calf|knee|upperarm-circ|waisttohip)", 0.14, 0.35),
    (r"^breast-(dist|trans|volume)", 0.25, 0.4),
)
_ADULT = re.compile(r"^breast|bust|buttocks|^pelvis|hips")
_NEVER = re.compile(r"nipple|pregnant|navel|bulge|head-age|trans-in|trans-out|ear-shape|eye-push|lower?legs-height")


@dataclass(frozen=True)
class Body:
    """Sliders of a body. years: age. woman. macro, local: as `Pack.shape` takes them."""

    years: float
    woman: bool
    macro: dict[str, float]
    local: dict[str, float]


def draw_body(pack: Pack, rng: np.random.Generator) -> Body:
    """A random person's body."""
    years, woman = _draw_years(rng), bool(rng.random() < 0.5)
    grown = years >= 18
    origin = rng.dirichlet([0.45, 0.45, 0.45])
    gender = float(np.clip(rng.beta(12, 1.2), 0, 1))
    macro = {
        "gender": 1 - gender if woman else gender,
        "age": age_slider(years),
        "muscle": float(rng.beta(2.2, 2.4)),
        "weight": float(rng.beta(2.0, 2.0) if grown else rng.beta(3, 3)),
        "height": 0.5,
        "proportions": float(rng.beta(2, 2)),
        "african": float(origin[0]),
        "asian": float(origin[1]),
        "caucasian": float(origin[2]),
    }
    macro = {name: round(value, 4) for name, value in macro.items()}
    local = draw_local(pack, rng, 1.0 if grown else 0.6)
    if years < GROWN_YEARS:
        local = {name: weight for name, weight in local.items() if not _ADULT.search(name)}
    if woman and 20 < years < 42 and rng.random() < 0.02:
        local["stomach-pregnant-incr"] = round(float(rng.uniform(0.4, 0.9)), 3)
    macro["height"] = height_slider(pack, macro, local, _draw_stature(rng, years, woman, float(origin[1])))
    return Body(round(years, 1), woman, macro, local)


def draw_local(pack: Pack, rng: np.random.Generator, amount: float = 1.0) -> dict[str, float]:
    """Weights of local shape targets, the same on both sides."""
    known, chosen = set(pack.targets), {}
    for stem, plus, minus, spread, often in _axes(tuple(pack.targets)):
        value = float(np.clip(rng.normal(0, spread), -2.5 * spread, 2.5 * spread)) * amount
        if rng.random() >= often or abs(value) < 0.01:
            continue
        name = f"{stem}-{plus if value > 0 else minus}"
        for side in (name, "r-" + name[2:] if name.startswith("l-") else name):
            if side in known:
                chosen[side] = round(abs(value), 3)
    return dict(sorted(chosen.items()))


def age_slider(years: float) -> float:
    """MakeHuman's age slider; its child is about ten, and younger children differ by stature alone."""
    if years < 25:
        return float(np.interp(years, [4, 10, 18, 25], [0.1875, 0.1875, 0.36, 0.5]))
    return float(np.interp(years, [25, 90], [0.5, 1.0]))


def height_slider(pack: Pack, macro: dict[str, float], local: dict[str, float], stature_m: float) -> float:
    """The height slider 0..1 that gives a stature; the stature is linear on either side of one half."""
    count = int(pack.base["body_vert_count"])

    def stature(slider: float) -> float:
        return float(np.ptp(pack.shape({**macro, "height": slider}, local)[:count, 1]))

    middle = stature(0.5)
    end = 1.0 if stature_m > middle else 0.0
    share = (stature_m - middle) / (stature(end) - middle)
    return round(float(np.clip(0.5 + share * (end - 0.5), 0, 1)), 4)


def _draw_years(rng: np.random.Generator) -> float:
    kind = rng.random()
    if kind < CHILDREN:
        return float(rng.uniform(4, 13))
    if kind < CHILDREN + TEENS:
        return float(rng.uniform(13, 18))
    return float(18 + 67 * rng.beta(1.1, 1.5))


def _draw_stature(rng: np.random.Generator, years: float, woman: bool, asian: float) -> float:
    mean = float(np.interp(years, _GROWTH[:, 0], _GROWTH[:, 1 if woman else 2]))
    spread = _ADULT_SPREAD_M[0 if woman else 1] * mean / 1.7
    shrunk = 0.0008 * max(0.0, years - 45)
    return mean * (1 + 0.02 * (1 / 3 - asian)) - shrunk + spread * float(np.clip(rng.normal(), -2.6, 2.6))


@lru_cache(maxsize=4)
def _axes(names: tuple[str, ...]) -> tuple[tuple[str, str, str, float, float], ...]:
    """Targets in opposite pairs: (stem, one way, other way, spread, how often)."""
    known, found = set(names), []
    for name in sorted(known):
        stem, _, way = name.rpartition("-")
        other = _OPPOSITES.get(way)
        if other is None or f"{stem}-{other}" not in known or stem.startswith("r-") or _NEVER.search(name):
            continue
        for region, spread, often in _SPREADS:
            if re.search(region, name):
                found.append((stem, way, other, spread, often))
                break
    return tuple(found)
