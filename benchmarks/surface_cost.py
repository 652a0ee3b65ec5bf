"""Seconds and memory of a surface: network and extraction of one RGB-D capture, at the presets' resolutions.

    python benchmarks/surface_cost.py --cache FOLDER [--resolutions 256,384,512] [--threads 2] [--anim FILE]

Rows: the two-layer network's surface, ANIM on top of it (without --anim an untrained one, which takes as long), and the
drape that follows each (its mesh is 12 mm whatever the resolution). Each figure is the best of two runs in a process of
its own that has done the same before at 256; peak_gb is all that the process ever held, libraries included. One front
view of one val person with its true body as fit. Keeps the figures in benchmarks/results/surface_cost.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from anim_set import Case, Plan, cases, model_of
from likeness.core.surface import CapturedSurface
from likeness.surface.anim.config import LAYERED
from likeness.surface.anim.network import AnimNet
from likeness.surface.anim.predict import load_anim, predict_anim
from likeness.surface.draped import drape
from likeness.surface.layers.predict import WEIGHTS, fit_surface, predict_layers
from likeness.surface.weights import load_weights
from record import keep

RUNS = 2
ROWS = ("two_layer", "anim", "draped")


def network(path: Path | None) -> AnimNet:
    """The trained network of a file, or an untrained one on the two-layer network that ships."""
    if path is not None:
        return load_anim(path)
    torch.manual_seed(0)
    net = AnimNet(LAYERED).eval()
    assert net.layers is not None
    load_weights(WEIGHTS, net.layers)
    return net


def made(row: str, case: Case, net: AnimNet | None, resolution: int) -> CapturedSurface:
    """One surface."""
    if row == "anim":
        assert net is not None
        return predict_anim(case.capture, net, fit_surface(case.true_fit), resolution=resolution)
    guess = predict_layers(case.capture, case.true_fit, resolution=resolution)
    if row == "two_layer":
        return guess
    return drape(case.capture, model_of(case.true_fit), case.true_fit, guess=guess)


def one(options: argparse.Namespace, row: str, resolution: int) -> dict[str, Any]:
    """Measure in this process."""
    torch.set_num_threads(options.threads)
    case = next(iter(cases(plan_of(options))))
    net = network(options.anim) if row == "anim" else None
    work = partial(made, row, case, net)
    # What is loaded once a session: libraries, weights, the body model.
    work(256)
    walls, cpus = [], []
    for _ in range(RUNS):
        wall, cpu = time.perf_counter(), time.process_time()
        found = work(resolution)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {
        "row": row,
        "resolution": resolution,
        "seconds": round(min(walls), 2),
        "cpu_seconds": round(min(cpus), 2),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "vertices": len(found.vertices),
    }


def plan_of(options: argparse.Namespace) -> Plan:
    """One person, one view, one sensor."""
    return Plan(options.cache, "val", 100, 1, ("front",), ("azure_kinect",))


def main() -> None:
    """Measure each row in a process of its own, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--resolutions", type=lambda text: [int(n) for n in text.split(",")], default=[256, 384, 512])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--anim", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        row, resolution = options.one.split("-")
        print(json.dumps(one(options, row, int(resolution))))
        return
    next(iter(cases(plan_of(options))))
    load = os.getloadavg()[0]
    rows = []
    for row in ROWS:
        for resolution in options.resolutions:
            command = [sys.executable, *sys.argv, "--one", f"{row}-{resolution}"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    keep("surface_cost", rows, threads=options.threads, load_before=round(load, 1), trained=options.anim is not None)


if __name__ == "__main__":
    main()
