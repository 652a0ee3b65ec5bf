"""Synthetic captures: what is written agrees with what is known, and the engine reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from likeness.capture import read_capture
from likeness.core.frames import rodrigues
from likeness.synthesis.__main__ import draw_person, main
from likeness.synthesis.captures import (
    PORTRAIT,
    SyntheticCapture,
    camera_pose,
    render_rgbd,
    write_capture,
    write_truth,
)
from likeness.synthesis.person import SyntheticPerson, make_person
from likeness.synthesis.render import render_depth, standing_view, to_camera
from likeness.synthesis.wardrobe import Wardrobe

VIEW = standing_view(PORTRAIT.scaled(180, 320))


@pytest.fixture(scope="module")
def person(wardrobe: Wardrobe) -> SyntheticPerson:
    recipe, pose, _ = draw_person(wardrobe, 0, seed=5)
    return make_person(recipe, wardrobe, pose, yaw_deg=10)


@pytest.fixture(scope="module")
def capture(person: SyntheticPerson) -> SyntheticCapture:
    return render_rgbd(person, VIEW, samples=1, seed=5)


def test_depth_is_the_person_s_and_stays_inside_the_outline(capture: SyntheticCapture) -> None:
    clean = render_depth(capture.person, VIEW)
    read = capture.depth > 0
    assert np.array_equal(clean.person, capture.mask)
    assert not (read & ~capture.mask).any() and read.sum() > 0.85 * capture.mask.sum()
    assert np.median(np.abs(capture.depth - clean.depth)[read]) < 0.008


def test_with_background_the_walls_are_read_too(person: SyntheticPerson) -> None:
    whole = render_rgbd(person, VIEW, samples=1, background=True)
    assert (whole.depth > 0).mean() > 0.95 and whole.depth.max() > 3.5


def test_joints_lie_inside_the_picture_of_the_person(capture: SyntheticCapture) -> None:
    joints = to_camera(VIEW, capture.person.joints)
    column, row = np.rint(VIEW.camera.project(joints)).astype(int).T
    assert capture.mask[row, column].sum() >= 22
    # Every joint is inside the body, so behind the surface that the camera sees.
    clean = render_depth(capture.person, VIEW).depth[row, column]
    assert (joints[:, 2] > clean - 0.01)[clean > 0].all()
    # The person faces the camera: the left side is on the picture's right.
    assert (column[[1, 4, 16, 18]] > column[[2, 5, 17, 19]]).all()


def test_the_root_in_camera_axes_is_half_a_turn_about_x_for_who_faces_the_camera(person: SyntheticPerson) -> None:
    upright = rodrigues(camera_pose(person, VIEW)[0].astype(float))
    facing, up = upright[:, 2], upright[:, 1]
    assert facing[2] < -0.95 and up[1] < -0.95


def test_the_engine_reads_what_was_written(capture: SyntheticCapture, tmp_path: Path) -> None:
    write_capture(tmp_path, capture)
    write_truth(tmp_path / "truth.npz", capture)
    read = read_capture(tmp_path)
    assert read.camera == VIEW.camera and np.array_equal(read.color, capture.color)
    both = (read.depth > 0) & (capture.depth > 0)
    assert both.sum() > 0.95 * (capture.depth > 0).sum()
    assert np.abs(read.depth - capture.depth)[both].max() <= 0.501e-3
    with np.load(tmp_path / "truth.npz", allow_pickle=False) as truth:
        assert truth["joints"].shape == (24, 3) and truth["body"].shape == (13380, 3)
        assert truth["faces"].max() < len(truth["vertices"])
        # Readings lie on the true surface's vertices, which are some 5 mm apart.
        points = read.camera.backproject(read.depth)[both][::97]
        nearest = np.linalg.norm(truth["vertices"][None] - points[:, None], axis=2).min(1)
        assert np.median(nearest) < 0.012


def test_people_are_drawn_reproducibly_and_differ(wardrobe: Wardrobe) -> None:
    first, again, other = (draw_person(wardrobe, index, 3) for index in (2, 2, 3))
    assert first[0] == again[0] and np.array_equal(first[1], again[1]) and first[2] == again[2]
    assert not np.array_equal(first[1], other[1])


def test_the_command_writes_folders_and_reports_a_bad_one(
    wardrobe: Wardrobe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--data", str(wardrobe.folder), "--out", str(tmp_path / "out"), "--count", "1", "--samples", "1"]
    assert main([*command, "--sensor", "ideal"]) == 0
    assert sorted(p.name for p in (tmp_path / "out" / "000").iterdir()) == [
        "color.png",
        "depth.png",
        "intrinsics.json",
        "truth.npz",
    ]
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "none")]) == 3
    assert "assets.json" in capsys.readouterr().err
