"""The table's figures against trimesh, libigl's exact winding number, closed forms and shifted copies."""

from __future__ import annotations

from dataclasses import replace

import igl
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.core.camera import Camera
from likeness.surface.evaluation.distance import Mesh, angle_deg, closest, spread
from likeness.surface.evaluation.normals import PIXELS, from_four_sides, normal_errors
from likeness.surface.evaluation.outline import seen_points
from likeness.surface.evaluation.parts import PARTS, nearest_groups, vertex_groups
from likeness.surface.evaluation.scores import Truth, scores
from likeness.surface.evaluation.space import filled, free_points, handles, inside
from likeness.surface.evaluation.terrace import FLOOR_M, amplitude, terraces
from likeness.surface.evaluation.topology import topology
from likeness.surface.view import Rays

CAMERA = Camera(240.0, 240.0, 127.5, 127.5, 256, 256)
UP = np.array([0.0, -1.0, 0.0])


def placed(mesh: trimesh.Trimesh, z: float = 2.0) -> Mesh:
    return Mesh.of(mesh.vertices + [0, 0, z], mesh.faces)


def ball(radius: float = 0.3, z: float = 2.0, subdivisions: int = 4) -> Mesh:
    return placed(trimesh.creation.icosphere(subdivisions, radius), z)


def truth_of(mesh: Mesh, points: int = 5000) -> Truth:
    groups = np.arange(len(mesh.vertices)) % 2 + 1
    return Truth(mesh, CAMERA, UP, mesh.vertices, groups, points)


def test_points_are_spread_by_area_and_lie_on_the_mesh():
    box = trimesh.creation.box(extents=(1.0, 0.4, 0.1))
    found = spread(Mesh.of(box.vertices, box.faces), 20_000, seed=4)
    assert np.abs((np.abs(found.points) - [0.5, 0.2, 0.05]).max(axis=1)).max() < 1e-12
    share = np.bincount(found.face, minlength=12) / 20_000
    np.testing.assert_allclose(share, box.area_faces / box.area, atol=1e-3)
    assert np.array_equal(found.points, spread(Mesh.of(box.vertices, box.faces), 20_000, seed=4).points)


def test_distances_and_normals_agree_with_trimesh():
    knot = trimesh.creation.torus(0.3, 0.1, major_sections=40, minor_sections=20)
    points = np.random.default_rng(0).normal(0, 0.3, (150, 3))
    # Without a tree: every point against every triangle.
    every = trimesh.triangles.closest_point(
        np.tile(knot.triangles, (len(points), 1, 1)), points.repeat(len(knot.faces), 0)
    )
    every = every.reshape(len(points), -1, 3)
    distance = np.linalg.norm(every - points[:, None], axis=2)
    near = every[np.arange(len(points)), distance.argmin(axis=1)]
    found = closest(points, Mesh.of(knot.vertices, knot.faces))
    np.testing.assert_allclose(found.distance, distance.min(axis=1), atol=1e-9)
    ring = near * (1, 1, 0)
    ring *= 0.3 / np.linalg.norm(ring, axis=1, keepdims=True)
    exact = (near - ring) / np.linalg.norm(near - ring, axis=1, keepdims=True)
    assert angle_deg(found.normals, exact).mean() < 1.5


@settings(max_examples=15)
@given(radius=st.floats(0.1, 0.5), distance=st.floats(1.2, 4.0))
def test_the_seen_cap_of_a_ball_has_the_area_of_the_closed_form(radius: float, distance: float):
    mesh = ball(radius, distance, 4)
    found = spread(mesh, 20_000)
    wide = replace(CAMERA, fx=100.0, fy=100.0)
    seen = seen_points(Rays(mesh.vertices, mesh.faces), wide, found.points, found.normals)
    # A point at polar angle t from the near pole is seen at cosine c where the line of sight makes asin(R/D sin) with
    # the axis; at incidence acos(0.1) the law of sines gives t = acos(0.1) - asin(R sin(acos(0.1)) / D).
    steep = np.arccos(0.1)
    polar = steep - np.arcsin(radius * np.sin(steep) / distance)
    assert seen.mean() == pytest.approx((1 - np.cos(polar)) / 2, abs=0.02)


def test_what_stands_behind_is_unseen():
    both = trimesh.util.concatenate(
        [trimesh.creation.icosphere(4, 0.3), trimesh.creation.icosphere(4, 0.2).apply_translation((0, 0, 1))]
    )
    mesh = placed(both)
    found = spread(mesh, 5000)
    seen = seen_points(Rays(mesh.vertices, mesh.faces), CAMERA, found.points, found.normals)
    assert not seen[found.points[:, 2] > 2.5].any() and seen.any()


def test_winding_agrees_with_the_exact_one():
    mesh = ball(subdivisions=3)
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (800, 3)) + [0, 0, 2]
    exact = igl.winding_number(mesh.vertices, mesh.faces, points) > 0.5
    assert np.array_equal(inside(mesh, points), exact) and exact.any()


def test_free_space_between_two_balls_is_filled_by_a_capsule():
    two = trimesh.util.concatenate(
        [trimesh.creation.icosphere(3, 0.1).apply_translation((0, s * 0.15, 0)) for s in (-1, 1)]
    )
    truth = placed(two)
    free = free_points(truth, 40_000, seed=1)
    # Within 10 cm of a ball's surface; the balls are mirror images in y, so |y| gives the nearer one.
    radii = np.linalg.norm(np.stack([free[:, 0], np.abs(free[:, 1]) - 0.15, free[:, 2] - 2], 1), axis=1)
    assert len(free) == 40_000 and radii.min() > 0.0985 and radii.max() < 0.2001
    assert filled(truth, free) == 0
    capsule = placed(
        trimesh.creation.capsule(height=0.3, radius=0.1, count=(64, 64)).apply_transform(
            trimesh.transformations.rotation_matrix(np.pi / 2, (1, 0, 0))
        )
    )
    # Capsule less two balls, over two shells of 10 cm less what the shells share.
    gap = np.pi * 0.01 * 0.3 - 4 / 3 * np.pi * 0.001
    lens = 2 * np.pi / 3 * (0.2 - 0.15) ** 2 * (3 * 0.2 - (0.2 - 0.15))
    shells = 2 * 4 / 3 * np.pi * 0.2**3 - lens - 2 * 4 / 3 * np.pi * 0.1**3
    assert filled(capsule, free) == pytest.approx(gap / shells, rel=0.06)


@pytest.mark.parametrize(("shape", "genus"), [("ball", 0), ("torus", 1)])
def test_genus_and_handles(shape: str, genus: int):
    solid = trimesh.creation.icosphere(3, 0.3) if shape == "ball" else trimesh.creation.torus(0.3, 0.1)
    mesh = placed(solid)
    found = topology(mesh)
    assert found.watertight and found.components == 1 and found.genus == (genus,)
    assert solid.euler_number == 2 - 2 * genus
    assert handles(mesh) == genus


def test_topology_of_pieces_holes_and_flips():
    solid = trimesh.util.concatenate([trimesh.creation.torus(0.3, 0.1), trimesh.creation.icosphere(2, 0.05)])
    both = topology(placed(solid))
    assert both.components == 2 and both.genus == (1, 0) and both.watertight == solid.is_watertight
    opened = topology(Mesh.of(solid.vertices, solid.faces[1:]))
    assert not opened.watertight and opened.genus == (-1, 0)
    faces = solid.faces.copy()
    faces[0] = faces[0, ::-1]
    assert not topology(Mesh.of(solid.vertices, faces)).watertight


def test_a_narrow_handle_is_no_matter_of_pose():
    """A ring of 8 mm inner width closes; one of 8 cm stays."""
    assert handles(placed(trimesh.creation.torus(0.024, 0.020))) == 0
    assert handles(placed(trimesh.creation.torus(0.060, 0.020))) == 1


def test_a_larger_ball_reads_its_offset_everywhere():
    truth = truth_of(ball(0.30))
    found = scores(*_arrays(ball(0.31)), truth)
    less = scores(*_arrays(ball(0.31)), truth, form=False)
    assert set(found) - set(less) == {"handles_off", "terrace"} and less["chamfer"] == found["chamfer"]
    for key in ("p2s", "complete", "chamfer", "seen_p2s", "unseen_p2s", "unseen_complete", "p95"):
        assert found[key] == pytest.approx(1.0, abs=0.02), key
    assert found["f5"] == 0 and found["watertight"] == 1 and found["genus"] == 0 and found["handles_off"] == 0
    assert found["normals_unseen"] < 0.5
    # The shell of 1 cm over the shell of 10 cm.
    assert found["filled_pct"] == pytest.approx(100 * (0.31**3 - 0.3**3) / (0.4**3 - 0.3**3), rel=0.06)
    assert found["iou"] == pytest.approx((0.30 / 0.31) ** 2, abs=0.01)
    assert np.isnan(found["unseen_p2s_hands"]) and found["unseen_p2s_torso"] == pytest.approx(1.0, abs=0.03)


def test_the_truth_itself_scores_perfectly_and_inside_out_does_not():
    mesh = ball()
    truth = truth_of(mesh)
    found = scores(*_arrays(mesh), truth)
    assert found["chamfer"] < 1e-6 and found["f5"] == pytest.approx(1) and found["filled_pct"] == 0
    assert found["normals_4view"] == 0 and found["iou_4view"] == 1 and found["terrace"] == 1
    turned = scores(mesh.vertices, mesh.faces[:, ::-1], truth)
    assert turned["normals_unseen"] > 179 and turned["normals_4view_deg"] > 179


def test_where_nothing_was_read_depth_has_no_say():
    """A ball that is 1 cm too large on its right half is perfect on the pixels of the left one."""
    mesh = ball()
    middle = mesh.vertices.mean(0)
    right = mesh.vertices[:, 0] > middle[0]
    wide = np.where(right[:, None], middle + (mesh.vertices - middle) * 0.31 / 0.30, mesh.vertices)
    truth = truth_of(mesh)
    left = np.zeros((truth.camera.height, truth.camera.width), bool)
    left[:, : int(truth.camera.project(middle[None])[0, 0]) - 3] = True
    found = scores(wide, mesh.faces, replace(truth, read=left))
    assert found["read_chamfer"] < 0.01 and found["seen_p2s"] == pytest.approx(0.5, abs=0.05)
    other = scores(wide, mesh.faces, replace(truth, read=~left))
    assert other["read_p2s"] == pytest.approx(0.95, abs=0.15) and "read_p2s" not in scores(wide, mesh.faces, truth)


def test_shifted_sideways_no_distance_exceeds_the_shift():
    mesh = ball()
    found = scores(mesh.vertices + [0.01, 0, 0], mesh.faces, truth_of(mesh))
    # Mean of |cosine| over directions is one half.
    assert found["chamfer"] == pytest.approx(0.5, abs=0.02) and found["p95"] < 1.0


def test_four_views_of_nothing_shared_are_the_mean_square_of_the_colours():
    """Against an empty picture the error is what the ball's own colours amount to: closed form over a disc."""
    mesh = ball()
    speck = Mesh.of(mesh.vertices[:3] * 1e-6 + [50, 0, 0], np.array([[0, 1, 2]]))
    found = normal_errors(speck, from_four_sides(mesh, UP))
    # Over a ball seen from afar n = (x, y, sqrt(1 - r^2)): mean of |n + 1|^2 / 4 = (1 + 3 + 2 * mean n_z) / 4, n_z 2/3.
    disc = np.pi * (0.45 * PIXELS) ** 2 / PIXELS**2
    assert found.summed == pytest.approx(4 * disc * (4 + 4 / 3) / 4, rel=0.01)
    assert found.overlap == 0


def test_parts_follow_the_nearest_vertex():
    names = ("head", "left_forearm", "left_hand", "right_shin", "left_foot", "torso", "neck")
    groups = vertex_groups(np.arange(7), names)
    assert [PARTS[g] for g in groups] == ["head", "arms", "hands", "legs", "feet", "torso", "head"]
    body = np.eye(7, 3) * 5 + np.arange(7)[:, None]
    assert np.array_equal(nearest_groups(body + 0.01, body, groups), groups)


def wavy(height_m: float, length_m: float, slope: float = 0.3) -> Mesh:
    """A plane that leans back, with a ripple across, 80 cm wide, 2 m away."""
    side = np.linspace(-0.4, 0.4, 301)
    x, y = np.meshgrid(side, side)
    z = 2 + slope * y + height_m * np.sin(2 * np.pi * x / length_m)
    index = np.arange(301 * 301).reshape(301, 301)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, c, b), (b, c, d))])
    return Mesh.of(np.stack([x, y, z], -1).reshape(-1, 3), faces)


@pytest.mark.parametrize("shape", ["ball", "plane"])
def test_smooth_fixtures_have_no_terraces(shape: str):
    """The same surface in other triangles reads 1."""
    if shape == "ball":
        truth, other = ball(0.4, subdivisions=6), placed(trimesh.creation.uv_sphere(0.4, count=(200, 200)))
    else:
        truth, other = (
            wavy(0, 1),
            Mesh.of([[-1, -1, 1.7], [1, -1, 1.7], [1, 1, 2.3], [-1, 1, 2.3]], [[0, 2, 1], [0, 3, 2]]),
        )
    assert terraces(other, truth, CAMERA).index == pytest.approx(1, abs=0.05)


def test_ripples_are_terraces():
    found = terraces(wavy(0.0004, 0.02), wavy(0, 1), CAMERA, cell_m=0.02)
    # Taubin takes most of a ripple of five edges; heights are measured along the normal of the leaning plane.
    height = 0.0004 / np.sqrt(1 + 0.3**2)
    assert found.index == pytest.approx(np.hypot(height / np.sqrt(2), FLOOR_M) / FLOOR_M, rel=0.2)
    assert found.wave_m == pytest.approx(height, rel=0.2)
    assert terraces(wavy(0, 1), wavy(0.0004, 0.02), CAMERA).index < 0.3


def test_amplitude_of_one_wave():
    points = np.random.default_rng(2).uniform(0, 1, (20_000, 3))
    height = 0.003 * np.sin(2 * np.pi * points[:, 1] / 0.01 + 0.4)
    assert amplitude(points, height, 0.01) == pytest.approx(0.003, rel=0.03)
    assert amplitude(points, height, 0.013) < 0.0002


def _arrays(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    return mesh.vertices, mesh.faces
