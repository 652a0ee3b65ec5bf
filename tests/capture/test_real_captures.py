"""Captures and photographs that nobody here made, through their own meta.json."""

from __future__ import annotations

import json

import numpy as np
import pytest
from likeness.capture import inspect, read_capture, read_photo
from likeness.capture.people import PeopleFinder
from likeness.capture.rgbd import read_reading
from PIL import Image

UP = np.array([0, -1, 0], np.float32)
# Case, stature in metres where the camera is known: the makers' extent, looked at and written down beside the data.
WHOLE = {
    "normalgan_kinectv2/01": 1.764,
    "normalgan_kinectv2/02": 1.582,
    "normalgan_kinectv2/03": 1.677,
    "srdf_kinectv2/1001": 1.911,
    "depthkit_chae/still": 1.74,
}
SMOOTHED = ("0000", "0001", "0002", "0003", "0010", "0014", "0017", "0024", "0030", "0046")


def folder(shared, case):
    return shared / "data" / "test" / "rgbd" / case


@pytest.mark.parametrize("case", WHOLE)
def test_stature_of_whole_people(shared, case, nobody_but_lying):
    reading = read_reading(folder(shared, case), finder=nobody_but_lying(case))
    assert reading.stature_m == pytest.approx(WHOLE[case], abs=0.03)
    assert reading.people == 1
    capture = reading.capture
    assert capture.camera_known and capture.color.shape[:2] == capture.depth.shape == capture.mask.shape
    points = capture.points()
    assert np.isfinite(points).all() and np.ptp(points[:, 2]) < 1.0


@pytest.fixture
def nobody_but_lying(nobody):
    """The real detector only where a person lies across the picture."""
    return lambda case: None if case.startswith("depthkit") else nobody


def test_the_tilted_camera_of_a_lying_capture(shared):
    """Depthkit's own extrinsics (world to camera, millimetres) say where up is."""
    case = folder(shared, "depthkit_chae/still")
    capture = read_capture(case)
    extrinsics = json.loads((case / "depthkit_meta.txt").read_text())["extrinsics"]
    rotation = np.array([[extrinsics[f"e{r}{c}"] for c in range(3)] for r in range(3)])
    # Depthkit's camera looks along +z with y up, so world's Y axis, the second column, has its y turned.
    up = rotation[:, 1] * [1, -1, 1] / np.linalg.norm(rotation[:, 1])
    assert np.degrees(np.arccos(np.clip(capture.up @ up, -1, 1))) < 5
    assert any("up is taken" in w for w in capture.warnings)


@pytest.mark.parametrize("number", SMOOTHED)
def test_interpolated_rims_are_gone(shared, number, nobody):
    """2 to 6 % of these depth pixels lie between the camera and the body; meta.json has the extent without them."""
    case = folder(shared, f"sfu_deephuman/{number}")
    meta = json.loads((case / "meta.json").read_text())
    capture = read_capture(case, finder=nobody)
    raw = np.load(case / "depth.npy")
    z, before = capture.points()[:, 2], raw[raw > 0.001]
    middle = np.median(z)
    flying = (np.abs(before - np.median(before)) > 0.75).sum()
    assert flying > 50 and (np.abs(z - middle) > 0.75).sum() < 0.02 * flying
    stature = np.ptp(np.percentile(capture.points()[:, 1], [0.1, 99.9]))
    assert stature == pytest.approx(meta["verified"]["extent_m_without_rim"], abs=0.035)
    # What was there inside the rim is still there.
    kept = capture.depth > 0
    solid = np.asarray(Image.fromarray((np.abs(raw - middle) < 0.75).astype(np.uint8) * 255).resize((256, 256))) == 255
    assert (kept & solid).sum() > 0.93 * solid.sum()
    assert not capture.camera_known and any("not known" in w for w in capture.warnings)


def test_colour_beside_depth_is_found(shared):
    """sfu: colour sits one to two of 224 depth pixels beside depth, so wall colour shows on one rim (meta.json)."""
    capture = read_capture(folder(shared, "sfu_deephuman/0001"))
    beside = read_capture(folder(shared, "sfu_deephuman/0001"), finder=PeopleFinder(lambda color: [], lambda c, p: c))
    assert np.array_equal(capture.depth, beside.depth) and not np.array_equal(capture.color, beside.color)
    assert any("2 pixels beside depth" in w or "3 pixels beside depth" in w for w in capture.warnings)


def test_registration_agrees_with_the_colour_mask(shared, nobody):
    """srdf: depth from a camera 51 mm beside colour; outlines must meet and 3 colour pixels are one depth pixel."""
    capture = read_capture(folder(shared, "srdf_kinectv2/1001"), finder=nobody)
    seen = capture.depth > 0
    mask = capture.mask
    assert seen.sum() > 0.93 * mask.sum()
    for axis in (0, 1):
        outline, found = (np.nonzero(m.any(axis=axis))[0] for m in (mask, seen))
        assert abs(outline.min() - found.min()) <= 6 and abs(outline.max() - found.max()) <= 6


@pytest.mark.parametrize("number", ["00", "20", "50"])
def test_upper_bodies_are_said_to_be_cut_off(shared, number, nobody):
    case = folder(shared, f"uva_kinectv1_upperbody/{number}")
    reading = read_reading(case, finder=nobody)
    assert 0.58 < reading.stature_m < 0.70 and reading.capture.mask_source == "file"
    assert any("upper body" in w for w in reading.capture.warnings)


def test_a_room_without_mask_is_segmented(shared):
    """Wall at 2.4 to 2.7 m close behind; the person holds a T-shirt half a metre before the body."""
    capture = read_capture(folder(shared, "deepdeform_structure/seq017_000300"))
    assert capture.mask_source == "segmenter"
    assert 0.1 < capture.mask.mean() < 0.25
    z = capture.points()[:, 2]
    assert z.min() > 1.4 and z.max() < 2.55
    assert np.ptp(np.nonzero(capture.mask)[0]) > 330


@pytest.mark.parametrize(
    ("case", "low", "high"),
    [("normalgan_kinectv2/01", 0, 4), ("srdf_kinectv2/1001", 5, 12), ("sfu_deephuman/0001", 4, 10)],
)
def test_a_camera_that_looks_down_is_noticed(shared, nobody, case, low, high):
    """normalgan's camera is level; srdf's floor and README say that it looks slightly down."""
    capture = read_capture(folder(shared, case), finder=nobody)
    pitch = np.degrees(np.arctan2(-capture.up[2], -capture.up[1]))
    assert low <= pitch <= high and capture.up[0] == 0


def test_photos_with_and_without_masks(shared, nobody):
    photos = shared / "data" / "test" / "photos"
    given = read_photo(photos / "pifu" / "ryota.png", mask=photos / "pifu" / "ryota_mask.png", finder=nobody)
    found = read_photo(photos / "pifu" / "ryota.png")
    assert given.mask_source == "file" and found.mask_source == "segmenter", "its alpha is stray pixels only"
    assert (given.mask & found.mask).sum() / (given.mask | found.mask).sum() > 0.85


def test_alpha_of_rendered_people_is_their_mask(shared, nobody):
    known = shared / "data" / "test" / "known"
    for name in ("Male_Child_02", "Female_Party_02"):
        alpha = np.asarray(Image.open(known / name / "photo.png"))[..., 3]
        capture = read_photo(known / name / "photo.png", finder=nobody)
        assert capture.mask_source == "alpha" and (capture.mask == (alpha >= 128)).mean() > 0.999


def test_inspect_of_a_real_capture_and_photo(shared, tmp_path, nobody):
    capture = inspect(folder(shared, "normalgan_kinectv2/02"), thumbnails=tmp_path, finder=nobody)
    assert capture["stature_m"] == pytest.approx(1.58, abs=0.03)
    assert any("Feet" in w for w in capture["warnings"]) and len(list(tmp_path.glob("*.png"))) == 3
    photo = inspect(shared / "data" / "test" / "photos" / "lhm" / "000057.png")
    assert photo["kind"] == "photo" and photo["people"] >= 1
