"""SMPL, SMPL-H and SMPL-X files made here, read back: against SMPL's equations written out, and against smplx."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from likeness.body.lbs import BodyTensors, lbs
from likeness.body.model import load_default
from likeness.body.smpl_files import read_smpl
from likeness.core.errors import LikenessError

from .smpl_models import PARENTS, posed, random_model

LAYOUTS = {24: "SMPL", 52: "SMPL-H", 55: "SMPL-X"}


def made(joints: int, seed: int = 0, **more: int) -> dict[str, np.ndarray]:
    return random_model(joints, np.random.default_rng(seed), **more)


def write(path: Path, model: dict[str, Any], protocol: int = 2) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **model)
    else:
        path.write_bytes(pickle.dumps(model, protocol))
    return path


def numbers(model: dict[str, np.ndarray], betas: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=betas), 0.5 * random.normal(size=(model["weights"].shape[1], 3))


@pytest.mark.parametrize("suffix", [".pkl", ".npz"])
@pytest.mark.parametrize("joints", LAYOUTS)
def test_poses_as_smpls_equations_say(joints: int, suffix: str, tmp_path: Path) -> None:
    model = made(joints)
    body = read_smpl(write(tmp_path / f"model_female{suffix}", model))
    betas, pose = numbers(model, 10)
    vertices, places = body.posed(betas, pose, correctives=True)
    expected, expected_places = posed(model, betas, pose)
    assert np.abs(vertices - expected).max() < 1e-5
    assert np.abs(places - expected_places).max() < 1e-5
    tensors = BodyTensors.from_model(body)
    values = (torch.tensor(v, dtype=torch.float32)[None] for v in (betas, pose, np.zeros(3)))
    assert np.abs(lbs(tensors, *values, correctives=True)[0][0].numpy() - expected).max() < 1e-5
    assert body.name == f"{LAYOUTS[joints]} female" and "non-commercial" in body.licence


@pytest.mark.parametrize("joints", LAYOUTS)
def test_parity_with_smplx(joints: int, tmp_path: Path) -> None:
    if os.environ.get("LIKENESS_TEST_SMPLX") != "1":
        pytest.skip("smplx is under a non-commercial licence; set LIKENESS_TEST_SMPLX=1 to compare with it")
    skinning = pytest.importorskip("smplx.lbs")
    model = made(joints, seed=3)
    body = read_smpl(write(tmp_path / "model.pkl", model))
    betas, pose = numbers(model, 10)
    vertices, places = body.posed(betas, pose, correctives=True)
    file = {key: torch.tensor(value.astype(np.float64), dtype=torch.float32) for key, value in model.items()}
    theirs, their_places = skinning.lbs(
        torch.tensor(betas, dtype=torch.float32)[None],
        torch.tensor(pose, dtype=torch.float32)[None],
        file["v_template"],
        file["shapedirs"],
        file["posedirs"].reshape(-1, file["posedirs"].shape[-1]).T,
        file["J_regressor"],
        torch.tensor(PARENTS[joints]),
        file["weights"],
    )
    assert np.abs(vertices - theirs[0].numpy()).max() < 1e-5
    assert np.abs(places - their_places[0].numpy()).max() < 1e-5


def test_the_joints_are_named_and_mirrored(tmp_path: Path) -> None:
    for joints in LAYOUTS:
        body = read_smpl(write(tmp_path / f"{joints}.npz", made(joints)))
        assert len(body.joint_names) == len(set(body.joint_names)) == joints
        assert body.parents.tolist() == list(PARENTS[joints])
        named = dict(zip(body.joint_names, body.parents, strict=True))
        assert body.joint_names[named["left_elbow"]] == "left_shoulder"
        assert np.array_equal(body.joint_mirror[body.joint_mirror], np.arange(joints))
    assert body.joint_names[22:28] == ("jaw", "left_eye", "right_eye", "left_index1", "left_index2", "left_index3")
    assert all(body.joint_names[named[name]] == "head" for name in ("jaw", "left_eye", "right_eye"))
    assert body.joint_names[named["right_thumb1"]] == "right_wrist"


def test_sparse_and_object_members_and_chosen_shapes(tmp_path: Path) -> None:
    model: dict[str, Any] = made(24, shapes=40)
    model["J_regressor"] = scipy.sparse.csc_matrix(model["J_regressor"])
    body = read_smpl(write(tmp_path / "basicModel_m_lbs.pkl", {**model, "bs_type": "lrotmin"}), betas=16)
    assert body.betas_count == 16 and body.name == "SMPL male"
    assert np.allclose(body.regressor, model["J_regressor"].toarray())
    full = {**made(55, shapes=400), "joint2num": np.array({"pelvis": 0}, dtype=object)}
    body = read_smpl(write(tmp_path / "SMPLX_NEUTRAL.npz", full), betas=10, expressions=5)
    chosen = full["shapedirs"][:, :, [*range(10), *range(300, 305)]]
    assert np.allclose(body.shapedirs, chosen, atol=1e-7) and body.name == "SMPL-X neutral"
    short = read_smpl(write(tmp_path / "short.npz", made(55, shapes=20)), expressions=10)
    assert short.betas_count == 20 and short.hand_space is not None
    assert short.hand_space.pose(np.zeros((2, 6))).shape == (30, 3)


def test_the_default_body_as_a_file_keeps_its_landmarks(tmp_path: Path) -> None:
    ours = load_default("smplh")
    ours.to_smpl_npz(tmp_path / "own.npz")
    body = read_smpl(tmp_path / "own.npz")
    assert body.landmark_vertices == ours.landmark_vertices
    assert np.array_equal(body.blazepose, ours.blazepose)
    assert (body.parts == ours.parts).mean() > 0.999
    assert (body.mirror == ours.mirror).mean() > 0.99
    pose = 0.4 * np.random.default_rng(2).normal(size=(52, 3))
    apart = body.posed(np.ones(5), pose, correctives=True)[0] - ours.posed(np.ones(5), pose, correctives=True)[0]
    assert np.abs(apart).max() < 5e-5


def test_faces_are_turned_outward_and_uvs_kept(tmp_path: Path) -> None:
    model = made(24)
    inward = {**model, "f": model["f"][:, ::-1].copy()}
    random = np.random.default_rng(0)
    inward |= {"vt": random.random((30, 2)), "ft": random.integers(0, 30, model["f"].shape)}
    body = read_smpl(write(tmp_path / "model.npz", inward))
    assert np.array_equal(body.faces, model["f"])
    assert body.corner_uvs.shape == (len(model["f"]), 3, 2)


def test_is_converted_once_and_only_in_the_cache(tmp_path: Path) -> None:
    theirs, cache = tmp_path / "theirs", tmp_path / "cache" / "bodies"
    theirs.mkdir()
    file = write(theirs / "model.pkl", made(52))
    first = read_smpl(file, cache)
    assert [p.name for p in theirs.iterdir()] == ["model.pkl"]
    (kept,) = cache.iterdir()
    stamp = kept.stat().st_mtime_ns
    again = read_smpl(file, cache)
    assert kept.stat().st_mtime_ns == stamp
    assert np.array_equal(first.v_template, again.v_template) and np.array_equal(first.faces, again.faces)
    assert np.array_equal(first.correctives.posedirs, again.correctives.posedirs)
    kept.write_bytes(kept.read_bytes()[:5000])
    assert np.array_equal(read_smpl(file, cache).weights, first.weights)
    write(file, made(52, seed=9))
    assert not np.array_equal(read_smpl(file, cache).v_template, first.v_template)
    assert len(list(cache.iterdir())) == 2


BROKEN: dict[str, dict[str, Any]] = {
    "no template": {"v_template": None},
    "template of strings": {"v_template": np.array([["a", "b", "c"]])},
    "not finite": {"v_template": np.full((200, 3), np.nan)},
    "centimetres": {"v_template": 100 * made(24)["v_template"]},
    "lying": {"v_template": made(24)["v_template"][:, [0, 2, 1]]},
    "another count": {"weights": made(24)["weights"][:-1]},
    "weights that do not sum to 1": {"weights": 0.5 * made(24)["weights"]},
    "negative weights": {"weights": np.tile([-1, 2, *np.zeros(22)], (200, 1))},
    "child before parent": {"kintree_table": made(24)["kintree_table"][:, ::-1].copy()},
    "another tree": {"kintree_table": np.stack([np.arange(24) - 1, np.arange(24)])},
    "another joint count": {"kintree_table": made(24)["kintree_table"][:, :20]},
    "face out of range": {"f": np.array([[0, 1, 200]])},
    "negative face": {"f": np.array([[0, 1, -5]])},
    "faces of floats": {"f": made(24)["f"].astype(float)},
    "no faces": {"f": np.zeros((0, 3), np.int32)},
    "flat posedirs": {"posedirs": made(24)["posedirs"].reshape(600, -1)},
    "regressor of zeros": {"J_regressor": np.zeros((24, 200))},
    "gigantic regressor": {"J_regressor": scipy.sparse.csc_matrix((24, 10_000_000))},
    "scalar template": {"v_template": np.array(3.0)},
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused(name: str, tmp_path: Path) -> None:
    file = write(tmp_path / "model.pkl", {**made(24), **BROKEN[name]})
    with pytest.raises(LikenessError) as caught:
        read_smpl(file, tmp_path / "cache")
    assert caught.value.code == "body.unreadable" and "model.pkl" in caught.value.message
    assert not (tmp_path / "cache").exists()


def test_what_is_no_file_or_hostile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LikenessError, match="cannot be read"):
        read_smpl(tmp_path / "none.pkl")
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(LikenessError, match="not a plain body model") as caught:
        read_smpl(tmp_path / "evil.pkl")
    assert caught.value.code == "body.unsafe_file"
    (tmp_path / "cut.npz").write_bytes(write(tmp_path / "whole.npz", made(24)).read_bytes()[:-500])
    evil = {**made(24), "v_template": np.array([print], dtype=object)}
    for file in (tmp_path / "cut.npz", write(tmp_path / "objects.npz", evil)):
        with pytest.raises(LikenessError) as caught:
            read_smpl(file)
        assert caught.value.code == "body.unreadable"
