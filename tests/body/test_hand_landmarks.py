"""Hands read in pictures: windows turn with the picture, known hands are where they are, doubtful ones are refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from likeness.body.blazepose import Picture
from likeness.body.hand_landmarks import (
    BODY_POINTS,
    LEAST_PX,
    HandReading,
    hand_networks,
    own_window,
    read_hands,
    rough_window,
    usable,
)
from likeness.body.landmarks import detect, over_grey
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
# A right hand seen from its back, fingers up, in units of its own.
OPEN = np.array(
    [[50, 100], [30, 90], [15, 75], [5, 65], [-5, 55], [33, 50], [30, 30], [28, 18], [26, 5], [47, 48], [47, 25],
     [47, 12], [47, 0], [60, 50], [62, 30], [63, 18], [64, 7], [72, 56], [77, 42], [80, 32], [83, 22]], float
)  # fmt: skip


def hand(points=OPEN + 100, presence=0.99, left=0.02):
    return HandReading(points, np.zeros((21, 3)), presence, left, 200.0)


@given(st.floats(-3.1, 3.1), st.floats(0.3, 20), st.floats(-900, 900), st.floats(-900, 900))
def test_windows_turn_and_grow_with_the_hand(angle, scale, x, y):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = scale * OPEN @ turn.T + [x, y]
    for window, same in (
        (own_window(OPEN), own_window(moved)),
        (rough_window(OPEN[[0, 17, 5]]), rough_window(moved[[0, 17, 5]])),
    ):
        assert np.allclose(scale * window.center @ turn.T + [x, y], same.center, atol=1e-6)
        assert np.isclose(max(scale * window.side, 4.0), same.side)
        assert np.isclose(np.cos(same.angle - window.angle - angle), 1)
    # All of the hand lies in its own window, fingertips up.
    inside = own_window(OPEN).to_crop(OPEN)
    assert (inside > 0).all() and (inside < 1).all() and inside[12, 1] < inside[0, 1] - 0.3


def test_only_large_whole_and_sure_hands_of_the_right_side_are_used():
    mask = np.ones((400, 400), bool)
    wrist = OPEN[0] + 100
    assert usable(hand(), 1, wrist, mask)
    assert not usable(hand(), 0, wrist, mask)
    assert not usable(hand(presence=0.3), 1, wrist, mask)
    assert not usable(hand(OPEN * 0.9 * LEAST_PX / 105 + 100), 1, OPEN[0] * 0.2 + 100, mask)
    assert not usable(hand(OPEN - [40, 0]), 1, OPEN[0] - [40, 0], mask)
    assert not usable(hand(), 1, wrist + 100, mask)
    assert not usable(hand(), 1, wrist, np.zeros_like(mask))
    # A mask that loses the fingers' rims still has the hand.
    rim = np.zeros_like(mask)
    rim[np.round(OPEN[:, 1] + 100).astype(int), np.round(OPEN[:, 0] + 100).astype(int)] = True
    assert usable(hand(), 1, wrist, rim)


def sample():
    color = np.asarray(Image.open(ROOT / "samples" / "capture" / "color.jpg").convert("RGB"))
    mask = np.asarray(Image.open(ROOT / "samples" / "capture" / "mask.png").convert("L")) > 0
    return color, mask


def test_hands_of_a_real_render_lie_at_the_wrists(shared):
    folder = shared / "data" / "test" / "known" / "Male_Adult_08"
    photo = np.asarray(Image.open(folder / "photo.png"))
    camera, joints = json.loads((folder / "camera.json").read_text()), np.load(folder / "truth.npz")["joints24"]
    uv = joints[:, :2] / joints[:, 2:] * [camera["fx"], camera["fy"]] + [camera["cx"], camera["cy"]]
    person = detect(photo)[0]
    found = read_hands(over_grey(photo), photo[..., 3] > 0, person.points, person.visibility * person.presence)
    assert any(found)
    for side, seen in enumerate(found):
        if seen is not None:
            assert np.linalg.norm(seen.points[0] - uv[20 + side]) < 0.3 * seen.size
            assert np.linalg.norm(seen.points[9] - uv[22 + side]) < 0.35 * seen.size


def test_a_turned_picture_gives_turned_points():
    color, _ = sample()
    person = detect(color)[0]
    trust = person.visibility * person.presence
    side = int(trust[16] > trust[15])
    wrist, pinky, index, _ = BODY_POINTS[side]
    uv = person.points[[wrist, pinky, index]].astype(float)
    net, width = hand_networks(), color.shape[1]
    straight = net.read(Picture(color), net.window(Picture(color), rough_window(uv)))
    turned = Picture(np.rot90(color).copy())
    other = net.read(turned, net.window(turned, rough_window(np.stack([uv[:, 1], width - 1 - uv[:, 0]], axis=1))))
    back = np.stack([width - 1 - other.points[:, 1], other.points[:, 0]], axis=1)
    assert np.linalg.norm(back - straight.points, axis=1).max() < 0.05 * straight.side
    assert np.abs(other.world[:, 2] - straight.world[:, 2]).max() < 0.01
    assert np.abs(other.world @ [[0, 1, 0], [-1, 0, 0], [0, 0, 1]] - straight.world).max() < 0.01


def test_windows_are_those_of_mediapipe():
    """Opt-in, where the package is installed; it reads points with the full network, ours is the lite one."""
    holistic = pytest.importorskip("mediapipe").solutions.holistic.Holistic(static_image_mode=True, model_complexity=1)
    color, _ = sample()
    theirs, size = holistic.process(color), [color.shape[1], color.shape[0]]
    body = np.array([[p.x, p.y] for p in theirs.pose_landmarks.landmark]) * size - 0.5
    net, apart = hand_networks(), []
    for side, found in enumerate((theirs.left_hand_landmarks, theirs.right_hand_landmarks)):
        wanted = np.array([[p.x, p.y] for p in found.landmark]) * size - 0.5
        picture = Picture(color)
        ours = net.read(picture, net.window(picture, rough_window(body[list(BODY_POINTS[side][:3])])))
        apart.append(np.linalg.norm(ours.points - wanted, axis=1).mean() / ours.size)
    assert max(apart) < 0.06


def test_nobody_has_no_hands_and_two_hands_are_never_one():
    color, mask = sample()
    person = detect(color)[0]
    trust = person.visibility * person.presence
    assert read_hands(color, mask, person.points, np.zeros(33)) == [None, None]
    assert read_hands(np.full_like(color, 127), mask, person.points, trust) == [None, None]
    both = person.points.copy()
    both[list(BODY_POINTS[0])] = both[list(BODY_POINTS[1])]
    assert None in read_hands(color, mask, both, np.ones(33))


@pytest.mark.parametrize("side", [0, 1])
def test_the_size_is_that_of_the_points(side):
    points = OPEN[::-1] * (1, 2)
    assert replace(hand(), points=points).size == np.ptp(points, axis=0).max()
