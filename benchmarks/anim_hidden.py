"""What ANIM on a guess knows of what nobody saw: its field against the guess's, at points about the guess.

    python benchmarks/anim_hidden.py --samples SAMPLES --guesses FOLDER --weights FILE [--weights FILE2]
                                     [--refine 30,300,3000] [--views 2]

SAMPLES: stored poses of the val split (jobs/anim_samples.py, bodies fitted by jobs/anim_bodies.py); guesses are made
once. Points lie within 3 cm of the guess and farther than 2 cm from any reading. l1_cm: mean of |f - s|, s cut as the
head cuts it; sign_pct: points on the wrong side; each beside the guess's own, with the paired difference over views and
twice its standard error. refine: test-time refinement (anim.md, 8d) in its cheapest form: the head's last layer moves
so that the field is zero on the observed cloud, held by these ridge weights; solved, not iterated.
Keeps the figures in benchmarks/results/anim_hidden.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from likeness.jobs.anim_data import Drawing, Poses, view_item
from likeness.jobs.anim_guesses import Guesses
from likeness.surface.anim.network import AnimNet, AnimState
from likeness.surface.anim.predict import cloud, load_anim
from record import keep
from torch import Tensor

POINTS, CLOUD = 5000, 2000
NEAR_M, READ_M, KNOWN_M = 0.03, 0.02, 0.5


def last_inputs(state: AnimState, points: Tensor) -> tuple[Tensor, Tensor]:
    """What the head's last layer sees of points (1, N, 3), a one appended (N, C + 1), and its raw answer (N,)."""
    caught: list[Tensor] = []
    head = state.net.head
    hook = head.mlp.last.register_forward_hook(lambda module, given, answer: caught.append(given[0][0]))
    found = head(*state.query(points))[0]
    hook.remove()
    raw = (found / head.truncation_m).clamp(-0.999, 0.999).atanh()
    return torch.cat([caught[0], torch.ones(len(raw), 1)], 1), raw


def refined(state: AnimState, points: Tensor, ridge: float) -> Tensor:
    """The field (N,) at points after the last layer was solved for zero on the cloud."""
    seen, off = last_inputs(state, torch.from_numpy(cloud(state.inputs, CLOUD))[None])
    step = torch.linalg.solve(seen.T @ seen + ridge * torch.eye(seen.shape[1]), -seen.T @ off)
    given, raw = last_inputs(state, points)
    return state.net.head.truncation_m * torch.tanh(raw + given @ step)


@torch.no_grad()
def view_errors(
    net: AnimNet, poses: Poses, pose: int, view: int, guesses: Guesses, ridges: list[float]
) -> list[list[float]]:
    """l1_cm and sign_pct of the guess, the network, and the network refined by each ridge."""
    drawing = Drawing(points=POINTS, changed=False, body_dropped=0.0)
    rngs = [np.random.default_rng((pose, view)) for _ in range(2)]
    keeping = guesses.keeping((poses.numbers[pose], view, 0))
    inputs, targets = view_item(poses.poses[pose], view, drawing, net.config.image, *rngs, keeping, poses.skin(pose))
    state = net.encode(inputs)
    features, surface = state.query(targets.points)
    limit = 0.97 * net.config.truncation_m
    truth = targets.sdf[0]
    chosen = (truth.abs() < KNOWN_M) & (surface[0].abs() < NEAR_M) & (state.reading(targets.points[0]).abs() > READ_M)
    fields = [net.head.start(surface)[0], net.head(features, surface)[0]]
    fields += [refined(state, targets.points, ridge) for ridge in ridges]
    return [
        [
            float((field - truth.clamp(-limit, limit)).abs()[chosen].mean()) * 100,
            float(((field > 0) != (truth > 0))[chosen].float().mean()) * 100,
        ]
        for field in fields
    ]


def lines(name: str, errors: np.ndarray, ridges: list[float]) -> list[dict[str, Any]]:
    """Table's lines from (views, fields, 2); each network beside the guess, refinements beside the network."""
    names = ["guess", name, *(f"{name}, ridge {ridge:g}" for ridge in ridges)]
    out = []
    for k, label in enumerate(names):
        gap = errors[:, k] - errors[:, 0 if k < 2 else 1]
        spread = 2 * gap.std(0, ddof=1) / len(gap) ** 0.5
        line: dict[str, Any] = {"field": label, "views": len(gap)}
        for column, what in enumerate(("l1_cm", "sign_pct")):
            line[what] = round(float(errors[:, k, column].mean()), 3)
            line[f"{what}_gap"] = round(float(gap[:, column].mean()), 3)
            line[f"{what}_2se"] = round(float(spread[column]), 3)
        out.append({**line, "better_in": int((gap[:, 0] < 0).sum())})
    return out


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--guesses", type=Path, required=True)
    parser.add_argument("--weights", type=Path, action="append", required=True)
    parser.add_argument("--refine", type=lambda text: [float(n) for n in text.split(",")], default=[])
    parser.add_argument("--views", type=int, default=2, help="of each pose")
    options = parser.parse_args()
    torch.set_num_threads(1)
    poses = Poses(options.samples, "val")
    rows: list[dict[str, Any]] = []
    for path in options.weights:
        net = load_anim(path)
        assert net.layers is not None
        guesses = Guesses(net.layers, options.guesses)
        chosen = [(pose, view) for pose, view in poses.views if view < options.views]
        errors = np.array([view_errors(net, poses, *one, guesses, options.refine) for one in chosen])
        rows += lines(path.stem, errors, options.refine)[1 if rows else 0 :]
    keep("anim_hidden", rows)


if __name__ == "__main__":
    main()
