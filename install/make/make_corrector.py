"""Learn what BlazePose's points mean from synthetic people of the train split: weights/body/corrector.npz.

    python install/make/make_corrector.py --people DIR --work DIR [--val DIR] [--poses 4500] [--minutes 5] [--out FILE]

--people: what `likeness synthesize --split train` wrote; BlazePose looks at every view once (kept in --work). These
readings are few, so bodies in `--poses` more poses of the train split (kept in --work too) are seen from anywhere, each
with the mistakes of a real reading of a body that looked alike. Goes on where it stopped; the same input and seed give
the same file where the time is not what ends the training. --val: people that are only measured.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from likeness.body.blazepose import Picture, Region, networks
from likeness.body.corrector import FEATURES, JOINTS, SHAPES, CorrectorNet, describe, sight_turn
from likeness.body.landmarks import MIRROR, NAMES, Landmarks, look
from likeness.body.lbs import BodyTensors, joint_chain, lbs, rotation_matrices, with_landmarks
from likeness.body.model import load_default
from likeness.capture import read_capture
from likeness.core.files import read_json
from likeness.core.frames import axis_angle, rodrigues
from likeness.synthesis.pack import load_pack
from likeness.synthesis.poses import draw_pose
from scipy.spatial import cKDTree

SWAP = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
FLIP = np.array([1.0, -1.0, -1.0])
MIRRORED = list(MIRROR)
HIPS = [NAMES.index("left_hip"), NAMES.index("right_hip")]
# Head to ankles of the body at rest that BlazePose's metres belong to.
USUAL_M = 1.42
VIEWS_A_POSE, DONORS = 4, 8
BATCH, REAL_SHARE = 256, 0.25
DEFAULT_OUT = Path(__file__).resolve().parents[2] / "engine" / "likeness" / "weights" / "body" / "corrector.npz"


@dataclass
class Seen:
    """Bodies as cameras see them, in the frame of the line of sight; N rows.

    points (N, 33, 3) m true BlazePose points; pose (N, 24, 3), the root in that frame; rest (N, 24, 3) joints at rest;
    betas (N, 20); adult (N,) bool. Readings, of real pictures alone: tangent (N, 33, 2), world (N, 33, 3), depth,
    trust, inside (N, 33).
    """

    points: np.ndarray
    pose: np.ndarray
    rest: np.ndarray
    betas: np.ndarray
    adult: np.ndarray
    tangent: np.ndarray
    world: np.ndarray
    depth: np.ndarray
    trust: np.ndarray
    inside: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    def mirrored(self) -> Seen:
        """The same in a mirror."""
        across = np.array([-1.0, 1.0, 1.0], np.float32)
        return Seen(
            self.points[:, MIRRORED] * across,
            self.pose[:, SWAP] * FLIP,
            self.rest[:, SWAP] * across,
            self.betas,
            self.adult,
            self.tangent[:, MIRRORED] * across[:2],
            self.world[:, MIRRORED] * across,
            self.depth[:, MIRRORED],
            self.trust[:, MIRRORED],
            self.inside[:, MIRRORED],
        )


def joined(parts: list[Seen]) -> Seen:
    """Rows of all."""
    return Seen(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Seen)))


class Bodies:
    """BlazePose's true points of posed default bodies."""

    def __init__(self, people: str) -> None:
        model = load_default(people=people)
        self.tensors = BodyTensors.from_model(model, with_landmarks(model, np.zeros(0, np.int64)))
        self.model = model

    def __call__(self, betas: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """betas (B, 20), pose (B, 24, 3) -> points (B, 33, 3), joints (B, 24, 3), rest joints (B, 24, 3)."""
        shape, turns = torch.as_tensor(betas, dtype=torch.float32), torch.as_tensor(pose, dtype=torch.float32)
        with torch.no_grad():
            vertices, joints = lbs(self.tensors, shape, turns, torch.zeros(len(shape), 3))
            points = self.tensors.blazepose_points(vertices, joints)
        rest = self.model.joints_template + np.einsum("jck,bk->bjc", self.model.joint_shapedirs, betas)
        return points.numpy(), joints.numpy(), rest.astype(np.float32)


def read_person(folder: Path, bodies: dict[str, Bodies]) -> Seen | None:
    """BlazePose's readings of every view of a written person; None where it saw nobody."""
    people = read_json(folder / "person.json", "input.dataset")["recipe"].get("people", "adults")
    rows = []
    for view in sorted(folder.glob("[0-9][0-9]")):
        capture = read_capture(view)
        landmarks = first_person(capture.color)
        if landmarks is None:
            continue
        truth = np.load(view / "truth.npz")
        points = landmarks.points.astype(np.float64)
        camera = capture.camera
        turn = sight_turn(points, camera)
        pose = np.zeros((1, 24, 3))
        pose[0, :JOINTS] = truth["pose"][:JOINTS]
        pose[0, 0] = axis_angle(turn.T @ rodrigues(truth["pose"][0].astype(float)))
        betas = truth["betas"][None, :20]
        body, joints, rest = bodies[people](betas, pose)
        place = truth["joints"][0] @ turn - joints[0, 0]
        rays = np.concatenate([(points - [camera.cx, camera.cy]) / [camera.fx, camera.fy], np.ones((33, 1))], 1) @ turn
        limit = np.array([camera.width + 1, camera.height + 1])
        inside = np.all((points > -2) & (points < limit), axis=1)
        rows.append(
            Seen(
                body + place,
                pose,
                rest,
                betas,
                np.array([people == "adults"]),
                (rays[:, :2] / np.maximum(rays[:, 2:], 0.1))[None],
                landmarks.world[None],
                landmarks.depth_z[None] / camera.fx,
                (landmarks.visibility * landmarks.presence)[None],
                inside[None],
            )
        )
    return joined(rows) if rows else None


def first_person(color: np.ndarray) -> Landmarks | None:
    """BlazePose's landmarks of the largest sure person in a picture of one."""
    picture = Picture(color)
    middle, longest = np.array([picture.width - 1, picture.height - 1]) / 2, max(picture.width, picture.height)
    for side in (1.0, 1.6):
        found = networks().people(picture, Region(middle, side * longest), 0.4)
        if found:
            return look(networks(), picture, max(found, key=lambda one: one.score * float(np.ptp(one.box[[0, 2]]))))
    return None


def read_people(folder: Path, work: Path) -> Seen:
    """Readings of all written people, each looked at once."""
    bodies = {people: Bodies(people) for people in ("adults", "children")}
    parts = []
    for person in sorted(path for path in folder.iterdir() if (path / "person.npz").is_file()):
        kept = work / f"{folder.name}_{person.name}.npz"
        if not kept.is_file():
            seen = read_person(person, bodies)
            np.savez(kept, **({} if seen is None else vars(seen)))
        with np.load(kept) as content:
            if content.files:
                parts.append(Seen(**{name: content[name] for name in content.files}))
    return joined(parts)


def drawn_poses(count: int, work: Path) -> np.ndarray:
    """Poses of the train split (count, 24, 3), kept in pieces."""
    pack, pieces = load_pack(), []
    for start in range(0, count, 500):
        kept = work / f"poses_{start:06d}.npy"
        if not kept.is_file():
            rng = np.random.default_rng([17, start])
            poses = np.zeros((500, 24, 3), np.float32)
            for pose in poses:
                pose[:JOINTS] = draw_pose(pack, rng, "train").pose[:JOINTS]
            np.save(kept, poses)
        pieces.append(np.load(kept))
    return np.concatenate(pieces)[:count]


def invented(poses: np.ndarray, shapes: np.ndarray, rng: np.random.Generator) -> Seen:
    """Bodies in these poses, seen from anywhere, without readings. shapes: (M, 20) betas to draw from."""
    bodies = Bodies("adults")
    parts = []
    for pose in np.array_split(np.repeat(poses, VIEWS_A_POSE, axis=0), max(1, len(poses) // 250)):
        pose = pose.astype(np.float64)
        count = len(pose)
        betas = shapes[rng.choice(len(shapes), count)] + rng.normal(0, 0.3, (count, shapes.shape[1]))
        pose[:, 0] = axis_angle(views(count, rng) @ rodrigues(pose[:, 0]))
        points, _, rest = bodies(betas, pose)
        distance = np.exp(rng.uniform(np.log(1.5), np.log(6.0), count))
        middle = points[:, [11, 12, 23, 24]].mean(axis=1)
        points = points - middle[:, None] + np.stack([0 * distance, 0 * distance, distance], axis=1)[:, None]
        nothing = np.zeros((count, 33), np.float32)
        parts.append(
            Seen(
                points.astype(np.float32), pose, rest, betas, np.ones(count, bool), np.zeros((count, 33, 2)),
                np.zeros((count, 33, 3)), nothing, nothing, nothing,
            )
        )  # fmt: skip
    return joined(parts)


def views(count: int, rng: np.random.Generator) -> np.ndarray:
    """Rotations (count, 3, 3) of the world, Y up, to the line of sight's frame: any side, tilted as phones are held."""
    yaw, roll = rng.uniform(-np.pi, np.pi, count), np.radians(rng.normal(0, 3, count))
    usual = np.degrees(np.arctan2(rng.normal(-0.35, 0.25, count), rng.uniform(1.5, 6.0, count)))
    tilt = np.radians(np.where(rng.random(count) < 0.35, rng.uniform(-32, 22, count), usual))
    zero = np.zeros(count)
    upright = rodrigues(np.array([np.pi, 0.0, 0.0]))
    turned = [rodrigues(np.stack(axis, axis=1)) for axis in ((zero, zero, roll), (tilt, zero, zero), (zero, yaw, zero))]
    return turned[0] @ turned[1] @ upright @ turned[2]


def size_of(rest: np.ndarray) -> np.ndarray:
    """How large bodies (N, 24, 3) are against the one that BlazePose's metres belong to: (N, 1, 1)."""
    return ((rest[:, 15, 1] - rest[:, [7, 8], 1].mean(axis=1)) / USUAL_M)[:, None, None]


def ideal(seen: Seen, exchanged: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What BlazePose would say without mistakes: tangent, world, depth, and the scale (N, 1, 1) of tangents.

    exchanged (N,) bool: left is right, and what is near is far.
    """
    points = np.where(exchanged[:, None, None], seen.points[:, MIRRORED], seen.points)
    tangent = points[..., :2] / np.maximum(points[..., 2:], 0.2)
    centre = points[:, HIPS].mean(axis=1, keepdims=True)
    world = (points - centre) / size_of(seen.rest)
    world[..., 2] *= np.where(exchanged, -1.0, 1.0)[:, None]
    depth = (points[..., 2] - centre[..., 2]) / centre[..., 2] * np.where(exchanged, -1.0, 1.0)[:, None]
    spread = tangent - tangent[:, [11, 12, 23, 24]].mean(axis=1, keepdims=True)
    return tangent, world, depth, np.sqrt(np.square(spread).sum(-1).mean(-1))[:, None, None]


def exchanged_in(real: Seen) -> np.ndarray:
    """(N,) bool: whether BlazePose took left for right."""
    plain, other = (ideal(real, np.full(len(real), flag))[0] for flag in (False, True))
    miss = [np.linalg.norm(real.tangent - way, axis=2)[:, 11:].mean(axis=1) for way in (plain, other)]
    return np.asarray(miss[1] < 0.6 * miss[0])


class Teacher:
    """Batches of input and truth."""

    def __init__(self, real: Seen, made: Seen) -> None:
        self.real, self.made = real, made
        self.exchanged = exchanged_in(real)
        tangent, world, depth, scale = ideal(real, self.exchanged)
        self.misses = (
            (real.tangent - tangent) / scale,
            real.world - world,
            (real.depth - depth) / scale[..., 0],
        )
        self.donors = cKDTree(looks(real)).query(looks(made), k=DONORS)[1]

    def real_rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features and exchanged flags of real readings."""
        r = self.real
        features = describe(r.tangent[rows], r.world[rows], r.depth[rows], r.trust[rows], r.inside[rows])
        return features, self.exchanged[rows]

    def made_rows(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Features and exchanged flags of invented bodies with the mistakes of real readings."""
        donor = self.donors[rows, rng.integers(DONORS, size=len(rows))]
        flags = self.exchanged[donor]
        part = Seen(*(getattr(self.made, field.name)[rows] for field in fields(Seen)))
        tangent, world, depth, scale = ideal(part, flags)
        tangent = tangent + self.misses[0][donor] * scale
        world = world + self.misses[1][donor]
        depth = depth + self.misses[2][donor] * scale[..., 0]
        return describe(tangent, world, depth, self.real.trust[donor], self.real.inside[donor]), flags


def looks(seen: Seen) -> np.ndarray:
    """(N, 99) what makes two bodies look alike: their points about the hips, one size."""
    centre = seen.points[:, HIPS].mean(axis=1, keepdims=True)
    return ((seen.points - centre) / size_of(seen.rest)).reshape(len(seen), -1)


def loss_of(
    net: CorrectorNet, features: np.ndarray, exchanged: np.ndarray, seen: Seen, rows: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The loss, and per row the squared turns (B, 22) and the joints' distances (B, 22) m."""
    found, log_sigma, betas, logit = net(torch.from_numpy(features))
    truth = rotation_matrices(torch.from_numpy(seen.pose[rows, :JOINTS]).float())
    rest = torch.from_numpy(seen.rest[rows, :JOINTS]).float()
    parents = tuple(int(parent) for parent in load_default().parents[:JOINTS])
    apart = 0.5 * (found - truth).square().sum(dim=(2, 3))
    places = [joint_chain(turns, rest, parents)[1] for turns in (found, truth)]
    miss = (places[0] - places[1]).norm(dim=2)
    doubt = 0.5 * apart.detach() / (2 * log_sigma).exp() * 3 + 3 * log_sigma
    adult = torch.from_numpy(seen.adult[rows].astype(np.float32))
    shape = (betas - torch.from_numpy(seen.betas[rows, :SHAPES]).float()).square().mean(dim=1) * adult
    swap = torch.nn.functional.binary_cross_entropy_with_logits(logit, torch.from_numpy(exchanged.astype(np.float32)))
    total = 20 * miss.mean() + apart.mean() + 0.05 * doubt.mean() + 0.1 * shape.mean() + 0.2 * swap
    return total, apart.detach(), miss.detach()


def steps(count: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Endless rows in random order."""
    while True:
        order = rng.permutation(size)
        for start in range(0, size - count + 1, count):
            yield order[start : start + count]


def train(teacher: Teacher, val: Seen | None, minutes: float, total: int, seed: int = 0) -> CorrectorNet:
    """AdamW with a cosine schedule over `total` steps, broken off after `minutes` of this process."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = CorrectorNet()
    sample = np.concatenate([teacher.made_rows(np.arange(0, len(teacher.made), 7), rng)[0],
                             teacher.real_rows(np.arange(len(teacher.real)))[0]])  # fmt: skip
    assert sample.shape[1] == FEATURES
    with torch.no_grad():
        net.mean.copy_(torch.from_numpy(sample.mean(axis=0)))
        net.spread.copy_(torch.from_numpy(sample.std(axis=0) + 0.02))
    solver = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1.0, weight_decay=0.02)
    real_count = round(BATCH * REAL_SHARE)
    real_rows, made_rows = steps(real_count, len(teacher.real), rng), steps(BATCH - real_count, len(teacher.made), rng)
    started = time.process_time()
    for step in range(total):
        share = max(step / total, (time.process_time() - started) / (60 * minutes))
        if share >= 1:
            break
        for group in solver.param_groups:
            group["lr"] = 1.5e-3 * min(1.0, (step + 1) / 200) * 0.5 * (1 + np.cos(np.pi * share))
        real, made = next(real_rows), next(made_rows)
        features, flags = teacher.real_rows(real)
        features = features + rng.normal(0, 0.1, features.shape).astype(np.float32) * net.spread.numpy()
        first = loss_of(net, features, flags, teacher.real, real)[0]
        second = loss_of(net, *teacher.made_rows(made, rng), teacher.made, made)[0]
        loss = REAL_SHARE * first + (1 - REAL_SHARE) * second
        solver.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        solver.step()
        if step % 500 == 0:
            losses = f"real {float(first.detach()):.3f} made {float(second.detach()):.3f}"
            print(step, f"{time.process_time() - started:.0f} s", losses, report(net, val), flush=True)
    return net.eval()


def report(net: CorrectorNet, val: Seen | None) -> str:
    """Mean joint distance and turn on people that are only measured."""
    if val is None:
        return ""
    features = describe(val.tangent, val.world, val.depth, val.trust, val.inside)
    flags = exchanged_in(val)
    learning = net.training
    net.eval()
    with torch.no_grad():
        _, apart, miss = loss_of(net, features, flags, val, np.arange(len(val)))
        logit = net(torch.from_numpy(features))[3].numpy()
    net.train(learning)
    turn = np.degrees(np.sqrt(apart.numpy())).mean()
    right = int(((logit > 0) == flags).sum())
    return (
        f"val {1000 * float(miss.mean()):.1f} mm {turn:.1f} deg exchanged {int(flags.sum())}, right {right}/{len(val)}"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--val", type=Path)
    parser.add_argument("--poses", type=int, default=4500)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    real = read_people(options.people, options.work)
    real = joined([real, real.mirrored()])
    val = read_people(options.val, options.work) if options.val else None
    made = invented(drawn_poses(options.poses, options.work), real.betas[real.adult], np.random.default_rng(3))
    teacher = Teacher(real, made)
    print(json.dumps({"real": len(real), "exchanged": int(teacher.exchanged.sum()), "made": len(made)}), flush=True)
    net = train(teacher, val, options.minutes, options.steps)
    print(report(net, val))
    np.savez_compressed(options.out, **{k: v.numpy().astype(np.float16) for k, v in net.state_dict().items()})
    print(f"{options.out.name}: {options.out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
