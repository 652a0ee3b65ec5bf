"""How well hands are fitted: people who show them, in photos and with depth, before and after the stage for hands.

    python benchmarks/fit_hands.py --dataset DIR [--views 2] [--pictures DIR]

--dataset: what hands_set.py wrote (people of the test split for figures that are kept, of val to tune by). Each view is
fitted as a photo and with Azure Kinect's depth. turn: degrees by which the wrist's orientation is off; palm, ahead:
the palm's normal and the direction from the wrist to the middle knuckle; finger: mean turn that the 15 finger joints
are off by; joint_mm: their mean distance about the wrist; own_mm: the same apart from the wrist's orientation. `before`
is the fit without the stage, `after` with it; hands that are refused count apart, since nothing changes in them.
Keeps the figures in benchmarks/results/fit_hands.json. --pictures: a strip for each hand that was read: the picture,
the body before and after.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from likeness.body import fit as fitting
from likeness.body.fit_hands import SIDES, with_hands
from likeness.body.fit_overlay import draw_overlay
from likeness.body.hand_skeleton import HAND_STARTS, WRISTS
from likeness.body.model import BodyModel, product_body
from likeness.capture import read_capture
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit
from likeness.core.frames import axis_angle, rodrigues
from likeness.core.skinning import joint_transforms
from likeness.jobs.reading import find_person
from PIL import Image
from record import keep

KINDS = ("photo", "rgbd")
TILE_PX = 200
MEASURES = ("turn", "palm", "ahead", "finger", "joint_mm", "own_mm")


def both_fits(capture: Capture) -> tuple[Fit, Fit, float]:
    """The fit without and with the stage for hands, and the stage's seconds."""
    kept: list[tuple[Fit, float]] = []

    def without(fit: Fit, *rest: Any, **named: Any) -> Fit:
        started = time.process_time()
        done = with_hands(fit, *rest, **named)
        kept.append((fit, time.process_time() - started))
        return done

    with mock.patch.object(fitting, "with_hands", without):
        after = fitting.fit_body(capture, product_body(), find_person(capture))
    before, seconds = kept[-1]
    return before, after, seconds


def turns_of(pose: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """World rotations (J, 3, 3) of a pose (J, 3)."""
    return joint_transforms(rodrigues(np.asarray(pose, np.float64)), np.zeros((len(pose), 3)), parents)[:, :3, :3]


def angle_deg(first: np.ndarray, second: np.ndarray) -> float:
    """Degrees between two directions."""
    cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def directions(joints: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The palm's normal and the way from the wrist to the middle knuckle, of joints (52, 3)."""
    index, middle, pinky = (joints[HAND_STARTS[side] + k] for k in (0, 3, 6))
    ahead = middle - joints[WRISTS[side]]
    return np.cross(ahead, index - pinky), ahead


def measured(model: BodyModel, fit: Fit, truth: Any, side: int) -> dict[str, float]:
    """MEASURES of one hand; see the module's head."""
    joints, right = model.posed(fit.betas, fit.pose, fit.translation)[1].astype(float), truth["joints"].astype(float)
    turns, true_turns = turns_of(fit.pose, model.parents), turns_of(truth["pose"], model.parents)
    wrist, fingers = WRISTS[side], slice(HAND_STARTS[side], HAND_STARTS[side] + 15)
    (palm, ahead), (true_palm, true_ahead) = directions(joints, side), directions(right, side)
    bends = [rodrigues(np.asarray(pose[fingers], np.float64)) for pose in (fit.pose, truth["pose"])]
    about, true_about = joints[fingers] - joints[wrist], right[fingers] - right[wrist]
    own = about @ turns[wrist] - true_about @ true_turns[wrist]
    return {
        "turn": float(np.degrees(np.linalg.norm(axis_angle(turns[wrist].T @ true_turns[wrist])))),
        "palm": angle_deg(palm, true_palm),
        "ahead": angle_deg(ahead, true_ahead),
        "finger": float(np.degrees(np.linalg.norm(axis_angle(np.swapaxes(bends[0], 1, 2) @ bends[1]), axis=1).mean())),
        "joint_mm": 1000 * float(np.linalg.norm(about - true_about, axis=1).mean()),
        "own_mm": 1000 * float(np.linalg.norm(own, axis=1).mean()),
    }


def strip(capture: Capture, model: BodyModel, fits: tuple[Fit, Fit], pixels: np.ndarray) -> Image.Image:
    """The picture around a hand's points (N, 2) px, plain and with each fit drawn over it."""
    side = int(2.2 * float(np.ptp(pixels, axis=0).max())) + 8
    left, top = (int(value) - side // 2 for value in pixels.mean(axis=0))
    padded = np.pad(capture.color, ((side, side), (side, side), (0, 0)), mode="edge")
    color = padded[top + side : top + 2 * side, left + side : left + 2 * side]
    camera = replace(capture.camera, cx=capture.camera.cx - left, cy=capture.camera.cy - top, width=side, height=side)
    large = camera.scaled(TILE_PX, TILE_PX)
    plain = Image.fromarray(color).resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC)
    shown = replace(capture, color=np.asarray(plain), camera=large)
    tiles = [plain, *(Image.fromarray(draw_overlay(shown, model, replace(fit, camera=large))) for fit in fits)]
    out = Image.new("RGB", (TILE_PX * len(tiles), TILE_PX))
    for number, tile in enumerate(tiles):
        out.paste(tile, (TILE_PX * number, 0))
    return out


def rows_of(folder: Path, pictures: Path | None) -> Iterator[dict[str, Any]]:
    """One row for each kind of input and hand of a view."""
    truth = np.load(folder / "truth.npz")
    for kind in KINDS:
        name = f"{folder.parent.name}/{folder.name}"
        try:
            capture = read_capture(folder)
            capture = replace(capture, depth=None) if kind == "photo" else capture
            before, after, seconds = both_fits(capture)
        except LikenessError as error:
            yield {"view": name, "kind": kind, "failed": error.code}
            continue
        model = product_body(after.people)
        for side, word in enumerate(SIDES):
            joints = truth["joints"].astype(float)
            pixels = capture.camera.project(joints[[WRISTS[side], HAND_STARTS[side] + 5]])
            fingers = slice(HAND_STARTS[side], HAND_STARTS[side] + 15)
            read = not np.array_equal(before.pose[fingers], after.pose[fingers])
            if read and pictures is not None:
                around = capture.camera.project(joints[fingers])
                strip(capture, model, (before, after), around).save(
                    pictures / f"{name.replace('/', '_')}_{kind}_{word}.png"
                )
            yield {
                "view": name,
                "kind": kind,
                "hand": word,
                "px": round(float(np.linalg.norm(pixels[1] - pixels[0]))),
                "read": read,
                "seconds": round(seconds, 2),
                "confidence": round(after.confidence[f"{word}_hand"], 2),
                "before": {k: round(v, 1) for k, v in measured(model, before, truth, side).items()},
                "after": {k: round(v, 1) for k, v in measured(model, after, truth, side).items()},
            }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means and medians of all MEASURES for hands that were read and for those that were not."""
    out: dict[str, Any] = {}
    for kind in KINDS:
        mine = [row for row in rows if row["kind"] == kind and "failed" not in row]
        for word, chosen in (("read", True), ("relaxed", False)):
            part = [row for row in mine if row["read"] == chosen]
            found: dict[str, Any] = {"hands": len(part)}
            for measure in MEASURES if part else ():
                for when in ("before", "after") if chosen else ("after",):
                    values = np.array([row[when][measure] for row in part])
                    found[f"{measure} {when}"] = f"{values.mean():.1f} ({np.median(values):.1f})"
            out[f"{kind}, {word}: mean (median)"] = found
        out[f"{kind}, seconds"] = round(float(np.mean([row["seconds"] for row in mine])), 2) if mine else None
    return out


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for person in sorted(path.parent for path in options.dataset.glob("*/person.json")):
        for view in range(options.views):
            rows += rows_of(person / f"{view:02d}", options.pictures)
        # Kept after every person: the run is long.
        keep("fit_hands", rows, split=options.dataset.name, degrees_and_mm=summary(rows))


if __name__ == "__main__":
    main()
