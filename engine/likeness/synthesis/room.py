"""The procedural room that people stand in: floor, two walls, a skirting, lit by a large window and the sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likeness.synthesis.layer import Layer

Floats = NDArray[np.float32]
Linear = tuple[float, float, float]


@dataclass(frozen=True)
class Room:
    """back_m: the wall behind the person (z = -back_m); side_m: the wall at x = side_m; colours are linear albedo.

    rail: whether a rail divides the wall. picture: (left, bottom, right, top) of a framed picture on the back wall.
    """

    back_m: float = 1.3
    side_m: float = 2.6
    wall: Linear = (0.50, 0.53, 0.52)
    lower_wall: Linear = (0.22, 0.30, 0.31)
    lower_wall_m: float = 1.02
    floor: Linear = (0.30, 0.19, 0.115)
    plank_m: float = 0.14
    skirting_m: float = 0.11
    rail: bool = True
    picture: tuple[float, float, float, float] | None = None

    def layer(self) -> Layer:
        """Floor and walls as one layer of material 'room'."""
        far, height = 6.0, 3.2
        quads = [
            [(-far, 0, far), (far, 0, far), (far, 0, -self.back_m), (-far, 0, -self.back_m)],
            [
                (-far, 0, -self.back_m),
                (far, 0, -self.back_m),
                (far, height, -self.back_m),
                (-far, height, -self.back_m),
            ],
            [
                (self.side_m, 0, -self.back_m),
                (self.side_m, 0, far),
                (self.side_m, height, far),
                (self.side_m, height, -self.back_m),
            ],
        ]
        vertices = np.array(quads, np.float32).reshape(-1, 3)
        faces = np.concatenate([np.array([[0, 1, 2], [0, 2, 3]]) + 4 * k for k in range(len(quads))]).astype(np.int32)
        return Layer(
            "room",
            "room",
            vertices,
            faces,
            np.zeros((len(faces), 3, 2), np.float32),
            np.zeros((len(vertices), 24), np.float32),
            np.zeros((1, 1, 3), np.uint8),
            None,
        )

    def albedo(self, points: Floats) -> Floats:
        """Linear colour (N, 3) at points (N, 3) of floor and walls."""
        x, y, z = points.T.astype(np.float64)
        colour = np.where((y < self.lower_wall_m)[:, None], self.lower_wall, self.wall)
        along = np.where(z > -self.back_m + 1e-3, z, x)
        coarse, fine = _value_noise(along * 7, y * 7, 1) - 0.5, _value_noise(along * 60, y * 60, 2) - 0.5
        plaster = 1 + 0.05 * coarse + 0.03 * fine
        colour = colour * plaster[:, None]
        rail = (np.abs(y - self.lower_wall_m) < 0.028) & self.rail
        colour = np.where((rail | (y < self.skirting_m))[:, None], (0.62, 0.61, 0.58), colour)
        if self.picture is not None:
            colour = self._hang_picture(colour, x, y, z)
        return np.where((y < 1e-3)[:, None], self._floor(x, z), colour).astype(np.float32)

    def _hang_picture(self, colour: NDArray, x: NDArray, y: NDArray, z: NDArray) -> NDArray:
        """Wall colours with a dark frame, a white mount and hills under an evening sky."""
        left, bottom, right, top = self.picture or (0, 0, 0, 0)
        inward = np.minimum.reduce([x - left, right - x, y - bottom, top - y])
        on_wall = (z < -self.back_m + 2e-3) & (inward > 0)
        rise = (y - bottom) / (top - bottom)
        sky = np.stack([0.75 - 0.45 * rise, 0.42 - 0.12 * rise, 0.25 + 0.2 * rise], 1)
        for ridge, tone in ((0.55, (0.16, 0.17, 0.24)), (0.42, (0.07, 0.10, 0.13)), (0.3, (0.03, 0.05, 0.05))):
            hill = ridge + 0.22 * (_value_noise(x * 6, np.zeros_like(x), int(ridge * 100)) - 0.5)
            sky = np.where((rise < hill)[:, None], tone, sky)
        art = np.where((inward < 0.10)[:, None], (0.7, 0.69, 0.66), sky)
        art = np.where((inward < 0.025)[:, None], (0.035, 0.028, 0.022), art)
        return np.where(on_wall[:, None], art, colour)

    def _floor(self, x: NDArray, z: NDArray) -> NDArray:
        """Planks along z: each with its own tone, grain along its length, a dark joint."""
        plank = np.floor(x / self.plank_m)
        shift = _hash(plank, np.zeros_like(plank), 3) * 1.3
        board = np.floor((z + shift) / 1.3)
        tone = 0.72 + 0.5 * _hash(plank, board, 4)
        grain = 0.6 * _value_noise(x * 90 + 17 * _hash(plank, board, 5), z * 3, 6)
        grain += 0.4 * _value_noise(x * 260, z * 7, 7)
        joint = np.minimum(_distance_to_line(x, self.plank_m), _distance_to_line(z + shift, 1.3)) < 0.0016
        shade = tone * (0.82 + 0.36 * grain) * np.where(joint, 0.35, 1.0)
        return np.asarray(self.floor) * shade[:, None]


def _distance_to_line(value: NDArray, spacing: float) -> NDArray:
    remainder = np.mod(value, spacing)
    return np.minimum(remainder, spacing - remainder)


def _hash(x: NDArray, y: NDArray, seed: int) -> NDArray:
    """Reproducible numbers in 0..1 for integer lattice points, by integer mixing (no platform's sine involved)."""
    a = x.astype(np.int64).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    b = y.astype(np.int64).astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    h = a ^ (b + np.uint64((seed * 0x165667B19E3779F9) & 0xFFFFFFFFFFFFFFFF))
    h ^= h >> np.uint64(29)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    h ^= h >> np.uint64(32)
    return (h >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def _value_noise(x: NDArray, y: NDArray, seed: int) -> NDArray:
    """Smooth noise 0..1 with unit cells."""
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = x - x0, y - y0
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    low = _hash(x0, y0, seed) * (1 - fx) + _hash(x0 + 1, y0, seed) * fx
    high = _hash(x0, y0 + 1, seed) * (1 - fx) + _hash(x0 + 1, y0 + 1, seed) * fx
    return low * (1 - fy) + high * fy
