"""Linear blend skinning in torch, differentiable in shape, pose and translation; parity with SMPL's own layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from likeness.body.model import BodyModel
from likeness.core.correctives import NO_CORRECTIVES, Correctives, DenseCorrectives
from torch.autograd.function import once_differentiable

#: Rows of one joint that are multiplied together, and numbers that a step of skinning keeps in each core's cache.
_TILE = 32
_CHUNK = 1 << 18


@dataclass(frozen=True)
class BendTensors:
    """Pose correctives, either dense or as tiles of rows that move with one joint.

    dense: (9 (J - 1), 3 V), for bodies where every joint moves every vertex; or None.
    directions: (T, 96, 9) of 32 rows' x, y and z. joints: (T,) of each tile. rows: (32 T,) vertex of every row.
    """

    dense: torch.Tensor | None
    directions: torch.Tensor
    joints: torch.Tensor
    rows: torch.Tensor

    @classmethod
    def from_correctives(
        cls,
        correctives: Correctives | DenseCorrectives,
        vertices: np.ndarray,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> BendTensors:
        """Of the given (V',) vertices, in that order."""

        def numbers(array: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(array, dtype=dtype, device=device)

        if isinstance(correctives, DenseCorrectives):
            posedirs = correctives.posedirs
            chosen = posedirs.reshape(len(posedirs), -1, 3)[:, vertices].reshape(len(posedirs), -1)
            tiles = _tiles(NO_CORRECTIVES, vertices)
            dense = numbers(np.ascontiguousarray(chosen))
        else:
            tiles, dense = _tiles(correctives, vertices), None
        directions, joints, rows = tiles
        return cls(
            dense=dense,
            directions=numbers(directions),
            joints=torch.as_tensor(joints, device=device),
            rows=torch.as_tensor(rows, device=device),
        )

    def added_to(self, shaped: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
        """Rest vertices (V, 3, B) with the offsets of local rotations (B, J, 3, 3)."""
        batch = len(rotations)
        features = rotations - torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        features = features.reshape(batch, -1, 9).permute(1, 2, 0)
        if self.dense is not None:
            return shaped + (self.dense.T @ features[1:].reshape(-1, batch)).reshape(shaped.shape)
        moved = torch.bmm(self.directions, features[self.joints])
        return shaped.index_add(0, self.rows, moved.reshape(-1, 3, batch))


def _tiles(correctives: Correctives, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions (T, 96, 9), joints (T,) and rows (32 T,) of the given vertices' correctives; see BendTensors."""
    row_of = np.full(max(vertices.max(initial=0), correctives.vertices.max(initial=0)) + 1, -1)
    row_of[vertices] = np.arange(len(vertices))
    wanted = np.flatnonzero(row_of[correctives.vertices] >= 0)
    wanted = wanted[np.argsort(correctives.joints[wanted], kind="stable")]
    starts = np.flatnonzero(np.diff(correctives.joints[wanted])) + 1
    pieces = [piece[at : at + _TILE] for piece in np.split(wanted, starts) for at in range(0, len(piece), _TILE)]
    # What fills up a tile adds nothing to vertex 0.
    directions = np.zeros((len(pieces), _TILE, 3, 9), np.float32)
    rows = np.zeros((len(pieces), _TILE), np.int64)
    for tile, piece in enumerate(pieces):
        directions[tile, : len(piece)] = correctives.directions[piece]
        rows[tile, : len(piece)] = row_of[correctives.vertices[piece]]
    joints = np.array([correctives.joints[piece[0]] for piece in pieces], np.int64)
    return directions.reshape(-1, 3 * _TILE, 9), joints, rows.reshape(-1)


@dataclass(frozen=True)
class BodyTensors:
    """A body, or some of its vertices, as tensors.

    v_template (V, 3), shapedirs (V, 3, K), joints_template (J, 3), joint_shapedirs (J, 3, K), weights (V, J): metres,
    rest frame, one dtype and device. parents: J indices, -1 for the root. vertices: the model's vertex numbers that the
    rows stand for. blaze_joint, blaze_row: (33,) joint or row of BlazePose's points, -1 where it is the other one;
    blaze_row is -1 too where a vertex was left out. lean_joint, lean: (33,) joint that a point leans to, and how far.
    bend: the pose correctives of these rows.
    """

    v_template: torch.Tensor
    shapedirs: torch.Tensor
    joints_template: torch.Tensor
    joint_shapedirs: torch.Tensor
    weights: torch.Tensor
    parents: tuple[int, ...]
    vertices: np.ndarray
    blaze_joint: torch.Tensor
    blaze_row: torch.Tensor
    lean_joint: torch.Tensor
    lean: torch.Tensor
    bend: BendTensors

    @classmethod
    def from_model(
        cls,
        model: BodyModel,
        vertex_indices: np.ndarray | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> BodyTensors:
        """Tensors of a model, of the given vertices only if a (V',) index array is given (in that order)."""
        chosen = np.arange(len(model.v_template)) if vertex_indices is None else np.asarray(vertex_indices, np.int64)

        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=device)

        row_of = np.full(len(model.v_template), -1)
        row_of[chosen] = np.arange(len(chosen))
        joint, vertex = model.blazepose[:, 0], model.blazepose[:, 1]
        row = np.where(vertex >= 0, row_of[np.maximum(vertex, 0)], -1)

        def indices(array: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(array.astype(np.int64), device=device)

        return cls(
            v_template=tensor(model.v_template[chosen]),
            shapedirs=tensor(model.shapedirs[chosen]),
            joints_template=tensor(model.joints_template),
            joint_shapedirs=tensor(model.joint_shapedirs),
            weights=tensor(model.weights[chosen]),
            parents=tuple(int(p) for p in model.parents),
            vertices=chosen,
            blaze_joint=indices(joint),
            blaze_row=indices(row),
            lean_joint=indices(model.blazepose_lean_joint),
            lean=tensor(model.blazepose_lean),
            bend=BendTensors.from_correctives(model.correctives or NO_CORRECTIVES, chosen, dtype, device),
        )

    def blazepose_points(self, vertices: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:
        """BlazePose's 33 points (B, 33, 3) on posed vertices (B, V, 3) and joints (B, J, 3).

        The landmarks' vertices must be among this body's (with_landmarks adds them); raises ValueError otherwise.
        """
        if bool(((self.blaze_joint < 0) & (self.blaze_row < 0)).any()):
            raise ValueError("this subset of the body lacks vertices of BlazePose's points")
        at_joint = joints[:, self.blaze_joint.clamp(min=0)]
        at_vertex = vertices[:, self.blaze_row.clamp(min=0)]
        points = torch.where((self.blaze_joint >= 0)[:, None], at_joint, at_vertex)
        return torch.lerp(points, joints[:, self.lean_joint], self.lean[:, None])


def with_landmarks(model: BodyModel, vertex_indices: np.ndarray) -> np.ndarray:
    """(V',) vertex numbers with those of BlazePose's points added, sorted and unique."""
    vertices = model.blazepose[:, 1]
    return np.unique(np.concatenate([np.asarray(vertex_indices, np.int64), vertices[vertices >= 0].astype(np.int64)]))


def rotation_matrices(axis_angle: torch.Tensor) -> torch.Tensor:
    """Axis-angle (..., 3) radians -> rotation matrices (..., 3, 3); smooth at zero, so gradients are right there."""
    squared = (axis_angle * axis_angle).sum(-1)[..., None, None]
    small = squared < 1e-8
    # The untaken branch must stay finite too, or its gradient poisons the taken one.
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    first = torch.where(small, 1 - squared / 6, torch.sin(angle) / angle)
    second = torch.where(small, 0.5 - squared / 24, (1 - torch.cos(angle)) / safe)
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*axis_angle.shape[:-1], 3, 3)
    outer = axis_angle[..., :, None] * axis_angle[..., None, :]
    eye = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return (1 - second * squared) * eye + first * cross + second * outer


@cache
def _levels(parents: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """For each depth of the tree its joints, and where their parents stand among the joints of the depth before."""
    level, out = tuple(j for j, p in enumerate(parents) if p < 0), []
    places: tuple[int, ...] = ()
    while level:
        out.append((level, places))
        below = tuple(j for j, p in enumerate(parents) if p in level)
        places, level = tuple(level.index(parents[j]) for j in below), below
    return tuple(out)


def joint_chain(
    rotations: torch.Tensor, rest_joints: torch.Tensor, parents: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """World rotations (B, J, 3, 3) and joint positions (B, J, 3) from local rotations and rest joints (B, J, 3)."""
    above = [max(p, 0) for p in parents]
    bones = torch.where(
        torch.tensor(parents, device=rotations.device)[:, None] < 0, rest_joints, rest_joints - rest_joints[:, above]
    )
    # Homogeneous, so that a whole depth of the tree takes one product.
    steps = torch.nn.functional.pad(torch.cat([rotations, bones[..., None]], -1), (0, 0, 0, 1))
    steps = steps + steps.new_tensor([0.0, 0, 0, 0] * 3 + [0, 0, 0, 1]).reshape(4, 4)
    done: list[torch.Tensor] = []
    order: list[int] = []
    for level, places in _levels(parents):
        step = steps[:, level]
        done.append(done[-1][:, places] @ step if done else step)
        order.extend(level)
    world = torch.cat(done, 1)[:, np.argsort(order).tolist()]
    return world[..., :3, :3], world[..., :3, 3]


class _Skin(torch.autograd.Function):
    """Blend the joints' moves and apply them, some vertices at a time: the blends of all would not fit the cache.

    Backward blends again rather than keep them. weights (V, J) have no gradient.
    """

    @staticmethod
    def forward(ctx: Any, vertices: torch.Tensor, moves: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """vertices (V, 3, B), moves (J, 3, 4, B) -> (V, 3, B)."""
        ctx.save_for_backward(vertices, moves, weights)
        flat, out = moves.reshape(len(moves), -1), torch.empty_like(vertices)
        for part in _chunks(vertices):
            blend = (weights[part] @ flat).reshape(-1, *moves.shape[1:])
            near, posed = vertices[part], out[part]
            torch.addcmul(blend[:, :, 3], blend[:, :, 0], near[:, 0:1], out=posed)
            posed.addcmul_(blend[:, :, 1], near[:, 1:2]).addcmul_(blend[:, :, 2], near[:, 2:3])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        vertices, moves, weights = ctx.saved_tensors
        grad, flat = grad.contiguous(), moves.reshape(len(moves), -1)
        to_vertices, to_moves = torch.empty_like(vertices), torch.zeros_like(flat)
        for part in _chunks(vertices):
            blend = (weights[part] @ flat).reshape(-1, *moves.shape[1:])
            near, wanted, pulled = vertices[part], grad[part], to_vertices[part]
            torch.mul(blend[:, 0, :3], wanted[:, 0:1], out=pulled)
            pulled.addcmul_(blend[:, 1, :3], wanted[:, 1:2]).addcmul_(blend[:, 2, :3], wanted[:, 2:3])
            torch.mul(wanted[:, :, None], near[:, None], out=blend[:, :, :3])
            blend[:, :, 3] = wanted
            to_moves.addmm_(weights[part].T, blend.reshape(len(blend), -1))
        return to_vertices, to_moves.reshape(moves.shape), None


def _chunks(vertices: torch.Tensor) -> list[slice]:
    """Vertices (V, 3, B) in parts whose blends stay in a processor's cache; all at once on other devices."""
    count, _, batch = vertices.shape
    numbers = _CHUNK * torch.get_num_threads()
    step = max(_TILE, numbers // (12 * max(batch, 1))) if vertices.device.type == "cpu" else max(count, 1)
    return [slice(at, at + step) for at in range(0, count, step)]


def lbs(
    body: BodyTensors, betas: torch.Tensor, pose: torch.Tensor, translation: torch.Tensor, *, correctives: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Shape, pose and skin; differentiable once in betas, pose and translation.

    betas: (B, K') with K' <= K. pose: (B, J, 3) axis-angle, parent-relative. translation: (B, 3) metres, added last.
    correctives: whether the pose correctives take part. Returns vertices (B, V, 3) and joints (B, J, 3), metres.
    """
    batch, count = betas.shape
    rotations = rotation_matrices(pose)
    joint_basis = body.joint_shapedirs[:, :, :count].reshape(-1, count)
    rest = body.joints_template + (betas @ joint_basis.T).reshape(batch, -1, 3)
    turns, places = joint_chain(rotations, rest, body.parents)
    shift = places - (turns @ rest[..., None])[..., 0]
    moves = torch.cat([turns, shift[..., None]], -1).permute(1, 2, 3, 0).contiguous()
    # Vertex by vertex with the batch innermost: then every product is one of large matrices.
    basis = body.shapedirs[:, :, :count].reshape(-1, count)
    vertices = torch.addmm(body.v_template.reshape(-1, 1), basis, betas.T).reshape(-1, 3, batch)
    if correctives:
        vertices = body.bend.added_to(vertices, rotations)
    posed = _Skin.apply(vertices, moves, body.weights)
    posed = posed.reshape(-1, batch).T.contiguous().reshape(batch, -1, 3)
    return posed + translation[:, None], places + translation[:, None]
