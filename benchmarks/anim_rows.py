"""The rows of the published comparison and of our options: one small network and budget, trained and measured.

    python benchmarks/anim_rows.py --runs FOLDER --samples SAMPLES [--pairs PAIRS] [--rows "PIFu+D,ANIM"]
    python benchmarks/anim_rows.py --runs FOLDER --cache CACHE [--split test] [--people 6] [--views front,behind]
                                   [--sensors azure_kinect] [--points 20000] [--rows ...] [--redo ...]

The first trains what is not trained yet, one row after the other, each going on where it stopped: the preset `rows`,
the same steps, seed, views and points for all. SAMPLES: stored poses (jobs/anim_samples.py; with the product's bodies
by jobs/anim_bodies.py), PAIRS: for the row that is fine-tuned (anim_made_pairs.py), beside one that goes on as long on
SAMPLES. The second measures what is trained, as `anim.py` does, on its captures; rows whose network takes no body are
given none. Surfaces are the zero level alone: without `bound`, which is an option of its own (the row "ANIM + bound").
Orders and ratios are against the row ANIM. Keeps the figures in benchmarks/results/anim_rows_SPLIT.json (with --name
another file).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from anim import Method, Scoring, measured, networked, ratios, show
from anim_set import VIEWS, Plan
from likeness.jobs.train_anim import TrainAnimOptions, run_train_anim
from likeness.surface.anim.config import ROWS, variants
from likeness.surface.anim.losses import LossWeights
from likeness.surface.anim.predict import load_anim
from record import keep

STEPS, ITEMS, POINTS, RATE = 350, 2, 2000, 1.5e-3
TUNED_STEPS, TUNED_RATE = 150, 3e-4
CELLS = 128


@dataclass(frozen=True)
class Row:
    """How a row is trained. variant: a name of `variants`; stage: 'clean' or 'noise'; after: the row whose weights it
    goes on from; paired: on pairs; bound: of its surface, see predict_anim; weights_of: the row whose weights it has,
    '' for its own."""

    variant: str
    stage: str = "noise"
    after: str = ""
    paired: bool = False
    bound: bool = False
    weights_of: str = ""


def all_rows() -> dict[str, Row]:
    """In the order of training: the published comparison, our options, then the stages."""
    rows = {name: Row(name) for name in variants(ROWS)}
    return rows | {
        "ANIM + bound": Row("ANIM", bound=True, weights_of="ANIM"),
        "ANIM clean only": Row("ANIM", stage="clean"),
        "ANIM fine-tuned": Row("ANIM", after="ANIM", paired=True),
        "ANIM longer": Row("ANIM", after="ANIM"),
    }


def folder_of(runs: Path, name: str) -> Path:
    """Where a row is trained."""
    return runs / name.lower().replace(" + ", "_with_").replace("+", "_").replace(" ", "_")


def weights_of(runs: Path, name: str) -> Path:
    """The file of a row's weights."""
    return folder_of(runs, all_rows()[name].weights_of or name) / f"anim_{ROWS.name}.safetensors"


def done(runs: Path, name: str) -> bool:
    """Whether a row is trained to the end of its schedule; a run that was stopped leaves weights as well."""
    told = weights_of(runs, name).parent / "training.json"
    steps = TUNED_STEPS if all_rows()[name].after else STEPS
    return told.is_file() and json.loads(told.read_text("utf-8"))["steps"] >= steps


def train(runs: Path, name: str, samples: Path, pairs: Path | None) -> None:
    """One row to the end of its schedule."""
    row = all_rows()[name]
    options = TrainAnimOptions(
        config=ROWS.name,
        row=row.variant,
        steps=TUNED_STEPS if row.after else STEPS,
        minutes=math.inf,
        items=ITEMS,
        points=POINTS,
        learning_rate=TUNED_RATE if row.after else RATE,
        stage=row.stage,
        folder=folder_of(runs, name),
        samples=samples,
        device="cpu",
        weights=weights_of(runs, row.after) if row.after else None,
        pairs=pairs if row.paired else None,
        picture_every=0,
    )
    run_train_anim(options, log=lambda line: print(f"{name}: {line}", flush=True))


def trained(runs: Path, name: str) -> dict[str, Any]:
    """What is told of a row's training: name, parameters, and errors on stored views of the val split."""
    told = json.loads((weights_of(runs, name).parent / "training.json").read_text("utf-8"))
    count = sum(p.numel() for p in load_anim(weights_of(runs, name)).parameters())
    return {"row": name, "parameters": count, **{k: told[k] for k in ("steps", "seconds", "poses")}, **told["val"]}


def compared(options: argparse.Namespace, names: list[str]) -> None:
    """Measure the rows, print and keep."""
    plan = Plan(options.cache, options.split, 100, options.people, options.views, options.sensors)
    known: dict[str, Method] = {}
    bodiless = set()
    for name in names:
        net = load_anim(weights_of(options.runs, name))
        known[name] = networked(net, CELLS, all_rows()[name].bound)
        if not net.config.body:
            bodiless.add(name)
    scoring = Scoring(options.points, "fitted", options.redo, frozenset(bodiless), form=False)
    against = "ANIM" if "ANIM" in names else None
    for found in measured(plan, known, names, scoring):
        lines, claims = show(found, plan, names, against)
    budget = {
        "steps": STEPS,
        "items": ITEMS,
        "points": POINTS,
        "rate": RATE,
        "losses": asdict(LossWeights()),
        "network": ROWS.to_dict(),
    }
    whole = [line for line in lines if line["views"] == "+".join(plan.views)]
    told = {"people": plan.people, "scored_points": options.points, "cells": CELLS, "budget": budget}
    told["training"] = [trained(options.runs, name) for name in names]
    told["ratios"] = [line for s in plan.sensors for line in ratios([x for x in whole if x["sensor"] == s])]
    with contextlib.redirect_stdout(io.StringIO()):
        # It was printed, and the file holds every column.
        keep(options.name or f"anim_rows_{plan.split}", [], **told, table=lines, orders=claims)


def main() -> None:
    """Train what is not trained, or measure what is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words = lambda text: tuple(part for part in text.split(",") if part)  # noqa: E731
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--people", type=int, default=6)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--views", type=words, default=tuple(VIEWS))
    parser.add_argument("--sensors", type=words, default=("azure_kinect",))
    parser.add_argument("--rows", type=words, default=tuple(all_rows()))
    parser.add_argument("--redo", type=words, default=())
    parser.add_argument("--name", default="")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.rows if options.samples is not None else ():
        row = all_rows()[name]
        if row.weights_of or done(options.runs, name) or (row.paired and options.pairs is None):
            continue
        train(options.runs, name, options.samples, options.pairs)
    if options.cache is not None:
        compared(options, [name for name in options.rows if done(options.runs, name)])


if __name__ == "__main__":
    main()
