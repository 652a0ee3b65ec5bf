"""How well the body is fitted to RGB-D of people whose body is known: joint errors, and whether confidence tells them.

    python benchmarks/fit_synthetic.py [--people 20] [--views 3] [--seed 100] [--dataset DIR]

People of the test split (or of --dataset, a folder that `likeness synthesize` wrote) in any pose, seen from all round,
feet cut off or not. Every view is fitted through the simulated sensor and with true depth. Errors are mean distances
over SMPL's first 22 joints as they stand in camera space, hidden and cut off ones included; `seen` leaves out joints
outside the picture. `dressed` people wear clothes over our own body; `avatars` are another maker's figures, whose rig
has its hips and shoulders elsewhere. Keeps the figures in benchmarks/results/fit_synthetic.json, of other seeds, which
are other people, beside it. Photos: fit_photo.py.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from likeness.body.fit import fit_body
from likeness.body.fit_sure import LIMB_JOINTS
from likeness.body.model import BodyModel, product_body
from likeness.capture import read_capture
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit
from likeness.core.frames import rodrigues
from likeness.jobs.reading import find_person
from likeness.synthesis.dataset import write_person
from likeness.synthesis.pack import load_pack
from likeness.synthesis.sample import Settings, make_sample
from record import keep

VARIANTS = ("sensor", "clean")
# The joints that SMPL and SMPL-H share.
JOINTS = 22
SEED = 100


def read_view(folder: Path, variant: str) -> Capture:
    """A written view as an artist's input is read, or with its true depth."""
    capture = read_capture(folder)
    if variant == "clean":
        truth = np.load(folder / "truth.npz")
        capture = replace(capture, depth=truth["depth"], mask=truth["outline"].astype(bool))
    return capture


def aligned(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Points (N, 3) after the similarity that brings them closest to the target (Procrustes)."""
    a, b = points - points.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = (s * np.diag(flip)).sum() / (a**2).sum()
    return scale * a @ (u @ flip @ vt) + target.mean(0)


def kinds_of(truth: Any, camera: dict[str, float]) -> list[str]:
    """What is special about a view, from its true pose (52, 3), joints (52, 3) and camera."""
    pose, joints = truth["pose"].astype(float), truth["joints"][:JOINTS].astype(float)
    root, up = rodrigues(pose[0]), truth["camera_from_world"][:3, 1].astype(float)
    front = root[:, 2]
    yaw = abs(np.degrees(np.arctan2(front[0], -front[2])))
    kinds = ["front" if yaw < 45 else "side" if yaw < 135 else "behind"]
    if abs(np.degrees(np.arcsin(np.clip(up[2], -1, 1)))) > 10:
        kinds.append("tilted")
    thighs = [joints[b] - joints[a] for a, b in ((1, 4), (2, 5))]
    if max(float(t @ up) / np.linalg.norm(t) for t in thighs) > -0.6:
        kinds.append("a thigh raised")
    body = (joints[20:22] - joints[0]) @ root
    if body[0, 0] < body[1, 0] + 0.1:
        kinds.append("wrists crossed")
    pixels = joints[:, :2] / joints[:, 2:] * [camera["fx"], camera["fy"]] + [camera["cx"], camera["cy"]]
    if not inside(pixels, camera)[[7, 8, 10, 11]].all():
        kinds.append("feet cut off")
    return kinds


def inside(pixels: np.ndarray, camera: dict[str, float]) -> np.ndarray:
    """(N,) whether pixels (N, 2) lie in the picture."""
    return ((pixels >= 0) & (pixels < [camera["width"], camera["height"]])).all(axis=1)


def fit_view(folder: Path, variant: str) -> dict[str, Any]:
    """One row: a view fitted once."""
    truth = np.load(folder / "truth.npz")
    camera = json.loads((folder / "intrinsics.json").read_text())
    joints = truth["joints"][:JOINTS].astype(np.float64)
    row: dict[str, Any] = {"input": variant, "kinds": kinds_of(truth, camera)}
    started = time.process_time()
    try:
        capture = read_view(folder, variant)
        fit: Fit = fit_body(capture, product_body(), find_person(capture))
    except LikenessError as error:
        return row | {"failed": error.code}
    model: BodyModel = product_body(fit.people)
    found = model.posed(fit.betas, fit.pose, fit.translation)[1][:JOINTS].astype(np.float64)
    error = 1000 * np.linalg.norm(found - joints, axis=1)
    seen = inside(read_capture(folder).camera.project(joints), camera)
    similar = 1000 * np.linalg.norm(aligned(found, joints) - joints, axis=1)
    return row | {
        "joint": round(float(error.mean()), 1),
        "seen": round(float(error[seen].mean()), 1) if seen.any() else None,
        "worst": round(float(error.max())),
        "similar": round(float(similar.mean()), 1),
        "cpu_s": round(time.process_time() - started, 1),
        "confidence": {limb: round(value, 2) for limb, value in fit.confidence.items()},
        "limbs": {limb: round(float(error[ids].mean())) for limb, ids in LIMB_JOINTS.items()},
    }


def folders(options: argparse.Namespace) -> Iterator[tuple[int, Path]]:
    """People, one folder each, made on the way or read."""
    if options.dataset is not None:
        yield from enumerate(sorted(path.parent for path in options.dataset.glob("*/person.json"))[: options.people])
        return
    settings = Settings(
        seed=options.seed, split="test", views=options.views, points=0, mesh=False, size=options.size, avatars=0.3
    )
    pack = load_pack()
    for index in range(options.people):
        with tempfile.TemporaryDirectory() as place:
            yield index, write_person(Path(place), make_sample(pack, settings, index))


def measure(options: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    """All rows after each person."""
    rows: list[dict[str, Any]] = []
    for index, folder in folders(options):
        recipe = json.loads((folder / "person.json").read_text())["recipe"]
        who = "avatar" if recipe.get("avatar") else "dressed"
        for view in sorted(folder.glob("[0-9][0-9]"))[: options.views]:
            for variant in VARIANTS:
                rows.append({"person": index, "view": view.name, "who": who} | fit_view(view, variant))
        yield rows


def spread(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of rows that were not refused: how many, and the views' mean joint errors, mm."""
    good = [row for row in rows if "failed" not in row]
    if not good:
        return {"views": 0, "refused": len(rows)}
    errors = np.array([row["joint"] for row in good])
    out: dict[str, Any] = {"views": len(good), "refused": len(rows) - len(good), "mean": round(float(errors.mean()), 1)}
    out |= {f"p{p}": round(float(np.percentile(errors, p)), 1) for p in (50, 75, 90)}
    out["seen"] = round(float(np.mean([row["seen"] for row in good if row["seen"] is not None])), 1)
    out["similar"] = round(float(np.mean([row["similar"] for row in good])), 1)
    out["cpu_s"] = round(float(np.mean([row["cpu_s"] for row in good])), 1)
    return out


def trust(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean joint error (mm) of limbs by confidence, and the rank correlation of both (-1 is perfect)."""
    pairs = [
        (row["confidence"][limb], row["limbs"][limb]) for row in rows if "failed" not in row for limb in LIMB_JOINTS
    ]
    sure, error = np.array(pairs, float).T
    ranks = [np.argsort(np.argsort(values)) for values in (sure, error)]
    out: dict[str, Any] = {"rank_correlation": round(float(np.corrcoef(*ranks)[0, 1]), 2)}
    for low, high in ((0.0, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.8), (0.8, 1.01)):
        chosen = error[(sure >= low) & (sure < high)]
        if len(chosen):
            out[f"{low:.1f} to {min(high, 1):.1f}"] = {"limbs": len(chosen), "mm": round(float(chosen.mean()), 1)}
    return out


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything by input, then by who is seen, then by kind of view."""
    out: dict[str, Any] = {}
    for variant in VARIANTS:
        mine = [row for row in rows if row["input"] == variant]
        kinds = sorted({kind for row in mine for kind in row["kinds"]})
        out[variant] = {"all": spread(mine)}
        out[variant] |= {who: spread([row for row in mine if row["who"] == who]) for who in ("dressed", "avatar")}
        out[variant] |= {kind: spread([row for row in mine if kind in row["kinds"]]) for kind in kinds}
    return out | {"confidence": trust(rows)}


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--views", type=int, default=3)
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--dataset", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    name = "fit_synthetic" if options.seed == SEED else f"fit_synthetic_{options.seed}"
    for rows in measure(options):
        # Kept after every person: the run is long.
        keep(name, rows, seed=options.seed, mm=summary(rows))


if __name__ == "__main__":
    main()
