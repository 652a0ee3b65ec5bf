"""BlazePose without MediaPipe: anchors, crops, real pictures, turned and tiny people, masks against true outlines."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from likeness.body import blazepose
from likeness.body.blazepose import Picture, Region
from likeness.body.landmarks import MIRROR, NAMES, detect, over_grey
from likeness.body.person_mask import person_mask
from PIL import Image


def known(shared, name="Male_Adult_08"):
    folder = shared / "data" / "test" / "known" / name
    photo = np.asarray(Image.open(folder / "photo.png"))
    return photo, dict(np.load(folder / "truth.npz")), json.loads((folder / "camera.json").read_text())


def point(person, name):
    return person.points[NAMES.index(name)]


def test_anchors_are_those_the_network_was_trained_with():
    centers = blazepose.anchors()
    assert centers.shape == (2254, 2)
    assert np.allclose(centers[0], 4 / 224) and np.allclose(centers[-1], 1 - 16 / 224)


@given(
    st.floats(-500, 500),
    st.floats(-500, 500),
    st.floats(5, 2000),
    st.floats(-3.1, 3.1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_region_maps_back_and_forth(x, y, side, angle, u, v):
    region = Region(np.array([x, y]), side, angle)
    assert np.allclose(region.to_crop(region.to_image(np.array([u, v]))), [u, v], atol=1e-9)


def test_crop_agrees_with_to_image():
    rng = np.random.default_rng(0)
    smooth = np.asarray(Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8)).resize((320, 240), 3))
    region = Region(np.array([150.0, 110.0]), 128.0, 0.7)
    crop = Picture(smooth).crop(region, 128)
    rows, columns = np.mgrid[20:108:9, 20:108:9]
    at = np.stack([columns + 0.5, rows + 0.5], -1) / 128
    x, y = np.round(region.to_image(at)).astype(int).reshape(-1, 2).T
    assert np.abs(smooth[y, x] / 255 - crop[rows.ravel(), columns.ravel()]).max() < 0.04


def test_mirror_is_an_involution_and_swaps_sides():
    mirror = np.array(MIRROR)
    assert (mirror[mirror] == np.arange(33)).all()
    assert NAMES[MIRROR[NAMES.index("left_knee")]] == "right_knee"


def test_finds_a_known_person_where_they_are(shared):
    photo, truth, camera = known(shared)
    people = detect(photo)
    assert len(people) == 1 and people[0].score > 0.9
    joints = truth["joints24"]
    uv = joints[:, :2] / joints[:, 2:] * [camera["fx"], camera["fy"]] + [camera["cx"], camera["cy"]]
    for name, joint in (
        ("left_knee", 4),
        ("right_knee", 5),
        ("left_ankle", 7),
        ("left_elbow", 18),
        ("right_wrist", 21),
    ):
        assert np.linalg.norm(point(people[0], name) - uv[joint]) < 22, name


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_finds_people_on_their_side_and_upside_down(shared, quarter):
    photo, _, _ = known(shared)
    square = over_grey(photo)[:, 280:1000]
    upright, turned = detect(square)[0], detect(np.rot90(square, quarter).copy())[0]
    points = turned.points
    for _ in range(quarter):  # rot90 turns counter-clockwise: undo on the points
        points = np.stack([719 - points[:, 1], points[:, 0]], axis=1)
    apart = np.linalg.norm(points - upright.points, axis=1)
    assert np.median(apart) < 15


def test_finds_a_small_person_in_a_corner(shared):
    photo, _, _ = known(shared)
    small = Image.fromarray(over_grey(photo)[40:700, 400:880]).resize((72, 99), Image.Resampling.BOX)
    canvas = np.full((1000, 1500, 3), 128, np.uint8)
    canvas[850:949, 1300:1372] = np.asarray(small)
    people = detect(canvas)
    assert people and (np.abs(people[0].points[:29].mean(axis=0) - [1336, 895]) < 20).all()


def test_finds_several_people(shared):
    first, second = known(shared)[0], known(shared, "Female_Party_02")[0]
    pair = np.concatenate([over_grey(first)[:, 380:900], over_grey(second)[:, 380:900]], axis=1)
    people = detect(pair)
    assert len(people) == 2
    assert sorted(round(person.points[:, 0].mean() / 520 - 0.5) for person in people) == [0, 1]


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 900, 3), (64, 64, 4), (300, 200, 3)])
def test_nobody_is_an_empty_list(shape):
    assert detect(np.random.default_rng(1).integers(0, 255, shape, np.uint8)) == []


def test_real_person_lying_in_the_picture(shared):
    color = np.asarray(Image.open(shared / "data/test/rgbd/depthkit_chae/still/color.png").convert("RGB"))
    person = detect(color)[0]
    # Head to the right, feet to the left: she lies on her side in the frame.
    assert point(person, "nose")[0] > 800 and point(person, "left_ankle")[0] < 200


def test_back_view_keeps_left_on_the_left(shared):
    color = np.asarray(Image.open(shared / "data/test/photos/sfu_rgb_only/0006.jpg").convert("RGB"))
    person = detect(color)[0]
    assert point(person, "left_shoulder")[0] < point(person, "right_shoulder")[0]


@pytest.mark.parametrize("name", ["Female_Party_02", "Medical_Male_02"])
def test_mask_follows_the_true_outline(shared, name):
    photo, _, _ = known(shared, name)
    alpha = photo[..., 3:] / 255.0
    rows, columns = np.mgrid[0:720, 0:1280]
    # A wall with a gradient and a stripe pattern: neither flat nor the colour of the clothes.
    wall = np.stack([90 + 60 * columns / 1280, 110 + 40 * rows / 720, 120 + 25 * np.sin(columns / 37.0)], -1)
    color = np.round(photo[..., :3] * alpha + wall * (1 - alpha)).astype(np.uint8)
    mask = person_mask(color, detect(color)[0])
    assert mask.shape == (720, 1280) and mask.dtype == np.float32 and mask.min() >= 0 and mask.max() <= 1
    truth, found = alpha[..., 0] > 0.5, mask > 0.5
    assert (truth & found).sum() / (truth | found).sum() > 0.93
