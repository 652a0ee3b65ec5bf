"""Posed layers put in order again, cloth outside the body and outer garments outside inner ones; what still pokes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from likeness.synthesis.cloth import edges_of
from likeness.synthesis.figure import Floats, Ints, Layer, Posed, vertex_normals
from likeness.synthesis.hang import region_of, strongest_joint
from likeness.synthesis.raster import project, rasterize
from likeness.synthesis.view import View

GAP_M = 0.003
# At rest an inner point counts as covered when outer cloth is within this reach outwards, and this little beside it.
_COVER_M, _BESIDE_M = 0.05, 0.012
# This close to a hem or an opening what is inside may be seen.
_HEM_M = 0.015
# What is deeper in than this is on the far side of something, not sunk in.
_DEPTH_M = 0.07
_PIERCE_M = 0.015
# Forearms and hands meet the cloth of trunk and legs; how thick they are, and how far sleeves stand off them.
_ELBOWS, _ARM_M, _ARM_GAP_M = 18, 0.045, 0.006
_ROUNDS, _SMOOTHINGS = 3, 6
_WORN = ("cloth", "shoe", "hat", "bag")


@dataclass(frozen=True)
class _Shell:
    """Samples of a surface: vertices, then face centres. points, normals (N, 3), region (N,) of the skeleton."""

    points: Floats
    normals: Floats
    region: NDArray[np.int64]
    _parts: dict[int, tuple[NDArray[np.int64], cKDTree]] = field(default_factory=dict)

    def part(self, region: int) -> tuple[NDArray[np.int64], cKDTree]:
        """The samples of a region and a tree over them, built once."""
        if region not in self._parts:
            choices = np.flatnonzero(self.region == region)
            self._parts[region] = choices, cKDTree(self.points[choices])
        return self._parts[region]

    @classmethod
    def of(cls, vertices: Floats, faces: Ints, region: NDArray[np.int64]) -> _Shell:
        normals = vertex_normals(vertices, faces)
        across = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
        return cls(
            np.concatenate([vertices, vertices[faces].mean(1)]),
            np.concatenate([normals, across]).astype(np.float32),
            np.concatenate([region, region[faces[:, 0]]]),
        )

    def lacking(self, points: Floats, region: NDArray[np.int64], gap: NDArray) -> Floats:
        """Moves (M, 3) that bring points (M, 3) to `gap` (M,) metres outside; each meets only its own region."""
        out = np.zeros_like(points)
        for number in np.unique(region):
            rows, (choices, tree) = np.flatnonzero(region == number), self.part(int(number))
            if not len(choices):
                continue
            distance, found = tree.query(points[rows], workers=1)
            near = choices[found]
            normal = self.normals[near]
            height = ((points[rows] - self.points[near]) * normal).sum(1)
            short = np.where(distance < _DEPTH_M, np.clip(gap[rows] - height, 0, None), 0)
            out[rows] = normal * short[:, None]
        return out


def untangled(
    layers: Sequence[Layer], vertices: Sequence[Floats], body: Floats, body_faces: Ints, body_joint: NDArray
) -> list[Floats]:
    """Vertices of all layers with cloth outside the body and outer garments outside inner ones.

    layers: at rest, for what covers what; vertices: their posed (V, 3). body (B, 3) posed, body_faces (F, 3),
    body_joint (B,): the strongest joint of each vertex. Skin is drawn in under cloth that covers it at rest.
    """
    out = [np.array(v, np.float32) for v in vertices]
    regions = [region_of(strongest_joint(layer.skin_joints, layer.skin_weights)) for layer in layers]
    order = sorted((n for n, layer in enumerate(layers) if layer.kind in _WORN), key=lambda n: layers[n].order)
    skin = _Shell.of(body, body_faces, region_of(body_joint))
    lower_arms = _Shell.of(body, body_faces, (body_joint >= _ELBOWS).astype(np.int64))
    for number in order:
        if layers[number].kind == "cloth":
            out[number] = _beside_arms(layers[number], out[number], regions[number], lower_arms)
            out[number] = _pushed_out(layers[number], out[number], regions[number], skin, GAP_M)
    for place, number in enumerate(order):
        outer = layers[number]
        if outer.kind != "cloth":
            continue
        inside = [n for n, layer in enumerate(layers) if layer.kind == "skin"] + order[:place]
        for inner in inside:
            _draw_in(layers[inner], outer, out, inner, number, skin, regions)
        for inner in order[:place]:
            shell = _Shell.of(out[inner], layers[inner].faces, regions[inner])
            out[number] = _pushed_out(outer, out[number], regions[number], shell, 0.5 * GAP_M, reach=0.03)
    return out


def _pushed_out(
    layer: Layer, vertices: Floats, region: NDArray[np.int64], shell: _Shell, gap: float, reach: float = _DEPTH_M
) -> Floats:
    """A garment moved out of a shell, the move spread smoothly over it."""
    spread = _spreading(layer)
    room = np.full(len(vertices), gap)
    for _ in range(_ROUNDS):
        move = shell.lacking(vertices, region, room)
        size = np.linalg.norm(move, axis=1, keepdims=True)
        move, size = np.where(size < reach, move, 0), np.where(size < reach, size, 0)
        if float(size.max(initial=0)) < 2e-4:
            break
        vertices = (vertices + _faded(move, spread)).astype(np.float32)
    return vertices


def _beside_arms(layer: Layer, vertices: Floats, region: NDArray[np.int64], arms: _Shell) -> Floats:
    """A garment moved inwards where a forearm or hand beside the body runs through it. arms: region 1 is those."""
    (trunk, trunk_tree), (forearm, tree) = arms.part(0), arms.part(1)
    touched = region == 0
    spread = _spreading(layer)
    for _ in range(_ROUNDS):
        distance, near = tree.query(vertices, distance_upper_bound=_ARM_M, workers=1)
        rows = np.flatnonzero(touched & np.isfinite(distance))
        if not len(rows):
            break
        point, normal = arms.points[forearm[near[rows]]], arms.normals[forearm[near[rows]]]
        lacking = _ARM_GAP_M - ((vertices[rows] - point) * normal).sum(1)
        rows, normal, lacking = rows[lacking > 0], normal[lacking > 0], lacking[lacking > 0]
        if not len(rows):
            break
        inner = arms.points[trunk[trunk_tree.query(vertices[rows], workers=1)[1]]] - vertices[rows]
        room = np.linalg.norm(inner, axis=1)
        inner /= np.maximum(room, 1e-6)[:, None]
        # On the outer side of the arm the way in leads through it: a step there, and another look.
        facing = (inner * normal).sum(1)
        step = np.where(facing > 0.3, lacking / np.maximum(facing, 0.3), 0.5 * _ARM_M)
        move = np.zeros_like(vertices)
        move[rows] = inner * np.minimum(step, np.maximum(room - GAP_M, 0))[:, None]
        vertices = (vertices + _faded(move, spread)).astype(np.float32)
    return vertices


def _faded(move: Floats, spread: sparse.csr_matrix) -> Floats:
    """Moves (V, 3) in full where they are needed, fading around."""
    size = np.linalg.norm(move, axis=1, keepdims=True)
    smooth = move
    for _ in range(_SMOOTHINGS):
        smooth = spread @ smooth
        smooth = np.where(np.linalg.norm(smooth, axis=1, keepdims=True) > size, smooth, move)
    return smooth


def _spreading(layer: Layer) -> sparse.csr_matrix:
    """Mean over each vertex and its neighbours (V, V)."""
    edges, _ = edges_of(layer.faces)
    count = len(layer.vertices)
    ends = np.concatenate([edges, edges[:, ::-1], np.repeat(np.arange(count), 2).reshape(-1, 2)])
    graph = sparse.csr_matrix((np.ones(len(ends), np.float32), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return sparse.diags_array((1 / np.asarray(graph.sum(1)).ravel()).astype(np.float32)) @ graph


def _draw_in(
    inner: Layer,
    outer: Layer,
    out: list[Floats],
    inside: int,
    outside: int,
    skin: _Shell,
    regions: list[NDArray[np.int64]],
) -> None:
    """Move what an outer garment covers at rest under it, in place; cloth stays outside the body meanwhile."""
    under = covered(inner.vertices, vertex_normals(inner.vertices, inner.faces), outer)
    cover, own = out[outside], out[inside]
    normals = vertex_normals(cover, outer.faces)
    distance, near = cKDTree(cover).query(own, workers=1)
    height = ((own - cover[near]) * normals[near]).sum(1)
    # A knee under a skirt is far from it at rest, but pierces it the way it faces; a hand lies on it and does not.
    along = (vertex_normals(own, inner.faces) * normals[near]).sum(1) > 0.5
    hem = np.isin(near, _border(outer.faces))
    pierces = along & ~hem & (np.abs(height) < _PIERCE_M) & (distance < 2 * _PIERCE_M) & (regions[inside] == 0)
    rows = np.flatnonzero((under & (distance < _DEPTH_M)) | pierces)
    sink = np.clip(height[rows] + 0.5 * GAP_M, 0, None)
    moved = own[rows] - normals[near[rows]] * sink[:, None]
    if inner.kind == "cloth":
        moved += skin.lacking(moved, regions[inside][rows], np.full(len(rows), 0.4 * GAP_M))
    own[rows] = moved


def covered(points: Floats, normals: Floats, outer: Layer) -> NDArray[np.bool_]:
    """Which inner points (N, 3) with normals (N, 3) lie under an outer layer, both at rest."""
    shell = _Shell.of(outer.vertices, outer.faces, np.zeros(len(outer.vertices), np.int64))
    over = shell.points
    distance, near = cKDTree(over).query(points, k=6, distance_upper_bound=_COVER_M, workers=1)
    found = np.isfinite(distance)
    offset = over[np.where(found, near, 0)] - points[:, None]
    along = (offset * normals[:, None]).sum(2)
    beside = np.linalg.norm(offset - along[..., None] * normals[:, None], axis=2)
    close = (along > -0.006) & (beside < _BESIDE_M + 0.25 * np.clip(along, 0, None))
    # What is on the outer side of it already, as a collar laid over a coat, is meant to be.
    inside = (offset[:, 0] * shell.normals[np.where(found, near, 0)[:, 0]]).sum(1) > 0
    under: NDArray[np.bool_] = (found & close).any(1) & inside
    hem = outer.vertices[_border(outer.faces)]
    if len(hem):
        under &= cKDTree(hem).query(points, workers=1)[0] > _HEM_M
    return under


def _border(faces: Ints) -> NDArray[np.int64]:
    """Vertices on open edges."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    _, first, count = np.unique(edges @ np.array([1 << 32, 1]), return_index=True, return_counts=True)
    return np.unique(edges[first[count == 1]])


def hidden_faces(posed: Posed) -> NDArray[np.bool_]:
    """Faces of all layers, one after the other, that poke through: covered at rest by an outer garment, and posed
    outside of that garment within `_COVER_M` of it."""
    rest, moved = posed.dressed.layers, posed.layers
    out = []
    for inner, now in zip(rest, moved, strict=True):
        poke = np.zeros(len(inner.faces), bool)
        if inner.kind in ("skin", "cloth", "shoe"):
            center = inner.vertices[inner.faces].mean(1)
            normals = vertex_normals(inner.vertices, inner.faces)[inner.faces].mean(1)
            place = now.vertices[now.faces].mean(1)
            for outer, cover in zip(rest, moved, strict=True):
                if outer.kind == "cloth" and outer.order > inner.order:
                    under = covered(center, normals, outer)
                    poke |= under & _outside(place, cover)
        out.append(poke)
    return np.concatenate(out)


def _outside(points: Floats, cover: Layer) -> NDArray[np.bool_]:
    shell = _Shell.of(cover.vertices, cover.faces, np.zeros(len(cover.vertices), np.int64))
    distance, near = cKDTree(shell.points).query(points, workers=1)
    height = ((points - shell.points[near]) * shell.normals[near]).sum(1)
    return np.asarray((height > 0) & (distance < _COVER_M))


def poke_share(posed: Posed, views: Sequence[View], device: str = "cpu") -> float:
    """Share 0..1 of the person's visible pixels at which something that a garment covers at rest pokes through it.

    A picture's pixel counts when the face it sees was covered at rest and lies outside its cover now; skin that is
    seen through an opening (under a lifted skirt) does not.
    """
    starts = np.cumsum([0, *(len(layer.vertices) for layer in posed.layers)])
    vertices = np.concatenate([layer.vertices for layer in posed.layers])
    faces = np.concatenate([layer.faces + start for layer, start in zip(posed.layers, starts, strict=False)])
    poke = torch.as_tensor(hidden_faces(posed), device=device)
    points = torch.as_tensor(vertices, device=device)
    triangles = torch.as_tensor(faces.astype(np.int64), device=device)
    bad, all_ = 0, 0
    for view in views:
        seen = rasterize(project(points, [view]), triangles, view.camera.height, view.camera.width).triangle[0]
        person = seen >= 0
        bad += int(poke[seen[person]].sum())
        all_ += int(person.sum())
    return bad / max(all_, 1)
