"""Stored views become batches, fits go wrong as told, and the commands run from samples to weights."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from likeness.body.model import load_default  # noqa: E402
from likeness.core.camera import Camera  # noqa: E402
from likeness.core.errors import LikenessError  # noqa: E402
from likeness.core.fit import Fit  # noqa: E402
from likeness.core.tensors import read_tensors  # noqa: E402
from likeness.jobs.fit_errors import disturbed  # noqa: E402
from likeness.jobs.layer_samples import NOTHING, STEP_M, Plan, person_samples, shard_path  # noqa: E402
from likeness.jobs.layer_views import FITTED_TIMES, LayerViews  # noqa: E402
from likeness.jobs.train_layers import LayersTask, main, measured  # noqa: E402
from likeness.surface.layers import spans  # noqa: E402
from likeness.surface.layers.network import LayerNetwork, NetworkSettings  # noqa: E402
from likeness.surface.layers.spans import fit_surface  # noqa: E402
from likeness.synthesis.pack import load_pack  # noqa: E402

ROWS, COLUMNS = 64, 48
SMALL = NetworkSettings(widths=(8, 16), groups=4)


def shard(seed, count=3):
    """Tubes of some width, 20 cm deep; the body 1 cm nearer in front and shallower behind."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    out = {name: [] for name in ("mask", "front", "camera", "gross")}
    for k in range(count):
        half = rng.integers(3, 20)
        out["mask"].append((np.abs(columns - 24) < half) & (np.abs(rows - 30) < 20 + k))
        out["front"].append(np.where(out["mask"][-1], rng.integers(-300, 300, (ROWS, COLUMNS)), NOTHING))
        out["camera"].append((170.0, 170.0, 20.0, 31.0))
        out["gross"].append(k == 0)
    mask, front = np.stack(out["mask"]), np.stack(out["front"]).astype(np.int16)
    deeper = np.where(mask, front + int(0.2 / STEP_M), NOTHING).astype(np.int16)
    body = np.where(mask, 100, NOTHING).astype(np.int16)
    return {
        "mask": mask, "front": front, "clean": front, "last": deeper, "body_first": body,
        "body_last": np.where(mask, 1900, NOTHING).astype(np.int16), "thickness": (mask * 1500).astype(np.uint16),
        "border": (mask * 4).astype(np.uint8), "camera": np.array(out["camera"], np.float32),
        "distance": np.full(count, 2.0, np.float32), "body_error": np.full(count, 0.03, np.float32),
        "gross": np.array(out["gross"]), "person": np.full(count, seed, np.int32),
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for split, seeds in (("train", (0, 1)), ("val", (2,))):
        for seed in seeds:
            np.savez_compressed(shard_path(tmp_path, split, seed), **shard(seed))
    return tmp_path


def test_a_window_holds_the_person_and_keeps_its_place(folder):
    views = LayerViews(folder, "train")
    assert len(views) == 6
    for k in range(6):
        pictures, truth = views.take(np.array([k]))
        stored = views.tensors["mask"][k]
        assert int(pictures.mask.sum()) == int(stored.sum())
        assert all(n % 16 == 0 or n == full for n, full in zip(pictures.mask.shape[1:], (ROWS, COLUMNS), strict=True))
        # A pixel looks along the same ray as before.
        v, u = (n[0].item() for n in torch.nonzero(pictures.mask[0], as_tuple=True))
        v0, u0 = (n[0].item() for n in torch.nonzero(stored, as_tuple=True))
        moved = pictures.camera[0, 2:] - torch.tensor([u, v])
        assert torch.equal(moved, views.tensors["camera"][k, 2:] - torch.tensor([u0, v0]))
        inside = pictures.mask & truth.hit
        torch.testing.assert_close((truth.last - pictures.front)[inside], torch.full((int(inside.sum()),), 0.2))


def test_a_batch_depends_on_its_numbers_alone(folder):
    views = LayerViews(folder, "train")
    for numbers in ((4, 0, 0), (4, 0, 1), (4, 1, 0)):
        one, two = views.batch(*numbers), views.batch(*numbers)
        for first, second in zip(one, two, strict=True):
            for name in vars(first):
                assert torch.equal(getattr(first, name), getattr(second, name)), name
    assert not torch.equal(views.batch(4, 0, 0)[0].front, views.batch(4, 0, 1)[0].front)


def test_some_bodies_are_dropped_and_some_people_mirrored(folder):
    views = LayerViews(folder, "train")
    bare = mirrored = 0
    for step in range(40):
        pictures, truth = views.batch(4, 0, step)
        bare += int((~pictures.body.any((1, 2))).sum())
        width = pictures.mask.shape[2]
        mirrored += int((pictures.camera[:, 2] > width / 2).sum())
        inside = pictures.mask & truth.hit & pictures.known
        # Noise is millimetres; what the truth says of the back does not move.
        assert float((truth.first - pictures.front)[inside].abs().max()) < 0.03
    assert 15 < bare < 55
    assert 40 < mirrored < 120


def test_the_commands_run_from_samples_to_weights(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("likeness.jobs.train_layers.LayerNetwork", lambda network=None: LayerNetwork(SMALL))
    run, target = tmp_path / "run", tmp_path / "w.safetensors"
    words = ["train", str(folder), "--out", str(run), "--steps", "3", "--batch", "2", "--picture-every", "2"]
    assert main(words) == 0
    assert (run / "pictures" / "00000002.png").exists()
    figures = json.loads((run / "figures.jsonl").read_text("utf-8"))
    assert {"body_back_cm", "none_back_cm", "gross_back_cm", "gross_none_back_cm"} <= set(figures)
    assert main(["export", str(run), str(target)]) == 0
    tensors, metadata = read_tensors(target)
    assert metadata["steps"] == "3"
    assert metadata["images"] == "6"
    assert NetworkSettings.from_dict(json.loads(metadata["network"])) == SMALL
    assert set(tensors) == set(LayerNetwork(SMALL).state_dict())
    # A new run can begin with them.
    words = ["train", str(folder), "--out", str(tmp_path / "more"), "--steps", "0", "--weights", str(target)]
    assert main(words) == 0
    assert main(["export", str(tmp_path / "more"), str(tmp_path / "again.safetensors")]) == 0
    again, _ = read_tensors(tmp_path / "again.safetensors")
    assert all(np.array_equal(again[name], values) for name, values in tensors.items())


def test_training_beats_the_first_guess(folder):
    torch.manual_seed(0)
    views = LayerViews(folder, "train")
    task, model = LayersTask(views, None, 4), LayerNetwork(SMALL)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for step in range(40):
        loss = task.loss(model, task.batch(step, 0, 1), step)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = measured(model, views)
    assert found["body_back_cm"] < 0.9 * found["body_guess_back_cm"]
    assert found["none_back_cm"] < 0.8 * found["none_guess_back_cm"]


def test_fits_err_by_centimetres_and_gross_ones_by_more():
    model = load_default("smplh", betas=30)
    pose, betas = np.zeros((52, 3)), np.zeros(30)
    true = model.posed(betas, pose)[1][:22]

    def errors(gross, seeds=24):
        out = []
        for seed in range(seeds):
            fit = disturbed(model, pose, betas, np.random.default_rng(seed), gross=gross)
            out.append(np.linalg.norm(fit.joints[:22] + fit.shift - true, axis=1).mean())
        return np.median(out)

    usual = errors(False)
    assert 0.015 < usual < 0.045
    assert errors(True) > usual
    one, two = (disturbed(model, pose, betas, np.random.default_rng(1)).vertices for _ in range(2))
    assert np.array_equal(one, two)


def test_views_with_fitted_bodies_are_drawn_more_often(folder):
    path = shard_path(folder, "train", 0)
    kept = shard(0)
    kept["fitted"] = np.array([True, False, False])
    # Views are told apart by their distance.
    kept["distance"] = np.array([3.0, 2.0, 2.0], np.float32)
    np.savez_compressed(path, **kept)
    views = LayerViews(folder, "train")
    drawn = np.concatenate([views.batch(4, 0, step)[0].distance.numpy() for step in range(60)])
    # One of six, drawn as often as FITTED_TIMES others.
    assert (drawn == 3).mean() == pytest.approx(FITTED_TIMES / (FITTED_TIMES + 5), abs=0.12)
    with torch.no_grad():
        found = measured(LayerNetwork(SMALL), views)
    assert {"fitted_back_cm", "fitted_none_back_cm", "body_back_cm", "gross_back_cm"} <= set(found)


def standing(capture):
    """A fit of a body that stands where the readings are."""
    pose = np.zeros((52, 3), np.float32)
    pose[0] = (np.pi, 0.4, 0.3)
    return Fit(pose, np.full(30, 0.3, np.float32), capture.points().mean(0).astype(np.float32), capture.camera)


def test_bodies_are_fitted_as_a_user_s_and_disturbed_where_that_fails():
    """The fitted body's hits are those of rays on the fit's own surface; a view whose fit fails keeps its other one."""
    seen = []

    def fitter(capture):
        seen.append(capture)
        if len(seen) > 1:
            raise LikenessError("body.fit", "Nobody.", "Look.")
        return standing(capture)

    pack, plan = load_pack(), Plan(poses=1, views=2, picture_px=128)
    made = person_samples(pack, plan, 1, fitter)
    assert made["fitted"].tolist() == [True, False] and not made["gross"][0]
    capture = seen[0]
    assert capture.color.std() > 10 and capture.valid.sum() > 200 and not capture.depth[~capture.mask].any()
    vertices, faces = fit_surface(standing(capture))
    rows, columns = made["mask"].shape[1:]
    camera = Camera(*(float(n) for n in made["camera"][0]), columns, rows)
    rays = spans.body_hits(vertices, faces, camera)
    for name, true in (("body_first", rays.first), ("body_last", rays.last)):
        stored = made[name][0]
        both = (stored != NOTHING) & (true > 0)
        assert both.sum() > 300 and ((stored != NOTHING) != (true > 0)).mean() < 0.01
        off = np.abs(stored[both] * STEP_M + made["distance"][0] - true[both])
        assert np.median(off) < 1e-4 and np.quantile(off, 0.95) < 1e-3, name
    # The disturbed bodies come from the same draws with and without a fitter.
    usual = person_samples(pack, plan, 1)
    assert made["body_error"][1] == pytest.approx(usual["body_error"][1], abs=1e-6)
    assert made["body_error"][0] != usual["body_error"][0] and not usual["fitted"].any()


def test_people_of_the_pack_become_views():
    pack, plan = load_pack(), Plan(poses=1, views=1, picture_px=128)
    made = next(made for index in range(5) if (made := person_samples(pack, plan, index)))
    hit = made["mask"] & (made["clean"] != NOTHING)
    assert hit.sum() > 300
    # Last hits lie behind first ones, and a sensor reads near the first.
    assert (made["last"][hit] >= made["clean"][hit]).all()
    read = hit & (made["front"] != NOTHING)
    off = np.abs(made["front"][read].astype(float) - made["clean"][read]) * STEP_M
    assert np.median(off) < 0.01
    assert made["body_error"][0] < 0.5
