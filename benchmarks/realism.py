"""How far synthetic readings are from real ones: noise, normals, folds, outlines, holes, rims and colour.

    python benchmarks/realism.py --data DIR [--count 8] [--seed 1] [--pictures DIR]

DIR holds rgbd/ and photos/ (real people: for figures only, never trained on, never shipped). Each real case is set
against synthetic people before the same sensor at the same distance with the same camera. A row is a statistic of a
case: the real captures' median and extremes, the synthetic median and quartiles, and the gap: |log(synthetic / real)|,
for the angles of normals the Wasserstein distance of their histograms in units of 10 degrees. The largest gaps are
named below.
Figures go to benchmarks/results/realism.json, pictures of both sides to --pictures, outside the repository.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from likeness.capture import read_capture, read_photo
from likeness.core.camera import Camera
from likeness.core.errors import LikenessError
from likeness.synthesis.depth_sensors import SENSORS, Sensor, simulate
from likeness.synthesis.dress import dress
from likeness.synthesis.figure import Posed
from likeness.synthesis.pack import load_pack
from likeness.synthesis.picture import develop, render
from likeness.synthesis.places import draw_place
from likeness.synthesis.poses import natural_pose
from likeness.synthesis.recipes import draw_recipe
from likeness.synthesis.scene import Scene
from likeness.synthesis.stance import pose_person
from likeness.synthesis.view import Frame, View, look_at
from PIL import Image
from realism_statistics import Sample, color_statistics, depth_statistics, normal_angles, shaded
from record import ROOT, keep
from scipy import stats

#: Shares that may be nearly nothing, and what counts as nearly nothing.
SHARES, LEAST_SHARE = ("holes", "rim_flying"), 0.005
#: Readings farther behind the person's median than this are the room's.
DEEP_M = 0.6
PICTURE_ROWS = 800


@dataclass(frozen=True)
class Case:
    """Real captures of one kind and how to imitate them.

    folders: under rgbd/. sensor: its model. raw: compare the sensor's own picture, else the registered one. upper: the
    camera sees the person from the waist up. behind_m: wall behind the person.
    """

    name: str
    folders: tuple[str, ...]
    sensor: str
    raw: bool
    upper: bool = False
    behind_m: float = 1.5
    statistics: tuple[str, ...] = ("",)


#: Real sensors with known cameras. The two rendered cases of NormalGAN and smoothed or 8-bit depth are left out.
CASES = (
    Case("Kinect v2, 1.9 m", ("normalgan_kinectv2/01",), "kinect_v2", raw=True),
    Case("Kinect v2, 2.4 m", ("srdf_kinectv2/1001",), "kinect_v2", raw=True),
    Case(
        "Kinect v1, 0.85 m",
        tuple(f"uva_kinectv1_upperbody/{n}" for n in ("00", "20", "50")),
        "kinect_v1",
        raw=False,
        upper=True,
    ),
    # The same chip and projector as Kinect v1; the T-shirt held in front of the body is no outline of a person.
    Case(
        "Structure, 1.8 m",
        ("deepdeform_structure/seq017_000300",),
        "kinect_v1",
        raw=False,
        behind_m=0.8,
        statistics=("noise", "normal_spread", "relief"),
    ),
)


def real_sample(folder: Path) -> Sample:
    """A real reading as the file has it, on the grid of its depth; the person from the file, else from the reader."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    depth = np.asarray(Image.open(folder / meta["depth"])).astype(np.float32) * meta["depth_scale_to_m"]
    camera = Camera(meta["fx"], meta["fy"], meta["cx"], meta["cy"], depth.shape[1], depth.shape[0])
    capture = read_capture(folder)
    same = capture.mask.shape == depth.shape
    if same:
        near = np.abs(depth - np.median(capture.depth[capture.valid])) < DEEP_M
        person = capture.mask & (near | (depth == 0))
    else:
        person = depth > 0
    person &= depth > 0
    return Sample(np.where(person, depth, 0), camera, person, capture.color, capture.mask)


def make_people(count: int, seed: int) -> list[Posed]:
    """Dressed people who stand, as those in the captures do."""
    pack, people = load_pack(), []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        pose = natural_pose(rng)
        while not pose.words.startswith("standing"):
            pose = natural_pose(rng)
        people.append(pose_person(dress(draw_recipe(pack, rng), pack), pose, rng))
    return people


def synthetic_readings(
    people: list[Posed],
    sensor: Sensor,
    camera: Camera,
    distance_m: float,
    seed: int,
    *,
    raw: bool,
    upper: bool,
    behind_m: float,
) -> list[Sample]:
    """Readings of people who stand `distance_m` before a camera of these intrinsics, indoors, in front of a wall."""
    found = []
    for number, posed in enumerate(people):
        rng = np.random.default_rng((seed, number, 1))
        scene, place = Scene(posed), draw_place(rng, "room")
        top = float(posed.body[:, 1].max())
        middle = posed.joints[0] * [1, 0, 1] + np.array([0, (0.78 if upper else 0.5) * top, 0])
        turn = rng.uniform(-0.5, 0.5)
        forward = np.array([np.sin(turn), 0, np.cos(turn)])
        eye = middle + distance_m * forward + [0, rng.uniform(-0.05, 0.25), 0]
        view = look_at(_centred(camera), eye, middle)
        wall = float(posed.joints[0] @ forward) - behind_m

        def render_at(seen: View, scene: Scene = scene, forward: np.ndarray = forward, wall: float = wall) -> Frame:
            return with_room(render(scene, seen, None, outputs="geometry"), seen, forward, wall)

        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        color = develop(render(scene, view, place).color, place.exposure, generator=generator).numpy()
        found.append(_reading(render_at, view, sensor, generator, color, raw=raw))
    return found


def _centred(camera: Camera) -> Camera:
    return replace(camera, cx=(camera.width - 1) / 2, cy=(camera.height - 1) / 2)


def _reading(
    render_at: Callable[[View], Frame],
    view: View,
    sensor: Sensor,
    generator: torch.Generator,
    color: np.ndarray,
    *,
    raw: bool,
) -> Sample:
    """One synthetic reading; the person is cut out by outline and distance."""
    frame = render_at(view)
    reading = simulate(render_at, view, sensor, generator, frame=frame)
    depth = (reading.raw if raw else reading.depth).numpy()
    seen = reading.raw_view if raw else view
    outline = render_at(seen).mask.numpy() if raw else frame.mask.numpy()
    distance = np.median(frame.depth.numpy()[frame.mask.numpy()])
    person = outline & (depth > 0) & (np.abs(depth - distance) < DEEP_M)
    return Sample(np.where(person, depth, 0), seen.camera, person, color, frame.mask.numpy())


def with_room(frame: Frame, view: View, forward: np.ndarray, wall: float) -> Frame:
    """The frame with a wall (`forward` . x = wall) and the floor y = 0 behind the person, of middling reflectivity."""
    rays = view.camera.rays().astype(float) @ view.camera_from_world[:3, :3]
    length = np.linalg.norm(rays, axis=-1)
    depth = np.full(rays.shape[:2], np.inf)
    cosine = np.ones(rays.shape[:2])
    for normal, offset in ((forward, wall), (np.array([0.0, 1.0, 0.0]), 0.0)):
        along = rays @ normal
        met = (offset - view.eye @ normal) / np.where(np.abs(along) < 1e-9, 1e-9, along)
        nearer = (met > 0.05) & (met < depth)
        depth[nearer], cosine[nearer] = met[nearer], np.abs(along / length)[nearer]
    empty = frame.depth <= 0
    behind = torch.from_numpy(np.where(np.isfinite(depth), depth, 0)).float()
    return replace(
        frame,
        depth=torch.where(empty, behind, frame.depth),
        cosine=torch.where(empty, torch.from_numpy(cosine).float(), frame.cosine),
        infrared=torch.where(empty, torch.full_like(frame.infrared, 0.5), frame.infrared),
    )


def compared(case: Case, real: list[Sample], made: list[Sample]) -> list[dict[str, Any]]:
    """One row a statistic."""
    rows = []
    left, right = [_figures(s) for s in real], [_figures(s) for s in made]
    for name in dict.fromkeys(name for figures in left for name in figures):
        if not name.startswith(case.statistics):
            continue
        a, b = _values(left, name), _values(right, name)
        if len(a) == 0 or len(b) == 0:
            continue
        low, median, high = np.quantile(b, [0.25, 0.5, 0.75])
        least = LEAST_SHARE if name in SHARES else 1e-4
        gap = abs(np.log((median + least) / (float(np.median(a)) + least)))
        if name == "normal_angle_deg":
            angles = [np.concatenate([normal_angles(s) for s in side]) for side in (real, made)]
            gap = stats.wasserstein_distance(*angles) / 10
        row = {"case": case.name, "statistic": name, "real": float(np.median(a))}
        row["real_spread"] = f"{a.min():.3g} .. {a.max():.3g}" if len(a) > 1 else ""
        row |= {"synthetic": float(median), "quartiles": f"{low:.3g} .. {high:.3g}", "gap": round(float(gap), 3)}
        rows.append(row)
    return rows


def _figures(sample: Sample) -> dict[str, float]:
    depth = depth_statistics(sample) if sample.person.any() else {}
    return {**depth, **color_statistics(sample)}


def _values(figures: Iterable[dict[str, float]], name: str) -> np.ndarray:
    values = np.array([one.get(name, np.nan) for one in figures])
    return values[np.isfinite(values)]


def photo_samples(data: Path) -> list[Sample]:
    """The photographs whose person can be told from the background, for their colour alone."""
    real = []
    for entry in json.loads((data / "photos" / "index.json").read_text(encoding="utf-8")):
        try:
            photo = read_photo(data / entry["file"])
        except LikenessError:
            continue
        nothing = np.zeros(photo.mask.shape, np.float32)
        real.append(Sample(nothing, photo.camera, nothing > 0, photo.color, photo.mask))
    return real


def sheet(path: Path, real: list[Sample], made: list[Sample]) -> None:
    """Shaded normals, real first, then up to five synthetic ones, cut to the person and equally tall."""
    tiles = []
    for sample in (*real[:2], *made[:5]):
        rows, columns = np.nonzero(sample.filled)
        window = slice(max(rows.min() - 6, 0), rows.max() + 7), slice(max(columns.min() - 6, 0), columns.max() + 7)
        tile = Image.fromarray(shaded(sample)[window])
        tiles.append(np.asarray(tile.resize((round(tile.width * PICTURE_ROWS / tile.height), PICTURE_ROWS), 0)))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(tiles, 1)).resize((2 * sum(t.shape[1] for t in tiles), 2 * PICTURE_ROWS), 0).save(
        path
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "test")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--only", default="", help="cases whose name contains this text")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    people = make_people(arguments.count, arguments.seed)
    for case in CASES:
        if arguments.only not in case.name:
            continue
        real = [real_sample(arguments.data / "rgbd" / folder) for folder in case.folders]
        distance = float(np.median([sample.distance_m for sample in real]))
        made = synthetic_readings(
            people,
            SENSORS[case.sensor],
            real[0].camera,
            distance,
            arguments.seed,
            raw=case.raw,
            upper=case.upper,
            behind_m=case.behind_m,
        )
        rows += compared(case, real, made)
        if case.name == CASES[0].name:
            photos = photo_samples(arguments.data)
            rows += compared(Case(f"{len(photos)} photographs", (), case.sensor, raw=True), photos, made)
        if arguments.pictures:
            sheet(arguments.pictures / f"{case.sensor}_{distance:.1f}m.png", real, made)
    worst = sorted(rows, key=lambda row: -row["gap"])[:5]
    named = "; ".join(f"{row['statistic']} ({row['case']}) {row['gap']:.2f}" for row in worst)
    keep("realism", rows, people=arguments.count, seed=arguments.seed, largest_gaps=named)


if __name__ == "__main__":
    main()
