"""The energies of the body fit, each a sum of dimensionless robust squares, added to a System with its derivatives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from likeness.body.corrector import turn_to
from likeness.body.fit_cloth import Cloth
from likeness.body.fit_observe import Evidence
from likeness.body.fit_pairs import Pairs
from likeness.body.fit_points import CLOTH, PITCH, POSE, Posed
from likeness.body.fit_system import System
from likeness.body.pose_prior import LIMIT_SOFTNESS, PosePrior
from likeness.core.camera import Camera

# Bones of BlazePose whose directions in space are believed: (from, to).
BONES = np.array(
    [(11, 12), (23, 24), (11, 23), (12, 24), (11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26),
     (26, 28), (29, 31), (30, 32), (15, 19), (16, 20), (15, 17), (16, 18), (8, 7), (7, 0), (8, 0)]
)  # fmt: skip
# Radians by which a world direction of BlazePose is usually wrong.
DIRECTION_SIGMA = 0.25
# Radians by which BlazePose's world points must be pitched back, because it expects to look down at people (median
# over rendered people; spread of single pictures about it, generous because balance knows better).
WORLD_PITCH, WORLD_PITCH_SIGMA = -0.1, 0.3
# Metres by which BlazePose's image points usually miss the body's own.
POINT_SIGMA_M = 0.022
# How far inside the surface joints lie (metres), for depth readings at BlazePose's points 11..32; hands and feet ~ 0.
INSET_M = np.zeros(33, np.float32)
INSET_M[[11, 12, 13, 14, 15, 16]] = [0.06, 0.06, 0.04, 0.04, 0.025, 0.025]
INSET_M[[23, 24, 25, 26, 27, 28]] = [0.09, 0.09, 0.055, 0.055, 0.04, 0.04]
# Metres by which points may miss: outside the mask; the mask's edge; the body before a reading.
OVERFLOW_SIGMA_M, EDGE_BLUR_M, FRONT_SIGMA_M = 0.02, 0.015, 0.02
SURFACE_LIMIT = 12.0
# Joints that landmarks say little of are held straight: collars, wrists, neck and head.
HELD_JOINTS, HELD_SIGMA = (13, 14, 20, 21, 15, 12), 0.35
# Many face points say the same thing; hands are small and often hidden.
POINT_WEIGHT = np.ones(33, np.float32)
POINT_WEIGHT[:11] = 0.35
POINT_WEIGHT[17:23] = 0.4


@dataclass(frozen=True)
class LandmarkTerm:
    """BlazePose's points in the image, its directions in space, and depth readings at its points."""

    evidence: Evidence
    weight: np.ndarray
    directions: np.ndarray
    direction_weight: np.ndarray
    depth: np.ndarray
    depth_weight: np.ndarray

    @classmethod
    def of(cls, evidence: Evidence) -> LandmarkTerm:
        """Prepare the measurements. Directions are turned from the person's own line of sight to the camera's."""
        trust = evidence.trust
        turned = upright_world(evidence)
        bones = turned[BONES[:, 1]] - turned[BONES[:, 0]]
        length = np.linalg.norm(bones, axis=1, keepdims=True)
        seen = (evidence.landmark_depth > 0) & (trust > 0.5) & (np.arange(33) >= 11)
        return cls(
            evidence=evidence,
            weight=trust * POINT_WEIGHT,
            directions=bones / np.maximum(length, 1e-6),
            direction_weight=np.minimum(trust[BONES[:, 0]], trust[BONES[:, 1]]),
            depth=evidence.landmark_depth + INSET_M,
            depth_weight=seen.astype(np.float64),
        )

    def image(self, system: System, posed: Posed, weight: float = 1.0, limit: float = 9.0) -> None:
        """BlazePose's points on the body against the picture."""
        camera = self.evidence.camera
        distance = max(float(posed.marks[:, 2].mean()), 0.05)
        sigma = 1.0 + POINT_SIGMA_M * 0.5 * (camera.fx + camera.fy) / distance
        pixels, slope = projected(camera, posed.marks)
        residual = (pixels - self.evidence.uv) / sigma
        system.add(lambda: slope / sigma @ posed.mark_jacobian, residual, weight * self.weight, limit)

    def space(self, system: System, posed: Posed, weight: float = 1.0, limit: float = 9.0) -> None:
        """Directions between BlazePose's points on the body against its world points.

        BlazePose cannot see how far the camera looks down, so its guess may be pitched (radians, an unknown).
        """
        marks, pitch = posed.marks, posed.state.pitch
        bones = marks[BONES[:, 1]] - marks[BONES[:, 0]]
        length = np.maximum(np.linalg.norm(bones, axis=1), 1e-6)
        unit = bones / length[:, None]
        cosine, sine = np.cos(pitch), np.sin(pitch)
        turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
        residual = (unit - self.directions @ turn.T) / DIRECTION_SIGMA

        def jacobian() -> np.ndarray:
            across = (np.eye(3) - unit[:, :, None] * unit[:, None, :]) / length[:, None, None]
            moving = posed.mark_jacobian
            slope = across @ (moving[BONES[:, 1]] - moving[BONES[:, 0]])
            turning = np.array([[0, 0, 0], [0, -sine, -cosine], [0, cosine, -sine]])
            slope[:, :, PITCH] -= self.directions @ turning.T
            return slope / DIRECTION_SIGMA

        system.add(jacobian, residual, weight * self.direction_weight, limit)
        column = np.array([PITCH])
        system.add_some(column, np.full((1, 1), 1 / WORLD_PITCH_SIGMA), np.array([pitch / WORLD_PITCH_SIGMA]), weight)

    def reading(self, system: System, posed: Posed, sigma: float = 0.05) -> None:
        """Depth readings at BlazePose's points against the body's."""
        residual = (posed.marks[:, 2] - self.depth) / sigma
        system.add(lambda: posed.mark_jacobian[:, 2] / sigma, residual, self.depth_weight, 6.0)

    def miss_px(self, posed: Posed) -> np.ndarray:
        """(33,) pixels between BlazePose's points and the body's."""
        return np.linalg.norm(self.evidence.camera.project(posed.marks) - self.evidence.uv, axis=1)


def projected(camera: Camera, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) of points (N, 3) and their derivatives (N, 2, 3)."""
    z = np.maximum(points[:, 2], 0.05)
    x, y = points[:, 0] / z, points[:, 1] / z
    slope = np.zeros((len(points), 2, 3), points.dtype)
    slope[:, 0, 0], slope[:, 1, 1] = camera.fx / z, camera.fy / z
    slope[:, 0, 2], slope[:, 1, 2] = -camera.fx * x / z, -camera.fy * y / z
    return np.stack([x * camera.fx + camera.cx, y * camera.fy + camera.cy], axis=1), slope


def outside(evidence: Evidence, posed: Posed, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far points (N,) of the body lie outside the mask, metres (N,), and the derivatives by the points (N, 3)."""
    points = posed.vertices[rows]
    pixels, slope = projected(evidence.camera, points)
    field, step = evidence.outside, evidence.field_step
    cell = (pixels + 0.5) / step - 0.5
    height, width = field.shape
    # What leaves the picture is unknown, not outside the person.
    known = ((cell >= -0.5) & (cell <= np.array([width, height]) - 0.5)).all(axis=1)
    cell = cell.clip(0, [width - 1.001, height - 1.001])
    column, row = np.floor(cell).astype(int).T
    a, b = (cell - np.floor(cell)).T
    q = [field[row + i, column + j] for i in (0, 1) for j in (0, 1)]
    value = (q[0] * (1 - a) + q[1] * a) * (1 - b) + (q[2] * (1 - a) + q[3] * a) * b
    across = (q[1] - q[0]) * (1 - b) + (q[3] - q[2]) * b
    down = (q[2] - q[0]) * (1 - a) + (q[3] - q[1]) * a
    metres = known * np.maximum(points[:, 2], 0.05) / (0.5 * (evidence.camera.fx + evidence.camera.fy))
    pull = (across[:, None] * slope[:, 0] + down[:, None] * slope[:, 1]) / step
    return value * metres, pull * metres[:, None]


def add_overflow(system: System, evidence: Evidence, posed: Posed, rows: np.ndarray, weight: float) -> None:
    """The body stays inside the mask."""
    value, slope = outside(evidence, posed, rows)
    out = np.flatnonzero(value > 0)
    residual = value[out] / OVERFLOW_SIGMA_M
    system.add(lambda: posed.rows(rows[out], slope[out] / OVERFLOW_SIGMA_M), residual, weight / max(len(rows), 1), 25.0)


def add_edge(system: System, evidence: Evidence, posed: Posed, pairs: Pairs, cloth: Cloth, weight: float) -> None:
    """The mask's edge lies outside the body's outline by what cloth usually stands off."""
    if len(pairs.edge) == 0:
        return
    points = posed.vertices[pairs.edge]
    pixels, slope = projected(evidence.camera, points)
    normal = posed.normals[pairs.edge][:, :2]
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    scale = points[:, 2] / (0.5 * (evidence.camera.fx + evidence.camera.fy))
    away = ((pairs.edge_px - pixels) * normal).sum(axis=1) * scale
    residual, sigma, by_cloth = cloth.residual(away, pairs.edge, posed.state.cloth, EDGE_BLUR_M)
    pull = -np.einsum("na,nab->nb", normal, slope) * (scale / sigma)[:, None]
    system.add(lambda: _with_cloth(posed.rows(pairs.edge, pull), by_cloth), residual, weight / len(pairs.edge), 5.0)


def add_surface(
    system: System, evidence: Evidence, posed: Posed, pairs: Pairs, cloth: Cloth, weight: float, blur: float
) -> None:
    """Readings lie outside the body along its normal by what cloth usually stands off; blur: metres of noise.

    Readings without a partner cost as much as the worst that have one.
    """
    count = max(1, len(evidence.cloud))
    system.energy += 0.5 * weight * SURFACE_LIMIT * (count - len(pairs.surface)) / count
    if len(pairs.surface) == 0:
        return
    normals = posed.normals[pairs.surface]
    offset = ((evidence.cloud[pairs.reading] - posed.vertices[pairs.surface]) * normals).sum(axis=1)
    residual, sigma, by_cloth = cloth.residual(offset, pairs.surface, posed.state.cloth, blur)

    def jacobian() -> np.ndarray:
        return _with_cloth(posed.rows(pairs.surface, -normals / sigma[:, None]), by_cloth)

    system.add(jacobian, residual, weight / count, SURFACE_LIMIT)


def _with_cloth(rows: np.ndarray, by_cloth: np.ndarray) -> np.ndarray:
    rows[:, CLOTH] = by_cloth
    return rows


def add_front(system: System, posed: Posed, pairs: Pairs, weight: float) -> None:
    """Nothing of the body stands before what the sensor saw."""
    ahead = pairs.front_depth - posed.vertices[pairs.front][:, 2] - 0.01
    out = np.flatnonzero(ahead > 0)
    if len(out) == 0:
        return
    towards = np.tile(np.array([0, 0, -1 / FRONT_SIGMA_M]), (len(out), 1))
    residual = ahead[out] / FRONT_SIGMA_M
    system.add(lambda: posed.rows(pairs.front[out], towards), residual, weight / len(pairs.front), 25.0)


def add_prior(system: System, prior: PosePrior, posed: Posed, weight: float) -> None:
    """Poses are as people's usually are, and joints keep within their limits."""
    pose = posed.state.pose
    for mixture in prior.mixtures:
        columns = (3 * np.array(mixture.joints)[:, None] + np.arange(3)).reshape(-1)
        mirror, means = mixture.mirror.numpy(), mixture.means.numpy()
        whiteners, shares = mixture.whiteners.numpy(), mixture.log_weights.numpy()
        white = np.einsum("kij,kj->ki", whiteners, pose.reshape(-1)[columns] * mirror - means)
        cost = 0.5 * np.square(white).sum(axis=1) - shares
        best = int(cost.argmin())
        system.energy += weight * float(shares.max() - shares[best])
        system.add_some(columns, whiteners[best] * mirror, white[best], weight)
    held = (3 * np.array(HELD_JOINTS)[:, None] + np.arange(3)).reshape(-1)
    system.add_some(held, np.eye(len(held)) / HELD_SIGMA, pose.reshape(-1)[held] / HELD_SIGMA, 0.5 * weight)
    low, high = prior.lowest.numpy()[:22], prior.highest.numpy()[:22]
    over = np.maximum(pose - high, 0) - np.maximum(low - pose, 0)
    bad = np.flatnonzero(over[1:].reshape(-1)) + POSE.start
    system.add_some(bad, np.eye(len(bad)) / LIMIT_SOFTNESS, over.reshape(-1)[bad] / LIMIT_SOFTNESS, 1.0)


def add_near(system: System, posed: Posed, pose: np.ndarray, sigma: float) -> None:
    """Joints stay about where somebody turned them: pose (22, 3)."""
    away = (posed.state.pose - pose)[1:].reshape(-1) / sigma
    system.add_some(POSE, np.eye(len(away)) / sigma, away, 1.0)


def upright_world(evidence: Evidence) -> np.ndarray:
    """BlazePose's world points (33, 3) in camera axes, turned to the line of sight and pitched back upright."""
    cosine, sine = np.cos(WORLD_PITCH), np.sin(WORLD_PITCH)
    pitch = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return (evidence.world @ (view_turn(evidence) @ pitch).T).astype(np.float32)


def view_turn(evidence: Evidence) -> np.ndarray:
    """(3, 3) rotation of the optical axis to the line of sight to the person's middle."""
    torso = evidence.uv[[11, 12, 23, 24]].mean(axis=0)
    camera = evidence.camera
    sight = np.array([(torso[0] - camera.cx) / camera.fx, (torso[1] - camera.cy) / camera.fy, 1.0])
    return turn_to(sight).astype(np.float32)
