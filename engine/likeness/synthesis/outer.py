"""The outer surface of a layered person: what a signed distance is measured to.

Clothes are open sheets over each other, so they have no inside of their own. Space counts as outside where it is seen
along a straight line from far away, in directions that cameras take (not from under the floor); all else is inside, so
that the cavity under a skirt or a sleeve is filled as a depth camera would have it (anim.md, section 9). Between voxels
the side is decided by the triangles themselves, so the surface is exact where cloth or skin is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from likeness.core.errors import LikenessError
from likeness.core.progress import Report, quiet
from likeness.synthesis.carving import seen_from_afar
from likeness.synthesis.figure import Floats, Ints, Layer, Posed, concatenated
from likeness.synthesis.lookup import places, rows
from likeness.synthesis.raster import Projected, rasterize
from likeness.synthesis.scene import Scene

VOXEL_M = 0.006
# A sheet that is free on both sides gets this many voxels of thickness, or marching cubes would tear it.
SHEET_VOXELS = 1.2
SIGHT_VIEWS, SIGHT_PIXELS = 32, 512
ISLAND_FACES = 200


@dataclass(frozen=True)
class Grid:
    """A box of voxels: node (i, j, k) lies at origin + step * (i, j, k), metres."""

    origin: NDArray[np.float64]
    step: float
    shape: tuple[int, int, int]

    def index(self, points: NDArray) -> Ints:
        """Nearest node (N, 3) of points (N, 3), held inside the box."""
        cell = np.rint((points - self.origin) / self.step)
        return np.clip(cell, 0, np.array(self.shape) - 1).astype(np.int32)

    def place(self, index: NDArray) -> Floats:
        """Points (N, 3) of nodes (N, 3)."""
        return (self.origin + self.step * index).astype(np.float32)


@dataclass(frozen=True)
class Nearest:
    """Closest points of the outer triangles. distance (N,) f32 signed, negative inside; face (N,) i32 into the soup;
    point (N, 3) f32; bary (N, 3) f32."""

    distance: Floats
    face: Ints
    point: Floats
    bary: Floats


@dataclass(frozen=True)
class OuterSurface:
    """What is outside of a person.

    vertices (V, 3), faces (F, 3): all layers as one soup, world, metres. layer (F,) into `posed.layers`. outer (G,):
    the faces that bound the outside; normal (G, 3) their outward unit normals; thin (G,) bool: outside again
    close behind them.
    solid: (grid.shape) bool, inside or on a surface.
    """

    posed: Posed
    vertices: Floats
    faces: Ints
    layer: Ints
    outer: Ints
    normal: Floats
    thin: NDArray[np.bool_]
    grid: Grid
    solid: NDArray[np.bool_]

    @cached_property
    def _samples(self) -> tuple[cKDTree, Ints]:
        """A tree over points strewn on the outer faces, less than a voxel apart, and the outer face of each."""
        points, owner = strew(self.vertices[self.faces[self.outer]], self.grid.step * 0.75)
        return cKDTree(points, balanced_tree=False, compact_nodes=False), owner

    @cached_property
    def _half_thickness(self) -> Floats:
        """Half the cloth's thickness (G,) on open sheets with space on both sides, else 0; metres."""
        layers = self.posed.layers
        half = np.array([part.thickness_m / 2 if part.sheet else 0.0 for part in layers], np.float32)
        return np.where(self.thin, half[self.layer[self.outer]], 0).astype(np.float32)

    def nearest(self, points: NDArray, candidates: int = 4) -> Nearest:
        """Closest point of the outer surface and signed distance of points (N, 3), exact on the triangles.

        The sign follows the closest triangle within a voxel of it and the carved voxels farther away.
        """
        points = np.asarray(points, np.float32)
        tree, owner = self._samples
        found = owner[tree.query(points, k=candidates)[1].reshape(len(points), candidates)]
        corners = self.vertices[self.faces[self.outer]]
        best = np.full(len(points), np.inf, np.float32)
        face, bary = np.zeros(len(points), np.int32), np.zeros((len(points), 3), np.float32)
        for k in range(candidates):
            share = closest_barycentric(points, corners[found[:, k]])
            away = np.linalg.norm(points - (corners[found[:, k]] * share[..., None]).sum(1), axis=1)
            closer = away < best
            best[closer], face[closer], bary[closer] = away[closer], found[closer, k], share[closer]
        touch = (corners[face] * bary[..., None]).sum(1)
        side = ((points - touch) * self.normal[face]).sum(1)
        deep = self.solid[tuple(self.grid.index(points).T)]
        inside = np.where(np.abs(side) < 0.25 * best, deep, side < 0)
        inside = np.where(best > 1.5 * self.grid.step, deep, inside)
        signed = np.where(inside, -best, best)
        # An open sheet with space on both sides has only the thickness that its cloth has.
        half = self._half_thickness[face]
        signed = np.where(half > 0, best - half, signed).astype(np.float32)
        return Nearest(signed, self.outer[face].astype(np.int32), touch.astype(np.float32), bary)

    def mesh(self, report: Report = quiet) -> tuple[Floats, Ints]:
        """One watertight surface: vertices (V, 3), outward faces (F, 3), metres, at the grid's resolution."""
        report(0.0, "Closing the outer surface")
        away = np.where(self.solid, -1.0, 1.0).astype(np.float32) * (2 * self.grid.step)
        every = np.ones((3, 3, 3), bool)
        band = ndimage.binary_dilation(self.solid, every) & ~ndimage.binary_erosion(self.solid, every, iterations=2)
        nodes = np.stack(np.nonzero(band), 1).astype(np.int32)
        near = self.nearest(self.grid.place(nodes))
        width = SHEET_VOXELS / 2 * self.grid.step
        thin = self.thin[np.searchsorted(self.outer, near.face)]
        thick = np.linalg.norm(self.grid.place(nodes) - near.point, axis=1) - width
        away[tuple(nodes.T)] = np.where(thin, np.minimum(near.distance, thick), near.distance)
        away = _without_steps(away, self.grid.step)
        vertices, faces, _, _ = marching_cubes(away, 0.0)
        return without_islands(self.grid.place(vertices), faces.astype(np.int32))


def outer_surface(posed: Posed, scene: Scene, voxel_m: float = VOXEL_M, report: Report = quiet) -> OuterSurface:
    """Carve away what can be seen and keep the triangles that bound it.

    scene: the person made ready for pictures; between layers closer than a voxel pictures alone tell which is the outer
    one. Raises LikenessError("input.no_surface") where nothing is left.
    """
    report(0.0, "Carving the space around the person")
    in_sight = sides_in_sight(scene)
    vertices, faces, layer = concatenated(posed.layers)
    there = np.concatenate([opaque_faces(part) for part in posed.layers])
    points, _ = strew(vertices[faces[there]], voxel_m / 2)
    low = points.min(0) - 4 * voxel_m
    shape = np.ceil((points.max(0) + 4 * voxel_m - low) / voxel_m).astype(int) + 1
    grid = Grid(low.astype(np.float64), voxel_m, (int(shape[0]), int(shape[1]), int(shape[2])))
    wall = np.zeros(grid.shape, bool)
    wall[tuple(grid.index(points).T)] = True
    report(0.3, "Carving the space around the person")
    solid = ~seen_from_afar(wall)
    outer, normal = bounding_faces(vertices, faces, _patched(faces, in_sight) & there[:, None])
    thin = _thin(vertices[faces[outer]].mean(1), normal, grid, solid)
    if not len(outer):
        raise LikenessError(
            "input.no_surface", "The synthetic person has no outer surface.", "Use another recipe or seed."
        )
    return OuterSurface(posed, vertices, faces, layer, outer, normal, thin, grid, solid)


def _without_steps(distance: Floats, step: float) -> Floats:
    """A grid of distances, smoothed where it jumps: where one layer ends over another, no triangle closes the step."""
    capped = np.clip(distance, -1.5 * step, 1.5 * step)
    jump = np.zeros(distance.shape, bool)
    for axis in range(3):
        before, after = (np.moveaxis(capped, axis, 0)[s] for s in (slice(-1), slice(1, None)))
        steep = np.abs(after - before) > 1.25 * step
        view = np.moveaxis(jump, axis, 0)
        view[:-1] |= steep
        view[1:] |= steep
    near = ndimage.binary_dilation(jump, iterations=2)
    return np.where(near, ndimage.gaussian_filter(capped, 1.2), distance)


def sides_in_sight(scene: Scene) -> NDArray[np.bool_]:
    """Whether pictures from all round, from the side and from above, show the front and the back of faces (F, 2)."""
    corner = scene.vertices[scene.faces]
    normal = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    seen = torch.zeros((len(scene.faces), 2), dtype=torch.bool, device=scene.device)
    for direction in _sight_directions():
        frame = torch.from_numpy(direction).to(scene.device)
        x, y, away = (scene.vertices @ frame.T).unbind(1)
        low_x, low_y, scale = (
            x.min(),
            y.min(),
            (SIGHT_PIXELS - 3) / max(float(x.max() - x.min()), float(y.max() - y.min())),
        )
        flat = Projected((x - low_x) * scale + 1, (y - low_y) * scale + 1, away.max() - away + 1, False)
        shown = rasterize(flat, scene.faces, SIGHT_PIXELS, SIGHT_PIXELS, cut=scene.cut, accept=scene.solid).triangle
        hit = torch.zeros(len(scene.faces), dtype=torch.bool, device=scene.device)
        hit.scatter_(0, rows(shown.reshape(-1), places(shown.reshape(-1) >= 0)), True)
        faces = places(hit)
        seen.view(-1).scatter_(0, 2 * faces + (rows(normal, faces) @ frame[2] > 0), True)
    return seen.cpu().numpy()


def _sight_directions() -> NDArray[np.float32]:
    """Frames (N, 3, 3) of views: right, down and forward as rows; forward falls by up to 60 degrees or is level."""
    turn = np.arange(SIGHT_VIEWS) * np.pi * (3 - np.sqrt(5))
    fall = np.linspace(0.1, -0.9, SIGHT_VIEWS)
    forward = np.stack([np.cos(turn) * np.sqrt(1 - fall**2), fall, np.sin(turn) * np.sqrt(1 - fall**2)], 1)
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return np.stack([right, np.cross(forward, right), forward], 1).astype(np.float32)


def opaque_faces(layer: Layer) -> NDArray[np.bool_]:
    """The faces (F,) of a layer that its cut-out texture does not leave open at their middle."""
    if layer.alpha is None:
        return np.ones(len(layer.faces), bool)
    height, width = layer.alpha.shape
    spots = np.concatenate([np.full((1, 3), 1 / 3), 0.15 + 0.55 * np.eye(3)]).astype(np.float32)
    uv = np.einsum("sc,fcd->fsd", spots, layer.corner_uvs) % 1.0
    row = np.clip(((1 - uv[..., 1]) * height).astype(int), 0, height - 1)
    column = np.clip((uv[..., 0] * width).astype(int), 0, width - 1)
    cover: NDArray[np.float64] = layer.alpha[row, column].mean(1)
    return np.asarray(cover >= 128)


def _patched(faces: Ints, in_sight: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Sides in sight (F, 2), with the faces that lie wholly among those: smaller than a pixel, or in a crease."""
    out = in_sight.copy()
    for side in range(2):
        near = np.zeros(int(faces.max(initial=0)) + 1, bool)
        near[faces[in_sight[:, side]]] = True
        out[:, side] |= near[faces].all(1) & ~in_sight.any(1)
    return out


def bounding_faces(vertices: Floats, faces: Ints, in_sight: NDArray[np.bool_]) -> tuple[Ints, Floats]:
    """Faces that are seen from outside: indices (G,) and unit normals (G, 3) on the seen side."""
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1)
    normal /= np.maximum(length, 1e-12)[:, None]
    outer = np.flatnonzero(in_sight.any(1) & (length > 1e-12)).astype(np.int32)
    flip = np.where(in_sight[outer, 0], 1.0, -1.0)[:, None]
    return outer, (normal[outer] * flip).astype(np.float32)


def _thin(centre: Floats, normal: Floats, grid: Grid, solid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the space behind faces (G,) is open again within one and a half voxels."""
    behind = [centre - reach * grid.step * normal for reach in (1.2, 1.5)]
    return np.logical_or(*(~solid[tuple(grid.index(points).T)] for points in behind))


def without_islands(vertices: Floats, faces: Ints, least: int = ISLAND_FACES) -> tuple[Floats, Ints]:
    """The mesh without closed crumbs of fewer than `least` faces, such as stray strands of hair."""
    links = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = sparse.coo_matrix((np.ones(len(links), bool), links.T), shape=(len(vertices), len(vertices)))
    _, piece = sparse.csgraph.connected_components(graph, directed=False)
    kept = np.bincount(piece[faces[:, 0]], minlength=piece.max() + 1) >= least
    faces = faces[kept[piece[faces[:, 0]]]]
    used, compact = np.unique(faces, return_inverse=True)
    return vertices[used], compact.reshape(-1, 3).astype(np.int32)


def strew(corners: Floats, spacing: float) -> tuple[Floats, Ints]:
    """Points (N, 3) on triangles (F, 3, 3), so close that nothing on these is farther than `spacing` from one, with
    owners (N,)."""
    # Half a step aside and one up to the row below.
    step = spacing / np.hypot(1.0, 0.5)
    edges = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    # The longest edge first, so that slivers get one row of points and not the square of their length.
    turn = edges.argmax(1)
    longest = edges.max(1)
    ordered = np.take_along_axis(corners, ((turn[:, None] + np.arange(3)) % 3)[:, :, None], 1)
    doubled = np.linalg.norm(np.cross(ordered[:, 1] - ordered[:, 0], ordered[:, 2] - ordered[:, 0]), axis=1)
    along = np.maximum(np.ceil(longest / step), 1).astype(int)
    across = np.maximum(np.ceil(doubled / np.maximum(longest, 1e-12) / step), 1).astype(int)
    points, owners = [], []
    for n, m in np.unique(np.stack([along, across], 1), axis=0):
        mine = np.flatnonzero((along == n) & (across == m))
        share = _strewn_shares(int(n), int(m))
        points.append((share @ ordered[mine]).reshape(-1, 3))
        owners.append(np.repeat(mine, len(share)))
    return np.concatenate(points).astype(np.float32), np.concatenate(owners).astype(np.int32)


def _strewn_shares(along: int, across: int) -> Floats:
    """Barycentrics (K, 3) in `across` rows along the first and longest edge, which has `along` points, and above it."""
    rows = []
    for row in range(across):
        # At the foot of its strip, where that is widest: both angles at the longest edge are acute.
        rise = row / across
        count = int(np.ceil(along * (1 - rise)))
        step = (np.arange(count) + 0.5) / count * (1 - rise)
        rows.append(np.stack([1 - rise - step, step, np.full(count, rise)], 1))
    return np.concatenate(rows).astype(np.float32)


def closest_barycentric(points: Floats, corners: Floats) -> Floats:
    """Barycentric coordinates (N, 3) of the point of triangles (N, 3, 3) that is closest to points (N, 3).

    Ericson, Real-Time Collision Detection, section 5.1.5: the region of the triangle decides.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap, bp, cp = b - a, c - a, points - a, points - b, points - c
    d1, d2 = (ab * ap).sum(1), (ac * ap).sum(1)
    d3, d4 = (ab * bp).sum(1), (ac * bp).sum(1)
    d5, d6 = (ab * cp).sum(1), (ac * cp).sum(1)
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    total = np.maximum(va + vb + vc, 1e-20)
    v, w = vb / total, vc / total
    out = np.stack([1 - v - w, v, w], 1)

    def put(where: NDArray[np.bool_], v_value: NDArray, w_value: NDArray) -> None:
        out[where] = np.stack([1 - v_value - w_value, v_value, w_value], 1)[where]

    zero, one = np.zeros(len(points)), np.ones(len(points))
    with np.errstate(divide="ignore", invalid="ignore"):
        along_bc = np.nan_to_num((d4 - d3) / ((d4 - d3) + (d5 - d6)))
        along_ac, along_ab = np.nan_to_num(d2 / (d2 - d6)), np.nan_to_num(d1 / (d1 - d3))
    put((va <= 0) & (d4 - d3 >= 0) & (d5 - d6 >= 0), 1 - along_bc, along_bc)
    put((vb <= 0) & (d2 >= 0) & (d6 <= 0), zero, along_ac)
    put((vc <= 0) & (d1 >= 0) & (d3 <= 0), along_ab, zero)
    put((d6 >= 0) & (d5 <= d6), zero, one)
    put((d3 >= 0) & (d4 <= d3), one, zero)
    put((d1 <= 0) & (d2 <= 0), zero, zero)
    return out.astype(np.float32)
