"""Cloth over hollows, and when there is none."""

from __future__ import annotations

import numpy as np
import trimesh
from likeness.body.model import load_default
from likeness.surface.cloth import dressed, levelling, taut_cloth, toe_caps
from likeness.surface.solve import SmoothField
from scipy.spatial import ConvexHull

NAMES = ("pelvis", "left_knee", "head")


def test_a_dent_is_bridged_and_a_bump_is_not() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.15)
    out = np.asarray(ball.vertices) / 0.15
    near_top = np.exp(-((out[:, 0] ** 2 + out[:, 1] ** 2) / 0.04))
    dent, bump = near_top * (out[:, 2] > 0), near_top * (out[:, 2] < 0)
    vertices = out * (0.15 - 0.02 * dent + 0.02 * bump)[:, None]
    hollow, bulge = taut_cloth(vertices, out, SmoothField(vertices, ball.faces))
    assert bulge[np.argmax(bump)] < -0.008
    assert bulge.max() == 0
    assert 0.008 < hollow[np.argmax(dent)] < 0.03
    assert hollow[np.argmax(bump)] < 1e-3
    assert hollow.min() == 0
    assert np.median(hollow) < 0.001


def test_only_thick_cloth_on_the_trunk_levels_bulges() -> None:
    weights = np.eye(3)[[0, 0, 1, 2]]
    np.testing.assert_array_equal(levelling(np.array([0.0, 0.1, 0.1, 0.1]), weights, NAMES), [0, 1, 0, 0])


def test_depth_on_the_skin_means_bare() -> None:
    weights = np.repeat(np.eye(3), 100, axis=0)
    measured = np.ones(300)
    on_skin = dressed(np.full(300, 0.001), measured, weights, NAMES)
    assert (on_skin == 0).all()
    in_cloth = dressed(np.full(300, 0.02), measured, weights, NAMES)
    assert (in_cloth[:100] == 1).all()
    assert (in_cloth[200:] == 0).all()
    # A photo measures nothing: clothes are the rule.
    np.testing.assert_array_equal(dressed(np.zeros(300), np.zeros(300), weights, NAMES), in_cloth)


def test_shoes_close_over_the_toes() -> None:
    model = load_default()
    vertices, _ = model.rest(np.zeros(model.betas_count, np.float32))
    vertices = vertices.astype(np.float64)
    move = toe_caps(vertices, model.weights, model.joint_names)
    moved = move.any(axis=1)
    foot = model.weights[:, [model.joint_names.index(f"{side}_foot") for side in ("left", "right")]]
    assert moved.any() and not moved[foot.max(axis=1) <= 0.3].any()
    for side in range(2):
        toes = foot[:, side] > 0.3
        before, after = ConvexHull(vertices[toes]), ConvexHull((vertices + move)[toes])
        assert abs(after.volume / before.volume - 1) < 1e-6, "the cap left the toes' hull"
        whole = foot[:, side] > 0.6
        depth = -(before.equations[:, :3] @ (vertices + move)[whole].T + before.equations[:, 3:]).max(axis=0)
        was = -(before.equations[:, :3] @ vertices[whole].T + before.equations[:, 3:]).max(axis=0)
        assert np.percentile(was, 95) > 0.004 and np.percentile(depth, 95) < 0.0005
