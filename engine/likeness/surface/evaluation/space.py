"""Space that a surface fills and should not: what distances alone reward (limbs fused with what is behind them)."""

from __future__ import annotations

import igl
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import euler_number

from .distance import Floats, Mask, Mesh, point_to_surface

# Free space is judged this near the person: there it parts arm from trunk and leg from leg.
NEAR_M = 0.10
# Handles narrower than two such cells (strands of hair, collars, a hand's folds) are no matter of pose.
CELL_M = 0.010


def inside(mesh: Mesh, points: NDArray) -> Mask:
    """(N,) bool: points (N, 3) about which the mesh winds more than half; defined for open meshes as well."""
    winding = igl.fast_winding_number(mesh.vertices, mesh.faces, np.ascontiguousarray(points, np.float64))
    return np.asarray(winding > 0.5)


def free_points(truth: Mesh, count: int = 40_000, seed: int = 0, near_m: float = NEAR_M) -> Floats:
    """At most `count` points (N, 3), evenly spread over the space outside a closed true surface and within `near_m`."""
    rng = np.random.default_rng(seed)
    low, high = truth.vertices.min(axis=0) - near_m, truth.vertices.max(axis=0) + near_m
    found: list[Floats] = []
    # A person's shell is a sixth or more of its box.
    for _ in range(12):
        points = rng.uniform(low, high, (count, 3))
        points = points[point_to_surface(points, truth.vertices, truth.faces) < near_m]
        found.append(points[~inside(truth, points)])
        if sum(map(len, found)) >= count:
            break
    return np.concatenate(found)[:count]


def filled(surface: Mesh, free: Floats) -> float:
    """Share of free points (N, 3) that a surface encloses, 0 to 1."""
    return float(inside(surface, free).mean()) if len(free) else 0.0


def handles(mesh: Mesh, cell_m: float = CELL_M) -> int:
    """How many holes go through the body that a mesh encloses: an arm akimbo makes one.

    Counted on voxels of `cell_m` after closing gaps up to two of them (first Betti number by Euler's formula).
    """
    solid = voxels(mesh, cell_m)
    cube = np.ones((3, 3, 3), bool)
    solid = ndimage.binary_closing(np.pad(solid, 3), cube)
    pieces = ndimage.label(solid, cube)[1]
    cavities = ndimage.label(~solid)[1] - 1
    return int(pieces + cavities - euler_number(solid, connectivity=3))


def voxels(mesh: Mesh, cell_m: float) -> Mask:
    """(X, Y, Z) bool: nodes of a grid over the mesh's box that lie inside it."""
    low, high = mesh.vertices.min(axis=0) - cell_m, mesh.vertices.max(axis=0) + cell_m
    axes = [np.arange(a, b + cell_m, cell_m) for a, b in zip(low, high, strict=True)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return inside(mesh, nodes.reshape(-1, 3)).reshape(nodes.shape[:3])
