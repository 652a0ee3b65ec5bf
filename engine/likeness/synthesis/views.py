"""Where cameras stand: as people hold phones and place depth cameras."""

from __future__ import annotations

import numpy as np

from likeness.core.camera import Camera
from likeness.synthesis.figure import Posed
from likeness.synthesis.view import View, look_at

# Horizontal fields of view in degrees of what is in use: portrait lenses, webcams, phones, depth cameras, wide phones.
FIELDS_DEG = (28.0, 38.0, 55.0, 60.0, 66.0, 69.0, 75.0, 82.0)
ASPECTS = ((4, 3), (3, 4), (16, 9), (9, 16), (3, 2), (2, 3))
TILT_DEG = (-20.0, 15.0)
DISTANCE_M = (1.2, 6.0)
CUT_FEET, CUT_HIPS = 0.06, 0.04
# Nobody stands nearer to the camera, measured along its axis.
NEAREST_M = 0.3
# How far outside a picture the lens's axis may pass, as a share of its side.
MOST_OFF = 0.24


def draw_view(
    posed: Posed,
    rng: np.random.Generator,
    size: int = 512,
    *,
    yaw_deg: float | None = None,
    tilt_deg: float | None = None,
    whole: bool = False,
    field_deg: float | None = None,
    distance_m: tuple[float, float] = DISTANCE_M,
) -> View:
    """A square picture of `size` pixels cut out of a whole one around the person, so the centre is rarely the axis.

    yaw_deg: the camera's azimuth about the person, 0 in front of +Z, positive to its left; any by default. tilt_deg:
    positive looks up. whole: never cut feet or legs off. field_deg: horizontal field of the whole picture.
    distance_m: limits of the camera's distance.
    """
    points = posed.body[::23]
    low, high = points.min(0), points.max(0)
    centre, tall = (low + high) / 2, max(float((high - low).max()), 0.6)
    across, down = ASPECTS[int(rng.integers(len(ASPECTS)))]
    field = float(rng.choice(FIELDS_DEG)) if field_deg is None else field_deg
    width = 1280.0
    focal, height = width / 2 / np.tan(np.radians(field) / 2), width * down / across
    share = rng.uniform(0.55, 0.95)
    distance = float(np.clip(tall * focal / (share * min(height, width)), *distance_m))
    yaw = np.radians(rng.uniform(-180, 180) if yaw_deg is None else yaw_deg)
    tilt = np.radians(_draw_tilt(rng, distance, float(centre[1])) if tilt_deg is None else tilt_deg)
    away = np.array([np.sin(yaw) * np.cos(tilt), -np.sin(tilt), np.cos(yaw) * np.cos(tilt)])
    eye = centre + distance * away
    eye[1] = max(eye[1], 0.05)
    # The person is not in the middle of the whole picture: aim past them by what the frame leaves free.
    slack = np.array([width, height]) / focal * distance - tall
    aside, aloft = rng.uniform(-0.35, 0.35, 2) * np.maximum(slack, 0)
    right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
    target = centre + aside * right + np.array([0.0, aloft, 0.0])
    whole_camera = Camera(focal, focal, (width - 1) / 2, (height - 1) / 2, int(width), round(height))
    roll = float(rng.normal(0, 1.5))
    view = look_at(whole_camera, eye, target, roll)
    # A camera that the floor stopped may have come too near.
    while view.to_camera(_outline(posed))[:, 2].min() < NEAREST_M:
        eye = eye + 0.25 * away * np.array([1.0, 0.0, 1.0])
        view = look_at(whole_camera, eye, target, roll)
    return _cut_out(view, posed, rng, size, whole)


def _draw_tilt(rng: np.random.Generator, distance: float, height: float) -> float:
    """Mostly from the chest of a standing photographer, sometimes from low or high; degrees."""
    if rng.random() < 0.3:
        return float(rng.uniform(*TILT_DEG))
    held = rng.normal(1.35, 0.2)
    return float(np.clip(-np.degrees(np.arctan2(held - height, distance)), *TILT_DEG))


def _cut_out(view: View, posed: Posed, rng: np.random.Generator, size: int, whole: bool) -> View:
    """The square around the person's outline with a margin, scaled to `size`; now and then it cuts the legs off."""
    pixels = view.camera.project(view.to_camera(_outline(posed)).astype(np.float64))
    low, high = pixels.min(0), pixels.max(0)
    draw = 1.0 if whole else rng.random()
    if draw < CUT_FEET:
        high[1] -= rng.uniform(0.03, 0.15) * (high[1] - low[1])
    elif draw < CUT_FEET + CUT_HIPS:
        high[1] -= rng.uniform(0.3, 0.5) * (high[1] - low[1])
    side = float((high - low).max() * rng.uniform(1.08, 1.25))
    middle = (low + high) / 2 + rng.uniform(-0.5, 0.5, 2) * np.maximum(side - 1.05 * (high - low), 0)
    c, cut = view.camera, draw < CUT_FEET + CUT_HIPS
    side = max(side, _least_side(np.array([c.cx, c.cy]), middle, float(high[1]) if cut else None))
    if cut:
        middle[1] = high[1] - side / 2
    scale, left, top = size / side, middle[0] - side / 2, middle[1] - side / 2
    cx, cy = (c.cx - left + 0.5) * scale - 0.5, (c.cy - top + 0.5) * scale - 0.5
    camera = Camera(float(c.fx * scale), float(c.fy * scale), float(cx), float(cy), size, size)
    return View(camera, view.camera_from_world)


def _outline(posed: Posed) -> np.ndarray:
    """Points (N, 3) all over a person."""
    return np.concatenate([layer.vertices[::7] for layer in posed.layers] + [posed.body[::23]])


def _least_side(axis: np.ndarray, middle: np.ndarray, bottom: float | None) -> float:
    """The side from which on a square holds the lens's axis (2,) px within MOST_OFF of it: readers take axes farther
    outside for mistakes. middle (2,): of the square; where it ends at `bottom`, its height follows from the side."""
    needed = np.abs(axis - middle) / (0.5 + MOST_OFF)
    if bottom is not None:
        needed[1] = max((axis[1] - bottom) / MOST_OFF, (bottom - axis[1]) / (1 + MOST_OFF))
    return float(needed.max())


def view_angles(view: View, posed: Posed) -> tuple[float, float]:
    """Azimuth of the camera about the person and its tilt in degrees, as `draw_view` takes them."""
    away = view.eye - posed.joints[0]
    yaw = float(np.degrees(np.arctan2(away[0], away[2])))
    forward = view.camera_from_world[2, :3]
    return yaw, float(np.degrees(np.arcsin(np.clip(forward[1], -1, 1))))
