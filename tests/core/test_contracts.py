"""Avatar folder, motion clips, protocol and job folder: round trips and refusals."""

import dataclasses
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from likeness.core import protocol
from likeness.core.avatar import Avatar, read_avatar, write_avatar
from likeness.core.camera import Camera
from likeness.core.correctives import Correctives
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit
from likeness.core.job import JobFolder
from likeness.core.motion import MotionClip, find_clip, list_clips, read_clip, write_clip
from scipy.spatial.transform import Rotation

CAMERA = Camera(500, 500, 320, 240, 640, 480)


@pytest.fixture
def avatar():
    rng = np.random.default_rng(0)
    fit = Fit(rng.normal(size=(3, 3)).astype("f4"), np.zeros(4, "f4"), np.array([0, 0, 2], "f4"), CAMERA, {"head": 0.5})
    return Avatar(
        name="Ada",
        method="draped",
        body_model={"id": "likeness-body", "licence": "CC0-1.0"},
        betas=np.zeros(4, "f4"),
        joint_names=("pelvis", "spine1", "head"),
        parents=np.array([-1, 0, 1]),
        rest_joints=rng.normal(size=(3, 3)).astype("f4"),
        vertices=rng.normal(size=(4, 3)).astype("f4"),
        faces=np.array([[0, 1, 2], [0, 2, 3]], "i4"),
        corner_uvs=rng.random((2, 3, 2)).astype("f4"),
        skin_joints=np.tile(np.array([0, 1, 2, 0], "u2"), (4, 1)),
        skin_weights=np.tile(np.array([0.5, 0.25, 0.25, 0], "f4"), (4, 1)),
        seen=np.array([0, 0.5, 1, 1], "f4"),
        body_part=np.zeros(4, "u1"),
        textures={"albedo.png": b"png"},
        capture=fit,
        world_from_capture=np.eye(4),
        extra={"previews/front.png": b"picture"},
    )


def test_avatar_round_trip(tmp_path, avatar):
    path = write_avatar(tmp_path / "Ada.avatar", avatar)
    back = read_avatar(path, verify=True)
    for field in dataclasses.fields(Avatar):
        if field.name in ("extra", "capture"):
            continue
        want, got = getattr(avatar, field.name), getattr(back, field.name)
        if isinstance(want, np.ndarray):
            np.testing.assert_allclose(got, want, atol=1e-6, err_msg=field.name)
        else:
            assert got == want, field.name
    np.testing.assert_allclose(back.capture.pose, avatar.capture.pose, atol=1e-6)
    assert (path / "previews/front.png").read_bytes() == b"picture"
    head = json.loads((path / "avatar.json").read_text())
    assert set(head["files"]) == {"mesh.npz", "capture.json", "textures/albedo.png", "previews/front.png"}


def test_avatar_knows_how_each_vertex_is_known(tmp_path, avatar):
    """Classes come back; folders of earlier versions have none, and are read as before."""
    path = write_avatar(tmp_path / "Ada.avatar", dataclasses.replace(avatar, confidence=np.array([0, 1, 2, 2])))
    np.testing.assert_array_equal(read_avatar(path, verify=True).confidence, [0, 1, 2, 2])
    head = json.loads((path / "avatar.json").read_text())
    assert head["confidence_names"] == ["guessed", "seen", "measured"]
    for later in ("format_minor", "confidence_names"):
        del head[later]
    old = write_avatar(tmp_path / "Old.avatar", avatar)
    (old / "avatar.json").write_text(
        json.dumps(head | {"files": json.loads((old / "avatar.json").read_text())["files"]})
    )
    assert read_avatar(old, verify=True).confidence is None


def test_avatar_of_the_next_format_is_refused_in_a_sentence(tmp_path, avatar):
    path = write_avatar(tmp_path / "Ada.avatar", avatar)
    head = json.loads((path / "avatar.json").read_text())
    (path / "avatar.json").write_text(json.dumps(head | {"format_version": 2}))
    with pytest.raises(LikenessError, match="format 2") as caught:
        read_avatar(path)
    assert caught.value.code == "avatar.version"


def test_damaged_file_is_found(tmp_path, avatar):
    path = write_avatar(tmp_path / "Ada.avatar", avatar)
    (path / "textures/albedo.png").write_bytes(b"other")
    with pytest.raises(LikenessError, match=r"albedo\.png"):
        read_avatar(path, verify=True)


@pytest.mark.parametrize(
    "change",
    [
        {"faces": np.array([[0, 1, 9]], "i4"), "corner_uvs": np.zeros((1, 3, 2), "f4")},
        {"skin_joints": np.full((4, 4), 7, "u2")},
        {"skin_weights": np.zeros((4, 4), "f4")},
        {"parents": np.array([-1, 2, 1])},
        {"seen": np.zeros(3, "f4")},
        {"confidence": np.zeros(3, "u1")},
        {"confidence": np.full(4, 3, "u1")},
        {"vertices": np.full((4, 3), np.nan, "f4")},
    ],
)
def test_avatar_that_would_be_indexed_blindly_is_refused(tmp_path, avatar, change):
    path = write_avatar(tmp_path / "Ada.avatar", dataclasses.replace(avatar, **change))
    with pytest.raises(LikenessError) as caught:
        read_avatar(path)
    assert caught.value.code == "avatar.unreadable"


def test_avatar_without_correctives_has_none(tmp_path, avatar):
    """As written before there were any."""
    path = write_avatar(tmp_path / "Ada.avatar", avatar)
    assert not (path / "shapes.npz").exists()
    assert read_avatar(path).correctives is None


@pytest.mark.parametrize(
    "change",
    [
        {"corrective_vertices": np.array([0, 4], "i4")},
        {"corrective_joints": np.array([1, 3], "u2")},
        {"corrective_vertices": np.array([-1, 2], "i4")},
        {"corrective_joints": np.array([1.0, 2.0])},
        {"corrective_directions": np.zeros((3, 3, 9), "f2")},
        {"corrective_directions": np.full((2, 3, 9), np.nan, "f2")},
        {"corrective_directions": np.zeros((2, 27), "f2")},
    ],
)
def test_correctives_that_would_be_indexed_blindly_are_refused(tmp_path, avatar, change):
    rows = Correctives(np.array([0, 3]), np.array([1, 2]), np.ones((2, 3, 9), "f4"))
    path = write_avatar(tmp_path / "Ada.avatar", dataclasses.replace(avatar, correctives=rows))
    np.testing.assert_array_equal(read_avatar(path).correctives.directions, rows.directions)
    np.savez(path / "shapes.npz", **(dict(np.load(path / "shapes.npz")) | change))
    with pytest.raises(LikenessError) as caught:
        read_avatar(path)
    assert caught.value.code == "avatar.unreadable"


def test_avatar_with_weights_for_indices_is_refused(tmp_path, avatar):
    path = write_avatar(tmp_path / "Ada.avatar", avatar)
    mesh = dict(np.load(path / "mesh.npz"))
    np.savez(path / "mesh.npz", **(mesh | {"skin_joints": mesh["skin_joints"].astype("f4")}))
    with pytest.raises(LikenessError, match="skin_joints are stored as float32"):
        read_avatar(path)


def test_fit_round_trip_and_refusal(avatar):
    back = Fit.from_dict(json.loads(json.dumps(avatar.capture.to_dict())))
    np.testing.assert_allclose(back.pose, avatar.capture.pose, atol=1e-6)
    assert back.camera == CAMERA and back.confidence == {"head": 0.5}
    for bad in ({}, {"pose": "x"}, avatar.capture.to_dict() | {"betas": [float("nan")]}):
        with pytest.raises(LikenessError):
            Fit.from_dict(bad)


def _clip(frames=9, joints=24, up="Y"):
    rng = np.random.default_rng(1)
    return MotionClip(
        rng.normal(size=(frames, joints, 3)).astype("f4"), rng.normal(size=(frames, 3)).astype("f4"), 30.0, up
    )


def test_clip_round_trip(tmp_path):
    write_clip(tmp_path / "walk.npz", _clip())
    back = read_clip(tmp_path / "walk.npz")
    np.testing.assert_array_equal(back.poses, _clip().poses)
    assert (back.fps, back.up, back.name) == (30.0, "Y", "walk")


def test_amass_file_without_up_means_z(tmp_path):
    np.savez(tmp_path / "a.npz", poses=np.zeros((2, 156)), trans=np.zeros((2, 3)), mocap_framerate=120.0)
    clip = read_clip(tmp_path / "a.npz")
    assert clip.up == "Z" and clip.fps == 120 and clip.poses.shape == (2, 52, 3)
    assert clip.with_joints(24).poses.shape == (2, 24, 3)


def test_upright_turns_the_whole_body_about_the_world():
    clip, pelvis = _clip(up="Z"), np.array([0.1, 0.9, 0.0])
    turned = clip.upright(pelvis)
    y_from_z = Rotation.from_euler("x", -90, degrees=True)
    # A point of the body that hangs on the root: its place in the world must turn by the same quarter turn.
    local = np.array([0.2, 0.3, -0.4])
    for before, after in zip(range(len(clip)), range(len(turned)), strict=True):
        old = Rotation.from_rotvec(clip.poses[before, 0]).apply(local) + pelvis + clip.trans[before]
        new = Rotation.from_rotvec(turned.poses[after, 0]).apply(local) + pelvis + turned.trans[after]
        np.testing.assert_allclose(new, y_from_z.apply(old), atol=1e-5)


def test_resampling_keeps_the_key_poses():
    clip = _clip(frames=5)
    double = clip.resampled(60.0)
    assert len(double) == 9
    want = Rotation.from_rotvec(clip.poses[2].astype(float))
    got = Rotation.from_rotvec(double.poses[4].astype(float))
    assert (want.inv() * got).magnitude().max() < 1e-5


@pytest.mark.parametrize(
    "arrays",
    [
        {"poses": np.zeros((2, 72))},
        {"poses": np.zeros((2, 72)), "trans": np.zeros((3, 3))},
        {"poses": np.zeros((2, 71)), "trans": np.zeros((2, 3))},
        {"poses": np.full((2, 72), np.nan), "trans": np.zeros((2, 3))},
        {"poses": np.zeros((0, 72)), "trans": np.zeros((0, 3))},
        {"poses": np.zeros((2, 72)), "trans": np.zeros((2, 3)), "mocap_framerate": 0},
        {"poses": np.zeros((2, 72)), "trans": np.zeros((2, 3)), "up": "X"},
    ],
)
def test_clip_that_is_none_is_refused(tmp_path, arrays):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(LikenessError, match=r"bad\.npz"):
        read_clip(tmp_path / "bad.npz")


def test_shipped_clips_are_whole():
    clips = list_clips()
    assert "walk_02_01" in clips
    for name, path in clips.items():
        clip = read_clip(path)
        assert clip.up == "Y" and clip.poses.shape[1:] == (24, 3) and clip.licence, name
    with pytest.raises(LikenessError, match="no clip named"):
        find_clip("moonwalk")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.integers(), st.text(min_size=1), st.dictionaries(st.text(), json_values, max_size=4))
def test_message_is_one_line_and_comes_back(number, method, params):
    line = protocol.encode(protocol.request(number, method, params))
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    back = protocol.decode(line)
    assert (back["id"], back["method"], back["params"]) == (number, method, params)


@pytest.mark.parametrize(
    ("line", "number"),
    [
        (b"not json\n", protocol.PARSE_ERROR),
        (b"\xff\n", protocol.PARSE_ERROR),
        (b"[" * 50_000, protocol.PARSE_ERROR),
        (b"[1]\n", protocol.INVALID_REQUEST),
        (b'{"id": 1}\n', protocol.INVALID_REQUEST),
        (b" " * (protocol.MAX_MESSAGE_BYTES + 1), protocol.INVALID_REQUEST),
    ],
)
def test_line_that_is_no_message(line, number):
    with pytest.raises(protocol.ProtocolError) as caught:
        protocol.decode(line)
    assert caught.value.number == number


def test_message_over_the_limit_is_not_sent():
    with pytest.raises(protocol.ProtocolError):
        protocol.encode(protocol.notification("progress", {"message": "x" * protocol.MAX_MESSAGE_BYTES}))


def test_job_keeps_the_last_two_checkpoints_and_resumes(tmp_path):
    job = JobFolder.create(tmp_path / "job", {"key": "a"})
    for stage in ("one", "two", "three"):
        job.save_checkpoint(stage, {"x": np.full(3, len(stage))})
    assert job.load_checkpoint("one") is None
    np.testing.assert_array_equal(job.load_checkpoint("three")["x"], [5, 5, 5])
    again = JobFolder.create(tmp_path / "job", {"key": "a"})
    assert again.load_checkpoint("two") is not None
    other = JobFolder.create(tmp_path / "job", {"key": "b"})
    assert other.load_checkpoint("two") is None


def test_event_cut_by_a_crash_is_left_out(tmp_path):
    job = JobFolder.create(tmp_path / "job", {"key": "a"})
    job.event({"event": "progress", "fraction": 0.5})
    with open(job.path / "events.jsonl", "a") as stream:
        stream.write('{"event": "prog')
    assert [e["fraction"] for e in job.events()] == [0.5]
    assert job.result() is None
    job.finish(tmp_path / "x.avatar")
    assert job.result() == tmp_path / "x.avatar"


def test_damaged_checkpoint_is_as_none(tmp_path):
    job = JobFolder.create(tmp_path / "job", {"key": "a"})
    job.save_checkpoint("body", {"x": np.zeros(3)})
    next(job.path.glob("checkpoint/*.npz")).write_bytes(io.BytesIO(b"PK").getvalue())
    assert job.load_checkpoint("body") is None
