"""What is added to cloth when it is made up and worn: colour blocks, printed artwork, seams, closures, wear."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from likeness.synthesis.noise import noise_3d
from likeness.synthesis.palette import Rgb, draw_accent, draw_color
from likeness.synthesis.texels import LEFT_ARM, LEFT_LEG, RIGHT_ARM, TRUNK, TexelMap

Floats = NDArray[np.float32]

DETAILS = ("seams", "hems", "buttons", "zip", "jeans", "chest pocket", "hi-vis", "side stripes")
BLOCKS = ("sleeves", "yoke", "hem", "collar", "cuffs", "band", "lower")
ARTWORK_PX = 128
WORDS = (
    "NORTH",
    "ROAM",
    "COAST",
    "HELLO",
    "TEAM",
    "WAVE",
    "SUNDAY",
    "RIVER",
    "ECHO",
    "LUNA",
    "ATLAS",
    "STUDIO",
    "1987",
    "2024",
)
SHAPES = ("star", "heart", "circle", "mountain", "rings", "sun", "stripes", "bolt")


@dataclass(frozen=True)
class Block:
    """A part of a garment (one of BLOCKS) in its own colour, sRGB 0..1."""

    where: str
    color: Rgb


@dataclass(frozen=True)
class Artwork:
    """A print: kind 'text' or one of SHAPES; on the front or back of the trunk, its middle `right_m` to the left
    arm's side and `up_m` above the pelvis joint (on an average adult), `size_m` wide; two sRGB colours 0..1."""

    kind: str
    text: str
    back: bool
    right_m: float
    up_m: float
    size_m: float
    color: Rgb
    second: Rgb


def draw_blocks(rng: np.random.Generator, category: str, pattern: str, colors: tuple[Rgb, ...]) -> tuple[Block, ...]:
    """Parts in another colour; most garments have none."""
    if pattern not in ("plain", "melange", "horizontal stripes", "ribs") or rng.random() > 0.22:
        return ()
    choice = {
        "top": ("sleeves", "yoke", "collar", "cuffs", "band"),
        "coat": ("sleeves", "collar", "cuffs"),
        "dress": ("hem", "collar", "band", "yoke"),
        "skirt": ("hem", "band"),
        "bottom": ("hem",),
    }.get(category, ())
    if not choice:
        return ()
    where = rng.choice(choice, size=min(int(rng.integers(1, 3)), len(choice)), replace=False)
    color = draw_accent(rng, colors[0])
    return tuple(Block(str(name), color) for name in where)


def draw_artwork(rng: np.random.Generator, category: str, pattern: str, colors: tuple[Rgb, ...]) -> tuple[Artwork, ...]:
    """Prints on chest and back of plain tops."""
    if (
        category not in ("top", "shirt", "sweater", "jacket")
        or pattern not in ("plain", "melange")
        or rng.random() > 0.42
    ):
        return ()
    color, second = draw_accent(rng, colors[0]), draw_color(rng)
    kind = "text" if rng.random() < 0.45 else str(rng.choice(SHAPES))
    text = str(rng.choice(WORDS)) if rng.random() < 0.7 else str(int(rng.integers(1, 99)))
    small = rng.random() < 0.35
    size = float(rng.uniform(0.05, 0.09) if small else rng.uniform(0.16, 0.30))
    right, up = (0.085, 0.30) if small else (0.0, float(rng.uniform(0.20, 0.28)))
    found = [Artwork(kind, text, False, right, round(up, 3), round(size, 3), color, second)]
    if rng.random() < 0.25:
        found.append(Artwork(kind, text, True, 0.0, 0.26, round(float(rng.uniform(0.2, 0.32)), 3), color, second))
    return tuple(found)


def draw_details(rng: np.random.Generator, category: str, pattern: str) -> tuple[str, ...]:
    """Painted tailoring, a subset of DETAILS."""
    found = ["seams", "hems"]
    if pattern == "denim" and category in ("bottom", "trousers", "shorts", "skirt"):
        found.append("jeans")
    if category in ("shirt", "coat", "jacket") or (category in ("top", "dress") and rng.random() < 0.25):
        found.append(
            str(rng.choice(["buttons", "zip"], p=[0.6, 0.4] if category in ("coat", "jacket") else [0.85, 0.15]))
        )
    if category in ("top", "shirt", "jacket") and rng.random() < 0.2:
        found.append("chest pocket")
    if category in ("top", "jacket", "coat") and pattern == "plain" and rng.random() < 0.03:
        found.append("hi-vis")
    if category == "bottom" and pattern == "plain" and rng.random() < 0.1:
        found.append("side stripes")
    return tuple(found)


def apply_blocks(color: Floats, t: TexelMap, blocks: tuple[Block, ...]) -> Floats:
    """Colours (N, 3) with the blocks' parts in theirs."""
    scale, y = t.landmarks.scale, t.position[:, 1]
    arm = (t.region == LEFT_ARM) | (t.region == RIGHT_ARM)
    low = float(y.min(initial=0))
    parts = {
        "sleeves": arm,
        "yoke": ~arm & (y > t.landmarks.shoulder_y - 0.09 * scale),
        "hem": y < low + 0.09 * scale,
        "collar": (t.edge_m < 0.022) & (y > t.landmarks.shoulder_y - 0.12 * scale) & ~arm,
        "cuffs": (t.edge_m < 0.045) & arm,
        "band": (np.abs(y - (t.landmarks.shoulder_y - 0.16 * scale)) < 0.06 * scale) & ~arm,
        "lower": y < t.landmarks.hip_y,
    }
    out = color.copy()
    for block in blocks:
        out[parts[block.where]] = block.color
    return out


def apply_artwork(color: Floats, t: TexelMap, artwork: tuple[Artwork, ...]) -> Floats:
    """Colours (N, 3) with the prints on chest and back."""
    out, scale = color.copy(), t.landmarks.scale
    for art in artwork:
        facing = (np.cos(t.turn) < -0.2) if art.back else (np.cos(t.turn) > 0.2)
        side = -1 if art.back else 1
        size = art.size_m * scale
        x = side * t.across - art.right_m * scale
        y = t.position[:, 1] - art.up_m * scale
        near = np.flatnonzero(facing & (t.region == TRUNK) & (np.abs(x) < size / 2) & (np.abs(y) < size / 2))
        if len(near):
            picture = _picture(art.kind, art.text, art.color, art.second)
            pixel = _sample(picture, x[near] / size + 0.5, 0.5 - y[near] / size)
            cover = pixel[:, 3:] * 0.96
            out[near] = out[near] * (1 - cover) + pixel[:, :3] * cover
    return out


@lru_cache(maxsize=64)
def _picture(kind: str, text: str, color: Rgb, second: Rgb) -> Floats:
    """An artwork (128, 128, 4) f32, colours 0..1 and coverage."""
    big = 4 * ARTWORK_PX
    first, other = (tuple(int(c * 255) for c in chosen) + (255,) for chosen in (color, second))
    image = Image.new("RGBA", (big, big), (*first[:3], 0))
    draw = ImageDraw.Draw(image)
    if kind == "text":
        font = ImageFont.load_default(size=big * 1.5 / max(len(text), 2))
        draw.text(
            (big / 2, big / 2), text, font=font, fill=first, anchor="mm", stroke_width=big // 90, stroke_fill=first
        )
    else:
        _shape(draw, kind, big, first, other)
    small = image.resize((ARTWORK_PX, ARTWORK_PX), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / np.float32(255)


def _shape(draw: ImageDraw.ImageDraw, kind: str, big: int, first: tuple[int, ...], other: tuple[int, ...]) -> None:
    middle = big / 2

    def ring(count: int, outer: float, inner: float) -> list[tuple[float, float]]:
        angle = np.arange(2 * count) * np.pi / count - np.pi / 2
        radius = np.where(np.arange(2 * count) % 2, inner, outer) * big
        return [(middle + r * np.cos(a), middle + r * np.sin(a)) for a, r in zip(angle, radius)]

    def disc(radius: float, fill: tuple[int, ...]) -> None:
        draw.ellipse(
            (middle - radius * big, middle - radius * big, middle + radius * big, middle + radius * big), fill=fill
        )

    if kind == "star":
        draw.polygon(ring(5, 0.46, 0.19), fill=first)
    elif kind == "sun":
        draw.polygon(ring(14, 0.47, 0.33), fill=first)
        disc(0.27, other)
    elif kind == "heart":
        turn = np.linspace(0, 2 * np.pi, 80)
        x, y = (
            16 * np.sin(turn) ** 3,
            13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn),
        )
        draw.polygon([(middle + a * big / 36, middle - b * big / 36) for a, b in zip(x, y)], fill=first)
    elif kind == "circle":
        disc(0.46, first)
        disc(0.30, other)
    elif kind == "rings":
        for k, radius in enumerate((0.46, 0.37, 0.28, 0.19, 0.1)):
            disc(radius, other if k % 2 else first)
    elif kind == "mountain":
        disc(0.46, other)
        draw.polygon([(0.12 * big, 0.78 * big), (0.42 * big, 0.3 * big), (0.88 * big, 0.78 * big)], fill=first)
    elif kind == "bolt":
        points = ((0.58, 0.04), (0.26, 0.56), (0.47, 0.56), (0.4, 0.96), (0.76, 0.4), (0.53, 0.4))
        draw.polygon([(x * big, y * big) for x, y in points], fill=first)
    else:
        for k in range(5):
            draw.rectangle(
                (0.08 * big, (0.14 + 0.15 * k) * big, 0.92 * big, (0.22 + 0.15 * k) * big),
                fill=other if k % 2 else first,
            )


def _sample(picture: Floats, u: NDArray, v: NDArray) -> Floats:
    """Bilinear values (N, 4) at u to the right, v down, both 0..1."""
    last = len(picture) - 1
    x, y = np.clip(u * last, 0, last - 1e-3), np.clip(v * last, 0, last - 1e-3)
    left, top = x.astype(int), y.astype(int)
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    upper = picture[top, left] * (1 - fx) + picture[top, left + 1] * fx
    lower = picture[top + 1, left] * (1 - fx) + picture[top + 1, left + 1] * fx
    return (upper * (1 - fy) + lower * fy).astype(np.float32)


def apply_details(color: Floats, t: TexelMap, details: tuple[str, ...], base: Rgb, seed: int) -> Floats:
    """Colours (N, 3) with seams, hems, closures, pockets and bands painted on."""
    shade = np.ones(len(color), np.float32)
    if "seams" in details:
        shade *= 1 - 0.28 * _line(_seam_distance(t), 0.0016)
    if "hems" in details:
        shade *= 1 - 0.18 * _line(t.edge_m - 0.02, 0.0012)
    out = color * shade[:, None]
    front = (t.region == TRUNK) & (np.cos(t.turn) > 0)
    if "buttons" in details:
        _buttons(out, t, front, base)
    if "zip" in details:
        _zip(out, t, front)
    if "chest pocket" in details:
        _outline(out, t, front, (0.085, 0.27), (0.055, 0.065), 0.72)
    if "jeans" in details:
        _jeans(out, t, base)
    if "hi-vis" in details:
        _hi_vis(out, t)
    if "side stripes" in details:
        side = np.abs(np.abs(t.turn) - np.pi / 2) * 0.09
        stripe = ((side < 0.004) | (np.abs(side - 0.014) < 0.004)) & (t.position[:, 0] * t.turn > 0)
        out[stripe] = 0.88 if sum(base) < 1.8 else 0.12
    return out


def _line(distance: NDArray, half_width: float) -> Floats:
    return np.clip(1.6 - np.abs(distance) / half_width, 0, 1).astype(np.float32)


def _seam_distance(t: TexelMap) -> Floats:
    """Metres to the nearest side seam, inseam, sleeve seam or armhole, roughly."""
    limb = t.region != TRUNK
    arm = (t.region == LEFT_ARM) | (t.region == RIGHT_ARM)
    side = np.abs(np.abs(t.turn) - np.pi / 2) * np.where(limb, 0.075, 0.14)
    under = (np.pi - np.abs(t.turn)) * 0.05
    marks = t.landmarks
    x, y = np.abs(t.position[:, 0]), t.position[:, 1]
    hole = np.abs(x - (marks.shoulder_x - 0.01 * marks.scale - 0.12 * (y - marks.shoulder_y)))
    hole = np.where(y > marks.shoulder_y - 0.17 * marks.scale, hole, 9)
    return np.minimum(np.where(arm, under, side), hole).astype(np.float32)


def _buttons(out: Floats, t: TexelMap, front: NDArray, base: Rgb) -> None:
    y = t.position[:, 1]
    for edge in (-0.016, 0.016):
        out[front] *= 1 - 0.22 * _line(t.across[front] - edge, 0.0016)[:, None]
    step = 0.088 * t.landmarks.scale
    away = np.hypot(t.across, np.mod(y, step) - step / 2)
    button = front & (away < 0.0065)
    tone = 0.85 if sum(base) < 1.2 else 0.22
    out[button] = np.clip(np.asarray(base) * 0.3 + tone * 0.7, 0, 1)
    out[front & (np.abs(away - 0.0075) < 0.0014)] *= 0.65


def _zip(out: Floats, t: TexelMap, front: NDArray) -> None:
    x = np.abs(t.across)
    out[front & (x < 0.011)] *= 0.82
    teeth = front & (x < 0.0035)
    out[teeth] = (0.32 + 0.28 * (np.mod(t.position[teeth, 1], 0.006) < 0.003))[:, None]


def _outline(
    out: Floats, t: TexelMap, where: NDArray, middle: tuple[float, float], half: tuple[float, float], shade: float
) -> None:
    """Darken the outline of a rectangle on the trunk or leg; middle: across and height, metres on an average adult."""
    scale = t.landmarks.scale
    x = np.abs(t.across - middle[0] * scale) - half[0] * scale
    y = np.abs(t.position[:, 1] - middle[1] * scale) - half[1] * scale
    line = _line(np.maximum(x, y), 0.0018) * where
    out *= 1 - (1 - shade) * line[:, None]


def _jeans(out: Floats, t: TexelMap, base: Rgb) -> None:
    """Back pockets, front pockets, fly, and stitches of ochre thread along the seams and hems."""
    thread = (
        np.array([0.66, 0.46, 0.22], np.float32) if base[2] > base[0] + 0.03 else np.asarray(base, np.float32) * 0.6
    )
    scale, y = t.landmarks.scale, t.position[:, 1]
    x = np.abs(t.position[:, 0])
    back = np.cos(t.turn) < 0
    pocket = np.maximum(np.abs(x - 0.085 * scale) - 0.062 * scale, np.abs(y + 0.07 * scale) - 0.07 * scale)
    opening = np.hypot(x - 0.17 * scale, (y - 0.04 * scale) * 0.8) - 0.075 * scale
    fly = np.where(y > -0.09 * scale, np.abs(t.position[:, 0] - 0.022), 9)
    stitch = np.maximum.reduce(
        [
            _line(pocket, 0.0014) * back,
            _line(opening, 0.0014) * (~back & (y < 0.06 * scale)),
            _line(fly, 0.0012) * ~back * (y < 0.05 * scale),
            _line(t.edge_m - 0.014, 0.0012),
            _line(_seam_distance(t) - 0.006, 0.0011) * (t.region >= LEFT_LEG),
        ]
    )
    dashed = stitch * (0.45 + 0.3 * (np.mod(y, 0.006) < 0.004))
    out *= 1 - dashed[:, None]
    out += dashed[:, None] * thread


def _hi_vis(out: Floats, t: TexelMap) -> None:
    scale, y = t.landmarks.scale, t.position[:, 1]
    trunk = t.region == TRUNK
    for height in (0.02, 0.16):
        out[trunk & (np.abs(y - height * scale) < 0.025 * scale)] = 0.78
    out[trunk & (np.abs(np.abs(t.across) - 0.10 * scale) < 0.025 * scale) & (y > 0.16 * scale)] = 0.78


def apply_wear(color: Floats, t: TexelMap, wear: float, stains: float, seed: int) -> Floats:
    """Colours (N, 3) faded in patches and at the edges by `wear`, darkened in spots by `stains`, both 0..1."""
    out = color
    if wear > 0.05:
        patch = np.clip(noise_3d(t.position * np.float32(7), seed + 21) * 1.6 - 0.6, 0, 1)
        rim = np.exp(-((t.edge_m / 0.008) ** 2)).astype(np.float32)
        faded = (wear * (0.22 * patch + 0.35 * rim))[:, None]
        grey = out.mean(1, keepdims=True) * 0.6 + 0.24
        out = out + (grey - out) * faded
    if stains > 0.04:
        spot = np.clip((noise_3d(t.position * np.float32(16), seed + 31) - 0.72) * 7, 0, 1) * stains
        out = out * (1 - spot[:, None] * np.array([0.35, 0.42, 0.5], np.float32))
    return out
