"""Torch skinning against the NumPy skinning of core, finite differences, and smplx on the same model file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.lbs import BodyTensors, lbs, rotation_matrices, with_landmarks
from likeness.body.model import BodyModel, load_default
from likeness.core.frames import rodrigues

MODEL = load_default()
FINE = load_default("smplh")


def people(
    count: int, seed: int, dtype: torch.dtype = torch.float64, model: BodyModel = MODEL
) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    betas = torch.randn(count, MODEL.betas_count, dtype=dtype, generator=random)
    pose = 0.6 * torch.randn(count, len(model.parents), 3, dtype=dtype, generator=random)
    return betas, pose, torch.randn(count, 3, dtype=dtype, generator=random)


@pytest.mark.parametrize("correctives", [False, True])
@pytest.mark.parametrize("model", [MODEL, FINE], ids=["smpl", "smplh"])
def test_agrees_with_the_numpy_skinning_of_core(model: BodyModel, correctives: bool) -> None:
    betas, pose, shift = people(2, 1, model=model)
    body = BodyTensors.from_model(model, dtype=torch.float64)
    vertices, joints = lbs(body, betas, pose, shift, correctives=correctives)
    for i in range(2):
        expected, expected_joints = model.posed(
            betas[i].numpy(), pose[i].numpy(), shift[i].numpy(), correctives=correctives
        )
        assert np.abs(vertices[i].numpy() - expected).max() < 1e-6
        assert np.abs(joints[i].numpy() - expected_joints).max() < 1e-6


def test_a_subset_is_the_same_vertices() -> None:
    chosen = np.array([7, 11000, 42, 300])
    betas, pose, shift = people(3, 2)
    for bent in (False, True):
        whole, _ = lbs(BodyTensors.from_model(MODEL, dtype=torch.float64), betas, pose, shift, correctives=bent)
        few, _ = lbs(BodyTensors.from_model(MODEL, chosen, dtype=torch.float64), betas, pose, shift, correctives=bent)
        assert torch.allclose(whole[:, chosen], few, atol=1e-12)


def test_fewer_betas_mean_zeros_for_the_rest() -> None:
    body = BodyTensors.from_model(MODEL, np.arange(0, 12000, 50), dtype=torch.float64)
    betas, pose, shift = people(1, 3)
    padded = torch.cat([betas[:, :5], torch.zeros(1, MODEL.betas_count - 5, dtype=torch.float64)], 1)
    short, joints = lbs(body, betas[:, :5], pose, shift)
    full, full_joints = lbs(body, padded, pose, shift)
    assert torch.allclose(short, full) and torch.allclose(joints, full_joints)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-4, 4), min_size=3, max_size=3), st.sampled_from([1.0, 1e-3, 1e-6, 0.0]))
def test_rotations_are_those_of_core(vector: list[float], scale: float) -> None:
    axis_angle = np.array(vector) * scale
    ours = rotation_matrices(torch.tensor(axis_angle)).numpy()
    assert np.abs(ours - rodrigues(axis_angle)).max() < 1e-12
    assert np.abs(ours @ ours.T - np.eye(3)).max() < 1e-12


@pytest.mark.parametrize("size", [0.0, 1e-6, 0.5, 3.0])
@pytest.mark.parametrize("bent", [False, True])
def test_gradients_agree_with_finite_differences(size: float, bent: bool) -> None:
    body = BodyTensors.from_model(MODEL, np.array([5, 6000, 11502]), dtype=torch.float64)
    betas, pose, shift = people(1, 4)
    betas, pose = betas[:, :3].clone(), size * pose / pose.norm()
    inputs = (betas.requires_grad_(), pose.requires_grad_(), shift.requires_grad_())
    assert torch.autograd.gradcheck(lambda b, p, t: lbs(body, b, p, t, correctives=bent), inputs, eps=1e-6, atol=1e-6)


def test_blazepose_points_agree_with_numpy_and_miss_nothing_silently() -> None:
    betas, pose, shift = people(1, 5)
    chosen = with_landmarks(MODEL, np.arange(0, 12000, 40))
    body = BodyTensors.from_model(MODEL, chosen, dtype=torch.float64)
    points = body.blazepose_points(*lbs(body, betas, pose, shift))[0].numpy()
    expected = MODEL.blazepose_points(*MODEL.posed(betas[0].numpy(), pose[0].numpy(), shift[0].numpy()))
    assert np.abs(points - expected).max() < 1e-6
    bare = BodyTensors.from_model(MODEL, np.array([0, 1]), dtype=torch.float64)
    with pytest.raises(ValueError, match="BlazePose"):
        bare.blazepose_points(*lbs(bare, betas, pose, shift))


def test_the_smpl_files_joints_are_the_bodys(tmp_path: Path) -> None:
    file = tmp_path / "body.npz"
    MODEL.to_smpl_npz(file)
    with np.load(file) as data:
        for seed in range(3):
            betas = np.random.default_rng(seed).normal(size=MODEL.betas_count)
            vertices, joints = MODEL.rest(betas)
            shaped = data["v_template"] + data["shapedirs"] @ betas
            assert np.abs(shaped - vertices).max() < 1e-5
            assert np.abs(data["J_regressor"] @ shaped - joints).max() < 2e-5


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-6)])
@pytest.mark.parametrize("model", [MODEL, FINE], ids=["smpl", "smplh"])
def test_parity_with_smplx(tmp_path: Path, model: BodyModel, dtype: torch.dtype, tolerance: float) -> None:
    if os.environ.get("LIKENESS_TEST_SMPLX") != "1":
        pytest.skip("smplx is under a non-commercial licence; set LIKENESS_TEST_SMPLX=1 to compare with it")
    skinning = pytest.importorskip("smplx.lbs")
    model.to_smpl_npz(tmp_path / "body.npz")
    with np.load(tmp_path / "body.npz") as data:
        file = {k: torch.as_tensor(data[k].astype(np.float64), dtype=dtype) for k in data.files if k != "kintree_table"}
    betas, pose, shift = people(4, 6, dtype, model)
    body = BodyTensors.from_model(model, dtype=dtype)
    vertices, joints = lbs(body, betas[:, :10], pose, shift, correctives=True)
    their_vertices, their_joints = skinning.lbs(
        betas[:, :10],
        rotation_matrices(pose),
        file["v_template"],
        file["shapedirs"][:, :, :10],
        file["posedirs"].reshape(-1, file["posedirs"].shape[-1]).T,
        file["J_regressor"],
        torch.as_tensor(model.parents.astype(np.int64)),
        file["weights"],
        pose2rot=False,
    )
    # The file's joints are a float32 blend of vertices, so the bodies differ by its rounding.
    assert (vertices - their_vertices - shift[:, None]).abs().max() < tolerance + 1e-5
    assert (joints - their_joints - shift[:, None]).abs().max() < 2e-5
