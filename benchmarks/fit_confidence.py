"""Whether a fit's confidence says how far limbs are off, with depth and in photos; and the constants that make it so.

    python benchmarks/fit_confidence.py --dataset DIR [--people N]

DIR: what `likeness synthesize` wrote, people of the val split to calibrate on. Every view is fitted through its depth
sensor and, its colour alone, as a photo whose focal length is known in every other view. A limb's error is the mean
over its joints: with depth in camera space, in photos about the pelvis after scaling, because a photo shows neither
size nor distance. The table has limbs by the error that their confidence says and the errors that they have; `fitted`
are the two numbers of each kind for USUALLY_OFF in engine/likeness/body/fit_sure.py. Where a change of the fits moves
them by more than a tenth, put them there. Keeps the figures in benchmarks/results/fit_confidence.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fit_photo import photo_of
from fit_synthetic import read_view
from likeness.body.fit import fit_body
from likeness.body.fit_sure import LIMB_JOINTS, SPREAD_UNIT_M, USUALLY_OFF, spread_of
from likeness.body.model import product_body
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.files import read_json
from likeness.core.fit import usually_off
from likeness.jobs.reading import find_person
from record import keep

# The joints that SMPL and SMPL-H share.
JOINTS = 22
# Metres between which limbs are gathered by what their confidence says, and what the panel calls unsure.
EDGES_M = (0.0, 0.02, 0.025, 0.035, 0.05, 0.075, 0.1, 9.0)
UNSURE_M = 0.1


def inputs(folder: Path, number: int) -> Iterator[tuple[str, Capture, np.ndarray]]:
    """Kind, capture and true joints (22, 3) of a written view."""
    truth = np.load(folder / "truth.npz")
    yield "rgbd", read_view(folder, "sensor"), truth["joints"][:JOINTS].astype(np.float64)
    people = read_json(folder.parent / "person.json", "input.dataset")["recipe"].get("people", "adults")
    photo = photo_of(folder, dict(np.load(folder.parent / "person.npz")), people)
    yield "photo", photo.capture(number % 2 == 0), photo.joints[:JOINTS]


def errors(kind: str, found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(22,) metres between joints, in photos about the pelvis after scaling."""
    if kind == "photo":
        found, truth = found - found[0], truth - truth[0]
        found = found * (found * truth).sum() / (found**2).sum()
    return np.asarray(np.linalg.norm(found - truth, axis=1))


def limbs_of(folder: Path, number: int) -> list[dict[str, Any]]:
    """A row for each limb and kind of a view."""
    rows: list[dict[str, Any]] = []
    for kind, capture, truth in inputs(folder, number):
        try:
            fit = fit_body(capture, product_body(), find_person(capture))
        except LikenessError:
            continue
        body = product_body(fit.people)
        found = body.posed(fit.betas, fit.pose, fit.translation)[1][:JOINTS].astype(np.float64)
        off = errors(kind, found, truth)
        view = f"{folder.parent.name}/{folder.name}"
        rows += [
            {"view": view, "kind": kind, "limb": limb, "confidence": round(fit.confidence[limb], 4),
             "says_mm": round(1000 * usually_off(fit.confidence[limb]), 1), "is_mm": round(1000 * off[ids].mean(), 1)}
            for limb, ids in LIMB_JOINTS.items()
        ]  # fmt: skip
    return rows


def reliability(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Limbs of both kinds by the error that their confidence says."""
    out = []
    for kind in USUALLY_OFF:
        says, is_ = np.array([(r["says_mm"], r["is_mm"]) for r in rows if r["kind"] == kind], float).reshape(-1, 2).T
        for low, high in pairwise(EDGES_M):
            chosen = (says >= 1000 * low) & (says < 1000 * high)
            if chosen.any():
                out.append({
                    "kind": kind, "from_mm": 1000 * low, "limbs": int(chosen.sum()),
                    "says_mm": round(float(np.median(says[chosen])), 1),
                    "median_mm": round(float(np.median(is_[chosen])), 1),
                    "mean_mm": round(float(is_[chosen].mean()), 1),
                    "share_over_10_cm": round(float((is_[chosen] > 1000 * UNSURE_M).mean()), 2),
                })  # fmt: skip
    return out


def fitted(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """For each kind the constants that fit these limbs, the spread of the logarithm, and the rank correlation."""
    out = {}
    for kind in USUALLY_OFF:
        mine = [r for r in rows if r["kind"] == kind and r["says_mm"] > 0]
        spread = np.log([spread_of(r["says_mm"] / 1000, kind) / SPREAD_UNIT_M for r in mine])
        off = np.log([r["is_mm"] / 1000 for r in mine])
        power, at_unit = np.polyfit(spread, off, 1)
        ranks = [np.argsort(np.argsort(values)) for values in (spread, off)]
        out[kind] = {
            "USUALLY_OFF": (round(float(np.exp(at_unit)), 4), round(float(power), 3)),
            "log_spread": round(float(np.std(off - at_unit - power * spread)), 2),
            "rank_correlation": round(float(np.corrcoef(*ranks)[0, 1]), 2),
        }
    return out


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--people", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    people = sorted(path.parent for path in options.dataset.glob("*/person.json"))[: options.people]
    views = [view for folder in people for view in sorted(folder.glob("[0-9][0-9]"))]
    rows = [row for number, view in enumerate(views) for row in limbs_of(view, number)]
    keep("fit_confidence", reliability(rows), dataset=options.dataset.name, views=len(views), fitted=fitted(rows))


if __name__ == "__main__":
    main()
