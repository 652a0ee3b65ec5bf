"""What a pose costs before anything is seen: mixtures learnt from motion clips, and joint limits."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from likeness.body.weight_files import body_tensors

LEFT_ARM, RIGHT_ARM = (13, 16, 18, 20), (14, 17, 19, 21)
LIMIT_SOFTNESS = 0.1


@dataclass(frozen=True)
class Mixture:
    """Gaussians over the rotations of some joints; `mirror` (D,) of signs reads the right side as a left one."""

    joints: tuple[int, ...]
    means: torch.Tensor
    whiteners: torch.Tensor
    log_weights: torch.Tensor
    mirror: torch.Tensor

    def energy(self, pose: torch.Tensor) -> torch.Tensor:
        """Half the squared distance to the best component, its share included: pose (24, 3) -> scalar."""
        offset = pose[list(self.joints)].reshape(-1) * self.mirror - self.means
        white = torch.einsum("kij,kj->ki", self.whiteners, offset)
        return (0.5 * white.square().sum(dim=1) - self.log_weights).min() + self.log_weights.max()


@dataclass(frozen=True)
class PosePrior:
    """The learnt prior over poses (24, 3) axis-angle, the root left out."""

    mixtures: tuple[Mixture, ...]
    lowest: torch.Tensor
    highest: torch.Tensor

    def energy(self, pose: torch.Tensor) -> torch.Tensor:
        """Negative log likelihood of a pose (24, 3), zero at the best pose: scalar."""
        return torch.stack([mixture.energy(pose) for mixture in self.mixtures]).sum()

    def limit_energy(self, pose: torch.Tensor) -> torch.Tensor:
        """Squared overshoot over joint limits in units of LIMIT_SOFTNESS radians: scalar."""
        over = torch.relu(pose - self.highest) + torch.relu(self.lowest - pose)
        return 0.5 * (over[1:] / LIMIT_SOFTNESS).square().sum()

    def start(self) -> torch.Tensor:
        """A standing pose with the arms down (24, 3), the root at zero."""
        pose = torch.zeros_like(self.lowest)
        pose[16, 2], pose[17, 2] = -1.1, 1.1
        pose[18, 1], pose[19, 1] = -0.25, 0.25
        return pose


@functools.cache
def load_prior() -> PosePrior:
    """The shipped prior. Raises LikenessError("environment.weights_missing") without its file."""
    data = body_tensors("pose_prior.npz")
    plain = torch.ones(3)
    mirrored = torch.tensor([1.0, -1.0, -1.0])
    parts = [
        ("spine", data["spine_joints"].tolist(), plain),
        ("arm", LEFT_ARM, plain),
        ("arm", RIGHT_ARM, mirrored),
        ("legs", data["legs_joints"].tolist(), plain),
    ]
    mixtures = tuple(
        Mixture(
            tuple(joints),
            data[f"{group}_means"],
            data[f"{group}_whiteners"],
            data[f"{group}_log_weights"],
            signs.repeat(len(joints)),
        )
        for group, joints, signs in parts
    )
    return PosePrior(mixtures, data["lowest"], data["highest"])
