"""Folded and torn triangles are found and calmed, sound ones left alone."""

from __future__ import annotations

import numpy as np
import trimesh
from likeness.surface.repair import calm, troubled
from likeness.surface.solve import SmoothField


def test_a_smooth_bulge_is_no_trouble() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4)
    moved = ball.vertices * (1 + 0.2 * np.maximum(ball.vertices[:, 2:], 0) ** 2)
    assert not troubled(moved, ball.faces, ball.vertices).any()
    field = SmoothField(ball.vertices, ball.faces)
    out, touched = calm(moved, ball.faces, ball.vertices, field)
    np.testing.assert_array_equal(out, moved)
    assert not touched.any()


def test_spikes_and_folds_are_calmed_where_they_are() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.2)
    moved = np.asarray(ball.vertices) * 1.05
    spike = int(np.argmax(moved[:, 2]))
    moved[spike] *= 2.5
    fold = int(np.argmax(moved[:, 0]))
    moved[fold] = moved[fold] * 0.8 + [0, 0.05, 0]
    bad = troubled(moved, ball.faces, ball.vertices)
    assert bad[spike]
    assert bad[fold]
    out, touched = calm(moved, ball.faces, ball.vertices, SmoothField(ball.vertices, ball.faces), rounds=5)
    assert not troubled(out, ball.faces, ball.vertices).any()
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 0.21, atol=0.004)
    assert touched.mean() < 0.2
    np.testing.assert_array_equal(out[~touched], moved[~touched])
