"""How well the body is fitted to people whose body is known: joint and surface errors on synthetic captures.

    python benchmarks/fit_synthetic.py [--people 12] [--views 2] [--seed 100]

People of the test split in any pose, seen from all round. Every view is fitted three times: through the simulated
Azure Kinect, with true depth, and as a photo with its focal length. Keeps the figures in
benchmarks/results/fit_synthetic.json.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from likeness.body.fit import fit_body
from likeness.body.model import BodyModel, load_default
from likeness.capture import read_capture, read_photo
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit
from likeness.jobs.avatar_job import find_person
from likeness.synthesis.dataset import write_person
from likeness.synthesis.pack import load_pack
from likeness.synthesis.sample import Settings, make_sample
from likeness.synthesis.views import view_angles
from record import keep

VARIANTS = ("rgbd_sensor", "rgbd_ideal", "photo")
# The joints that SMPL and SMPL-H share.
JOINTS = 22


def read_view(folder: Path, variant: str) -> Capture:
    """A written view as an artist's input is read."""
    if variant == "photo":
        focal = float(read_capture(folder).camera.fx)
        return read_photo(folder / "color.jpg", focal_px=focal)
    capture = read_capture(folder)
    if variant == "rgbd_ideal":
        truth = np.load(folder / "truth.npz")
        capture = replace(capture, depth=truth["depth"], mask=truth["outline"])
    return capture


def errors(model: BodyModel, fit: Fit, joints: np.ndarray) -> dict[str, float]:
    """Mean distances over the joints (22, 3) in mm: as they are, with the pelvis moved onto the truth, after the best
    scaling about the camera (a photo does not tell how far and how tall a person is), and after a similarity."""
    _, found = model.posed(fit.betas, fit.pose, fit.translation)
    found = found[:JOINTS].astype(np.float64)

    def mean(moved: np.ndarray) -> float:
        return 1000 * float(np.linalg.norm(moved - joints, axis=1).mean())

    return {
        "joint": mean(found),
        "joint_at_pelvis": mean(found + joints[0] - found[0]),
        "joint_scaled": mean(found * (found * joints).sum() / (found**2).sum()),
        "joint_similar": mean(aligned(found, joints)),
    }


def aligned(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Points (N, 3) after the similarity that brings them closest to the target (Procrustes)."""
    a, b = points - points.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = (s * np.diag(flip)).sum() / (a**2).sum()
    return scale * a @ (u @ flip @ vt) + target.mean(0)


def measure(options: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    """All rows after each person."""
    settings = Settings(
        seed=options.seed, split="test", views=options.views, points=0, mesh=False, size=options.size, avatars=0.3
    )
    pack, model, rows = load_pack(), load_default(), list[dict[str, Any]]()
    for index in range(options.people):
        sample = make_sample(pack, settings, index)
        with tempfile.TemporaryDirectory() as place:
            folder = write_person(Path(place), sample)
            for number, view in enumerate(sample.views):
                joints = view.view.to_camera(sample.posed.joints)[:JOINTS].astype(np.float64)
                yaw, tilt = view_angles(view.view, sample.posed)
                for variant in VARIANTS:
                    row: dict[str, Any] = {"person": index, "view": number, "yaw": round(yaw), "tilt": round(tilt)}
                    try:
                        capture = read_view(folder / f"{number:02d}", variant)
                        fit = fit_body(capture, model, find_person(capture))
                        found: dict[str, Any] = {k: round(v, 1) for k, v in errors(model, fit, joints).items()}
                    except LikenessError as error:
                        found = {"failed": error.code}
                    rows.append(row | {"input": variant} | found)
        yield rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and median over views for each kind of input, mm; and how many were refused."""
    out: dict[str, Any] = {}
    for variant in VARIANTS:
        mine = [row for row in rows if row["input"] == variant]
        good = [row for row in mine if "failed" not in row]
        out[variant] = {"views": len(mine), "refused": len(mine) - len(good)}
        for key in ("joint", "joint_at_pelvis", "joint_scaled", "joint_similar"):
            values = [row[key] for row in good]
            if values:
                out[variant] |= {f"{key}_mean": round(float(np.mean(values)), 1)}
                out[variant] |= {f"{key}_median": round(float(np.median(values)), 1)}
    return out


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--seed", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for rows in measure(options):
        # Kept after every person: the run is long.
        keep("fit_synthetic", rows, seed=options.seed, mm=summary(rows))


if __name__ == "__main__":
    main()
