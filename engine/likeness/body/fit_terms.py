"""The energies of the body fit, each a sum of dimensionless robust squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from likeness.body.fit_observe import Evidence

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
# Many face points say the same thing; hands are small and often hidden.
POINT_WEIGHT = np.ones(33, np.float32)
POINT_WEIGHT[:11] = 0.35
POINT_WEIGHT[17:23] = 0.4


def robust(squared: torch.Tensor, limit: float) -> torch.Tensor:
    """Geman-McClure: like `squared` near zero, never more than `limit`."""
    return squared / (1.0 + squared / limit)


@dataclass(frozen=True)
class LandmarkTerm:
    """BlazePose's points in the image, its directions in space, and depth readings at its points."""

    focal: torch.Tensor
    center: torch.Tensor
    uv: torch.Tensor
    weight: torch.Tensor
    directions: torch.Tensor
    direction_weight: torch.Tensor
    depth: torch.Tensor
    depth_weight: torch.Tensor

    @classmethod
    def of(cls, evidence: Evidence) -> LandmarkTerm:
        """Prepare the measurements. Directions are turned from the person's own line of sight to the camera's."""
        trust = evidence.trust
        turned = upright_world(evidence)
        bones = turned[BONES[:, 1]] - turned[BONES[:, 0]]
        length = np.linalg.norm(bones, axis=1, keepdims=True)
        sure = np.minimum(trust[BONES[:, 0]], trust[BONES[:, 1]])
        camera = evidence.camera
        seen = (evidence.landmark_depth > 0) & (trust > 0.5) & (np.arange(33) >= 11)
        return cls(
            focal=torch.tensor([camera.fx, camera.fy], dtype=torch.float32),
            center=torch.tensor([camera.cx, camera.cy], dtype=torch.float32),
            uv=torch.from_numpy(evidence.uv),
            weight=torch.from_numpy(trust * POINT_WEIGHT),
            directions=torch.from_numpy((bones / np.maximum(length, 1e-6)).astype(np.float32)),
            direction_weight=torch.from_numpy(sure.astype(np.float32)),
            depth=torch.from_numpy(evidence.landmark_depth + INSET_M),
            depth_weight=torch.from_numpy(seen.astype(np.float32)),
        )

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Points (N, 3) m to pixels (N, 2)."""
        return points[:, :2] / points[:, 2:].clamp(min=0.05) * self.focal + self.center

    def image(self, points: torch.Tensor, limit: float = 9.0) -> torch.Tensor:
        """BlazePose's points on the body (33, 3) against the picture: scalar."""
        distance = points[:, 2].detach().clamp(min=0.05).mean()
        sigma = 1.0 + POINT_SIGMA_M * self.focal.mean() / distance
        squared = ((self.project(points) - self.uv) / sigma).square().sum(dim=1)
        return 0.5 * (self.weight * robust(squared, limit)).sum()

    def space(self, points: torch.Tensor, pitch: torch.Tensor, limit: float = 9.0) -> torch.Tensor:
        """Directions between BlazePose's points on the body (33, 3) against its world points: scalar.

        pitch: scalar, radians; BlazePose cannot see how far the camera looks down, so its guess may be turned.
        """
        bones = points[BONES[:, 1]] - points[BONES[:, 0]]
        unit = bones / bones.norm(dim=1, keepdim=True).clamp(min=1e-6)
        cosine, sine = torch.cos(pitch), torch.sin(pitch)
        x, y, z = self.directions.unbind(dim=1)
        seen = torch.stack([x, cosine * y - sine * z, sine * y + cosine * z], dim=1)
        squared = ((unit - seen) / DIRECTION_SIGMA).square().sum(dim=1)
        bend = (pitch / WORLD_PITCH_SIGMA).square()
        return 0.5 * (self.direction_weight * robust(squared, limit)).sum() + 0.5 * bend

    def reading(self, points: torch.Tensor, sigma: float = 0.05) -> torch.Tensor:
        """Depth readings at BlazePose's points against the body's (33, 3): scalar."""
        squared = ((points[:, 2] - self.depth) / sigma).square()
        return 0.5 * (self.depth_weight * robust(squared, 6.0)).sum()


@dataclass(frozen=True)
class OutlineTerm:
    """The body stays inside the mask: a lookup in the distance field, differentiable along it."""

    field: torch.Tensor
    step: float
    focal: float

    @classmethod
    def of(cls, evidence: Evidence) -> OutlineTerm:
        """Prepare the field."""
        return cls(
            torch.from_numpy(evidence.outside)[None, None],
            evidence.field_step,
            0.5 * (evidence.camera.fx + evidence.camera.fy),
        )

    def overflow(self, pixels: torch.Tensor, depth: torch.Tensor, sigma: float, limit: float) -> torch.Tensor:
        """Mean robust square of the metres by which points (pixels (N, 2), depth (N,)) lie outside the mask: scalar."""
        rows, columns = self.field.shape[2:]
        cell = (pixels + 0.5) / self.step - 0.5
        grid = torch.stack([(cell[:, 0] * 2 + 1) / columns - 1, (cell[:, 1] * 2 + 1) / rows - 1], dim=-1)
        outside = torch.nn.functional.grid_sample(
            self.field, grid[None, None], mode="bilinear", padding_mode="border", align_corners=False
        )[0, 0, 0]
        # What leaves the picture is unknown, not outside the person.
        known = (grid.detach().abs() <= 1.0).all(dim=1)
        metres = outside * known * depth.detach() / self.focal
        return 0.5 * robust((metres / sigma).square(), limit).mean()


def surface_term(
    offset: torch.Tensor, outward: torch.Tensor, inward_sigma: float, limit: float, weight: torch.Tensor
) -> torch.Tensor:
    """Mean robust square of signed distances cloud minus body along the body's normal (N,): scalar.

    Cloth lies outside the body, so a positive distance costs by `outward` (N,) m, a negative one by `inward_sigma`.
    """
    sigma = torch.where(offset > 0, outward, torch.full_like(outward, inward_sigma))
    return 0.5 * (weight * robust((offset / sigma).square(), limit)).mean()


def balance(
    spread: torch.Tensor, joints: torch.Tensor, up: torch.Tensor, sigma: float = 0.06, limit: float = 6.0
) -> torch.Tensor:
    """How far the body's middle is in front of or behind the feet that carry it: scalar.

    spread (N, 3): points spread over the body; joints (24, 3); up (3,). Only the direction that a picture does not show
    is judged; a body that falls sideways in the picture is running or jumping and is let go.
    """
    feet = joints[[7, 8, 10, 11]]
    carry = torch.softmax(-(feet.detach() @ up) / 0.06, dim=0)
    offset = spread.mean(dim=0) - (carry[:, None] * feet).sum(dim=0)
    offset = offset - up * (offset @ up)
    steady = torch.exp(-(offset[0].detach() / 0.15).square())
    return 0.5 * steady * robust((offset[2] / sigma).square(), limit)


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
    sight /= np.linalg.norm(sight)
    v, cosine = np.array([-sight[1], sight[0], 0.0]), sight[2]
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return (np.eye(3) + k + k @ k / (1 + cosine)).astype(np.float32)
