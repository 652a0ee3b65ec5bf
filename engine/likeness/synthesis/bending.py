"""A dressed person moved by the skeleton: blend skinning with the body's pose correctives, which cloth follows too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from likeness.body.model import BodyModel
from likeness.core.frames import rodrigues
from likeness.core.skinning import joint_transforms, posed_joints
from likeness.synthesis.figure import Dressed, Floats
from likeness.synthesis.limbs import PARENTS

_NEIGHBOURS = 4
# What lies on the skin moves with it; cloth this far off it no longer does.
_NEAR_M, _FAR_M = 0.03, 0.08


class Bending:
    """Skinning of one person, prepared for many poses. `index`, `weight` (B, 4): the body's joints and weights."""

    def __init__(self, dressed: Dressed, model: BodyModel, correctives: bool = True) -> None:
        """model: the body whose vertices `dressed.body` has. correctives False leaves plain linear blend skinning."""
        self.dressed = dressed
        self.index, self.weight = model.sparse_weights(4)
        self.correctives = None
        if correctives and model.correctives is not None:
            height = [float(joints[15, 1] - joints[7, 1]) for joints in (dressed.joints, model.joints_template)]
            self.correctives = model.correctives.scaled(height[0] / height[1])
            tree = cKDTree(dressed.body)
            self._follow = [_following(tree, layer.vertices) for layer in dressed.layers]

    def joints(self, pose: NDArray) -> Floats:
        """The joints (52, 3), the pelvis where it is at rest."""
        return posed_joints(pose_transforms(pose, self.dressed.joints), self.dressed.joints).astype(np.float32)

    def moved(self, pose: NDArray) -> tuple[Floats, list[Floats]]:
        """The body (B, 3) and each layer's vertices (V, 3) in a pose (52, 3), the pelvis where it is at rest."""
        moves = pose_transforms(pose, self.dressed.joints)
        body = self.dressed.body
        rest = [layer.vertices for layer in self.dressed.layers]
        if self.correctives is not None:
            offsets = self.correctives.offsets(rodrigues(np.asarray(pose, np.float64)), len(body)).astype(np.float32)
            body = body + offsets
            rest = [v + follow @ offsets for v, follow in zip(rest, self._follow, strict=True)]
        layers = self.dressed.layers
        return skinned(body, self.index, self.weight, moves), [
            skinned(v, layer.skin_joints, layer.skin_weights, moves) for v, layer in zip(rest, layers, strict=True)
        ]


def _following(tree: cKDTree, vertices: Floats) -> sparse.csr_matrix:
    """How far (V, B) the vertices go along with each vertex of the body."""
    distance, near = tree.query(vertices, k=_NEIGHBOURS, workers=1)
    share = 1 / (distance + 1e-3) ** 2
    share *= (np.clip((_FAR_M - distance[:, 0]) / (_FAR_M - _NEAR_M), 0, 1) / share.sum(1))[:, None]
    rows = np.repeat(np.arange(len(vertices)), _NEIGHBOURS)
    return sparse.csr_matrix((share.astype(np.float32).ravel(), (rows, near.ravel())), shape=(len(vertices), tree.n))


def pose_transforms(pose: NDArray, joints: NDArray) -> Floats:
    """Posed-from-rest transforms (52, 4, 4) of rest joints (52, 3); the pelvis stays where it is."""
    return joint_transforms(rodrigues(np.asarray(pose, np.float64)), np.asarray(joints, np.float64), PARENTS).astype(
        np.float32
    )


def skinned(vertices: Floats, index: NDArray, weight: Floats, moves: Floats) -> Floats:
    """Linear blend skinning: vertices (V, 3), joints and weights (V, K) of each, transforms (J, 4, 4) -> (V, 3)."""
    rows = moves[:, :3].reshape(len(moves), 12)
    blended = weight[:, :1] * rows[index[:, 0]]
    for k in range(1, index.shape[1]):
        blended += weight[:, k : k + 1] * rows[index[:, k]]
    blended = blended.reshape(-1, 3, 4)
    out: Floats = np.matmul(blended[:, :, :3], vertices[:, :, None])[:, :, 0] + blended[:, :, 3]
    return out
