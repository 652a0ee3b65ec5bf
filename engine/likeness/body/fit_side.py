"""The fitted body from its side: what the overlay on the picture cannot show, its lean and its distance."""

from __future__ import annotations

import numpy as np
from likeness.body.fit_overlay import BODY_COLOR, shaded
from likeness.body.model import BodyModel
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.fit import Fit

SIDE_PX = 768
_CLOUD_COLOR = np.array([235, 120, 40], np.uint8)
_BACKGROUND = np.array([38, 38, 42], np.uint8)
_MARGIN = 1.15
#: Eye to body, in sizes of the body: a long lens, so that the lean is what it looks like.
_DISTANCE = 6.0


def draw_side(capture: Capture, model: BodyModel, fit: Fit) -> np.ndarray:
    """The body, and the depth readings as dots, from the picture's left; the camera looks from the picture's left too.

    Returns (SIDE_PX, SIDE_PX, 3) u8; up is away from the floor, the capture's camera lies to the right.
    """
    vertices, _ = model.posed(fit.betas, fit.pose, fit.translation, correctives=True)
    low, high = vertices.min(0), vertices.max(0)
    size = float(np.linalg.norm(high - low)) * _MARGIN
    turn = _side_axes(np.asarray(capture.up if fit.up is None else fit.up, np.float64))
    center = (low + high) / 2
    focal, middle = _DISTANCE * SIDE_PX, (SIDE_PX - 1) / 2
    camera = Camera(focal, focal, middle, middle, SIDE_PX, SIDE_PX)
    away = np.array([0.0, 0.0, _DISTANCE * size])

    def seen(points: np.ndarray) -> np.ndarray:
        return ((points - center) @ turn.T + away).astype(np.float32)

    shade, hit = shaded(seen(vertices), model.faces, camera)
    picture = np.where(hit[..., None], shade[..., None] * BODY_COLOR, _BACKGROUND).clip(0, 255).astype(np.uint8)
    columns, rows = np.round(camera.project(seen(capture.points()))).astype(int).T
    inside = (columns >= 0) & (columns < SIDE_PX) & (rows >= 0) & (rows < SIDE_PX)
    picture[rows[inside], columns[inside]] = _CLOUD_COLOR
    return picture


def _side_axes(up: np.ndarray) -> np.ndarray:
    """(3, 3) side view from camera axes: x towards the capture's camera, y down, z along the picture's right."""
    down = -up / max(float(np.linalg.norm(up)), 1e-9)
    toward = np.array([0.0, 0.0, -1.0])
    across = toward - down * float(toward @ down)
    across = across / np.linalg.norm(across) if np.linalg.norm(across) > 1e-3 else np.array([0.0, 1.0, 0.0])
    return np.stack([across, down, np.cross(across, down)])
