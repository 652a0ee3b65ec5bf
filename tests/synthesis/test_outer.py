"""The outer surface against closed forms and libigl."""

from __future__ import annotations

import igl
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.model import load_default
from likeness.core.errors import LikenessError
from likeness.synthesis.outer import closest_barycentric, outer_surface, seen_from_afar, strew
from likeness.synthesis.points import draw_points
from likeness.synthesis.scene import Scene

from .figures import layer, posed


def surface(*layers, voxel=0.012):
    person = posed(*layers)
    return outer_surface(person, Scene(person), voxel)


def ball(radius=0.2, at=(0.0, 1.0, 0.0), **changes):
    mesh = trimesh.creation.icosphere(4, radius)
    mesh.apply_translation(at)
    return layer(mesh, **changes)


@pytest.fixture(scope="module")
def sphere():
    return surface(ball())


def test_distance_to_a_sphere_is_that_of_the_sphere(sphere):
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (4000, 3)).astype(np.float32) + [0, 1, 0]
    truth = np.linalg.norm(points - [0, 1, 0], axis=1) - 0.2
    # The flat facets of the ball lie up to 0.4 mm under the sphere.
    assert np.abs(sphere.nearest(points).distance - truth).max() < 6e-4


def test_a_sphere_closes_into_one_sphere(sphere):
    mesh = trimesh.Trimesh(*sphere.mesh(), process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.euler_number == 2
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.2**3, rel=0.02)
    assert np.abs(np.linalg.norm(mesh.vertices - [0, 1, 0], axis=1) - 0.2).max() < 1e-3


def test_an_inner_layer_does_not_count():
    both = surface(ball(0.2), ball(0.192, name="inner"))
    assert set(both.layer[both.outer]) == {0}
    points = np.random.default_rng(1).normal(size=(500, 3)) * 0.05 + [0, 1.2, 0]
    assert np.allclose(both.nearest(points).distance, surface(ball(0.2)).nearest(points).distance, atol=1e-6)


def test_two_overlapping_balls_become_one_surface():
    pair = surface(ball(at=(-0.1, 1, 0)), ball(at=(0.1, 1, 0)))
    mesh = trimesh.Trimesh(*pair.mesh(), process=False)
    assert mesh.is_watertight and len(mesh.split()) == 1
    # Two balls less the lens that they share.
    lens = np.pi * (2 * 0.2 - 0.2) ** 2 * (0.2**2 + 2 * 0.2 * 2 * 0.2) / (12 * 0.2)
    assert mesh.volume == pytest.approx(2 * 4 / 3 * np.pi * 0.2**3 - lens, rel=0.02)


def skirt(top=0.1, bottom=0.35, height=0.6):
    """An open cone with its normals outward: cloth without an inside."""
    turn = np.linspace(0, 2 * np.pi, 97)[:-1]
    rings = [(top + (bottom - top) * s, 0.3 + height * (1 - s)) for s in np.linspace(0, 1, 40)]
    vertices = np.concatenate([np.stack([r * np.sin(turn), np.full(96, y), r * np.cos(turn)], 1) for r, y in rings])
    rows, columns = np.meshgrid(np.arange(39), np.arange(96), indexing="ij")
    a, b = (rows * 96 + columns).ravel(), (rows * 96 + (columns + 1) % 96).ravel()
    faces = np.concatenate([np.stack([a, a + 96, b], 1), np.stack([b, a + 96, b + 96], 1)])
    return trimesh.Trimesh(vertices, faces, process=False)


def test_the_room_under_a_skirt_is_inside():
    cone = surface(layer(skirt(), sheet=True), ball(0.16, (0, 0.95, 0)))
    under = np.array([[0.1, 0.5, 0.1], [0, 0.6, 0], [0, 0.45, -0.15]])
    beside = np.array([[0.4, 0.5, 0.1], [0, 0.9, 0.3], [0, 0.2, 0.6]])
    assert (cone.nearest(under).distance < 0).all() and (cone.nearest(beside).distance > 0).all()


def test_a_free_sheet_keeps_two_sides():
    plate = trimesh.creation.box((0.5, 0.5, 0.0005))
    plate.faces = plate.faces[np.abs(plate.face_normals[:, 2] - 1) < 1e-6]
    plate = plate.subdivide_to_size(0.03)
    plate.apply_translation((0, 1, 0))
    sheet = surface(layer(plate, sheet=True, thickness_m=0.004))
    away = np.array([[0.1, 1.05, 0.1], [0.1, 1.05, -0.1]])
    assert np.allclose(sheet.nearest(away).distance, 0.1 - 0.002, atol=1e-3)


def test_legs_apart_stay_apart():
    legs = surface(ball(0.08, (-0.1, 1, 0)), ball(0.08, (0.1, 1, 0)))
    gap = legs.nearest(np.array([[0.0, 1.0, 0.0]]))
    assert gap.distance[0] == pytest.approx(0.02, abs=1e-3)
    assert len(trimesh.Trimesh(*legs.mesh(), process=False).split()) == 2


def test_the_default_body_has_the_sign_and_distance_that_libigl_finds():
    model = load_default()
    vertices, _ = model.posed(np.zeros(20), np.zeros((24, 3)))
    vertices = vertices - [0, vertices[:, 1].min(), 0]
    body = surface(layer(trimesh.Trimesh(vertices, model.faces, process=False)), voxel=0.006)
    rng = np.random.default_rng(3)
    points = vertices[rng.integers(len(vertices), size=3000)] + rng.normal(size=(3000, 3)) * 0.03
    squared, *_ = igl.point_mesh_squared_distance(points, vertices.astype(float), model.faces.astype(np.int64))
    inside = igl.fast_winding_number(vertices.astype(float), model.faces.astype(np.int64), points) > 0.5
    found = body.nearest(points).distance
    assert np.quantile(np.abs(np.abs(found) - np.sqrt(squared)), 0.99) < 1e-3
    assert ((found < 0) != inside)[np.sqrt(squared) > 0.004].mean() < 0.01


def test_nobody_has_no_surface():
    nothing = layer(trimesh.Trimesh(np.eye(3) * 1e-9, [[0, 1, 2]], process=False))
    with pytest.raises(LikenessError, match="no outer surface"):
        surface(nothing)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_closest_points_of_triangles_are_those_of_libigl(seed):
    rng = np.random.default_rng(seed)
    corners, point = rng.normal(size=(1, 3, 3)), rng.normal(size=(1, 3)) * 2
    bary = closest_barycentric(point.astype(np.float32), corners.astype(np.float32))
    squared, *_ = igl.point_mesh_squared_distance(point, corners[0], np.array([[0, 1, 2]]))
    found = np.linalg.norm(point - (bary[..., None] * corners).sum(1))
    assert found == pytest.approx(np.sqrt(squared).item(), abs=1e-4)
    assert bary.min() >= -1e-5 and bary.sum() == pytest.approx(1, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 0.2), st.integers(0, 99))
def test_strewn_points_leave_no_gap(spacing, seed):
    corners = np.random.default_rng(seed).uniform(-0.3, 0.3, (3, 3, 3)).astype(np.float32)
    points, owner = strew(corners, spacing)
    probes = trimesh.Trimesh(corners.reshape(-1, 3), np.arange(9).reshape(3, 3), process=False).sample(200)
    gap = np.linalg.norm(probes[:, None] - points[None], axis=2).min(1)
    assert gap.max() <= spacing + 1e-6 and set(owner) == {0, 1, 2}


def test_a_closed_box_hides_its_inside_and_an_open_one_shows_it():
    wall = np.zeros((40, 40, 40), bool)
    wall[10:30, 10:30, 10:30] = True
    wall[12:28, 12:28, 12:28] = False
    assert not seen_from_afar(wall)[20, 20, 20]
    wall[12:28, 28:30, 12:28] = False
    assert seen_from_afar(wall)[20, 20, 20]


def test_points_carry_what_lies_nearest(sphere):
    red = np.zeros((4, 4, 3), np.uint8) + np.array([200, 10, 10], np.uint8)
    pair = surface(ball(at=(-0.3, 1, 0), color=red), ball(at=(0.3, 1, 0), kind="skin"))
    points = draw_points(pair, np.random.default_rng(0), 3000)
    left = points.position[:, 0] < -0.02
    assert (points.color[left] == [200, 10, 10]).all() and (points.color[points.position[:, 0] > 0.02] == 128).all()
    assert (points.kind[points.position[:, 0] > 0.02] == 0).all() and (points.kind[left] == 4).all()
    assert 0.3 < (points.sdf < 0).mean() < 0.6
    again = draw_points(pair, np.random.default_rng(0), 3000)
    assert np.array_equal(points.position, again.position) and np.array_equal(points.sdf, again.sdf)
