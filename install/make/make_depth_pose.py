"""Learn to read the body's joints off depth from synthetic people of the train split: weights/body/depth_pose.npz.

    python install/make/make_depth_pose.py samples DIR --split train --people 0:200
    python install/make/make_depth_pose.py train DIR --out RUN --steps 6000 [--seconds 600]
    python install/make/make_depth_pose.py export RUN [--file FILE]

Each goes on where it stopped. Clothed people with hair and shoes in many poses, seen from all round, as depth alone;
readings go wrong as sensors' do while the network learns. People of another split in DIR are only measured.
"""

from __future__ import annotations

import argparse
import io
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from likeness.body.corrector import JOINTS
from likeness.body.depth_pose import MIRRORED, PIXEL_M, SIDE, DepthPoseNet, channels_of
from likeness.body.lbs import rotation_matrices
from likeness.body.model import load_default
from likeness.core.camera import Camera
from likeness.core.files import write_bytes
from likeness.core.frames import axis_angle, rodrigues
from likeness.jobs.training import Trainer, TrainSettings
from likeness.synthesis.bending import Bending
from likeness.synthesis.figure import Dressed
from likeness.synthesis.pack import Pack, load_pack
from likeness.synthesis.poses import draw_pose
from likeness.synthesis.raster import project, rasterize
from likeness.synthesis.sample import Settings, make_dressed
from likeness.synthesis.view import View, look_at
from torch import nn

POSES, VIEWS = 24, 3
# Every second pose is the deepest bend of the knees among so many: rare as they are, they are what fits fail on.
BENT_OF = 4
SEED = 23
NOTHING = -32768
# Shares of views whose feet, or legs, the picture cuts off.
CUT_FEET, CUT_LEGS = 0.08, 0.06
BARE_HEAD = 0.3
BATCH = 32
FLIP = (1.0, -1.0, -1.0)
# Depths as sensors spoil them: metres of noise a pixel and of waves over many, shares of pictures.
NOISE_M, WAVE_M, CLEAN = 0.006, 0.008, 0.25
DEFAULT_OUT = Path(__file__).resolve().parents[2] / "engine" / "likeness" / "weights" / "body" / "depth_pose.npz"


def person_views(pack: Pack, split: str, index: int) -> dict[str, np.ndarray]:
    """The index-th person in POSES poses, VIEWS pictures each, N in all, in the frame of the line of sight.

    depth (N, SIDE, SIDE) i16 mm less the distance, NOTHING off the person; last (N,) i16: the last row of the picture;
    distance (N,) f32 m; joints (N, 22, 3) f32: x, y in m at the distance, depth less the distance; pose (N, 22, 3) f32;
    child (N,) bool.
    """
    dressed = make_dressed(pack, Settings(seed=SEED, split=split, cloth="skin", avatars=0.0), index)
    rng = np.random.default_rng((SEED, pack.split.person(split, index), 7))
    child = dressed.recipe.get("people", "adults") == "children"
    bending = Bending(dressed, load_default(layout="smplh"))
    rows = []
    for number in range(POSES):
        drawn = [draw_pose(pack, rng, split).pose for _ in range(BENT_OF if number % 2 else 1)]
        pose = max(drawn, key=lambda pose: np.linalg.norm(pose[[4, 5]], axis=1).max())
        layers, faces = _solid(dressed, bending.moved(pose)[1], rng)
        joints = bending.joints(pose)[:JOINTS]
        floor = float(layers[:, 1].min())
        for _ in range(VIEWS):
            made = _view(layers, faces, joints, floor, rng)
            if made is not None:
                turn = made.pop("turn")
                local = pose[:JOINTS].astype(np.float64)
                local[0] = axis_angle(turn @ rodrigues(local[0]))
                rows.append(made | {"pose": local.astype(np.float32), "child": np.bool_(child)})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _solid(dressed: Dressed, vertices: list[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One soup of all layers; sensors often see through hair."""
    points, faces, count = [], [], 0
    bald = rng.random() < BARE_HEAD
    for layer, moved in zip(dressed.layers, vertices, strict=True):
        if layer.kind == "eye" or (bald and layer.kind == "hair"):
            continue
        points.append(moved)
        faces.append(layer.faces + count)
        count += len(moved)
    return np.concatenate(points).astype(np.float32), np.concatenate(faces).astype(np.int64)


def _view(points: np.ndarray, faces: np.ndarray, joints: np.ndarray, floor: float, rng: np.random.Generator) \
        -> dict[str, np.ndarray] | None:  # fmt: skip
    """One picture and where the joints are in it; turn (3, 3): sight's frame from the world."""
    centre = (points.min(0) + points.max(0)) / 2
    distance = float(np.exp(rng.uniform(np.log(1.3), np.log(5.0))))
    held = math.degrees(math.atan2(centre[1] - floor - rng.normal(1.3, 0.25), distance))
    tilt = math.radians(float(np.clip(rng.uniform(-32, 25) if rng.random() < 0.35 else held, -35, 30)))
    yaw = rng.uniform(-math.pi, math.pi)
    away = np.array([math.sin(yaw) * math.cos(tilt), -math.sin(tilt), math.cos(yaw) * math.cos(tilt)])
    eye = centre + distance * away
    unit = Camera(1.0, 1.0, 0.0, 0.0, 1, 1)
    first = look_at(unit, eye, centre)
    seen = unit.project(first.to_camera(points[::5]).astype(np.float64))
    low, high = seen.min(0), seen.max(0)
    draw, cut = rng.random(), 0.0
    if draw < CUT_FEET + CUT_LEGS:
        cut = rng.uniform(0.03, 0.15) if draw < CUT_FEET else rng.uniform(0.3, 0.5)
    high[1] -= cut * (high[1] - low[1])
    middle = (low + high) / 2
    target = eye + first.camera_from_world[:3, :3].T @ np.array([*middle, 1.0])
    view = look_at(unit, eye, target, float(rng.normal(0, 3)))
    local = view.to_camera(points)
    if local[:, 2].min() < 0.3:
        return None
    away_m = _median_front(local)
    focal = away_m / PIXEL_M
    half = (SIDE - 1) / 2
    offset = rng.uniform(-3, 3, 2)
    camera = Camera(focal, focal, float(half + offset[0]), float(half + offset[1]), SIDE, SIDE)
    last = SIDE if cut == 0 else round(half + offset[1] + (high[1] - low[1]) / 2 * focal)
    here = View(camera, view.camera_from_world)
    seen_at = rasterize(project(torch.from_numpy(points), [here]), torch.from_numpy(faces), SIDE, SIDE)
    near = seen_at.nearness[0].numpy()
    depth = np.where(near > 0, 1 / np.maximum(near, 1e-6) - away_m, 0)
    pixels = view.to_camera(joints).astype(np.float64)
    flat = pixels[:, :2] / pixels[:, 2:] * away_m + offset * PIXEL_M
    return {
        "depth": np.where(near > 0, np.clip(np.round(1000 * depth), -32000, 32000), NOTHING).astype(np.int16),
        "last": np.int16(min(last, SIDE)),
        "distance": np.float32(away_m),
        "joints": np.concatenate([flat, pixels[:, 2:] - away_m], axis=1).astype(np.float32),
        "turn": view.camera_from_world[:3, :3],
    }


def _median_front(local: np.ndarray) -> float:
    """Median depth of the nearest points (V, 3) in cells of a picture."""
    cells = np.round(local[:, :2] / local[:, 2:] / (1.5 * PIXEL_M) * np.median(local[:, 2])).astype(np.int64)
    order = np.lexsort((local[:, 2], cells[:, 1] * 4096 + cells[:, 0]))
    key = (cells[:, 1] * 4096 + cells[:, 0])[order]
    return float(np.median(local[order, 2][np.concatenate([[True], key[1:] != key[:-1]])]))


def make_samples(folder: Path, split: str, indices: Iterable[int]) -> None:
    """Write people that the folder lacks."""
    pack = load_pack()
    folder.mkdir(parents=True, exist_ok=True)
    for index in indices:
        path = folder / f"{split}_{index:06d}.npz"
        if not path.exists():
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **person_views(pack, split, index))  # type: ignore[arg-type]
            write_bytes(path, buffer.getvalue())
            print(path.name, flush=True)


@dataclass(frozen=True)
class Views:
    """Everything of one split in memory; see person_views."""

    depth: torch.Tensor
    last: torch.Tensor
    joints: torch.Tensor
    pose: torch.Tensor
    child: torch.Tensor

    @classmethod
    def read(cls, folder: Path, split: str, most: int | None = None) -> Views:
        """All people of a split that lie in a folder."""
        parts = [np.load(path) for path in sorted(folder.glob(f"{split}_*.npz"))[:most]]
        names = ("depth", "last", "joints", "pose", "child")
        return cls(*(torch.from_numpy(np.concatenate([part[name] for part in parts])) for name in names))

    def rows(self, index: torch.Tensor) -> Views:
        """Some of them."""
        return Views(*(values[index] for values in vars(self).values()))

    def mirrored(self, which: torch.Tensor) -> Views:
        """The same with some (B,) seen in a mirror."""
        swap = which[:, None, None]
        depth = torch.where(swap, self.depth.flip(2), self.depth)
        joints = torch.where(swap, self.joints[:, MIRRORED] * torch.tensor((-1.0, 1.0, 1.0)), self.joints)
        pose = torch.where(swap, self.pose[:, MIRRORED] * torch.tensor(FLIP), self.pose)
        return Views(depth, self.last, joints, pose, self.child)


def framed(views: Views, generator: torch.Generator) -> torch.Tensor:
    """Where the captures' pictures are, (B, SIDE, SIDE) bool: about the people, narrow or wide, a little turned.

    Now and then they cut an arm off, and legs where the views say so.
    """
    count = len(views.depth)
    person = views.depth != NOTHING
    line = torch.arange(SIDE, dtype=torch.float32)
    inside = torch.ones(person.shape, dtype=torch.bool)
    for axis, sign in ((2, -1), (2, 1), (1, -1), (1, 1)):
        shown = person.any(dim=3 - axis).float()
        reach = (sign * line * shown - 1e6 * (1 - shown)).amax(dim=1)
        margin = 60 * torch.rand(count, generator=generator).square() + 0.5
        margin = torch.where(torch.rand(count, generator=generator) < 0.04, -0.2 * margin, margin)
        slope = 0.06 * torch.randn(count, generator=generator)[:, None] * (line - SIDE / 2)
        limit = (reach + margin)[:, None] + slope
        where, along = (line[None, None, :], limit[:, :, None]) if axis == 2 else (line[None, :, None], limit[:, None])
        edge = sign * where <= along
        if (axis, sign) == (1, 1):
            # What the view cuts off ends there, level.
            cut = (views.last < SIDE)[:, None, None]
            edge = torch.where(cut, line[None, :, None] < views.last[:, None, None], edge)
        inside &= edge
    return inside


def pictures_of(person: torch.Tensor, relative: torch.Tensor, inside: torch.Tensor, known: torch.Tensor) \
        -> torch.Tensor:  # fmt: skip
    """The network's input from who is where, depth, and where the picture is, each (B, SIDE, SIDE)."""
    shown = person & inside
    parts = [values.numpy() for values in (relative, shown & known, shown, inside)]
    return torch.from_numpy(channels_of(*parts)).transpose(0, 1).contiguous()


def spoiled(views: Views, generator: torch.Generator) -> torch.Tensor:
    """Pictures with the errors of sensors and segmentation."""
    count = len(views.depth)

    def chance(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    def wave(cells: int) -> torch.Tensor:
        rough = torch.randn(count, 1, cells, cells, generator=generator)
        return nn.functional.interpolate(rough, size=(SIDE, SIDE), mode="bilinear")[:, 0]

    person, relative = views.depth != NOTHING, views.depth.float() / 1000
    spoil = (chance(count) > CLEAN)[:, None, None]
    amount = chance(count, 2)[:, :, None, None] * spoil[:, None]
    relative = relative + NOISE_M * amount[:, 0] * torch.randn(person.shape, generator=generator)
    relative = relative + WAVE_M * amount[:, 1] * wave(14) + 0.02 * (chance(count)[:, None, None] - 0.5)
    # Edges fray and bleed, cloth and hair that reflect little are holes.
    floats = person.float()[:, None]
    rim = (nn.functional.max_pool2d(floats, 3, 1, 1) - floats)[:, 0] > 0
    edge = (nn.functional.max_pool2d(1 - floats, 3, 1, 1) - (1 - floats))[:, 0] > 0
    frayed = edge & spoil & (chance(*person.shape) < chance(count)[:, None, None])
    bled = rim & spoil & (chance(*person.shape) < 0.3 * chance(count)[:, None, None])
    sharp = nn.functional.max_pool2d(relative[:, None], 3, 1, 1)[:, 0] - relative > 0.08
    known = person & ~frayed & ~(sharp & spoil & (chance(*person.shape) < 0.5))
    holes = (wave(9) > 1.0 + 1.6 * chance(count)[:, None, None]) & spoil
    holes |= (wave(28) > 1.6 + 1.2 * chance(count)[:, None, None]) & spoil
    whole = (chance(count) < 0.5)[:, None, None]
    inside = framed(views, generator)
    return pictures_of((person & ~(frayed & whole)) | bled, relative, inside, known & ~holes)


class DepthPoseTask:
    """Batches and loss."""

    def __init__(self, train: Views, chosen: Views | None, size: int = BATCH, seed: int = 0) -> None:
        self.train, self.chosen, self.size, self.seed = train, chosen, size, seed

    def batch(self, step: int, rank: int, ranks: int) -> tuple[torch.Tensor, Views]:
        """Pictures and truth."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + step) * 64 + rank)
        rows = torch.randint(len(self.train.depth), (self.size,), generator=generator)
        views = self.train.rows(rows).mirrored(torch.rand(self.size, generator=generator) < 0.5)
        return spoiled(views, generator), views

    def images(self, batch: tuple[torch.Tensor, Views]) -> int:
        """How many."""
        return len(batch[0])

    def loss(self, model: nn.Module, batch: tuple[torch.Tensor, Views], step: int) -> dict[str, torch.Tensor]:
        """Distances of joints and turns, each with the doubt that belongs to it (Laplace's law)."""
        pictures, views = batch
        joints, sigma, turns, doubt, child = model(pictures)
        miss = (joints - views.joints).square().sum(-1).add(1e-8).sqrt()
        truth = rotation_matrices(views.pose)
        apart = 0.5 * (turns - truth).square().sum(dim=(2, 3))
        # Least where sigma is the miss along each axis.
        unsure = miss / sigma.exp() * math.sqrt(3) + 3 * sigma
        # Squares over sigma squared, as corrector: the doubt alone learns from it.
        wrong = 1.5 * apart.detach() / (2 * doubt).exp() + 3 * doubt
        young = nn.functional.binary_cross_entropy_with_logits(child, views.child.float())
        loss = 10 * miss.mean() + 0.15 * unsure.mean() + apart.mean() + 0.05 * wrong.mean() + 0.05 * young
        turn = apart.detach().clamp(max=4).sqrt().mean()
        return {"loss": loss, "mm": 1000 * miss.detach().mean(), "turn": turn, "child": young.detach()}

    def pictures(self, model: nn.Module, step: int, folder: Path) -> None:
        """A line of figures on people that are only measured."""
        if self.chosen is not None:
            line = {"step": step, **measured(model, self.chosen)}
            print(line, flush=True)
            with (folder.parent / "figures.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")


def measured(model: nn.Module, views: Views, most: int = 768) -> dict[str, float]:
    """Errors on other people, spoiled: mean and median mm, and the share of joints within 1 and 2 sigmas."""
    rows = torch.linspace(0, len(views.depth) - 1, min(most, len(views.depth))).long()
    generator = torch.Generator().manual_seed(1)
    found = []
    for part in rows.split(64):
        these = views.rows(part)
        joints, sigma, *_ = model(spoiled(these, generator))
        found.append(((joints - these.joints), sigma))
    away, sigma = (torch.cat([each[n] for each in found]) for n in (0, 1))
    miss = away.norm(dim=-1)
    ratio = (away.square().mean(-1).sqrt() / sigma.exp()).flatten()
    return {
        "mm": round(1000 * float(miss.mean()), 1),
        "median": round(1000 * float(miss.median()), 1),
        "worst_view_p90": round(1000 * float(miss.mean(1).quantile(0.9)), 1),
        "within_1": round(float((ratio < 1).float().mean()), 2),
        "within_2": round(float((ratio < 2).float().mean()), 2),
    }


def train(options: argparse.Namespace) -> None:
    """Train or go on."""
    torch.manual_seed(0)
    chosen = Views.read(options.folder, "val") if list(options.folder.glob("val_*.npz")) else None
    task = DepthPoseTask(Views.read(options.folder, "train"), chosen)
    print(len(task.train.depth), "views", flush=True)
    settings = TrainSettings(steps=options.steps, picture_every=500, learning_rate=1.5e-3)
    trainer = Trainer(DepthPoseNet(), task, settings, options.out)
    trainer.resume()
    trainer.run(options.seconds)


def export(options: argparse.Namespace) -> None:
    """Write a run's averaged weights."""
    trainer = Trainer(DepthPoseNet(), DepthPoseTask.__new__(DepthPoseTask), TrainSettings(steps=0), options.folder)
    if not trainer.resume():
        raise SystemExit(f"{options.folder} holds no checkpoint")
    state = trainer.averaged.state_dict()
    np.savez_compressed(options.file, **{name: values.numpy().astype(np.float16) for name, values in state.items()})
    print(f"{trainer.step} steps, {trainer.images} views, {options.file.stat().st_size / 1024:.0f} KiB")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("samples")
    make.add_argument("folder", type=Path)
    make.add_argument("--split", choices=("train", "val"), default="train")
    make.add_argument("--people", default="0:200", help="FIRST:END")
    learn = commands.add_parser("train")
    learn.add_argument("folder", type=Path)
    learn.add_argument("--out", type=Path, required=True)
    learn.add_argument("--steps", type=int, default=6000)
    learn.add_argument("--seconds", type=float, default=math.inf)
    ship = commands.add_parser("export")
    ship.add_argument("folder", type=Path)
    ship.add_argument("--file", type=Path, default=DEFAULT_OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.command == "samples":
        first, end = (int(part) for part in options.people.split(":"))
        make_samples(options.folder, options.split, range(first, end))
    elif options.command == "train":
        train(options)
    else:
        export(options)


if __name__ == "__main__":
    main()
