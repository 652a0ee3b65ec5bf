"""How far clothes, hair and shoes stand off the body, part by part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from likeness.body.model import BodyModel

# Metres: usual distance, and spread (one sigma) towards the body and away from it. Medians, 5 % and 90 % of true depth
# over the true body, 120 views of synthetic training people, half of them avatars of another make.
STANDOFF_M = {
    "head": (0.006, 0.008, 0.022),
    "neck": (0.006, 0.006, 0.028),
    "hand": (0.0, 0.005, 0.006),
    "foot": (0.008, 0.006, 0.012),
    "forearm": (0.010, 0.007, 0.014),
    "upper_arm": (0.012, 0.007, 0.012),
    "torso": (0.023, 0.011, 0.022),
    "thigh": (0.019, 0.009, 0.030),
    "shin": (0.017, 0.010, 0.030),
}
# Parts whose cloth is as thick or as thin together.
SHARED = (("torso", "upper_arm", "forearm"), ("thigh", "shin"))
SHARE_SIGMA = 0.5


@dataclass(frozen=True)
class Cloth:
    """Usual distance, inward and outward spread of the cloth over each point of a body: (N,) metres each.

    groups (N, 2): 1 for points that the first (trunk, arms) or the second (legs) of a fit's two shares multiplies the
    usual distance of: one person is nearly naked, another wears a coat. Neither counts for head, hands and feet.
    """

    usual: np.ndarray
    inward: np.ndarray
    outward: np.ndarray
    groups: np.ndarray

    @classmethod
    def over(cls, model: BodyModel, vertices: np.ndarray) -> Cloth:
        """Over the given vertices (N,) of a body."""
        names = [next((part for part in STANDOFF_M if name.endswith(part)), "torso") for name in model.part_names]
        table = np.array([STANDOFF_M[name] for name in names], np.float32)
        groups = np.array([[name in group for group in SHARED] for name in names], np.float32)
        chosen = model.parts[vertices]
        usual, inward, outward = table[chosen].T
        return cls(usual, inward, outward, groups[chosen])

    def residual(
        self, distance: np.ndarray, rows: np.ndarray, share: np.ndarray, blur: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Residuals (M,) of distances (M,) m from the points `rows` (M,) outwards, the sigma of each (m), and the
        residuals' derivatives by `share` (M, 2).

        share (2,): of the usual distance. blur: metres by which the distances themselves are uncertain.
        """
        usual, groups = self.usual[rows], self.groups[rows]
        beyond = distance - usual * (1 + groups @ (share - 1))
        sigma = np.sqrt(np.square(np.where(beyond > 0, self.outward[rows], self.inward[rows])) + blur * blur)
        return beyond / sigma, sigma, -groups * (usual / sigma)[:, None]
