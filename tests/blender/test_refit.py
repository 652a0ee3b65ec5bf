"""Posing over the capture's picture and refitting, against SMPL's own formula and an engine that does as it is told."""

import json
from pathlib import Path

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mannequin import png, write_mannequin
from mathutils import Matrix, Vector
from test_engine import engine, pump  # noqa: F401 - a fixture


@pytest.fixture
def mannequin_folder(tmp_path, addon):
    """The mannequin of boxes, seen by a camera with nothing in the middle, and the picture of its capture."""
    fit, camera = addon("core.fit"), addon("core.camera")
    rng = np.random.default_rng(4)
    capture = fit.Fit(
        pose=np.concatenate([[[2.9, 0.1, -0.2]], rng.normal(0, 0.25, (23, 3))]).astype(np.float32),
        betas=np.zeros(10, np.float32),
        translation=np.array([0.1, -0.4, 2.5], np.float32),
        camera=camera.Camera(510, 480, 290, 260, 640, 480),
        confidence={"head": 0.9, "left_arm": 0.2},
    )
    folder = write_mannequin(tmp_path / "Box.avatar", addon, seed=1, capture=capture)
    (folder / "previews").mkdir(exist_ok=True)
    (folder / "previews" / "capture.jpg").write_bytes(png(64, 48, np.zeros((48, 64, 3), np.uint8)))
    return folder


@pytest.fixture
def rig(scene, addon, mannequin_folder, tmp_path):
    """The avatar in the scene, somewhere, its request known."""
    (tmp_path / "anna.png").write_bytes(b"x")
    request = {
        "method": "elicit",
        "params": {"photos": [str(tmp_path / "anna.png")], "name": "anna", "focal_px": 510.0},
    }
    rig = addon("importer").import_avatar(mannequin_folder, request=json.dumps(request))
    rig.matrix_world = Matrix.Translation((0.5, -0.3, 0.2)) @ Matrix.Rotation(0.7, 4, "Z")
    return rig


def turns_apart(addon, a, b):
    frames = addon("core.frames")
    apart = np.swapaxes(frames.rodrigues(np.asarray(a, float)), -1, -2) @ frames.rodrigues(np.asarray(b, float))
    return np.linalg.norm(frames.axis_angle(apart), axis=-1).max()


def test_the_pose_of_a_rig_is_the_fit_that_posed_it(rig, addon, mannequin_folder):
    avatar = addon("core.avatar").read_avatar(mannequin_folder)
    bpy.ops.likeness.apply_capture_pose()
    fit = addon("refit").captured_fit(rig, avatar)
    assert turns_apart(addon, fit.pose, avatar.capture.pose) < 1e-4
    np.testing.assert_allclose(fit.translation, avatar.capture.translation, atol=1e-5)
    # However the artist rotates a bone.
    elbow = rig.pose.bones["left_elbow"]
    elbow.rotation_mode = "XYZ"
    elbow.rotation_euler = (0.4, 0.1, -0.2)
    moved = addon("refit").captured_fit(rig, avatar)
    assert turns_apart(addon, moved.pose[[18]], avatar.capture.pose[[18]]) > 0.05
    others = [j for j in range(24) if j != 18]
    assert turns_apart(addon, moved.pose[others], avatar.capture.pose[others]) < 1e-4


def test_the_cameras_picture_shows_the_joints_where_the_capture_had_them(rig, addon, mannequin_folder):
    assert bpy.ops.likeness.pose_over_picture() == {"FINISHED"}
    scene, camera = bpy.context.scene, bpy.context.scene.camera
    assert camera.parent == rig and bpy.context.mode == "POSE"
    shown = camera.data.background_images
    assert len(shown) == 1 and shown[0].image.size[:] == (64, 48)
    bpy.context.view_layer.update()
    avatar = addon("core.avatar").read_avatar(mannequin_folder)
    fit, skinning = avatar.capture, addon("core.skinning")
    moves = skinning.joint_transforms(
        addon("core.frames").rodrigues(fit.pose.astype(float)), avatar.rest_joints.astype(float), avatar.parents
    )
    want = fit.camera.project(skinning.posed_joints(moves, avatar.rest_joints) + fit.translation)
    for name, pixel in zip(avatar.joint_names, want, strict=True):
        place = rig.matrix_world @ rig.pose.bones[name].head
        x, y, _ = world_to_camera_view(scene, camera, Vector(place))
        got = (x * 640 - 0.5, (1 - y) * 480 - 0.5)
        np.testing.assert_allclose(got, pixel, atol=0.05, err_msg=name)
    # A second time the same camera serves.
    cameras = len(bpy.data.cameras)
    bpy.ops.likeness.pose_over_picture()
    assert len(bpy.data.cameras) == cameras and len(camera.data.background_images) == 1


def test_an_avatar_without_its_picture_says_so(rig, mannequin_folder):
    (mannequin_folder / "previews" / "capture.jpg").unlink()
    with pytest.raises(RuntimeError, match="keeps no picture"):
        bpy.ops.likeness.pose_over_picture()


def test_refit_takes_the_pose_there_and_back(engine, rig, addon, mannequin_folder, tmp_path):  # noqa: F811
    session = engine("good")
    bpy.ops.likeness.pose_over_picture()
    rig.pose.bones["right_knee"].rotation_quaternion = (0.9, 0.436, 0, 0)
    before = addon("refit").captured_fit(rig, addon("core.avatar").read_avatar(mannequin_folder))
    bpy.ops.likeness.refit(wait=True)
    folder = Path(rig["likeness_fit"])
    asked = json.loads((folder / "asked.json").read_text())
    assert asked["input"] == str(tmp_path / "anna.png") and asked["focal_px"] == 510.0
    assert not {"photos", "method", "name"} & set(asked) and folder.suffix == ".fit"
    # The engine kept the artist's pose but for one arm, which the rig now shows; the other shape stands in its place.
    avatar = addon("core.avatar").read_avatar(mannequin_folder)
    after = addon("refit").captured_fit(rig, avatar)
    others = [j for j in range(24) if j != 16]
    assert turns_apart(addon, after.pose[others], before.pose[others]) < 1e-4
    assert turns_apart(addon, after.pose[[16]], [[0.3, 0.2, -0.4]]) < 1e-4
    want = np.array([0, 1.0, 0]) + before.translation
    np.testing.assert_allclose(after.translation + avatar.rest_joints[0], want, atol=1e-4)
    assert dict(rig["likeness_confidence"])["left_arm"] == pytest.approx(0.8) and "Refitted" in session.notice
    bpy.ops.likeness.remake_avatar(wait=True)
    new = bpy.context.object
    assert new is not rig and Path(new["likeness_avatar"]).name == "anna.avatar"
    stored = json.loads(new["likeness_request"])
    assert stored["method"] == "elicit" and stored["params"]["body"] == str(folder)


def test_refit_can_be_cancelled_and_fails_in_a_sentence(engine, rig, addon, tmp_path):  # noqa: F811
    session = engine("cancellable")
    bpy.ops.likeness.refit()
    pump(addon, lambda: session.job is not None and session.job.fraction > 0)
    bpy.ops.likeness.cancel()
    pump(addon, lambda: session.job is None)
    assert session.failure is None and "likeness_fit" not in rig and "Cancelled" in session.notice
    (tmp_path / "anna.png").unlink()
    with pytest.raises(RuntimeError, match="not where it was"):
        bpy.ops.likeness.refit()
    with pytest.raises(RuntimeError, match="not refitted yet"):
        bpy.ops.likeness.remake_avatar()


def test_a_limbs_bones_are_selected(rig):
    bpy.ops.likeness.select_limb(limb="left_arm")
    chosen = {b.name for b in rig.pose.bones if (b if hasattr(b, "select") else b.bone).select}
    assert chosen == {"left_shoulder", "left_elbow"}
    bpy.ops.likeness.select_limb(limb="left_hand")
    chosen = {b.name for b in rig.pose.bones if (b if hasattr(b, "select") else b.bone).select}
    assert chosen == {"left_wrist", "left_hand"}
    bpy.ops.likeness.select_limb(limb="right_leg")
    chosen = {b.name for b in rig.pose.bones if (b if hasattr(b, "select") else b.bone).select}
    assert chosen == {"right_hip", "right_knee", "right_ankle", "right_foot"}


def test_the_limb_of_every_joint_is_known(addon):
    limb_of = addon("refit").limb_of
    assert [limb_of(n) for n in ("pelvis", "spine3", "neck", "left_eye_smplhf", "jaw", "left_collar")] == [
        "torso", "torso", "head", "head", "head", "torso",
    ]  # fmt: skip
    assert (
        limb_of("right_pinky2") == "right_hand"
        and limb_of("right_elbow") == "right_arm"
        and limb_of("left_foot") == "left_leg"
    )


def test_limbs_are_called_unsure_where_they_usually_are_a_hand_off(addon):
    unsure, doubts, fit = addon("refit").unsure_limbs, addon("panel_fit").doubts, addon("core.fit")
    depth = {"head": 0.9, "torso": 0.8, "left_arm": 0.15, "right_arm": 0.9, "left_leg": 0.8, "right_leg": 0.1}
    assert unsure(depth) == ["left_arm", "right_leg"]
    assert doubts(depth) == "Left arm, right leg unsure: pose them over the picture, then Refit."
    off = {"head": 0.05, "torso": 0.02, "left_arm": 0.07, "right_arm": 0.12, "left_leg": 0.09, "right_leg": 0.099}
    assert unsure({limb: fit.sure(metres) for limb, metres in off.items()}) == ["right_arm"]
    assert unsure({}) == [] and doubts({}) == "" and doubts(dict.fromkeys(depth, 0.9)) == ""
