"""The whole path with the real engine, as an artist's script would drive it: choose, create, walk, render.

LIKENESS_ENGINE_PYTHON names the Python of an environment that holds the engine.
"""

import os
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
from test_extension import rendered
from test_import import evaluated_vertices, smpl_vertices

SAMPLES = Path(__file__).parents[2] / "samples"

pytestmark = [
    pytest.mark.skipif("LIKENESS_ENGINE_PYTHON" not in os.environ, reason="LIKENESS_ENGINE_PYTHON names no engine"),
    pytest.mark.timeout(900),
]


@pytest.fixture
def engine(scene, addon, tmp_path):
    """The extension, set to the real engine, with a folder of its own for avatars."""
    runtime, prefs = addon("runtime"), addon("preferences").preferences()
    runtime.session = addon("session").Session()
    prefs.engine_python = os.environ["LIKENESS_ENGINE_PYTHON"]
    prefs.output_folder = str(tmp_path / "avatars")
    scene.likeness.preset = "preview"
    yield runtime
    runtime.close()
    prefs.engine_python = ""


def test_capture_and_photo_are_described(engine, addon):
    bpy.ops.likeness.choose(filepath=str(SAMPLES / "capture"), wait=True)
    facts = engine.session.facts
    assert facts["kind"] == "rgbd" and 1.4 < facts["stature_m"] < 2.1
    pictures = [path for _, path in addon("pictures").thumbnails(facts)]
    assert len(pictures) == 3 and all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    bpy.ops.likeness.choose(filepath=str(SAMPLES / "photo.jpg"), wait=True)
    assert engine.session.facts["kind"] == "photo"


def test_bad_inputs_are_told_in_a_sentence(engine, tmp_path):
    (tmp_path / "hello.jpg").write_text("hello")
    with pytest.raises(RuntimeError, match=r"hello\.jpg") as caught:
        bpy.ops.likeness.choose(filepath=str(tmp_path / "hello.jpg"), wait=True)
    assert "Traceback" not in str(caught.value) and engine.session.failure.hint


def test_cancel_leaves_no_avatar(engine, tmp_path):
    bpy.ops.likeness.choose(filepath=str(SAMPLES / "capture"), wait=True)
    bpy.ops.likeness.create_avatar()
    end = time.monotonic() + 120
    while engine.session.job.stage != "body":
        assert time.monotonic() < end and engine.session.failure is None
        engine.tick()
    bpy.ops.likeness.cancel()
    while engine.session.job is not None:
        assert time.monotonic() < end
        engine.tick()
    assert engine.session.failure is None and "Cancelled" in engine.session.notice
    assert not list((tmp_path / "avatars").glob("*.avatar"))


def test_capture_becomes_a_walking_rendered_avatar(engine, addon, scene, tmp_path):
    bpy.ops.likeness.choose(filepath=str(SAMPLES / "capture"), wait=True)
    bpy.ops.likeness.create_avatar(wait=True)
    rig = bpy.context.object
    (body,) = rig.children
    avatar = addon("core.avatar").read_avatar(Path(rig["likeness_avatar"]), verify=True)
    assert len(body.data.vertices) == len(avatar.vertices) and rig["likeness_method"] == "layers"
    known = np.array([d.value for d in body.data.attributes["likeness_confidence"].data])
    assert {0.0, 0.5, 1.0} == set(known) and 0.2 < (known == 1).mean() < 0.5
    assert evaluated_vertices(body, world=True)[:, 2].min() == pytest.approx(0, abs=1e-5)

    pose, trans = np.random.default_rng(0).normal(0, 0.2, avatar.capture.pose.shape), np.array([0.3, -0.2, 0.5])
    addon("armature").set_pose(rig, pose, trans)
    off = np.linalg.norm(evaluated_vertices(body) - smpl_vertices(addon, avatar, pose, trans), axis=1)
    assert len(avatar.joint_names) == 52 and len(body.data.shape_keys.key_blocks) > 30
    assert np.median(off) < 5e-4 and np.percentile(off, 99) < 5e-3

    walk = next(name for name in addon("core.motion").list_clips() if name.startswith("walk"))
    bpy.ops.likeness.apply_motion(clip=walk)
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.display.shading.light, scene.display.shading.color_type = "FLAT", "TEXTURE"
    scene.render.resolution_x, scene.render.resolution_y = 180, 240
    scene.render.film_transparent = True
    bpy.ops.likeness.add_camera()
    scene.frame_end, scene.frame_step = scene.frame_start + 16, 8
    scene.render.filepath = str(tmp_path / "walk_")
    bpy.ops.render.render(animation=True)
    frames = [rendered(path) for path in sorted(tmp_path.glob("walk_*.png"))]
    assert len(frames) == 3
    for frame in frames:
        solid = frame[..., 3] > 0.5
        assert 0.05 < solid.mean() < 0.5 and frame[solid][:, :3].std(0).max() > 0.03
    assert np.abs(frames[0] - frames[2]).mean() > 0.005


def test_a_pose_made_by_hand_is_refitted_and_used(engine, addon, tmp_path):
    bpy.ops.likeness.choose(filepath=str(SAMPLES / "capture"), wait=True)
    bpy.ops.likeness.create_avatar(wait=True)
    rig = bpy.context.object
    bpy.ops.likeness.pose_over_picture()
    refit, avatar = addon("refit"), addon("core.avatar").read_avatar(Path(rig["likeness_avatar"]))
    before = refit.captured_fit(rig, avatar)
    elbow = rig.pose.bones["left_elbow"]
    elbow.rotation_quaternion = elbow.rotation_quaternion @ elbow.rotation_quaternion.__class__((0.97, 0, 0, 0.24))
    bpy.ops.likeness.refit(wait=True)
    after = refit.captured_fit(rig, avatar)
    folder = Path(rig["likeness_fit"])
    assert folder.parent == tmp_path / "avatars" and (folder / "overlay.png").is_file()
    # The captured person has not moved: what the slip of the elbow spoilt, the refit mends, and nothing else goes far.
    assert np.linalg.norm(after.translation - before.translation) < 0.05
    assert np.abs(after.pose[1:16] - before.pose[1:16]).max() < 0.5
    assert set(dict(rig["likeness_confidence"])) == {
        "head", "torso", "left_arm", "right_arm", "left_hand", "right_hand", "left_leg", "right_leg",
    }  # fmt: skip
