"""A whole synthetic person, written as captures that the engine itself reads."""

from __future__ import annotations

import json

import igl
import numpy as np
import pytest
import trimesh
from likeness.body.model import load_default
from likeness.capture import read_capture
from likeness.core.camera import Camera
from likeness.core.frames import rodrigues
from likeness.synthesis.dataset import is_complete, person_folder, write_person
from likeness.synthesis.pack import load_pack
from likeness.synthesis.sample import Settings, make_dressed, make_sample, remake
from likeness.synthesis.stream import PeopleStream
from scipy import ndimage

SMALL = Settings(
    seed=5, size=160, views=2, points=2000, sensors=("azure_kinect",), cloth="skin", mesh=True, voxel_m=0.012
)


@pytest.fixture(scope="module")
def sample():
    return make_sample(load_pack(), SMALL, 1)


@pytest.fixture(scope="module")
def folder(sample, tmp_path_factory):
    return write_person(tmp_path_factory.mktemp("people"), sample)


def test_each_view_is_a_capture_that_the_engine_reads(folder, sample):
    for number, view in enumerate(sample.views):
        capture = read_capture(folder / f"{number:02d}")
        assert capture.kind == "rgbd" and capture.color.shape == (160, 160, 3)
        assert capture.camera.fx == pytest.approx(view.view.camera.fx)
        assert (capture.mask & view.outline).sum() > 0.6 * view.outline.sum()


def test_sensor_depth_is_near_the_truth(sample):
    for view in sample.views:
        both = view.outline & (view.depth > 0)
        assert both.sum() > 0.3 * view.outline.sum()
        assert np.median(np.abs(view.depth - view.clean)[both]) < 0.02


def test_truth_in_camera_space_agrees_with_the_picture(folder):
    """The default body, posed with the written pose, lies under the written depth."""
    model = load_default("smplh")
    person = np.load(folder / "person.npz")
    for number in range(2):
        truth = np.load(folder / f"{number:02d}" / "truth.npz")
        record = json.loads((folder / f"{number:02d}" / "intrinsics.json").read_text())
        camera = Camera.from_dict(record)
        vertices, joints = model.posed(truth["betas"], truth["pose"])
        moved = joints - joints[0] + truth["joints"][0]
        assert np.abs(moved - truth["joints"]).max() < 0.02
        pixels = np.rint(camera.project(vertices - joints[0] + truth["joints"][0])).astype(int)
        inside = ((pixels >= 0) & (pixels < 160)).all(1)
        # A pixel of room: limbs are a few pixels wide here.
        on_person = ndimage.binary_dilation(truth["outline"])[pixels[inside, 1], pixels[inside, 0]]
        assert on_person.mean() > 0.97
    assert rodrigues(person["pose"][0].astype(float)).shape == (3, 3)


def test_normals_are_those_of_the_depth(sample):
    view = sample.views[0]
    points = view.view.camera.backproject(view.clean)
    across, down = np.gradient(points, axis=1), np.gradient(points, axis=0)
    normal = np.cross(down, across)
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-12)
    normal *= np.where((normal * points).sum(2) > 0, -1, 1)[..., None]
    inner = view.outline.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(view.outline, step, axis) & (np.abs(np.roll(view.clean, step, axis) - view.clean) < 0.01)
    cosine = (normal * view.normal).sum(2)[inner]
    assert np.median(cosine) > 0.97 and (view.normal[~view.outline] == 0).all()


def test_the_outer_surface_lies_under_the_pictures(sample):
    mesh = trimesh.Trimesh(*sample.mesh, process=False)
    assert mesh.is_watertight and 0.005 < mesh.volume < 0.3
    for view in sample.views:
        rows, columns = np.nonzero(view.outline & (view.kind != 3) & (view.kind != 9))
        points = view.view.camera.backproject(view.clean)[rows, columns]
        world = (points - view.view.camera_from_world[:3, 3]) @ view.view.camera_from_world[:3, :3]
        some = np.random.default_rng(0).choice(len(world), min(300, len(world)), replace=False)
        squared, *_ = igl.point_mesh_squared_distance(world[some], mesh.vertices, mesh.faces.astype(np.int64))
        distance = np.sqrt(squared)
        assert np.median(distance) < 0.005 and np.quantile(distance, 0.9) < 0.03


def test_points_have_the_sign_of_the_closed_surface(sample):
    vertices, faces = sample.mesh
    points = sample.points
    far = np.abs(points.sdf) > 0.02
    winding = igl.fast_winding_number(
        vertices.astype(float), faces.astype(np.int64), points.position[far].astype(float)
    )
    assert ((winding > 0.5) == (points.sdf[far] < 0)).mean() > 0.97


def test_the_same_seed_makes_the_same_person_whatever_came_before(sample):
    make_dressed(load_pack(), SMALL, 7)
    again = make_sample(load_pack(), SMALL, 1)
    assert again.posed.dressed.recipe == sample.posed.dressed.recipe
    assert np.array_equal(again.points.sdf, sample.points.sdf)
    for one, other in zip(again.views, sample.views, strict=True):
        assert np.array_equal(one.color, other.color) and np.array_equal(one.depth, other.depth)


def test_a_stored_recipe_makes_the_same_person(folder, sample):
    recipe = json.loads((folder / "person.json").read_text())["recipe"]
    again = remake(load_pack(), recipe)
    for one, other in zip(again.layers, sample.posed.dressed.layers, strict=True):
        assert np.array_equal(one.vertices, other.vertices) and np.array_equal(one.color, other.color)


def test_finished_people_are_known_again(folder, sample):
    out = folder.parent
    assert is_complete(out, 1, SMALL) and not is_complete(out, 2, SMALL)
    assert not is_complete(out, 1, Settings(seed=6)) and person_folder(out, 1) == folder
    assert not list(out.glob(".*"))


def test_lanes_share_people_out_without_overlap():
    settings = Settings(size=64, views=0, points=0, mesh=False, cloth="skin")
    found = [[s.index for s in PeopleStream(settings, count=4, rank=r, ranks=2)] for r in range(2)]
    assert found == [[0, 2], [1, 3]]
