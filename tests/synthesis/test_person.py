"""Dressing and posing against the raw material's own reference functions."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from likeness.core.errors import LikenessError
from likeness.core.frames import rodrigues
from likeness.synthesis.person import make_person
from likeness.synthesis.posing import (
    PARENTS,
    bone_transforms,
    build_rig,
    clip_pose,
    relaxed_pose,
    t_pose_rotations,
    world_rotations,
)
from likeness.synthesis.wardrobe import Recipe, Wardrobe, fit_item, macro_weights

MACRO = {
    "gender": 0.3,
    "age": 0.63,
    "muscle": 0.7,
    "weight": 0.4,
    "height": 0.6,
    "proportions": 0.3,
    "african": 0.2,
    "asian": 0.5,
    "caucasian": 0.3,
}
PERSON = Recipe("someone", MACRO, "young_asian_female", ("female_casualsuit01", "shoes01"), "bob01")


@pytest.fixture(scope="module")
def reference(wardrobe_folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_check", wardrobe_folder / "check.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("macro", [MACRO, {**MACRO, "age": 0.3}, {**MACRO, "weight": 0.9, "muscle": 0.1}])
def test_shapes_agree_with_the_reference(wardrobe: Wardrobe, reference: ModuleType, macro: dict[str, float]) -> None:
    expected = reference.macro_weights(**macro)
    found = macro_weights(**macro)
    assert found.keys() == expected.keys()
    assert all(found[k] == pytest.approx(expected[k]) for k in found)
    shaped, _ = reference.shape(wardrobe.base, wardrobe.targets, expected)
    np.testing.assert_allclose(wardrobe.shape(macro), shaped, atol=1e-6)


def test_rig_agrees_with_the_reference(wardrobe: Wardrobe, reference: ModuleType) -> None:
    body = wardrobe.shape(MACRO)
    rig = build_rig(wardrobe.base, body)
    heads, joints = reference.joints(wardrobe.base, body)
    np.testing.assert_allclose(rig.heads, heads, atol=1e-6)
    np.testing.assert_allclose(rig.joints, joints, atol=1e-6)
    merged = np.zeros((len(body), 24))
    for bone, joint in enumerate(rig.bone_joint):
        merged[:, joint] += rig.weights[:, [bone]].toarray()[:, 0]
    np.testing.assert_allclose(merged, reference.skin24(wardrobe.base), atol=1e-5)


@pytest.mark.parametrize("item", ["male_casualsuit05", "shoes01", "short01", "HighPolyEyes"])
def test_items_fit_the_base_mesh_as_stored(wardrobe: Wardrobe, item: str) -> None:
    arrays = wardrobe.item(item).arrays
    assert np.abs(fit_item(arrays, wardrobe.base["verts"]) - arrays["verts"]).max() < 5e-3


def test_the_zero_pose_is_the_t_pose_and_bones_keep_their_lengths(wardrobe: Wardrobe) -> None:
    rig = build_rig(wardrobe.base, wardrobe.shape(MACRO))
    _, joints, _ = bone_transforms(rig, np.zeros((24, 3)))
    for chain in ((16, 18, 20, 22), (17, 19, 21, 23)):
        assert np.ptp(joints[list(chain), 1:], axis=0).max() < 1e-5
    assert joints[22, 0] > joints[16, 0] > 0 > joints[17, 0] > joints[23, 0]
    for chain in ((1, 4, 7), (2, 5, 8)):
        assert np.ptp(joints[list(chain)][:, [0, 2]], axis=0).max() < 1e-5
    _, posed, _ = bone_transforms(rig, relaxed_pose(np.random.default_rng(0)), curl_deg=20)
    lengths = [np.linalg.norm(j[1:] - j[PARENTS[1:]], axis=1) for j in (rig.joints, posed)]
    # The bones between two joints may bend with the neck and spine, whose rig has more bones than joints.
    rigid = [k for k in range(23) if k + 1 in (4, 5, 7, 8, 18, 19, 20, 21)]
    np.testing.assert_allclose(lengths[0][rigid], lengths[1][rigid], atol=1e-5)


def test_rotations_compose_down_the_tree(wardrobe: Wardrobe) -> None:
    pose = np.zeros((24, 3))
    pose[0], pose[16], pose[18] = (0, 0.4, 0), (0, 0, -1.1), (0, -0.7, 0)
    world = world_rotations(pose)
    np.testing.assert_allclose(world[20], rodrigues(pose[0]) @ rodrigues(pose[16]) @ rodrigues(pose[18]), atol=1e-12)
    rig = build_rig(wardrobe.base, wardrobe.shape(MACRO))
    transforms, _, _ = bone_transforms(rig, pose)
    elbow = rig.joint_bone[18]
    np.testing.assert_allclose(transforms[elbow, :, :3], world[18] @ t_pose_rotations(rig.joints)[18], atol=1e-6)


def test_a_person_stands_on_the_floor_with_level_soles(wardrobe: Wardrobe) -> None:
    person = make_person(PERSON, wardrobe, relaxed_pose(np.random.default_rng(3)), yaw_deg=70)
    assert person.vertices[:, 1].min() == pytest.approx(0, abs=1e-6)
    assert 1.4 < person.vertices[:, 1].max() < 2.1
    for foot in (7, 8):
        np.testing.assert_allclose(person.joint_rotations[foot][:, 1], (0, 1, 0), atol=1e-5)
    shoes = next(layer for layer in person.layers if layer.material == "shoe")
    left, right = (shoes.vertices[shoes.weights[:, [k, k + 3]].sum(1) > 0.9, 1].min() for k in (7, 8))
    assert abs(left - right) < 0.025, "neither foot floats"
    assert person.faces.max() < len(person.vertices)
    np.testing.assert_allclose(person.weights.sum(1), 1, atol=1e-5)
    head = person.body[person.body[:, 1] > person.joints[15, 1]]
    assert 0.15 < np.ptp(head[:, 1]) < 0.35 and np.abs(head.mean(0) - person.joints[15]).max() < 0.12


def test_yaw_turns_the_whole_person(wardrobe: Wardrobe) -> None:
    pose = relaxed_pose(np.random.default_rng(3))
    still, turned = (make_person(PERSON, wardrobe, pose, yaw_deg=yaw) for yaw in (0, 90))
    quarter = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], float)
    np.testing.assert_allclose(turned.joints, still.joints @ quarter.T, atol=1e-4)
    assert still.joint_rotations[0][2, 2] > 0.99 and turned.joint_rotations[0][0, 2] > 0.99


def test_fingers_curl_towards_the_palm(wardrobe: Wardrobe) -> None:
    rig = build_rig(wardrobe.base, wardrobe.shape(MACRO))
    tips = [rig.bone_names.index(f"finger3-3.{side}") for side in "LR"]
    wrists = [rig.joint_bone[k] for k in (20, 21)]
    reach = []
    for curl in (0.0, 50.0):
        transforms = bone_transforms(rig, np.zeros((24, 3)), curl)[0]
        heads = np.einsum("bij,bj->bi", transforms[:, :, :3], rig.heads) + transforms[:, :, 3]
        reach.append(heads[tips] - heads[wrists])
    # In the T pose palms face down: curling takes the tips down and nearer to the wrist, on both hands alike.
    assert (np.linalg.norm(reach[1], axis=1) < np.linalg.norm(reach[0], axis=1) - 0.005).all()
    assert (reach[1][:, 1] < reach[0][:, 1]).all()
    np.testing.assert_allclose(reach[1][0] * (-1, 1, 1), reach[1][1], atol=3e-3)


def test_clips_are_turned_to_the_front(wardrobe: Wardrobe) -> None:
    for moment in (0.0, 0.5, 1.0):
        pose = clip_pose(wardrobe.folder / "motion" / "turn.npz", moment)
        facing = rodrigues(pose[0].astype(float))[:, 2]
        assert abs(facing[0]) < 1e-5 and facing[2] > 0.5


def test_only_allowed_licences_are_read(wardrobe: Wardrobe) -> None:
    with pytest.raises(LikenessError) as caught:
        wardrobe.item("glasses")  # CC BY 3.0
    assert caught.value.code == "input.wardrobe_item" and "licence" in caught.value.message
    assert Wardrobe(wardrobe.folder).item("glasses").licence == "CC-BY-3.0"
    with pytest.raises(LikenessError):
        wardrobe.item("no_such_thing")
    assert all("glasses" not in recipe.garments for recipe in wardrobe.recipes) and len(wardrobe.recipes) > 10


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LikenessError) as caught:
        Wardrobe(tmp_path)
    assert caught.value.exit_code == 3
