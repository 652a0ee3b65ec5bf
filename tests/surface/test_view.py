"""The window around the person, and rays against trimesh's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from likeness.core.camera import Camera
from likeness.surface.view import Rays, make_view, outline_distance

from .conftest import photographed


def test_outline_distance_is_signed_and_counts_from_the_rim() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    out = outline_distance(mask)
    assert out[4, 4] == 2.5
    assert out[2, 4] == 0.5
    assert out[1, 4] == -0.5
    np.testing.assert_array_equal(out > 0, mask)


@pytest.mark.parametrize("value", [True, False])
def test_without_an_outline_nothing_is_near_it(value: bool) -> None:
    out = outline_distance(np.full((5, 7), value))
    assert (np.abs(out) >= 7).all()
    assert ((out > 0) == value).all()


@pytest.mark.parametrize("rows", [120, 400])
def test_the_window_sees_what_the_picture_sees(rows: int) -> None:
    """A corner of a ball projects onto the mask's rim in the picture and in the window, at every working size."""
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.4)
    place = ball.vertices + [0.3, -0.1, 2.0]
    view = make_view(photographed(place, ball.faces), rows=rows)
    assert max(view.mask.shape) <= rows
    assert view.depth is not None
    uv = view.camera.project(place)
    cols, lines = np.rint(uv).astype(int).T
    assert view.mask[lines, cols].mean() > 0.93
    mine = Rays(place, ball.faces).render(view.camera)[0] >= 0
    assert (mine ^ view.mask).sum() < 0.04 * mine.sum()
    both = (view.depth.depth > 0) & mine
    expected = Rays(place, ball.faces).render(view.camera)[1]
    assert np.median(np.abs(view.depth.depth - expected)[both]) < 0.002


def test_what_lies_beyond_the_picture_is_unknown() -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.4)
    capture = photographed(ball.vertices + [0, 0, 2.0], ball.faces)
    rows = np.flatnonzero(capture.mask.any(axis=1))
    cut = (rows[0] + rows[-1]) // 2
    camera = capture.camera.cropped(0, 0, capture.camera.width, cut)
    half = replace(
        capture, color=capture.color[:cut], mask=capture.mask[:cut], depth=capture.depth[:cut], camera=camera
    )
    view = make_view(half)
    assert not view.known[-1].any()
    assert view.known[: view.known.shape[0] // 2].any()
    assert not view.mask[~view.known].any()


def test_visibility_agrees_with_geometry() -> None:
    """Of a ball seen from afar the near cap is visible, and a plate before it hides the middle."""
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.5)
    vertices = ball.vertices + [0, 0, 3]
    visible = Rays(vertices, ball.faces).visible()
    cosine = np.sum(ball.vertices * -vertices, axis=1)
    assert visible[cosine > 0.3].all()
    assert not visible[cosine < -0.3].any()
    plate = trimesh.creation.box(extents=(0.3, 0.3, 0.02))
    both = trimesh.util.concatenate(
        [trimesh.Trimesh(vertices, ball.faces, process=False), plate.apply_translation([0, 0, 2.0])]
    )
    hidden = Rays(both.vertices, both.faces).visible()[: len(vertices)]
    axis = np.linalg.norm(vertices[:, :2], axis=1) < 0.1
    assert not hidden[axis].any()
    # From behind the far cap is in plain view, and the plate hides nothing of it.
    behind = Rays(both.vertices, both.faces).visible(behind=True)[: len(vertices)]
    assert behind[cosine < -0.3].all() and not behind[cosine > 0.3].any()


def test_render_gives_depth_along_the_optical_axis() -> None:
    camera = Camera(100.0, 100.0, 31.5, 31.5, 64, 64)
    wall = trimesh.creation.box(extents=(9, 9, 0.2)).apply_translation([0, 0, 2.1])
    face, depth = Rays(wall.vertices, wall.faces).render(camera)
    assert (face >= 0).all()
    np.testing.assert_allclose(depth, 2.0, rtol=1e-5)
