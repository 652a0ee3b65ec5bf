"""Clips become actions: the evaluated skeleton and mesh follow SMPL's equations at every frame."""

import os
import zipfile
from pathlib import Path

import bpy
import numpy as np
import pytest
from mannequin import FINE_NAMES, NAMES, write_mannequin
from test_import import BLENDER_AXES, evaluated_vertices, smpl_vertices

FRAMES = 40


def random_clip(addon, fps=30.0, up="Y", joints=24, seed=3):
    """A smooth clip that turns round twice, so that quaternions pass the seam of the sphere."""
    rng = np.random.default_rng(seed)
    times = np.linspace(0, 1, FRAMES)[:, None, None]
    poses = np.sin(2 * np.pi * times * rng.uniform(0.2, 1.5, (1, joints, 3))) * rng.uniform(0, 1.2, (1, joints, 3))
    poses[:, 0] = times[:, 0] * [0.0, 4 * np.pi, 0.0]
    trans = np.stack([times[:, 0, 0] * 2 + 3, 0.1 * np.sin(9 * times[:, 0, 0]) + 1.1, times[:, 0, 0] - 4], axis=-1)
    motion = addon("core.motion")
    return motion.MotionClip(poses.astype(np.float32), trans.astype(np.float32), fps, up, "spin", "test", "CC0-1.0")


def bone_heads(rig, world: bool = False) -> np.ndarray:
    """(J, 3) evaluated joints in the armature's space, or in the world."""
    bpy.context.view_layer.update()
    evaluated = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
    heads = [evaluated.pose.bones[name].head for name in rig["likeness_joints"]]
    return np.array([evaluated.matrix_world @ head if world else head for head in heads])


@pytest.fixture
def rig(scene, addon, mannequin_folder):
    """The mannequin's armature in an empty scene."""
    return addon("importer").import_avatar(mannequin_folder)


def test_every_frame_equals_smpl(scene, addon, rig, mannequin_folder, tmp_path):
    """A file of our own, untouched: rest pelvis + trans, each frame within 1e-5 m, joints and mesh."""
    clip = random_clip(addon)
    addon("core.motion").write_clip(tmp_path / "spin.npz", clip)
    bpy.ops.likeness.apply_motion(filepath=str(tmp_path / "spin.npz"), start_frame=5)
    assert (scene.frame_start, scene.frame_end) == (5, 5 + FRAMES - 1)
    avatar = addon("core.avatar").read_avatar(mannequin_folder)
    for frame in range(0, FRAMES, 3):
        scene.frame_set(5 + frame)
        expected = smpl_vertices(addon, avatar, clip.poses[frame], clip.trans[frame].astype(np.float64))
        assert np.abs(evaluated_vertices(rig.children[0]) - expected).max() < 1e-5
        skinning, frames = addon("core.skinning"), addon("core.frames")
        transforms = skinning.joint_transforms(
            frames.rodrigues(clip.poses[frame].astype(np.float64)),
            avatar.rest_joints.astype(np.float64),
            avatar.parents,
        )
        joints = skinning.posed_joints(transforms, avatar.rest_joints.astype(np.float64)) + clip.trans[frame]
        assert np.abs(bone_heads(rig) - joints @ BLENDER_AXES.T).max() < 1e-5


@pytest.mark.parametrize("joints", [52, 55])
def test_recorded_fingers_play_as_they_are(scene, addon, tmp_path, joints):
    """AMASS of SMPL-H (156 numbers a frame) and SMPL-X (165: jaw and eyes are left out), against SMPL's equations."""
    folder = write_mannequin(tmp_path / "Box.avatar", addon, 2, fingers=True)
    rig = addon("importer").import_avatar(folder)
    avatar = addon("core.avatar").read_avatar(folder)
    clip = random_clip(addon, joints=joints)
    np.savez(
        tmp_path / "amass.npz", poses=clip.poses.reshape(FRAMES, -1), trans=clip.trans, mocap_framerate=30.0, up="Y"
    )
    bpy.ops.likeness.apply_motion(filepath=str(tmp_path / "amass.npz"), start_here=False, on_floor=False)
    for frame in range(0, FRAMES, 9):
        scene.frame_set(1 + frame)
        pose = np.concatenate([clip.poses[frame, :22], clip.poses[frame, -30:]])
        expected = smpl_vertices(addon, avatar, pose, clip.trans[frame].astype(np.float64))
        assert np.abs(evaluated_vertices(rig.children[0]) - expected).max() < 1e-5


def test_motion_without_fingers_leaves_them_relaxed(scene, addon, tmp_path):
    """Half closed in every frame, alike on both hands; the rest pose is flat again."""
    rig = addon("importer").import_avatar(write_mannequin(tmp_path / "Box.avatar", addon, 2, fingers=True))
    clip = random_clip(addon)
    clip.poses[:, 22:] = 0
    addon("core.motion").write_clip(tmp_path / "spin.npz", clip)
    bpy.ops.likeness.apply_motion(filepath=str(tmp_path / "spin.npz"))
    for frame in (1, 20):
        scene.frame_set(frame)
        angles = {n: np.degrees(rig.pose.bones[n].rotation_quaternion.angle) for n in FINE_NAMES[22:]}
        for name, angle in angles.items():
            assert 5 < angle < 60, name
            other = name.replace("left", "right") if name.startswith("left") else name.replace("right", "left")
            assert angle == pytest.approx(angles[other], abs=0.1)
    bpy.ops.likeness.rest_pose()
    assert all(rig.pose.bones[n].rotation_quaternion.angle == 0 for n in FINE_NAMES[22:])


def test_between_frames_nothing_jumps(scene, addon, rig):
    """Quaternions stay in one half of the sphere: half-way between keys the body is half-way too."""
    addon("motion").apply_clip(rig, random_clip(addon), 1)
    scene.frame_set(1)
    before = bone_heads(rig)
    for step in range(1, 2 * FRAMES - 2):
        scene.frame_set(1 + step // 2, subframe=0.5 * (step % 2))
        now = bone_heads(rig)
        assert np.abs(now - before).max() < 0.35
        before = now


def test_amass_is_turned_upright(scene, addon, rig, tmp_path):
    """A Z-up file of 52 joints: the pelvis is above the floor by what the file says."""
    clip = random_clip(addon, up="Z", joints=52)
    clip.trans[:] = [0.5, -0.25, 0.1]
    clip.poses[:] = 0
    clip.poses[:, 0] = [np.pi / 2, 0, 0]  # AMASS: an upright person is turned by a quarter about X
    np.savez(
        tmp_path / "amass.npz",
        poses=clip.poses.reshape(FRAMES, -1),
        trans=clip.trans,
        mocap_framerate=30.0,
        gender="neutral",
    )
    bpy.ops.likeness.apply_motion(filepath=str(tmp_path / "amass.npz"))
    heads = dict(zip(NAMES, bone_heads(rig), strict=True))
    assert heads["head"][2] > heads["pelvis"][2] + 0.4 > heads["left_foot"][2] + 0.8
    rest = rig.data.bones["pelvis"].head_local
    # SMPL: rest pelvis + trans in the file's axes, which are Blender's too (Z up), only the rest pelvis is Y up there.
    expected = np.array([rest[0], rest[2], -rest[1]]) + clip.trans[0]
    np.testing.assert_allclose(heads["pelvis"], expected, atol=1e-5)


@pytest.mark.parametrize(("fps", "count"), [(60.0, 20), (120.0, 10), (15.0, 79), (29.97, 40)])
def test_rate_is_the_scene_s(scene, addon, rig, tmp_path, fps, count):
    addon("core.motion").write_clip(tmp_path / "spin.npz", random_clip(addon, fps=fps))
    bpy.ops.likeness.apply_motion(filepath=str(tmp_path / "spin.npz"))
    assert scene.frame_end - scene.frame_start + 1 == count


def shipped_clips() -> list[str]:
    """Names of the clips in the zip under test."""
    with zipfile.ZipFile(os.environ["LIKENESS_ZIP"]) as archive:
        return sorted(Path(n).stem for n in archive.namelist() if n.startswith("core/clips/") and n.endswith(".npz"))


@pytest.mark.parametrize("name", shipped_clips())
def test_shipped_clip_starts_here_on_the_floor(scene, rig, name):
    """By name: it starts above the avatar's place, moves, and its soles stand on the ground while it walks."""
    rig.location.xy = 1.0, -2.0
    bpy.ops.likeness.apply_motion(clip=name)
    for _ in range(2):  # applied again in the middle of the walk, it begins at the same place
        scene.frame_set(scene.frame_start)
        start = bone_heads(rig, world=True)
        np.testing.assert_allclose(start[0][:2], [1.0, -2.0], atol=0.05)
        scene.frame_set(scene.frame_start + 40)
        bpy.ops.likeness.apply_motion(clip=name)
    lowest, moved = [], 0.0
    for frame in np.linspace(scene.frame_start, scene.frame_end, 20).astype(int):
        scene.frame_set(int(frame))
        lowest.append(evaluated_vertices(rig.children[0], world=True)[:, 2].min())
        moved = max(moved, np.abs(bone_heads(rig, world=True) - start).max())
    assert moved > 0.01
    if name.startswith(("walk", "idle", "run")):
        assert abs(np.percentile(lowest, 20)) < 0.05


def test_avatar_can_stay_where_the_clip_puts_it(scene, addon, rig, tmp_path):
    """start_here and on_floor move the object; without them it stays where it is."""
    addon("core.motion").write_clip(tmp_path / "spin.npz", random_clip(addon))
    rig.location = (4.0, 5.0, 6.0)
    bpy.ops.likeness.apply_motion(filepath=str(tmp_path / "spin.npz"), start_here=False, on_floor=False)
    assert tuple(rig.location) == (4.0, 5.0, 6.0)


def test_menu_begins_with_a_walk_and_is_readable(addon):
    titles = addon("motion").clip_titles(["dance_05_18", "walk_02_01", "walk_07_01", "07", "idle_a"])
    assert titles == [
        ("walk_02_01", "Walk"),
        ("walk_07_01", "Walk 2"),
        ("07", "07"),
        ("dance_05_18", "Dance"),
        ("idle_a", "Idle a"),
    ]


def test_there_are_walks_and_more():
    assert len(shipped_clips()) > 5 and any(name.startswith("walk") for name in shipped_clips())


def test_older_action_is_kept(scene, addon, rig):
    motion = addon("motion")
    motion.apply_clip(rig, random_clip(addon), 1)
    first = rig.animation_data.action
    motion.apply_clip(rig, random_clip(addon), 1)
    assert rig.animation_data.action != first and first.name in bpy.data.actions and first.use_fake_user


def test_captured_pose_stands_as_captured(scene, addon, rig, mannequin_folder):
    """Camera space turned by the capture's transform, by points rather than by rotations."""
    bpy.ops.likeness.apply_capture_pose()
    avatar = addon("core.avatar").read_avatar(mannequin_folder)
    in_camera = smpl_vertices(addon, avatar, avatar.capture.pose, avatar.capture.translation) @ BLENDER_AXES
    world = in_camera @ avatar.world_from_capture[:3, :3].T + avatar.world_from_capture[:3, 3]
    assert np.abs(evaluated_vertices(rig.children[0]) - world @ BLENDER_AXES.T).max() < 1e-5
    assert rig.location.z == 0.0, "the capture's floor is the scene's"
    bpy.ops.likeness.rest_pose()
    assert np.abs(evaluated_vertices(rig.children[0]) - avatar.vertices @ BLENDER_AXES.T).max() < 1e-6


@pytest.mark.parametrize("bad", ["text", "short", "pickle", "missing", "fps"])
def test_bad_motion_file_is_refused_in_words(scene, addon, rig, tmp_path, bad):
    path = tmp_path / "bad.npz"
    arrays = {"poses": np.zeros((5, 72)), "trans": np.zeros((5, 3)), "mocap_framerate": 30.0}
    if bad == "text":
        path.write_text("no clip")
    elif bad != "missing":
        arrays |= {"short": {"trans": np.zeros((4, 3))}, "fps": {"mocap_framerate": np.nan}}.get(bad, {})
        if bad == "pickle":
            arrays["poses"] = np.array([{"a": 1}], dtype=object)
        np.savez(path, **arrays)
    with pytest.raises(RuntimeError, match=r"bad\.npz"):
        bpy.ops.likeness.apply_motion(filepath=str(path))
    assert rig.animation_data is None


def test_motion_without_avatar_says_so(scene):
    with pytest.raises(RuntimeError, match="No avatar is selected"):
        bpy.ops.likeness.apply_motion()
