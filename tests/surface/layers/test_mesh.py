"""Slabs are closed whatever the outline, and enclose what they should."""

from __future__ import annotations

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from likeness.core.camera import Camera
from likeness.surface.layers.mesh import slab

CAMERA = Camera(500.0, 480.0, 20.0, 31.0, 41, 63)


def edges(faces):
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def volume(surface):
    a, b, c = (surface.vertices[surface.faces[:, k]].astype(float) for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def test_a_box_seen_in_perspective_has_its_volume():
    mask = np.zeros((63, 41), bool)
    mask[10:50, 5:30] = True
    front, back = np.full(mask.shape, 2.0), np.full(mask.shape, 2.3)
    made = slab(front, back, mask, np.ones(mask.shape), CAMERA)
    # A frustum between two planes: the solid angle's slope area times the difference of cubes.
    slope = (39 / CAMERA.fy) * (24 / CAMERA.fx)
    assert volume(made) == pytest.approx(slope * (2.3**3 - 2.0**3) / 3, rel=1e-4)
    assert made.seen.sum() == 40 * 25
    assert np.ptp(made.vertices[made.seen > 0][:, 2]) == 0


@given(mask=arrays.arrays(bool, (12, 11)), jumps=st.booleans(), seed=st.integers(0, 99))
def test_every_edge_has_its_opposite_exactly_once(mask, jumps, seed):
    rng = np.random.default_rng(seed)
    front = 2 + 0.2 * rng.random(mask.shape)
    made = slab(
        front, front + 0.1, mask, np.ones(mask.shape), Camera(50.0, 50.0, 5.0, 6.0, 11, 12), 0.1 if jumps else 9
    )
    found = edges(made.faces)
    code = found[:, 0].astype(np.int64) * 10**6 + found[:, 1]
    back = found[:, 1].astype(np.int64) * 10**6 + found[:, 0]
    assert len(np.unique(code)) == len(code)
    np.testing.assert_array_equal(np.sort(code), np.sort(back))
    if len(made.faces):
        assert volume(made) > 0
        assert made.faces.max() == len(made.vertices) - 1
