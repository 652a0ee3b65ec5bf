"""Points where a guess stands, labelled by the truth: what a network on a guess is asked in use.

Points drawn about the true surface tell a network where the truth is: what is far from it is rarely seen, so that a
limb which the guess made up is hardly punished, and a point at 3 cm from the guess is labelled the more often the
nearer the truth comes to it. Drawn by the guess alone, points are labelled as often as their labels come true.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from likeness.core.camera import Camera
from likeness.jobs.anim_samples import FINE_M, STEP_M
from likeness.surface.anim.guess import Guess
from likeness.surface.anim.sampling import pick_pixels

# The points' density falls off to 1/e at FALL_M from the guessed surface.
FALL_M, _TRIES = 0.03, 40
# Where readings decide (this near to them) fewer points are needed: this share of them.
READ_M, READ_SHARE = 0.02, 0.25
# Closest places of farther points are known less well, where surfaces end in an edge.
NEAR_M = 0.01
# Beyond this the nearest labelled place is as good as its tangent plane.
_FLAT_M, _VOTES = 0.015, 5


@dataclass(frozen=True)
class Skin:
    """Places on a pose's outer surface, world, metres, some 9 mm apart, with their normals."""

    tree: cKDTree
    normals: NDArray[np.float32]

    @classmethod
    def of(cls, pose: dict[str, NDArray[Any]]) -> Skin:
        """From the stored labelled points (anim_samples.pose_arrays): each knows its closest place."""
        sdf = pose["sdf"].astype(np.float32) * np.float32(FINE_M)
        normals = pose["normal"].astype(np.float32) / 127
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
        feet = pose["position"] * np.float32(STEP_M) + pose["origin"] - normals * sdf[:, None]
        near = np.abs(sdf) < NEAR_M
        return cls(cKDTree(feet[near]), normals[near])

    def label(self, points: NDArray) -> tuple[NDArray, NDArray]:
        """Points (N, 3), world -> signed distance (N,) m, negative inside, and outward normal there (N, 3)."""
        away, rows = self.tree.query(points, _VOTES)
        along = ((points[:, None] - self.tree.data[rows]) * self.normals[rows]).sum(2)
        # Beside edges one place may see a point from behind that lies before the surface.
        sign = np.where(np.sign(along).sum(1) >= 0, 1.0, -1.0)
        near = np.where(away[:, 0] < _FLAT_M, np.abs(along[:, 0]), away[:, 0])
        return sign * near, self.normals[rows[:, 0]]


def points_about(guess: Guess, picture: Camera, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """At most `count` points (N, 3) in camera space about a guessed surface, fewer of them where it was measured.

    picture: the camera of the guess's maps.
    """
    solid = guess.solid
    flat = solid.values.reshape(-1)
    tried = rng.integers(len(flat), size=_TRIES * count)
    chance = np.exp(-flat[torch.from_numpy(tried)].float().abs().numpy() / FALL_M)
    k, v, u = np.unravel_index(tried[rng.random(len(tried)) < chance], solid.values.shape)
    depth = solid.first_m + solid.step_m * (k + rng.uniform(-0.5, 0.5, len(k)))
    fx, fy, cx, cy = (float(n) for n in solid.intrinsics)
    x, y = ((p + rng.uniform(-0.5, 0.5, len(k)) - c) / f for p, c, f in ((u, cx, fx), (v, cy, fy)))
    points = np.stack([x * depth, y * depth, depth], 1)
    front = pick_pixels(guess.maps[None, :1], torch.from_numpy(picture.project(points))[None])[0, :, 0].numpy()
    rare = np.abs(depth - front) < READ_M
    return points[~rare | (rng.random(len(points)) < READ_SHARE)][:count]
