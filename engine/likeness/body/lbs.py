"""Linear blend skinning in torch, differentiable in shape, pose and translation; parity with SMPL's own layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from likeness.body.correctives import NO_CORRECTIVES
from likeness.body.model import BodyModel


@dataclass(frozen=True)
class BodyTensors:
    """A body, or some of its vertices, as tensors.

    v_template (V, 3), shapedirs (V, 3, K), joints_template (J, 3), joint_shapedirs (J, 3, K), weights (V, J): metres,
    rest frame, one dtype and device. parents: J indices, -1 for the root. vertices: the model's vertex numbers that the
    rows stand for. blaze_joint, blaze_row: (33,) joint or row of BlazePose's points, -1 where it is the other one;
    blaze_row is -1 too where a vertex was left out. lean_joint, lean: (33,) joint that a point leans to, and how far.
    corrective_rows, corrective_joints (M,) int64 and corrective_dirs (M, 27): the pose correctives of these rows (x, y,
    z of nine features each), none for a body without them.
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
    corrective_rows: torch.Tensor
    corrective_joints: torch.Tensor
    corrective_dirs: torch.Tensor

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
        bend = model.correctives or NO_CORRECTIVES
        bent = np.flatnonzero(row_of[bend.vertices] >= 0)

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
            corrective_rows=indices(row_of[bend.vertices[bent]]),
            corrective_joints=indices(bend.joints[bent]),
            corrective_dirs=tensor(bend.directions[bent].reshape(-1, 27)),
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


def joint_chain(
    rotations: torch.Tensor, rest_joints: torch.Tensor, parents: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """World rotations (B, J, 3, 3) and joint positions (B, J, 3) from local rotations and rest joints (B, J, 3)."""
    turns: list[torch.Tensor] = []
    places: list[torch.Tensor] = []
    for joint, parent in enumerate(parents):
        if parent < 0:
            turns.append(rotations[:, joint])
            places.append(rest_joints[:, joint])
        else:
            bone = (rest_joints[:, joint] - rest_joints[:, parent])[..., None]
            turns.append(turns[parent] @ rotations[:, joint])
            places.append(places[parent] + (turns[parent] @ bone)[..., 0])
    return torch.stack(turns, 1), torch.stack(places, 1)


def corrective_offsets(body: BodyTensors, rotations: torch.Tensor) -> torch.Tensor:
    """Local rotations (B, J, 3, 3) -> offsets (B, V, 3) of the rest vertices, metres."""
    batch = len(rotations)
    features = (rotations - torch.eye(3, dtype=rotations.dtype, device=rotations.device)).reshape(batch, -1, 1, 9)
    moved = (body.corrective_dirs.reshape(-1, 3, 9) * features[:, body.corrective_joints]).sum(-1)
    empty = torch.zeros(batch, len(body.v_template), 3, dtype=rotations.dtype, device=rotations.device)
    return empty.index_add(1, body.corrective_rows, moved)


def lbs(
    body: BodyTensors, betas: torch.Tensor, pose: torch.Tensor, translation: torch.Tensor, *, correctives: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Shape, pose and skin.

    betas: (B, K') with K' <= K. pose: (B, J, 3) axis-angle, parent-relative. translation: (B, 3) metres, added last.
    correctives: whether the pose correctives take part. Returns vertices (B, V, 3) and joints (B, J, 3), metres.
    """
    batch, count = betas.shape
    basis = body.shapedirs[:, :, :count].reshape(-1, count)
    vertices = body.v_template + (betas @ basis.T).reshape(batch, -1, 3)
    rest = body.joints_template + torch.einsum("bk,jck->bjc", betas, body.joint_shapedirs[:, :, :count])
    rotations = rotation_matrices(pose)
    if correctives:
        vertices = vertices + corrective_offsets(body, rotations)
    turns, places = joint_chain(rotations, rest, body.parents)
    shift = places - (turns @ rest[..., None])[..., 0]
    # One dense product blends rotation and shift of all joints; with 24 joints it beats a sparse gather.
    moves = torch.cat([turns.reshape(batch, -1, 9), shift], -1)
    blended = body.weights @ moves
    posed = (blended[..., :9].reshape(batch, -1, 3, 3) @ vertices[..., None])[..., 0] + blended[..., 9:]
    return posed + translation[:, None], places + translation[:, None]
