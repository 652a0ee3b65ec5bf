"""Inflation and crops against shapes whose chords are known."""

from __future__ import annotations

import numpy as np
import pytest
from likeness.core.camera import Camera
from likeness.surface.layers import inflation
from likeness.surface.layers.crop import border_distance, crop_camera, filled, make_crop
from likeness.surface.layers.inflation import thickness


def grid(rows, columns):
    return np.mgrid[:rows, :columns].astype(float)


def test_a_tube_across_the_view_gets_its_chord():
    columns = grid(200, 61)[1]
    x = columns - 30
    mask = np.abs(x) <= 20
    got = thickness(np.where(mask, 2.0, 0), mask, 400.0)
    # 20.5 pixels from the middle to the rim, each 2 m / 400 wide; the ends of the tube are rounded off.
    want = 2 * np.sqrt(np.maximum(20.5**2 - x**2, 0)) * 2 / 400
    assert np.abs(got - want)[95:105][:, 11:50].max() < 0.01 * want.max()
    assert not got[~mask].any()


def test_a_ball_gets_its_chord_over_the_root_of_two():
    rows, columns = grid(121, 121)
    r2 = (rows - 60) ** 2 + (columns - 60) ** 2
    mask = r2 < 50**2
    got = thickness(np.where(mask, 3.0, 0), mask, 600.0)
    want = np.sqrt(2 * np.maximum(50**2 - r2, 0)) * 3 / 600
    assert np.abs(got - want)[r2 < 45**2].max() < 0.02 * want.max()


def test_an_arm_before_the_trunk_is_a_tube_of_its_own():
    rows, columns = grid(120, 101)
    mask = np.ones(rows.shape, bool)
    arm = np.abs(columns - 50) <= 8
    got = thickness(np.where(arm, 2.0, 2.2), mask, 400.0)
    want = 2 * np.sqrt(np.maximum(8.5**2 - (columns - 50) ** 2, 0)) * 2 / 400
    assert np.abs(got - want)[55:65][:, 43:58].max() < 0.03 * want.max()
    # The trunk goes on behind the arm: it is thickest beside it, not thin as at an outline.
    assert got[60, 40] > got[60, 20] > got[60, 2]


def test_large_pictures_start_from_smaller_ones(monkeypatch):
    rows, columns = grid(151, 90)
    mask = (rows - 75) ** 2 / 4 + (columns - 45) ** 2 < 35**2
    depth = np.where(mask, 2 + 0.1 * (columns > 52), 0)
    direct = thickness(depth, mask, 400.0)
    monkeypatch.setattr(inflation, "DIRECT_UNKNOWNS", 1500)
    layered = thickness(depth, mask, 400.0)
    assert np.abs(layered - direct)[mask].mean() < 0.03 * direct[mask].mean()


def test_readings_fill_holes_from_the_nearest():
    depth = np.zeros((5, 7))
    depth[2, 1], depth[2, 5] = 1.5, 2.5
    got = filled(depth, np.ones((5, 7), bool))
    assert set(np.unique(got)) == {np.float32(1.5), np.float32(2.5)}
    assert got[2, 2] == 1.5
    assert got[2, 4] == 2.5


def test_the_pictures_rim_is_a_border():
    assert border_distance(np.ones((5, 9), bool)).tolist()[2] == [1, 2, 3, 3, 3, 3, 3, 2, 1]


@pytest.mark.parametrize("size", [(160, 128), None])
def test_a_crop_keeps_the_plane_it_shows(size):
    camera = Camera(610.0, 590.0, 301.0, 222.0, 640, 480)
    rows, columns = grid(480, 640)
    mask = (np.abs(rows - 200) < 150) & (np.abs(columns - 380) < 60)
    # A tilted plane: inverse depth is linear in the picture.
    depth = 1 / (0.4 + 1e-4 * (columns - 380) - 2e-4 * (rows - 200))
    crop = make_crop(np.where(mask, depth, 0), mask, camera, size=size)
    rays = crop.camera.rays()
    u, v = rays[..., 0] * camera.fx + camera.cx, rays[..., 1] * camera.fy + camera.cy
    want = 1 / (0.4 + 1e-4 * (u - 380) - 2e-4 * (v - 200))
    inner = crop.front > 0
    assert inner.sum() > 2000
    # The nearest readings stand for a pixel: half of one of theirs away at most.
    assert np.abs(crop.front - want)[inner].max() < 0.0025
    assert crop.camera.fx == pytest.approx(crop.distance_m / 0.012)
    place = np.argwhere(crop.mask)
    middle = (np.array(crop.mask.shape) - 1) / 2
    assert np.abs((place.min(0) + place.max(0)) / 2 - middle).max() <= 1
    if size is None:
        assert all(n % 16 == 0 for n in crop.mask.shape)
        assert not crop.mask[[0, -1]].any()
        assert not crop.mask[:, [0, -1]].any()


def test_no_depth_is_invented_between_two_limbs():
    camera = Camera(600.0, 600.0, 100.0, 100.0, 200, 200)
    columns = grid(200, 200)[1]
    crop = make_crop(np.where(columns < 101, 2.0, 2.5), np.ones((200, 200), bool), camera)
    assert set(np.unique(crop.front)) == {0, np.float32(2.0), np.float32(2.5)}


def test_nothing_measured_is_an_error():
    with pytest.raises(ValueError, match="no depth"):
        make_crop(np.zeros((9, 9)), np.ones((9, 9), bool), Camera(9, 9, 4, 4, 9, 9))
    with pytest.raises(ValueError):
        crop_camera(np.zeros((9, 9), bool), 2.0, Camera(9, 9, 4, 4, 9, 9))
