"""One hand fitted to its points: known hands come back, left and right are mirror images, garbage is nobody's hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body import hand_fit
from likeness.body.fit_hands import MOST_TWIST, facing, shared_twist
from likeness.body.hand_fit import HandTarget, along_root, fit_hand, palm_turn, twist_of
from likeness.body.hand_skeleton import BENDS, SPREADS, HandSkeleton, flexion_axes
from likeness.body.model import product_body
from likeness.core.camera import Camera
from likeness.core.frames import axis_angle, rodrigues
from scipy.spatial.transform import Rotation

MIRROR = np.diag([-1.0, 1.0, 1.0])
PLACE = np.array([0.03, -0.02, 2.0])


def skeleton(side):
    return HandSkeleton.of(product_body(), np.zeros(0), side)


def angles_of(bends, spread=0.0):
    """Every finger bent by three angles in degrees, the thumb by a third of them."""
    out = hand_fit.USUAL.copy()
    out[BENDS] = np.radians([*bends] * 4 + [b / 3 for b in bends])
    out[SPREADS] = np.radians([-5 + spread, 0, 6 - spread, 3 - spread / 2, 10])
    return out


HANDS = {"flat": angles_of((2, 4, 2), 8), "bent": angles_of((25, 40, 24)), "fist": angles_of((72, 92, 55), -3)}
TURNS = [rodrigues(np.array(v)) for v in ((0.2, 0.1, -1.2), (-1.4, 0.3, 0.4), (0.1, 2.0, 0.2))]


def target_of(hand, angles, turn, known=True):
    points = hand.points(hand.turns(angles)) @ turn.T + PLACE
    across = points[:, :2] / points[:, 2:]
    root = along_root(points[:, :2]) if known else np.zeros((0, 21))
    return HandTarget(across, points[:, 2] - 1.7, np.ones(21), root, np.zeros(21), 2.02, turn)


def fitted(hand, target):
    space = np.column_stack([target.across * target.distance, target.along])
    return fit_hand(hand, target, [palm_turn(hand, space, target.shown)])


def degrees_between(a, b):
    return np.degrees(np.linalg.norm(axis_angle(a.T @ b)))


@pytest.mark.parametrize("name", HANDS)
@pytest.mark.parametrize("turn", TURNS)
def test_a_known_hand_comes_back_from_its_points(name, turn):
    hand = skeleton(0)
    found = fitted(hand, target_of(hand, HANDS[name], turn))
    # What the prior knows of hands pulls a fist that is seen from its edge.
    assert degrees_between(found.turn, turn) < (6 if name == "fist" else 2)
    truth = hand.points(hand.turns(HANDS[name]))
    assert np.linalg.norm(hand.points(hand.turns(found.angles)) - truth, axis=1).max() < (
        0.015 if name == "fist" else 0.006
    )
    assert np.linalg.norm(hand.points(hand.turns(found.angles)) - truth, axis=1).mean() < (
        0.005 if name == "fist" else 0.003
    )
    assert found.miss < 0.004 and abs(found.place[2] / PLACE[2] - 1) < 0.03


@pytest.mark.parametrize("name", HANDS)
def test_the_right_hand_is_the_left_one_in_a_mirror(name):
    left, right = skeleton(0), skeleton(1)
    assert np.allclose(left.points(left.turns(HANDS[name])) @ MIRROR, right.points(right.turns(HANDS[name])), atol=1e-4)
    target = target_of(left, HANDS[name], TURNS[0])
    mirrored = replace(target, across=target.across * [-1, 1], forearm=MIRROR @ target.forearm @ MIRROR)
    found, other = fitted(left, target), fitted(right, mirrored)
    assert degrees_between(MIRROR @ found.turn @ MIRROR, other.turn) < 0.5
    assert np.degrees(np.abs(found.angles - other.angles)).max() < 1.5


def test_points_of_no_hand_miss():
    hand, rng = skeleton(0), np.random.default_rng(5)
    target = target_of(hand, HANDS["bent"], TURNS[0])
    for _ in range(3):
        found = fitted(hand, replace(target, across=target.across[rng.permutation(21)]))
        assert found.miss > 0.01 and np.isfinite(found.angles).all()


def test_one_wild_point_is_overruled():
    hand = skeleton(1)
    target = target_of(hand, HANDS["bent"], TURNS[1])
    across = target.across.copy()
    across[8] += 0.1
    assert degrees_between(fitted(hand, replace(target, across=across)).turn, TURNS[1]) < 3


def test_readings_place_the_hand():
    hand = skeleton(0)
    target = target_of(hand, HANDS["flat"], TURNS[0])
    depth = (hand.points(hand.turns(HANDS["flat"])) @ TURNS[0].T + PLACE)[:, 2]
    near = replace(target, distance=2.1, readings=depth - hand_fit.UNDER_SKIN_M)
    assert abs(fitted(hand, near).place[2] - PLACE[2]) < 0.01


def test_unseen_fingers_stay_relaxed():
    hand = skeleton(0)
    palm = np.isin(np.arange(21), (0, 1, 5, 9, 13, 17)).astype(float)
    target = replace(target_of(hand, HANDS["fist"], TURNS[0], known=False), shown=palm)
    found = fit_hand(hand, target, [TURNS[0]])
    assert np.degrees(np.abs(found.angles - hand_fit.USUAL)[BENDS].max()) < 25


def test_fingers_bend_into_the_palm():
    axes = flexion_axes(product_body().joints_template.astype(float))
    assert np.allclose(np.linalg.norm(axes, axis=1), 1)
    for side in (0, 1):
        hand = skeleton(side)
        flat, bent = (hand.points(hand.turns(HANDS[name])) @ hand.palm for name in ("flat", "bent"))
        assert (bent[[8, 12, 16, 20]] > flat[[8, 12, 16, 20]] + 0.015).all()


vectors = st.tuples(*[st.floats(-3, 3)] * 3).map(np.array)


@given(vectors, vectors, vectors)
@settings(max_examples=60)
def test_shared_twist_keeps_the_hand_and_twists_neither_joint_too_far(first, second, direction):
    axis = (direction + [0, 0, 7]) / np.linalg.norm(direction + [0, 0, 7])
    elbow, wrist = rodrigues(first), rodrigues(second)
    new_elbow, new_wrist = shared_twist(elbow, wrist, axis)
    assert max(abs(float(twist_of(each, axis))) for each in (new_elbow, new_wrist)) < MOST_TWIST + 1e-6
    # The forearm does not move, and neither does the hand where its twist is possible.
    assert np.allclose(new_elbow @ axis, elbow @ axis)
    whole = float(twist_of(elbow, axis)) + float(twist_of(wrist, axis))
    if abs(whole) < 2 * MOST_TWIST:
        assert np.allclose(new_elbow @ new_wrist, elbow @ wrist, atol=1e-9)


@given(vectors, st.floats(-3.1, 3.1))
@settings(max_examples=60)
def test_twist_is_that_of_quaternions(vector, angle):
    axis = np.array([0.0, 0.6, 0.8])
    turn = Rotation.from_rotvec(vector)
    x, y, z, w = turn.as_quat()
    wanted = 2 * np.arctan2(np.array([x, y, z]) @ axis, w)
    apart = float(twist_of(turn.as_matrix(), axis)) - wanted
    if abs(w) > 1e-3:
        assert abs((apart + np.pi) % (2 * np.pi) - np.pi) < 1e-6
    assert np.isclose(float(twist_of(rodrigues(axis * angle), axis)), angle)


@given(st.floats(0, 639), st.floats(0, 479))
def test_a_camera_that_faces_a_pixel_sees_it_in_its_middle(x, y):
    look = facing(Camera(500.0, 510.0, 320.0, 240.0, 640, 480), np.array([x, y]))
    assert np.allclose(look @ look.T, np.eye(3)) and np.isclose(np.linalg.det(look), 1)
    ray = look[:, 2] / look[2, 2]
    assert np.allclose(ray[:2], [(x - 320) / 500, (y - 240) / 510])
