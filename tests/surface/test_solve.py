"""The smooth field against what differential geometry says of a sphere."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from likeness.surface.solve import SmoothField


@pytest.mark.parametrize("subdivisions", [3, 4])
@pytest.mark.parametrize("length", [0.2, 0.5])
def test_filter_gain_on_a_sphere(subdivisions: int, length: float) -> None:
    """The harmonic of degree l is an eigenfunction of the Laplacian, so its gain is known, on every mesh alike."""
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions)
    x, y, z = sphere.vertices.T
    field = SmoothField(sphere.vertices, sphere.faces)
    for degree, harmonic in ((1, z), (2, x * y), (3, z * (2 * z**2 - 3 * x**2 - 3 * y**2))):
        out = field.solve(harmonic[:, None], np.ones(len(z)), length)[:, 0]
        gain = float(out @ harmonic) / float(harmonic @ harmonic)
        expected = 1 / (1 + length**4 * (degree * (degree + 1)) ** 2)
        assert gain == pytest.approx(expected, abs=0.02)


def test_constants_spread_from_one_measured_cap() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=4)
    weights = (sphere.vertices[:, 2] > 0.5).astype(float)
    field = SmoothField(sphere.vertices, sphere.faces)
    out = field.solve(np.full((len(weights), 2), 0.03), weights, 0.3, stretch=0.1)
    np.testing.assert_allclose(out, 0.03, atol=5e-4)


def test_without_any_target_the_field_is_zero() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=3)
    out = SmoothField(sphere.vertices, sphere.faces).solve(np.ones((len(sphere.vertices), 3)), np.zeros(642), 0.1)
    np.testing.assert_array_equal(out, 0)
