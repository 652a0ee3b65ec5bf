"""How well the body is fitted to people whose body is known: joint and surface errors on synthetic captures.

    python benchmarks/fit_synthetic.py --data WARDROBE [--count 12] [--seed 100]

WARDROBE holds assets.json, body/, garments/, motion/ (raw material; CC0 items only). Every person is rendered once and
fitted three times: through the simulated depth sensor, with ideal depth, and as a photo. Truth in the default body's
own joints is had by registering that body to the true bare body, vertex by vertex; `registration_mm` says how well that
went, and no fit can be trusted below it. Keeps the figures in benchmarks/results/fit_synthetic.json.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from likeness.body.fit import fit_body
from likeness.body.lbs import BodyTensors, lbs
from likeness.body.model import BodyModel, load_default
from likeness.capture import read_capture, read_photo
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit
from likeness.jobs.avatar_job import find_person
from likeness.synthesis.__main__ import draw_person
from likeness.synthesis.captures import SyntheticCapture, camera_pose, render_rgbd, write_capture, write_truth
from likeness.synthesis.person import make_person
from likeness.synthesis.render import render_depth, to_camera
from likeness.synthesis.wardrobe import CC0, Arrays, Wardrobe
from record import keep

VARIANTS = ("rgbd_sensor", "rgbd_ideal", "photo")


def shared_vertices(model: BodyModel, base: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of the default body and of the raw base mesh (M,), (M,) that are the same point: the same UV corner."""
    visible = (base["faces"] < int(base["body_vert_count"])).all(1)
    keys = np.round(base["uvs"] * 1e4).astype(int)
    vertex_at = {
        tuple(keys[uv]): int(vertex)
        for vertex, uv in zip(base["faces"][visible].ravel(), base["face_uv"][visible].ravel(), strict=True)
    }
    corners = np.round(model.corner_uvs.reshape(-1, 2) * 1e4).astype(int)
    pairs = {
        int(vertex): vertex_at[tuple(uv)]
        for vertex, uv in zip(model.faces.ravel(), corners, strict=True)
        if tuple(uv) in vertex_at
    }
    return np.array(list(pairs)), np.array(list(pairs.values()))


def register(model: BodyModel, rows: np.ndarray, target: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit the default body to known vertices (M, 3) of the rows (M,). Joints (24, 3), miss of every vertex (M,) m."""
    body = BodyTensors.from_model(model, rows)
    goal = torch.as_tensor(target)
    unknown = [torch.as_tensor(pose)[None].clone(), torch.zeros(1, model.betas_count), goal.mean(0)[None].clone()]
    for tensor in unknown:
        tensor.requires_grad_(True)
    solver = torch.optim.LBFGS(unknown, max_iter=150, line_search_fn="strong_wolfe")

    def energy() -> torch.Tensor:
        solver.zero_grad()
        vertices, _ = lbs(body, unknown[1], unknown[0], unknown[2])
        # The weak pull on shape keeps directions that clothes and pose imitate from running away.
        loss = ((vertices[0] - goal) ** 2).sum(1).mean() * 1e4 + 1e-3 * (unknown[1] ** 2).mean()
        loss.backward()
        return loss

    solver.step(energy)
    with torch.no_grad():
        vertices, joints = lbs(body, unknown[1], unknown[0], unknown[2])
    return joints[0].numpy(), np.linalg.norm(vertices[0].numpy() - target, axis=1)


def fit_variant(variant: str, capture: SyntheticCapture, folder: Path, model: BodyModel) -> Fit:
    """Write the capture as files, read it the way an artist's input is read, and fit."""
    if variant == "rgbd_ideal":
        clean = render_depth(capture.person, capture.view)
        capture = replace(capture, depth=np.where(clean.person, clean.depth, 0).astype(np.float32))
    write_capture(folder, capture)
    if variant == "photo":
        read = read_photo(folder / "color.png", focal_px=capture.view.camera.fx)
    else:
        read = read_capture(folder)
    return fit_body(read, model, find_person(read))


def errors(model: BodyModel, fit: Fit, joints: np.ndarray, rows: np.ndarray, body: np.ndarray) -> dict[str, np.ndarray]:
    """Distances in mm: joints as they are, joints with the pelvis moved onto the truth, joints after the best scaling
    about the camera (a photo does not tell how far and how tall a person is), vertices of the bare body."""
    vertices, found = model.posed(fit.betas, fit.pose, fit.translation)
    shift = joints[0] - found[0]
    scale = (found * joints).sum() / (found**2).sum()
    return {
        "joint": 1000 * np.linalg.norm(found - joints, axis=1),
        "joint_at_pelvis": 1000 * np.linalg.norm(found + shift - joints, axis=1),
        "joint_scaled": 1000 * np.linalg.norm(found * scale - joints, axis=1),
        "vertex": 1000 * np.linalg.norm(vertices[rows] - body, axis=1),
    }


@dataclass
class Tally:
    """What has been measured so far."""

    model: BodyModel
    found: dict[str, list[dict[str, np.ndarray]]] = field(default_factory=lambda: {v: [] for v in VARIANTS})
    failed: dict[str, list[str]] = field(default_factory=lambda: {v: [] for v in VARIANTS})
    registration: list[float] = field(default_factory=list)
    people: list[dict[str, object]] = field(default_factory=list)

    def record(self) -> dict[str, object]:
        """JSON-ready figures."""
        return {
            "people": len(self.people),
            "registration_mm": round(float(np.median(self.registration)), 2),
            "variants": {v: summary(self.model, self.found[v]) | {"failed": self.failed[v]} for v in VARIANTS},
        }


def measure(wardrobe: Wardrobe, options: argparse.Namespace) -> Iterator[Tally]:
    """The tally after each of `options.count` people drawn with `options.seed`."""
    tally = Tally(load_default())
    rows, raw = shared_vertices(tally.model, wardrobe.base)
    for index in range(options.count):
        recipe, pose, yaw = draw_person(wardrobe, index, options.seed)
        made = make_person(recipe, wardrobe, pose, yaw_deg=yaw)
        capture = render_rgbd(made, samples=options.samples, seed=options.seed + index)
        if options.captures is not None:
            write_capture(options.captures / f"{index:03d}", capture)
            write_truth(options.captures / f"{index:03d}" / "truth.npz", capture)
        body = to_camera(capture.view, made.body[raw])
        joints, miss = register(tally.model, rows, body, camera_pose(made, capture.view))
        tally.registration.append(1000 * float(np.median(miss)))
        person: dict[str, object] = {"recipe": recipe.name, "yaw_deg": round(yaw)}
        for variant in VARIANTS:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    fit = fit_variant(variant, capture, Path(folder), tally.model)
                except LikenessError as error:
                    tally.failed[variant].append(f"{recipe.name}: {error.code}")
                    continue
            tally.found[variant].append(errors(tally.model, fit, joints, rows, body))
            person[variant] = round(float(tally.found[variant][-1]["joint"].mean()), 1)
        tally.people.append(person)
        yield tally


def summary(model: BodyModel, found: list[dict[str, np.ndarray]]) -> dict[str, object]:
    """Mean and median over people and joints, and the mean of every joint, in mm."""
    if not found:
        return {"people": 0}
    out: dict[str, object] = {"people": len(found)}
    for key in found[0]:
        values = np.stack([entry[key] for entry in found])
        out[f"{key}_mean_mm"] = round(float(values.mean()), 1)
        out[f"{key}_median_mm"] = round(float(np.median(values)), 1)
    means = np.stack([entry["joint"] for entry in found]).mean(0)
    out["mean_mm_a_joint"] = {name: round(float(m), 1) for name, m in zip(model.joint_names, means, strict=True)}
    return out


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--samples", type=int, default=6, help="rays a pixel")
    parser.add_argument("--captures", type=Path, help="folder for the captures and their truth")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for tally in measure(Wardrobe(options.data, frozenset([CC0])), options):
        # Kept after every person: the run is long.
        keep("fit_synthetic", tally.people, seed=options.seed, rays_a_pixel=options.samples, **tally.record())


if __name__ == "__main__":
    main()
