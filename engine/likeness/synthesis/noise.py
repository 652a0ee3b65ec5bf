"""Smooth random fields from small repeating tables; fast enough to be looked up for every texel."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
CELLS_2D, CELLS_3D, STEPS = 32, 16, 4


@lru_cache(maxsize=32)
def tile_2d(seed: int) -> Floats:
    """A repeating field (128, 128) of 32 x 32 cells, values 0..1, mean near 0.5."""
    return _smooth(np.random.default_rng((seed, 2)).random((CELLS_2D,) * 2, np.float32))


@lru_cache(maxsize=32)
def tile_3d(seed: int) -> Floats:
    """A repeating field (64, 64, 64) of 16 cells a side, values 0..1, mean near 0.5."""
    return _smooth(np.random.default_rng((seed, 3)).random((CELLS_3D,) * 3, np.float32))


def noise_2d(x: NDArray, y: NDArray, seed: int) -> Floats:
    """Smooth values 0..1 at x, y (N,); one cell is one unit; repeats every 32 units."""
    table = tile_2d(seed % 32)
    size = len(table)
    shift = (seed * 7.31) % CELLS_2D
    low_x, high_x, share_x = _place(x + shift, size)
    low_y, high_y, share_y = _place(y + 1.7 * shift, size)
    flat = table.ravel()
    low = flat[low_x * size + low_y] * (1 - share_y) + flat[low_x * size + high_y] * share_y
    high = flat[high_x * size + low_y] * (1 - share_y) + flat[high_x * size + high_y] * share_y
    return low * (1 - share_x) + high * share_x


def noise_3d(points: NDArray, seed: int) -> Floats:
    """Smooth values 0..1 at points (N, 3); one cell is one unit; repeats every 16 units."""
    table = tile_3d(seed % 32)
    size = len(table)
    shift = (seed * 5.77) % CELLS_3D
    axes = [_place(points[:, axis] + shift * (1 + 0.37 * axis), size) for axis in range(3)]
    flat = table.ravel()
    total = np.zeros(len(points), np.float32)
    for bits in range(8):
        index = np.zeros(len(points), np.int32)
        share = np.ones(len(points), np.float32)
        for axis, (low, high, part) in enumerate(axes):
            upper = bits >> axis & 1
            index = index * size + (high if upper else low)
            share = share * (part if upper else 1 - part)
        total += flat[index] * share
    return total


def fractal_2d(x: NDArray, y: NDArray, seed: int, octaves: int = 3) -> Floats:
    """Sum of octaves of `noise_2d`, values 0..1."""
    total, weight, sum_of_weights = np.zeros(len(x), np.float32), 1.0, 0.0
    for octave in range(octaves):
        total += weight * noise_2d(x * 2.03**octave, y * 2.03**octave, seed + octave)
        sum_of_weights += weight
        weight *= 0.5
    return total / np.float32(sum_of_weights)


def grain(count: int, seed: int) -> Floats:
    """Independent values (count,) in 0..1, the same for the same seed."""
    return np.random.default_rng((seed, 1)).random(count, np.float32)


def hash_cells(column: NDArray, row: NDArray, seed: int) -> Floats:
    """Reproducible values 0..1 for integer cells, by integer mixing."""
    mixed = column.astype(np.int64).astype(np.uint32) * np.uint32(0x9E3779B1)
    mixed ^= row.astype(np.int64).astype(np.uint32) * np.uint32(0x85EBCA77)
    mixed += np.uint32((seed * 0xC2B2AE3D) & 0xFFFFFFFF)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        mixed ^= mixed >> np.uint32(shift)
        mixed *= np.uint32(factor)
    mixed ^= mixed >> np.uint32(16)
    return (mixed >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24)


def _smooth(lattice: Floats) -> Floats:
    """The lattice with `STEPS` cubic-eased steps between its values along every axis."""
    share = np.arange(STEPS) / STEPS
    share = (share * share * (3 - 2 * share)).astype(np.float32)
    for axis in range(lattice.ndim):
        following = np.roll(lattice, -1, axis)
        shape = [1] * (lattice.ndim + 1)
        shape[axis + 1] = STEPS
        weight = share.reshape(shape)
        fine = np.expand_dims(lattice, axis + 1) * (1 - weight) + np.expand_dims(following, axis + 1) * weight
        lattice = fine.reshape([n * STEPS if k == axis else n for k, n in enumerate(lattice.shape)])
    # Two eased neighbours flatten the spread; stretch it back about the middle.
    return np.clip(0.5 + (lattice - 0.5) * 1.35, 0, 1).astype(np.float32)


def _place(value: NDArray, size: int) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
    scaled = np.asarray(value, np.float32) * np.float32(STEPS)
    floor = np.floor(scaled)
    low = floor.astype(np.int32) & (size - 1)
    return low, (low + 1) & (size - 1), scaled - floor
