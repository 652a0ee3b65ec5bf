"""Keypoints in place of the detector's: what is replaced, what stays, and where the points are in space."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.given_points import keypoints_of, lifted, nobody, with_keypoints
from likeness.body.model import load_default
from likeness.core.errors import LikenessError
from likeness.core.keypoints import NAMES, Keypoints

MODEL = load_default()


def _body(seed, turn=0.0):
    """BlazePose's points of a posed body in camera axes, hips at the origin, and their pixels (weak perspective)."""
    rng = np.random.default_rng(seed)
    pose = np.zeros((24, 3), np.float32)
    pose[0] = [np.pi, 0, 0]
    pose[16:20] = rng.normal(0, 0.5, (4, 3))
    pose[[4, 5], 0] = rng.uniform(0, 1.2, 2)
    vertices, joints = MODEL.posed(np.zeros(0), pose)
    world = MODEL.blazepose_points(vertices, joints).astype(float)
    world -= world[[23, 24]].mean(0)
    return world, world[:, :2] * 300 + [400, 500]


def _seen(seed=0):
    world, points = _body(seed)
    ones = np.ones(33, np.float32)
    return replace(
        nobody(), points=points.astype("f4"), visibility=ones, presence=ones, world=world.astype("f4"), score=0.9
    )


def test_given_points_replace_the_detectors_and_the_others_stay():
    found = _seen()
    moved = Keypoints(
        {"left_wrist": (700.0, 300.0, 0.8), "right_knee": (*found.points[26].astype(float), 1.0)}, (900, 900)
    )
    out = with_keypoints(found, moved, MODEL)
    wrist = NAMES.index("left_wrist")
    np.testing.assert_allclose(out.points[wrist], [700, 300])
    assert out.visibility[wrist] == np.float32(0.8)
    others = np.arange(33) != wrist
    np.testing.assert_allclose(out.points[others], found.points[others], atol=1e-3)
    # The wrist's fingers hang on it in space; all else keeps the detector's places, the knee that was not moved too.
    np.testing.assert_array_equal(out.world[others], found.world[others])
    assert np.linalg.norm(out.world[wrist] - found.world[wrist]) > 0.05


def test_given_hands_go_with_the_body_and_come_back():
    hand = tuple((float(k), 2.0 * k, 0.5 if k % 2 else 0.0) for k in range(21))
    out = with_keypoints(_seen(), Keypoints({"nose": (400.0, 300.0, 1.0)}, (900, 900), {"right": hand}), MODEL)
    assert out.hands is not None
    np.testing.assert_array_equal(out.hands[1], hand)
    assert not out.hands[0, :, 2].any()
    assert keypoints_of(out, (900, 900)).hands == {"right": hand}
    assert with_keypoints(_seen(), Keypoints({"nose": (4.0, 3.0, 1.0)}), MODEL).hands is None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_lifted_bones_have_their_length_and_lie_where_the_picture_shows_them(seed):
    world, points = _body(seed)
    known = moved = np.ones(33, bool)
    out = lifted(points, known, np.zeros((33, 3)), moved, MODEL)
    rest = MODEL.blazepose_points(*MODEL.rest(np.zeros(0)))
    for a, b in ((11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26), (26, 28)):
        shown = np.linalg.norm(world[a, :2] - world[b, :2])
        assert np.linalg.norm(out[a] - out[b]) >= 0.93 * np.linalg.norm(rest[a] - rest[b]) or shown > 0.2
        flat, want = out[b, :2] - out[a, :2], world[b, :2] - world[a, :2]
        np.testing.assert_allclose(flat / np.linalg.norm(flat), want / np.linalg.norm(want), atol=1e-3)
    # Standing and seen from the front, arms apart: the trunk is as large as it is.
    assert abs(np.linalg.norm(out[11] - out[23]) / np.linalg.norm(world[11] - world[23]) - 1) < 0.12


def test_enough_points_alone_will_do_and_too_few_will_not():
    _, points = _body(1)
    rows = {NAMES[k]: (*points[k], 1.0) for k in (11, 12, 23, 24, 25, 26)}
    out = with_keypoints(None, Keypoints(rows, (900, 900)), MODEL)
    assert out.presence.sum() == 6 and out.score == 1.0
    assert out.world[11, 0] > out.world[12, 0] and out.world[11, 1] < out.world[23, 1]
    with pytest.raises(LikenessError, match="name only 2 joints"):
        with_keypoints(None, Keypoints(dict(list(rows.items())[:2]), (900, 900)), MODEL)


def test_what_a_fit_saw_reads_back():
    found = _seen(2)
    back = with_keypoints(None, keypoints_of(found, (900, 900)), MODEL)
    np.testing.assert_allclose(back.points, found.points, atol=1e-3)
    np.testing.assert_allclose(back.visibility, 1.0)
