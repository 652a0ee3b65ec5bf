"""The body fitted to captures and photos that nobody here made: joint errors where truth is known, else residuals.

    python benchmarks/fit.py --data DIR [--pictures DIR]

DIR holds known/ (photo-like pictures with the true joints and camera) and rgbd/ (real captures: figures only, never
shipped). Joint errors compare limbs, neck and head (14 joints) with another rig's, whose joints lie some centimetres
elsewhere in the same body: joint_scaled_cm after the best shift and scale, joint_turned_cm after the best rotation too.
Keeps the figures in benchmarks/results/fit.json; overlays go to --pictures, which must lie outside the repository.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from likeness.body.fit import draw_overlay, fit_body
from likeness.body.model import product_body
from likeness.capture import read_capture, read_photo
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit
from likeness.jobs.reading import find_person
from PIL import Image
from record import keep

LIMB_JOINTS = [1, 2, 4, 5, 7, 8, 12, 15, 16, 17, 18, 19, 20, 21]
# Real people with depth; the last six are one sensor's smoothed pictures with an assumed camera.
CAPTURES = (
    "normalgan_kinectv2/01",
    "normalgan_kinectv2/02",
    "normalgan_kinectv2/03",
    "srdf_kinectv2/1001",
    "depthkit_chae/still",
    "deepdeform_structure/seq017_000300",
    "sfu_deephuman/0000",
    "sfu_deephuman/0010",
    "sfu_deephuman/0020",
    "sfu_deephuman/0024",
    "sfu_deephuman/0028",
    "sfu_deephuman/0034",
)


def joint_errors(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Mean distances in cm of joints (24, 3) from the truth (24, 3) after shift and scale, and after rotation too."""
    a, b = found[LIMB_JOINTS].astype(float), truth[LIMB_JOINTS].astype(float)
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    scale = (a * b).sum() / (a * a).sum()
    left, _, right = np.linalg.svd(b.T @ a)
    turn = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    turned = a @ turn.T
    turned_scale = (turned * b).sum() / (turned * turned).sum()
    return {
        "joint_scaled_cm": 100 * float(np.linalg.norm(a * scale - b, axis=1).mean()),
        "joint_turned_cm": 100 * float(np.linalg.norm(turned * turned_scale - b, axis=1).mean()),
    }


def fit_one(name: str, capture: Capture, truth: np.ndarray | None, pictures: Path | None) -> dict[str, Any]:
    """One row: figures of one fit."""
    model = product_body()
    started, worked = time.perf_counter(), time.process_time()
    fit: Fit = fit_body(capture, model, find_person(capture))
    row: dict[str, Any] = {"input": name, "kind": capture.kind}
    row |= {"joint_scaled_cm": None, "joint_turned_cm": None, "surface_mm": None}
    if truth is not None:
        row |= joint_errors(model.posed(fit.betas, fit.pose, fit.translation)[1], truth)
    if "surface_m" in fit.residuals:
        row["surface_mm"] = 1000 * fit.residuals["surface_m"]
    row |= {
        "outline_mm": 1000 * fit.residuals["outline_m"],
        "landmark_px": fit.residuals["landmark_px"],
        "stature_m": fit.residuals["stature_m"],
        "least_sure": min(fit.confidence, key=lambda limb: fit.confidence[limb]),
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - worked, 1),
    }
    if pictures is not None:
        image = Image.fromarray(draw_overlay(capture, model, fit))
        image.save(pictures / f"{name.replace('/', '_')}.png")
    return row


def main() -> None:
    """Fit everything, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for entry in json.loads((options.data / "known" / "index.json").read_text()):
        folder = options.data / "known" / entry["known"]
        camera = json.loads((folder / "camera.json").read_text())
        truth = np.load(folder / "truth.npz")["joints24"]
        capture = read_photo(folder / "photo.png", focal_px=camera["fx"])
        rows.append(fit_one(f"known/{folder.name}", capture, truth, options.pictures))
    for name in CAPTURES:
        try:
            rows.append(fit_one(name, read_capture(options.data / "rgbd" / name), None, options.pictures))
        except LikenessError as error:
            failed[name] = error.message
    known = [row for row in rows if row["joint_scaled_cm"] is not None]
    real = [row for row in rows if row["surface_mm"] is not None]
    keep(
        "fit",
        rows,
        known_joint_scaled_cm=round(float(np.mean([row["joint_scaled_cm"] for row in known])), 2),
        known_joint_turned_cm=round(float(np.mean([row["joint_turned_cm"] for row in known])), 2),
        rgbd_surface_mm_median=round(float(np.median([row["surface_mm"] for row in real])), 2),
        cpu_seconds_median=round(float(np.median([row["cpu_seconds"] for row in rows])), 1),
        failed=failed,
    )


if __name__ == "__main__":
    main()
