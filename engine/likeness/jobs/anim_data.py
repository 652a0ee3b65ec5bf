"""Batches for ANIM out of a folder of poses: read as they appear, drawn by step, changed a little each time."""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from likeness.body.model import load_default
from likeness.core.camera import Camera
from likeness.core.files import read_npz
from likeness.jobs.anim_guesses import Guesser, Guesses, Stored
from likeness.jobs.anim_points import Skin, points_about
from likeness.jobs.anim_samples import BODY, FINE_M, STEP_M, camera_of
from likeness.surface.anim.crop import nearest
from likeness.surface.anim.inputs import AnimInputs, batch_of, stacked
from likeness.surface.anim.losses import AnimTargets

# Of points on head, hands and feet these shares are kept where sampling shall follow area alone (points.SHARES).
_BY_AREA = {"head": 0.13, "hand": 0.085, "finger": 0.085, "thumb": 0.085, "foot": 0.34, "toe": 0.34}
_CLOUD_POINTS, _FREE_POINTS = 1500, 500
_HOLES, _HOLE_SHARE = 4, 0.04
_CENTRE_M = 0.04
# Labelled points end 15 cm about the person; of the rest of the cube it is known that nobody is there. This share of
# the points lies there, and says so: without them the field goes on behind the person for ever.
_FAR_SHARE, _FAR_M, _CUBE_M = 0.12, 0.1, 1.2
# Of the points of a network on a guess; see `points_about`.
_ABOUT_SHARE = 0.72
MIRROR = np.array([-1, 1, 1], np.float32)


@dataclass(frozen=True)
class Drawing:
    """How to draw. items and points a batch; noise: sensor's readings, else the true depth; part_aware: more points on
    head, hands and feet; body_dropped: share of items without a body; changed: flips, holes, light, shifted cubes.
    threads: that make the items of a batch, which do not depend on them. looks: see `batch_at`."""

    items: int = 4
    points: int = 4000
    noise: bool = True
    part_aware: bool = True
    body_dropped: float = 0.33
    changed: bool = True
    seed: int = 0
    threads: int = 1
    looks: int = 2


class Poses:
    """All poses of a split in a folder, kept in memory as stored; `refresh` takes in what has been written since."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split = Path(folder), split
        self._seen: set[str] = set()
        self.poses: list[dict[str, NDArray[Any]]] = []
        # Of each pose, by its file's name: poses arrive in another order than they are read again in.
        self.numbers: list[int] = []
        self._skins: dict[int, Skin] = {}
        self.refresh()

    def skin(self, number: int) -> Skin:
        """The surface of a pose, which labels points that were not stored."""
        if number not in self._skins:
            self._skins[number] = Skin.of(self.poses[number])
        return self._skins[number]

    def refresh(self, most: int = 10**9) -> int:
        """Read at most `most` new files; returns how many poses there are."""
        new = [p for p in sorted(self.folder.glob(f"{self.split}_*.npz")) if p.name not in self._seen][:most]
        for path in new:
            self._seen.add(path.name)
            pose = read_npz(path)
            if "depth" in pose:
                self.poses.append(pose)
                self.numbers.append(zlib.crc32(path.name.encode()))
        return len(self.poses)

    @property
    def views(self) -> list[tuple[int, int]]:
        """(pose, view) of everything there is."""
        return [(k, v) for k, pose in enumerate(self.poses) for v in range(len(pose["depth"]))]


def batch_at(
    poses: Poses, step: int, drawing: Drawing, image: int, guesses: Guesses | None = None
) -> tuple[AnimInputs, AnimTargets]:
    """The batch of a step: a function of step, seed and the poses that are there. image: side of the pictures.

    guesses: for networks that stand on a guess. Making one takes longer than learning from it, so each view has only
    `drawing.looks` ways to be seen (holes, side, body), kept once they are made.
    """

    def item(number: int) -> tuple[AnimInputs, AnimTargets]:
        rng = np.random.default_rng((drawing.seed, step, number))
        chosen = int(rng.integers(len(poses.poses)))
        pose = poses.poses[chosen]
        view = int(rng.integers(len(pose["depth"])))
        if guesses is None:
            return view_item(pose, view, drawing, image, rng)
        look = int(rng.integers(drawing.looks))
        mark = (poses.numbers[chosen], view, look)
        seen = np.random.default_rng((drawing.seed, *mark))
        keeping = guesses.keeping(mark)
        return view_item(pose, view, drawing, image, rng, seen, keeping, poses.skin(chosen))

    with ThreadPoolExecutor(drawing.threads) as pool:
        made = list(pool.map(item, range(drawing.items)))
    targets = {name: torch.cat([getattr(t, name) for _, t in made]) for name in vars(made[0][1])}
    return stacked([inputs for inputs, _ in made]), AnimTargets(**targets)


def view_item(
    pose: dict[str, NDArray[Any]],
    view: int,
    drawing: Drawing,
    image: int,
    rng: np.random.Generator,
    seen: np.random.Generator | None = None,
    guess: Guesser | None = None,
    skin: Skin | None = None,
) -> tuple[AnimInputs, AnimTargets]:
    """One view as a batch of one. seen: draws what is seen, where that shall not follow rng; guess: makes the guess of
    networks that stand on one; skin: of the pose, to draw most points about the guess instead of the truth."""
    seen = seen or rng
    stored = camera_of(pose["camera"][view], pose["depth"].shape[1])
    camera = stored.scaled(image, image)

    def picture(values: NDArray) -> NDArray:
        return values if image == stored.width else nearest(values, stored, camera)

    clean = pose["clean"][view] * np.float32(STEP_M)
    mask = pose["mask"][view].astype(bool) if drawing.noise else clean > 0
    depth = pose["depth"][view] * np.float32(STEP_M) if drawing.noise else clean
    hits = np.stack([pose[name][view] for name in BODY]) * np.float32(STEP_M)
    turned = False
    if drawing.changed:
        depth = _with_holes(depth, seen)
        turned = seen.random() < 0.5
    if seen.random() < drawing.body_dropped:
        hits = np.zeros_like(hits)
    color = picture(pose["color"][view]) * np.float32(1 / 255)
    if drawing.changed:
        color = np.clip(color * rng.uniform(0.7, 1.3) * rng.uniform(0.9, 1.1, 3), 0, 1)
    inputs = batch_of(color, picture(depth), picture(mask), camera, np.stack([picture(hits[0]), picture(hits[3])]))
    if drawing.changed:
        shift = torch.from_numpy(rng.uniform(-_CENTRE_M, _CENTRE_M, (1, 3)).astype(np.float32))
        inputs = replace(inputs, centre=inputs.centre + shift)
    about = np.zeros((0, 3))
    if turned:
        inputs = flipped_inputs(inputs)
    if guess is not None:
        picked = camera_of(inputs.intrinsics[0].numpy(), image)
        found = guess(Stored(depth, mask, hits, stored).turned(turned), picked)
        inputs = replace(inputs, guess=(found,))
        if skin is not None:
            about = points_about(found, picked, int(_ABOUT_SHARE * drawing.points), rng) * (MIRROR if turned else 1)
    targets = _targets(pose, view, picture(clean), camera, drawing, rng, about, skin)
    if turned:
        targets = flipped_targets(targets)
    return inputs, targets


def _with_holes(depth: NDArray, rng: np.random.Generator) -> NDArray:
    """Depth without readings in a few discs: dark hair and glossy shoes return none."""
    size = depth.shape[0]
    rows, columns = np.mgrid[:size, :size]
    out = depth.copy()
    known = np.argwhere(depth > 0)
    for _ in range(int(rng.integers(_HOLES)) if len(known) else 0):
        row, column = known[int(rng.integers(len(known)))]
        radius = rng.uniform(0.2, 1) * _HOLE_SHARE * size
        out[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = 0
    # A person without any reading is no input.
    return out if (out > 0).sum() > 100 else depth


def _targets(
    pose: dict[str, NDArray[Any]],
    view: int,
    clean: NDArray,
    camera: Camera,
    drawing: Drawing,
    rng: np.random.Generator,
    about: NDArray,
    skin: Skin | None,
) -> AnimTargets:
    """about: points (N, 3) in camera space that `skin` labels."""
    far = _far_points(pose, int(_FAR_SHARE * drawing.points), rng)
    chosen = _chosen(pose["part"], drawing, drawing.points - len(far) - len(about), rng)
    turn = pose["camera_from_world"][view]
    around = (about - turn[:3, 3]) @ turn[:3, :3]
    told = skin.label(around) if skin is not None and len(about) else (np.zeros(0), np.zeros((0, 3)))
    world = np.concatenate([pose["position"][chosen] * STEP_M + pose["origin"], around, far])
    cloud, free = _on_rays(clean, camera, rng)
    nothing = np.zeros((len(far), 3))
    arrays = {
        "points": world @ turn[:3, :3].T + turn[:3, 3],
        # More than any head can say.
        "sdf": np.concatenate([pose["sdf"][chosen] * FINE_M, told[0], np.ones(len(far))]),
        "normal": np.concatenate([np.concatenate([pose["normal"][chosen] / 127, told[1]]) @ turn[:3, :3].T, nothing]),
        "color": np.concatenate([pose["albedo"][chosen] / 255, np.zeros_like(around), nothing]),
        "cloud": cloud,
        "free": free,
    }
    tensors = {name: torch.from_numpy(np.asarray(value, np.float32))[None] for name, value in arrays.items()}
    known = np.concatenate([pose["known"][chosen], np.zeros(len(around) + len(far), bool)])
    return AnimTargets(known=torch.from_numpy(known)[None], **tensors)


def _far_points(pose: dict[str, NDArray[Any]], count: int, rng: np.random.Generator) -> NDArray:
    """At most `count` points (N, 3), world, of the cube about the person that are surely 10 cm or more away from it."""
    on = np.abs(pose["sdf"] * FINE_M) < 0.02
    surface = pose["position"][on] * STEP_M
    if not len(surface):
        return np.zeros((0, 3))
    low, high = surface.min(0) - _FAR_M, surface.max(0) + _FAR_M
    middle, reach = (low + high) / 2, np.maximum(_CUBE_M, (high - low) / 2 + 0.2)
    points = middle + rng.uniform(-1, 1, (3 * count, 3)) * reach
    outside = ((points < low) | (points > high)).any(1)
    return points[outside][:count] + pose["origin"]


def _chosen(part: NDArray, drawing: Drawing, count: int, rng: np.random.Generator) -> NDArray:
    if drawing.part_aware:
        return rng.choice(len(part), count, replace=len(part) < count)
    names = load_default().part_names
    share = np.ones(len(names))
    for number, name in enumerate(names):
        share[number] = next((value for word, value in _BY_AREA.items() if word in name), 1.0)
    weight = share[np.minimum(part, len(names) - 1)]
    return rng.choice(len(part), count, p=weight / weight.sum())


def _on_rays(clean: NDArray, camera: Camera, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Points on the true seen surface (M, 3), and before it (F, 3): 2 to 40 cm towards the camera."""
    rows, columns = np.nonzero(clean > 0)
    if not len(rows):
        return np.zeros((_CLOUD_POINTS, 3)), np.zeros((_FREE_POINTS, 3))
    pick = rng.integers(len(rows), size=_CLOUD_POINTS + _FREE_POINTS)
    z = clean[rows[pick], columns[pick]]
    x, y = (columns[pick] - camera.cx) / camera.fx, (rows[pick] - camera.cy) / camera.fy
    rays = np.stack([x, y, np.ones_like(x)], 1)
    before = z[_CLOUD_POINTS:] - rng.uniform(0.02, 0.4, _FREE_POINTS)
    return rays[:_CLOUD_POINTS] * z[:_CLOUD_POINTS, None], rays[_CLOUD_POINTS:] * before[:, None]


def flipped_inputs(inputs: AnimInputs) -> AnimInputs:
    """Left and right exchanged: pictures, intrinsics, and x of the cube's centre. Without a guess."""
    intrinsics = inputs.intrinsics.clone()
    intrinsics[:, 2] = inputs.size - 1 - intrinsics[:, 2]
    pictures = {name: getattr(inputs, name).flip(-1) for name in ("color", "depth", "mask")}
    body = None if inputs.body is None else inputs.body.flip(-1)
    centre = inputs.centre * torch.from_numpy(MIRROR)
    return AnimInputs(intrinsics=intrinsics, centre=centre, body=body, **pictures)


def flipped_targets(targets: AnimTargets) -> AnimTargets:
    """Left and right exchanged: x of everything in camera space."""
    mirror = torch.from_numpy(MIRROR)
    moved = {name: getattr(targets, name) * mirror for name in ("points", "normal", "cloud", "free")}
    return replace(targets, **moved)
