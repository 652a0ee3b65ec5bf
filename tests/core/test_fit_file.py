"""Fits on disk, and poses that other tools have written."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.core.camera import Camera
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit
from likeness.core.fit_file import fit_path, read_fit, write_fit
from likeness.core.given_pose import SMPL_PELVIS_M, read_given_pose
from scipy.spatial.transform import Rotation

RNG = np.random.default_rng(0)
FIT = Fit(
    RNG.normal(0, 0.3, (52, 3)).astype("f4"),
    RNG.normal(size=30).astype("f4"),
    np.array([0.1, 0.2, 2.5], "f4"),
    Camera(500, 510, 320, 240, 640, 480),
    {"head": 0.9},
    {"landmark_px": 3.0},
    "children",
)
FACING = np.concatenate([[[3.1, 0.05, -0.1]], RNG.normal(0, 0.2, (23, 3))]).astype("f4")


def _same(a, b):
    for name in ("pose", "betas", "translation"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-6)
    assert (a.camera, a.confidence, a.residuals, a.people) == (b.camera, b.confidence, b.residuals, b.people)


def test_a_fit_comes_back_from_its_folder_its_json_and_its_name(tmp_path):
    body = {"id": "SMPL female", "licence": "theirs"}
    joints = np.zeros((52, 3))
    path = write_fit(
        fit_path(tmp_path / "anna"), FIT, body, rest_joints=joints, pictures={"overlay.png": b"p"}, keypoints={"x": 1}
    )
    assert path.name == "anna.fit" and (path / "overlay.png").read_bytes() == b"p"
    assert {p.name for p in path.iterdir()} == {"fit.json", "keypoints.json", "overlay.png"}
    (tmp_path / "alone.json").write_text((path / "fit.json").read_text())
    for place in (path, path / "fit.json", tmp_path / "anna", tmp_path / "alone.json"):
        stored = read_fit(place)
        _same(stored.fit, FIT)
        assert stored.body == "SMPL female" and not stored.of_default_body()
    write_fit(path, FIT, body)
    assert not (path / "overlay.png").exists(), "an old folder is replaced as a whole"


def test_a_fit_of_an_older_version_is_of_the_default_body(tmp_path):
    (tmp_path / "old.json").write_text(json.dumps(FIT.to_dict()))
    assert read_fit(tmp_path / "old.json").of_default_body()


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"3", b"{}", b"\xff", b"[" * 100_000, b'{"pose": [[1, 2]]}', b'{"pose": [], "betas": []}'],
    ids=range(8),
)
def test_what_is_no_fit_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "bad.json").write_bytes(content)
    (tmp_path / "empty.fit").mkdir()
    for place in ("bad.json", "empty.fit", "empty", "missing.json"):
        with pytest.raises(LikenessError) as caught:
            read_fit(tmp_path / place)
        assert caught.value.code == "body.fit" and caught.value.hint
    (tmp_path / "bad.json").write_text(json.dumps(FIT.to_dict() | {"format_version": 2}))
    with pytest.raises(LikenessError, match="has format 2"):
        read_fit(tmp_path / "bad.json")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(FIT.to_dict())), anything)
def test_any_value_in_any_field_is_a_fit_or_a_sentence(field, value):
    try:
        back = Fit.from_dict(json.loads(json.dumps(FIT.to_dict() | {field: value})))
    except LikenessError:
        return
    assert np.isfinite(back.pose).all() and np.isfinite(back.betas).all() and back.pose.shape[1] == 3


def _given(tmp_path, **arrays):
    np.savez(tmp_path / "p.npz", **arrays)
    return read_given_pose(tmp_path / "p.npz")


def test_smpl_parameters_of_one_picture(tmp_path):
    params = {"pose": FACING.reshape(1, 72), "shape": np.ones((1, 10)), "global_t": np.array([[0.1, 0.2, 9.0]])}
    pose = _given(tmp_path, **params, focal_l=np.array(5000))
    np.testing.assert_array_equal(pose.pose, FACING)
    assert pose.root_known and pose.focal_px == 5000 and pose.betas.shape == (10,)
    np.testing.assert_allclose(pose.pelvis, np.array([0.1, 0.2, 9.0]) + SMPL_PELVIS_M, atol=1e-6)


def test_parameters_in_pieces_and_matrices_say_the_same(tmp_path):
    pieces = _given(tmp_path, global_orient=FACING[:1], body_pose=FACING[1:].reshape(1, 69))
    matrices = _given(tmp_path, pose=Rotation.from_rotvec(FACING.astype(float)).as_matrix()[None])
    np.testing.assert_allclose(pieces.pose, FACING, atol=1e-6)
    apart = Rotation.from_rotvec(matrices.pose.astype(float)).inv() * Rotation.from_rotvec(FACING.astype(float))
    assert apart.magnitude().max() < 1e-5
    short = _given(tmp_path, global_orient=FACING[0], body_pose=FACING[1:22].reshape(-1))
    assert short.pose.shape == (52, 3) and np.array_equal(short.pose[:22], FACING[:22])
    wide = _given(tmp_path, poses=np.concatenate([FACING[:22], np.ones((33, 3)) * 0.1]).reshape(1, 165))
    assert wide.pose.shape == (52, 3) and (wide.pose[22:] == np.float32(0.1)).all()


def test_a_frame_of_amass_knows_its_limbs_but_not_its_turn(tmp_path):
    clip = {"poses": RNG.normal(0, 0.2, (1, 156)), "trans": np.zeros((1, 3)), "mocap_framerate": 120.0}
    pose = _given(tmp_path, **clip, betas=np.zeros(16))
    assert not pose.root_known and pose.pelvis is None and pose.pose.shape == (52, 3)
    standing = _given(tmp_path, poses=np.zeros((1, 72)), trans=np.ones((1, 3)))
    assert not standing.root_known, "upright along +y is no person in a picture"


BAD = {
    "frames": {"poses": np.zeros((120, 72))},
    "no pose": {"trans": np.zeros(3)},
    "nan": {"pose": np.full((1, 72), np.nan)},
    "odd": {"pose": np.zeros(71)},
    "joints": {"pose": np.zeros(30)},
    "degrees": {"pose": np.full((1, 72), 180.0)},
    "words": {"pose": np.array(["x"] * 72)},
    "empty": {"pose": np.zeros((0, 72))},
    "no rotation": {"pose": np.full((24, 3, 3), 0.5)},
    "focal": {"pose": FACING, "focal_l": np.array(-3.0)},
    "scalar": {"pose": np.array(3.0)},
}


@pytest.mark.parametrize("arrays", BAD.values(), ids=BAD.keys())
def test_parameters_that_are_none_are_refused_in_a_sentence(tmp_path, arrays):
    with pytest.raises(LikenessError, match=r"p\.npz: ") as caught:
        _given(tmp_path, **arrays)
    assert caught.value.code == "body.parameters" and len(caught.value.message) < 200


def test_pickles_and_rubbish_are_refused(tmp_path):
    np.savez(tmp_path / "p.npz", pose=np.array([{"a": 1}], object))
    with pytest.raises(LikenessError, match=r"p\.npz"):
        read_given_pose(tmp_path / "p.npz")
    (tmp_path / "p.npz").write_bytes(b"PK\x03\x04rubbish")
    with pytest.raises(LikenessError, match=r"p\.npz"):
        read_given_pose(tmp_path / "p.npz")
