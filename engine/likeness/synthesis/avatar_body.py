"""The bare default body under an avatar's clothes: shaped by its joints and surface, its limbs the avatar's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from likeness.body.model import BodyModel, load_default
from likeness.synthesis.figure import Floats, vertex_normals

Doubles = NDArray[np.floating]
Flags = NDArray[np.bool_]

# Joints whose place says something about the shape; torso joints lie elsewhere in the avatars' skeleton.
_TRUSTED = np.array([1, 2, 4, 5, 7, 8, 12, 16, 17, 18, 19, 20, 21])
_BONES = ((1, 4), (4, 7), (2, 5), (5, 8), (16, 18), (18, 20), (20, 25), (17, 19), (19, 21), (21, 40))
# Torso joint -> how far it follows the shoulders rather than the hips.
_TORSO = {0: 0.0, 3: 1 / 3, 6: 2 / 3, 9: 1.0, 13: 1.0, 14: 1.0}
_TOES = (10, 11)
_JOINT_M = 0.012
_SURFACE_M = 0.02
# Weight of betas' own spread, which keeps shapes human where joints and cloth say little.
_PRIOR = 2.0
# How far under cloth skin lies at least, and how far it is drawn in where it would poke out.
_UNDER_M = 0.004
_REACH_M = 0.04


@dataclass(frozen=True)
class Surface:
    """An avatar's outer side as points: points, normals (N, 3); bare (N,): skin rather than cloth or hair."""

    points: Doubles
    normals: Doubles
    bare: Flags


@dataclass(frozen=True)
class Fit:
    """betas (K,); vertices (V, 3) of the default body; joints (52, 3): the avatar's own limbs, neck and head, and the
    default body's pelvis, spine, collars and toes, which lie elsewhere in the avatar's skeleton."""

    betas: Floats
    vertices: Floats
    joints: Floats


def fit_body(joints: Doubles, eyes: Doubles, surface: Surface, people: str = "adults") -> Fit:
    """The default body of an avatar at rest.

    joints (52, 3) and eyes (3,), the middle between both, in the T pose. people: 'adults' or 'children', whose shape
    directions the betas count. The vertices meet bare skin and lie under cloth.
    """
    model = load_default(layout="smplh", people=people)
    tree = cKDTree(surface.points)
    betas = _from_joints(model, joints)
    for _ in range(3):
        vertices, _ = _on_skeleton(model, betas, joints, eyes)
        betas = _from_surface(model, betas, vertices, joints, surface, tree)
    vertices, placed = _on_skeleton(model, betas, joints, eyes)
    vertices = _with_head(model, vertices, joints[15], surface)
    for _ in range(3):
        vertices = vertices + _to_surface(model, vertices, surface, tree)
    vertices += _inwards(surface, vertices, tree)
    mixed = joints.copy()
    taken = [*_TORSO, *_TOES]
    mixed[taken] = placed[taken]
    return Fit(betas.astype(np.float32), vertices.astype(np.float32), mixed.astype(np.float32))


def clearance(vertices: NDArray, surface: Surface, tree: cKDTree | None = None) -> tuple[Doubles, NDArray[np.int64]]:
    """Signed distance (V,) to the nearest point of the surface, outside positive, metres, and that point (V,)."""
    tree = cKDTree(surface.points) if tree is None else tree
    near = tree.query(vertices)[1]
    return ((vertices - surface.points[near]) * surface.normals[near]).sum(1), near


def _joint_equations(model: BodyModel, joints: Doubles) -> tuple[Doubles, Doubles]:
    hips = [1, 2]
    rows = model.joint_shapedirs - model.joint_shapedirs[hips].mean(0)
    want = joints - joints[hips].mean(0) - (model.joints_template - model.joints_template[hips].mean(0))
    trust = np.ones((len(joints), 3))
    # The avatars' hips lie closer together by definition rather than by shape.
    trust[hips, 0] = 0.3
    trust[:, 2] = 0.5
    trust = (trust / _JOINT_M)[_TRUSTED].reshape(-1)
    left = rows[_TRUSTED].reshape(-1, rows.shape[2]) * trust[:, None]
    return left.astype(float), want[_TRUSTED].reshape(-1) * trust


def _from_joints(model: BodyModel, joints: Doubles) -> Doubles:
    left, right = _joint_equations(model, joints)
    return np.linalg.solve(left.T @ left + _PRIOR * np.eye(left.shape[1]), left.T @ right)


def _from_surface(
    model: BodyModel, betas: Doubles, vertices: Doubles, joints: Doubles, surface: Surface, tree: cKDTree
) -> Doubles:
    """Betas after one step towards a body that touches bare skin and stays under cloth."""
    pick = np.arange(0, len(vertices), 7)
    distance, near = clearance(vertices[pick], surface, tree)
    bare = surface.bare[near]
    # Loose cloth says only that the body is inside; far inside, it still asks for a little more.
    aim = np.where(bare, 0.0, np.where(distance > -_UNDER_M, -0.008, np.minimum(distance + 0.002, -0.02)))
    aim = np.where(~bare & (distance <= -_UNDER_M) & (distance > -0.03), distance, aim)
    weight = np.where(bare, 1.0, np.where(distance > -_UNDER_M, 1.0, 0.1))
    weight *= np.abs(distance) < _REACH_M
    # The limbs follow the joints anyway, so shape counts relative to them.
    follow = np.einsum("vj,jck->vck", model.weights[pick], model.joint_shapedirs)
    rows = np.einsum("vc,vck->vk", surface.normals[near], model.shapedirs[pick] - follow)
    scale = np.sqrt(weight / len(pick) * 400) / _SURFACE_M
    left, right = _joint_equations(model, joints)
    left = np.concatenate([left, rows * scale[:, None]])
    right = np.concatenate([right, ((aim - distance) + rows @ betas) * scale])
    return np.linalg.solve(left.T @ left + _PRIOR * np.eye(left.shape[1]), left.T @ right)


def _on_skeleton(model: BodyModel, betas: Doubles, joints: Doubles, eyes: Doubles) -> tuple[Doubles, Doubles]:
    """The shaped body (V, 3) moved bone by bone onto the avatar's joints, and where its own joints (52, 3) come."""
    vertices, own = model.rest(betas)
    matrices = np.tile(np.eye(3), (len(own), 1, 1))
    shifts = joints - own
    hips, shoulders = shifts[[1, 2]].mean(0), shifts[[16, 17]].mean(0)
    for joint, share in _TORSO.items():
        shifts[joint] = (1 - share) * hips + share * shoulders
    seen = vertices[[model.landmark_vertices["left_eye"], model.landmark_vertices["right_eye"]]].mean(0)
    shifts[15] = eyes - np.array([0, 0, 0.006]) - seen
    shifts[12] = (shifts[9] + shifts[15]) / 2
    for joint, tip in _BONES:
        matrices[joint] = _turn_and_stretch(own[tip] - own[joint], joints[tip] - joints[joint])
        shifts[joint] = joints[joint] - matrices[joint] @ own[joint]
    for ankle, toe in ((7, 10), (8, 11)):
        # Soles stay flat; only how far the toes point outwards is the avatar's.
        level = np.array([1.0, 0.0, 1.0])
        matrices[[ankle, toe]] = _turn(level * (own[toe] - own[ankle]), level * (joints[toe] - joints[ankle]))
        shifts[[ankle, toe]] = joints[ankle] - matrices[ankle] @ own[ankle]
    for wrist in (20, 21):
        for joint in range(22 + 15 * (wrist - 20), 37 + 15 * (wrist - 20)):
            matrices[joint] = matrices[wrist]
            shifts[joint] = joints[joint] - matrices[joint] @ own[joint]
    blend = model.weights @ np.concatenate([matrices.reshape(-1, 9), shifts], 1)
    moved = np.einsum("vab,vb->va", blend[:, :9].reshape(-1, 3, 3), vertices.astype(float)) + blend[:, 9:]
    return moved, np.einsum("jab,jb->ja", matrices, own.astype(float)) + shifts


def _with_head(model: BodyModel, vertices: Doubles, pivot: Doubles, surface: Surface) -> Doubles:
    """The body (V, 3) with its head scaled and moved onto the avatar's bare face, by closest points and planes."""
    share = model.weights[:, 15:16].astype(float)
    mine = np.flatnonzero(share[:, 0] > 0.9)[::3]
    tree = cKDTree(surface.points[surface.bare])
    scale, shift = 1.0, np.zeros(3)
    for _ in range(6):
        moved = pivot + scale * (vertices[mine] - pivot) + shift
        distance, near = tree.query(moved)
        normal, goal = surface.normals[surface.bare][near], surface.points[surface.bare][near]
        close = distance < _REACH_M
        if close.sum() < 50:
            return vertices
        # Unknowns: more scale and a shift; both are held back a little.
        rows = np.concatenate([((vertices[mine] - pivot) * normal).sum(1)[:, None], normal], 1)[close]
        miss = ((goal - moved) * normal).sum(1)[close]
        step = np.linalg.solve(rows.T @ rows + np.diag([0.02, 5, 5, 5]), rows.T @ miss)
        scale, shift = float(np.clip(scale + step[0], 0.85, 1.15)), shift + step[1:]
    return vertices + share * ((scale - 1) * (vertices - pivot) + shift)


def _turn_and_stretch(start: Doubles, end: Doubles) -> Doubles:
    """Matrix that takes bone `start` to `end`: stretched along itself, then turned the shortest way."""
    size = np.linalg.norm(start)
    along = start / size
    stretch = np.clip(np.linalg.norm(end) / size, 0.7, 1.4)
    return _turn(start, end) @ (np.eye(3) + (stretch - 1) * np.outer(along, along))


def _turn(start: Doubles, end: Doubles) -> Doubles:
    """The shortest rotation that takes direction `start` to direction `end`, not its opposite."""
    along, goal = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis = np.cross(along, goal)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + along @ goal)


def _to_surface(model: BodyModel, vertices: Doubles, surface: Surface, tree: cKDTree) -> Doubles:
    """Smooth moves (V, 3) onto bare skin, and under cloth where the body pokes out."""
    distance, near = clearance(vertices, surface, tree)
    bare = surface.bare[near] & (np.abs(distance) < _REACH_M)
    facing = (vertex_normals(vertices.astype(np.float32), model.faces) * surface.normals[near]).sum(1) > 0.3
    push = np.where(bare, -distance, np.where(distance > -_UNDER_M, -_UNDER_M - 0.002 - distance, 0.0))
    push = np.where(facing & (np.abs(distance) < _REACH_M), push, 0.0)
    moves = push[:, None] * surface.normals[near]
    for _ in range(4):
        moves = _averaging() @ moves
    return moves


def _inwards(surface: Surface, vertices: Doubles, tree: cKDTree) -> Doubles:
    """Moves (V, 3) that draw what still pokes out of cloth under it."""
    distance, near = clearance(vertices, surface, tree)
    out = ~surface.bare[near] & (distance > -_UNDER_M / 2) & (distance < _REACH_M)
    push = np.where(out, -_UNDER_M / 2 - distance, 0.0)
    return push[:, None] * surface.normals[near]


@lru_cache(maxsize=1)
def _averaging() -> sparse.csr_matrix:
    """(V, V): half of each vertex of the default body and half of the mean of its neighbours."""
    faces = load_default(layout="smplh").faces
    count = int(faces.max()) + 1
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ring = sparse.csr_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    ring = ring + ring.T
    degree = np.maximum(np.asarray(ring.sum(1)).ravel(), 1)
    return (0.5 * sparse.identity(count) + 0.5 * sparse.diags(1 / degree) @ ring).tocsr()
