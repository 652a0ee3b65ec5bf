"""How well the body is fitted to photos: synthetic people whose body is known, and pictures that came with SMPL fits.

    python benchmarks/fit_photo.py [--people 12] [--views 2] [--dataset DIR] [--data DIR] [--pictures DIR]

People of the test split (or of --dataset, a folder that `likeness synthesize` wrote) are photographed by a camera that
looks at them, and fitted with the focal length known and unknown, one photo at a time and all views together.
joint_mm: mean over 22 joints after Procrustes (similarity). iou: the fitted body's outline against that of the true
bare body, which is what the target of 0.85 means; iou_clothed: against the outline of the dressed person. shape_mm:
vertices of the body at rest after shift and scale; focal_off: natural logarithm of the ratio of focal lengths.
--data holds elicit_fashion's folders (never shipped, never tuned on): mean turn of the joints against the SMPL
parameters beside the pictures, and how far joints lie apart in pixels at 1024.
Keeps the figures in benchmarks/results/fit_photo.json; overlays go to --pictures, outside the repository.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fit_synthetic import aligned
from likeness.body.fit import draw_overlay, fit_body
from likeness.body.fit_overlay import shaded
from likeness.body.fit_photos import fit_photos
from likeness.body.landmarks import Landmarks
from likeness.body.model import BodyModel, load_default, product_body
from likeness.capture import read_capture, read_photo
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.files import read_json
from likeness.core.fit import Fit
from likeness.core.frames import axis_angle, rodrigues
from likeness.core.given_pose import GivenPose, read_given_pose
from likeness.jobs.reading import find_person
from likeness.synthesis.dataset import write_person
from likeness.synthesis.pack import load_pack
from likeness.synthesis.sample import Settings, make_sample
from PIL import Image
from record import keep
from scipy import ndimage

# The joints that SMPL and SMPL-H share.
JOINTS = 22
# SMPL's joints whose turns are compared: not hands, feet's ends and head's end, where its fits hold guesses.
COMPARED = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18, 19)
# SMPL's and the default body's T poses are the same by definition; joints whose places also mean the same.
POINTS = (1, 2, 4, 5, 7, 8, 12, 16, 17, 18, 19, 20, 21)


@dataclass(frozen=True)
class Photo:
    """A photo of a synthetic person: color (H, W, 3), its centred camera, and in that camera's space the true joints
    (52, 3), bare body (V, 3), the body at rest (V, 3) and the outline (H, W) of the dressed person."""

    name: str
    color: np.ndarray
    camera: Camera
    joints: np.ndarray
    body: np.ndarray
    rest: np.ndarray
    outline: np.ndarray

    def capture(self, focal_known: bool) -> Capture:
        """As an artist's file is read, its mask found in the picture."""
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / f"{self.name.replace('/', '_')}.png"
            Image.fromarray(self.color).save(path)
            return read_photo(path, focal_px=self.camera.fx if focal_known else None)


def photo_of(folder: Path, person: dict[str, np.ndarray], people: str) -> Photo:
    """The view in a written folder, its camera turned so that the optical axis goes through the picture's middle.

    Views are cut out of larger pictures, so their axis may lie outside of them; nobody's photo is like that.
    people: whose betas the person's are, `adults` or `children`.
    """
    capture = read_capture(folder)
    truth = np.load(folder / "truth.npz")
    c = capture.camera
    middle = np.array([(c.width - 1) / 2, (c.height - 1) / 2])
    sight = np.array([(middle[0] - c.cx) / c.fx, (middle[1] - c.cy) / c.fy, 1.0])
    forward = sight / np.linalg.norm(sight)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    turn = np.stack([right, np.cross(forward, right), forward])
    rim = c.rays()[truth["outline"]].reshape(-1, 3).astype(np.float64) @ turn.T
    # Nobody is cut off who was not: the picture's middle keeps its scale unless the person would not fit.
    focal = 0.5 * (c.fx + c.fy) * float(np.linalg.norm(sight))
    focal = min(focal, 0.49 * min(c.width, c.height) / float(np.abs(rim[:, :2] / rim[:, 2:]).max()))
    camera = Camera(focal, focal, float(middle[0]), float(middle[1]), c.width, c.height)
    source = c.project(camera.rays().reshape(-1, 3).astype(np.float64) @ turn).reshape(c.height, c.width, 2)
    rows, columns = source[..., 1], source[..., 0]

    def warped(channel: np.ndarray) -> np.ndarray:
        return ndimage.map_coordinates(channel.astype(np.float32), [rows, columns], order=1, mode="nearest")

    color = np.stack([warped(capture.color[..., k]) for k in range(3)], axis=-1)
    view = truth["camera_from_world"]
    body = (person["body"] @ view[:3, :3].T + view[:3, 3]) @ turn.T
    return Photo(
        f"{folder.parent.name}/{folder.name}",
        color.round().clip(0, 255).astype(np.uint8),
        camera,
        truth["joints"].astype(np.float64) @ turn.T,
        body.astype(np.float32),
        load_default(people=people).rest(truth["betas"][:20])[0].astype(np.float64),
        warped(truth["outline"]) > 0.5,
    )


def read_people(dataset: Path) -> Iterator[list[Photo]]:
    """The photos of each person of a written dataset."""
    for folder in sorted(path for path in dataset.iterdir() if (path / "person.npz").is_file()):
        person = dict(np.load(folder / "person.npz"))
        people = read_json(folder / "person.json", "input.dataset")["recipe"].get("people", "adults")
        yield [photo_of(view, person, people) for view in sorted(folder.glob("[0-9][0-9]"))]


def make_people(options: argparse.Namespace) -> Iterator[list[Photo]]:
    """The photos of new people of the test split."""
    settings = Settings(
        seed=options.seed, split="test", views=options.views, points=0, mesh=False, size=options.size, avatars=0.3
    )
    pack = load_pack()
    for index in range(options.people):
        with tempfile.TemporaryDirectory() as place:
            write_person(Path(place), make_sample(pack, settings, index))
            yield from read_people(Path(place))


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((first & second).sum() / max(1, (first | second).sum()))


def similar(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Points (N, 3) shifted and scaled onto the target: what a photo can say of a shape."""
    a, b = points - points.mean(0), target - target.mean(0)
    return np.asarray(a * (a * b).sum() / (a * a).sum() + target.mean(0))


def measured(model: BodyModel, fit: Fit, photo: Photo) -> dict[str, float]:
    """Figures of one fit; see the module's head."""
    vertices, joints = model.posed(fit.betas, fit.pose, fit.translation)
    truth = photo.joints[:JOINTS]
    found = joints[:JOINTS].astype(np.float64)
    outline = shaded(vertices, model.faces, fit.camera)[1]
    bare = shaded(photo.body, model.faces, photo.camera)[1]
    scaled = found * (found * truth).sum() / (found**2).sum()
    rest, right = model.rest(fit.betas)[0].astype(np.float64), photo.rest
    return {
        "joint_mm": 1000 * float(np.linalg.norm(aligned(found, truth) - truth, axis=1).mean()),
        "joint_scaled_mm": 1000 * float(np.linalg.norm(scaled - truth, axis=1).mean()),
        "iou": overlap(outline, bare),
        "iou_clothed": overlap(outline, photo.outline),
        "shape_mm": 1000 * float(np.linalg.norm(similar(rest, right) - right, axis=1).mean()),
        "focal_off": abs(float(np.log(fit.camera.fx / photo.camera.fx))),
    }


def fit_rows(model: BodyModel, photos: list[Photo], pictures: Path | None) -> list[dict[str, Any]]:
    """One row for each photo and way of fitting: its focal length known or not, alone or with the person's others."""
    rows: list[dict[str, Any]] = []
    together: list[tuple[Photo, Capture, Landmarks]] = []
    for photo in photos:
        for way in ("focal_known", "focal_unknown"):
            row: dict[str, Any] = {"photo": photo.name, "way": way}
            try:
                capture = photo.capture(way == "focal_known")
                landmarks = find_person(capture)
                started = time.process_time()
                fit = fit_body(capture, model, landmarks)
                row |= measured(model, fit, photo) | {"cpu_seconds": time.process_time() - started}
                if way == "focal_known":
                    together.append((photo, capture, landmarks))
                    if pictures is not None:
                        picture = Image.fromarray(draw_overlay(capture, model, fit))
                        picture.save(pictures / f"{photo.name.replace('/', '_')}.png")
            except LikenessError as error:
                row["failed"] = error.code
            rows.append(row)
    if len(together) > 1:
        fits = fit_photos([c for _, c, _ in together], model, [found for _, _, found in together])
        rows += [
            {"photo": photo.name, "way": "together"} | measured(model, fit, photo)
            for (photo, _, _), fit in zip(together, fits, strict=True)
        ]
    return rows


def fashion_rows(model: BodyModel, data: Path, pictures: Path | None) -> list[dict[str, Any]]:
    """Pictures whose SMPL parameters are known, fitted with nothing but the picture and its mask."""
    rows = []
    for folder in sorted(path for path in data.iterdir() if (path / "gt_params.npz").is_file()):
        capture = read_photo(folder / "gt_image.png", mask=folder / "gt_mask.png")
        fit = fit_body(capture, model, find_person(capture))
        theirs = read_given_pose(folder / "gt_params.npz")
        turns = [rodrigues(pose[:JOINTS].astype(np.float64)) for pose in (theirs.pose, fit.pose)]
        between = np.swapaxes(turns[0], 1, 2) @ turns[1]
        degrees = np.degrees(np.linalg.norm(axis_angle(between), axis=-1))
        row: dict[str, Any] = {"photo": folder.name, "way": "fashion"}
        row["turn_deg"] = float(degrees[list(COMPARED)].mean())
        row["joint_px"] = float(np.linalg.norm(difference_px(model, fit, theirs), axis=1).mean())
        row |= {f"deg_{model.joint_names[j]}": round(float(degrees[j]), 1) for j in (0, *COMPARED)}
        row["iou_mask"] = overlap(shaded(*_skin(model, fit), fit.camera)[1], capture.mask)
        rows.append(row)
        if pictures is not None:
            Image.fromarray(draw_overlay(capture, model, fit)).save(pictures / f"{folder.name}.png")
    return rows


def difference_px(model: BodyModel, fit: Fit, theirs: GivenPose) -> np.ndarray:
    """(len(POINTS), 2) px at 1024 between joints of the fit and of the given pose, after the best shift and scale.

    The given shape means nothing to our body, so the given pose is put on ours; how large it then is, is not compared.
    """
    assert theirs.pelvis is not None
    assert theirs.focal_px is not None
    scale = 1024 / max(fit.camera.width, fit.camera.height)
    pose = fit.pose.copy()
    pose[:JOINTS] = theirs.pose[:JOINTS]
    pelvis = model.rest(fit.betas)[1][0]
    other = model.posed(fit.betas, pose, theirs.pelvis - pelvis)[1][list(POINTS)].astype(np.float64)
    truth = other[:, :2] / other[:, 2:] * theirs.focal_px
    found = fit.camera.project(model.posed(fit.betas, fit.pose, fit.translation)[1][list(POINTS)]) * scale
    a, b = found - found.mean(axis=0), truth - truth.mean(axis=0)
    return np.asarray(a * (a * b).sum() / (a * a).sum() - b)


def _skin(model: BodyModel, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    return model.posed(fit.betas, fit.pose, fit.translation)[0], model.faces


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and median over photos for each way of fitting, and how many were refused."""
    out: dict[str, Any] = {}
    for way in dict.fromkeys(row["way"] for row in rows):
        mine = [row for row in rows if row["way"] == way]
        good = [row for row in mine if "failed" not in row]
        out[way] = {"photos": len(mine), "refused": len(mine) - len(good)}
        for key in ("joint_mm", "joint_scaled_mm", "iou", "iou_clothed", "shape_mm", "focal_off", "turn_deg",
                    "joint_px", "iou_mask"):  # fmt: skip
            values = [row[key] for row in good if key in row]
            if values:
                out[way] |= {key: round(float(np.mean(values)), 3)}
                out[way] |= {f"{key}_median": round(float(np.median(values)), 3)}
    return out


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    model = product_body()
    rows = fashion_rows(model, options.data, options.pictures) if options.data else []
    people = read_people(options.dataset) if options.dataset else make_people(options)
    for photos in people:
        rows += fit_rows(model, photos, options.pictures)
        # Kept after every person: the run is long.
        keep("fit_photo", rows, seed=options.seed, split=options.dataset and options.dataset.name, means=summary(rows))


if __name__ == "__main__":
    main()
