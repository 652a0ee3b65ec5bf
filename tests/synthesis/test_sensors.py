"""The simulated depth sensor against its own closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from likeness.core.camera import Camera
from likeness.synthesis.render import CleanDepth
from likeness.synthesis.sensors import AZURE_KINECT, IDEAL, noise_sigma_m, register_depth, sensor_camera, simulate_depth

NO_DRIFT = replace(AZURE_KINECT, bias_mm=0, wiggle_mm=0)


def flat(depth: np.ndarray, reflectivity: float = 0.5, cosine: float = 1.0) -> CleanDepth:
    full = np.ones_like(depth, np.float32)
    return CleanDepth(depth.astype(np.float32), full * cosine, full * reflectivity, depth > 0)


@pytest.mark.parametrize("distance", [1.0, 2.4, 4.0])
@pytest.mark.parametrize("reflectivity", [0.2, 0.9])
def test_noise_follows_the_law_of_distance_and_reflectivity(distance: float, reflectivity: float) -> None:
    clean = flat(np.full((300, 300), distance), reflectivity)
    read = simulate_depth(clean, NO_DRIFT, np.random.default_rng(0))
    sigma = 1e-3 * (0.7 + 0.3 * distance**2) / np.sqrt(reflectivity / 0.5)
    # Rounding to whole millimetres adds a uniform error.
    expected = np.sqrt(sigma**2 + 1e-6 / 12)
    assert (read > 0).all()
    assert (read - distance).std() == pytest.approx(expected, rel=0.02)  # 90,000 draws: 0.25 % standard error
    assert (read - distance).mean() == pytest.approx(0, abs=4 * expected / 300)


def test_readings_are_whole_millimetres() -> None:
    read = simulate_depth(flat(np.linspace(1, 3, 4096).reshape(64, 64)), AZURE_KINECT, np.random.default_rng(1))
    assert np.abs(read * 1000 - np.round(read * 1000)).max() < 1e-3


def test_an_ideal_sensor_only_rounds() -> None:
    depth = np.linspace(1, 1.02, 4096).reshape(64, 64)
    assert np.abs(simulate_depth(flat(depth), IDEAL, np.random.default_rng(2)) - depth).max() <= 0.5001e-3


def test_edges_fly_and_erode_in_the_stated_shares() -> None:
    depth = np.full((2000, 40), 3.0)
    depth[:, 20:] = 2.0
    sensor = replace(NO_DRIFT, noise_base_mm=0, noise_square_mm=0)
    read = simulate_depth(flat(depth), sensor, np.random.default_rng(3))
    edge = read[:, 19:21]
    flying = (edge > 2.002) & (edge < 2.998)
    assert flying.mean() == pytest.approx(sensor.flying, abs=0.03)
    assert (edge == 0).mean() == pytest.approx(sensor.eroded, abs=0.03)
    assert np.array_equal(np.delete(read, [19, 20], 1), np.delete(depth, [19, 20], 1).astype(np.float32))


@pytest.mark.parametrize(
    ("reflectivity", "degrees", "lost"),
    [(0.5, 0, 0.0), (0.11, 0, 0.2), (0.05, 0, 0.8), (0.5, 79.5, 0.5), (0.5, 89, 1.0)],
)
def test_dark_and_grazing_surfaces_leave_holes(reflectivity: float, degrees: float, lost: float) -> None:
    clean = flat(np.full((200, 200), 2.0), reflectivity, float(np.cos(np.radians(degrees))))
    read = simulate_depth(clean, AZURE_KINECT, np.random.default_rng(4))
    assert (read == 0).mean() == pytest.approx(lost, abs=0.015)


def test_nothing_is_read_off_the_scene_or_beyond_the_range() -> None:
    depth = np.array([[0.0, 2.0, 5.0, 6.0]]).repeat(8, 0).repeat(8, 1)
    read = simulate_depth(flat(depth), replace(NO_DRIFT, jump_m=9), np.random.default_rng(5))
    assert ((read > 0) == ((depth > 0) & (depth < AZURE_KINECT.range_m))).all()


@given(st.integers(0, 2**31), st.floats(0.3, 3.0))
def test_registration_never_invents_a_depth_across_an_edge(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    depth = rng.choice(np.array([0.0, 2.0, 3.0], np.float32), (18, 14))
    low = Camera(20, 20, 6.5, 8.5, 14, 18)
    out = register_depth(depth, low, low.scaled(max(1, round(14 * scale)), max(1, round(18 * scale))))
    assert np.isin(out, depth).all()


def test_registration_keeps_a_slanted_plane() -> None:
    color = Camera(100, 100, 99.5, 149.5, 200, 300)
    low = sensor_camera(color, replace(AZURE_KINECT, focal_px=40))
    # A plane's inverse depth is linear in the picture; over one coarse pixel its depth is nearly so.
    inverse = 0.4 + 0.05 * low.rays()[..., 0] - 0.03 * low.rays()[..., 1]
    exact = 1 / (0.4 + 0.05 * color.rays()[..., 0] - 0.03 * color.rays()[..., 1])
    out = register_depth((1 / inverse).astype(np.float32), low, color)
    assert np.abs(out - exact)[5:-5, 5:-5].max() < 2e-4


def test_sigma_at_two_metres_is_the_published_curve() -> None:
    assert noise_sigma_m(np.float32(2.0), np.float32(0.5), AZURE_KINECT) == pytest.approx(1.9e-3)
