"""Wrists and fingers of whole fits: given hands are posed, the rest of the body stays, nothing seen changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
from likeness.body.fit_hands import with_hands
from likeness.body.fit_observe import observe
from likeness.body.given_points import nobody
from likeness.body.hand_fit import CLOSED, USUAL
from likeness.body.hand_skeleton import HAND_STARTS, HandSkeleton
from likeness.body.model import load_default, product_body
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.fit import Fit
from likeness.core.frames import axis_angle, rodrigues
from likeness.core.hands import RELAXED_FINGERS, with_joints

CAMERA = Camera(1500.0, 1500.0, 479.5, 639.5, 960, 1280)
CAPTURE = Capture(
    np.full((1280, 960, 3), 110, np.uint8), np.ones((1280, 960), bool), None, CAMERA, True, "nobody", "0" * 64, "file"
)


def fit_of(pose):
    return Fit(
        pose.astype(np.float32), np.zeros(30, np.float32), np.array([0, 0.1, 2.5], np.float32), CAMERA,
        {"left_arm": 0.8, "right_arm": 0.8},
    )  # fmt: skip


@pytest.fixture(scope="module")
def known():
    """Somebody who shows both hands, the body's fit of them (hands relaxed, wrists straight), and the hands' points."""
    model, pose = product_body(), np.zeros((52, 3))
    pose[0] = [np.pi, 0, 0]
    pose[16], pose[17] = [0, 0, -0.6], [0, 0, 0.6]
    pose[18], pose[19] = [0, -1.2, 0], [0, 1.2, 0]
    body = pose.copy()
    body[22:] = RELAXED_FINGERS
    points = np.zeros((2, 21, 3))
    for side, angles in enumerate((0.5 * (USUAL + CLOSED), np.where(np.arange(21) < 15, 0.05, USUAL))):
        hand = HandSkeleton.of(model, np.zeros(0), side)
        pose[20 + side] = [0.5, (0.2, -0.2)[side], 0.1]
        pose[HAND_STARTS[side] : HAND_STARTS[side] + 15] = hand.pose(angles)
    truth = fit_of(pose)
    joints = model.posed(truth.betas, truth.pose, truth.translation)[1]
    for side in (0, 1):
        hand, turn = HandSkeleton.of(model, np.zeros(0), side), world_turns(pose, model)[20 + side]
        space = hand.points(rodrigues(pose[HAND_STARTS[side] : HAND_STARTS[side] + 15])) @ turn.T + joints[20 + side]
        points[side] = np.column_stack([CAMERA.project(space), np.ones(21)])
    return model, truth, fit_of(body), points


def world_turns(pose, model):
    """World turns (22, 3, 3) of the body's joints."""
    turns = rodrigues(np.asarray(pose[:22], float))
    for joint in range(1, len(turns)):
        turns[joint] = turns[model.parents[joint]] @ turns[joint]
    return turns


def evidence_of(points):
    return observe(CAPTURE, replace(nobody(), hands=points), np.random.default_rng(0))


def off_deg(model, found, truth, joint):
    turns = [world_turns(each.pose, model)[joint] for each in (found, truth)]
    return np.degrees(np.linalg.norm(axis_angle(turns[0].T @ turns[1])))


def test_given_hands_are_posed_and_the_arms_stay(known):
    model, truth, body, points = known
    found = with_hands(body, model, CAPTURE, evidence_of(points))
    joints = [model.posed(each.betas, each.pose, each.translation)[1] for each in (found, truth, body)]
    for side in (0, 1):
        assert off_deg(model, found, truth, 20 + side) < 8 < off_deg(model, body, truth, 20 + side)
    apart = [np.linalg.norm(each[22:] - joints[1][22:], axis=1).mean() for each in (joints[0], joints[2])]
    assert apart[0] < 0.01 and apart[1] > 0.02
    assert np.abs(joints[0][:22] - joints[2][:22]).max() < 1e-5
    changed = np.flatnonzero(np.abs(found.pose - body.pose).max(axis=1) > 1e-6)
    assert set(changed) <= {18, 19, *range(20, 52)}
    assert found.confidence["left_hand"] > with_hands(body, model, CAPTURE, evidence_of(None)).confidence["left_hand"]


def test_nothing_seen_changes_no_pose(known):
    model, _, body, points = known
    unseen = points * [1, 1, 0]
    for evidence in (evidence_of(None), evidence_of(unseen)):
        found = with_hands(body, model, CAPTURE, evidence)
        assert np.array_equal(found.pose, body.pose) and 0 < found.confidence["right_hand"] < 0.8


def test_garbage_leaves_the_hands_relaxed(known):
    model, _, body, points = known
    rng = np.random.default_rng(3)
    found = with_hands(body, model, CAPTURE, evidence_of(points[:, rng.permutation(21)]))
    assert np.array_equal(found.pose, body.pose)


def test_hands_that_somebody_posed_stay(known):
    model, truth, _, points = known
    assert np.array_equal(with_hands(truth, model, CAPTURE, evidence_of(points), posed=True).pose, truth.pose)


def test_a_body_without_fingers_turns_its_hands(known):
    _, truth, body, points = known
    smpl = load_default("smpl", betas=30)
    found = with_hands(fit_of(with_joints(body.pose, 24)), smpl, CAPTURE, evidence_of(points))
    assert found.pose.shape == (24, 3)
    for side in (0, 1):
        assert off_deg(smpl, found, truth, 20 + side) < 8
