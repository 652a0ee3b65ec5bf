"""Poses: hands bend towards the palm, limbs arrive where they are sent, nobody passes through himself."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body import hand_skeleton as hands
from likeness.body.model import load_default
from likeness.core.frames import rodrigues
from likeness.synthesis import fingers, limbs
from likeness.synthesis.clearance import _segments_apart, deepest_overlap, relaxed
from likeness.synthesis.limbs import PARENTS, Skeleton, mirrored, unit
from likeness.synthesis.poses import MAX_YAW_DEG, OVERLAP_M, clip_pose, clip_words, draw_pose, natural_pose, rest_joints
from scipy.spatial import ConvexHull

JOINT_LIMIT_DEG = 170.0


def _places(pose: np.ndarray) -> np.ndarray:
    skeleton = Skeleton(rest_joints())
    skeleton.local = rodrigues(np.asarray(pose, np.float64))
    return skeleton.world()[1]


def _tips(pose: np.ndarray, side: int) -> np.ndarray:
    """Ends (5, 3) of the five fingers: the last joint's bone carried on by its own length."""
    skeleton = Skeleton(rest_joints())
    skeleton.local = rodrigues(np.asarray(pose, np.float64))
    joints = rest_joints()
    ends = []
    for finger in hands.FINGERS:
        _, second, third = hands.finger_joints(side, finger)
        ends.append(skeleton.place(third, joints[third] - joints[second]))
    return np.stack(ends)


@pytest.fixture(scope="module")
def drawn() -> list:
    rng = np.random.default_rng(3)
    return [draw_pose(None, rng) for _ in range(500)]


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("shape", ["relaxed", "fist", "grip"])
def test_curled_fingers_close_over_the_palm(side: int, shape: str) -> None:
    joints, pose = rest_joints(), np.zeros((52, 3))
    start = hands.HAND_STARTS[side]
    pose[start : start + 15] = fingers.hand_pose(joints, side, shape, np.random.default_rng(0), spread_deg=0.0)
    middle = joints[hands.finger_joints(side, "middle")[0]]
    palm = 0.5 * (joints[hands.WRISTS[side]] + middle) + 0.02 * hands.palm_normal(joints, side)
    flat, bent = (np.linalg.norm(_tips(p, side) - palm, axis=1) for p in (np.zeros((52, 3)), pose))
    assert (bent[:4] < flat[:4] - 0.004).all()


@pytest.mark.parametrize("side", [0, 1])
def test_more_flexion_brings_every_tip_closer_to_the_palm(side: int) -> None:
    joints, axes = rest_joints(), hands.flexion_axes(rest_joints())
    normal = hands.palm_normal(joints, side)
    start = hands.HAND_STARTS[side]
    heights = []
    for degrees in (0.0, 8.0, 16.0, 24.0):
        pose = np.zeros((52, 3))
        pose[start : start + 12] = axes[start - 22 : start - 10] * np.radians(degrees)
        heights.append((_tips(pose, side)[:4] - joints[hands.WRISTS[side]]) @ normal)
    assert (np.diff(heights, axis=0) > 0.003).all()


def test_the_palm_looks_down_at_rest() -> None:
    for side in (0, 1):
        assert hands.palm_normal(rest_joints(), side)[1] < -0.7


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([0, 1]), st.integers(0, 2**31))
def test_a_hand_arrives_where_it_is_sent(side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    skeleton = Skeleton(rest_joints())
    skeleton.turn(0, *rng.uniform(-40, 40, 3))
    skeleton.turn(9, *rng.uniform(-20, 20, 3))
    shoulder, way = skeleton.world()[1][16 + side], unit(rng.normal(size=3))
    target = shoulder + way * rng.uniform(0.2, 0.45)
    skeleton.reach((16 + side, 18 + side, 20 + side), target, unit(rng.normal(size=3)))
    places = skeleton.world()[1]
    assert places[20 + side] == pytest.approx(target, abs=1e-6)
    skeleton.lay_hand(side, rng.normal(size=3), rng.normal(size=3))
    assert skeleton.world()[1][20 + side] == pytest.approx(target, abs=1e-6)


def test_a_knee_and_an_elbow_bend_the_way_they_can() -> None:
    skeleton = Skeleton(rest_joints())
    skeleton.reach((1, 4, 7), np.array([0.11, -0.6, 0.2]), np.array([0.0, 0.0, 1.0]))
    skeleton.reach((16, 18, 20), np.array([0.3, 0.3, 0.3]), np.array([0.3, -1.0, 0.0]))
    knee, elbow = (skeleton.local[joint] @ way for joint, way in ((4, (0, -1, 0)), (18, (1, 0, 0))))
    assert knee[2] < -0.2 and abs(knee[0]) < 1e-6
    assert elbow[2] > 0.2 and abs(elbow[1]) < 1e-6


def test_the_mirror_image_stands_mirrored() -> None:
    pose = natural_pose(np.random.default_rng(5)).pose
    even = rest_joints()
    even = 0.5 * (even + even[limbs.MIRROR] * (-1, 1, 1))
    places = []
    for p in (pose, mirrored(pose)):
        skeleton = Skeleton(even)
        skeleton.local = rodrigues(p.astype(np.float64))
        places.append(skeleton.world()[1])
    assert places[1] == pytest.approx(places[0][limbs.MIRROR] * (-1, 1, 1), abs=1e-5)
    assert np.allclose(mirrored(mirrored(pose)), pose)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31))
def test_distance_of_segments_is_that_of_dense_samples(seed: int) -> None:
    p, q = np.random.default_rng(seed).normal(size=(2, 1, 2, 3))
    share = np.linspace(0, 1, 120)[:, None]
    a, b = p[0, 0] + share * (p[0, 1] - p[0, 0]), q[0, 0] + share * (q[0, 1] - q[0, 0])
    sampled = np.linalg.norm(a[:, None] - b[None], axis=2).min()
    found = float(_segments_apart(p, q)[0][0])
    assert found <= sampled + 1e-2
    assert found >= sampled - 0.05


def test_joints_stay_below_their_limit_and_people_out_of_themselves(drawn: list) -> None:
    angles = np.degrees([np.linalg.norm(p.pose, axis=1).max() for p in drawn])
    assert angles.max() < JOINT_LIMIT_DEG
    overlaps = np.array([deepest_overlap(p.pose, rest_joints()) for p in drawn])
    assert (overlaps > OVERLAP_M).mean() < 0.01
    assert overlaps.max() < 2 * OVERLAP_M


def test_people_face_the_front(drawn: list) -> None:
    front = rodrigues(np.array([p.pose[0] for p in drawn], np.float64))[:, :, 2]
    yaw = np.degrees(np.arctan2(front[:, 0], front[:, 2]))
    assert (np.abs(yaw) < MAX_YAW_DEG).mean() > 0.9


def test_poses_and_hands_vary(drawn: list) -> None:
    said = {p.words.split(",")[0] for p in drawn}
    assert {"standing", "walking", "running", "sitting", "kneeling", "squatting", "bending", "dancing"} <= said
    words = [p.words for p in drawn]
    assert sum("arms crossed" in w for w in words) > 20
    assert sum("walking" in w for w in words) > 60
    left = np.array([np.linalg.norm(p.pose[22:34], axis=1).sum() for p in drawn])
    assert np.ptp(np.percentile(left, [10, 90])) > 3


def test_a_relaxed_pose_is_freed_and_a_free_one_kept() -> None:
    joints, pose = rest_joints(), np.zeros((52, 3), np.float32)
    assert np.array_equal(relaxed(pose, joints), pose)
    pose[16, 2] = -1.75
    assert deepest_overlap(pose, joints) > 0.03
    freed = relaxed(pose, joints)
    assert deepest_overlap(freed, joints) < 0.0125
    assert np.array_equal(freed[[0, 1, 2, 3, 17]], pose[[0, 1, 2, 3, 17]])


def test_arms_clear_by_capsules_are_clear_on_the_surface() -> None:
    body = load_default(layout="smplh")
    pose = np.zeros((52, 3))
    pose[16, 2], pose[17, 2] = -1.15, 1.15
    assert deepest_overlap(pose, rest_joints()) < 0.012
    vertices, _ = body.posed(np.zeros(body.betas_count), pose)
    joint = body.weights.argmax(1)
    waist = np.isin(joint, (0, 3, 6)) & (vertices[:, 1] > 0.02) & (vertices[:, 1] < 0.2)
    hull = ConvexHull(vertices[waist]).equations
    lower_arms = vertices[np.isin(joint, (18, 19, 20, 21))]
    depth = -(lower_arms @ hull[:, :3].T + hull[:, 3]).max(1)
    assert depth.max() < 0.012


def test_clips_are_turned_to_the_front_and_get_fingers() -> None:
    poses = np.zeros((4, 24, 3), np.float32)
    poses[:, 0, 1] = np.linspace(0, 3, 4)
    poses[:, 18, 1] = -0.5
    clip = SimpleNamespace(poses=poses, usable=np.array([False, False, True, False]))
    pack = SimpleNamespace(clip=lambda name: clip, split=SimpleNamespace(names=lambda kind, which: ["walk_a"]))
    rng = np.random.default_rng(0)
    pose = clip_pose(pack, "walk_a", 2, rng)  # type: ignore[arg-type]
    assert abs(np.degrees(pose.pose[0, 1])) < MAX_YAW_DEG
    assert pose.pose[18] == pytest.approx(poses[2, 18], abs=1e-6)
    assert np.abs(pose.pose[22:]).max() > 0.05
    assert pose.words == "walking"
    sources = {draw_pose(pack, rng).source for _ in range(40)}  # type: ignore[arg-type]
    assert "clip:walk_a:2" in sources and "natural" in sources
    assert not {"clip:walk_a:0", "clip:walk_a:1", "clip:walk_a:3"} & sources


def test_a_clip_is_called_what_its_frame_shows() -> None:
    upright, low, bent = np.zeros((3, 52, 3))
    low[[1, 2], 0], low[[4, 5], 0] = -1.4, 1.5
    bent[[0, 3], 0] = 0.6
    assert [clip_words("sit", p) for p in (upright, low)] == ["standing", "sitting"]
    assert [clip_words("squat", p) for p in (upright, low)] == ["standing", "squatting"]
    assert clip_words("sit_rockback_01_08", low) == ""
    assert clip_words("bend_scoop_02_06a", bent) == "bending"
    assert clip_words("walk_07_01", upright) == "walking"


def test_equal_seeds_draw_equal_poses() -> None:
    first, second = (draw_pose(None, np.random.default_rng(9)) for _ in range(2))
    assert np.array_equal(first.pose, second.pose) and first.words == second.words


def test_parents_are_those_of_the_default_body() -> None:
    model = load_default(layout="smplh")
    assert np.array_equal(PARENTS, model.parents)
    assert np.array_equal(limbs.MIRROR, model.joint_mirror)
