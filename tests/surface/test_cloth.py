"""Cloth over hollows, and when there is none."""

from __future__ import annotations

import numpy as np
import trimesh
from likeness.body.model import load_default
from likeness.surface.cloth import dressed, flat_back, levelling, taut_cloth, toe_caps, turned
from likeness.surface.solve import SmoothField
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

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


def tube() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces and radial directions of a trunk 0.3 m thick along y, 0.6 m high."""
    columns, heights = 120, np.linspace(0, 0.6, 61)
    angle = np.arange(columns) * 2 * np.pi / columns
    out = np.stack([np.sin(angle), np.zeros(columns), np.cos(angle)], 1)
    directions = np.tile(out, (len(heights), 1))
    vertices = 0.15 * directions + np.repeat(heights, columns)[:, None] * [0.0, 1.0, 0.0]
    row, column = (i.ravel() for i in np.meshgrid(np.arange(len(heights) - 1), np.arange(columns), indexing="ij"))
    a, b = row * columns + column, row * columns + (column + 1) % columns
    faces = np.concatenate([np.stack([a, b, b + columns], 1), np.stack([a, b + columns, a + columns], 1)])
    return vertices, faces, directions


def test_cloth_over_a_groove_of_the_back_follows_the_cuts_hull() -> None:
    vertices, faces, directions = tube()
    weights = np.tile([1.0, 0.0, 0.0], (len(vertices), 1))
    assert np.abs(flat_back(vertices, faces, weights, NAMES)).max() < 1e-9
    groove = 0.04 * np.exp(-((vertices[:, 0] / 0.02) ** 2))
    split = vertices - directions * groove[:, None]
    move = flat_back(split, faces, weights, NAMES)
    inner = (split[:, 1] > 0.1) & (split[:, 1] < 0.45)
    back, front = inner & (directions[:, 2] < 0), directions[:, 2] > 0.1
    assert not move[front].any() and not move[:, :2].any()
    # The deepest place comes back to the chord between the groove's lips, and nothing goes beyond the round trunk.
    deepest = back & (np.abs(split[:, 0]) < 1e-6)
    assert (move[deepest, 2] < -0.03).all()
    radius = np.linalg.norm((split + move)[back][:, [0, 2]], axis=1)
    assert radius.max() < 0.15 + 1e-9
    assert radius.min() > 0.14
    # Limbs are not the trunk's.
    assert not flat_back(split, faces, weights[:, [1, 0, 2]], NAMES).any()


def test_displacements_turn_with_their_bone() -> None:
    rng = np.random.default_rng(0)
    rest = rng.normal(size=(60, 3))
    weights = np.repeat(np.eye(2), 30, axis=0)
    turns = [Rotation.from_rotvec([0.3, 1.0, -0.2]), Rotation.from_rotvec([0.0, 0.0, 2.0])]
    posed = np.concatenate([turns[k].apply(rest[30 * k : 30 * k + 30]) + [1.0, 2.0, 3.0] for k in range(2)])
    move = rng.normal(size=(60, 3))
    expected = np.concatenate([turns[k].apply(move[30 * k : 30 * k + 30]) for k in range(2)])
    np.testing.assert_allclose(turned(move, rest, posed, weights), expected, atol=1e-9)
    assert not turned(np.zeros((60, 3)), rest, posed, weights).any()
