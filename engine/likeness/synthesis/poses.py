"""Poses for synthetic people: moments of motion clips and random natural poses, with hands, none of them in itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from likeness.body.hand_skeleton import HAND_STARTS
from likeness.body.model import load_default
from likeness.body.pose_prior import PosePrior, load_prior
from likeness.core.frames import axis_angle, rodrigues
from likeness.synthesis.clearance import deepest_overlap, relaxed
from likeness.synthesis.figure import Floats
from likeness.synthesis.fingers import draw_hand, hand_pose
from likeness.synthesis.limbs import mirrored, world_rotations
from likeness.synthesis.natural import draw_natural

if TYPE_CHECKING:
    from likeness.synthesis.pack import Pack

MAX_YAW_DEG = 20.0
# What capsules may share before a pose counts as passing through itself; flesh gives way, and capsules are wide.
OVERLAP_M = 0.02
_TRIES = 8
# What the whole of a clip shows.
_CLIP_WORDS = (
    ("walk", "walking"),
    ("run", "running"),
    ("sword", "fencing"),
    ("dance", "dancing"),
    ("dribble", "playing basketball"),
    ("shoot", "playing basketball"),
    ("climb", "climbing"),
)
# Clips on playground equipment sit and hang on what is not there: nothing is said of those.
_BENT_CLIPS = {"squat": "squatting", "sit": "sitting"}
_STANDING_CLIPS = ("idle_a", "turn", "tpose_apose", "wave", "squat", "sit", "reach", "bend_scoop_02_06a")
_BENT_KNEES_DEG, _BENT_TRUNK_DEG = 55.0, 40.0


@dataclass(frozen=True)
class Pose:
    """A pose of SMPL-H: pose (52, 3) f32 axis-angle, parent-relative, against the T pose; the root faces +Z within
    MAX_YAW_DEG, its tilt kept. source: the clip ('clip:NAME:FRAME') or 'natural' or 'prior'. words: for the caption."""

    pose: Floats
    source: str
    words: str


def draw_pose(pack: Pack | None, rng: np.random.Generator, which: str = "train") -> Pose:
    """A pose from the clips of a split of the pack, or a natural one, each in half of the draws.

    Without a pack all poses are natural. Poses that pass through themselves are relaxed or drawn again.
    """
    for attempt in range(_TRIES):
        drawn = _draw(pack, rng, which)
        pose = relaxed(drawn.pose, rest_joints())
        if attempt == _TRIES - 1 or deepest_overlap(pose, rest_joints()) <= OVERLAP_M:
            break
    return Pose(pose, drawn.source, drawn.words)


def natural_pose(rng: np.random.Generator) -> Pose:
    """A random natural pose, not yet tested against itself."""
    joints = rest_joints()
    skeleton, shapes, words = draw_natural(joints, rng)
    pose = skeleton.pose()
    loose = 0.04 if "," in words else 0.1
    pose[:22] = perturbed(np.concatenate([pose[:22], np.zeros((2, 3))]), rng, loose)[:22]
    return Pose(_finished(pose, joints, shapes, rng), "natural", words)


def prior_pose(rng: np.random.Generator) -> Pose:
    """A pose drawn from the fit's prior over poses."""
    joints = rest_joints()
    pose = np.zeros((52, 3), np.float32)
    pose[1:22] = _sample(load_prior(), rng, 0.8)[1:22]
    return Pose(_finished(pose, joints, ("", ""), rng), "prior", "")


def clip_pose(pack: Pack, name: str, frame: int, rng: np.random.Generator) -> Pose:
    """The pose of a clip's frame, turned to face +Z, with fingers of our own."""
    joints = rest_joints()
    pose = np.zeros((52, 3), np.float32)
    pose[:22] = pack.clip(name).poses[frame][:22]
    pose[0] = _facing_front(pose[0])
    return Pose(_finished(pose, joints, ("", ""), rng), f"clip:{name}:{frame}", clip_words(name, pose))


def clip_words(name: str, pose: NDArray) -> str:
    """What the person does in a clip's pose (52, 3), '' where one cannot tell."""
    said = next((words for stem, words in _CLIP_WORDS if name.startswith(stem)), "")
    if said:
        return said
    knees = np.degrees(np.linalg.norm(pose[[4, 5]], axis=1)).mean()
    trunk = world_rotations(rodrigues(np.asarray(pose[:10], np.float64)))[9]
    tilt = np.degrees(np.arccos(np.clip(trunk[1, 1], -1, 1)))
    if knees > _BENT_KNEES_DEG:
        return _BENT_CLIPS.get(name, "")
    if tilt > _BENT_TRUNK_DEG:
        return "bending"
    return "standing" if name in _STANDING_CLIPS and knees < 0.5 * _BENT_KNEES_DEG else ""


@lru_cache(maxsize=1)
def rest_joints() -> NDArray[np.float64]:
    """The default body's rest joints (52, 3)."""
    return load_default(layout="smplh").joints_template.astype(np.float64)


def perturbed(pose: NDArray, rng: np.random.Generator, amount: float) -> Floats:
    """A pose (24, 3) moved by `amount` of the prior's own spread about the mixture component that it is closest to."""
    pose = np.array(pose, np.float64)
    for mixture in load_prior().mixtures:
        index = list(mixture.joints)
        signs = mixture.mirror.numpy()
        offset = torch.as_tensor(pose[index].reshape(-1) * signs, dtype=torch.float32) - mixture.means
        nearest = int(torch.einsum("kij,kj->ki", mixture.whiteners, offset).square().sum(1).argmin())
        step = np.linalg.solve(mixture.whiteners[nearest].double().numpy(), rng.normal(0, amount, len(signs)))
        pose[index] += (step * signs).reshape(-1, 3)
    return pose.astype(np.float32)


def _sample(prior: PosePrior, rng: np.random.Generator, amount: float) -> Floats:
    pose = np.zeros((24, 3))
    for mixture in prior.mixtures:
        share = np.exp(mixture.log_weights.double().numpy())
        component = int(rng.choice(len(share), p=share / share.sum()))
        step = np.linalg.solve(
            mixture.whiteners[component].double().numpy(), rng.normal(0, amount, mixture.means.shape[1])
        )
        drawn = (mixture.means[component].double().numpy() + step) * mixture.mirror.numpy()
        pose[list(mixture.joints)] = drawn.reshape(-1, 3)
    return np.clip(pose, prior.lowest.numpy() - 0.1, prior.highest.numpy() + 0.1).astype(np.float32)


def _draw(pack: Pack | None, rng: np.random.Generator, which: str) -> Pose:
    if pack is not None and rng.random() < 0.5:
        names = sorted(pack.split.names("clip", which))
        name = names[int(rng.integers(len(names)))]
        usable = np.flatnonzero(pack.clip(name).usable)
        pose = clip_pose(pack, name, int(rng.choice(usable)), rng)
    else:
        pose = natural_pose(rng) if rng.random() < 0.85 else prior_pose(rng)
    return pose if rng.random() < 0.5 else Pose(mirrored(pose.pose), pose.source, pose.words)


def _finished(pose: Floats, joints: NDArray, shapes: tuple[str, str], rng: np.random.Generator) -> Floats:
    """The pose with fingers, wrists within reason, and a small yaw of the root."""
    pose = np.array(pose, np.float32)
    for side in (0, 1):
        start = HAND_STARTS[side]
        pose[start : start + 15] = hand_pose(joints, side, shapes[side] or draw_hand(rng), rng)
    yaw = rodrigues(np.array([0.0, np.radians(rng.uniform(-MAX_YAW_DEG / 2, MAX_YAW_DEG / 2)), 0.0]))
    pose[0] = axis_angle(yaw @ rodrigues(pose[0].astype(float)))
    return pose


def _facing_front(root: NDArray[Any]) -> Floats:
    turned = rodrigues(np.asarray(root, float))
    heading = np.arctan2(turned[0, 2], turned[2, 2])
    return axis_angle(rodrigues(np.array([0.0, -heading, 0.0])) @ turned).astype(np.float32)
