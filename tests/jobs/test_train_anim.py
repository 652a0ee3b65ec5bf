"""Training ANIM: samples agree with their own pictures, runs resume and travel in parts, pairs become samples."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from anim_ball import CAMERA, CENTRE, RADIUS, SIZE, VIEW, ball_depth, stored_ball
from likeness.core.errors import LikenessError
from likeness.jobs.anim_data import Drawing, Poses, batch_at, view_item
from likeness.jobs.anim_guesses import Stored
from likeness.jobs.anim_pairs import pair_arrays
from likeness.jobs.anim_pictures import dense_mesh, shaded, sheet
from likeness.jobs.anim_samples import BODY, FINE_M, STEP_M, Plan, pose_arrays
from likeness.jobs.anim_slices import PART_BYTES, bring_back, joined
from likeness.jobs.train_anim import TrainAnimOptions, config_of, judged, run_train_anim
from likeness.jobs.training import checkpoints, read_table
from likeness.surface.anim.config import TINY
from likeness.surface.anim.network import AnimNet
from likeness.surface.anim.predict import load_anim
from likeness.surface.layers.predict import WEIGHTS, load_network
from likeness.synthesis.pack import load_pack
from likeness.synthesis.scans import Pair, Scan


@pytest.fixture
def samples(tmp_path):
    folder = tmp_path / "samples"
    folder.mkdir()
    for split in ("train", "val"):
        np.savez_compressed(folder / f"{split}_000000_0.npz", **stored_ball())
    return folder


def options(samples, tmp_path, **changes):
    made = TrainAnimOptions(
        config="tiny", steps=4, minutes=5, items=1, points=200, folder=tmp_path / "run", samples=samples,
        device="cpu", picture_every=0,
    )  # fmt: skip
    return replace(made, **changes)


@pytest.mark.parametrize("changed", [False, True])
def test_points_and_pictures_of_an_item_belong_together(changed):
    """Flipped, shifted or not: labelled points, true cloud and readings lie on the same ball, in the same places."""
    for seed in range(4):
        drawing = Drawing(points=500, changed=changed)
        inputs, targets = view_item(stored_ball(), 0, drawing, SIZE, np.random.default_rng(seed))
        far = targets.sdf[0] == 1.0
        middle = (targets.points - targets.normal * (targets.sdf[..., None] + RADIUS))[0][~far]
        assert middle.std(0).max() < 0.004
        assert far.sum() == 60 and ((targets.points[0, far] - middle.mean(0)).norm(dim=-1) > RADIUS + 0.09).all()
        assert ((targets.cloud[0] - middle.mean(0)).norm(dim=-1) - RADIUS).abs().max() < 0.003
        assert ((targets.free[0] - middle.mean(0)).norm(dim=-1) > RADIUS).all()
        pixels = targets.cloud[0, :, :2] / targets.cloud[0, :, 2:] * inputs.intrinsics[0, :2] + inputs.intrinsics[0, 2:]
        u, v = torch.round(pixels).long().unbind(-1)
        assert inputs.mask[0, 0, v, u].all()


def test_batches_are_a_function_of_the_step(samples):
    poses = Poses(samples, "train")
    one, two, other = (batch_at(poses, step, Drawing(items=2, points=50), SIZE) for step in (3, 3, 4))
    assert torch.equal(one[1].points, two[1].points) and torch.equal(one[0].depth, two[0].depth)
    assert not torch.equal(one[1].points, other[1].points)
    threads = batch_at(poses, 3, Drawing(items=2, points=50, threads=3), SIZE)
    assert torch.equal(one[1].points, threads[1].points) and torch.equal(one[0].color, threads[0].color)


def test_poses_come_in_while_training(samples):
    poses = Poses(samples, "train")
    np.savez(samples / "train_000001_0.npz", **stored_ball(1))
    np.savez(samples / "train_000002_0.npz")
    assert poses.refresh() == 2, "the empty file says that nobody was seen"


def test_sampling_by_area_takes_fewer_small_parts():
    pose = stored_ball()
    drawn = view_item(pose, 0, Drawing(points=400, part_aware=False, changed=False), SIZE, np.random.default_rng(0))
    assert drawn[1].points.shape == (1, 400, 3)


def test_a_run_resumes_and_its_weights_answer_alike(samples, tmp_path):
    torch.manual_seed(0)
    whole = run_train_anim(options(samples, tmp_path, folder=tmp_path / "whole"))
    run_train_anim(options(samples, tmp_path, steps=4, minutes=1e-9))
    first = checkpoints(tmp_path / "run")
    halves = run_train_anim(options(samples, tmp_path))
    assert first and checkpoints(tmp_path / "run")[-1].name == "checkpoint-00000004.pt"
    one, two = load_anim(whole), load_anim(halves)
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name]), name
    told = json.loads((tmp_path / "run" / "training.json").read_text())
    assert told["steps"] == 4 and told["val"]["seen_mm"] > 0 and "no_body_unseen_mm" in told["val"]


def test_a_checkpoint_travels_in_parts(samples, tmp_path, monkeypatch):
    weights = run_train_anim(options(samples, tmp_path, steps=1))
    monkeypatch.setattr("likeness.jobs.anim_slices.PART_BYTES", 500_000)
    out, there = tmp_path / "out", tmp_path / "there"
    bring_back(tmp_path / "run", weights, out)
    parts = sorted(out.glob("checkpoint-*.pt.*"))
    assert len(parts) > 1 and PART_BYTES < 16 * 2**20 and (out / weights.name).is_file()
    joined(out, there)
    assert checkpoints(there)[0].read_bytes() == checkpoints(tmp_path / "run")[-1].read_bytes()
    assert read_table(there) == read_table(tmp_path / "run")
    parts[0].unlink()
    with pytest.raises(LikenessError, match="whole checkpoint"):
        joined(out, tmp_path / "again")


def test_wrong_options_are_refused(samples, tmp_path):
    for changes in ({"config": "huge"}, {"row": "PIFu"}, {"stage": "mixed"}):
        with pytest.raises(LikenessError, match="There is no"):
            config_of(options(samples, tmp_path, **changes))
    with pytest.raises(LikenessError, match="no poses"):
        run_train_anim(options(tmp_path / "nothing", tmp_path))
    with pytest.raises(LikenessError, match="weights to begin from"):
        run_train_anim(options(samples, tmp_path, pairs=tmp_path))


def ball_mesh(rings=24, sectors=48):
    """A closed ball: vertices about the origin, outward faces."""
    theta = np.linspace(0, np.pi, rings + 1)[:, None]
    phi = np.linspace(0, 2 * np.pi, sectors, endpoint=False)
    grid = np.stack([np.sin(theta) * np.cos(phi), np.cos(theta) + 0 * phi, np.sin(theta) * np.sin(phi)], -1)
    number = np.arange((rings + 1) * sectors).reshape(rings + 1, sectors)
    a, b, c, d = number[:-1], np.roll(number[:-1], -1, 1), number[1:], np.roll(number[1:], -1, 1)
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)]).reshape(-1, 3)
    corners = grid.reshape(-1, 3)[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return (RADIUS * grid.reshape(-1, 3) + CENTRE).astype(np.float32), faces[area > 1e-9].astype(np.int32)


def test_the_row_without_the_depth_loss_learns_without_it(samples, tmp_path):
    run_train_anim(options(samples, tmp_path, steps=20, row="ANIM without L_depth", points=50))
    told = read_table(tmp_path / "run")[-1]
    assert told["loss"] == pytest.approx(told["sdf"] + told["sign"], abs=1e-3) and "depth" not in told


def test_a_pair_becomes_a_sample():
    vertices, faces = ball_mesh()
    scan = Scan("ball", "ball", "pair", vertices, faces, np.zeros((len(faces), 3, 2), np.float32),
                np.full((4, 4, 3), 200, np.uint8), np.eye(4), 1.0)  # fmt: skip
    depth = ball_depth()
    made = pair_arrays(Pair(scan, VIEW, np.full((SIZE, SIZE, 3), 90, np.uint8), depth, None), SIZE)
    truth = np.linalg.norm(made["position"] * STEP_M + made["origin"] - CENTRE, axis=1) - RADIUS
    near = np.abs(truth) < 0.05
    # The polyhedron lies 2 mm within the ball.
    assert np.abs(made["sdf"] * FINE_M - truth)[near].max() < 0.006
    assert made["body_first"].max() == 0 and (made["depth"] > 0).mean() > 0.3
    inputs, targets = view_item(made, 0, Drawing(points=300, changed=False), SIZE, np.random.default_rng(0))
    middle = torch.from_numpy(VIEW.to_camera(CENTRE[None])[0])
    near = targets.sdf[0] < 0.5
    assert (((targets.points[0] - middle).norm(dim=-1) - RADIUS) - targets.sdf[0])[near].abs().median() < 0.004
    assert inputs.size == SIZE
    with pytest.raises(LikenessError, match="no reading"):
        pair_arrays(Pair(scan, VIEW, np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros_like(depth), None), SIZE)


def test_a_made_pose_agrees_with_its_pictures():
    """Labels and pictures come from different code: points before the true depth are outside, points just behind it
    are inside."""
    plan = Plan(views=1, points=3000, image=96, sensor="azure_kinect", voxel_m=0.02)
    made = pose_arrays(load_pack(), plan, 5, 0)
    turn = made["camera_from_world"][0]
    points = (made["position"] * STEP_M + made["origin"]) @ turn[:3, :3].T + turn[:3, 3]
    fx, fy, cx, cy = made["camera"][0]
    u, v = points[:, 0] / points[:, 2] * fx + cx, points[:, 1] / points[:, 2] * fy + cy
    inside = (u > 0) & (v > 0) & (u < 95) & (v < 95)
    clean = made["clean"][0] * STEP_M
    u, v = np.round(u).astype(int).clip(0, 95), np.round(v).astype(int).clip(0, 95)
    deep, sdf = clean[v, u], made["sdf"] * FINE_M
    before = inside & (deep > 0) & (points[:, 2] < deep - 0.04)
    behind = inside & (deep > 0) & (points[:, 2] > deep + 0.006) & (points[:, 2] < deep + 0.014)
    assert before.sum() > 100 and (sdf[before] > -0.003).mean() > 0.99
    assert behind.sum() > 30 and (sdf[behind] < 0.004).mean() > 0.8
    first, leaves, enters, last = (made[name][0].astype(int) for name in BODY)
    hit = first > 0
    assert (leaves[hit] >= first[hit]).mean() > 0.98 and (enters[hit] <= last[hit]).mean() > 0.98
    one = hit & (np.abs(leaves - last) < 3)
    assert 0.5 < one[hit].mean() < 1 and (np.abs(enters - first)[one] < 3).mean() > 0.95, "rays that meet one limb"
    body = (made["body_first"][0] > 0) & (clean > 0)
    assert body.mean() > 0.5 * (clean > 0).mean(), "the disturbed body stands where the person does"
    noise = np.abs(made["depth"][0] * STEP_M - clean)[(made["depth"][0] > 0) & (clean > 0)]
    assert 0 < np.median(noise) < 0.02


def test_pictures_show_the_zero_level():
    torch.manual_seed(0)
    net = AnimNet(TINY).eval()
    state = net.encode(view_item(stored_ball(), 0, Drawing(changed=False), SIZE, np.random.default_rng(0))[0])
    assert sheet([state], 16, 32).shape == (32, 5 * 32, 3)
    assert np.isfinite(dense_mesh(state, 16)[0]).all()
    vertices, faces = ball_mesh()
    local = VIEW.to_camera(vertices)
    front = shaded(local, faces, local.mean(0), turn_deg=0, size=64, height_m=1.0)
    there = front[..., 0] > 45
    assert there.mean() == pytest.approx(np.pi * RADIUS**2, rel=0.05)
    # Light comes from the upper left of whoever looks.
    assert front[20, 20].mean() > front[44, 44].mean() + 20


def test_judging_tells_sides_and_bodies_apart(samples):
    torch.manual_seed(0)
    told = judged(AnimNet(TINY), Poses(samples, "val"), Drawing())
    assert {"seen_mm", "unseen_mm", "wrong_sign", "no_body_seen_mm"} <= set(told)


def test_training_needs_nothing_that_a_bare_machine_lacks():
    """numpy, torch, SciPy, scikit-image and Pillow are all there is on a borrowed GPU machine."""
    code = (
        "import sys\n"
        "for name in ('trimesh', 'igl', 'embreex', 'msgspec', 'safetensors', 'open_clip', 'torchvision', 'smplx'):\n"
        "    sys.modules[name] = None\n"
        "from likeness.cli import main\n"
        "import likeness.jobs.train_anim, likeness.jobs.anim_pairs\n"
        "from likeness.surface.weights import save_weights\n"
        "raise SystemExit(main(['train', 'anim', '--config', 'huge']) != 2)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_on_top_of_a_guess_only_what_stands_on_it_learns(samples, tmp_path):
    chosen = options(samples, tmp_path, config="layered", steps=2)
    net = load_anim(run_train_anim(chosen, log=lambda _: None))
    start = load_network(WEIGHTS)
    assert net.layers is not None
    assert all(torch.equal(a, b) for a, b in zip(net.layers.parameters(), start.parameters()))
    assert net.head.mlp.last.weight.abs().max() > 0
    kept = {path: path.read_bytes() for path in (chosen.folder / "guesses").glob("*.npz")}
    assert kept
    run_train_anim(replace(chosen, steps=3), log=lambda _: None)
    assert all(path.read_bytes() == data for path, data in kept.items())


def test_a_turned_view_turns_its_body():
    ball = stored_ball()
    view = Stored(ball["depth"][0] * STEP_M, ball["mask"][0], np.stack([ball[n][0] for n in BODY]) * STEP_M, CAMERA)
    there, back = view.turned(True), view.turned(True).turned(True)
    assert back.camera == view.camera and np.array_equal(back.hits, view.hits)
    assert np.array_equal(there.body(there.camera).leaves, view.hits[1][:, ::-1].astype(float))
    points = there.capture().points() * (-1, 1, 1)
    assert np.sort(points[:, 0]) == pytest.approx(np.sort(view.capture().points()[:, 0]), abs=1e-5)
