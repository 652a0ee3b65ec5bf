"""A small network that reads pose, shape and its own doubt off BlazePose's points; weights/body/corrector.npz.

It has seen synthetic people of the train split with BlazePose's real mistakes, so it knows what those points usually
mean: where the camera looks down, when a bent leg is a wrong reading, where an unseen arm is likely to be. All it sees
and says is in the frame of the line of sight to the person, so neither focal length nor place in the picture matter.
Made by install/make/make_corrector.py.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from likeness.body.landmarks import Landmarks
from likeness.body.weight_files import body_tensors
from likeness.core.camera import Camera
from likeness.core.frames import axis_angle

# The root and the 21 joints that SMPL and SMPL-H share.
JOINTS = 22
SHAPES = 10
# Per point: place in the picture, world, depth, trust, whether it lies in the picture; and the person's angular size.
FEATURES = 33 * (2 + 3 + 1 + 1 + 1) + 1
WIDTH, BLOCKS, DROPOUT = 320, 2, 0.2
TRUNK = [11, 12, 23, 24]
# A point that is hardly trusted and farther outside than this share of the picture is a filler, not a reading.
FAR_OUTSIDE, UNSEEN = 0.3, 0.15
# Radians, all axes together; the network is never surer nor less sure than this.
SIGMA = (0.05, 1.5)


@dataclass(frozen=True)
class Guess:
    """What the network takes a person for.

    pose (24, 3) f32 axis-angle, the root in camera axes, hands at rest; betas (10,) f32; sigma (22,) f32 radians: how
    far each joint is usually off about each axis; swapped 0..1: how likely BlazePose has left and right exchanged.
    """

    pose: np.ndarray
    betas: np.ndarray
    sigma: np.ndarray
    swapped: float


class CorrectorNet(torch.nn.Module):
    """Residual blocks of dense layers: (B, FEATURES) -> rotations (B, 22, 3, 3), log sigma (B, 22), betas (B, 10),
    logit of left and right exchanged (B,)."""

    def __init__(self, width: int = WIDTH, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(FEATURES), requires_grad=False)
        self.spread = torch.nn.Parameter(torch.ones(FEATURES), requires_grad=False)
        self.enter = torch.nn.Linear(FEATURES, width)
        self.inner = torch.nn.ModuleList(
            torch.nn.Sequential(
                torch.nn.LayerNorm(width),
                torch.nn.Linear(width, width),
                torch.nn.GELU(),
                torch.nn.Dropout(DROPOUT),
                torch.nn.Linear(width, width),
            )
            for _ in range(blocks)
        )
        self.leave = torch.nn.Linear(width, JOINTS * 7 + SHAPES + 1)

    def scaled(self, features: torch.Tensor) -> torch.Tensor:
        """Features of like size."""
        # What is not known is taken for the mean, as dropout has taught.
        return torch.nan_to_num((features - self.mean) / self.spread, nan=0.0).clamp(-5.0, 5.0)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """See the class."""
        # What lies far outside everything learnt says no more than its direction.
        hidden = self.enter(torch.nn.functional.dropout(self.scaled(features), 0.5 * DROPOUT, self.training))
        for block in self.inner:
            hidden = hidden + block(hidden)
        out = self.leave(torch.nn.functional.gelu(hidden))
        six, sigma, betas, swapped = out.split([JOINTS * 6, JOINTS, SHAPES, 1], dim=1)
        low, high = np.log(SIGMA[0]), np.log(SIGMA[1])
        return from_six(six.reshape(-1, JOINTS, 6)), low + (high - low) * torch.sigmoid(sigma), betas, swapped[:, 0]


def from_six(six: torch.Tensor) -> torch.Tensor:
    """Rotations (..., 3, 3) whose first two columns are six numbers (..., 6), made orthonormal (Zhou et al. 2019)."""
    first = torch.nn.functional.normalize(six[..., :3], dim=-1)
    second = six[..., 3:] - first * (first * six[..., 3:]).sum(-1, keepdim=True)
    second = torch.nn.functional.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def sight_turn(points: np.ndarray, camera: Camera) -> np.ndarray:
    """(3, 3) rotation of the optical axis to the line of sight to the middle of the trunk; points (33, 2) px."""
    middle = points[TRUNK].mean(axis=0)
    return turn_to(np.array([(middle[0] - camera.cx) / camera.fx, (middle[1] - camera.cy) / camera.fy, 1.0]))


def turn_to(sight: np.ndarray) -> np.ndarray:
    """(3, 3) least rotation of the optical axis to a line of sight (3,) before the camera."""
    sight = sight / np.linalg.norm(sight)
    across = np.array([-sight[1], sight[0], 0.0])
    k = np.array([[0, -across[2], across[1]], [across[2], 0, -across[0]], [-across[1], across[0], 0]])
    return np.asarray(np.eye(3) + k + k @ k / (1 + sight[2]))


def describe(tangent: np.ndarray, world: np.ndarray, depth: np.ndarray, trust: np.ndarray, inside: np.ndarray) \
        -> np.ndarray:  # fmt: skip
    """The network's input (..., FEATURES) f32.

    tangent (..., 33, 2): x / z and y / z seen along the line of sight; world (..., 33, 3) m as BlazePose says them;
    depth (..., 33): BlazePose's, in the unit of tangent; trust (..., 33) 0..1; inside (..., 33): in the picture. Points
    of which nothing is known are nan, trunk excepted.
    """
    middle = tangent[..., TRUNK, :].mean(axis=-2, keepdims=True)
    scale = np.sqrt(np.nanmean(np.square(tangent - middle).sum(axis=-1), axis=-1))[..., None, None] + 1e-6
    flat = (*tangent.shape[:-2], -1)
    parts = (
        ((tangent - middle) / scale).reshape(flat),
        world.reshape(flat),
        depth / scale[..., 0],
        trust,
        inside.astype(np.float64),
        np.log(scale[..., 0]),
    )
    return np.concatenate(parts, axis=-1).astype(np.float32)


def seen_along(landmarks: Landmarks, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The network's input (FEATURES,) for a person, and the turn (3, 3) of the sight's frame to the camera's."""
    points = landmarks.points.astype(np.float64)
    turn = sight_turn(points, camera)
    rays = np.concatenate([(points - [camera.cx, camera.cy]) / [camera.fx, camera.fy], np.ones((33, 1))], axis=1) @ turn
    tangent = rays[:, :2] / np.maximum(rays[:, 2:], 0.1)
    inside = np.all((points > -2) & (points < np.array([camera.width + 1, camera.height + 1])), axis=1)
    trust = landmarks.visibility * landmarks.presence
    size = np.array([camera.width, camera.height])
    beyond = np.any(np.abs(points / size - 0.5) > 0.5 + FAR_OUTSIDE, axis=1)
    unknown = beyond & (trust < UNSEEN) & ~np.isin(np.arange(33), TRUNK)

    def known(values: np.ndarray) -> np.ndarray:
        return np.where(unknown.reshape(-1, *[1] * (values.ndim - 1)), np.nan, values)

    return describe(known(tangent), known(landmarks.world), known(landmarks.depth_z / camera.fx), trust, inside), turn


@functools.cache
def load_corrector() -> CorrectorNet:
    """The shipped network. Raises LikenessError("environment.weights_missing") without its file."""
    net = CorrectorNet()
    net.load_state_dict(body_tensors("corrector.npz"))
    return net.eval()


def correct(landmarks: Landmarks, camera: Camera) -> Guess:
    """What the network takes a person for, as one camera sees them."""
    features, turn = seen_along(landmarks, camera)
    with torch.no_grad():
        rotations, sigma, betas, swapped = load_corrector()(torch.from_numpy(features)[None])
    turned = rotations[0].double().numpy()
    turned[0] = turn @ turned[0]
    pose = np.zeros((24, 3), np.float32)
    pose[:JOINTS] = axis_angle(turned)
    return Guess(
        pose,
        betas[0].numpy(),
        sigma[0].exp().numpy() / np.sqrt(3.0).astype(np.float32),
        float(torch.sigmoid(swapped[0])),
    )
