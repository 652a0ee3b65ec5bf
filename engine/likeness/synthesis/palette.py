"""Colours with English names, and the step between sRGB, linear light and OKLab."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rgb = tuple[float, float, float]

# Name -> sRGB 0..255. Names of one hue family stand far enough apart that people agree on them.
NAMED: dict[str, tuple[int, int, int]] = {
    "black": (42, 42, 44),
    "charcoal": (76, 77, 80),
    "grey": (128, 129, 131),
    "light grey": (188, 189, 190),
    "white": (238, 238, 236),
    "cream": (232, 222, 196),
    "beige": (202, 182, 150),
    "khaki": (150, 134, 96),
    "brown": (96, 66, 44),
    "dark brown": (70, 51, 42),
    "tan": (170, 124, 78),
    "navy": (42, 46, 86),
    "dark blue": (44, 58, 114),
    "steel blue": (78, 104, 146),
    "blue": (44, 84, 176),
    "light blue": (150, 188, 220),
    "teal": (42, 112, 118),
    "turquoise": (70, 180, 180),
    "dark green": (42, 74, 54),
    "olive": (92, 94, 50),
    "green": (44, 128, 64),
    "light green": (150, 200, 140),
    "mint": (190, 226, 206),
    "yellow": (238, 200, 50),
    "mustard": (196, 150, 44),
    "orange": (226, 116, 42),
    "peach": (240, 190, 156),
    "red": (188, 42, 46),
    "maroon": (104, 42, 50),
    "coral": (230, 106, 94),
    "pink": (236, 160, 182),
    "hot pink": (218, 54, 124),
    "magenta": (164, 42, 120),
    "purple": (96, 50, 130),
    "lilac": (184, 160, 212),
    "neon yellow": (214, 240, 48),
}

# How often people wear each: dark and neutral colours dominate wardrobes.
WORN: dict[str, float] = {
    "black": 18, "charcoal": 8, "grey": 9, "light grey": 5, "white": 13, "cream": 4, "beige": 5, "khaki": 3,
    "brown": 4, "dark brown": 3, "tan": 2, "navy": 10, "dark blue": 5, "steel blue": 4, "blue": 4, "light blue": 5,
    "teal": 1.5, "turquoise": 1, "dark green": 2.5, "olive": 3, "green": 2, "light green": 0.7, "mint": 0.8,
    "yellow": 1.5, "mustard": 1.5, "orange": 1.5, "peach": 1, "red": 5, "maroon": 3, "coral": 1.2, "pink": 3,
    "hot pink": 1.2, "magenta": 0.8, "purple": 2, "lilac": 1.2,
}  # fmt: skip
NEUTRAL = ("black", "charcoal", "grey", "light grey", "white", "cream", "beige", "navy")
# Cotton and wool reflect between these, and so does everything that is painted here.
DARKEST, BRIGHTEST = 40, 248


def to_linear(color: NDArray) -> Floats:
    """sRGB 0..1 as linear light, any shape."""
    color = np.asarray(color, np.float32)
    return np.where(color <= 0.04045, color / 12.92, ((np.maximum(color, 0) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(light: NDArray) -> Floats:
    """Linear light as sRGB, any shape; negatives become 0."""
    light = np.maximum(np.asarray(light, np.float32), 0)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def to_oklab(color: NDArray) -> Floats:
    """sRGB 0..1 (..., 3) in OKLab, where equal steps look equally large (Ottosson 2020)."""
    return (np.cbrt(to_linear(color) @ _TO_LMS.T) @ _TO_LAB.T).astype(np.float32)


def from_oklab(lab: NDArray) -> Floats:
    """OKLab (..., 3) in sRGB, cut to 0..1."""
    lms = (np.asarray(lab) @ np.linalg.inv(_TO_LAB).T) ** 3
    return np.clip(to_srgb(lms @ np.linalg.inv(_TO_LMS).T), 0, 1)


_NAMES = tuple(NAMED)
_NAMED_LAB = to_oklab(np.array([NAMED[name] for name in _NAMES]) / 255)


def name_of(color: NDArray | Rgb) -> str:
    """The English name nearest to an sRGB colour (3,) in 0..1."""
    return _NAMES[int(((_NAMED_LAB - to_oklab(np.asarray(color))) ** 2).sum(1).argmin())]


def draw_color(rng: np.random.Generator, among: tuple[str, ...] | None = None) -> Rgb:
    """A colour somebody wears, sRGB 0..1: near one of the names `among`, or of all as often as they are worn.

    Its nearest name is the one that it was drawn from.
    """
    names = among or tuple(WORN)
    share = np.array([WORN.get(name, 1.0) for name in names])
    name = names[int(rng.choice(len(names), p=share / share.sum()))]
    lab = to_oklab(np.array(NAMED[name]) / 255)
    for spread in (1.0, 0.6, 0.3):
        moved = from_oklab(lab + rng.normal(0, 1, 3) * np.array([0.035, 0.014, 0.014]) * spread)
        moved = np.clip(moved, (DARKEST + 1) / 255, (BRIGHTEST - 1) / 255)
        # What comes after (weave, wear) shifts a colour a little, so it may not lie at the border of its name.
        if name_of(moved) == name and _margin(moved, name) > 0.012:
            return _as_rgb(moved)
    return _as_rgb(np.array(NAMED[name]) / 255)


def draw_accent(rng: np.random.Generator, base: Rgb) -> Rgb:
    """A second colour for a pattern on `base`: mostly neutral, always clearly told from it."""
    best, most = base, -1.0
    for _ in range(6):
        other = draw_color(rng, NEUTRAL if rng.random() < 0.5 else None)
        apart = float(np.linalg.norm(to_oklab(np.array(other)) - to_oklab(np.array(base))))
        if apart > 0.2 and name_of(other) != name_of(base):
            return other
        if apart > most:
            best, most = other, apart
    return best


def luminance(color: NDArray) -> Floats:
    """Rec. 709 weights of (..., 3), in whatever space the colour is."""
    return (np.asarray(color, np.float32) @ np.array([0.2126, 0.7152, 0.0722], np.float32)).astype(np.float32)


def _margin(color: NDArray, name: str) -> float:
    apart = np.linalg.norm(_NAMED_LAB - to_oklab(color), axis=1)
    own = apart[_NAMES.index(name)]
    return float(np.delete(apart, _NAMES.index(name)).min() - own)


def _as_rgb(color: NDArray) -> Rgb:
    red, green, blue = (round(float(c), 4) for c in color)
    return red, green, blue
