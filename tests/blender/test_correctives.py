"""Pose correctives in Blender: shape keys that the bones drive, against SMPL's equations."""

import bpy
import numpy as np
import pytest
from mannequin import FINE_NAMES, write_mannequin
from test_import import evaluated_vertices, smpl_vertices

BENT = [FINE_NAMES.index(n) for n in ("left_knee", "right_shoulder", "spine2", "left_foot", "right_index1")]


def bent_folder(path, addon, seed: int, size_m: float):
    """A mannequin with fingers, each of five joints moving thirty random vertices."""
    rng = np.random.default_rng(seed)
    rows = [(vertex, joint) for joint in BENT for vertex in rng.choice(52 * 8, 30, replace=False)]
    vertices, joints = np.array(rows, np.int32).T
    directions = rng.normal(0, size_m, (len(rows), 3, 9)).astype(np.float16).astype(np.float32)
    correctives = addon("core.correctives").Correctives(vertices, joints, directions)
    return write_mannequin(path, addon, seed, fingers=True, correctives=correctives)


def import_with(addon, monkeypatch, folder, tolerance_m: float):
    """The avatar's armature, with keys of this tolerance."""
    correctives = addon("correctives")
    monkeypatch.setattr(
        addon("importer"), "add_keys", lambda *objects: correctives.add_keys(*objects, tolerance_m=tolerance_m)
    )
    return addon("importer").import_avatar(folder)


@pytest.mark.parametrize("seed", range(3))
def test_nine_keys_a_joint_are_exact(scene, addon, monkeypatch, tmp_path, seed):
    """Any pose, without a line of Python at play time: nine entries of a matrix are nine keys."""
    assert not bpy.context.preferences.filepaths.use_scripts_auto_execute
    rig = import_with(addon, monkeypatch, bent_folder(tmp_path / "Box.avatar", addon, seed, 0.02), 0.0)
    avatar = addon("core.avatar").read_avatar(tmp_path / "Box.avatar")
    (body,) = rig.children
    assert len(body.data.shape_keys.key_blocks) == 1 + 9 * len(BENT)
    rng = np.random.default_rng(seed)
    for scale in (0.3, 1.0):
        pose, trans = rng.normal(0, scale, (52, 3)), rng.uniform(-2, 2, 3)
        addon("armature").set_pose(rig, pose, trans)
        expected = smpl_vertices(addon, avatar, pose, trans)
        assert np.abs(evaluated_vertices(body) - expected).max() < 2e-5 * (1 + 5 * scale)
        avatar_plain = write_mannequin(tmp_path / "Plain.avatar", addon, seed, fingers=True)
        plain = smpl_vertices(addon, addon("core.avatar").read_avatar(avatar_plain), pose, trans)
        assert np.abs(expected - plain).max() > 0.01


def test_fewer_keys_stay_within_what_they_promise(scene, addon, monkeypatch, tmp_path):
    """A joint alone, in the turns that are usual for it: one in twenty may be further off than the tolerance."""
    tolerance = 0.008
    rig = import_with(addon, monkeypatch, bent_folder(tmp_path / "Box.avatar", addon, 5, 0.01), tolerance)
    avatar = addon("core.avatar").read_avatar(tmp_path / "Box.avatar")
    (body,) = rig.children
    assert 0 < len(body.data.shape_keys.key_blocks) - 1 < 9 * len(BENT)
    rng, off, plain = np.random.default_rng(0), [], []
    for _ in range(60):
        pose = np.zeros((52, 3))
        pose[FINE_NAMES.index("left_knee")] = np.radians(rng.normal(0, (60, 10, 10)).clip(-120, 120))
        addon("armature").set_pose(rig, pose, np.zeros(3))
        expected = smpl_vertices(addon, avatar, pose, np.zeros(3))
        off.append(np.linalg.norm(evaluated_vertices(body) - expected, axis=1).max())
        plain.append(
            np.linalg.norm(avatar.correctives.offsets(addon("core.frames").rodrigues(pose), 416), axis=1).max()
        )
    assert np.percentile(off, 90) < tolerance < np.percentile(plain, 90)


def test_keys_follow_any_way_of_turning_a_bone(scene, addon, monkeypatch, tmp_path):
    """Euler angles and constraints bend the skin as quaternions do."""
    rig = import_with(addon, monkeypatch, bent_folder(tmp_path / "Box.avatar", addon, 2, 0.02), 0.0)
    (body,) = rig.children
    bone = rig.pose.bones["left_knee"]
    bone.rotation_quaternion = (np.cos(0.4), np.sin(0.4), 0, 0)
    expected = evaluated_vertices(body)
    bone.rotation_mode = "XYZ"
    bone.rotation_euler = (0.8, 0, 0)
    assert np.abs(evaluated_vertices(body) - expected).max() < 1e-5
    bone.rotation_euler = (0, 0, 0)
    turn = bone.constraints.new("LIMIT_ROTATION")
    turn.use_limit_x, turn.min_x, turn.max_x, turn.owner_space = True, 0.8, 0.8, "LOCAL"
    assert np.abs(evaluated_vertices(body) - expected).max() < 1e-5


def test_rest_pose_has_no_correctives_and_older_avatars_no_keys(scene, addon, mannequin_folder, tmp_path):
    rig = addon("importer").import_avatar(bent_folder(tmp_path / "Bent.avatar", addon, 1, 0.02))
    (body,) = rig.children
    rest = np.empty(3 * len(body.data.vertices), np.float32)
    body.data.vertices.foreach_get("co", rest)
    np.testing.assert_allclose(evaluated_vertices(body), rest.reshape(-1, 3), atol=1e-6)
    assert body.active_shape_key_index == 0
    assert addon("importer").import_avatar(mannequin_folder).children[0].data.shape_keys is None


def test_failed_import_leaves_no_keys(scene, addon, monkeypatch, tmp_path):
    folder, importer = bent_folder(tmp_path / "Bent.avatar", addon, 1, 0.02), addon("importer")

    def broken(*_args):
        raise ValueError("broken on purpose")

    monkeypatch.setattr(importer, "_label", broken)
    kinds = ("objects", "meshes", "armatures", "materials", "collections", "shape_keys")
    before = {kind: len(getattr(bpy.data, kind)) for kind in kinds}
    with pytest.raises(ValueError, match="on purpose"):
        importer.import_avatar(folder)
    assert before == {kind: len(getattr(bpy.data, kind)) for kind in kinds}
