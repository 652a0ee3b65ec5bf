"""Trains the two-layer network from the people pack: makes samples, trains in slices, writes the weights that ship.

    python -m likeness.jobs.train_layers samples FOLDER --split train --people 0:400
    python -m likeness.jobs.train_layers samples FOLDER --split train --people 400:500 --poses 2 --views 3 --fitted
    python -m likeness.jobs.train_layers train FOLDER --out RUN --steps 2000 --seconds 600
    python -m likeness.jobs.train_layers export RUN WEIGHTS.safetensors

Each resumes where it stopped. Needs NumPy, torch, SciPy, scikit-image and Pillow alone.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from likeness.jobs.fitted_bodies import product_fit
from likeness.jobs.layer_samples import Plan, make_shards
from likeness.jobs.layer_views import LayerViews
from likeness.jobs.training import Trainer, TrainSettings, averaged_weights
from likeness.surface.layers.features import Pictures, both_layers, features, first_guess, rays
from likeness.surface.layers.losses import Truth, layer_loss, unit_normals
from likeness.surface.layers.network import LayerNetwork, NetworkSettings
from likeness.surface.weights import load_weights, save_weights

BATCH = 8
SHOWN = 8


class LayersTask:
    """The two-layer network's batches and loss; pictures show the first views of the validation split.

    size: images a batch. chosen: views that the figures are measured on, None without a validation split.
    """

    def __init__(self, train: LayerViews, chosen: LayerViews | None, size: int = BATCH, seed: int = 0) -> None:
        self.train, self.chosen, self.size, self.seed = train, chosen, size, seed

    def batch(self, step: int, rank: int, ranks: int) -> tuple[Pictures, Truth]:
        """See LayerViews.batch; ranks draw on their own."""
        del ranks
        return self.train.batch(self.size, self.seed, step, rank)

    def images(self, batch: tuple[Pictures, Truth]) -> int:
        """How many views."""
        return len(batch[0].mask)

    def loss(self, model: nn.Module, batch: tuple[Pictures, Truth], step: int) -> dict[str, Tensor]:
        """See `layer_loss`."""
        del step
        pictures, truth = batch
        front, back = both_layers(pictures, model(features(pictures)))
        return layer_loss(pictures, truth, front, back)

    def pictures(self, model: nn.Module, step: int, folder: Path) -> None:
        """A sheet of backs (columns: reading, first guess, network, truth) and a line of figures on unseen people."""
        if self.chosen is None:
            return
        figures = {"step": step, **measured(model, self.chosen)}
        with (folder.parent / "figures.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(figures) + "\n")
        spread = np.linspace(0, len(self.chosen) - 1, min(SHOWN, len(self.chosen))).astype(int)
        Image.fromarray(back_sheet(model, self.chosen, spread)).save(folder / f"{step:08d}.png")


def measured(model: nn.Module, views: LayerViews, batch: int = 16, most: int = 48) -> dict[str, float]:
    """Errors of the back on stored views with disturbed bodies, grossly wrong ones, and fitted ones, each beside the
    same views without any (none, gross_none, fitted_none); cm, degrees."""
    gross, fitted = (views.tensors[name].cpu().numpy()[views.by_size] for name in ("gross", "fitted"))
    kinds = {"body": ~gross & ~fitted, "gross": gross, "fitted": fitted}
    groups = {}
    for name, kind in kinds.items():
        index = views.by_size[kind]
        groups[name] = index[np.unique(np.linspace(0, len(index) - 1, min(most, len(index))).astype(int))]
    groups |= {"none": groups["body"], "gross_none": groups["gross"], "fitted_none": groups["fitted"]}
    out: dict[str, float] = {}
    for name, index in groups.items():
        if not len(index):
            continue
        sums: dict[str, list[float]] = {}
        for part in np.array_split(index, -(-len(index) // batch)):
            pictures, truth = views.take(part)
            if name.endswith("none"):
                pictures = pictures.without_body(torch.ones(len(part), dtype=torch.bool, device=views.device))
            front, back = both_layers(pictures, model(features(pictures)))
            for key, value in layer_loss(pictures, truth, front, back).items():
                sums.setdefault(key, []).append(float(value) * len(part))
            guess = layer_loss(pictures, truth, pictures.front, first_guess(pictures))
            for key in ("back_cm", "normals_deg"):
                sums.setdefault(f"guess_{key}", []).append(float(guess[key]) * len(part))
        out |= {f"{name}_{key}": round(math.fsum(values) / len(index), 4) for key, values in sums.items()}
    return out


def back_sheet(model: nn.Module, views: LayerViews, index: NDArray[np.int64]) -> np.ndarray:
    """(rows, columns, 3) u8: normals of views: front as read, first guess of the back, the network's, the truth's."""
    pictures, truth = views.take(index)
    _, back = both_layers(pictures, model(features(pictures)))
    directions = rays(pictures.camera, *pictures.mask.shape[-2:])
    away = pictures.distance[:, None, None]
    inside = pictures.mask & truth.hit
    rows = [
        _shaded(depth + away, directions, shown)
        for depth, shown in (
            (pictures.front, pictures.mask),
            (first_guess(pictures), pictures.mask),
            (back, pictures.mask),
            (truth.last, inside),
        )
    ]
    return np.concatenate(rows, 0)


def _shaded(depth: Tensor, directions: Tensor, shown: Tensor) -> np.ndarray:
    colors = (unit_normals(depth, directions) * 127 + 128) * shown[:, None]
    return np.concatenate(list(colors.clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()), 1)


def train(
    samples: Path,
    out: Path,
    settings: TrainSettings,
    network: NetworkSettings | None = None,
    *,
    weights: Path | None = None,
    batch: int = BATCH,
    seconds: float = math.inf,
    log: Callable[[str], None] | None = None,
) -> Trainer:
    """Train (or go on) in the folder `out` for at most `seconds`; the views that lie in `samples` at the start count.

    weights: what a new run begins with instead of random numbers. Raises ValueError where there are no training views,
    LikenessError("input.weights").
    """
    views = LayerViews(samples, "train", settings.device)
    try:
        chosen: LayerViews | None = LayerViews(samples, "val", settings.device)
    except ValueError:
        chosen = None
    torch.manual_seed(settings.seed)
    model = LayerNetwork(network)
    if weights is not None:
        load_weights(weights, model)
    trainer = Trainer(model, LayersTask(views, chosen, batch, settings.seed), settings, out, log)
    trainer.resume()
    trainer.run(seconds)
    return trainer


def export(run: Path, target: Path, network: NetworkSettings | None = None) -> dict[str, str]:
    """Write a run's averaged weights, rounded to bfloat16; returns the metadata that goes with them."""
    model = LayerNetwork(network)
    metadata = {"network": json.dumps(model.settings.to_dict()), **averaged_weights(run, model)}
    save_weights(target, model, metadata)
    return metadata


def main(arguments: list[str] | None = None) -> int:
    """The commands of the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m likeness.jobs.train_layers")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("samples", help="make views of people")
    make.add_argument("folder", type=Path)
    make.add_argument("--split", choices=("train", "val"), default="train")
    make.add_argument("--people", default="0:400", help="FIRST:END")
    make.add_argument("--pixel-m", type=float, default=Plan.pixel_m)
    make.add_argument("--poses", type=int, default=Plan.poses, help="of each person")
    make.add_argument("--views", type=int, default=Plan.views, help="of each pose")
    make.add_argument("--fitted", action="store_true", help="bodies as the product fits them (some 4 s a view)")
    learn = commands.add_parser("train", help="train or go on")
    learn.add_argument("folder", type=Path)
    learn.add_argument("--out", type=Path, required=True)
    learn.add_argument("--weights", type=Path, help="begin with these")
    learn.add_argument("--steps", type=int, default=2000)
    learn.add_argument("--seconds", type=float, default=math.inf)
    learn.add_argument("--batch", type=int, default=BATCH)
    learn.add_argument("--rate", type=float, default=TrainSettings.learning_rate)
    learn.add_argument("--ema", type=float, default=0.998)
    learn.add_argument("--seed", type=int, default=0)
    learn.add_argument("--device", default="cpu")
    learn.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    learn.add_argument("--picture-every", type=int, default=200)
    ship = commands.add_parser("export", help="write the weights that ship")
    ship.add_argument("run", type=Path)
    ship.add_argument("target", type=Path)
    given = parser.parse_args(arguments)
    _run(given)
    return 0


def _run(given: argparse.Namespace) -> Any:
    if given.command == "samples":
        first, end = (int(n) for n in given.people.split(":"))
        scale = Plan.pixel_m / given.pixel_m
        plan = replace(
            Plan(split=given.split, poses=given.poses, views=given.views),
            pixel_m=given.pixel_m,
            rows=round(Plan.rows * scale),
            columns=round(Plan.columns * scale),
            picture_px=round(Plan.picture_px * scale),
        )
        for path in make_shards(given.folder, plan, range(first, end), fitter=product_fit if given.fitted else None):
            sys.stderr.write(f"{path.name}\n")
        return None
    if given.command == "train":
        settings = TrainSettings(
            steps=given.steps,
            learning_rate=given.rate,
            ema=given.ema,
            seed=given.seed,
            device=given.device,
            precision=given.precision,
            picture_every=given.picture_every,
        )
        return train(given.folder, given.out, settings, weights=given.weights, batch=given.batch, seconds=given.seconds)
    return export(given.run, given.target)


if __name__ == "__main__":
    sys.exit(main())
