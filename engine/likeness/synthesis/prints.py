"""Patterns of cloth as functions of metres on the cloth: stripes, checks, dots, flowers, camouflage, denim and more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from likeness.synthesis.noise import fractal_2d, grain, hash_cells, noise_2d, noise_3d
from likeness.synthesis.palette import Rgb
from likeness.synthesis.texels import LEFT_LEG, TRUNK, TexelMap

Floats = NDArray[np.float32]

# The repeat of each pattern, metres.
SCALES: dict[str, tuple[float, float]] = {
    "horizontal stripes": (0.016, 0.14), "vertical stripes": (0.014, 0.10), "diagonal stripes": (0.02, 0.12),
    "pinstripe": (0.012, 0.03), "plaid": (0.05, 0.16), "gingham": (0.012, 0.05), "dots": (0.018, 0.07),
    "floral": (0.03, 0.12), "camouflage": (0.06, 0.14), "leopard": (0.03, 0.06), "zebra": (0.05, 0.1),
    "tie-dye": (0.08, 0.25), "gradient": (0.3, 0.7), "argyle": (0.06, 0.14), "chevron": (0.03, 0.1),
    "ribs": (0.006, 0.014), "corduroy": (0.006, 0.012), "herringbone": (0.012, 0.03), "lace": (0.02, 0.04),
}  # fmt: skip
# The least repeat in texels that shows a pattern for what it is; smaller prints on large garments are enlarged to it.
FINEST = {
    "horizontal stripes": 6, "vertical stripes": 6, "diagonal stripes": 6, "plaid": 16, "gingham": 6, "dots": 7,
    "floral": 20, "leopard": 13, "zebra": 14, "argyle": 14, "chevron": 8, "lace": 14, "camouflage": 14,
}  # fmt: skip
MATERIAL_OF = {
    "denim": "denim", "leather": "leather", "corduroy": "corduroy", "ribs": "knitted", "argyle": "knitted",
    "lace": "lace", "felt": "felt", "straw": "straw", "canvas": "canvas", "pinstripe": "wool", "herringbone": "wool",
}  # fmt: skip


def _rgb(*values: int) -> Rgb:
    return values[0] / 255, values[1] / 255, values[2] / 255


# Four colours each, the dominant first.
CAMOUFLAGE: tuple[tuple[Rgb, ...], ...] = (
    (_rgb(92, 94, 50), _rgb(58, 60, 38), _rgb(96, 66, 44), _rgb(40, 38, 34)),
    (_rgb(176, 158, 120), _rgb(140, 118, 84), _rgb(104, 88, 64), _rgb(200, 186, 156)),
    (_rgb(140, 144, 146), _rgb(92, 96, 100), _rgb(190, 192, 194), _rgb(52, 54, 58)),
    (_rgb(62, 80, 56), _rgb(104, 112, 72), _rgb(44, 46, 40), _rgb(142, 132, 96)),
)
ANIMALS: dict[str, tuple[Rgb, ...]] = {
    "leopard": (_rgb(186, 144, 92), _rgb(44, 34, 28), _rgb(132, 90, 52)),
    "zebra": (_rgb(232, 230, 224), _rgb(34, 32, 34), _rgb(232, 230, 224)),
}


def pattern_colors(
    pattern: str, texels: TexelMap, colors: tuple[Rgb, ...], scale: float, angle: float, seed: int
) -> Floats:
    """sRGB colours (N, 3) 0..1 of a pattern in PATTERNS; scale: its repeat in metres; angle in radians."""
    paint = PATTERNS.get(pattern, _plain)
    scale = max(scale, FINEST.get(pattern, 0.0) * texel_m(texels))
    return paint(texels, np.asarray(colors, np.float32), scale, angle, seed)


def texel_m(texels: TexelMap) -> float:
    """Side of a texel on the cloth, metres (median of the longer side)."""
    place = np.full(texels.size * texels.size, -1, np.int32)
    place[texels.index] = np.arange(len(texels.index))
    here = np.arange(0, len(texels.index), 23)
    longest = np.zeros(len(here))
    for step in (1, texels.size):
        other = place[np.minimum(texels.index[here] + step, len(place) - 1)]
        apart = np.linalg.norm(texels.position[other] - texels.position[here], axis=1)
        # Neighbours that lie far apart belong to two islands.
        longest = np.maximum(longest, np.where((other >= 0) & (apart < 0.03), apart, 0))
    return float(np.median(longest)) + 1e-4


def band(coordinate: NDArray, period: float, share: float, soft: float) -> Floats:
    """Coverage (N,) 0..1 of stripes that take `share` of each period, with edges `soft` metres wide."""
    away = np.abs(np.mod(coordinate / period, 1) - 0.5) * period
    # A stripe narrower than the edge's softness is as much paler.
    peak = min(1.0, share * period / soft)
    return (np.clip((share * period / 2 - away) / soft + 0.5, 0, 1) * peak).astype(np.float32)


def mix(low: NDArray, high: NDArray, share: NDArray) -> Floats:
    """`low` where share (N,) is 0, `high` where it is 1; both (3,) or (N, 3)."""
    return (low + (high - low) * share[:, None]).astype(np.float32)


def _plain(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    return np.broadcast_to(c[0], (len(t.index), 3)).astype(np.float32)


def _melange(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    fleck = 0.35 * noise_3d(t.position * np.float32(260), seed) + 0.65 * grain(len(t.index), seed + 1)
    return c[0] * (1 + 0.34 * (fleck - 0.5))[:, None]


def _horizontal(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    return _stripes(t.along, t, c, scale, seed)


def _vertical(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    return _stripes(t.across, t, c, scale, seed)


def _diagonal(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    return _stripes(t.along * np.float32(0.8) + t.across * np.float32(0.6), t, c, scale, seed)


def _stripes(x: Floats, t: TexelMap, c: Floats, scale: float, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    soft = max(texel_m(t), 0.0012)
    out = mix(c[0], c[1], band(x, scale, float(rng.uniform(0.15, 0.5)), soft))
    if rng.random() < 0.3:
        out = mix(out, c[2], band(x + scale / 2, scale * (2 if rng.random() < 0.3 else 1), 0.12, soft))
    return out


def _pinstripe(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    pale = c[0] + (0.9 - c[0]) * 0.45
    line = band(t.across, scale, 0.0014 / scale, max(texel_m(t), 0.0012))
    return mix(c[0], pale, line * (0.6 + 0.4 * grain(len(line), seed)))


def _plaid(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    """A tartan: the same sequence of coloured threads both ways, twilled over one another."""
    rng = np.random.default_rng(seed)
    soft = max(texel_m(t), 0.0012)
    threads = [(1, 0.0, rng.uniform(0.3, 0.5)), (2, rng.uniform(0.3, 0.5), rng.uniform(0.05, 0.12))]
    threads += [(1, rng.uniform(0.35, 0.6), rng.uniform(0.03, 0.08)), (2, 0.5, 0.03)]
    ways = []
    for x in (t.across + np.float32(scale / 2), t.along):
        way = np.broadcast_to(c[0], (len(x), 3))
        for color, shift, share in threads:
            way = mix(way, c[color], band(x + shift * scale, scale, share, soft))
        ways.append(way)
    return (0.5 * ways[0] + 0.5 * ways[1]).astype(np.float32)


def _gingham(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    soft = max(texel_m(t), 0.0012)
    white = np.array([0.93, 0.93, 0.91], np.float32)
    share = (band(t.across, scale, 0.52, soft) + band(t.along, scale, 0.52, soft)) / 2
    return mix(white, c[0], share)


def _dots(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    radius, soft = scale * float(rng.uniform(0.16, 0.3)), max(texel_m(t), 0.0012)
    row = np.floor(t.along / (scale * 0.866))
    x = np.mod(t.across + 0.5 * scale * np.mod(row, 2), scale) - scale / 2
    y = t.along - (row + 0.5) * scale * 0.866
    return mix(c[0], c[1], np.clip((radius - np.hypot(x, y)) / soft + 0.5, 0, 1))


def _floral(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    """Flowers of five petals and leaves, thrown on jittered cells in two sizes."""
    rng = np.random.default_rng(seed)
    green = np.array([0.20, 0.34, 0.18], np.float32) * float(rng.uniform(0.7, 1.4))
    soft = max(texel_m(t), 0.0012)
    out = np.broadcast_to(c[0], (len(t.index), 3)).astype(np.float32)
    petals = int(rng.integers(4, 7))
    for size, fill, color in ((1.0, 0.75, 1), (0.62, 0.6, 2), (0.45, 0.5, 1)):
        cell = scale * size
        salt = seed + int(size * 100)
        u, v = t.across / cell + size, t.along / cell + 3 * size
        column, row = np.floor(u), np.floor(v)
        x = (u - column - 0.5 - 0.3 * (hash_cells(column, row, salt) - 0.5)) * cell
        y = (v - row - 0.5 - 0.3 * (hash_cells(column, row, salt + 1) - 0.5)) * cell
        here = hash_cells(column, row, salt + 2) < fill
        spin = hash_cells(column, row, salt + 3) * 6.2832
        radius, turn = np.hypot(x, y), np.arctan2(y, x) + spin
        leaf = cell * 0.44 * np.maximum(np.cos(turn * 1.5 + 1), 0) ** 3
        out = mix(out, green, here * np.clip((leaf - radius) / soft + 0.5, 0, 1) * 0.9)
        petal = cell * 0.33 * (0.62 + 0.38 * np.abs(np.cos(turn * petals / 2)) ** 0.7)
        inside = here * np.clip((petal - radius) / soft + 0.5, 0, 1)
        shade = 0.72 + 0.4 * np.clip(radius / np.maximum(petal, 1e-6), 0, 1)
        out = mix(out, np.clip(c[color] * shade[:, None], 0, 1), inside)
        heart = here * np.clip((cell * 0.07 - radius) / soft + 0.5, 0, 1)
        out = mix(out, np.array([0.85, 0.68, 0.2], np.float32) * (0.5 if color == 2 else 1), heart)
    return out


def _camouflage(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    out = np.broadcast_to(c[0], (len(t.index), 3)).astype(np.float32)
    stretch = np.array([1.0, 1.7, 1.0], np.float32) / np.float32(scale)
    for k in range(1, 4):
        place = t.position * stretch * np.float32(1.25)
        field = noise_3d(place, seed + 7 * k) + 0.35 * noise_3d(place * np.float32(2.7), seed + 7 * k + 3)
        out = mix(out, c[k % len(c)], np.clip((field - (0.80, 0.83, 0.92)[k - 1]) * 40, 0, 1))
    return out


def _leopard(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    """Rosettes: broken dark rings around browner middles on jittered cells."""
    wobble = scale * 0.3
    u = (t.across + wobble * (noise_2d(t.across / scale * 1.6, t.along / scale * 1.6, seed) - 0.5)) / scale
    v = (t.along + wobble * (noise_2d(t.across / scale * 1.6, t.along / scale * 1.6, seed + 9) - 0.5)) / scale
    row = np.floor(v)
    u = u + 0.5 * np.mod(row, 2)
    column = np.floor(u)
    x = u - column - 0.5 - 0.25 * (hash_cells(column, row, seed) - 0.5)
    y = v - row - 0.5 - 0.25 * (hash_cells(column, row, seed + 1) - 0.5)
    radius = np.hypot(x, y) * (1.25 - 0.3 * hash_cells(column, row, seed + 2))
    ring = np.clip((0.12 - np.abs(radius - 0.27)) * 14, 0, 1)
    gap = noise_2d(t.across / scale * 3.1, t.along / scale * 3.1, seed + 4) > 0.36
    out = mix(c[0], c[2], np.clip((0.27 - radius) * 12, 0, 1) * 0.8)
    return mix(out, c[1], ring * gap)


def _zebra(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    warp = 1.3 * fractal_2d(t.across / scale * 0.9, t.along / scale * 0.9, seed, 2)
    wave = np.sin((t.along / scale * 1.4 + 0.35 * t.across / scale + warp) * 6.2832)
    return mix(c[0], c[1], np.clip(wave * 5 + 0.3, 0, 1))


def _tie_dye(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    x, y = t.across, t.along - np.float32(0.2)
    radius, turn = np.hypot(x, y), np.arctan2(y, x)
    ripple = noise_3d(t.position * np.float32(22), seed) + 0.5 * noise_3d(t.position * np.float32(60), seed + 2)
    phase = radius / scale + turn / 6.2832 * round(1 + 2 * abs(angle)) + 0.35 * ripple
    wave = 0.5 + 0.5 * np.sin(phase * 6.2832)
    out = mix(c[0], c[1], np.clip(wave * 1.8 - 0.6, 0, 1))
    return mix(
        out,
        np.array([0.92, 0.92, 0.9], np.float32),
        np.clip(noise_3d(t.position * np.float32(14), seed + 4) - 0.45, 0, 1),
    )


def _gradient(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    y = t.position[:, 1]
    low, high = np.percentile(y[::50], [2, 98])
    share = (high - y) / max(high - low, 0.05)
    return mix(c[0], c[1], np.clip((share - 0.3) * 1.6 + 0.1 * (noise_3d(t.position * 9, seed) - 0.5), 0, 1))


def _argyle(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    soft = max(texel_m(t), 0.0012) / scale
    u, v = t.across / scale, t.along / (scale * 1.5)
    a, b = np.mod(u + v, 1), np.mod(u - v, 1)
    cell = np.mod(np.floor(u + v) + np.floor(u - v), 2)
    kind = np.mod(np.floor(u + v), 2)
    out = mix(c[0], c[1], (cell == 0) * (kind == 0) * 1.0)
    out = mix(out, c[2], (cell == 0) * (kind == 1) * 0.85)
    line = np.minimum(np.abs(a - 0.5), np.abs(b - 0.5))
    return mix(out, np.clip(c[0] * 0.4 + 0.5, 0, 1), np.clip((0.02 - line) / soft + 0.5, 0, 1) * 0.8)


def _chevron(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    zigzag = np.abs(np.mod(t.across / (scale * 1.6), 1) - 0.5) * scale * 1.6
    return mix(c[0], c[1], band(t.along + zigzag, scale, 0.48, max(texel_m(t), 0.0012)))


def _herringbone(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    column = np.mod(np.floor(t.across / scale), 2) * 2 - 1
    thread = band(t.along + column * t.across, 0.006, 0.5, max(texel_m(t), 0.003))
    return c[0] * (1 + 0.28 * (thread - 0.5) + 0.1 * (grain(len(thread), seed) - 0.5))[:, None]


def _ribs(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    fade = min(1.0, scale / (3 * texel_m(t)))
    rib = np.cos(t.across / scale * 6.2832)
    stitch = np.cos(t.along / 0.005 * 6.2832) * min(1.0, 0.005 / (3 * texel_m(t)))
    return c[0] * (1 + fade * 0.13 * rib + 0.04 * stitch)[:, None].astype(np.float32)


def _lace(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    out = _floral(
        t, np.stack([c[0] * 0.82, np.minimum(c[0] * 1.12, 1), np.minimum(c[0] * 1.06, 1)]), scale, angle, seed
    )
    flower = out.mean(1) / max(float(c[0].mean()), 1e-3)
    return c[0] * np.clip(0.35 + 0.62 * flower, 0.75, 1.12)[:, None]


def _denim(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    """Twill of dyed and white threads, faded on the thighs, knees and seat, streaked along the leg."""
    rng = np.random.default_rng(seed)
    wash = float(rng.uniform(0.0, 0.5)) ** 1.5
    streak = noise_2d(t.across * 260, t.along * 22, seed) - 0.5 + 0.5 * (grain(len(t.index), seed) - 0.5)
    faded = np.zeros(len(t.index), np.float32)
    if (t.region >= LEFT_LEG).any():
        front = np.clip(np.cos(t.turn), 0, 1) * np.exp(-(((t.along + 0.32) / 0.22) ** 2))
        seat = np.clip(-np.cos(t.turn), 0, 1) * np.exp(-(((t.along + 0.12) / 0.10) ** 2))
        faded = (front + 0.7 * seat) * (0.7 + 0.6 * noise_3d(t.position * 11, seed + 1))
    rim = np.exp(-((t.edge_m / 0.012) ** 2)) * 0.4
    light = np.clip(wash * faded + wash * rim + 0.10 * streak, -0.2, 0.8)
    pale = c[0] * 0.35 + 0.58
    return np.where(light[:, None] > 0, mix(c[0], pale, np.maximum(light, 0)), c[0] * (1 + light[:, None]))


def _leather(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    pebble = noise_3d(t.position * np.float32(150), seed) - 0.5
    patina = noise_3d(t.position * np.float32(12), seed + 1) - 0.5
    return c[0] * (1 + 0.10 * pebble + 0.16 * patina)[:, None].astype(np.float32)


def _corduroy(t: TexelMap, c: Floats, scale: float, angle: float, seed: int) -> Floats:
    x = t.across if bool((t.region != TRUNK).any()) or angle > -2 else t.along
    return c[0] * (1 + min(1.0, scale / (3 * texel_m(t))) * 0.12 * np.cos(x / scale * 6.2832))[:, None]


PATTERNS: dict[str, Callable[[TexelMap, Floats, float, float, int], Floats]] = {
    "plain": _plain, "melange": _melange, "horizontal stripes": _horizontal, "vertical stripes": _vertical,
    "diagonal stripes": _diagonal, "pinstripe": _pinstripe, "plaid": _plaid, "gingham": _gingham, "dots": _dots,
    "floral": _floral, "camouflage": _camouflage, "leopard": _leopard, "zebra": _zebra, "tie-dye": _tie_dye,
    "gradient": _gradient, "argyle": _argyle, "chevron": _chevron, "herringbone": _herringbone, "ribs": _ribs,
    "lace": _lace, "denim": _denim, "leather": _leather, "corduroy": _corduroy,
}  # fmt: skip
