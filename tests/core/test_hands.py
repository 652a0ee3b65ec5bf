"""Poses of SMPL, SMPL-H and SMPL-X turned into one another, judged by bodies in those layouts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.model import load_default
from likeness.core.camera import Camera
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit
from likeness.core.hands import RELAXED_FINGERS, beyond_body, with_joints
from scipy.spatial.transform import Rotation


def _pose(seed, scale=0.5):
    return np.random.default_rng(seed).normal(0, scale, (24, 3)).astype(np.float32)


def test_a_widened_pose_gives_the_same_body_but_for_the_fingers():
    smpl, smplh = load_default("smpl"), load_default("smplh")
    pose, betas = _pose(0), np.random.default_rng(1).normal(size=10).astype(np.float32)
    before, joints = smpl.posed(betas, pose)
    after, wide_joints = smplh.posed(betas, with_joints(pose, 52))
    body = smplh.weights[:, :22].sum(1) > 1 - 1e-6
    assert body.mean() > 0.4
    np.testing.assert_allclose(after[body], before[body], atol=2e-5)
    np.testing.assert_allclose(wide_joints[:22], joints[:22], atol=2e-5)
    # The fingers curl but stay where the hand is.
    assert np.linalg.norm(after - before, axis=1).max() < 0.12


def test_relaxed_fingers_curl_towards_the_palm_alike_on_both_sides():
    model = load_default("smplh")
    flat = np.zeros((52, 3), np.float32)
    relaxed = with_joints(np.zeros((24, 3), np.float32), 52)
    tips = [model.landmark_vertices[f"{side}_index_tip"] for side in ("left", "right")]
    before, after = (model.posed(np.zeros(0), pose)[0][tips] for pose in (flat, relaxed))
    drop = (after - before)[:, 1]
    assert (drop < -0.02).all() and (drop > -0.08).all()
    np.testing.assert_allclose(after[0] * [-1, 1, 1], after[1], atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 0.8))
def test_widening_and_narrowing_is_the_same_pose(seed, scale):
    pose = _pose(seed, scale)
    for layout in (52, 55):
        back = with_joints(with_joints(pose, layout), 24)
        turns = Rotation.from_rotvec(back.astype(float)) * Rotation.from_rotvec(pose.astype(float)).inv()
        assert turns.magnitude().max() < 1e-5
    wide = with_joints(with_joints(pose, 52), 55)
    np.testing.assert_array_equal(wide, with_joints(pose, 55))
    assert not wide[22:25].any()
    np.testing.assert_array_equal(with_joints(wide, 52), with_joints(pose, 52))


def test_a_clip_widens_frame_by_frame():
    clip = np.stack([_pose(k) for k in range(3)])
    np.testing.assert_allclose(with_joints(clip, 52), [with_joints(p, 52) for p in clip], atol=1e-6)
    assert with_joints(clip, 52).shape == (3, 52, 3)


def test_hands_that_do_nothing_stand_the_same_however_they_came_about():
    still = with_joints(np.zeros((24, 3)), 52)
    np.testing.assert_allclose(still[22:], RELAXED_FINGERS, atol=1e-6)
    np.testing.assert_array_equal(beyond_body(52), RELAXED_FINGERS)
    np.testing.assert_array_equal(beyond_body(55)[3:], RELAXED_FINGERS)
    assert not beyond_body(24).any()


def test_a_fit_of_24_joints_serves_a_body_of_52():
    fit = Fit(_pose(3), np.zeros(10, np.float32), np.zeros(3, np.float32), Camera(500, 500, 320, 240, 640, 480))
    assert fit.with_joints(24) is fit
    wide = fit.with_joints(52)
    assert wide.pose.shape == (52, 3) and wide.pose.dtype == np.float32
    np.testing.assert_array_equal(wide.pose[:22], fit.pose[:22])
    with pytest.raises(LikenessError, match="24 joints, and the body has 30"):
        fit.with_joints(30)


def test_the_people_of_a_fit_are_read_and_checked():
    fit = Fit(
        _pose(3), np.zeros(2, np.float32), np.zeros(3, np.float32), Camera(500, 500, 1, 1, 9, 9), people="children"
    )
    data = fit.to_dict()
    assert Fit.from_dict(data).people == "children"
    del data["people"]
    assert Fit.from_dict(data).people == "adults"
    for bad in (data | {"people": "robots"}, data | {"confidence": 3}, data | {"pose": []}, [1], None, data | {"x": 1}):
        if isinstance(bad, dict) and "x" in bad:
            assert Fit.from_dict(bad).people == "adults"
            continue
        with pytest.raises(LikenessError, match="cannot be read"):
            Fit.from_dict(bad)
