"""An avatar's own skeleton in the T pose, and other proportions for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from likeness.core.frames import rodrigues
from likeness.core.skinning import joint_transforms
from likeness.synthesis.figure import JOINTS, Floats
from likeness.synthesis.limbs import PARENTS
from likeness.synthesis.pack import AvatarSource

Doubles = NDArray[np.float64]

# (joints from the root of a limb on, the direction of its bones in the T pose)
_LIMBS = (
    ((16, 18, 20, 25), (1.0, 0.0, 0.0)),
    ((17, 19, 21, 40), (-1.0, 0.0, 0.0)),
    ((1, 4, 7), (0.0, -1.0, 0.0)),
    ((2, 5, 8), (0.0, -1.0, 0.0)),
)
_HANDS = (20, 21, *range(22, 52))
_FEET = (7, 8, 10, 11)
# How far the default body's shoulders stand before its hips, metres.
_LEAN_M = 0.019
# Height of a head above its joint, metres, in these avatars.
CROWN_M = 0.215


@dataclass(frozen=True)
class Rest:
    """An avatar in the T pose, pelvis joint at the origin: vertices (V, 3), joints (52, 3), weights (V, 52)."""

    vertices: Doubles
    joints: Doubles
    weights: Floats


@dataclass(frozen=True)
class Proportions:
    """stature_m: bare height with the head; the other numbers are factors: lengths of legs, arms and torso, widths of
    shoulders and hips, girths across the bones, head; belly_m: how far the belly comes forward."""

    stature_m: float
    legs: float = 1.0
    arms: float = 1.0
    torso: float = 1.0
    shoulders: float = 1.0
    hips: float = 1.0
    girth: float = 1.0
    leg_girth: float = 1.0
    arm_girth: float = 1.0
    head: float = 1.0
    belly_m: float = 0.0

    def to_dict(self) -> dict[str, float]:
        """Plain numbers, for recipes."""
        return asdict(self)


def dense_weights(source: AvatarSource) -> Floats:
    """Skin weights (V, 52) over SMPL-H's joints, rows sum to 1."""
    out = np.zeros((len(source.vertices), JOINTS), np.float32)
    joint = source.bone_smplh52[source.skin_bones]
    for column in range(joint.shape[1]):
        np.add.at(out, (np.arange(len(out)), joint[:, column]), source.skin_weights[:, column])
    return out / out.sum(1, keepdims=True)


def t_pose(source: AvatarSource) -> Rest:
    """The avatar with straight arms along X and straight legs, feet and fingers as they were against their limbs."""
    joints = source.joints52.astype(float)
    local = np.tile(np.eye(3), (JOINTS, 1, 1))
    for chain, direction in _LIMBS:
        world = np.eye(3)
        for joint, tip in pairwise(chain):
            local[joint] = world.T @ _between(world @ (joints[tip] - joints[joint]), np.array(direction)) @ world
            world = world @ local[joint]
        if chain[-1] in _FEET:
            # Soles stay flat.
            local[chain[-1]] = world.T
    moves = joint_transforms(local, joints, PARENTS)
    weights = dense_weights(source)
    moved = _moved(source.vertices, weights, moves[:, :3, :3], moves[:, :3, 3])
    placed = np.einsum("jab,jb->ja", moves[:, :3, :3], joints) + moves[:, :3, 3]
    return _upright(Rest(moved - placed[0], placed - placed[0], weights))


def _upright(rest: Rest) -> Rest:
    """The avatar's trunk, which leans back, over its hips as the default body's: shoulders _LEAN_M before the hips."""
    forward = np.ones(JOINTS)
    forward[[0, 1, 2, 4, 5, 7, 8, 10, 11]] = 0
    forward[[3, 6]] = 1 / 3, 2 / 3
    lean = _LEAN_M - (rest.joints[[16, 17], 2].mean() - rest.joints[[1, 2], 2].mean())
    shifts = (lean * forward)[:, None] * np.array([0.0, 0.0, 1.0])
    return Rest(rest.vertices + rest.weights @ shifts, rest.joints + shifts, rest.weights)


def bare_stature(rest: Rest) -> float:
    """Height of the crown over the soles, metres, hats and hair left out; heels count."""
    return float(rest.joints[15, 1] + CROWN_M - rest.vertices[:, 1].min())


def draw_proportions(rest: Rest, woman: bool, child: bool, rng: np.random.Generator) -> Proportions:
    """Proportions of some other natural body. A child stays one."""
    if child:
        stature = float(np.clip(rng.normal(1.38, 0.09), 1.18, 1.55))
    elif woman:
        stature = float(np.clip(rng.normal(1.66, 0.065), 1.50, 1.83))
    else:
        stature = float(np.clip(rng.normal(1.78, 0.07), 1.60, 1.98))
    size = stature / bare_stature(rest)
    draw = rng.standard_normal(8)
    girth = float(np.clip(1.02 + 0.09 * draw[0] + 0.03 * abs(draw[0]), 0.85, 1.28))
    hips = float(np.clip(1 + 0.4 * (girth - 1) + 0.035 * draw[1], 0.92, 1.15))
    heavy = max(girth - 1.0, 0.0)
    return Proportions(
        stature,
        legs=float(np.clip(1 + 0.025 * draw[2], 0.94, 1.06)),
        arms=float(np.clip(1 + 0.02 * draw[3], 0.95, 1.05)),
        torso=float(np.clip(1 - 0.012 * draw[2] + 0.015 * draw[4], 0.95, 1.05)),
        shoulders=float(np.clip(1 + 0.2 * (girth - 1) + 0.03 * draw[5], 0.92, 1.1)),
        hips=hips,
        girth=girth,
        leg_girth=float(np.clip(hips * (0.97 + 0.03 * draw[6]), 0.88, 1.02 * hips)),
        arm_girth=float(np.clip(1 + 0.6 * (girth - 1) + 0.04 * draw[7], 0.86, 1.2)),
        # Heads differ far less than bodies do.
        head=float(np.clip(size**-0.6, 0.93, 1.08)),
        belly_m=float(0.12 * heavy * rng.uniform(0, 1)),
    )


def reshape(rest: Rest, proportions: Proportions) -> Rest:
    """The same person with other proportions; every joint scales its own bone along and across, blended by the skin
    weights, then all grows to the stature."""
    scale = _scales(proportions)
    joints = rest.joints.copy()
    for joint in range(1, JOINTS):
        parent = int(PARENTS[joint])
        joints[joint] = joints[parent] + scale[parent] * (rest.joints[joint] - rest.joints[parent])
    matrices = np.einsum("ja,ab->jab", scale, np.eye(3))
    shifts = joints - scale * rest.joints
    vertices = _moved(rest.vertices, rest.weights, matrices, shifts)
    vertices += _belly(rest, proportions.belly_m)
    shaped = Rest(vertices, joints, rest.weights)
    own = shaped.joints[15, 1] - shaped.vertices[:, 1].min()
    size = proportions.stature_m / (own + CROWN_M * proportions.head)
    return Rest(vertices * size, joints * size, rest.weights)


def _scales(p: Proportions) -> Doubles:
    """(52, 3) factor along each axis of the T pose for what hangs on each joint."""
    depth = 1 + 1.25 * (p.girth - 1)
    out = np.ones((JOINTS, 3))
    out[0] = p.hips, p.torso, depth
    out[[3, 6]] = (p.hips + p.girth) / 2, p.torso, depth
    out[9] = (p.shoulders + p.girth) / 2, p.torso, depth
    out[12] = 0.5 + 0.5 * p.girth, p.torso, 0.5 + 0.5 * p.girth
    out[15] = p.head
    out[[13, 14]] = p.shoulders, p.torso, 0.5 + 0.5 * depth
    out[16:20] = p.arms, p.arm_girth, p.arm_girth
    out[[1, 2, 4, 5]] = p.leg_girth, p.legs, p.leg_girth
    return out


def _belly(rest: Rest, forward_m: float) -> Doubles:
    trunk = rest.weights[:, [0, 3, 6, 9]].sum(1)
    height = rest.joints[3, 1] + 0.02
    bump = trunk * np.exp(-(((rest.vertices[:, 1] - height) / 0.13) ** 2))
    front = np.clip(rest.vertices[:, 2] / 0.1 + 0.2, 0, 1) * np.exp(-((rest.vertices[:, 0] / 0.16) ** 2))
    return (forward_m * bump * front)[:, None] * np.array([0.0, -0.1, 1.0])


def _moved(points: NDArray, weights: Floats, matrices: Doubles, shifts: Doubles) -> Doubles:
    blend = weights @ np.concatenate([matrices.reshape(len(matrices), 9), shifts], 1)
    return np.einsum("vab,vb->va", blend[:, :9].reshape(-1, 3, 3), points.astype(float)) + blend[:, 9:]


def _between(start: Doubles, end: Doubles) -> Doubles:
    """The smallest rotation that takes direction `start` to direction `end`."""
    axis = np.cross(start, end)
    size = np.linalg.norm(axis)
    if size < 1e-12:
        return np.eye(3)
    return rodrigues((axis / size * np.arctan2(size, start @ end))[None])[0]
