"""Trains ANIM from the people pack, in slices of minutes, each going on where the last one stopped.

    likeness train anim --config small --minutes 30            on a processor, in the background
    likeness train anim --slice --minutes 9                    one slice of a GPU machine
    likeness train anim --finetune PAIRS                       scans and aligned RGB-D frames of one's own

A GPU slice on a bare machine (numpy, torch, SciPy, scikit-image, Pillow; 16 cores). People cannot travel, they are made
there: all cores but two make poses (a pose of 4 views in 5 to 10 core seconds, 200 a minute and more views than that
after augmentation) into `build/anim/samples`, an ignored folder that outlives a call as long as the machine is warm;
training draws from all that is there already, starts as soon as MIN_POSES are, and takes new ones in as they come. What
is known by then is seen many times over, each time by other points, holes, light, sides and cubes. At the end the
checkpoint goes to $OUT in parts of 15 MiB (weights, average and moments of the full network: 46 MB), with the weights,
the table and the last picture: 7 files. The next slice is given that folder with --from; on the same warm machine it
finds everything in place. Three slices back to back are the plan: 1 and 2 with `--stage noise`, 3 with the rate falling
to its end; --steps is the length of the cosine over all slices and is best set after the first minute of the first.

Stages (rows of the table): 'clean' learns from true depth, 'noise' from simulated sensors with true depth as target;
fine-tuning goes on from weights on pairs at a tenth of the rate.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from likeness.core.errors import LikenessError
from likeness.jobs.anim_data import Drawing, Poses, batch_at, view_item
from likeness.jobs.anim_guesses import Guesses
from likeness.jobs.anim_pairs import write_pairs
from likeness.jobs.anim_pictures import sheet
from likeness.jobs.anim_samples import Makers, Plan
from likeness.jobs.anim_slices import bring_back, joined
from likeness.jobs.device import resolve_device
from likeness.jobs.training import Trainer, TrainSettings, checkpoints
from likeness.surface.anim.config import PRESETS, WITHOUT_DEPTH_LOSS, AnimConfig, variants
from likeness.surface.anim.inputs import AnimInputs
from likeness.surface.anim.losses import ON_A_GUESS, AnimTargets, LossWeights, anim_losses
from likeness.surface.anim.network import AnimNet
from likeness.surface.layers.predict import WEIGHTS
from likeness.surface.weights import load_weights, save_weights

# Poses that must be there before training begins, and how long to wait for the next one.
MIN_POSES, POLL_S = 8, 2.0
SHOWN_VIEWS, JUDGED_VIEWS = 3, 32
VAL_PEOPLE = 8


@dataclass(frozen=True)
class TrainAnimOptions:
    """config: a preset's name; row: a name of `variants`, '' for the preset itself. steps: length of the schedule.
    minutes: of this call. folder: of checkpoints, table and pictures; samples: where poses lie or are made. people: how
    many of the train split; workers: processes that make them, 0 for none. stage: 'clean' or 'noise'. start: a folder
    with a checkpoint, whole or in parts, to begin from where `folder` has none; weights: a file to begin from anew.
    pairs: a folder of scans and frames to fine-tune on. losses: None for those that suit the network. slice_out: where
    a slice leaves what shall come back."""

    config: str = "full"
    row: str = ""
    steps: int = 12_000
    minutes: float = 60.0
    items: int = 8
    points: int = 8000
    learning_rate: float = 5e-4
    stage: str = "noise"
    folder: Path = Path("build/anim/run")
    samples: Path = Path("build/anim/samples")
    people: int = 1000
    workers: int = 0
    device: str = "auto"
    precision: str = "auto"
    start: Path | None = None
    weights: Path | None = None
    pairs: Path | None = None
    slice_out: Path | None = None
    losses: LossWeights | None = None
    part_aware: bool = True
    body_dropped: float = 0.33
    seed: int = 0
    picture_every: int = 500


class AnimTask:
    """Batches, loss and pictures of one run; see training.Task. Poses that appear while it trains are taken in."""

    def __init__(
        self, poses: Poses, shown: Poses, drawing: Drawing, losses: LossWeights, net: AnimNet, folder: Path
    ) -> None:
        self.poses, self.shown, self.drawing, self.losses = poses, shown, drawing, losses
        self.image = net.config.image
        self.guesses = None if net.layers is None else Guesses(copy.deepcopy(net.layers).cpu().eval(), folder)

    def batch(self, step: int, rank: int, ranks: int) -> tuple[AnimInputs, AnimTargets]:
        """Drawn by step and rank."""
        if step % 20 == 0:
            self.poses.refresh(most=4)
        return batch_at(self.poses, step * ranks + rank, self.drawing, self.image, self.guesses)

    def images(self, batch: tuple[AnimInputs, AnimTargets]) -> int:
        """Views in a batch."""
        return int(batch[0].depth.shape[0])

    def loss(self, model: nn.Module, batch: tuple[AnimInputs, AnimTargets], step: int) -> dict[str, Tensor]:
        """See `anim_losses`."""
        del step
        assert isinstance(model, AnimNet)
        device = next(model.parameters()).device
        return anim_losses(model, batch[0].to(device), batch[1].to(device), self.losses)

    def pictures(self, model: nn.Module, step: int, folder: Path) -> None:
        """Surfaces of unseen people from four sides, and a line of figures on them."""
        assert isinstance(model, AnimNet)
        if not self.shown.poses:
            return
        figures = {"step": step, **judged(model, self.shown, self.drawing, self.guesses)}
        with (folder.parent / "figures.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(figures) + "\n")
        device = next(model.parameters()).device
        drawing = replace(self.drawing, changed=False, body_dropped=0.0)
        inputs = []
        for number, pose in enumerate(self.shown.poses[:SHOWN_VIEWS]):
            guess = self.guesses and self.guesses.keeping((-1, number, 0, 0))
            inputs.append(view_item(pose, 0, drawing, self.image, np.random.default_rng(0), guess=guess)[0])
        states = [model.encode(one.to(device)) for one in inputs]
        Image.fromarray(sheet(states)).save(folder / f"{step:08d}.png")


@torch.no_grad()
def judged(
    net: AnimNet, poses: Poses, drawing: Drawing, guesses: Guesses | None = None, most: int = JUDGED_VIEWS
) -> dict[str, float]:
    """Errors on stored views: mean |f - s| in mm within 2 cm of the surface, on the seen and the unseen side, share of
    wrong signs within 2 to 8 cm, and the same with no body and with grossly wrong ones."""
    device = next(net.parameters()).device
    was = net.training
    net.eval()
    sums: dict[str, list[float]] = {}
    fair = replace(drawing, changed=False, points=6000)
    for number, (pose, view) in enumerate(poses.views[:most]):
        gross = bool(poses.poses[pose]["gross"][view])
        for body in ("", "no_body_") if net.config.body else ("",):
            dropped = replace(fair, body_dropped=1.0 if body else 0.0)
            rng = np.random.default_rng(number)
            guess = guesses and guesses.keeping((-1, pose, view, int(bool(body))))
            inputs, targets = view_item(poses.poses[pose], view, dropped, net.config.image, rng, guess=guess)
            name = body or ("wrong_body_" if gross and net.config.body else "")
            for key, value in _errors(net, inputs.to(device), targets.to(device)).items():
                sums.setdefault(name + key, []).append(value)
    net.train(was)
    return {key: round(float(np.mean(values)), 4) for key, values in sums.items()}


def _errors(net: AnimNet, inputs: AnimInputs, targets: AnimTargets) -> dict[str, float]:
    state = net.encode(inputs)
    found, truth = state.sdf(targets.points[0]), targets.sdf[0]
    surface = targets.points[0] - targets.normal[0] * truth[:, None]
    # Seen: the nearest surface faces the camera and lies within 1.5 cm of its pixel's reading.
    facing = (targets.normal[0] * surface).sum(1) < 0
    near = truth.abs() < 0.02
    far = (truth.abs() > 0.02) & (truth.abs() < 0.08)
    seen = facing & (state.reading(surface).abs() < 0.015)
    miss = (found - truth).abs() * 1000
    wrong = ((found > 0) != (truth > 0)).float()
    return {
        "seen_mm": float(miss[near & seen].mean()),
        "unseen_mm": float(miss[near & ~seen].mean()),
        "wrong_sign": float(wrong[far].mean()),
    }


def run_train_anim(options: TrainAnimOptions, log: Callable[[str], None] | None = None) -> Path:
    """Train for `minutes` or to the schedule's end; returns the file of averaged weights.

    Raises LikenessError("usage.*", "input.samples", "input.checkpoint", "input.weights").
    """
    torch.manual_seed(options.seed)
    config = config_of(options)
    device = resolve_device(options.device)
    started = time.monotonic()
    options = _with_pairs(options, config, log or print_line)
    makers = _makers(options, config) if options.workers else None
    try:
        poses, shown = _waited(options, makers), Poses(options.samples, "val")
        net = AnimNet(config)
        if net.layers is not None:
            load_weights(WEIGHTS, net.layers)
        if options.weights is not None:
            load_weights(options.weights, net)
        drawing = Drawing(
            options.items,
            options.points,
            options.stage == "noise",
            options.part_aware,
            options.body_dropped,
            seed=options.seed,
            threads=4 if device == "cuda" else 1,
        )
        task = AnimTask(poses, shown, drawing, _losses(options, config), net, options.folder / "guesses")
        trainer = Trainer(net, task, _settings(options, device), options.folder, log)
        if not checkpoints(options.folder) and options.start is not None:
            joined(options.start, options.folder)
        trainer.resume()
        trainer.run(max(options.minutes * 60 - (time.monotonic() - started), 1.0))
    finally:
        if makers is not None:
            makers.close()
    return _finished(options, config, trainer, task)


def _with_pairs(options: TrainAnimOptions, config: AnimConfig, log: Callable[[str], None]) -> TrainAnimOptions:
    """Fine-tuning learns from pairs alone, beginning from weights that know people already."""
    if options.pairs is None:
        return options
    if options.weights is None and options.start is None and not checkpoints(options.folder):
        raise LikenessError(
            "usage.weights", "Fine-tuning needs weights to begin from.", "Name them with --weights, or --from a slice."
        )
    samples = options.folder / "pairs"
    write_pairs(options.pairs, samples, config.image, log)
    return replace(options, samples=samples, workers=0, stage="noise")


def print_line(line: str) -> None:
    """To standard error."""
    sys.stderr.write(line + "\n")


def config_of(options: TrainAnimOptions) -> AnimConfig:
    """The network that the options ask for. Raises LikenessError("usage.config")."""
    if options.config not in PRESETS:
        raise LikenessError("usage.config", f"There is no network {options.config}.", f"Choose: {', '.join(PRESETS)}.")
    config = PRESETS[options.config]
    rows = variants(config)
    if options.row and options.row not in rows:
        raise LikenessError("usage.config", f"There is no row {options.row}.", f"Choose: {', '.join(rows)}.")
    if options.stage not in ("clean", "noise"):
        raise LikenessError("usage.config", f"There is no stage {options.stage}.", "Choose clean or noise.")
    return rows[options.row] if options.row else config


def _losses(options: TrainAnimOptions, config: AnimConfig) -> LossWeights:
    usual = options.losses or (ON_A_GUESS if config.explicit_back else LossWeights())
    return replace(usual, depth=0.0) if options.row == WITHOUT_DEPTH_LOSS else usual


def _settings(options: TrainAnimOptions, device: str) -> TrainSettings:
    # On processors bfloat16 pays only in wide networks (measured: half as fast in the small one).
    precision = ("bf16" if device == "cuda" else "fp32") if options.precision == "auto" else options.precision
    return TrainSettings(
        steps=options.steps,
        learning_rate=options.learning_rate,
        warmup=min(500, options.steps // 10),
        ema=0.999,
        seed=options.seed,
        device=device,
        precision=precision,
        picture_every=options.picture_every,
        prefetch=4 if device == "cuda" else 0,
    )


def _makers(options: TrainAnimOptions, config: AnimConfig) -> Makers:
    """First a few people to look at, then those to learn from."""
    plan = Plan(image=config.image, places=config.rgb, seed=21 + options.seed)
    watch = replace(plan, split="val", poses=1, sensor="azure_kinect")
    return Makers(options.samples, [(watch, range(VAL_PEOPLE)), (plan, range(options.people))], options.workers)


def _waited(options: TrainAnimOptions, makers: Makers | None) -> Poses:
    poses = Poses(options.samples, "train")
    while len(poses.poses) < MIN_POSES and makers is not None:
        makers.check()
        time.sleep(POLL_S)
        poses.refresh()
    if not poses.poses:
        raise LikenessError(
            "input.samples",
            f"There are no poses to learn from in {options.samples.name}.",
            "Let --workers make some, or name the folder that has them with --samples.",
        )
    return poses


def _finished(options: TrainAnimOptions, config: AnimConfig, trainer: Trainer, task: AnimTask) -> Path:
    """Write the averaged weights with what they were trained on, and what a slice brings back."""
    trainer.averaged.eval()
    assert isinstance(trainer.averaged, AnimNet)
    figures = judged(trainer.averaged, task.shown, task.drawing, task.guesses) if task.shown.poses else {}
    told: dict[str, Any] = {
        "steps": trainer.step,
        "images": trainer.images,
        "seconds": round(trainer.seconds),
        "poses": len(task.poses.poses),
        "stage": options.stage,
        "val": figures,
    }
    path = options.folder / f"anim_{config.name}.safetensors"
    metadata = {"config": json.dumps(config.to_dict()), "training": json.dumps(told)}
    save_weights(path, trainer.averaged, metadata)
    (options.folder / "training.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    if options.slice_out is not None:
        bring_back(options.folder, path, options.slice_out)
    return path
