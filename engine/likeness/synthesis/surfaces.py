"""Procedural surfaces of rooms and streets, evaluated on tensors of points on any device."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

TILE_PX = 512
Rgb = tuple[float, float, float]


@lru_cache(maxsize=4)
def _fractal_tile(channel: int, device: str) -> Tensor:
    """A repeating field (1, 1, 513, 513) with all octaves in it, mean 0.5, spread about 0.17."""
    rng = np.random.default_rng(channel)
    frequency = np.fft.fftfreq(TILE_PX) * TILE_PX
    radius = np.hypot(frequency[:, None], frequency[None])
    amplitude = np.where(radius > 0, 1 / np.maximum(radius, 2.0) ** 1.35, 0)
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((TILE_PX, TILE_PX))) * amplitude).real
    field = np.clip(0.5 + 0.17 * (field - field.mean()) / field.std(), 0, 1).astype(np.float32)
    return torch.from_numpy(np.pad(field, ((0, 1), (0, 1)), mode="wrap"))[None, None].to(device)


def fractal(u: Tensor, v: Tensor, period_m: float, channel: int = 0) -> Tensor:
    """Noise 0..1 with mean 0.5 at points of a plane (...), repeating after `period_m`."""
    tile = _fractal_tile(channel % 4, str(u.device))
    at = torch.stack([u, v]) / period_m
    wrapped = (at - at.floor()) * (2 * TILE_PX / (TILE_PX + 1)) - TILE_PX / (TILE_PX + 1)
    found = grid_sample(tile, wrapped.reshape(2, -1).T[None, None], mode="bilinear", align_corners=False)
    return found.reshape(u.shape)


def cell_random(column: Tensor, row: Tensor, seed: float) -> Tensor:
    """Values 0..1, one for each integer cell, from whole-number arithmetic that floats hold exactly."""
    mixed = torch.remainder(column * 127 + row * 311 + seed, 8191)
    mixed = torch.remainder(mixed * 1511 + 89, 8191)
    mixed = torch.remainder(mixed * 1013 + 71, 8191)
    return mixed / 8191


def line(x: Tensor, period: float, width: float, soft: Tensor | float) -> Tensor:
    """Coverage 0..1 of lines `width` wide every `period` metres, edges `soft` metres wide."""
    away = (torch.remainder(x, period) - period / 2).abs() - (period / 2 - width / 2)
    return ((away / soft) + 0.5).clamp(0, 1)


def tint(color: Rgb, like: Tensor) -> Tensor:
    """Three numbers as a tensor (3, 1) beside another one; shared, so never to be changed in place."""
    return _on_device(tuple(float(part) for part in color), like.dtype, like.device)


@lru_cache(maxsize=8192)
def _on_device(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    # Every copy to a graphics card waits for it; a place has a few hundred colours that each view uses again.
    return torch.tensor(values, dtype=dtype, device=device)[:, None]


# Each look: (u, v, soft, color, second, seed) -> albedo (3, N). u to the right and v up along the face in metres, v
# = 0 at the floor; soft: metres that a pixel covers there; colours linear.
Look = Callable[[Tensor, Tensor, Tensor, Rgb, Rgb, int], Tensor]


def _plaster(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    shade = 0.90 + 0.2 * fractal(u + seed, v, 5.3, seed) + 0.05 * (fractal(u, v + seed, 0.8, seed + 1) - 0.5)
    return shade * tint(color, u)


def _wallpaper(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    stripe = line(u, 0.12 + 0.02 * (seed % 7), 0.05, soft + 0.002)
    base = tint(color, u) * (1 - stripe) + tint(second, u) * stripe
    return base * (0.92 + 0.16 * fractal(u, v, 4.0, seed))


def _brick(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    height, width = 0.075, 0.24
    row = (v / height).floor()
    shifted = u + 0.5 * width * torch.remainder(row, 2)
    column = (shifted / width).floor()
    tone = 0.62 + 0.7 * cell_random(column, row, seed)
    joint = torch.maximum(line(v, height, 0.012, soft + 0.003), line(shifted, width, 0.012, soft + 0.003))
    face = tint(color, u) * (tone * (0.8 + 0.4 * fractal(u, v, 1.1, seed)))
    return face * (1 - joint * 0.8) + tint((0.42, 0.40, 0.37), u) * joint * 0.8


def _planks(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    width = 0.09 + 0.03 * (seed % 4)
    plank = (u / width).floor()
    start = v + 1.7 * cell_random(plank, plank * 0, seed)
    board = (start / 1.4).floor()
    tone = 0.7 + 0.55 * cell_random(plank, board, seed + 3)
    grain = (
        fractal(u * 14 + 3 * plank, v * 0.9, 2.1, seed) * 0.6 + fractal(u * 40, v * 2.3 + plank, 2.1, seed + 1) * 0.4
    )
    joint = torch.maximum(line(u, width, 0.003, soft + 0.002), line(start, 1.4, 0.003, soft + 0.002))
    joint = joint * (0.004 / (soft + 0.004))
    return (tone * (0.62 + 0.76 * grain) * (1 - 0.65 * joint)) * tint(color, u)


def _tiles(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    side = (0.3, 0.45, 0.6, 0.2)[seed % 4]
    column, row = (u / side).floor(), (v / side).floor()
    tone = 0.9 + 0.2 * cell_random(column, row, seed) + 0.16 * (fractal(u, v, 2.3, seed) - 0.5)
    base = tint(color, u) * tone
    if seed % 3 == 0:
        odd = torch.remainder(column + row, 2)
        base = base * (1 - odd) + tint(second, u) * tone * odd
    joint = torch.maximum(line(u, side, 0.006, soft + 0.002), line(v, side, 0.006, soft + 0.002))
    return base * (1 - 0.45 * joint * (0.008 / (soft + 0.008)))


def _carpet(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    shade = (
        0.75 + 0.3 * fractal(u, v, 3.1, seed) + 0.35 * (fractal(u, v, 0.35, seed + 1) - 0.5) * (0.01 / (soft + 0.01))
    )
    return shade * tint(color, u)


def _concrete(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    shade = 0.7 + 0.45 * fractal(u, v, 6.1, seed) + 0.3 * (fractal(u, v, 0.9, seed + 1) - 0.5) * (0.02 / (soft + 0.02))
    joint = torch.maximum(line(u, 2.4, 0.012, soft + 0.004), line(v, 2.4, 0.012, soft + 0.004))
    return (shade * (1 - 0.25 * joint)) * tint(color, u)


def _pavement(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    side = (0.5, 0.4, 0.3)[seed % 3]
    row = (v / side).floor()
    shifted = u + side / 2 * torch.remainder(row, 2)
    tone = 0.82 + 0.3 * cell_random((shifted / side).floor(), row, seed) + 0.3 * (fractal(u, v, 4.7, seed) - 0.5)
    speck = 0.3 * (fractal(u, v, 0.5, seed + 1) - 0.5) * (0.01 / (soft + 0.01))
    joint = torch.maximum(line(v, side, 0.012, soft + 0.003), line(shifted, side, 0.012, soft + 0.003))
    return ((tone + speck) * (1 - 0.45 * joint * (0.02 / (soft + 0.02)))) * tint(color, u)


def _grass(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    patch = fractal(u, v, 9.3, seed)
    blade = fractal(u, v, 0.9, seed + 1) + 0.6 * fractal(u * 1.3, v * 0.7, 0.31, seed + 2) * (0.02 / (soft + 0.02))
    base = tint(color, u) * (1.3 - patch) + tint(second, u) * (patch - 0.3).clamp(min=0)
    return (base * (0.35 + 0.85 * blade)).clamp(min=0.004)


def _sand(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    ripple = fractal(u * 0.5, v * 1.6, 1.7, seed) * 0.4 + fractal(u, v, 5.9, seed + 1) * 0.6
    grain = 0.25 * (fractal(u, v, 0.35, seed + 2) - 0.5) * (0.008 / (soft + 0.008))
    return (0.72 + 0.5 * ripple + grain) * tint(color, u)


def _asphalt(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    shade = (
        0.75 + 0.4 * fractal(u, v, 7.7, seed) + 0.5 * (fractal(u, v, 0.45, seed + 1) - 0.5) * (0.012 / (soft + 0.012))
    )
    return shade * tint(color, u)


def _facade(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    """Storeys of windows with frames, sills and curtains; shop windows at the bottom of some."""
    bay, storey = 1.6 + 0.3 * (seed % 5), 2.9 + 0.1 * (seed % 4)
    wall = _brick(u, v, soft, color, second, seed) if seed % 3 == 0 else _plaster(u, v, soft, color, second, seed)
    column, row = (u / bay).floor(), (v / storey).floor()
    x, y = u - (column + 0.5) * bay, v - (row + 0.5) * storey
    shop = (row < 0.5) if seed % 2 else row < -9
    half_w = torch.where(shop, bay * 0.45, bay * (0.24 + 0.03 * (seed % 4)))
    half_h = torch.where(shop, storey * 0.36, storey * (0.24 + 0.02 * (seed % 3)))
    inside = torch.minimum(half_w - x.abs(), half_h - y.abs())
    edge = soft + 0.02
    frame = (inside / edge + 0.5).clamp(0, 1)
    glass = ((inside - 0.07) / edge + 0.5).clamp(0, 1)
    bars = ((0.03 - torch.minimum(x.abs(), (y - half_h * 0.2).abs())) / edge + 0.5).clamp(0, 1)
    dark = 0.03 + 0.10 * cell_random(column, row, seed + 1) + 0.09 * fractal(u, v, 3.0, seed)
    curtain = (cell_random(column, row, seed + 2) > 0.6) & (y > half_h * (1 - 2 * cell_random(column, row, seed + 4)))
    pane = torch.where(curtain, tint((0.35, 0.33, 0.29), u), dark * tint((0.85, 0.95, 1.1), u))
    pane = pane * (1 - 0.6 * bars) + tint(second, u) * 0.6 * bars
    sill = ((x.abs() < half_w + 0.1) & ((y + half_h + 0.06).abs() < 0.06)) & ~shop
    wall = torch.where(sill, tint(second, u) * 0.8, wall)
    wall = wall * (1 - 0.25 * ((v - (row * storey)).abs() < 0.12).float() * (row > 0))
    return wall * (1 - frame) + tint(second, u) * 0.8 * (frame * (1 - glass)) + pane * glass


def _books(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    """Shelves with backs of books, gaps and dark depth."""
    storey = 0.34
    row = (v / storey).floor()
    y = v - row * storey
    thickness = 0.034
    book = (u / thickness + 9 * cell_random(row, row, seed)).floor()
    height = storey * (0.55 + 0.3 * cell_random(book, row, seed + 1))
    hue = [cell_random(book, row, seed + 2 + k) for k in range(3)]
    bright = 0.5 * (0.1 + cell_random(book, row, seed + 7)).square()
    spine = (0.55 + 0.5 * torch.stack(hue)) * bright * tint((1.1, 1.0, 0.85), u) + 0.015
    there = (y < height) & (cell_random((book / 5).floor(), row, seed + 8) > 0.2)
    inner = torch.where(there, spine, tint((0.03, 0.025, 0.02), u))
    board = line(v, storey, 0.035, soft + 0.004)
    side = line(u, 0.9, 0.04, soft + 0.004)
    return inner * (1 - torch.maximum(board, side)) + tint(color, u) * torch.maximum(board, side)


def _curtain(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    fold = torch.sin(u * (34 + seed % 9) + 5 * fractal(u, v * 0.12, 2.0, seed))
    return ((0.72 + 0.28 * fold) * (0.9 + 0.2 * fractal(u, v, 1.9, seed + 1))) * tint(color, u)


def _picture(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    """Something abstract or a landscape; what hangs on walls is told by nobody at a distance."""
    a, b = fractal(u, v, 1.3, seed), fractal(u + 0.4, v + 0.9, 2.2, seed + 1)
    third = tint((0.5 * second[2] + 0.1, 0.4 * color[0] + 0.05, 0.3 * color[1] + 0.1), u)
    shape = ((a - 0.5) * 18).sigmoid()
    other = ((b - 0.55) * 14).sigmoid()
    return (tint(color, u) * (1 - shape) + tint(second, u) * shape) * (1 - other) + third * other


def _wood(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    grain = fractal(u * 9, v * 0.7, 2.0, seed)
    seam = torch.maximum(line(u, 0.5, 0.006, soft + 0.003), line(v, 0.42, 0.006, soft + 0.003))
    return ((0.65 + 0.7 * grain) * (1 - 0.5 * seam)) * tint(color, u)


def _plain(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    return (0.93 + 0.14 * fractal(u, v, 1.7, seed)) * tint(color, u)


def _fabric(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    shade = 0.8 + 0.3 * fractal(u, v, 1.3, seed) + 0.2 * (fractal(u, v, 0.2, seed + 1) - 0.5) * (0.01 / (soft + 0.01))
    seam = line(u, 0.7, 0.02, soft + 0.01)
    return (shade * (1 - 0.35 * seam)) * tint(color, u)


def _door(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    """Two panels in a frame."""
    grain = fractal(u * 9, v * 0.7, 2.0, seed)
    lower = torch.minimum(0.28 - u.abs(), 0.34 - (v - 0.52).abs())
    upper = torch.minimum(0.28 - u.abs(), 0.42 - (v - 1.42).abs())
    panel = torch.maximum(lower, upper)
    edge = (1 - (panel.abs() / (soft + 0.012))).clamp(0, 1)
    return ((0.85 + 0.3 * grain * (1 if seed % 2 else 0.3)) * (1 - 0.35 * edge)) * tint(color, u)


def _water(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    """Waves, and foam where it meets the shore."""
    wave = fractal(u * 0.35, v * 1.5, 9.0, seed) * 0.6 + fractal(u * 0.6, v * 2, 2.5, seed + 1) * 0.4
    foam = ((fractal(u * 0.2, v, 11.0, seed + 2) - 0.66) * 14).clamp(0, 1) * 0.5
    return tint(color, u) * (0.5 + wave) * (1 - foam) + foam * tint((0.6, 0.62, 0.62), u)


def _car(u: Tensor, v: Tensor, soft: Tensor, color: Rgb, second: Rgb, seed: int) -> Tensor:
    edge = soft + 0.02
    wheel = (
        (
            0.33
            - torch.minimum(
                ((u - 1.3).square() + (v - 0.3).square()).sqrt(), ((u + 1.3).square() + (v - 0.3).square()).sqrt()
            )
        )
        / edge
        + 0.5
    ).clamp(0, 1)
    glass = (torch.minimum(v - 0.9, 1.38 - v) / edge + 0.5).clamp(0, 1) * (1 - line(u, 1.0, 0.07, edge))
    paint = (0.75 + 0.3 * (v / 0.9).clamp(0, 1)) * tint(color, u)
    paint = paint * (1 - glass) + tint((0.05, 0.06, 0.07), u) * glass
    low = torch.maximum(wheel, ((0.2 - v) / edge + 0.5).clamp(0, 1))
    return paint * (1 - low) + tint((0.012, 0.012, 0.012), u) * low


LOOKS: dict[str, Look] = {
    "plaster": _plaster, "wallpaper": _wallpaper, "brick": _brick, "planks": _planks, "tiles": _tiles,
    "carpet": _carpet, "concrete": _concrete, "pavement": _pavement, "grass": _grass, "sand": _sand,
    "asphalt": _asphalt, "facade": _facade, "books": _books, "curtain": _curtain, "picture": _picture, "wood": _wood,
    "plain": _plain, "fabric": _fabric, "car": _car, "door": _door, "water": _water,
}  # fmt: skip
