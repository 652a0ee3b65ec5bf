"""The shared training loop: a stopped run goes on as if it had never stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from likeness.core.errors import LikenessError  # noqa: E402
from likeness.jobs.training import Trainer, TrainSettings, checkpoints, read_table  # noqa: E402

TRUTH = torch.tensor([[1.0, -2.0, 3.0]])


class Line:
    """Fit a line: batch k is drawn from k alone."""

    def __init__(self, at: dict[int, object] | None = None) -> None:
        self.at = at or {}
        self.shown: list[int] = []

    def batch(self, step, rank, ranks):
        generator = torch.Generator().manual_seed(step * ranks + rank)
        x = torch.randn(16, 3, generator=generator)
        return x, x @ TRUTH.T

    def images(self, batch):
        return len(batch[0])

    def loss(self, model, batch, step):
        action = self.at.get(step)
        if action:
            action()
        error = (model(batch[0]) - batch[1]).square().mean()
        return {"loss": error, "off": error.sqrt()}

    def pictures(self, model, step, folder):
        self.shown.append(step)
        (folder / f"{step}.txt").write_text("x")


def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 1))


def trainer(folder, task=None, **changes):
    values = {"steps": 40, "warmup": 5, "table_every": 10, "precision": "fp32", "learning_rate": 0.02} | changes
    return Trainer(net(), task or Line(), TrainSettings(**values), Path(folder), log=lambda line: None)


def weights(made):
    return torch.cat([p.detach().reshape(-1) for p in (*made.model.parameters(), *made.averaged.parameters())])


@pytest.mark.parametrize("prefetch", [0, 2])
def test_resuming_equals_never_stopping_to_the_bit(tmp_path, prefetch):
    whole = trainer(tmp_path / "a")
    assert whole.run()
    task = Line()
    first = trainer(tmp_path / "b", task, prefetch=prefetch)
    task.at = {16: first.stop}
    assert not first.run()
    assert first.step == 17
    second = trainer(tmp_path / "b", prefetch=prefetch)
    assert second.resume()
    assert second.run()
    assert torch.equal(weights(whole), weights(second))
    assert whole.images == second.images == 40 * 16
    assert [row["step"] for row in read_table(tmp_path / "b")] == [10, 20, 30, 40]


def test_it_learns_and_the_average_follows(tmp_path):
    made = trainer(tmp_path, steps=150, ema=0.9)
    made.run()
    x = torch.eye(3)
    for model in (made.model, made.averaged):
        assert torch.allclose(model(x), x @ TRUTH.T, atol=0.05)
    rows = read_table(tmp_path)
    assert rows[-1]["loss"] < 1e-2 * rows[0]["loss"]
    assert 0 < rows[-1]["off"] < rows[0]["off"]


def test_a_signal_leaves_a_checkpoint_of_the_last_whole_step(tmp_path):
    task = Line({7: lambda: os.kill(os.getpid(), signal.SIGTERM)})
    before = signal.getsignal(signal.SIGTERM)
    made = trainer(tmp_path, task)
    assert not made.run()
    assert made.step == 8
    assert signal.getsignal(signal.SIGTERM) is before
    again = trainer(tmp_path)
    assert again.resume()
    assert again.step == 8


def test_time_runs_out(tmp_path):
    made = trainer(tmp_path)
    assert not made.run(seconds=0)
    assert made.step == 0
    assert len(checkpoints(tmp_path)) == 1


def test_two_checkpoints_stay_and_halves_of_one_are_none(tmp_path):
    made = trainer(tmp_path, save_every_s=-1)
    made.run()
    assert [p.name for p in checkpoints(tmp_path)] == ["checkpoint-00000039.pt", "checkpoint-00000040.pt"]
    (tmp_path / "checkpoint-00000099.part").write_bytes(b"half")
    again = trainer(tmp_path)
    assert again.resume()
    assert again.step == 40


def test_another_network_is_refused_in_a_sentence(tmp_path):
    trainer(tmp_path).run(seconds=0)
    other = Trainer(torch.nn.Linear(2, 2), Line(), TrainSettings(steps=1), tmp_path)
    with pytest.raises(LikenessError) as caught:
        other.resume()
    assert caught.value.code == "input.checkpoint"


def test_the_rate_rises_and_falls(tmp_path):
    made = trainer(tmp_path, steps=100, warmup=10, learning_rate=1.0, final_rate=0.1)
    rates = [made.rate(step) for step in range(101)]
    assert np.all(np.diff(rates[:10]) > 0)
    assert np.all(np.diff(rates[10:]) < 0)
    assert rates[9] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)


def test_steps_without_a_number_are_left_out_and_many_are_a_defect(tmp_path):
    class Broken(Line):
        def loss(self, model, batch, step):
            return {"loss": super().loss(model, batch, step)["loss"] * (float("nan") if step in self.at else 1.0)}

    made = trainer(tmp_path / "a", Broken(dict.fromkeys(range(5))), steps=5)
    start = weights(made)
    made.run()
    assert torch.equal(start, weights(made))
    with pytest.raises(FloatingPointError):
        trainer(tmp_path / "b", Broken(dict.fromkeys(range(40)))).run()


def test_pictures_come_when_due(tmp_path):
    task = Line()
    trainer(tmp_path, task, picture_every=15).run()
    assert task.shown == [15, 30]
    assert (tmp_path / "pictures" / "30.txt").exists()
