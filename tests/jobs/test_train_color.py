"""Stored views with far sides become batches, and the commands run from samples to weights."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from likeness.core.errors import LikenessError  # noqa: E402
from likeness.jobs.color_samples import Plan, person_samples  # noqa: E402
from likeness.jobs.color_views import ColorViews  # noqa: E402
from likeness.jobs.layer_samples import shard_path  # noqa: E402
from likeness.jobs.train_color import main, measured  # noqa: E402
from likeness.jobs.training import averaged_weights  # noqa: E402
from likeness.surface.color.looks import MARKS, PIXEL_M  # noqa: E402
from likeness.surface.color.network import ColorNetwork  # noqa: E402
from likeness.surface.color.predict import load_color  # noqa: E402
from likeness.synthesis.pack import load_pack  # noqa: E402

ROWS, COLUMNS = 48, 32


def shard(seed: int, count: int = 3) -> dict[str, np.ndarray]:
    """Upright boards that are of one colour above and of another below, the same behind."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    mask = np.stack([(np.abs(columns - 16) < 4 + k) & (np.abs(rows - 24) < 18) for k in range(count)])
    colors = rng.integers(20, 230, (count, 2, 3)).astype(np.uint8)
    color = np.where((rows < 24)[None, ..., None], colors[:, :1, None], colors[:, 1:, None])
    marks = np.zeros((count, ROWS, COLUMNS, MARKS), np.float16)
    marks[..., 0], marks[..., 1], marks[..., 4] = (columns - 16) / 60, (24 - rows) / 40, 1
    marks[~mask] = np.nan
    return {"color": color, "back": color, "mask": mask, "known": mask, "first": marks, "last": marks,
            "person": np.full(count, seed, np.int32)}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for split, seeds in (("train", (0, 1)), ("val", (2,))):
        for seed in seeds:
            np.savez_compressed(shard_path(tmp_path, split, seed), **shard(seed))
    return tmp_path


def test_a_batch_depends_on_its_numbers_alone_and_keeps_both_sides_alike(folder) -> None:
    views = ColorViews(folder, "train")
    assert len(views) == 6
    first, again, other = views.batch(4, 0, 7), views.batch(4, 0, 7), views.batch(4, 0, 8)
    assert torch.equal(first[0].color, again[0].color) and torch.equal(first[1], again[1])
    assert first[1].shape != other[1].shape or not torch.equal(first[1], other[1])
    seen, back, known = first
    # Light and swapped channels change both sides in the same way, and mirrors too.
    shown = known[:, None].expand_as(back)
    assert torch.equal(seen.color[shown], back[shown])
    assert (seen.first[:, 4][seen.mask] == 1).all()
    with pytest.raises(ValueError):
        ColorViews(folder, "test")


def test_what_is_known_at_once_is_measured_small(folder) -> None:
    """Untrained, colours come from the same height: on boards only the border between both is blurred."""
    torch.manual_seed(0)
    with torch.no_grad():
        figures = measured(ColorNetwork().eval(), ColorViews(folder, "val"))
    assert figures["delta_e"] < 12


def test_train_and_export(folder, tmp_path) -> None:
    run, weights = tmp_path / "run", tmp_path / "color.safetensors"
    command = ["train", str(folder), "--out", str(run), "--steps", "2", "--batch", "2", "--picture-every", "2"]
    assert main(command) == 0
    assert (run / "pictures" / "00000002.png").is_file()
    assert main(["export", str(run), str(weights)]) == 0
    assert weights.stat().st_size < 1_200_000
    assert load_color(weights).settings.pixel_m == PIXEL_M


def test_samples_know_the_far_side() -> None:
    """One view of one person: where skin is truth, its colour behind is near that of some skin in front."""
    made = person_samples(load_pack(), Plan(poses=1, views=1, split="val"), 0)
    assert made["color"].shape == made["back"].shape and made["color"].dtype == np.uint8
    mask, known = made["mask"][0], made["known"][0]
    assert mask.sum() > 200 and (known & mask).sum() > 0.3 * mask.sum()
    hit = np.isfinite(made["first"][0, ..., 0].astype(np.float32))
    # Bodies lie under clothes and are a few centimetres off.
    assert (hit & mask).sum() > 0.6 * mask.sum()
    np.testing.assert_allclose(made["last"][0][hit][:, 3:].astype(np.float32).sum(1), 1, atol=0.01)
    front, back = (made[name][0][known & mask].astype(float).mean(0) for name in ("color", "back"))
    assert np.abs(front - back).max() < 60


def test_export_refuses_another_networks_run(folder, tmp_path) -> None:
    run = tmp_path / "run"
    assert main(["train", str(folder), "--out", str(run), "--steps", "1", "--batch", "2"]) == 0
    with pytest.raises(LikenessError, match="another network"):
        averaged_weights(run, torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="no checkpoint"):
        averaged_weights(tmp_path, torch.nn.Linear(2, 2))
