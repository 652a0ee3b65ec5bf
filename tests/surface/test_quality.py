"""Distances and overlaps against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.surface import CapturedSurface
from likeness.surface.evaluation.depth_sheet import depth_sheet
from likeness.surface.evaluation.distance import point_to_surface
from likeness.surface.evaluation.outline import overlap, silhouette
from likeness.surface.evaluation.quality import surface_quality

from .conftest import KINECT, photographed


def test_distances_to_a_box() -> None:
    half = np.array([0.5, 0.2, 0.9])
    box = trimesh.creation.box(extents=2 * half)
    points = np.random.default_rng(3).normal(0, 0.7, (500, 3))
    beyond = np.abs(points) - half
    outside = np.linalg.norm(np.maximum(beyond, 0), axis=1)
    expected = np.where((beyond < 0).all(axis=1), -beyond.max(axis=1), outside)
    np.testing.assert_allclose(point_to_surface(points, box.vertices, box.faces), expected, atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(radius=st.floats(0.1, 0.6), distance=st.floats(1.5, 4.0))
def test_a_sphere_covers_its_cone(radius: float, distance: float) -> None:
    camera = Camera(200.0, 200.0, 99.5, 99.5, 200, 200)
    ball = trimesh.creation.icosphere(subdivisions=5, radius=radius)
    picture = silhouette(ball.vertices + [0, 0, distance], ball.faces, camera)
    # The outline is a circle; its facets lie inside by less than a hundredth of its radius.
    outline = 200.0 * radius / np.sqrt(distance**2 - radius**2)
    away = np.hypot(*(np.indices(picture.shape) - 99.5))
    assert picture[away < 0.99 * outline - 0.01].all()
    assert not picture[away > outline + 0.01].any()


def test_overlap() -> None:
    a, b = np.zeros((2, 4, 4), bool)
    assert overlap(a, b) == 1
    a[0], b[:, 0] = True, True
    assert overlap(a, b) == pytest.approx(1 / 7)


def test_quality_reports_a_known_offset_in_millimetres() -> None:
    """A ball 7 mm too large lies 7 mm before each reading, and its hidden half must not hide that."""
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.3)
    capture = photographed(ball.vertices + [0, 0, 2], ball.faces)
    bigger = (ball.vertices * (0.307 / 0.3) + [0, 0, 2]).astype(np.float32)
    surface = CapturedSurface(bigger, ball.faces.astype(np.int32), np.full(len(bigger), 0.25, np.float32))
    figures = surface_quality(surface, capture)
    assert figures["depth_median_mm"] == pytest.approx(7, abs=0.15)
    assert figures["depth_p95_mm"] == pytest.approx(7, abs=0.3)
    assert figures["seen_share"] == 0.25
    assert figures["silhouette_iou"] == pytest.approx((0.3 / 0.307) ** 2, abs=0.01)
    photo = photographed(ball.vertices + [0, 0, 2], ball.faces, KINECT, depth=False)
    assert set(surface_quality(surface, photo)) == {"silhouette_iou", "seen_share"}


def test_a_depth_map_becomes_a_sheet_cut_at_jumps():
    """A wall before a wall: no triangle spans the step, all face the camera, nothing moves, and the area is known."""
    rows, cols = 40, 60
    depth = np.full((rows, cols), 2.0, np.float32)
    depth[:, 30:] = 2.1
    depth[5, 5] = 0
    camera = Camera(100.0, 100.0, 29.5, 19.5, cols, rows)
    capture = Capture(
        color=np.zeros((rows, cols, 3), np.uint8), mask=np.ones((rows, cols), bool), depth=depth, camera=camera,
        camera_known=True, name="walls", source_sha256="0" * 64, mask_source="file",
    )  # fmt: skip
    vertices, faces = depth_sheet(capture)
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.ptp(corners[..., 2], axis=1) == 0).all() and (normal[:, 2] < 0).all()
    assert len(vertices) == rows * cols - 1 and len(faces) == 39 * (29 + 29) * 2 - 6
    assert np.linalg.norm(normal, axis=1).sum() / 2 == pytest.approx(
        39 * 29 * (0.02**2 + 0.021**2) - 3 * 0.02**2, rel=1e-4
    )
    photo = depth_sheet(replace(capture, depth=None))
    assert len(photo[0]) == len(photo[1]) == 0
