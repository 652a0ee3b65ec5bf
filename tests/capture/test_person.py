"""Which pixels and readings are the person: masks, several people, flying pixels, background, registration, up."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.capture import read_capture
from likeness.capture.cleaning import clean_depth, drop_flying
from likeness.capture.intrinsics import calibration_from_dict
from likeness.capture.masks import binary, bodies, is_cut_out, same_shape
from likeness.capture.registration import register_depth, resize_depth
from likeness.capture.upright import estimate_up
from likeness.core.camera import Camera
from likeness.core.errors import LikenessError
from PIL import Image
from scipy import ndimage


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


def room(figure, wall_m=3.2):
    """The figure before a wall."""
    return np.where(figure.mask, figure.depth, wall_m).astype(np.float32)


def test_a_mask_file_cuts_the_person_out_of_a_room(figure, tmp_path, nobody):
    mask = figure.mask.copy()
    figure.depth = room(figure)
    capture = read_capture(figure.write(tmp_path / "a", with_mask=True), finder=nobody)
    assert capture.mask_source == "file" and np.array_equal(capture.mask, mask)
    assert capture.depth.max() < 2.5 and not capture.depth[~mask].any()


def test_a_loose_mask_does_not_bring_the_wall_along(figure, tmp_path):
    person = figure.mask.copy()
    figure.depth = room(figure)
    rows, cols = np.nonzero(person)
    figure.mask = np.zeros_like(person)
    figure.mask[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1] = True
    capture = read_capture(figure.write(tmp_path / "a", with_mask=True))
    assert overlap(capture.mask, person) > 0.97
    assert capture.depth.max() < 2.5


def test_the_segmenter_is_asked_only_when_nothing_else_says_where_the_person_is(figure, tmp_path, fake_finder):
    people = fake_finder(figure.mask)
    read_capture(figure.write(tmp_path / "cut out"), finder=people.finder())
    assert people.calls == 0
    mask = figure.mask.copy()
    figure.depth = room(figure)
    capture = read_capture(figure.write(tmp_path / "room"), finder=people.finder())
    assert people.calls == 1 and capture.mask_source == "segmenter"
    assert overlap(capture.mask, mask) > 0.99


def test_nobody_in_the_room(figure, tmp_path, nobody):
    figure.depth = room(figure)
    with pytest.raises(LikenessError) as caught:
        read_capture(figure.write(tmp_path / "a"), finder=nobody)
    assert caught.value.code == "capture.no_person" and caught.value.exit_code == 3


def two_people(new_figure):
    left, right = (new_figure(400, 320, focal=330, offset=(x, 0, 0)) for x in (-0.6, 0.6))
    left.depth = left.depth + right.depth
    left.color = np.where(right.mask[..., None], right.color, left.color)
    return left, left.mask, right.mask


@pytest.mark.parametrize("source", ["depth", "file", "segmenter"])
def test_one_of_two_people(new_figure, tmp_path, fake_finder, source):
    both, left, right = two_people(new_figure)
    people = fake_finder(left, right)
    both.mask = left | right
    if source == "segmenter":
        both.depth = room(both)
    folder = both.write(tmp_path / "a", with_mask=source == "file")
    found = [read_capture(folder, person=i, finder=people.finder()) for i in (0, 1)]
    assert [c.mask_source for c in found] == [source] * 2
    shares = {max((overlap(c.mask, left), "left"), (overlap(c.mask, right), "right")) for c in found}
    assert {side for _, side in shares} == {"left", "right"} and min(s for s, _ in shares) > 0.93
    assert "Person 1 of 2." in found[0].warnings and "Person 2 of 2." in found[1].warnings
    for wrong in (2, -1):
        with pytest.raises(LikenessError) as caught:
            read_capture(folder, person=wrong, finder=people.finder())
        assert caught.value.code == "capture.person"


def test_a_body_in_pieces_is_one_person(figure):
    mask = figure.mask.copy()
    rows = np.nonzero(mask)[0]
    middle = (rows.min() + rows.max()) // 2
    mask[middle : middle + 12] = False
    assert len(bodies(mask)) == 1 and np.array_equal(bodies(mask)[0], mask)


def test_alpha_is_a_mask(figure, tmp_path):
    folder = figure.write(tmp_path / "a")
    alpha = np.where(figure.mask, 255, 0).astype(np.uint8)
    hidden = np.where(figure.mask[..., None], figure.color, [255, 0, 255]).astype(np.uint8)
    Image.fromarray(np.dstack([hidden, alpha])).save(folder / "color.png")
    capture = read_capture(folder)
    assert capture.mask_source == "alpha" and np.array_equal(capture.mask, figure.mask)
    assert not (capture.color == [255, 0, 255]).all(axis=2).any()
    Image.fromarray(np.dstack([hidden, alpha * 0])).save(folder / "color.png")
    with pytest.raises(LikenessError) as caught:
        read_capture(folder)
    assert caught.value.code == "capture.empty_mask"


def test_masks_of_other_sizes(figure, tmp_path):
    folder = figure.write(tmp_path / "a", with_mask=True)
    Image.fromarray(np.kron(figure.mask, np.ones((2, 2), bool))).save(folder / "mask.png")
    capture = read_capture(folder)
    assert np.array_equal(capture.mask, figure.mask)
    assert any("resized" in w for w in capture.warnings)
    Image.fromarray(figure.mask[:100, :131].copy()).save(folder / "mask.png")
    with pytest.raises(LikenessError) as caught:
        read_capture(folder)
    assert caught.value.code == "capture.mask_size" and "131 x 100" in caught.value.message
    Image.fromarray(np.zeros_like(figure.mask)).save(folder / "mask.png")
    with pytest.raises(LikenessError) as caught:
        read_capture(folder)
    assert caught.value.code == "capture.empty_mask"


@given(
    low=st.sampled_from([0, 3, 20]), high=st.sampled_from([1, 2, 255, 65535]), seed=st.integers(0, 20)
)  # fmt: skip
def test_masks_in_any_range_of_values(low, high, seed):
    truth = np.random.default_rng(seed).random((9, 7)) < 0.5
    truth[0, 0] = True
    values = np.where(truth, high, min(low, high // 4)).astype(np.uint16)
    assert np.array_equal(binary(values), truth)
    assert np.array_equal(binary(values / np.float32(high)), truth)


@given(width=st.integers(64, 4000), height=st.integers(64, 4000), scale=st.floats(0.1, 4.0))
def test_a_resized_picture_has_the_same_shape_and_a_turned_one_has_not(width, height, scale):
    other = round(width * scale), round(height * scale)
    if min(other) >= 32:
        assert same_shape((width, height), other)
    if max(width, height) > 1.1 * min(width, height):
        assert not same_shape((width, height), (height, width))


def test_a_room_is_not_taken_for_a_cut_out_person(figure):
    assert is_cut_out(figure.depth)
    assert not is_cut_out(room(figure))
    feet = figure.depth.copy()
    feet[-2:, 60:140] = 2.2
    assert is_cut_out(feet)


def test_interpolated_rims_and_flying_pixels_go_and_the_body_stays(figure):
    """As a depth map shrunk with interpolation and a sensor with flying pixels have them."""
    smooth = np.asarray(Image.fromarray(figure.depth).resize((168, 224), Image.Resampling.BILINEAR))
    truth = np.asarray(Image.fromarray(figure.depth).resize((168, 224), Image.Resampling.NEAREST))
    mixed = (smooth > 0) & (smooth < 2.0)
    assert mixed.sum() > 100
    rng = np.random.default_rng(3)
    flying = (smooth == 0) & (rng.random(smooth.shape) < 0.004)
    dirty = np.where(flying, rng.uniform(0.5, 4.0, smooth.shape), smooth).astype(np.float32)
    clean, _ = clean_depth(dirty, dirty > 0, 352 * 224 / 320)
    kept = clean > 0
    assert (clean[kept] > 2.0).all() and (clean[kept] < 2.4).all()
    solid = truth > 0
    assert (kept & solid).sum() > 0.93 * (solid & ~mixed).sum()
    # Towards the camera nothing of the body curves at its rim, so what is left there was interpolated.
    nearer = (truth - clean)[kept & solid] > 0.03
    assert nearer.sum() < 0.1 * mixed.sum()


def test_thin_parts_and_a_hand_held_forward_survive(figure):
    depth, rows = figure.depth.copy(), np.nonzero(figure.mask)[0]
    finger = np.zeros_like(figure.mask)
    finger[150:190, 20:23] = True
    hand = np.zeros_like(figure.mask)
    hand[110:126, 110:126] = True
    depth[finger] = 2.2
    depth[hand] = 1.6
    speck = (slice(300, 304), slice(110, 115))
    depth[speck] = 1.3
    clean, _ = clean_depth(depth, depth > 0, 352.0)
    assert (clean[hand] > 0).mean() > 0.9
    assert (clean[finger] > 0).mean() > 0.9
    assert not clean[speck].any()
    assert rows.size


@pytest.mark.parametrize(("offset_m", "kept"), [(-0.045, False), (0.045, True)])
def test_a_rim_pulled_towards_the_camera_goes_and_a_rounding_one_stays(offset_m, kept):
    """Two pixels around a plate at 2 m: too little for a step, yet no body curves towards the camera at its rim."""
    plate = np.zeros((60, 60), bool)
    plate[10:50, 10:50] = True
    rim = plate & ~ndimage.binary_erosion(plate, iterations=2)
    depth = np.where(plate, 2.0, 0) + np.where(rim, offset_m, 0)
    clean, _ = clean_depth(depth.astype(np.float32), plate, 350.0)
    assert (clean[plate & ~rim] > 0).all()
    # The four corners have too few neighbours either way.
    assert (clean[rim] > 0).mean() > 0.95 if kept else not clean[rim].any()


def test_single_readings_in_the_air_are_dropped(figure):
    rng = np.random.default_rng(5)
    air = (rng.random(figure.depth.shape) < 0.002) & ~ndimage.binary_dilation(figure.mask, iterations=3)
    dirty = np.where(air, rng.uniform(0.5, 4.0, air.shape), figure.depth).astype(np.float32)
    clean = drop_flying(dirty, 352.0)
    assert air.sum() > 50 and (clean[air] > 0).sum() == 0
    assert (clean > 0).sum() > 0.99 * figure.mask.sum()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), noise_m=st.floats(0, 0.006))
def test_a_noisy_slanted_surface_loses_nothing(seed, noise_m):
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0:60, 0:50]
    plane = 2.0 + 0.004 * u * rng.uniform(-1, 1) + 0.004 * v * rng.uniform(-1, 1)
    depth = (plane + rng.normal(0, noise_m, plane.shape)).astype(np.float32)
    assert (drop_flying(depth, 360.0) > 0).mean() > 0.99


def test_colour_beside_depth_is_moved_onto_it(figure, tmp_path, fake_finder, nobody):
    """Colour three pixels right of and two above depth, before a striped wall; depth must not move."""
    stripes = np.where(np.arange(240)[None, :, None] // 8 % 2, [200, 60, 60], [60, 200, 60]).astype(np.uint8)
    painted = np.where(figure.mask[..., None], figure.color, stripes)
    moved, seen = (np.roll(a, (-2, 3), (0, 1)) for a in (painted, figure.mask))
    figure.color = moved
    folder = figure.write(tmp_path / "a")
    capture = read_capture(folder, finder=fake_finder(seen).finder())
    inside = ndimage.binary_erosion(capture.mask)
    assert np.array_equal(capture.color[inside], painted[inside])
    assert any("beside depth" in w for w in capture.warnings)
    plain = read_capture(folder, finder=nobody)
    assert np.array_equal(plain.color, moved) and np.array_equal(plain.depth, capture.depth)


def test_colour_that_fits_stays(figure, tmp_path, fake_finder):
    stripes = np.where(np.arange(240)[None, :, None] // 8 % 2, [200, 60, 60], [60, 200, 60]).astype(np.uint8)
    figure.color = np.where(figure.mask[..., None], figure.color, stripes)
    wavering = ndimage.binary_dilation(figure.mask)
    capture = read_capture(figure.write(tmp_path / "a"), finder=fake_finder(wavering).finder())
    assert np.array_equal(capture.color, figure.color)


def test_specks_of_a_segmenter_are_dropped(figure, tmp_path, fake_finder):
    speckled = figure.mask.copy()
    speckled[5:8, 5:8] = True
    figure.depth = room(figure)
    capture = read_capture(figure.write(tmp_path / "a"), finder=fake_finder(speckled).finder())
    assert not capture.mask[:10].any() and overlap(capture.mask, figure.mask) > 0.99


# Registration: a depth camera beside the colour camera.

COLOR_FROM_DEPTH = np.array([[1, 0, 0, -0.05], [0, 1, 0, 0.002], [0, 0, 1, 0.001], [0, 0, 0, 1.0]])


def test_depth_grows_smoothly_within_a_surface_and_never_across_a_step():
    camera = Camera(100, 100, 31.5, 23.5, 64, 48)
    v, u = np.mgrid[0:48, 0:64]
    depth = np.where(u < 40, 2.0 + 0.002 * u + 0.001 * v, 3.0).astype(np.float32)
    depth[10:14, 10:14] = 0
    large = resize_depth(depth, (256, 192))
    scaled = camera.scaled(256, 192)
    vs, us = np.mgrid[0:192, 0:256]
    x, y = (us + 0.5) / 4 - 0.5, (vs + 0.5) / 4 - 0.5
    inner = (x > 0) & (x < 39) & (y > 0) & (y < 47) & ((x < 8) | (x > 16) | (y < 8) | (y > 16))
    assert np.abs(large - (2.0 + 0.002 * x + 0.001 * y))[inner].max() < 1e-5
    assert not ((large > 2.2) & (large < 2.99)).any()
    assert scaled.width == large.shape[1] and (large[44:52, 44:52] == 0).all()


def test_registration_of_a_plane_is_exact():
    """A slanted plane seen by one camera must come out as the closed form of the same plane seen by the other."""
    depth_camera = Camera(180, 182, 79, 61, 160, 120)
    color_camera = Camera(500, 505, 215, 158, 430, 320)
    normal, offset = np.array([0.2, -0.1, 1.0]), 2.0

    def plane_depth(camera, normal, offset):
        rays = camera.rays().astype(np.float64)
        return offset / (rays @ normal)

    depth = plane_depth(depth_camera, normal, offset).astype(np.float32)
    moved = offset + normal @ COLOR_FROM_DEPTH[:3, 3]
    truth = plane_depth(color_camera, normal, moved)
    found = register_depth(depth, depth_camera, color_camera, COLOR_FROM_DEPTH)
    hit = found > 0
    assert hit.mean() > 0.7
    error = np.where(hit, np.abs(found - truth), 0)
    # Half a reading along the outline has no neighbour to bend to.
    assert error[ndimage.binary_erosion(hit, iterations=5)].max() < 1e-4 and error.max() < 0.01


def test_registration_keeps_the_near_surface_and_fills_no_gap(new_figure):
    depth_camera = Camera(352, 352, 119.5, 159.5, 240, 320)
    figure = new_figure()
    scene = np.where(figure.mask, figure.depth, 4.0).astype(np.float32)
    color_camera = Camera(700, 700, 239.5, 319.5, 480, 640)
    found = register_depth(scene, depth_camera, color_camera, COLOR_FROM_DEPTH)
    truth = new_figure(480, 640, focal=700, offset=COLOR_FROM_DEPTH[:3, 3])
    inside = truth.mask & (found > 0)
    assert np.median(np.abs(found - truth.depth)[inside]) < 0.003
    assert overlap((found > 0) & (found < 3), truth.mask) > 0.97
    between = (found > 2.6) & (found < 3.9)
    assert not between.any(), "a surface was stretched over a depth step"


@pytest.mark.parametrize("form", ["columns", "rows in millimetres", "mirrored"])
def test_captures_with_two_cameras(new_figure, tmp_path, form):
    figure = new_figure()
    folder = figure.write(tmp_path / "a")
    truth = new_figure(480, 640, focal=700, offset=COLOR_FROM_DEPTH[:3, 3])
    Image.fromarray(truth.color).save(folder / "color.png")
    rotation, shift = COLOR_FROM_DEPTH[:3, :3], COLOR_FROM_DEPTH[:3, 3]
    extrinsics = {
        "columns": {"R": rotation.tolist(), "t": shift.tolist()},
        "rows in millimetres": {"R_row_vector": rotation.T.tolist(), "T_mm": (shift * 1000).tolist()},
        "mirrored": {"R": rotation.tolist(), "t": (shift * [-1, 1, 1]).tolist(), "mirrored": True},
    }[form]
    meta = {**figure.camera.to_dict(), "depth_unit": "mm", "color_camera": truth.camera.to_dict()}
    (folder / "intrinsics.json").write_text(json.dumps({**meta, "depth_to_color": extrinsics}))
    capture = read_capture(folder)
    assert capture.camera == truth.camera
    assert overlap(capture.mask, truth.mask) > 0.96
    both = (capture.depth > 0) & truth.mask
    assert np.median(np.abs(capture.depth - truth.depth)[both]) < 0.003
    assert any("registered" in w for w in capture.warnings)


@pytest.mark.parametrize("form", ["columns", "rows", "mirrored"])
def test_extrinsics_of_every_convention_are_one_transform(form):
    angle = 0.1
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    shift = np.array([0.05, -0.01, 0.002])
    mirror = np.diag([-1.0, 1.0, 1.0])
    extrinsics = {
        "columns": {"R": rotation.tolist(), "t": shift.tolist()},
        "rows": {"R_row_vector": rotation.T.tolist(), "T_mm": (1000 * shift).tolist()},
        "mirrored": {
            "R": (mirror @ rotation @ mirror).tolist(),
            "t": (mirror @ shift).tolist(),
            "convention": "both flipped left-right",
        },
    }[form]
    camera = {"fx": 300, "fy": 300, "cx": 160, "cy": 120, "width": 320, "height": 240}
    found = calibration_from_dict({**camera, "color_camera": camera, "depth_to_color": extrinsics}, "a.json")
    assert np.allclose(found.color_from_depth[:3, :3], rotation) and np.allclose(found.color_from_depth[:3, 3], shift)


@pytest.mark.parametrize(
    "wrong",
    [
        {"R": np.diag([1, 1, -1]).tolist(), "t": [0, 0, 0]},
        {"R": np.eye(3).tolist(), "t": [51, 0, 0]},
        {"R": [1], "t": []},
    ],
)
def test_impossible_extrinsics_are_refused(figure, tmp_path, wrong):
    folder = figure.write(tmp_path / "a", color_camera=figure.camera.to_dict(), depth_to_color=wrong)
    with pytest.raises(LikenessError) as caught:
        read_capture(folder)
    assert caught.value.code == "capture.intrinsics"


# Up.


@pytest.mark.parametrize(("turns", "expected"), [(1, [-1, 0, 0]), (3, [1, 0, 0])])
def test_up_follows_a_person_who_lies_in_the_picture(figure, tmp_path, fake_finder, turns, expected):
    rows, cols = np.nonzero(figure.mask)
    head, feet = (np.median(cols), rows.min() + 3), (np.median(cols), rows.max() - 3)

    def turned(x, y):
        return (y, figure.camera.width - 1 - x) if turns == 1 else (figure.camera.height - 1 - y, x)

    c = figure.camera
    figure.color, figure.depth, figure.mask = (
        np.ascontiguousarray(np.rot90(a, turns)) for a in (figure.color, figure.depth, figure.mask)
    )
    figure.camera = Camera(c.fy, c.fx, c.cy, c.cx, c.height, c.width)
    people = fake_finder(figure.mask, head=turned(*head), feet=turned(*feet))
    capture = read_capture(figure.write(tmp_path / "a"), finder=people.finder())
    assert np.dot(capture.up, expected) > 0.99 and np.isclose(np.linalg.norm(capture.up), 1)
    assert any("up is taken" in w for w in capture.warnings)


def test_a_picture_upside_down(figure, tmp_path, fake_finder):
    figure.color, figure.depth, figure.mask = (
        np.ascontiguousarray(a[::-1, ::-1]) for a in (figure.color, figure.depth, figure.mask)
    )
    mask = figure.mask.copy()
    figure.depth = room(figure)
    rows, cols = np.nonzero(mask)
    people = fake_finder(mask, head=(np.median(cols), rows.max() - 3), feet=(np.median(cols), rows.min() + 3))
    capture = read_capture(figure.write(tmp_path / "a"), finder=people.finder())
    assert capture.up @ [0, 1, 0] > 0.98 and any("upside down" in w for w in capture.warnings)


@pytest.mark.parametrize("pitch", [-15.0, 0.0, 3.0, 9.0, 20.0])
def test_a_tilted_camera_is_read_off_the_body(pitch):
    """A flat figure of 1.7 m, upright in the world, seen by a camera that looks down by `pitch` degrees."""
    camera = Camera(352, 352, 119.5, 159.5, 240, 320)
    down = np.radians(pitch)
    up = np.array([0, -np.cos(down), -np.sin(down)])
    forward = np.array([0, -np.sin(down), np.cos(down)])
    middle = np.array([0, 0, 2.4])
    z = (forward @ middle) / (camera.rays().astype(np.float64) @ forward)
    points = camera.rays() * z[..., None] - middle
    mask = (np.abs(points @ up) < 0.85) & (np.abs(points[..., 0]) < 0.2)
    found, notes = estimate_up(mask, np.where(mask, z, 0).astype(np.float32), camera, list)
    expected = up if abs(pitch) >= 4 else [0, -1, 0]
    assert np.allclose(found, expected, atol=0.01) and notes == ()


def test_a_lying_person_whom_nobody_recognises_is_said(figure, tmp_path, nobody):
    figure.color, figure.depth = (np.ascontiguousarray(np.rot90(a)) for a in (figure.color, figure.depth))
    c = figure.camera
    figure.camera = Camera(c.fy, c.fx, c.cy, c.cx, c.height, c.width)
    capture = read_capture(figure.write(tmp_path / "a"), finder=nobody)
    assert np.array_equal(capture.up, np.array([0, -1, 0], np.float32))
    assert any("head" in w for w in capture.warnings)


# Framing.


@pytest.mark.parametrize(("shift", "part"), [(0.35, "Feet"), (-0.45, "head")])
def test_cut_off_parts_are_said(new_figure, tmp_path, shift, part):
    figure = new_figure(offset=(0, shift, 0))
    capture = read_capture(figure.write(tmp_path / "a"))
    assert any(part in w and "cut off" in w for w in capture.warnings)
    assert not any("cut off" in w for w in read_capture(new_figure().write(tmp_path / "b")).warnings)


def test_holes_in_depth_are_said(figure, tmp_path):
    figure.depth[:160] = 0
    capture = read_capture(figure.write(tmp_path / "a", with_mask=True))
    assert any("Depth is missing on" in w for w in capture.warnings)
    figure.depth[:] = np.where(np.arange(320)[:, None] < 4, 2.2, 0)
    with pytest.raises(LikenessError) as caught:
        read_capture(figure.write(tmp_path / "b", with_mask=True))
    assert caught.value.code == "capture.no_depth"
