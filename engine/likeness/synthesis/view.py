"""A camera in the world, and the pictures that a renderer makes through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from likeness.core.camera import Camera

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class View:
    """A camera and where it stands: camera_from_world (4, 4) f64, camera space as OpenCV, world Y up."""

    camera: Camera
    camera_from_world: NDArray[np.float64]

    @property
    def eye(self) -> NDArray[np.float64]:
        """The camera's place (3,) in the world, metres."""
        return -self.camera_from_world[:3, :3].T @ self.camera_from_world[:3, 3]

    def to_camera(self, points: NDArray) -> NDArray[np.float32]:
        """World points (..., 3) in camera space."""
        return (points @ self.camera_from_world[:3, :3].T + self.camera_from_world[:3, 3]).astype(np.float32)


def look_at(camera: Camera, eye: NDArray, target: NDArray, roll_deg: float = 0.0) -> View:
    """A view from `eye` (3,) towards `target` (3,), level but for `roll_deg` (clockwise in the picture)."""
    forward = np.asarray(target, float) - np.asarray(eye, float)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cosine, sine = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    moved = np.eye(4)
    moved[:3, :3] = np.stack([cosine * right + sine * down, cosine * down - sine * right, forward])
    moved[:3, 3] = -moved[:3, :3] @ np.asarray(eye, float)
    return View(camera, moved)


@dataclass(frozen=True)
class Frame:
    """What an ideal camera sees, tensors on one device.

    color (H, W, 3) f32 linear light, backdrop included; depth (H, W) f32 m along the axis, floor and walls included,
    0 = nothing; normal (H, W, 3) f32 camera axes, smooth, of the person, 0 elsewhere; coverage (H, W) f32 0..1 of the
    person; mask (H, W) bool, the pixel's centre lies on the person; part (H, W) u8: 0 background, 1 + the body's own
    part number; kind (H, W) u8: 0 background, 1 + index in KINDS; known (H, W) bool: colour is truth; cosine (H, W) f32
    of incidence; infrared (H, W) f32 reflectivity 0..1 at 850 nm.
    """

    color: torch.Tensor
    depth: torch.Tensor
    normal: torch.Tensor
    coverage: torch.Tensor
    mask: torch.Tensor
    part: torch.Tensor
    kind: torch.Tensor
    known: torch.Tensor
    cosine: torch.Tensor
    infrared: torch.Tensor
