"""The body's points and how they move with every unknown of a fit: skinning with its Jacobian in closed form."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from likeness.body.model import BodyModel
from likeness.core.correctives import NO_CORRECTIVES, Correctives, DenseCorrectives
from likeness.core.frames import axis_angle, rodrigues
from likeness.core.hands import BODY_JOINTS, beyond_body

# Where the unknowns stand in a step (P,): the root's turn, other joints, the place, then betas, cloth, floor, pitch.
TURN, POSE, PLACE = slice(0, 3), slice(3, 3 * BODY_JOINTS), slice(3 * BODY_JOINTS, 3 * BODY_JOINTS + 3)
BETAS, CLOTH, FLOOR, PITCH = slice(PLACE.stop, -6), slice(-6, -4), slice(-4, -1), -1
# How far an unknown usually moves in a step: radians, metres, standard deviations, shares, radians (twice), metres.
TURN_STEP, POSE_STEP, PLACE_STEP_M, BETA_STEP, CLOTH_STEP, PITCH_STEP = 0.2, 0.3, 0.1, 1.0, 0.5, 0.2
FLOOR_STEP = (0.1, 0.1, 0.2)
# Share of a sole, from its end, that is its heel or its ball; cosine by which normals of soles at rest point down.
SOLE_END, SOLE_DOWN = 0.3, -0.8
# Ankle and toes of each foot.
FEET = ((7, 10), (8, 11))


@dataclass(frozen=True)
class State:
    """The unknowns of a fit.

    turn (3, 3): camera_from_rest rotation of the pelvis. pose (22, 3): axis-angle, parent-relative, the first row
    unused. translation (3,) m, added last as in Fit. betas (K,). cloth (2,): see Cloth. pitch: radians, see
    LandmarkTerm.space. floor (3,): radians, radians, metres, see fit_floor. float64.
    """

    turn: np.ndarray
    pose: np.ndarray
    translation: np.ndarray
    betas: np.ndarray
    cloth: np.ndarray = field(default_factory=lambda: np.ones(2))
    pitch: float = 0.0
    floor: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def moved(self, step: np.ndarray) -> State:
        """The state after a step (P,): the root turns about camera axes, the rest adds up."""
        pose = self.pose + np.concatenate([np.zeros(3), step[POSE]]).reshape(-1, 3)
        return State(
            rodrigues(step[TURN]) @ self.turn,
            wrapped(pose),
            self.translation + step[PLACE],
            self.betas + step[BETAS],
            (self.cloth + step[CLOTH]).clip(0.0, 3.0),
            self.pitch + float(step[PITCH]),
            self.floor + step[FLOOR],
        )

    def full_pose(self, joints: int) -> np.ndarray:
        """(J, 3) float32 axis-angle in a layout of so many joints, the root's turn first."""
        pose = np.concatenate([axis_angle(self.turn)[None], self.pose[1:]])
        return np.concatenate([pose.astype(np.float32), beyond_body(joints)])

    def finite(self) -> bool:
        """Whether no unknown ran away."""
        return all(np.isfinite(value).all() for value in (self.turn, self.pose, self.translation, self.betas))


def wrapped(pose: np.ndarray) -> np.ndarray:
    """Axis-angle (J, 3) with angles of at most half a turn."""
    angle = np.linalg.norm(pose, axis=1, keepdims=True)
    turns = np.round(angle / (2 * np.pi))
    return pose * (1 - 2 * np.pi * turns / np.maximum(angle, 1e-9))


def unknowns(betas: int) -> int:
    """P, how many unknowns a fit with so many betas has."""
    return PLACE.stop + betas + 6


def step_scale(betas: int) -> np.ndarray:
    """(P,) how far each unknown usually moves in one step."""
    return np.concatenate(
        [
            np.full(3, TURN_STEP),
            np.full(3 * BODY_JOINTS - 3, POSE_STEP),
            np.full(3, PLACE_STEP_M),
            np.full(betas, BETA_STEP),
            np.full(2, CLOTH_STEP),
            FLOOR_STEP,
            [PITCH_STEP],
        ]
    )


def left_jacobian(pose: np.ndarray) -> np.ndarray:
    """(J, 3, 3) that take a small change of axis-angle vectors (J, 3) to the rotation vector it adds on the left."""
    angle = np.linalg.norm(pose, axis=1)[:, None, None]
    x, y, z = pose.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
    small = angle < 1e-4
    safe = np.where(small, 1.0, angle)
    first = np.where(small, 0.5, (1 - np.cos(safe)) / safe**2)
    second = np.where(small, 1 / 6, (safe - np.sin(safe)) / safe**3)
    return np.eye(3) + first * cross + second * (cross @ cross)


class BodyPoints:
    """Some vertices of a body, prepared to be posed with their Jacobian again and again."""

    def __init__(self, model: BodyModel, vertices: np.ndarray, normals: np.ndarray) -> None:
        """vertices (N,): sorted vertex numbers. normals (V, 3): of the body at rest."""
        self.vertices = vertices
        self.parents = [int(p) for p in model.parents]
        self.template = model.v_template[vertices].astype(np.float32)
        self.shape = np.ascontiguousarray(model.shapedirs[vertices], np.float32)
        self.weights = np.ascontiguousarray(model.weights[vertices], np.float32)
        self.normals = normals[vertices].astype(np.float32)
        self.joints = model.joints_template.astype(np.float64)
        self.joint_shape = model.joint_shapedirs.astype(np.float64)
        self.correctives = _chosen(model.correctives or NO_CORRECTIVES, vertices)
        self.hands = rodrigues(beyond_body(len(self.parents)).astype(np.float64))
        self.below = _below(self.parents)
        self.below_weights = self.weights @ self.below
        row_of = np.full(len(model.v_template), -1)
        row_of[vertices] = np.arange(len(vertices))
        self.sole_rows = row_of[sole_vertices(model, normals)]
        self.mark_joint = model.blazepose[:, 0]
        self.mark_row = np.where(model.blazepose[:, 1] >= 0, row_of[model.blazepose[:, 1]], -1)
        self.lean_joint, self.lean = model.blazepose_lean_joint, model.blazepose_lean.astype(np.float64)

    @property
    def betas_count(self) -> int:
        """K."""
        return self.shape.shape[2]

    def posed(self, state: State) -> Posed:
        """The points in camera space at this state."""
        local = np.concatenate([rodrigues(state.pose), self.hands])
        local[0] = state.turn
        rest = self.joints + self.joint_shape @ state.betas
        turns, places = np.empty_like(local), np.empty_like(rest)
        for joint, parent in enumerate(self.parents):
            if parent < 0:
                turns[joint], places[joint] = local[joint], rest[joint] + state.translation
            else:
                turns[joint] = turns[parent] @ local[joint]
                places[joint] = turns[parent] @ (rest[joint] - rest[parent]) + places[parent]
        shaped = self.template + self.shape @ state.betas.astype(np.float32)
        shaped = shaped + self.correctives.offsets(local, len(shaped))
        shift = places - (turns @ rest[..., None])[..., 0]
        moves = np.concatenate([turns, shift[..., None]], axis=2).astype(np.float32)
        blend = (self.weights @ moves.reshape(len(moves), 12)).reshape(-1, 3, 4)
        vertices = (blend[:, :, :3] @ shaped[:, :, None])[:, :, 0] + blend[:, :, 3]
        return Posed(self, state, turns, places, moves, shaped, blend, vertices)


@dataclass(frozen=True)
class Posed:
    """A posed body and its derivatives by the step of a State; all in camera space, metres.

    turns (J, 3, 3) and places (J, 3): world rotation and place of every joint. vertices (N, 3) f32.
    moves (J, 3, 4), shaped (N, 3), blend (N, 3, 4): what skinning went through.
    """

    points: BodyPoints
    state: State
    turns: np.ndarray
    places: np.ndarray
    moves: np.ndarray
    shaped: np.ndarray
    blend: np.ndarray
    vertices: np.ndarray

    @cached_property
    def normals(self) -> np.ndarray:
        """(N, 3) f32 outward unit normals, turned with the skin."""
        turned = (self.blend[:, :, :3] @ self.points.normals[:, :, None])[:, :, 0]
        return turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-9)

    @cached_property
    def marks(self) -> np.ndarray:
        """BlazePose's points on the body (33, 3) f64."""
        b = self.points
        at_joint, at_row = self.places[np.maximum(b.mark_joint, 0)], self.vertices[np.maximum(b.mark_row, 0)]
        marks = np.where((b.mark_joint >= 0)[:, None], at_joint, at_row)
        return marks + b.lean[:, None] * (self.places[b.lean_joint] - marks)

    @cached_property
    def axes(self) -> np.ndarray:
        """(22, 3, 3): change of a joint's axis-angle -> the rotation vector about the joint, camera axes."""
        axes = left_jacobian(self.state.pose)
        axes[1:] = self.turns[[self.points.parents[j] for j in range(1, BODY_JOINTS)]] @ axes[1:]
        axes[0] = np.eye(3)
        return axes

    @cached_property
    def joint_betas(self) -> np.ndarray:
        """(J, 3, K): the joints' derivative by the betas."""
        shape, out = self.points.joint_shape, np.empty_like(self.points.joint_shape)
        for joint, parent in enumerate(self.points.parents):
            out[joint] = (
                shape[joint] if parent < 0 else out[parent] + self.turns[parent] @ (shape[joint] - shape[parent])
            )
        return out

    @cached_property
    def joint_jacobian(self) -> np.ndarray:
        """(J, 3, P) f64: the joints' derivative."""
        count, betas = len(self.places), self.points.betas_count
        out = np.zeros((count, 3, unknowns(betas)))
        # A turn w about joint j moves what hangs below by w x arm.
        arm = (self.places[:, None] - self.places[None, :BODY_JOINTS]) * self.points.below[:, :, None]
        turning = np.stack([np.cross(axis, arm) for axis in np.eye(3)], axis=-1)
        out[:, :, : PLACE.start] = np.einsum("kjcx,jxl->kcjl", turning, self.axes).reshape(count, 3, -1)
        out[:, :, PLACE] = np.eye(3)
        out[:, :, BETAS] = self.joint_betas
        return out

    @cached_property
    def mark_jacobian(self) -> np.ndarray:
        """(33, 3, P) f64: derivative of BlazePose's points."""
        b = self.points
        at_joint = self.joint_jacobian[np.maximum(b.mark_joint, 0)]
        rows = np.maximum(b.mark_row, 0)
        at_row = np.stack([self.rows(rows, np.broadcast_to(axis, (33, 3))) for axis in np.eye(3)], axis=1)
        marks = np.where((b.mark_joint >= 0)[:, None, None], at_joint, at_row)
        return marks + b.lean[:, None, None] * (self.joint_jacobian[b.lean_joint] - marks)

    def rows(self, index: np.ndarray, coefficient: np.ndarray) -> np.ndarray:
        """Derivatives (M, P) f32 of the functionals coefficient (M, 3) . vertices[index (M,)]."""
        b = self.points
        c = np.asarray(coefficient, np.float32)
        out = np.zeros((len(index), unknowns(b.betas_count)), np.float32)
        weights, shaped = b.weights[index], self.shaped[index]
        # Where each joint alone would carry the vertex, gathered over everything that hangs below a joint.
        flat = self.moves.reshape(-1, 4)
        alone = (shaped @ flat[:, :3].T + flat[:, 3]).reshape(len(index), -1, 3) * weights[:, :, None]
        gathered = np.tensordot(alone, b.below, axes=(1, 0))
        arm = gathered.transpose(0, 2, 1) - b.below_weights[index][:, :, None] * self.places[:BODY_JOINTS].astype(
            np.float32
        )
        turning = _cross(arm, c[:, None])
        axes = self.axes.astype(np.float32)
        out[:, : PLACE.start] = np.matmul(turning.transpose(1, 0, 2), axes).transpose(1, 0, 2).reshape(len(index), -1)
        out[:, PLACE] = c
        # The shape moves the vertex itself and the joints that carry it.
        back = (c[:, None] @ self.blend[index][:, :, :3])[:, 0]
        carried = (self.joint_betas - self.turns @ b.joint_shape).reshape(len(self.turns), -1)
        moved = (weights @ carried.astype(np.float32)).reshape(len(index), 3, -1)
        out[:, BETAS] = (back[:, None] @ b.shape[index])[:, 0] + (c[:, None] @ moved)[:, 0]
        return out


def sole_vertices(model: BodyModel, normals: np.ndarray) -> np.ndarray:
    """(6,) vertices that feet stand on: heel, ball inside, ball outside; left, then right. normals (V, 3) at rest."""
    carrier = model.weights.argmax(axis=1)
    found = []
    for joints in FEET:
        rows = np.flatnonzero(np.isin(carrier, joints) & (normals[:, 1] < SOLE_DOWN))
        places = model.v_template[rows].astype(np.float64)
        low, high = places[:, 2].min(), places[:, 2].max()
        behind, before = low + SOLE_END * (high - low), high - SOLE_END * (high - low)
        heel, ball = places[places[:, 2] < behind].mean(axis=0), places[places[:, 2] > before]
        middle = ball.mean(axis=0)
        aside = np.array([ball[:, 0].std(), 0.0, 0.0])
        inside = -np.sign(middle[0])
        found += [rows[np.square(places - place).sum(axis=1).argmin()]
                  for place in (heel, middle + inside * aside, middle - inside * aside)]  # fmt: skip
    return np.array(found)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a x b over the last axis; np.cross takes three times as long."""
    out = np.empty(np.broadcast_shapes(a.shape, b.shape), a.dtype)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        out[..., i] = a[..., j] * b[..., k] - a[..., k] * b[..., j]
    return out


def _below(parents: list[int]) -> np.ndarray:
    """(J, 22) f32: 1 where joint k is body joint j or hangs below it."""
    below = np.zeros((len(parents), len(parents)), np.float32)
    for joint, parent in enumerate(parents):
        below[joint, joint] = 1
        if parent >= 0:
            below[joint] += below[parent]
    return below[:, :BODY_JOINTS]


def _chosen(correctives: Correctives | DenseCorrectives, vertices: np.ndarray) -> Correctives | DenseCorrectives:
    """The correctives of some vertices (N,), sorted, which are then counted from 0."""
    if isinstance(correctives, DenseCorrectives):
        dirs = correctives.posedirs
        return DenseCorrectives(dirs.reshape(len(dirs), -1, 3)[:, vertices].reshape(len(dirs), -1))
    kept = np.isin(correctives.vertices, vertices)
    return replace(
        correctives,
        vertices=np.searchsorted(vertices, correctives.vertices[kept]),
        joints=correctives.joints[kept],
        directions=correctives.directions[kept],
    )
