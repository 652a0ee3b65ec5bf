"""Marching cubes on scattered cells: closed, manifold, consistently turned meshes, in torch on any device.

The table is derived here, not listed: on each face of a cell the crossings are joined so that the inside stays
connected (thin cloth has no holes), which both cells at that face do alike; the loops that arise are cut into triangles
without a diagonal that lies in a face, so no two cells ever draw the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from torch import Tensor

# Corner number = 4 i + 2 j + k for the corner at (i, j, k) of a cell.
CORNERS = tuple(product((0, 1), repeat=3))
EDGES = tuple((a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b) in (1, 2, 4))
# Vertices keep this share of an edge away from its ends, so that no triangle has two equal corners.
END = 1e-3


@dataclass(frozen=True)
class Marched:
    """vertices (V, 3) f32 in steps of the grid; faces (F, 3) i64 turned to where the field is positive; gradient (V, 3)
    of the field around each vertex, a step of the grid as unit."""

    vertices: Tensor
    faces: Tensor
    gradient: Tensor


def march(corners: Tensor, values: Tensor, place: Tensor) -> Marched:
    """The zero level of a field that is negative inside.

    corners: (C, 8) i64 node numbers of each cell, ordered as CORNERS. values: (N,) f32 field at the nodes. place:
    (N, 3) their integer places. Cells that share a node must name it by the same number.
    """
    inside = values[corners] < 0
    case = (inside.long() << torch.arange(8, device=values.device)).sum(1)
    active = (case > 0) & (case < 255)
    corners, case = corners[active], case[active]
    counts, triangles = (torch.from_numpy(array).to(values.device) for array in table())
    ends = torch.tensor(EDGES, device=values.device)
    first, second = corners[:, ends[:, 0]], corners[:, ends[:, 1]]
    crossing = (values[first] < 0) != (values[second] < 0)
    axis = torch.tensor([(4, 2, 1).index(b - a) for a, b in EDGES], device=values.device)
    key = (first * 3 + axis)[crossing]
    unique, number = torch.unique(key, return_inverse=True)
    vertex_of = torch.full(crossing.shape, -1, dtype=torch.long, device=values.device)
    vertex_of[crossing] = number
    vertices = _on_edges(unique, _second_node(first, second, crossing, number, len(unique)), values, place)
    rows, slots = torch.nonzero(
        torch.arange(triangles.shape[1], device=values.device) < counts[case][:, None], as_tuple=True
    )
    faces = torch.gather(vertex_of[rows], 1, triangles[case[rows], slots])
    return Marched(vertices, faces, _gradient(values[corners], crossing, number, len(unique)))


def _second_node(first: Tensor, second: Tensor, crossing: Tensor, number: Tensor, count: int) -> Tensor:
    """The far end (V,) of each vertex's edge."""
    out = torch.empty(count, dtype=torch.long, device=first.device)
    out[number] = second[crossing]
    return out


def _on_edges(key: Tensor, far: Tensor, values: Tensor, place: Tensor) -> Tensor:
    near = key // 3
    a, b = values[near].double(), values[far].double()
    share = (a / (a - b)).clamp(END, 1 - END)[:, None]
    return (place[near] * (1 - share) + place[far] * share).float()


def _gradient(values: Tensor, crossing: Tensor, number: Tensor, count: int) -> Tensor:
    """Mean over the cells around each vertex of the field's differences across the cell."""
    cube = values.view(-1, 2, 2, 2)
    slope = torch.stack([(cube.select(d, 1) - cube.select(d, 0)).flatten(1).mean(1) for d in (1, 2, 3)], 1)
    total = torch.zeros((count, 3), device=values.device)
    total.index_add_(0, number, slope[:, None].expand(-1, len(EDGES), -1)[crossing])
    shares = torch.bincount(number, minlength=count)
    return total / shares[:, None]


@lru_cache(maxsize=1)
def table() -> tuple[np.ndarray, np.ndarray]:
    """For each of the 256 cases (bit n set: corner n is inside): how many triangles (256,) i64, and their edges
    (256, T, 3) i64 as numbers into EDGES, padded with 0."""
    found = [[t for loop in loops(case) for t in cut(loop)] for case in range(256)]
    counts = np.array([len(t) for t in found])
    triangles = np.zeros((256, int(counts.max()), 3), np.int64)
    for case, mine in enumerate(found):
        triangles[case, : len(mine)] = np.array(mine, np.int64).reshape(-1, 3)
    return counts, triangles


@lru_cache(maxsize=1)
def _rings() -> tuple[tuple[int, ...], ...]:
    """The corners of each face of a cell, anticlockwise as seen from outside."""
    out = []
    for axis, side in product(range(3), (0, 1)):
        ring = []
        for a, b in ((0, 0), (1, 0), (1, 1), (0, 1)):
            corner = [0, 0, 0]
            corner[axis], corner[(axis + 1) % 3], corner[(axis + 2) % 3] = side, a, b
            ring.append(CORNERS.index((corner[0], corner[1], corner[2])))
        out.append(tuple(ring if side else ring[::-1]))
    return tuple(out)


def _edge(a: int, b: int) -> int:
    return EDGES.index((min(a, b), max(a, b)))


def loops(case: int) -> list[list[int]]:
    """The closed lines, as edges of the cell, along which the surface of a case leaves the cell."""
    after: dict[int, int] = {}
    for ring in _rings():
        crossings = []
        for a, b in zip(ring, ring[1:] + ring[:1], strict=True):
            if (case >> a & 1) != (case >> b & 1):
                crossings.append((_edge(a, b), bool(case >> a & 1)))
        # Around the face: from where it leaves the inside to where it next enters it, past the outer corner between.
        for n, (edge, leaves) in enumerate(crossings):
            if leaves:
                after[crossings[(n + 1) % len(crossings)][0]] = edge
    out: list[list[int]] = []
    while after:
        edge = next(iter(after))
        line = []
        while edge in after:
            line.append(edge)
            edge = after.pop(edge)
        out.append(line)
    return out


def cut(loop: list[int]) -> list[tuple[int, int, int]]:
    """Triangles of a loop of edges none of whose diagonals lies in a face of the cell."""

    def within(start: int, end: int) -> list[tuple[int, int, int]] | None:
        if end - start < 2:
            return []
        for apex in range(start + 1, end):
            if all(b - a < 2 or not _in_one_face(loop[a], loop[b]) for a, b in ((start, apex), (apex, end))):
                left, right = within(start, apex), within(apex, end)
                if left is not None and right is not None:
                    return [*left, *right, (loop[start], loop[apex], loop[end])]
        return None

    found = within(0, len(loop) - 1)
    assert found is not None, "every loop of a cell can be cut"
    return found


def _in_one_face(first: int, second: int) -> bool:
    corners = {*EDGES[first], *EDGES[second]}
    return any(corners <= set(ring) for ring in _rings())
