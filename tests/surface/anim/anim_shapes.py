"""Spheres and capsules as a depth camera sees them, in closed form: the oracle of ANIM's tests."""

from __future__ import annotations

import numpy as np
import torch
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.surface.anim.config import AnimConfig
from likeness.surface.anim.inputs import AnimInputs, inputs_of
from likeness.surface.anim.losses import AnimTargets

CAMERA = Camera(310.0, 305.0, 151.3, 117.8, 320, 240)


class Capsule:
    """All points within `radius` of the segment a-b; a sphere where a = b. Camera space, metres."""

    def __init__(self, a, b, radius):
        self.a, self.b, self.radius = np.array(a, float), np.array(b, float), radius

    def sdf(self, points):
        axis = self.b - self.a
        share = np.clip((points - self.a) @ axis / max(axis @ axis, 1e-12), 0, 1)
        return np.linalg.norm(points - self.a - share[..., None] * axis, axis=-1) - self.radius

    def normal(self, points):
        step = 1e-4 * np.eye(3)
        out = np.stack([self.sdf(points + s) - self.sdf(points - s) for s in step], -1)
        return out / np.linalg.norm(out, axis=-1, keepdims=True)

    def depth(self, camera):
        """(H, W) by sphere tracing: exact to a micrometre, 0 where the ray misses."""
        rays = camera.rays().astype(float)
        unit = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
        reach = np.zeros(rays.shape[:2])
        for _ in range(200):
            reach = np.minimum(reach + self.sdf(unit * reach[..., None]), 10.0)
        return np.where(self.sdf(unit * reach[..., None]) < 1e-6, reach * unit[..., 2], 0).astype(np.float32)

    def capture(self, camera=CAMERA):
        depth = self.depth(camera)
        color = np.full((*depth.shape, 3), 128, np.uint8)
        return Capture(color, depth > 0, depth, camera, True, "shape", "", "file")


SPHERE = Capsule((0.1, -0.05, 2.0), (0.1, -0.05, 2.0), 0.25)
CAPSULE = Capsule((-0.3, -0.3, 2.1), (0.25, 0.35, 2.3), 0.22)


def inputs(shape: Capsule, config: AnimConfig) -> AnimInputs:
    return inputs_of(shape.capture(), config)[0]


def targets(shape: Capsule, seed: int, count: int = 600) -> AnimTargets:
    """Points about a shape, half of them within 3 cm."""
    rng = np.random.default_rng(seed)
    middle, reach = (shape.a + shape.b) / 2, np.abs(shape.a - shape.b) / 2 + shape.radius
    points = middle + rng.uniform(-1.15, 1.15, (count, 3)) * reach
    near = points[: count // 2]
    near -= shape.normal(near) * (shape.sdf(near) + rng.normal(0, 0.015, len(near)))[:, None]
    surface = points - shape.normal(points) * shape.sdf(points)[:, None]
    seen = surface[(shape.normal(surface) * surface).sum(1) < 0]
    cloud = seen[rng.integers(len(seen), size=200)]
    arrays = (points, shape.sdf(points), shape.normal(points), np.full((count, 3), 0.5))
    made = [torch.from_numpy(a.astype(np.float32))[None] for a in (*arrays, cloud, cloud * 0.9)]
    return AnimTargets(made[0], made[1], made[2], made[3], torch.ones(1, count, dtype=torch.bool), made[4], made[5])
