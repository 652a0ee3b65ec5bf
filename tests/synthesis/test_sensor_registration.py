"""Depth brought from one camera to another, against closed forms and the reader's own rasterizer."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.capture.registration import register_depth
from likeness.core.camera import Camera
from likeness.core.frames import rodrigues
from likeness.synthesis.sensor_registration import register

SENSOR = Camera(252.0, 252.0, 119.5, 79.5, 240, 160)


def placed(turn: tuple[float, float, float], shift: tuple[float, float, float]) -> np.ndarray:
    moved = np.eye(4)
    moved[:3, :3], moved[:3, 3] = rodrigues(np.array(turn)), shift
    return moved


def depth_of_plane(camera: Camera, normal: np.ndarray, offset: float) -> np.ndarray:
    return (offset / (camera.rays().astype(float) @ normal)).astype(np.float32)


@given(
    scale=st.floats(0.4, 4.0), slant=st.tuples(*[st.floats(-0.6, 0.6)] * 2), distance=st.floats(1.0, 4.0),
    shift=st.tuples(*[st.floats(-0.06, 0.06)] * 3), turn=st.tuples(*[st.floats(-0.02, 0.02)] * 3),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_a_plane_is_kept_exactly(scale, slant, distance, shift, turn) -> None:
    color = Camera(252.0 * scale, 252.0 * scale, 60 * scale, 40 * scale, round(120 * scale), round(80 * scale))
    normal = np.array([*slant, 1.0])
    moved = placed(turn, shift)
    out = register(torch.from_numpy(depth_of_plane(SENSOR, normal, distance)), SENSOR, color, moved).numpy()
    turned = moved[:3, :3] @ normal
    truth = depth_of_plane(color, turned, distance + float(turned @ moved[:3, 3]))
    found = out > 0
    assert found[3:-3, 3:-3].mean() > 0.99
    assert np.abs(out - truth)[found].max() < 1e-4 * max(1.0, distance)


def test_a_sphere_is_kept() -> None:
    center, radius = np.array([0.02, -0.05, 2.0]), 0.4

    def depth(camera: Camera, middle: np.ndarray) -> np.ndarray:
        rays = camera.rays().astype(float)
        a, b = (rays**2).sum(-1), rays @ middle
        root = b**2 - a * (middle @ middle - radius**2)
        return np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, 0).astype(np.float32)

    color = Camera(400.0, 400.0, 149.5, 149.5, 300, 300)
    moved = placed((0, 0.01, 0), (-0.03, 0.0, 0.0))
    middle = moved[:3, :3] @ center + moved[:3, 3]
    out = register(torch.from_numpy(depth(SENSOR, center)), SENSOR, color, moved).numpy()
    truth = depth(color, middle)
    both = (out > 0) & (truth > 0)
    assert both.sum() > 0.97 * (truth > 0).sum()
    inner = both & (truth < 1.7)
    # Chords between readings 7 mm apart lie 7^2 / (8 r) = 0.015 mm off the sphere, eight times that at 60 degrees.
    assert np.median(np.abs(out - truth)[inner]) < 4e-5
    assert np.abs(out - truth)[inner].max() < 2e-4
    assert np.quantile(np.abs(out - truth)[both], 0.95) < 3e-3
    assert ((out > 0) & (truth == 0)).sum() < 0.03 * (truth > 0).sum()


def test_the_nearer_surface_wins_and_its_shadow_stays_empty() -> None:
    depth = np.full((160, 240), 3.0, np.float32)
    depth[:, 100:140] = 1.0
    out = register(torch.from_numpy(depth), SENSOR, SENSOR, placed((0, 0, 0), (0.1, 0, 0))).numpy()[80]
    near, shadow, far = np.flatnonzero(out == 1.0), np.flatnonzero(out == 0), np.flatnonzero(out == 3.0)
    # The board moves by 25.2 px, the wall by 8.4: what the board hid, 16.8 px, is not known.
    assert near.min() == 125 and near.max() == 164
    shadow = shadow[shadow > 20]
    assert len(shadow) in (16, 17) and shadow.max() == 124
    assert len(near) + len(far) + len(np.flatnonzero(out == 0)) == 240


@given(seed=st.integers(0, 2**31), scale=st.floats(0.5, 2.5))
@settings(max_examples=25, deadline=None)
def test_registration_invents_no_depth_across_an_edge(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    depth = rng.choice(np.array([0.0, 2.0, 3.0], np.float32), (18, 14))
    sensor = Camera(20, 20, 6.5, 8.5, 14, 18)
    color = sensor.scaled(max(2, round(14 * scale)), max(2, round(18 * scale)))
    out = register(torch.from_numpy(depth), sensor, color, placed((0, 0, 0), (0.02, 0, 0))).numpy()
    assert np.abs(out[..., None] - np.array([0.0, 2.0, 3.0])).min(-1).max() < 1e-5


def test_it_agrees_with_the_readers_rasterizer() -> None:
    v, u = np.mgrid[:160, :240]
    depth = (2 + 0.1 * np.sin(u / 20) * np.cos(v / 15)).astype(np.float32)
    depth[(u - 120) ** 2 + (v - 80) ** 2 < 900] -= 0.5
    depth[30:36, 50:56] = 0
    color = Camera(300.0, 300.0, 139.5, 99.5, 280, 200)
    moved = placed((0.002, -0.004, 0.001), (-0.03, 0.002, 0.004))
    out = register(torch.from_numpy(depth), SENSOR, color, moved).numpy()
    truth = register_depth(depth, SENSOR, color, moved)
    both = (out > 0) & (truth > 0)
    assert ((out > 0) == (truth > 0)).mean() > 0.98
    close = np.abs(out - truth)[both]
    assert np.median(close) < 2e-4 and (close < 2e-3).mean() > 0.97


def test_the_same_camera_returns_a_copy() -> None:
    depth = torch.rand(160, 240)
    out = register(depth, SENSOR, SENSOR, np.eye(4))
    assert torch.equal(out, depth) and out.data_ptr() != depth.data_ptr()
