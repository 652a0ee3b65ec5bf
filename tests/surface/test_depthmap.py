"""Depth preparation on scenes whose depth is a formula."""

from __future__ import annotations

import numpy as np
import pytest
from likeness.core.camera import Camera
from likeness.surface.depthmap import prepare_depth

CAMERA = Camera(364.0, 364.0, 79.5, 59.5, 160, 120)


def plane(slope: float) -> np.ndarray:
    """Depth of the plane z = 2 + slope * x."""
    return (2.0 / (1 - slope * CAMERA.rays()[..., 0])).astype(np.float64)


@pytest.mark.parametrize("slope", [0.0, 0.5, -1.5])
def test_noise_falls_and_normals_are_right_on_slopes(slope: float) -> None:
    truth = plane(slope)
    noisy = truth + np.random.default_rng(1).normal(0, 0.002, truth.shape)
    out = prepare_depth(noisy, CAMERA)
    inner = np.s_[8:-8, 8:-8]
    error = (out.depth - truth)[inner]
    assert np.abs(error).mean() < 0.6 * np.abs(noisy - truth)[inner].mean()
    assert abs(error.mean()) < 1e-4
    expected = np.array([slope, 0, -1]) / np.hypot(slope, 1)
    cosine = out.normals[inner] @ expected
    assert np.degrees(np.arccos(np.clip(np.median(cosine), -1, 1))) < 15
    assert np.percentile(cosine, 5) > 0.8
    assert 0.001 < np.median(out.noise[inner]) < 0.0025


def test_a_limb_keeps_its_radius() -> None:
    """A cylinder of 5 cm radius at 2 m is 18 pixels wide; plain smoothing would shave 1 mm off its front."""
    x = CAMERA.rays()[..., 0].astype(np.float64)
    # |(x z, z - 2.05)| = 0.05 for the nearer z.
    a, b, c = 1 + x**2, -2 * 2.05, 2.05**2 - 0.05**2
    inside = b * b - 4 * a * c
    truth = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / (2 * a), 0.0)
    out = prepare_depth(truth, CAMERA)
    middle = np.s_[10:-10, 76:84]
    assert np.abs(out.depth - truth)[middle].max() < 2e-4
    assert out.trust[middle].min() > 0.9


def test_steps_stay_sharp_and_flying_pixels_go() -> None:
    depth = np.full((120, 160), 2.0)
    depth[:, 80:] = 2.3
    depth[40, 80] = 2.15
    depth[20, 20] = 1.5
    out = prepare_depth(depth, CAMERA)
    np.testing.assert_allclose(out.depth[60, 78:82], [2.0, 2.0, 2.3, 2.3], atol=1e-6)
    assert out.depth[40, 80] == 0
    assert out.depth[20, 20] == 0
    assert out.trust[60, 40] == 1


def test_missing_and_broken_readings_stay_missing() -> None:
    depth = np.full((120, 160), 2.0)
    depth[30:60, 30:60] = 0
    depth[0, 0] = np.nan
    depth[1, 1] = -4
    out = prepare_depth(depth, CAMERA)
    assert (out.depth[30:60, 30:60] == 0).all()
    assert out.depth[0, 0] == 0
    assert out.depth[1, 1] == 0
    assert np.isfinite(out.points).all()
    assert np.isfinite(out.normals).all()
