"""SMPL's own files through the whole path; the file is the body that ships on another topology (smpl_models.py)."""

import json
import pickle
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from likeness.core.avatar import read_avatar
from likeness.core.errors import LikenessError
from likeness.jobs import body_model
from likeness.jobs.avatar_job import run_avatar_job
from likeness.jobs.body_stage import fit_person, read_for
from likeness.jobs.fit_job import fit_request
from likeness.jobs.request import avatar_request

ROOT = Path(__file__).resolve().parents[2]
CAPTURE = str(ROOT / "samples" / "capture")
sys.path.insert(0, str(ROOT / "tests" / "body"))

from smpl_models import person_model  # noqa: E402

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("path")]


@pytest.fixture(scope="module")
def smpl(tmp_path_factory) -> Path:
    """A pickle as its makers publish it."""
    path = tmp_path_factory.mktemp("smpl") / "SMPL_FEMALE.pkl"
    path.write_bytes(pickle.dumps(person_model(), protocol=2))
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """The user's cache folder, kept for this file's tests."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("LIKENESS_CACHE", str(folder))
    return folder


def test_a_capture_becomes_an_avatar_on_smpl(smpl, tmp_path):
    asked = avatar_request(
        {"capture": CAPTURE, "out": str(tmp_path / "A"), "preset": "preview", "body_model": str(smpl)}
    )
    path = run_avatar_job(asked, lambda _event: None, threading.Event())
    avatar = read_avatar(path, verify=True)
    assert avatar.body_model["id"] == "SMPL female" and "non-commercial" in avatar.body_model["licence"]
    assert any("non-commercial" in entry["licence"] for entry in avatar.licences)
    assert len(avatar.joint_names) == 24 and np.ptp(avatar.corner_uvs) > 0.5
    assert avatar.quality["silhouette_iou"] > 0.95 and avatar.quality["depth_median_mm"] < 3
    text = (path / "avatar.json").read_text() + (path / "capture.json").read_text()
    assert str(smpl.parent) not in text, "a path of this machine"
    # The same fit on the body that ships: the pose is kept, the shape is found anew.
    asked = fit_request({"input": CAPTURE, "out": str(tmp_path / "x"), "body": str(path)})
    other = fit_person(read_for(asked), asked)
    ours = other.model.posed(other.fit.betas, other.fit.pose, other.fit.translation)[1]
    transforms = body_model.load_body(str(smpl)).posed(
        avatar.capture.betas, avatar.capture.pose, avatar.capture.translation
    )
    assert other.model.licence == "CC0-1.0"
    assert np.linalg.norm(ours[:22] - transforms[1][:22], axis=1).mean() < 0.04
    np.testing.assert_allclose(other.fit.pose[1:22], avatar.capture.pose[1:22], atol=1e-5)


def test_the_file_is_converted_once_and_a_damaged_cache_is_made_anew(smpl, cache, monkeypatch):
    first = body_model.load_body(str(smpl))
    made = sorted(cache.rglob("*.npz"))
    assert len(made) == 2
    with monkeypatch.context() as patch:
        patch.setattr(body_model, "unwrap", lambda *_: pytest.fail("unwrapped again"))
        patch.setattr("likeness.body.smpl_files.read_pickle", lambda *_: pytest.fail("read again"))
        again = body_model.load_body(str(smpl))
    np.testing.assert_array_equal(again.corner_uvs, first.corner_uvs)
    for path in made:
        path.write_bytes(b"damaged")
    mended = body_model.load_body(str(smpl))
    np.testing.assert_array_equal(mended.v_template, first.v_template)


def test_a_place_that_cannot_be_written_does_not_stop_the_body(smpl, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIKENESS_CACHE", str(tmp_path / "file"))
    assert np.ptp(body_model.load_body(str(smpl)).corner_uvs) > 0.5


def test_what_is_no_body_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    (tmp_path / "not.npz").write_text(json.dumps({}))
    for name in ("evil.pkl", "not.npz", "missing.pkl"):
        with pytest.raises(LikenessError) as caught:
            body_model.load_body(str(tmp_path / name))
        assert caught.value.code in ("body.unsafe_file", "body.unreadable") and caught.value.hint
