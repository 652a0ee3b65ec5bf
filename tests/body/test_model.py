"""The default body: form, symmetry, surface, plausibility. Oracles: trimesh, closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.model import DEFAULT_BODY, BodyModel, Folding, load_default, product_body, read_body
from likeness.core.errors import LikenessError

MODEL = load_default()
FINE = load_default("smplh")
SMPL_NAMES = [
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
]  # fmt: skip


def surface(vertices: np.ndarray, model: BodyModel = MODEL) -> trimesh.Trimesh:
    return trimesh.Trimesh(vertices, model.faces, process=False)


def test_is_small_free_and_in_smpls_order() -> None:
    assert DEFAULT_BODY.stat().st_size < 5_000_000
    assert MODEL.licence == "CC0-1.0"
    assert list(MODEL.joint_names) == SMPL_NAMES
    assert MODEL.parents.tolist() == [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
    assert 16 <= MODEL.betas_count <= 20


def test_the_fine_layout_is_smpl_hs_with_fingers() -> None:
    fingers = [f"{finger}{k}" for finger in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2, 3)]
    assert list(FINE.joint_names) == SMPL_NAMES[:22] + [f"{side}_{f}" for side in ("left", "right") for f in fingers]
    chains = [[-1 if k % 3 == 0 else k - 1 for k in range(n * 15, n * 15 + 15)] for n in (0, 1)]
    expected = [w if p < 0 else p + 22 for w, chain in zip((20, 21), chains, strict=True) for p in chain]
    assert FINE.parents.tolist() == MODEL.parents[:22].tolist() + expected
    with pytest.raises(ValueError, match="smplx"):
        load_default("smplx")


def test_both_layouts_are_one_body() -> None:
    random = np.random.default_rng(4)
    betas, pose = random.normal(size=MODEL.betas_count), random.normal(0, 0.5, (24, 3))
    pose[22:] = 0
    fine = np.zeros((52, 3))
    fine[:22] = pose[:22]
    assert np.abs(MODEL.posed(betas, pose)[0] - FINE.posed(betas, fine)[0]).max() < 1e-5
    knuckle = [FINE.joint_names.index(f"{side}_middle1") for side in ("left", "right")]
    assert np.abs(MODEL.rest(betas)[1] - FINE.rest(betas)[1][[*range(22), *knuckle]]).max() == 0
    assert np.abs(MODEL.weights[:, 22] - FINE.weights[:, 22:37].sum(1)).max() < 1e-6


@pytest.mark.parametrize("finger", ["index", "middle", "ring", "pinky", "thumb"])
def test_each_finger_moves_alone_and_from_its_own_joint(finger: str) -> None:
    pose = np.zeros((52, 3))
    names = FINE.joint_names
    pose[names.index(f"left_{finger}2")] = [0, 0, -1.0]
    moved = np.linalg.norm(FINE.posed(np.zeros(1), pose)[0] - FINE.v_template, axis=1)
    tips = {n: moved[FINE.landmark_vertices[f"left_{n}_tip"]] for n in ("index", "middle", "ring", "pinky", "thumb")}
    assert tips.pop(finger) > 0.015
    assert max(tips.values()) < 1e-4
    joints = [FINE.joints_template[names.index(f"left_{finger}{k}")] for k in (1, 2, 3)]
    tip = FINE.v_template[FINE.landmark_vertices[f"left_{finger}_tip"]]
    reach = [np.linalg.norm(tip - joint) for joint in joints]
    assert reach[0] > reach[1] + 0.012 and reach[1] > reach[2] + 0.012 and reach[2] > 0.01


def test_vertices_know_where_they_came_from() -> None:
    source = FINE.source_vertices
    assert source is not None
    known = source[source >= 0]
    assert len(source) == len(FINE.v_template) and len(np.unique(known)) == len(known)
    assert known.max() < 13380  # the base mesh's skin; its helpers come after
    caps = FINE.v_template[source < 0]
    eyes = FINE.v_template[[FINE.landmark_vertices["left_eye"], FINE.landmark_vertices["right_eye"]]]
    assert np.linalg.norm(caps[:, None] - eyes, axis=2).min(1).max() < 0.02


def test_is_one_closed_surface_that_faces_outward() -> None:
    mesh = surface(MODEL.v_template)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.body_count == 1 and mesh.euler_number == 2
    assert 0.05 < mesh.volume < 0.09  # cubic metres, so 50 to 90 kg
    assert len(np.unique(MODEL.faces)) == len(MODEL.v_template)


def test_stands_in_a_t_pose_facing_z_with_the_left_hand_at_x() -> None:
    joint = dict(zip(MODEL.joint_names, MODEL.joints_template, strict=True))
    assert np.abs(joint["pelvis"]).max() < 1e-6
    arm = joint["left_hand"] - joint["left_shoulder"]
    assert arm[0] > 0.4 and np.abs(arm[1:]).max() < 1e-3
    leg = joint["left_ankle"] - joint["left_hip"]
    assert leg[1] < -0.6 and np.abs(leg[[0, 2]]).max() < 1e-3
    mark = MODEL.landmark_vertices
    nose, crown = MODEL.v_template[mark["nose"]], MODEL.v_template[mark["crown"]]
    assert nose[2] > joint["head"][2] + 0.06 and crown[1] == pytest.approx(MODEL.v_template[:, 1].max(), abs=2e-3)
    assert MODEL.v_template[mark["left_big_toe"], 2] > MODEL.v_template[mark["left_heel"], 2] + 0.15
    toe, heel = MODEL.v_template[mark["left_middle_tip"]], MODEL.v_template[mark["left_heel"]]
    assert toe[0] == pytest.approx(MODEL.v_template[:, 0].max(), abs=5e-3)
    assert heel[1] < MODEL.v_template[:, 1].min() + 0.08


@pytest.mark.parametrize("layout", ["smpl", "smplh"])
def test_is_mirror_symmetric_in_every_array(layout: str) -> None:
    model = load_default(layout)
    mirror, swap, flip = model.mirror, model.joint_mirror, np.array([-1.0, 1, 1])
    assert (mirror[mirror] == np.arange(len(mirror))).all()
    assert np.abs(model.v_template[mirror] * flip - model.v_template).max() < 1e-6
    assert np.abs(model.shapedirs[mirror] * flip[:, None] - model.shapedirs).max() < 2e-5
    assert np.abs(model.joints_template[swap] * flip - model.joints_template).max() < 1e-6
    assert np.abs(model.joint_shapedirs[swap] * flip[:, None] - model.joint_shapedirs).max() < 1e-5
    assert np.abs(model.weights[mirror][:, swap] - model.weights).max() < 1e-6
    faces = {tuple(sorted(face)) for face in model.faces.tolist()}
    assert faces == {tuple(sorted(face)) for face in mirror[model.faces].tolist()}


@pytest.mark.parametrize("model", [MODEL, FINE], ids=["smpl", "smplh"])
def test_weights_are_few_and_sum_to_one(model: BodyModel) -> None:
    assert np.abs(model.weights.sum(1) - 1).max() < 1e-6
    assert (model.weights > 0).sum(1).max() <= 4
    assert (model.weights >= 0).all()


def test_texture_covers_the_unit_square_without_overlap() -> None:
    uvs = MODEL.corner_uvs
    assert uvs.shape == (len(MODEL.faces), 3, 2) and uvs.min() >= 0 and uvs.max() <= 1
    edge = uvs[:, 1:] - uvs[:, :1]
    area = (edge[:, 0, 0] * edge[:, 1, 1] - edge[:, 0, 1] * edge[:, 1, 0]) / 2
    assert (area > 0).mean() > 0.99  # islands are not mirrored
    assert 0.3 < np.abs(area).sum() < 1.0


def test_parts_lie_where_their_names_say() -> None:
    part = {n: MODEL.v_template[MODEL.parts == i].mean(0) for i, n in enumerate(MODEL.part_names)}
    assert part["left_hand"][0] > part["left_forearm"][0] > part["left_upper_arm"][0] > 0.15
    assert part["head"][1] > part["neck"][1] > part["torso"][1] > part["left_thigh"][1] > part["left_shin"][1]
    assert part["right_foot"][0] < 0 and part["right_foot"][1] < part["right_shin"][1]
    assert (np.bincount(MODEL.parts, minlength=len(MODEL.part_names)) > 20).all()


def test_blazepose_points_are_all_there_and_sided() -> None:
    points = MODEL.blazepose_points(MODEL.v_template, MODEL.joints_template)
    assert points.shape == (33, 3) and np.isfinite(points).all()
    left = points[[2, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31]]
    right = points[[5, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32]]
    assert (left[:, 0] > 0).all()
    assert np.abs(left * [-1, 1, 1] - right).max() < 1e-5
    assert points[0, 0] == pytest.approx(0, abs=1e-6)
    assert points[1, 0] < points[2, 0] < points[3, 0]  # inner corner, middle, outer corner of the left eye


@pytest.mark.parametrize("component", range(6))
@pytest.mark.parametrize("sigma", [-2.0, 2.0])
def test_unusual_people_stay_people(component: int, sigma: float) -> None:
    betas = np.zeros(MODEL.betas_count, np.float32)
    betas[component] = sigma
    vertices, joints = MODEL.rest(betas)
    mesh = surface(vertices)
    assert 1.35 < np.ptp(vertices[:, 1]) < 2.15
    assert 0.02 < mesh.volume < 0.15
    assert np.abs(joints[0]).max() < 1e-6
    box = mesh.bounds
    assert ((joints > box[0]) & (joints < box[1])).all()


def test_joints_lie_inside_the_body() -> None:
    mesh = surface(FINE.v_template)
    assert mesh.contains(FINE.joints_template).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=0, max_size=8), st.integers(0, 2**32 - 1))
def test_a_turned_and_moved_body_is_the_body_turned_and_moved(betas: list[float], seed: int) -> None:
    random = np.random.default_rng(seed)
    pose = np.zeros((24, 3))
    pose[0] = random.normal(0, 1, 3)
    shift = random.normal(0, 2, 3)
    rest, joints = MODEL.rest(np.array(betas))
    vertices, moved = MODEL.posed(np.array(betas), pose, shift)
    turn = trimesh.transformations.rotation_matrix(np.linalg.norm(pose[0]), pose[0] + 1e-12)[:3, :3]
    expected = (rest - joints[0]) @ turn.T + joints[0] + shift
    assert np.abs(vertices - expected).max() < 1e-5
    assert np.abs(moved[0] - joints[0] - shift).max() < 1e-5


def test_lifting_one_knee_leaves_the_other_leg_and_the_head_alone() -> None:
    pose = np.zeros((24, 3))
    pose[1, 0], pose[4, 0] = -1.2, 1.2
    vertices, _ = MODEL.posed(np.zeros(4), pose)
    moved = np.linalg.norm(vertices - MODEL.v_template, axis=1)
    parts = np.array(MODEL.part_names)[MODEL.parts]
    assert moved[np.isin(parts, ["head", "neck", "right_shin", "right_foot", "left_hand"])].max() < 1e-5
    knee = vertices[parts == "left_shin"].mean(0) - MODEL.v_template[parts == "left_shin"].mean(0)
    assert knee[1] > 0.1 and knee[2] > 0.1


def test_too_many_shape_numbers_are_refused() -> None:
    with pytest.raises(LikenessError) as caught:
        MODEL.rest(np.zeros(MODEL.betas_count + 1))
    assert caught.value.code == "body.betas"


def test_a_file_that_is_no_body_is_refused_by_name(tmp_path) -> None:
    wrong = tmp_path / "other.npz"
    np.savez(wrong, v_template=np.zeros((3, 3)))
    with pytest.raises(LikenessError, match=r"other\.npz") as caught:
        read_body(wrong)
    assert caught.value.code == "body.unreadable"


@pytest.mark.parametrize(
    ("parent", "child", "axis"), [("left_hip", "left_knee", 1), ("left_shoulder", "left_elbow", 0)]
)
def test_knees_and_elbows_turn_where_the_skin_bends(parent: str, child: str, axis: int) -> None:
    upper, lower = MODEL.joint_names.index(parent), MODEL.joint_names.index(child)
    slab = np.abs(MODEL.v_template[:, axis] - MODEL.joints_template[lower, axis]) < 0.012
    slab &= MODEL.v_template[:, 0] > 0.02
    weights = MODEL.weights[slab]
    share = weights[:, lower].sum() / weights[:, [upper, lower]].sum()
    assert slab.sum() > 10
    assert 0.35 < share < 0.65


def test_folding_puts_fingers_to_hands_and_faces_to_heads() -> None:
    """SMPL-X has jaw and eyes before the fingers; folded, it is SMPL all the same, and SMPL stays as it is."""
    after = [*range(22), 15, 15, 15, *range(22, 52)]
    names = [*FINE.joint_names[:22], "jaw", "left_eye", "right_eye", *FINE.joint_names[22:]]
    parents = np.array([*FINE.parents[:22], 15, 15, 15, *(p if p < 22 else p + 3 for p in FINE.parents[22:])])
    full = replace(FINE, joint_names=tuple(names), parents=parents, weights=FINE.weights[:, after] / 4)
    for model in (full, FINE, MODEL):
        fold = Folding.of(model)
        assert fold.joint_names == MODEL.joint_names
        np.testing.assert_array_equal(fold.parents, MODEL.parents)
        assert [model.joint_names[j] for j in fold.kept[:22]] == list(MODEL.joint_names[:22])
    np.testing.assert_allclose(Folding.of(FINE).weights(FINE.weights), MODEL.weights, atol=1e-6)
    np.testing.assert_array_equal(Folding.of(MODEL).weights(MODEL.weights), MODEL.weights)
    head = 4 * Folding.of(full).weights(full.weights)
    np.testing.assert_allclose(head[:, 15], 4 * MODEL.weights[:, 15], atol=1e-5)
    np.testing.assert_allclose(np.delete(head, 15, axis=1), np.delete(MODEL.weights, 15, axis=1), atol=1e-5)


def test_the_product_s_body_has_fingers() -> None:
    for people in ("adults", "children"):
        model = product_body(people)
        assert len(model.parents) == 52
        assert model.betas_count == 30
        assert model.correctives is not None
