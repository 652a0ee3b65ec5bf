"""The unknowns of the body fit, their minimisation, and the pairing of body and capture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from likeness.body.fit_observe import Evidence
from likeness.body.lbs import BodyTensors, lbs, rotation_matrices, with_landmarks
from likeness.body.model import BodyModel
from likeness.core.frames import axis_angle
from likeness.core.hands import BODY_JOINTS, beyond_body
from scipy.spatial import cKDTree

# Metres that clothing, hair and shoes usually stand off the body, by part.
STANDOFF_M = {"head": 0.02, "neck": 0.015, "hand": 0.01, "foot": 0.02, "forearm": 0.02, "torso": 0.03}
STANDOFF_ELSE_M = 0.025


# One step of an unknown changes the energy about as much as one step of any other; in plain metres and radians place
# and pose are a thousand times stiffer than shape, and L-BFGS never gets to the shape.
TURN_STEP, PLACE_STEP_M, POSE_STEP, PITCH_STEP = 0.03, 0.02, 0.1, 0.2


@dataclass
class Unknowns:
    """What is fitted, as leaves counted in steps: turn (3,), place (3,), pose (24, 3), betas (K,), pitch ().

    root (3, 3): camera_from_rest that the turn is added to. See `turn`, `translation`, `pose` and `pitch` for units.
    """

    root: torch.Tensor
    turn_steps: torch.Tensor
    place_steps: torch.Tensor
    pose_steps: torch.Tensor
    betas: torch.Tensor
    pitch_steps: torch.Tensor

    @classmethod
    def at(cls, root: np.ndarray, pose: torch.Tensor, betas: torch.Tensor) -> Unknowns:
        """Start values with the pelvis at the camera; all but `root` become leaves that can be minimised."""
        return cls(
            torch.as_tensor(root, dtype=torch.float32),
            torch.zeros(3, requires_grad=True),
            torch.zeros(3, requires_grad=True),
            (pose.float() / POSE_STEP).requires_grad_(True),
            betas.clone().float().requires_grad_(True),
            torch.zeros((), requires_grad=True),
        )

    @property
    def turn(self) -> torch.Tensor:
        """(3,) rotation vector in camera axes on top of `root`, radians."""
        return self.turn_steps * TURN_STEP

    @property
    def translation(self) -> torch.Tensor:
        """(3,) metres, camera space."""
        return self.place_steps * PLACE_STEP_M

    @property
    def pose(self) -> torch.Tensor:
        """(24, 3) axis-angle; the first row means nothing."""
        return self.pose_steps * POSE_STEP

    @property
    def pitch(self) -> torch.Tensor:
        """Scalar, radians, see LandmarkTerm.space."""
        return self.pitch_steps * PITCH_STEP

    def move_to(self, translation: np.ndarray) -> None:
        """Set the translation (3,) m."""
        with torch.no_grad():
            self.place_steps.copy_(torch.as_tensor(translation, dtype=torch.float32) / PLACE_STEP_M)

    def body(self, tensors: BodyTensors) -> tuple[torch.Tensor, torch.Tensor]:
        """Vertices (V, 3) and joints (J, 3) in camera space."""
        free = self.pose[1:BODY_JOINTS]
        # Hands stay relaxed: BlazePose does not resolve fingers.
        still = torch.from_numpy(beyond_body(len(tensors.parents)))
        # The root rotates last, outside the chain, so that its unknown stays small and far from a half turn.
        pose = torch.cat([torch.zeros(1, 3), free, still])
        vertices, joints = lbs(tensors, self.betas[None], pose[None], torch.zeros(1, 3))
        rotation = rotation_matrices(self.turn) @ self.root
        pelvis = joints[0, 0]
        place = pelvis + self.translation
        return (vertices[0] - pelvis) @ rotation.T + place, (joints[0] - pelvis) @ rotation.T + place

    def full_pose(self, joints: int) -> np.ndarray:
        """(J, 3) axis-angle in a layout of so many joints, with the root in camera axes."""
        rotation = (rotation_matrices(self.turn) @ self.root).detach().double().numpy()
        pose = self.pose.detach().double().numpy().copy()
        pose[0] = axis_angle(rotation)
        return np.concatenate([pose[:BODY_JOINTS], beyond_body(joints)]).astype(np.float32)

    @property
    def leaves(self) -> list[torch.Tensor]:
        """Everything that is minimised."""
        return [self.turn_steps, self.place_steps, self.pose_steps, self.betas, self.pitch_steps]

    def finite(self) -> bool:
        """Whether no unknown ran away."""
        return all(bool(torch.isfinite(leaf).all()) for leaf in self.leaves)


def minimise(
    energy: Callable[[], torch.Tensor], leaves: list[torch.Tensor], steps: int, tick: Callable[[], None]
) -> float:
    """L-BFGS with a line search on `leaves`; returns the last energy. `tick` is called at every evaluation."""
    solver = torch.optim.LBFGS(
        leaves, max_iter=steps, max_eval=steps * 2, history_size=30, line_search_fn="strong_wolfe",
        tolerance_grad=1e-4, tolerance_change=1e-6,
    )  # fmt: skip
    before = [leaf.detach().clone() for leaf in leaves]
    last = [float("inf")]

    def closure() -> torch.Tensor:
        tick()
        solver.zero_grad()
        value = energy()
        value.backward()
        last[0] = float(value.detach())
        return value

    solver.step(closure)
    if not all(bool(torch.isfinite(leaf).all()) for leaf in leaves):
        with torch.no_grad():
            for leaf, old in zip(leaves, before, strict=True):
                leaf.copy_(old)
    return last[0]


@dataclass(frozen=True)
class Pairs:
    """Which parts of the body meet which parts of the capture; rows count within `tensors`.

    surface_rows (N,), cloud (N, 3), normals (N, 3) of the body, outward_sigma (N,), weight (N,); front_rows (F,),
    front_depth (F,): visible body points and the reading behind their pixel; edge_rows (M,), edge_px (M, 2): outline of
    the body and the mask's edge; all_rows (A,): a spread over the body for the outline term.
    """

    tensors: BodyTensors
    surface_rows: torch.Tensor
    cloud: torch.Tensor
    normals: torch.Tensor
    outward_sigma: torch.Tensor
    weight: torch.Tensor
    front_rows: torch.Tensor
    front_depth: torch.Tensor
    edge_rows: torch.Tensor
    edge_px: torch.Tensor
    all_rows: torch.Tensor


class Matcher:
    """Pairs a posed body with a capture's evidence, again and again as the body moves."""

    def __init__(self, model: BodyModel, evidence: Evidence, depth: np.ndarray | None, spread: int = 900) -> None:
        self.model = model
        self.evidence = evidence
        self.depth = depth
        self.full = BodyTensors.from_model(model)
        self.spread = spread_vertices(model, spread)
        names = np.array(model.part_names)[model.parts]
        self.standoff = np.full(len(names), STANDOFF_ELSE_M, np.float32)
        for part, metres in STANDOFF_M.items():
            self.standoff[np.char.find(names, part) >= 0] = metres
        # Lids, lips and fingers have thousands of vertices that say nothing about the body's shape.
        self.cloud_tree_rows = spread_vertices(model, 4500)

    def pair(self, unknowns: Unknowns, reach: float) -> Pairs:
        """Pairs for the present body; depth readings farther than `reach` metres from it are left alone."""
        with torch.no_grad():
            vertices = unknowns.body(self.full)[0].numpy()
        normals = vertex_normals(vertices, self.model.faces)
        rows, cloud_index = self._surface(vertices, normals, reach)
        front, front_depth = self._front(vertices, normals)
        edge, edge_px = self._edge(vertices, normals)
        chosen = with_landmarks(self.model, np.concatenate([rows, front, edge, self.spread]))
        where = np.full(len(vertices), -1)
        where[chosen] = np.arange(len(chosen))

        def index(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(where[values])

        return Pairs(
            tensors=BodyTensors.from_model(self.model, chosen),
            surface_rows=index(rows),
            cloud=torch.from_numpy(self.evidence.cloud[cloud_index]),
            normals=torch.from_numpy(normals[rows]),
            outward_sigma=torch.from_numpy(self.standoff[rows]),
            weight=torch.ones(len(rows)),
            front_rows=index(front),
            front_depth=torch.from_numpy(front_depth),
            edge_rows=index(edge),
            edge_px=torch.from_numpy(edge_px),
            all_rows=index(self.spread),
        )

    def _surface(self, vertices: np.ndarray, normals: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
        """Body vertex of every depth reading that has one near: vertex numbers (N,), reading numbers (N,)."""
        cloud = self.evidence.cloud
        nothing = np.zeros(0, np.int64)
        if not self.evidence.has_depth:
            return nothing, nothing
        rows = self.cloud_tree_rows
        rows = rows[(normals[rows] * vertices[rows]).sum(axis=1) < 0]
        if len(rows) == 0:
            return nothing, nothing
        # Six dimensions: a place counts as near only if it also faces the same way.
        bend = 0.06
        tree = cKDTree(np.concatenate([vertices[rows], bend * normals[rows]], axis=1))
        _, nearest = tree.query(np.concatenate([cloud, bend * self.evidence.normals], axis=1))
        found = rows[nearest]
        apart = np.linalg.norm(vertices[found] - cloud, axis=1)
        agree = (normals[found] * self.evidence.normals).sum(axis=1) > 0.3
        keep = np.flatnonzero((apart < reach) & agree)
        return found[keep], keep

    def _front(self, vertices: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Spread vertices that face the camera and have a reading at their pixel: numbers (F,), readings (F,)."""
        if self.depth is None or not self.evidence.has_depth:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        rows = self.spread[(normals[self.spread] * vertices[self.spread]).sum(axis=1) < 0]
        pixel = np.round(self.evidence.camera.project(vertices[rows])).astype(int)
        height, width = self.depth.shape
        inside = ((pixel >= 0) & (pixel < [width, height])).all(axis=1)
        pixel = pixel.clip(0, [width - 1, height - 1])
        reading = np.where(inside, self.depth[pixel[:, 1], pixel[:, 0]], 0.0).astype(np.float32)
        keep = reading > 0
        return rows[keep], reading[keep]

    def _edge(self, vertices: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Body vertices on its outline that the mask's edge points ask for: numbers (M,), edge points (M, 2) px."""
        contour = self.evidence.contour
        rows = self.cloud_tree_rows
        sight = vertices[rows] / np.linalg.norm(vertices[rows], axis=1, keepdims=True)
        rows = rows[np.abs((normals[rows] * sight).sum(axis=1)) < 0.3]
        if len(contour) == 0 or len(rows) == 0:
            return np.zeros(0, np.int64), np.zeros((0, 2), np.float32)
        _, nearest = cKDTree(self.evidence.camera.project(vertices[rows])).query(contour)
        return rows[nearest], contour


def spread_vertices(model: BodyModel, count: int) -> np.ndarray:
    """About `count` vertices spread evenly over the body by area: sorted vertex numbers."""
    corners = model.v_template[model.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    share = np.bincount(model.faces.ravel(), np.repeat(area, 3), minlength=len(model.v_template))
    # Systematic sampling along the vertex order: even, and the same every time.
    ends = np.cumsum(share / share.sum() * count)
    return np.flatnonzero(np.diff(np.floor(ends), prepend=0.0) > 0)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Outward unit normals (V, 3) float32 of a mesh, weighted by area."""
    corners = vertices[faces]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack(
        [np.bincount(faces.ravel(), np.repeat(face[:, axis], 3), minlength=len(vertices)) for axis in range(3)], axis=1
    )
    return (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)).astype(np.float32)
