"""Trains the colour network from the people pack: makes samples, trains in slices, writes the weights that ship.

    python -m likeness.jobs.train_color samples FOLDER --split train --people 0:100
    python -m likeness.jobs.train_color train FOLDER --out RUN --steps 2000 --seconds 600
    python -m likeness.jobs.train_color export RUN WEIGHTS.safetensors

Each resumes where it stopped. Needs NumPy, torch, SciPy, scikit-image and Pillow alone.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from likeness.jobs.color_samples import Plan, make_shards
from likeness.jobs.color_views import ColorViews, dear
from likeness.jobs.training import Trainer, TrainSettings, averaged_weights
from likeness.surface.color.looks import Looks
from likeness.surface.color.losses import color_loss
from likeness.surface.color.network import ColorNetwork
from likeness.surface.color.predict import save_color

BATCH = 4
SHOWN = 10


class ColorTask:
    """The colour network's batches and loss; pictures show views of the validation split."""

    def __init__(self, train: ColorViews, chosen: ColorViews | None, size: int = BATCH, seed: int = 0) -> None:
        self.train, self.chosen, self.size, self.seed = train, chosen, size, seed

    def batch(self, step: int, rank: int, ranks: int) -> tuple[Looks, Tensor, Tensor]:
        """See ColorViews.batch; ranks draw on their own."""
        del ranks
        return self.train.batch(self.size, self.seed, step, rank)

    def images(self, batch: tuple[Looks, Tensor, Tensor]) -> int:
        """How many views."""
        return len(batch[1])

    def loss(self, model: nn.Module, batch: tuple[Looks, Tensor, Tensor], step: int) -> dict[str, Tensor]:
        """See `color_loss`."""
        del step
        seen, back, known = batch
        return color_loss(model(seen), back, known, dear(seen))

    def pictures(self, model: nn.Module, step: int, folder: Path) -> None:
        """A sheet of far sides and a line of figures on unseen people."""
        if self.chosen is None:
            return
        figures = {"step": step, **measured(model, self.chosen)}
        with (folder.parent / "figures.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(figures) + "\n")
        spread = np.linspace(0, len(self.chosen) - 1, min(SHOWN, len(self.chosen))).astype(int)
        Image.fromarray(sheet(model, self.chosen, spread)).save(folder / f"{step:08d}.png")


def measured(model: nn.Module, views: ColorViews, batch: int = 10) -> dict[str, float]:
    """Mean `color_loss` terms over all stored views."""
    sums: dict[str, float] = {}
    for part in np.array_split(np.arange(len(views)), -(-len(views) // batch)):
        seen, back, known = views.take(part)
        for key, value in color_loss(model(seen), back, known, dear(seen)).items():
            sums[key] = sums.get(key, 0.0) + float(value) * len(part)
    return {key: round(value / len(views), 4) for key, value in sums.items()}


def sheet(model: nn.Module, views: ColorViews, index: NDArray[np.int64]) -> np.ndarray:
    """(rows, columns, 3) u8: views as seen, the network's far side, the true one."""
    seen, back, known = views.take(index)
    shown = seen.mask[:, None]
    rows = [seen.color * shown, model(seen) * shown, back * known[:, None]]
    flat = [torch.cat(list(row), 2).clamp(0, 1) for row in rows]
    return (torch.cat(flat, 1) * 255).byte().permute(1, 2, 0).cpu().numpy()


def train(
    samples: Path,
    out: Path,
    settings: TrainSettings,
    *,
    batch: int = BATCH,
    seconds: float = math.inf,
    log: Callable[[str], None] | None = None,
) -> Trainer:
    """Train (or go on) in the folder `out` for at most `seconds`; the views that lie in `samples` at the start count.

    Raises ValueError where there are no training views.
    """
    views = ColorViews(samples, "train")
    try:
        chosen: ColorViews | None = ColorViews(samples, "val")
    except ValueError:
        chosen = None
    torch.manual_seed(settings.seed)
    trainer = Trainer(ColorNetwork(), ColorTask(views, chosen, batch, settings.seed), settings, out, log)
    trainer.resume()
    trainer.run(seconds)
    return trainer


def export(run: Path, target: Path) -> dict[str, str]:
    """Write a run's averaged weights, rounded to bfloat16; returns the metadata that goes with them."""
    model = ColorNetwork()
    return save_color(target, model, averaged_weights(run, model))


def main(arguments: list[str] | None = None) -> int:
    """The commands of the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m likeness.jobs.train_color")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("samples", help="make views of people")
    make.add_argument("folder", type=Path)
    make.add_argument("--split", choices=("train", "val"), default="train")
    make.add_argument("--people", default="0:100", help="FIRST:END")
    make.add_argument("--poses", type=int, default=Plan.poses, help="of each person")
    make.add_argument("--views", type=int, default=Plan.views, help="of each pose")
    learn = commands.add_parser("train", help="train or go on")
    learn.add_argument("folder", type=Path)
    learn.add_argument("--out", type=Path, required=True)
    learn.add_argument("--steps", type=int, default=2000)
    learn.add_argument("--seconds", type=float, default=math.inf)
    learn.add_argument("--batch", type=int, default=BATCH)
    learn.add_argument("--rate", type=float, default=TrainSettings.learning_rate)
    learn.add_argument("--ema", type=float, default=0.995)
    learn.add_argument("--seed", type=int, default=0)
    learn.add_argument("--picture-every", type=int, default=100)
    ship = commands.add_parser("export", help="write the weights that ship")
    ship.add_argument("run", type=Path)
    ship.add_argument("target", type=Path)
    _run(parser.parse_args(arguments))
    return 0


def _run(given: argparse.Namespace) -> Any:
    if given.command == "samples":
        first, end = (int(n) for n in given.people.split(":"))
        plan = Plan(split=given.split, poses=given.poses, views=given.views)
        for path in make_shards(given.folder, plan, range(first, end)):
            sys.stderr.write(f"{path.name}\n")
        return None
    if given.command == "train":
        settings = TrainSettings(
            steps=given.steps,
            learning_rate=given.rate,
            ema=given.ema,
            seed=given.seed,
            picture_every=given.picture_every,
        )
        return train(given.folder, given.out, settings, batch=given.batch, seconds=given.seconds)
    return export(given.run, given.target)


if __name__ == "__main__":
    sys.exit(main())
