"""A shaped hm08 body in the default body's rest frame: the T pose, 52 joints, betas and skin weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from likeness.body.model import BodyModel, load_default
from likeness.synthesis.figure import JOINTS, Floats, Ints, Shorts
from likeness.synthesis.pack import Pack

Doubles = NDArray[np.float64]

# SMPL-H's joint -> the joint that its limb points at, and that limb's direction in the T pose.
_ARMS = ((16, 18), (18, 20), (20, 25))
_LEGS = ((1, 4), (4, 7))
_MIRROR_X = np.diag([-1.0, 1.0, 1.0])
_SUPPORT = 160


@dataclass(frozen=True)
class RestBody:
    """One person, bare, at rest: metres, T pose, pelvis joint at the origin.

    vertices (19158, 3): hm08 with its helper geometry. joints (52, 3). betas (K,): the nearest shape of the default
    body. body (V, 3): the default body's vertices on this very person. skin_joints, skin_weights (19158, 4): the
    same for everybody. residual_m: mean distance between `body` and what `betas` give. turned (52, 3, 4): rest-frame
    transform of each joint's A pose, inverted by `to_rest`.
    """

    vertices: Floats
    joints: Floats
    betas: Floats
    body: Floats
    skin_joints: Shorts
    skin_weights: Floats
    residual_m: float
    turned: Doubles

    def to_rest(self, points: NDArray, skin_joints: Shorts, skin_weights: Floats) -> Floats:
        """Points (N, 3) bound to the A pose by weights (N, 4) -> the rest frame."""
        return _unblend(points, skin_joints, skin_weights, self.turned)


@dataclass(frozen=True)
class Binding:
    """How hm08 hangs on the default body; computed once.

    model: the default body with 52 joints. source (V,): hm08 vertex of each of its vertices, -1 for those added.
    skin_joints, skin_weights: (19158, 4). part (19158,): body part of each hm08 vertex. solver (K + 3, 3N): betas and
    shift of the N vertices that have a source. rings (52, V): average over the skin around each joint. added:
    neighbours and shares that carry the residual to vertices without a source.
    """

    model: BodyModel
    source: Ints
    skin_joints: Shorts
    skin_weights: Floats
    part: NDArray[np.uint8]
    solver: Doubles
    rings: Doubles
    added: tuple[NDArray, Doubles]


def strongest_four(weights: NDArray) -> tuple[Shorts, Floats]:
    """Dense weights (V, J) -> the four strongest as (V, 4) u16 and f32 rows that sum to 1.

    All are lowered by the fifth: cutting would tear the surface where the fifth changes.
    """
    order = np.argsort(-weights, axis=1, kind="stable")[:, :5]
    kept = np.take_along_axis(weights, order, 1).astype(np.float64)
    kept = kept[:, :4] - kept[:, 4:5]
    weak = kept.sum(1) < 1e-9
    kept[weak] = [1.0, 0.0, 0.0, 0.0]
    kept = (kept / kept.sum(1, keepdims=True)).astype(np.float32)
    return order[:, :4].astype(np.uint16), kept


def dense_weights(skin_joints: Shorts, skin_weights: Floats) -> Floats:
    """(V, 4) joints and weights -> (V, 52)."""
    out = np.zeros((len(skin_joints), JOINTS), np.float32)
    np.put_along_axis(out, skin_joints.astype(np.int64), 0, 1)
    for column in range(skin_joints.shape[1]):
        np.add.at(out, (np.arange(len(out)), skin_joints[:, column].astype(np.int64)), skin_weights[:, column])
    return out


@lru_cache(maxsize=4)
def _binding(pack: Pack, people: str) -> Binding:
    base = pack.base
    model = load_default("smplh", people)
    source = np.asarray(model.source_vertices)
    points = base["verts"].astype(np.float64)
    known = np.flatnonzero(source >= 0)
    weights = np.zeros((len(points), JOINTS), np.float64)
    weights[source[known]] = model.weights[known]
    part = np.zeros(len(points), np.uint8)
    part[source[known]] = model.parts[known]
    rest = np.setdiff1d(np.arange(len(points)), source[known])
    near, share = _soft_neighbours(points[source[known]], points[rest])
    weights[rest] = np.einsum("nk,nkj->nj", share, model.weights[known][near])
    part[rest] = model.parts[known][near[:, 0]]
    joints, values = strongest_four(weights)
    basis = model.shapedirs[known].reshape(3 * len(known), -1).astype(np.float64)
    basis = np.concatenate([basis, np.tile(np.eye(3), (len(known), 1))], 1)
    added = np.flatnonzero(source < 0)
    around = _soft_neighbours(model.v_template[known].astype(np.float64), model.v_template[added].astype(np.float64))
    return Binding(
        model,
        source.astype(np.int32),
        joints,
        values,
        part,
        np.asarray(np.linalg.solve(basis.T @ basis, basis.T), np.float64),
        _rings(model),
        (known[around[0]], around[1]),
    )


def _soft_neighbours(among: Doubles, points: Doubles) -> tuple[NDArray, Doubles]:
    """Nearest points (N, K) and smooth shares (N, K): the farther off, the more of them count."""
    distance, near = cKDTree(among).query(points, k=min(_SUPPORT, len(among)))
    nearest = distance[:, :1]
    spread = 0.35 * nearest + 0.004
    share = np.exp(-0.5 * ((distance - nearest) / spread) ** 2)
    return near, share / share.sum(1, keepdims=True)


def _rings(model: BodyModel) -> Doubles:
    weights = model.weights.astype(np.float64)
    around = np.where(np.array(PARENTS)[:, None] >= 0, (weights * weights[:, PARENTS]).T, weights.T) + 1e-9
    return np.asarray(around / around.sum(1, keepdims=True), np.float64)


def rest_body(pack: Pack, hm08_vertices: NDArray, people: str = "adults") -> RestBody:
    """hm08 vertices (19158, 3) in MakeHuman's A pose, metres -> the same person at rest.

    people: 'adults' or 'children', whose shape space gives the betas.
    """
    binding = _binding(pack, people)
    points = np.asarray(hm08_vertices, np.float64)
    heads = _a_pose_joints(pack.base, points)
    turned = _t_pose(pack.base, points, heads)
    vertices = _unblend(points, binding.skin_joints, binding.skin_weights, turned).astype(np.float64)
    model, source = binding.model, binding.source
    known = source >= 0
    body = np.array(model.v_template, np.float64)
    body[known] = vertices[source[known]]
    found = binding.solver @ (body[known] - model.v_template[known]).reshape(-1)
    betas, shift = found[:-3], found[-3:]
    shaped = model.v_template + model.shapedirs @ betas.astype(np.float32)
    near, share = binding.added
    body[known] -= shift
    body[~known] = shaped[~known] + np.einsum("nk,nkc->nc", share, (body - shaped)[near])
    # The joints of the nearest shape, moved along with the skin around them.
    joints = model.joints_template + model.joint_shapedirs @ betas + binding.rings @ (body - shaped)
    pelvis = joints[0].copy()
    turned = turned.copy()
    turned[:, :, 3] += turned[:, :, :3] @ (shift + pelvis)
    miss = np.linalg.norm(body - shaped, axis=1)
    body, vertices, joints = body - pelvis, vertices - shift - pelvis, joints - pelvis
    return RestBody(
        vertices.astype(np.float32),
        joints.astype(np.float32),
        betas.astype(np.float32),
        body.astype(np.float32),
        binding.skin_joints,
        binding.skin_weights,
        float(miss.mean()),
        turned,
    )


def parts_of_weights(skin_joints: Shorts, skin_weights: Floats) -> NDArray[np.uint8]:
    """The default body's part (V,) that holds most of the weight of each vertex (V, 4)."""
    table = _part_of_joint()
    total = np.zeros((len(skin_joints), int(table.max()) + 1), np.float32)
    rows = np.arange(len(total))
    for column in range(skin_joints.shape[1]):
        np.add.at(total, (rows, table[skin_joints[:, column]]), skin_weights[:, column])
    return total.argmax(1).astype(np.uint8)


def binding_of(pack: Pack) -> Binding:
    """How the pack's base mesh hangs on the default body, computed at the first call."""
    return _binding(pack, "adults")


@lru_cache(maxsize=1)
def _part_of_joint() -> NDArray[np.int64]:
    first = [2, 9, 12, 2, 10, 13, 2, 11, 14, 2, 11, 14, 1, 2, 2, 0, 3, 6, 4, 7, 5, 8]
    return np.array([*first, *([5] * 15), *([8] * 15)])


def _marker(base: dict[str, NDArray], points: Doubles, name: str) -> Doubles:
    names = [str(n) for n in base["group_names"]]
    return points[np.unique(base["faces"][base["face_group"] == names.index(name)])].mean(0)


def _a_pose_joints(base: dict[str, NDArray], points: Doubles) -> Doubles:
    """SMPL-H's 52 joints as heads of the default rig's bones, A pose."""
    names = [str(n) for n in base["bone_names"]]
    bounds, index = base["head_off"], base["head_idx"]

    def head(bone: int) -> Doubles:
        return points[index[bounds[bone] : bounds[bone + 1]]].mean(0)

    bones = [int(b) for b in base["smpl24_bone"][:22]]
    for side in "LR":
        bones += [names.index(f"finger{finger}-{k}.{side}") for finger in (2, 3, 5, 4, 1) for k in (1, 2, 3)]
    return np.stack([head(bone) for bone in bones])


def _t_pose(base: dict[str, NDArray], points: Doubles, joints: Doubles) -> Doubles:
    """A-pose-from-rest transforms (52, 3, 4), as the default body was made: limbs straight, palms down."""
    turns = np.tile(np.eye(3), (JOINTS, 1, 1))
    finger = {k: _marker(base, points, f"joint-l-finger-{k}-2") for k in (2, 3, 5)}
    palm = np.cross(finger[5] - finger[2], finger[3] - joints[20])
    toe = _marker(base, points, "joint-l-toe-2-4") - _marker(base, points, "joint-l-ankle")
    for joint, child in _ARMS:
        turns[joint] = _turn(joints[child] - joints[joint], np.array([1.0, 0, 0]))
    facing = turns[20] @ palm
    roll = np.arctan2(facing[2], -facing[1])
    turns[20], turns[18] = _about(0, roll) @ turns[20], _about(0, roll / 2) @ turns[18]
    turns[22:37] = turns[20]
    for joint, child in _LEGS:
        turns[joint] = _turn(joints[child] - joints[joint], np.array([0, -1.0, 0]))
    turns[7] = turns[10] = _about(1, -np.arctan2(toe[0], toe[2]))
    for left, right in ((1, 2), (4, 5), (7, 8), (10, 11), (16, 17), (18, 19), (20, 21)):
        turns[right] = _MIRROR_X @ turns[left] @ _MIRROR_X
    turns[37:] = turns[21]
    target = np.zeros((JOINTS, 3))
    for joint in range(1, JOINTS):
        parent = int(PARENTS[joint])
        target[joint] = target[parent] + turns[parent] @ (joints[joint] - joints[parent])
    back = np.swapaxes(turns, 1, 2)
    return np.concatenate([back, (joints - np.einsum("jab,jb->ja", back, target))[..., None]], 2)


PARENTS = np.array(
    [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]
    + [parent for wrist, first in ((20, 22), (21, 37)) for k in range(5) for parent in
       (wrist, first + 3 * k, first + 3 * k + 1)]
)  # fmt: skip


def _unblend(points: NDArray, skin_joints: Shorts, skin_weights: Floats, moves: Doubles) -> Floats:
    """Undo linear blend skinning: skinning the result by `moves` (52, 3, 4) gives `points` (N, 3) exactly."""
    blended = np.zeros((len(points), 12))
    flat = moves.reshape(len(moves), 12)
    for column in range(skin_joints.shape[1]):
        blended += skin_weights[:, column, None] * flat[skin_joints[:, column]]
    shaped = blended.reshape(-1, 3, 4)
    solved = np.linalg.solve(shaped[:, :, :3], (points - shaped[:, :, 3])[..., None])
    return solved[..., 0].astype(np.float32)


def _turn(source: Doubles, target: Doubles) -> Doubles:
    """The smallest rotation (3, 3) that takes one direction (3,) to another."""
    a, b = source / np.linalg.norm(source), target / np.linalg.norm(target)
    v = np.cross(a, b)
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + float(a @ b))


def _about(axis: int, angle: float) -> Doubles:
    """Rotation (3, 3) about axis 0, 1 or 2 by radians."""
    following, last = (axis + 1) % 3, (axis + 2) % 3
    turn = np.eye(3)
    turn[following, following] = turn[last, last] = np.cos(angle)
    turn[last, following] = np.sin(angle)
    turn[following, last] = -np.sin(angle)
    return turn
