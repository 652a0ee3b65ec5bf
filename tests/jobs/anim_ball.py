"""A ball as ANIM's training stores people: everything about it is known in closed form."""

from __future__ import annotations

import numpy as np
from likeness.core.camera import Camera
from likeness.jobs.anim_samples import FINE_M, STEP_M
from likeness.synthesis.view import View

CENTRE, RADIUS, SIZE = np.array([0.05, 1.0, 0.0]), 0.3, 64
CAMERA = Camera(75.0, 75.0, 31.5, 31.5, SIZE, SIZE)
# The camera stands 2 m before the ball and looks along -Z of the world, y down.
VIEW = View(CAMERA, np.array([[1, 0, 0, 0], [0, -1, 0, 1.0], [0, 0, -1, 2.0], [0, 0, 0, 1.0]]))


def ball_depth():
    rays = CAMERA.rays().astype(float)
    middle = VIEW.to_camera(CENTRE[None])[0].astype(float)
    a, b, c = (rays**2).sum(-1), rays @ middle, middle @ middle - RADIUS**2
    root = b**2 - a * c
    return np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, 0).astype(np.float32)


def stored_ball(seed=0, count=3000, spread_m=None):
    """A pose's file of a ball, in closed form. spread_m: how far from its surface points lie, else anywhere."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-0.5, 0.5, (count, 3))
    if spread_m is not None:
        away = RADIUS + rng.normal(0, spread_m, (count, 1))
        points *= away / np.linalg.norm(points, axis=1, keepdims=True)
    distance = np.linalg.norm(points, axis=1)
    depth = np.round(ball_depth() / STEP_M).astype(np.uint16)[None]
    return {
        "origin": CENTRE.astype(np.float32),
        "position": np.round(points / STEP_M).astype(np.int16),
        "sdf": np.round((distance - RADIUS) / FINE_M).astype(np.int16),
        "normal": np.round(points / distance[:, None] * 127).astype(np.int8),
        "part": rng.integers(0, 20, count).astype(np.uint8),
        "albedo": np.full((count, 3), 128, np.uint8),
        "known": np.ones(count, bool),
        "color": np.full((1, SIZE, SIZE, 3), 90, np.uint8),
        "depth": depth,
        "clean": depth,
        "body_first": depth,
        "body_leaves": np.where(depth > 0, depth + 4000, 0).astype(np.uint16),
        "body_enters": depth,
        "body_last": np.where(depth > 0, depth + 4000, 0).astype(np.uint16),
        "mask": depth > 0,
        "camera": np.array([[CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy]]),
        "camera_from_world": VIEW.camera_from_world[None],
        "gross": np.zeros(1, bool),
    }
