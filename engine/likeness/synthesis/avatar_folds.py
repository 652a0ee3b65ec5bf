"""Folds of cloth as a random field of waves over the body: across limbs at their joints, down where cloth hangs.

The source's meshes are smooth; their folds were in maps that are lost. The field depends on place alone, so that
layers that lie on each other move together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likeness.synthesis.figure import Floats

Array = NDArray[np.floating]
# (upper joint, lower joint, how strongly cloth gathers at the upper end, at the lower end)
_BONES = (
    (16, 18, 0.8, 1.0),
    (17, 19, 0.8, 1.0),
    (18, 20, 1.0, 0.8),
    (19, 21, 1.0, 0.8),
    (1, 4, 0.6, 1.0),
    (2, 5, 0.6, 1.0),
    (4, 7, 1.0, 1.1),
    (5, 8, 1.0, 1.1),
)


@dataclass(frozen=True)
class Waves:
    """A smooth random function of place: sum of `amplitude` cos(place . `wave` + `phase`), about unit variance."""

    wave: Array
    phase: Array

    def at(self, place: Array) -> Array:
        """Values (V,) at places (V, 3)."""
        angle = place.astype(np.float32) @ self.wave.astype(np.float32).T + self.phase.astype(np.float32)
        return np.cos(angle).sum(1) * np.sqrt(2 / len(self.phase))


def draw_waves(rng: np.random.Generator, length_m: tuple[float, float], stretch: Array, count: int = 10) -> Waves:
    """Waves of lengths between `length_m` in random directions, the wave vectors multiplied by `stretch` (3,)."""
    direction = rng.standard_normal((count, 3)) * stretch
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    length = rng.uniform(*length_m, (count, 1))
    return Waves(direction * 2 * np.pi / length, rng.uniform(0, 2 * np.pi, count))


def fold_heights(
    vertices: Array, joints: Array, weights: Array, slack: Array, strength: float, rng: np.random.Generator
) -> Floats:
    """Height (V,) in metres of the folds over a smooth garment.

    vertices (V, 3) in the T pose; joints (52, 3); weights (V, 52); slack (V,) 0..1; strength 1 = ordinary cloth.
    """
    bulk = draw_waves(rng, (0.10, 0.20), np.ones(3), 12)
    warp = draw_waves(rng, (0.08, 0.18), np.ones(3), 10)
    gate = draw_waves(rng, (0.12, 0.25), np.ones(3), 8).at(vertices)
    height = 0.0022 * bulk.at(vertices)
    bend = 2.2 * warp.at(vertices)
    for upper, lower, top, bottom in _BONES:
        height += _limb_folds(vertices, joints, weights, (upper, lower), (top, bottom), bend, rng)
    height += _trunk_folds(vertices, joints, weights, bend, rng)
    height += _hanging_folds(vertices, joints, slack, bend, rng)
    # Cloth is smooth between its folds and lies on the body inwards.
    height *= strength * np.clip(0.75 + 0.45 * gate, 0.15, 1.4)
    return np.clip(height, -0.004, 0.016).astype(np.float32)


def _crest(phase: Array) -> Array:
    """A wave with broad valleys and narrower crests, mean about 0."""
    wave = np.cos(phase)
    return 0.75 * wave + 0.25 * np.cos(2 * phase + 0.4)


def _limb_folds(
    vertices: Array,
    joints: Array,
    weights: Array,
    bone: tuple[int, int],
    gather: tuple[float, float],
    bend: Array,
    rng: np.random.Generator,
) -> Array:
    upper, lower = bone
    length = np.linalg.norm(joints[lower] - joints[upper])
    axis = (joints[lower] - joints[upper]) / length
    along = (vertices - joints[upper]) @ axis
    held = weights[:, upper]
    spacing = rng.uniform(0.035, 0.06)
    # A slant that turns round the limb makes folds diagonal.
    slant = (vertices - joints[upper]) @ (rng.standard_normal(3) * rng.uniform(0.3, 1.2))
    phase = 2 * np.pi * (along + slant) / spacing + bend + rng.uniform(0, 2 * np.pi)
    spread = rng.uniform(0.09, 0.14)
    near = gather[0] * np.exp(-((along / spread) ** 2)) + gather[1] * np.exp(-(((along - length) / spread) ** 2))
    return held * 0.0042 * (0.2 + near) * rng.uniform(0.5, 1.3) * _crest(phase)


def _trunk_folds(vertices: Array, joints: Array, weights: Array, bend: Array, rng: np.random.Generator) -> Array:
    """Drag lines from the armpits, creases at the waist, and from the crotch."""
    trunk = weights[:, [0, 3, 6, 9, 13, 14]].sum(1)
    out = np.zeros(len(vertices))
    for shoulder, side in ((16, 1.0), (17, -1.0)):
        offset = vertices - (joints[shoulder] + np.array([-0.03 * side, -0.08, 0]))
        distance = np.linalg.norm(offset, axis=1)
        turn = np.arctan2(offset[:, 1], -side * offset[:, 0])
        fan = _crest(rng.uniform(7, 11) * turn + 0.8 * bend + rng.uniform(0, 6))
        out += 0.0038 * np.exp(-((distance / 0.17) ** 2)) * np.clip(distance / 0.06, 0, 1) * fan
    waist = joints[3, 1] + rng.uniform(-0.03, 0.05)
    spacing = rng.uniform(0.04, 0.065)
    tilt = rng.uniform(-0.5, 0.5) * np.abs(vertices[:, 0])
    creases = _crest(2 * np.pi * (vertices[:, 1] + tilt) / spacing + 1.2 * bend)
    out += 0.0038 * np.exp(-(((vertices[:, 1] - waist) / 0.09) ** 2)) * creases
    offset = vertices - (joints[1] + joints[2]) / 2 + np.array([0, 0.06, 0])
    distance = np.linalg.norm(offset, axis=1)
    fan = _crest(rng.uniform(6, 9) * np.arctan2(offset[:, 0], -offset[:, 1]) + bend)
    both = trunk + weights[:, [1, 2]].sum(1)
    crotch = 0.004 * both * np.exp(-((distance / 0.15) ** 2)) * np.clip(distance / 0.05, 0, 1) * fan
    return trunk * out + crotch


def _hanging_folds(vertices: Array, joints: Array, slack: Array, bend: Array, rng: np.random.Generator) -> Array:
    """Pipes down a skirt, growing towards its hem."""
    if not (slack > 0).any():
        return np.zeros(len(vertices))
    center = joints[1:3, 2].mean()
    turn = np.arctan2(vertices[:, 0], vertices[:, 2] - center)
    count = rng.integers(9, 16)
    return 0.010 * slack * _crest(count * turn + 0.7 * bend + rng.uniform(0, 6))


def away_from_bones(vertices: Array, joints: Array, weights: Array) -> Array:
    """Unit directions (V, 3) from the bones that hold each vertex, square to limbs, level on the trunk."""
    axis = np.zeros_like(vertices)
    total = np.zeros(len(vertices))
    for upper, lower, *_ in _BONES:
        span = joints[lower] - joints[upper]
        share = np.clip((vertices - joints[upper]) @ span / (span @ span), 0, 1)
        axis += weights[:, upper, None] * (joints[upper] + share[:, None] * span)
        total += weights[:, upper]
    trunk = np.stack([np.zeros(len(vertices)), vertices[:, 1], np.full(len(vertices), joints[3, 2])], 1)
    away = vertices - axis - (1 - total)[:, None] * trunk
    return away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)


def rising(normals: Array, away: Array) -> Array:
    """Unit directions (V, 3) in which folds rise: the normal on outer sides, its opposite on linings, so that both
    sides of cloth move together, and away from the bones along rims between them."""
    cosine = (normals * away).sum(1, keepdims=True)
    mixed = normals * cosine + away * (1 - np.abs(cosine)) * 0.5
    return mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-9)
