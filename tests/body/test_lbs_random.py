"""Our skinning on random bodies of every layout: against SMPL's equations written out, and against smplx."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.lbs import BodyTensors, joint_chain, lbs, rotation_matrices
from likeness.body.model import BodyModel, load_default
from likeness.core.correctives import Correctives, DenseCorrectives
from likeness.core.frames import rodrigues
from likeness.core.skinning import joint_transforms, posed_joints, skin

from .smpl_models import PARENTS, posed, random_model

FILE = dict[str, np.ndarray]
LAYOUT = st.sampled_from(sorted(PARENTS))
SEED = st.integers(0, 2**31)


def body_of(file: FILE) -> BodyModel:
    """A body with a file's numbers, in float64, without what skinning does not ask for."""
    count, joints = file["weights"].shape
    regressor, shapes = file["J_regressor"], file["shapedirs"]
    return replace(
        load_default(),
        v_template=file["v_template"],
        shapedirs=shapes,
        joints_template=regressor @ file["v_template"],
        joint_shapedirs=np.einsum("jv,vck->jck", regressor, shapes),
        weights=file["weights"],
        parents=np.array(PARENTS[joints]),
        blazepose=np.stack([np.zeros(33, int), np.full(33, -1)], 1),
        correctives=DenseCorrectives(np.ascontiguousarray(file["posedirs"].reshape(3 * count, -1).T)),
    )


def drawn(joints: int, seed: int, batch: int) -> tuple[FILE, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    file = random_model(joints, random, count=int(random.integers(2, 150)))
    return file, random.normal(size=(batch, 10)), random.normal(size=(batch, joints, 3))


@settings(max_examples=40, deadline=None)
@given(LAYOUT, SEED, st.integers(1, 5))
def test_equals_smpls_equations(joints: int, seed: int, batch: int) -> None:
    file, betas, pose = drawn(joints, seed, batch)
    expected = [posed(file, b, p) for b, p in zip(betas, pose, strict=True)]
    for dtype, tolerance in ((torch.float64, 1e-6), (torch.float32, 1e-5)):
        body = BodyTensors.from_model(body_of(file), dtype=dtype)
        values = [torch.tensor(value, dtype=dtype) for value in (betas, pose, np.zeros((batch, 3)))]
        vertices, places = lbs(body, *values, correctives=True)
        assert vertices.is_contiguous() and vertices.dtype == dtype
        assert np.abs(vertices.numpy() - np.array([v for v, _ in expected])).max() < tolerance
        assert np.abs(places.numpy() - np.array([j for _, j in expected])).max() < tolerance


@settings(max_examples=40, deadline=None)
@given(LAYOUT, SEED)
def test_the_numpy_skinning_equals_smpls_equations(joints: int, seed: int) -> None:
    file, betas, pose = drawn(joints, seed, 1)
    shaped = file["v_template"] + file["shapedirs"] @ betas[0]
    turns, rest = rodrigues(pose[0]), file["J_regressor"] @ shaped
    bent = shaped + (file["posedirs"] @ (turns[1:] - np.eye(3)).reshape(-1))
    expected, places = posed(file, betas[0], pose[0])
    every = np.tile(np.arange(joints), (len(bent), 1))
    for dtype, tolerance in ((np.float64, 1e-6), (np.float32, 1e-5)):
        moves = joint_transforms(turns.astype(dtype), rest.astype(dtype), np.array(PARENTS[joints]))
        out = skin(bent.astype(dtype), every, file["weights"].astype(dtype), moves)
        assert out.dtype == dtype and np.abs(out - expected).max() < tolerance
        assert np.abs(posed_joints(moves, rest.astype(dtype)) - places).max() < tolerance


@settings(max_examples=40, deadline=None)
@given(LAYOUT, SEED, st.sampled_from([1, 3]))
def test_equals_smplx_and_so_do_its_gradients(joints: int, seed: int, batch: int) -> None:
    if os.environ.get("LIKENESS_TEST_SMPLX") != "1":
        pytest.skip("smplx is under a non-commercial licence; set LIKENESS_TEST_SMPLX=1 to compare with it")
    skinning = pytest.importorskip("smplx.lbs")
    file, betas, pose = drawn(joints, seed, batch)
    for dtype, tolerance in ((torch.float64, 1e-6), (torch.float32, 1e-5)):
        body = BodyTensors.from_model(body_of(file), dtype=dtype)
        arrays = {key: torch.tensor(value.astype(np.float64), dtype=dtype) for key, value in file.items()}
        turned, shaped = (torch.tensor(value, dtype=dtype, requires_grad=True) for value in (pose, betas))
        ours = lbs(body, shaped, turned, torch.zeros(batch, 3, dtype=dtype), correctives=True)
        theirs = skinning.lbs(
            shaped,
            turned.reshape(batch, -1),
            arrays["v_template"],
            arrays["shapedirs"],
            arrays["posedirs"].reshape(-1, 9 * (joints - 1)).T,
            arrays["J_regressor"],
            torch.tensor(PARENTS[joints]),
            arrays["weights"],
        )
        for mine, other in zip(ours, theirs, strict=True):
            assert (mine - other).abs().max() < tolerance
        loss = [(v * torch.arange(1, v.numel() + 1).reshape(v.shape) / v.numel()).sum() for v in (ours[0], theirs[0])]
        for mine, other in zip(*(torch.autograd.grad(part, (shaped, turned)) for part in loss), strict=True):
            assert (mine - other).abs().max() < 20 * tolerance * max(1, float(other.abs().max()))


@settings(max_examples=40, deadline=None)
@given(SEED, st.floats(0, 1))
def test_tiles_of_rows_are_the_dense_correctives(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    file = random_model(24, random, count=90)
    kept = random.random((90, 23)) < share
    vertices, joints = np.nonzero(kept)
    blocks = np.moveaxis(file["posedirs"].reshape(90, 3, 23, 9), 2, 1)
    shuffled = random.permutation(len(vertices))
    rows = Correctives(vertices[shuffled], joints[shuffled] + 1, blocks[kept][shuffled].astype(np.float32))
    dense = DenseCorrectives(np.ascontiguousarray(rows.dense(90, 24).reshape(270, -1).T))
    chosen = random.permutation(90)[:40]
    values = [torch.tensor(random.normal(size=size)) for size in ((2, 10), (2, 24, 3), (2, 3))]
    model = body_of(file)
    out = []
    for correctives in (rows, dense):
        bent = replace(model, correctives=correctives)
        body = BodyTensors.from_model(bent, chosen, dtype=torch.float64)
        out.append(lbs(body, *values, correctives=True)[0])
        assert np.allclose(correctives.scaled(2.0).dense(90, 24), 2 * dense.dense(90, 24))
    assert torch.allclose(*out, atol=1e-9)
    renamed = np.array([*range(12), *[-1] * 6, 12, 12, 13, 13, 14, 15])
    assert np.allclose(rows.renamed(renamed).dense(90, 16), dense.renamed(renamed).dense(90, 16), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 200])
def test_gradients_do_not_depend_on_how_the_vertices_are_parted(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    file, betas, pose = drawn(24, 7, batch)
    body = BodyTensors.from_model(body_of(file), dtype=torch.float64)
    out = []
    for chunk in (1, 1 << 30):
        monkeypatch.setattr("likeness.body.lbs._CHUNK", chunk)
        values = [torch.tensor(v, requires_grad=True) for v in (betas, pose, np.zeros((batch, 3)))]
        vertices = lbs(body, *values)[0]
        out.append([vertices, *torch.autograd.grad(vertices.pow(3).sum(), values)])
    for parted, whole in zip(*out, strict=True):
        assert torch.allclose(parted, whole, rtol=1e-9, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_tree_moves_as_its_products_say(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    parents = (-1, *[data.draw(st.integers(-1, joint - 1)) for joint in range(1, count)])
    random = torch.Generator().manual_seed(data.draw(SEED))
    rest = torch.randn(2, count, 3, generator=random, dtype=torch.float64)
    local = rotation_matrices(torch.randn(2, count, 3, generator=random, dtype=torch.float64))
    turns, places = joint_chain(local, rest, parents)
    for joint, parent in enumerate(parents):
        above = turns[:, parent] if parent >= 0 else torch.eye(3, dtype=torch.float64)
        assert torch.allclose(turns[:, joint], above @ local[:, joint])
        at = (
            places[:, parent] + (above @ (rest[:, joint] - rest[:, parent])[..., None])[..., 0]
            if parent >= 0
            else rest[:, joint]
        )
        assert torch.allclose(places[:, joint], at)
