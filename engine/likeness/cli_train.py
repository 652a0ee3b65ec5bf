"""`likeness train ...`: networks from the people pack, on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .terminal import Terminal


def add_train(commands: Any) -> None:
    """Add the command with one sub-command a network."""
    text = "train a network on synthetic people, or fine-tune it on scans of one's own"
    command = commands.add_parser("train", help=text, description=text)
    networks = command.add_subparsers(title="networks", required=True, metavar="NETWORK")
    _add_anim(networks)


def _add_anim(networks: Any) -> None:
    text = "the surface from one RGB-D image; goes on where the last call with the same --out stopped"
    command = networks.add_parser("anim", help=text, description=text)
    command.add_argument("--out", default="build/anim/run", metavar="DIR", help="checkpoints, table, pictures, weights")
    command.add_argument("--samples", default="build/anim/samples", metavar="DIR", help="where poses lie or are made")
    command.add_argument("--config", choices=("full", "small", "rows", "tiny"), default="full", help="size")
    command.add_argument("--row", default="", metavar="NAME", help="a row of the comparison instead: 'PIFu+D', 'ANIM'")
    command.add_argument("--stage", choices=("clean", "noise"), default="noise", help="true depth, or sensors'")
    command.add_argument("--minutes", type=float, default=60.0, help="of this call")
    command.add_argument("--steps", type=int, default=12_000, help="of the whole schedule, over all calls")
    command.add_argument("--items", type=int, default=8, metavar="N", help="views a step")
    command.add_argument("--points", type=int, default=8000, metavar="N", help="labelled points a view")
    command.add_argument("--rate", type=float, default=None, metavar="R", help="learning rate (5e-4; fine-tuning 5e-5)")
    command.add_argument("--people", type=int, default=1000, metavar="N", help="of the train split")
    command.add_argument("--workers", type=int, default=1, metavar="N", help="processes that make people, 0 for none")
    command.add_argument("--weights", metavar="FILE", help="begin from these weights")
    command.add_argument("--finetune", metavar="PAIRS", help="learn from scans and aligned RGB-D frames in this folder")
    command.add_argument("--from", dest="start", metavar="DIR", help="begin from the checkpoint that a slice left")
    command.add_argument("--slice", action="store_true", help="leave what shall come back in $OUT, in parts of 15 MiB")
    command.add_argument("--resume", action="store_true", help="accepted; done anyway where a checkpoint lies")
    command.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    command.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--json", action="store_true", help="machine-readable output")
    command.set_defaults(run=_train_anim)


def _train_anim(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from .jobs.anim_slices import out_folder
    from .jobs.train_anim import TrainAnimOptions, run_train_anim

    options = TrainAnimOptions(
        config=arguments.config,
        row=arguments.row,
        steps=arguments.steps,
        minutes=arguments.minutes,
        items=arguments.items,
        points=arguments.points,
        learning_rate=arguments.rate or (5e-5 if arguments.finetune else 5e-4),
        stage=arguments.stage,
        folder=Path(arguments.out),
        samples=Path(arguments.samples),
        people=arguments.people,
        workers=arguments.workers,
        device=arguments.device,
        precision=arguments.precision,
        start=Path(arguments.start) if arguments.start else None,
        weights=Path(arguments.weights) if arguments.weights else None,
        pairs=Path(arguments.finetune) if arguments.finetune else None,
        slice_out=out_folder() if arguments.slice else None,
        seed=arguments.seed,
    )
    return terminal.done({"weights": str(run_train_anim(options))})
