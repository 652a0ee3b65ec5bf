"""An avatar folder becomes a rigged mesh whose deformation is SMPL's."""

import bpy
import numpy as np
import pytest
from mannequin import FINE_NAMES, NAMES, PARENTS, write_mannequin

BLENDER_AXES = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])


def evaluated_vertices(body, world: bool = False) -> np.ndarray:
    """(V, 3) positions of the deformed mesh in the armature's space, or in the world, float64."""
    bpy.context.view_layer.update()
    evaluated = body.evaluated_get(bpy.context.evaluated_depsgraph_get())
    out = np.empty(len(evaluated.data.vertices) * 3, np.float32)
    evaluated.data.vertices.foreach_get("co", out)
    matrix = np.array(evaluated.matrix_world if world else evaluated.matrix_local, np.float64)
    return out.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def smpl_vertices(addon, avatar, pose, trans) -> np.ndarray:
    """The same by SMPL's equations, pose correctives included, float64, turned into Blender's axes."""
    skinning, frames = addon("core.skinning"), addon("core.frames")
    rotations = frames.rodrigues(np.asarray(pose, np.float64))
    transforms = skinning.joint_transforms(rotations, avatar.rest_joints.astype(np.float64), avatar.parents)
    rest = avatar.vertices.astype(np.float64)
    if avatar.correctives is not None:
        rest = rest + avatar.correctives.offsets(rotations, len(rest))
    moved = skinning.skin(rest, avatar.skin_joints, avatar.skin_weights.astype(np.float64), transforms)
    return (moved + trans) @ BLENDER_AXES.T


def test_scene_holds_all_parts(scene, addon, mannequin_folder):
    bpy.ops.likeness.import_avatar(filepath=str(mannequin_folder))
    rig = bpy.context.object
    avatar = addon("core.avatar").read_avatar(mannequin_folder)
    assert rig.type == "ARMATURE" and rig.name == "Box"
    assert {b.name for b in rig.data.bones} == set(NAMES) and addon("armature").joint_names(rig) == list(NAMES)
    (body,) = [o for o in rig.children if o.type == "MESH"]
    assert {o.name for o in bpy.data.collections["Box"].objects} == {rig.name, body.name}
    assert len(body.data.vertices) == len(avatar.vertices)
    assert body.data.validate() is False, "Blender had to mend the mesh"
    uvs = np.empty(avatar.corner_uvs.size, np.float32)
    body.data.uv_layers[0].uv.foreach_get("vector", uvs)
    np.testing.assert_array_equal(uvs, avatar.corner_uvs.ravel())
    for name, values in (("seen", avatar.seen), ("body_part", avatar.body_part)):
        assert [d.value for d in body.data.attributes[name].data] == pytest.approx(values.tolist())
    material = body.data.materials[0]
    image = next(n.image for n in material.node_tree.nodes if n.type == "TEX_IMAGE")
    assert image.colorspace_settings.name == "sRGB" and tuple(image.size) == (64, 64)
    assert rig["likeness_confidence"]["left_arm"] == pytest.approx(0.1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("fingers", [False, True])
def test_deformation_equals_smpl(scene, addon, tmp_path, seed, fingers):
    """Random bodies, random strong poses, the root turned and moved: within 1e-5 m of the equations."""
    folder = write_mannequin(tmp_path / "Box.avatar", addon, seed, fingers=fingers)
    rig = addon("importer").import_avatar(folder)
    avatar = addon("core.avatar").read_avatar(folder)
    rng = np.random.default_rng(100 + seed)
    body = rig.children[0]
    rest = evaluated_vertices(body)
    np.testing.assert_allclose(rest, avatar.vertices @ BLENDER_AXES.T, atol=1e-6)
    for scale in (0.3, 1.0, 3.0):
        pose, trans = rng.normal(0, scale, avatar.capture.pose.shape), rng.uniform(-2, 2, 3)
        addon("armature").set_pose(rig, pose, trans)
        expected = smpl_vertices(addon, avatar, pose, trans)
        assert np.abs(evaluated_vertices(body) - expected).max() < 1e-5
        assert np.abs(expected - rest).max() > 0.1


def test_soles_stand_on_the_ground(scene, addon, tmp_path):
    """SMPL's origin is at the pelvis: the object is lifted."""
    shift = np.array([0, 0.93, 0], np.float32)
    folder = write_mannequin(tmp_path / "Box.avatar", addon, lowered_m=shift)
    rig = addon("importer").import_avatar(folder)
    assert abs(evaluated_vertices(rig.children[0], world=True)[:, 2].min()) < 1e-6 < 0.5 < rig.location.z


@pytest.mark.parametrize("seed", range(8))
def test_rest_axes_are_square(scene, addon, tmp_path, seed):
    """Blender loses digits where a bone points against its parent; the layout of our bones avoids that."""
    folder = write_mannequin(tmp_path / "Box.avatar", addon, seed, fingers=seed % 2 == 1)
    rig = addon("importer").import_avatar(folder)
    axes = addon("armature").rest_axes(rig)
    assert np.abs(axes @ axes.transpose(0, 2, 1) - np.eye(3)).max() < 3e-6


@pytest.mark.parametrize("old", [False, True])
def test_guessed_surface_is_coloured(scene, addon, tmp_path, old):
    """Orange where it was guessed, blue where only seen, grey where measured; old avatars know seen and guessed."""
    folder = write_mannequin(tmp_path / "Box.avatar", addon, **({"confidence": None} if old else {}))
    body = addon("importer").import_avatar(folder).children[0]
    avatar = addon("core.avatar").read_avatar(folder)
    known = 2 * np.rint(avatar.seen) if old else avatar.confidence
    assert [2 * d.value for d in body.data.attributes["likeness_confidence"].data] == pytest.approx(known.tolist())
    for _ in range(2):  # painting again replaces
        addon("overlay").paint_guessed(body)
    colours = np.empty(4 * len(known), np.float32)
    body.data.color_attributes["guessed"].data.foreach_get("color", colours)
    red, green, blue = colours.reshape(-1, 4)[:, :3].T
    assert (red > 2 * green)[known == 0].all() and (blue > 2 * green)[known == 1].all()
    assert (np.abs(red - blue) < 0.01)[known == 2].all()
    assert len(body.data.color_attributes) == 1 and body.data.color_attributes.active_color.name == "guessed"


def test_second_import_keeps_the_first(scene, mannequin_folder):
    bpy.ops.likeness.import_avatar(filepath=str(mannequin_folder))
    first = bpy.context.object
    first.location.x = 1.0
    bpy.ops.likeness.import_avatar(filepath=str(mannequin_folder / "avatar.json"))
    assert bpy.context.object.name == "Box.001" and bpy.data.collections["Box.001"]
    assert bpy.data.objects["Box"] == first and first.location.x == 1.0


def test_bones_follow_the_limbs(scene, addon, mannequin_folder):
    """Bones end at their child, so that an artist can read the rig."""
    bones = addon("importer").import_avatar(mannequin_folder).data.bones
    assert [b.parent.name if b.parent else None for b in map(bones.get, NAMES)] == [
        NAMES[p] if p >= 0 else None for p in PARENTS
    ]
    for parent, child in (("left_hip", "left_knee"), ("right_shoulder", "right_elbow"), ("spine3", "neck")):
        assert (bones[parent].tail_local - bones[child].head_local).length < 1e-5
    assert all(bone.length >= 0.009 for bone in bones)


@pytest.mark.parametrize("seed", range(3))
def test_fingers_curl_about_their_own_x(scene, addon, tmp_path, seed):
    """The same turn bends both hands to the palm, which looks down in the T pose; the bones run to the finger tips."""
    rig = addon("importer").import_avatar(write_mannequin(tmp_path / "Box.avatar", addon, seed, fingers=True))
    bones = rig.data.bones
    for side in ("left", "right"):
        assert (bones[f"{side}_wrist"].tail_local - bones[f"{side}_middle1"].head_local).length < 1e-5
        for finger in ("index", "middle", "ring", "pinky", "thumb"):
            chain = [bones[f"{side}_{finger}{k}"] for k in (1, 2, 3)]
            assert chain[1].use_connect and chain[2].use_connect
            assert chain[2].length >= 0.004 and (chain[2].vector.normalized() @ chain[1].vector.normalized()) > 0.9
        for finger in ("index", "middle", "ring", "pinky"):
            bone = rig.pose.bones[f"{side}_{finger}1"]
            bpy.context.view_layer.update()
            before = bone.tail.copy()
            bone.rotation_quaternion = (np.cos(0.3), np.sin(0.3), 0, 0)
            bpy.context.view_layer.update()
            moved = bone.tail - before
            assert moved.z < -0.8 * moved.length < -0.01


def test_fingers_can_be_hidden_at_once(scene, addon, tmp_path, mannequin_folder):
    rig = addon("importer").import_avatar(write_mannequin(tmp_path / "Fine.avatar", addon, fingers=True))
    held = {c.name: {b.name for b in c.bones} for c in rig.data.collections}
    assert held["Body"] == set(NAMES[:22])
    assert held["Left Hand"] == {n for n in FINE_NAMES[22:] if n.startswith("left")}
    assert held["Right Hand"] == {n for n in FINE_NAMES[22:] if n.startswith("right")}
    old = addon("importer").import_avatar(mannequin_folder)
    assert [c.name for c in old.data.collections] == ["Body"] and len(old.data.bones) == 24


def test_coinciding_joints_keep_their_bones(scene, addon, tmp_path):
    """Blender drops bones without length; a body model with two joints in one place must not lose any."""
    from mannequin import joints

    rest = joints(np.random.default_rng(0))
    rest[22] = rest[20]
    folder = write_mannequin(tmp_path / "Box.avatar", addon, rest_joints=rest)
    assert len(addon("importer").import_avatar(folder).data.bones) == 24


@pytest.mark.parametrize("damage", ["no_json", "newer", "mesh_cut", "weights", "no_folder", "text"])
def test_bad_folder_is_refused_in_words_and_leaves_nothing(scene, addon, mannequin_folder, damage):
    before = {
        kind: len(getattr(bpy.data, kind)) for kind in ("objects", "meshes", "armatures", "materials", "collections")
    }
    head = mannequin_folder / "avatar.json"
    if damage == "no_json":
        head.unlink()
    elif damage == "newer":
        head.write_text(head.read_text().replace('"format_version": 1', '"format_version": 2'))
    elif damage == "mesh_cut":
        data = (mannequin_folder / "mesh.npz").read_bytes()
        (mannequin_folder / "mesh.npz").write_bytes(data[: len(data) // 2])
    elif damage == "weights":
        arrays = dict(np.load(mannequin_folder / "mesh.npz"))
        arrays["skin_weights"][:] = 0
        np.savez(mannequin_folder / "mesh.npz", **arrays)
    elif damage == "text":
        head.write_text("hello")
    target = mannequin_folder if damage != "no_folder" else mannequin_folder.with_name("None.avatar")
    with pytest.raises(RuntimeError, match=r"avatar|mesh\.npz") as caught:
        bpy.ops.likeness.import_avatar(filepath=str(target))
    assert "Traceback" not in str(caught.value)
    assert before == {kind: len(getattr(bpy.data, kind)) for kind in before}


def test_failure_in_the_middle_leaves_nothing(scene, addon, mannequin_folder, monkeypatch):
    """The last step breaks: data blocks that were made are taken back."""
    importer = addon("importer")

    def broken(*_args):
        raise ValueError("broken on purpose")

    monkeypatch.setattr(importer, "_label", broken)
    kinds = ("objects", "meshes", "armatures", "materials", "collections")
    before = {kind: len(getattr(bpy.data, kind)) for kind in kinds}
    with pytest.raises(ValueError, match="on purpose"):
        importer.import_avatar(mannequin_folder)
    assert before == {kind: len(getattr(bpy.data, kind)) for kind in kinds}
