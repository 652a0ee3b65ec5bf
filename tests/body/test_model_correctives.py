"""Pose correctives and children of the default body. Oracles: trimesh's volume, mirror images, closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.model import BodyModel, load_default
from likeness.core.correctives import NO_CORRECTIVES, Correctives
from likeness.core.errors import LikenessError
from likeness.core.frames import rodrigues

SMPL, FINE = load_default(), load_default("smplh")
YOUNG = load_default("smplh", "children")
BOTH = pytest.mark.parametrize("model", [SMPL, FINE], ids=["smpl", "smplh"])


def volume(model: BodyModel, vertices: np.ndarray) -> float:
    """Litres."""
    return 1000 * trimesh.Trimesh(vertices, model.faces, process=False).volume


@BOTH
def test_the_rest_pose_and_turning_as_a_whole_need_no_correction(model: BodyModel) -> None:
    assert model.correctives is not None
    rotations = np.tile(np.eye(3), (len(model.parents), 1, 1))
    rotations[0] = rodrigues(np.array([0.3, -1.0, 0.5]))
    assert np.abs(model.correctives.offsets(rotations, len(model.v_template))).max() == 0


@BOTH
def test_the_mirrored_pose_gives_the_mirrored_body(model: BodyModel) -> None:
    pose = np.random.default_rng(1).normal(0, 0.5, (len(model.parents), 3))
    image = pose[model.joint_mirror] * [1, -1, -1]
    one, _ = model.posed(np.zeros(1), pose, correctives=True)
    other, _ = model.posed(np.zeros(1), image, correctives=True)
    assert np.abs(other[model.mirror] * [-1, 1, 1] - one).max() < 5e-6


@pytest.mark.parametrize(
    ("joint", "turn", "lost"),
    [
        ("left_knee", (np.pi / 2, 0, 0), 0.05),
        ("left_elbow", (0, -np.pi / 2, 0), 0.1),
        ("left_hip", (-np.pi / 2, 0, 0), 0.5),
        ("left_hip", (-2.09, 0, 0), 1.0),
    ],
)
def test_bent_limbs_keep_their_volume(joint: str, turn: tuple[float, ...], lost: float) -> None:
    pose = np.zeros((24, 3))
    pose[SMPL.joint_names.index(joint)] = turn
    whole = volume(SMPL, SMPL.v_template)
    plain, mended = (volume(SMPL, SMPL.posed(np.zeros(1), pose, correctives=c)[0]) for c in (False, True))
    assert abs(mended - whole) < lost
    assert abs(mended - whole) < 0.5 * abs(plain - whole)


def test_each_joint_moves_only_what_is_near_it() -> None:
    correctives = FINE.correctives
    assert correctives is not None
    distance = np.linalg.norm(FINE.v_template[correctives.vertices] - FINE.joints_template[correctives.joints], axis=1)
    # Hips reach to the knees' hollow and to the navel, fingers a phalanx far.
    assert distance.max() < 0.45
    assert distance[correctives.joints >= 22].max() < 0.09
    assert correctives.joints.min() >= 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_dense_form_is_smpls(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = Correctives(
        random.integers(0, 6, 9), random.integers(1, 4, 9), random.normal(size=(9, 3, 9)).astype(np.float32)
    )
    rotations = rodrigues(random.normal(size=(4, 3)))
    dense = rows.dense(6, 4)
    assert dense.shape == (6, 3, 27)
    expected = dense @ (rotations[1:] - np.eye(3)).reshape(-1)
    assert np.abs(rows.offsets(rotations, 6) - expected).max() < 1e-5
    assert NO_CORRECTIVES.dense(6, 4).any() == False  # noqa: E712
    assert np.abs(rows.scaled(0.5).offsets(rotations, 6) - expected / 2).max() < 1e-5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_mirroring_twice_changes_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = Correctives(random.integers(0, 4, 5), random.integers(1, 4, 5), random.normal(size=(5, 3, 9)))
    swap_vertices, swap_joints = np.array([1, 0, 3, 2]), np.array([0, 2, 1, 3])
    again = rows.mirrored(swap_vertices, swap_joints).mirrored(swap_vertices, swap_joints)
    assert (again.vertices == rows.vertices).all() and (again.joints == rows.joints).all()
    assert np.abs(again.directions - rows.directions).max() == 0


def test_children_are_children() -> None:
    assert volume(YOUNG, YOUNG.v_template) < 0.6 * volume(FINE, FINE.v_template)
    stature, head = np.ptp(YOUNG.v_template[:, 1]), YOUNG.part_names.index("head")
    assert 1.1 < stature < 1.3
    share = [np.ptp(m.v_template[m.parts == head][:, 1]) / np.ptp(m.v_template[:, 1]) for m in (YOUNG, FINE)]
    assert share[0] > 1.1 * share[1]
    assert YOUNG.name != FINE.name and YOUNG.licence == "CC0-1.0"
    assert (YOUNG.faces == FINE.faces).all() and (YOUNG.weights == FINE.weights).all()


@pytest.mark.parametrize("component", range(4))
@pytest.mark.parametrize("sigma", [-2.0, 2.0])
def test_unusual_children_stay_children(component: int, sigma: float) -> None:
    betas = np.zeros(component + 1)
    betas[component] = sigma
    vertices, joints = YOUNG.rest(betas)
    mesh = trimesh.Trimesh(vertices, YOUNG.faces, process=False)
    assert 0.75 < np.ptp(vertices[:, 1]) < 1.65
    assert mesh.contains(joints[:22]).all()


def test_more_shape_numbers_refine_and_change_nothing_else() -> None:
    full = load_default(betas=40)
    assert full.betas_count == 40 and SMPL.betas_count == 20
    betas = np.random.default_rng(0).normal(size=20)
    assert np.abs(full.rest(betas)[0] - SMPL.rest(betas)[0]).max() < 1e-6
    assert load_default("smpl", "children", 99).betas_count == 30
    with pytest.raises(LikenessError):
        SMPL.rest(np.zeros(21))
    with pytest.raises(ValueError, match="dogs"):
        load_default("smpl", "dogs")


@pytest.mark.parametrize("people", ["adults", "children"])
def test_the_joint_regressor_is_sparse_and_exact_over_the_shapes(people: str) -> None:
    model = load_default("smplh", people)
    regressor = model.joint_regressor()
    assert regressor.shape == (52, len(model.v_template))
    assert (regressor != 0).sum(1).max() <= 600
    assert np.abs(regressor.sum(1) - 1).max() < 1e-4
    for seed in range(3):
        vertices, joints = model.rest(np.random.default_rng(seed).normal(size=20))
        assert np.abs(regressor.astype(np.float64) @ vertices - joints).max() < 2e-5
