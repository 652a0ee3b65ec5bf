"""The body fit against bodies whose pose is known, on real captures, and on landmarks that lie."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from likeness.body.blazepose import Region
from likeness.body.fit import draw_overlay, fit_body
from likeness.body.fit_overlay import shaded
from likeness.body.fit_pairs import vertex_normals
from likeness.body.fit_photos import fit_photos
from likeness.body.landmarks import MIRROR, Landmarks, detect
from likeness.body.model import load_default, product_body
from likeness.body.pose_prior import load_prior
from likeness.capture import read_capture
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.frames import axis_angle, rodrigues
from likeness.core.hands import RELAXED_FINGERS

CAMERA = Camera(420.0, 420.0, 149.5, 199.5, 300, 400)
LIMBS = [1, 2, 4, 5, 7, 8, 12, 15, 16, 17, 18, 19, 20, 21]


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return load_default()


def depth_of(model, vertices, camera):
    """Depth (H, W) of a closed mesh, by rays."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    scene = EmbreeScene()
    TriangleMesh(scene, np.ascontiguousarray(vertices[model.faces], np.float32))
    rays = np.ascontiguousarray(camera.rays().reshape(-1, 3))
    hits = scene.run(np.zeros_like(rays), rays, query="DISTANCE")
    return np.where(hits < 1e5, hits, 0).reshape(camera.height, camera.width).astype(np.float32)


def somebody(model, turn_deg=0.0, with_depth=True, coat_m=0.0):
    """A body that waves, its capture and what a perfect BlazePose would say; coat_m: clothes."""
    pose = load_prior().start().numpy().copy()
    pose[17] = [0.2, 0.3, 0.3]
    pose[19] = [0.0, 1.3, 0.0]
    pose[1] = [-0.35, 0.0, 0.1]
    pose[4] = [0.5, 0.0, 0.0]
    pose[0] = axis_angle(np.diag([1.0, -1.0, -1.0]) @ rodrigues(np.array([0.0, np.radians(turn_deg), 0.0])))
    betas = np.zeros(model.betas_count, np.float32)
    betas[:3] = [0.8, -0.6, 0.5]
    translation = np.array([0.05, 0.1, 2.6], np.float32)
    vertices, joints = model.posed(betas, pose, translation)
    dressed = np.isin(model.parts, [i for i, part in enumerate(model.part_names) if part not in ("head", "neck")])
    coat = coat_m * dressed[:, None] * vertex_normals(vertices, model.faces)
    depth = depth_of(model, vertices + coat, CAMERA)
    points = model.blazepose_points(vertices, joints)
    landmarks = Landmarks(
        points=CAMERA.project(points).astype(np.float32),
        depth_z=np.zeros(33, np.float32),
        visibility=np.ones(33, np.float32),
        presence=np.ones(33, np.float32),
        world=(points - points[[23, 24]].mean(axis=0)).astype(np.float32),
        score=1.0,
        box=np.zeros(4, np.float32),
        region=Region(np.zeros(2), 1.0),
        mask=np.zeros((256, 256), np.float32),
    )
    color = np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8)
    capture = Capture(
        color=color,
        mask=depth > 0,
        depth=depth if with_depth else None,
        camera=CAMERA,
        camera_known=True,
        name="somebody",
        source_sha256="0" * 64,
        mask_source="file",
    )
    return capture, landmarks, joints


@pytest.fixture(scope="module")
def known(model):
    """Somebody from the front with their fit: capture, landmarks, joints, fit."""
    capture, landmarks, joints = somebody(model)
    return capture, landmarks, joints, fit_body(capture, model, landmarks)


def joint_error(model, fit, joints):
    found = model.posed(fit.betas, fit.pose, fit.translation)[1]
    return np.linalg.norm(found - joints, axis=1)[LIMBS]


def test_fingers_relax_in_a_body_that_has_them_and_a_given_start_is_kept(known):
    model = product_body()
    capture, landmarks, joints, found = known
    start = found.with_joints(52)
    # Landmarks that lie do not move what somebody posed.
    liar = replace(landmarks, world=landmarks.world[::-1].copy())
    fit = fit_body(capture, model, liar, start=start)
    assert fit.pose.shape == (52, 3) and fit.betas.shape == (30,)
    assert np.array_equal(fit.pose[22:], RELAXED_FINGERS)
    assert np.linalg.norm(model.posed(fit.betas, fit.pose, fit.translation)[1][:22] - joints[:22], axis=1).mean() < 0.02


def test_depth_brings_the_body_within_two_centimetres(model, known):
    _, _, joints, fit = known
    error = joint_error(model, fit, joints)
    assert error.mean() < 0.02 and error.max() < 0.06
    assert fit.residuals["surface_m"] < 0.008 and fit.residuals["swapped"] == 0
    assert fit.pose.shape == (24, 3) and fit.pose.dtype == np.float32 and fit.betas.shape == (model.betas_count,)


def test_the_body_stays_inside_the_clothes(model):
    capture, landmarks, joints = somebody(model, 20, coat_m=0.03)
    fit = fit_body(capture, model, landmarks)
    assert joint_error(model, fit, joints).mean() < 0.02
    bare = depth_of(model, model.posed(fit.betas, fit.pose, fit.translation)[0], CAMERA)
    both = (bare > 0) & capture.mask
    # The fitted skin lies behind the cloth, by less than the coat's thickness and a hand's breadth.
    behind = (bare - capture.depth)[both]
    assert np.median(behind) > 0.01 and np.percentile(behind, 95) < 0.08
    assert ((bare > 0) & ~capture.mask).sum() < 0.02 * both.sum()


def test_confidence_falls_where_a_limb_is_missing_and_not_elsewhere(model, known):
    capture, landmarks, _, fit = known
    whole = fit.confidence
    wrist = [13, 15, 17, 19, 21]
    seen = np.where(np.isin(np.arange(33), wrist), 0.05, 1.0).astype(np.float32)
    columns = np.arange(CAMERA.width) < landmarks.points[11, 0] + 6
    cut = replace(capture, mask=capture.mask & columns, depth=np.where(columns, capture.depth, 0))
    part = fit_body(cut, model, replace(landmarks, visibility=seen)).confidence
    assert part["left_arm"] < whole["left_arm"] - 0.2
    assert abs(part["right_leg"] - whole["right_leg"]) < 0.1


def test_small_people_get_the_bodies_of_children():
    child = load_default("smpl", "children")
    capture, landmarks, joints = somebody(child)
    fit = fit_body(capture, load_default(), landmarks)
    assert fit.people == "children"
    assert joint_error(child, fit, joints).mean() < 0.02


def test_a_photo_gives_the_pose_but_not_the_size(model):
    capture, landmarks, joints = somebody(model, 20, with_depth=False)
    fit = fit_body(capture, model, landmarks)
    found = model.posed(fit.betas, fit.pose, fit.translation)[1]
    # A smaller person closer to the camera looks the same: compare after scaling about the camera.
    scale = (found * joints).sum() / (found * found).sum()
    assert np.linalg.norm(found * scale - joints, axis=1)[LIMBS].mean() < 0.06
    assert abs(fit.residuals["stature_m"] - 1.72) < 0.02 and "surface_m" not in fit.residuals


def test_a_photo_of_somebody_whose_height_is_known(model):
    capture, landmarks, _ = somebody(model)
    fit = fit_body(replace(capture, depth=None), model, landmarks, height_m=1.9)
    assert abs(fit.residuals["stature_m"] - 1.9) < 0.03


@pytest.mark.parametrize("wrong", [0.6, 1.6])
def test_a_photo_that_does_not_say_its_focal_length_gets_one_nearer_the_truth(model, wrong):
    capture, landmarks, _ = somebody(model)
    assumed = replace(CAMERA, fx=wrong * CAMERA.fx, fy=wrong * CAMERA.fy)
    photo = replace(capture, depth=None, camera=assumed, camera_known=False)
    fit = fit_body(photo, model, landmarks)
    assert abs(np.log(fit.camera.fx / CAMERA.fx)) < 0.7 * abs(np.log(wrong))
    assert fit.residuals["focal_spread"] > 0
    # What the photo or the artist says is kept.
    said = fit_body(replace(photo, camera_known=True), model, landmarks)
    assert said.camera == assumed and "focal_spread" not in said.residuals


def test_several_photos_share_one_shape_and_keep_their_poses(model):
    seen = [somebody(model, yaw) for yaw in (0, 40)]
    fits = fit_photos([replace(capture, depth=None) for capture, _, _ in seen], model, [found for _, found, _ in seen])
    assert np.array_equal(fits[0].betas, fits[1].betas)
    for fit, (_, _, joints) in zip(fits, seen, strict=True):
        found = model.posed(fit.betas, fit.pose, fit.translation)[1]
        scale = (found * joints).sum() / np.square(found).sum()
        assert np.linalg.norm(found * scale - joints, axis=1)[LIMBS].mean() < 0.06


def test_a_back_view_with_swapped_sides_is_put_right(model):
    capture, landmarks, joints = somebody(model, 180)
    mirror = list(MIRROR)
    swapped = replace(
        landmarks, points=landmarks.points[mirror], world=landmarks.world[mirror] * np.array([1, 1, -1], np.float32)
    )
    fit = fit_body(capture, model, swapped)
    assert fit.residuals["swapped"] == 1
    assert joint_error(model, fit, joints).mean() < 0.03


def test_an_unseen_arm_keeps_a_usual_pose_and_little_confidence(model):
    capture, landmarks, _ = somebody(model)
    seen = np.ones(33, np.float32)
    seen[[13, 15, 17, 19, 21]] = 0.05
    lost = landmarks.points.copy()
    lost[[13, 15, 17, 19, 21]] = [5000, -3000]
    cut = replace(capture, mask=capture.mask & (np.arange(300) < 175), depth=None)
    fit = fit_body(cut, model, replace(landmarks, visibility=seen, points=lost))
    assert fit.confidence["left_arm"] < 0.4 and fit.confidence["left_arm"] < 0.8 * fit.confidence["right_arm"]
    assert np.linalg.norm(fit.pose[[16, 18]], axis=1).max() < 2.0 and np.isfinite(fit.pose).all()


def test_too_little_of_a_person_is_refused_in_words(model):
    capture, landmarks, _ = somebody(model, with_depth=False)
    with pytest.raises(LikenessError) as caught:
        fit_body(capture, model, replace(landmarks, visibility=np.full(33, 0.1, np.float32)))
    assert caught.value.code == "body.no_landmarks" and "somebody" in caught.value.message


def test_cancelling_passes_through(model):
    capture, landmarks, _ = somebody(model, with_depth=False)

    def cancel(fraction, message=""):
        raise LikenessError("job.cancelled", "Stopped.", "Start it again.")

    with pytest.raises(LikenessError, match=r"cancelled|Stopped"):
        fit_body(capture, model, landmarks, report=cancel)


def test_the_same_seed_gives_the_same_body(model):
    capture, landmarks, _ = somebody(model, with_depth=False)
    first, second = fit_body(capture, model, landmarks, seed=3), fit_body(capture, model, landmarks, seed=3)
    assert np.array_equal(first.pose, second.pose) and np.array_equal(first.translation, second.translation)


def test_overlay_colours_the_body_and_leaves_the_rest(model, known):
    capture, _, _, fit = known
    picture = draw_overlay(capture, model, fit)
    assert picture.shape == capture.color.shape and picture.dtype == np.uint8
    changed = (picture != capture.color).any(axis=2)
    assert changed[capture.mask].mean() > 0.9 and changed[~capture.mask].mean() < 0.02
    hit = shaded(model.posed(fit.betas, fit.pose, fit.translation)[0], model.faces, CAMERA)[1]
    assert (hit & capture.mask).sum() / (hit | capture.mask).sum() > 0.9


def test_prior_likes_standing_more_than_a_broken_knee():
    prior = load_prior()
    standing = prior.start()
    broken = standing.clone()
    broken[4, 0] = -0.8
    assert prior.energy(standing) < prior.energy(broken) - 5
    assert prior.limit_energy(standing) == 0 < prior.limit_energy(broken)
    mirrored = standing[[0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]]
    odd = mirrored * torch.tensor([1.0, -1.0, -1.0])
    odd[16] = torch.tensor([0.3, 0.1, -0.4])
    other = standing.clone()
    other[17] = torch.tensor([0.3, -0.1, 0.4])
    arms = prior.mixtures[1].energy(odd) - prior.mixtures[2].energy(other)
    assert abs(float(arms)) < 1e-3


def test_vertex_normals_agree_with_trimesh(model):
    trimesh = pytest.importorskip("trimesh")
    mesh = trimesh.Trimesh(model.v_template, model.faces, process=False)
    faces = mesh.faces
    ours = vertex_normals(model.v_template, model.faces)
    summed = np.zeros_like(model.v_template, np.float64)
    for corner in range(3):
        np.add.at(summed, faces[:, corner], mesh.face_normals * mesh.area_faces[:, None])
    summed /= np.linalg.norm(summed, axis=1, keepdims=True)
    assert np.abs((ours * summed).sum(axis=1) - 1).max() < 1e-4


@pytest.mark.parametrize(("name", "stature_m"), [("normalgan_kinectv2/01", 1.76), ("depthkit_chae/still", 1.74)])
def test_real_captures(model, shared, name, stature_m):
    capture = read_capture(shared / "data" / "test" / "rgbd" / name)
    fit = fit_body(capture, model, detect(capture.color)[0])
    assert fit.residuals["surface_m"] < 0.012 and fit.residuals["outline_m"] < 0.01
    assert abs(fit.residuals["stature_m"] - stature_m) < 0.08
    vertices, _ = model.posed(fit.betas, fit.pose, fit.translation)
    hit = shaded(vertices, model.faces, fit.camera)[1]
    assert (hit & capture.mask).sum() / hit.sum() > 0.93
