"""What cloth lies on: a moving point surface, pushed against through its nearest point's tangent plane."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from likeness.synthesis.figure import Floats, Ints, vertex_normals

_RING = 8
# Deeper than this a vertex is not taken for inside: it may be near the far side of a thin part.
_DEPTH_M = 0.06


def rings(faces: Ints, count: int) -> NDArray[np.int64]:
    """Up to 8 neighbours (count, 8) of each vertex of triangles (F, 3); short rows repeat the vertex itself."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    ends = np.unique(np.concatenate([ends, ends[:, ::-1]]), axis=0)
    start = np.searchsorted(ends[:, 0], np.arange(count))
    rank = np.arange(len(ends)) - start[ends[:, 0]]
    kept = rank < _RING
    out = np.tile(np.arange(count)[:, None], (1, _RING))
    out[ends[kept, 0], rank[kept]] = ends[kept, 1]
    return out


class Collider:
    """A surface given at key poses, and for each cloth vertex the surface point that it is held out of.

    points (K, P, 3) and faces (F, 3); gap (M,) metres for each of the M cloth vertices; group (P,) and own (M,): a
    cloth vertex only meets points of its own group.
    """

    def __init__(
        self, points: Floats, faces: Ints, gap: NDArray, group: NDArray, own: NDArray, device: str = "cpu"
    ) -> None:
        self.points = torch.as_tensor(points, dtype=torch.float32, device=device)
        normals = np.stack([vertex_normals(frame, faces) for frame in points])
        self.normals = torch.as_tensor(normals, device=device)
        self.rings = torch.as_tensor(rings(faces, points.shape[1]), device=device)
        self.gap = torch.as_tensor(np.asarray(gap, np.float32), device=device)
        self.group, self.own = np.asarray(group), np.asarray(own)
        self.nearest = torch.zeros(len(own), dtype=torch.long, device=device)
        self.here, self.facing, self.drift = self.points[0], self.normals[0], torch.zeros_like(self.points[0])

    def set_time(self, key: int, share: float, steps: int) -> None:
        """Move the surface to `share` 0..1 of the way from a key to the next, which takes `steps` steps in all."""
        after = min(key + 1, len(self.points) - 1)
        self.here = torch.lerp(self.points[key], self.points[after], share)
        self.facing = torch.lerp(self.normals[key], self.normals[after], share)
        self.drift = (self.points[after] - self.points[key]) / steps

    def search(self, place: torch.Tensor) -> None:
        """Find the nearest point of each cloth vertex (M, 3) anew."""
        points, cloth = self.here.cpu().numpy(), place.cpu().numpy()
        found = np.zeros(len(cloth), np.int64)
        for group in np.unique(self.own):
            members, choices = self.own == group, np.flatnonzero(self.group == group)
            found[members] = choices[cKDTree(points[choices]).query(cloth[members])[1]]
        self.nearest = torch.as_tensor(found, device=self.points.device)

    def slide(self, place: torch.Tensor) -> None:
        """Move each nearest point to the best of its neighbours."""
        choices = torch.cat([self.nearest[:, None], self.rings[self.nearest]], 1)
        apart = (self.here[choices] - place[:, None]).square().sum(2)
        self.nearest = choices.gather(1, apart.argmin(1, keepdim=True))[:, 0]

    def pushed(self, place: torch.Tensor, before: torch.Tensor, friction: float) -> torch.Tensor:
        """Cloth (M, 3) held out of the surface; what touches is slowed along it by `friction` 0..1."""
        normal = self.facing[self.nearest]
        height = ((place - self.here[self.nearest]) * normal).sum(1)
        depth = self.gap - height
        depth = torch.where(depth > _DEPTH_M, torch.zeros_like(depth), depth.clamp_min(0))[:, None]
        slip = place - before - self.drift[self.nearest]
        slip = slip - (slip * normal).sum(1, keepdim=True) * normal
        grip = (friction * depth / slip.norm(dim=1, keepdim=True).clamp_min(1e-9)).clamp_max(1)
        return place + depth * normal - grip * slip
