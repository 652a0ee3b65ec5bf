"""The clips that ship: readable, small, credited, without flips, and with their feet on the floor."""

from __future__ import annotations

import json

import numpy as np
import pytest
from likeness.body.model import load_default
from likeness.core.hands import RELAXED_FINGERS
from likeness.core.motion import CLIPS, MotionClip, list_clips, read_clip
from scipy.spatial.transform import Rotation

MODEL = load_default()
FLYING = {"run_02_03", "jump_balance_02_04", "jump_turn_01_01", "shoot_06_15"}


def test_the_set_is_small_complete_and_indexed() -> None:
    clips = list_clips()
    assert sum(path.stat().st_size for path in clips.values()) < 1_000_000
    for needed in ("walk_02_01", "run_02_03", "wave", "idle_a", "squat", "turn", "sit", "reach", "punch_02_05"):
        assert needed in clips
    index = {entry["name"]: entry for entry in json.loads((CLIPS / "index.json").read_text())}
    assert set(index) == set(clips)


@pytest.mark.parametrize("name", list_clips())
def test_clip_is_credited_upright_and_without_flips(name: str) -> None:
    clip = read_clip(list_clips()[name])
    assert clip.up == "Y" and clip.fps == 30 and clip.poses.shape[1:] == (24, 3)
    assert "CC0" in clip.licence or "mocap.cs.cmu.edu" in clip.licence
    assert clip.source
    turns = Rotation.from_rotvec(clip.poses.reshape(-1, 3)).as_matrix().reshape(len(clip), 24, 3, 3)
    step = Rotation.from_matrix((np.swapaxes(turns[:-1], -1, -2) @ turns[1:]).reshape(-1, 3, 3)).magnitude()
    assert np.degrees(step).max() < 45
    assert np.linalg.norm(np.diff(clip.trans, axis=0), axis=1).max() * clip.fps < 6  # metres a second


@pytest.mark.parametrize("name", list_clips())
def test_feet_meet_the_floor(name: str) -> None:
    clip = read_clip(list_clips()[name])
    lowest = []
    for pose, trans in zip(clip.poses[::6], clip.trans[::6], strict=True):
        vertices, _ = MODEL.posed(np.zeros(1), pose, trans)
        lowest.append(vertices[:, 1].min())
    assert min(lowest) > -0.03
    assert min(lowest) < 0.01
    if name not in FLYING:
        assert max(lowest) < 0.02


@pytest.mark.parametrize(("have", "count"), [(52, 24), (55, 24), (22, 24)])
def test_a_body_without_fingers_keeps_its_hands_straight(have: int, count: int) -> None:
    poses = np.arange(2 * have * 3, dtype=np.float32).reshape(2, have, 3) + 1
    clip = MotionClip(poses, np.zeros((2, 3), np.float32), 30.0).with_joints(count)
    assert clip.poses.shape == (2, count, 3)
    assert (clip.poses[:, :22] == poses[:, :22]).all()
    assert (clip.poses[:, 22:] == 0).all()


@pytest.mark.parametrize("have", [22, 24, 52, 55])
@pytest.mark.parametrize("count", [52, 55])
def test_hands_that_were_not_recorded_hang_relaxed(have: int, count: int) -> None:
    """As AMASS writes SMPL-H without a glove: thirty joints of zeros."""
    poses = np.zeros((3, have, 3), np.float32)
    poses[:, :22] = np.arange(66).reshape(22, 3)
    clip = MotionClip(poses, np.zeros((3, 3), np.float32), 30.0).with_joints(count)
    assert (clip.poses[:, :22] == poses[:, :22]).all()
    assert (clip.poses[:, 22 : count - 30] == 0).all()
    np.testing.assert_allclose(clip.poses[:, -30:], np.tile(RELAXED_FINGERS, (3, 1, 1)), atol=1e-6)


def test_recorded_fingers_play_on_the_other_family() -> None:
    """SMPL-X's jaw and eyes are left out; one hand may be recorded and the other not."""
    poses = np.zeros((2, 55, 3), np.float32)
    poses[:, 22:25], poses[:, 40:] = 9.0, np.arange(45).reshape(15, 3)
    clip = MotionClip(poses, np.zeros((2, 3), np.float32), 30.0).with_joints(52)
    np.testing.assert_array_equal(clip.poses[:, 37:], poses[:, 40:])
    np.testing.assert_allclose(clip.poses[:, 22:37], np.tile(RELAXED_FINGERS[:15], (2, 1, 1)))
    again = clip.with_joints(52)
    np.testing.assert_array_equal(again.poses, clip.poses)
