"""Bodies that are given, started from, or told by keypoints, on our own samples."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from likeness.body.fit import fit_body
from likeness.body.given_points import keypoints_of
from likeness.core.errors import LikenessError
from likeness.core.fit import LIMBS
from likeness.core.fit_file import read_fit, write_fit
from likeness.core.frames import axis_angle, rodrigues
from likeness.core.keypoints import Keypoints, read_keypoints
from likeness.jobs.body_model import load_body
from likeness.jobs.body_stage import Fitted, fit_person, read_for
from likeness.jobs.fit_job import fit_request, run_fit_job
from likeness.jobs.reading import find_landmarks, find_person
from likeness.jobs.request import avatar_request
from PIL import Image
from scipy.spatial.transform import Rotation

ROOT = Path(__file__).resolve().parents[2]
CAPTURE, PHOTO = str(ROOT / "samples" / "capture"), str(ROOT / "samples" / "photo.jpg")

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("path")]


def request(tmp_path, **params):
    return fit_request({"input": CAPTURE, "out": str(tmp_path / "x")} | params)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> tuple[Path, Fitted]:
    """The sample's capture, fitted once and written by the job."""
    folder = tmp_path_factory.mktemp("fit")
    path = run_fit_job(request(folder, out=str(folder / "a")), lambda _event: None, threading.Event())
    asked = request(folder, body=str(path))
    return path, fit_person(read_for(asked), asked)


def joints_of(whole: Fitted) -> np.ndarray:
    return whole.model.posed(whole.fit.betas, whole.fit.pose, whole.fit.translation)[1]


def test_the_folder_holds_what_an_artist_judges_a_fit_by(fitted):
    path, _ = fitted
    assert {p.name for p in path.iterdir()} == {"fit.json", "keypoints.json", "overlay.png", "overlay_side.png"}
    data = json.loads((path / "fit.json").read_text())
    assert set(data["confidence"]) == set(LIMBS)
    assert data["body_model"]["licence"] == "CC0-1.0" and len(data["rest_joints"]) == len(data["pose"])
    (seen,) = read_keypoints(path / "keypoints.json")
    picture = Image.open(next((ROOT / "samples" / "capture").glob("color.*")))
    assert seen.size == picture.size and len(seen.points) > 20
    side = np.asarray(Image.open(path / "overlay_side.png")).astype(int)
    # Body and readings both stand there, upright.
    rows, columns = np.nonzero(np.abs(side - side[0, 0]).sum(-1) > 40)
    assert np.ptp(rows) > 2 * np.ptp(columns)


def test_a_given_fit_is_taken_as_it_is(fitted, tmp_path):
    path, whole = fitted
    stored = read_fit(path).fit
    np.testing.assert_array_equal(whole.fit.pose, stored.pose)
    with pytest.raises(LikenessError, match="belongs to a picture of"):
        fit_person(read_for(asked := avatar_request({"photos": [PHOTO], "out": "x", "body": str(path)})), asked)


def test_a_fit_begins_where_the_artist_left_off(fitted, tmp_path):
    _, whole = fitted
    pose = whole.fit.pose.copy()
    slip = rodrigues(np.array([0.0, 0.0, 0.35]))
    pose[16] = axis_angle(rodrigues(pose[16].astype(float)) @ slip)
    fingers = np.arange(22, len(pose))
    pose[fingers] += np.float32(0.05)
    body = {"id": whole.model.name, "licence": ""}
    start = write_fit(tmp_path / "start.fit", replace(whole.fit, pose=pose), body)
    asked = request(tmp_path, body=str(start))
    again = fit_person(whole.capture, asked, refit=True)
    # The capture corrects the slip; fingers that no picture shows stay as they were posed.
    assert np.linalg.norm(joints_of(again)[:22] - joints_of(whole)[:22], axis=1).mean() < 0.02
    np.testing.assert_allclose(again.fit.pose[fingers], pose[fingers], atol=1e-6)


def test_poses_of_other_tools_keep_their_limbs_and_find_their_place(fitted, tmp_path):
    _, whole = fitted
    # SMPL's own numbers: its pelvis lies elsewhere, its root and limbs mean the same; AMASS knows no camera.
    turned = np.concatenate([axis_angle(np.eye(3))[None], whole.fit.pose[1:22]])
    np.savez(tmp_path / "frame.npz", poses=np.pad(turned, ((0, 30), (0, 0))).reshape(1, 156), mocap_framerate=30.0)
    np.savez(tmp_path / "smpl.npz", pose=whole.fit.pose[:22].reshape(1, 66), betas=np.full((1, 10), 3.0))
    for name, apart in (("smpl", 0.03), ("frame", 0.12)):
        asked = request(tmp_path, body=str(tmp_path / f"{name}.npz"))
        found = fit_person(whole.capture, asked)
        np.testing.assert_allclose(found.fit.pose[1:22], whole.fit.pose[1:22], atol=1e-6)
        assert np.linalg.norm(joints_of(found)[:22] - joints_of(whole)[:22], axis=1).mean() < apart, name
        assert np.abs(found.fit.betas).max() < 3, "shape numbers of another body mean nothing"


def test_keypoints_override_the_detector(fitted, tmp_path):
    _, whole = fitted
    seen = find_person(whole.capture)
    height, width = whole.capture.mask.shape
    elsewhere = (float(width) * 0.5, float(height) * 0.4, 1.0)
    file = tmp_path / "k.json"
    file.write_text(
        json.dumps(Keypoints({"left_wrist": elsewhere, "nose": (1.0, 2.0, 0.0)}, (width, height)).to_dict())
    )
    asked = request(tmp_path, keypoints=str(file))
    with pytest.raises(LikenessError, match="do not lie on the person"):
        file.write_text(json.dumps({"points": {"left_wrist": [0, 0]}}))
        find_landmarks(whole.capture, whole.model, asked)
    rows, columns = np.nonzero(whole.capture.mask)
    wrist = (float(columns[len(rows) // 2]), float(rows[len(rows) // 2]), 1.0)
    file.write_text(json.dumps({"points": {"left_wrist": list(wrist)}, "width": width, "height": height}))
    told = find_landmarks(whole.capture, whole.model, asked)
    np.testing.assert_allclose(told.points[15], wrist[:2], atol=1e-3)
    np.testing.assert_array_equal(np.delete(told.points, 15, 0), np.delete(seen.points, 15, 0))


def test_keypoints_alone_will_do(fitted, tmp_path, monkeypatch):
    _, whole = fitted
    seen = find_person(whole.capture)
    height, width = whole.capture.mask.shape
    (tmp_path / "k.json").write_text(json.dumps(keypoints_of(seen, (width, height)).to_dict()))
    monkeypatch.setattr("likeness.jobs.reading.detect", lambda _color: [])
    monkeypatch.setattr("likeness.jobs.reading.seen_at", lambda _color, _given: None)
    asked = request(tmp_path, keypoints=str(tmp_path / "k.json"))
    told = find_landmarks(whole.capture, whole.model, asked)
    fit = fit_body(whole.capture, whole.model, told)
    found = replace(whole, fit=fit)
    assert np.linalg.norm(joints_of(found)[:22] - joints_of(whole)[:22], axis=1).mean() < 0.06
    root = Rotation.from_rotvec(fit.pose[0].astype(float)).inv() * Rotation.from_rotvec(whole.fit.pose[0].astype(float))
    assert root.magnitude() < 0.6


def test_a_pose_by_hand_serves_where_nobody_is_detected(fitted, tmp_path, monkeypatch):
    path, whole = fitted
    monkeypatch.setattr("likeness.jobs.reading.detect", lambda _color: [])
    asked = request(tmp_path, body=str(path))
    again = fit_person(whole.capture, asked, refit=True)
    assert again.landmarks is None and "landmark_px" not in again.fit.residuals
    assert np.linalg.norm(joints_of(again)[:22] - joints_of(whole)[:22], axis=1).mean() < 0.05
    with pytest.raises(LikenessError, match="nobody can be found"):
        fit_person(whole.capture, request(tmp_path))


def test_several_photos_of_one_person_share_a_shape(tmp_path):
    Image.open(PHOTO).resize((600, 800)).save(tmp_path / "small.jpg")
    photos = [PHOTO, str(tmp_path / "small.jpg")]
    asked = fit_request({"input": photos, "out": str(tmp_path / "anna"), "height_m": 1.8})
    first = run_fit_job(asked, lambda _event: None, threading.Event())
    fits = [read_fit(tmp_path / name).fit for name in ("anna.fit", "anna-2.fit")]
    assert first == tmp_path / "anna.fit" and (tmp_path / "anna-2.fit" / "overlay.png").is_file()
    np.testing.assert_allclose(fits[0].betas, fits[1].betas, atol=1e-5)
    assert abs(fits[0].residuals["stature_m"] - 1.8) < 0.03 and fits[1].camera.width == 600
    with pytest.raises(LikenessError, match="belong to one photo"):
        fit_request({"input": photos, "out": "x", "mask": "m.png", "body": "b"})
    with pytest.raises(LikenessError, match="made from one"):
        avatar_request({"photos": photos, "out": "x"})
    with pytest.raises(LikenessError, match="not a person's"):
        avatar_request({"photos": [PHOTO], "out": "x", "height_m": 174.0})


def test_the_default_body_is_the_one_that_ships():
    assert load_body().licence == "CC0-1.0" and load_body(people="children").name.endswith("children")
