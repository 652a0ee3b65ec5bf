"""The zero level of a signed field, coarse to fine: only cells that may hold the surface are looked at twice.

anim.md, sections 5 and 8f. A cell is dropped when the field at its middle exceeds what a field of the given steepness
could lose on the way to its corners; the observed cloud and the body model keep cells that a thin part crosses. Where
the surface still leaves the kept cells, it is followed, so the mesh is closed whatever the field does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likeness.core.errors import LikenessError
from likeness.core.progress import Report, quiet

from .extract_clean import NEAR_M, without_islands
from .extract_cubes import CORNERS, Marched, march

Field = Callable[[Tensor], Tensor]
# Whether anything can lie within a radius in metres of points (N, 3): (N,) bool.
Near = Callable[[Tensor, float], Tensor]

# How often each level is divided; the first has START cells along a side.
START = 64
DIVISIONS = {128: (2,), 256: (2, 2), 384: (3, 2), 512: (2, 2, 2)}
# The sheet's margin over the steepness. At the last level, where the surface is followed anyway, none is needed.
SAFETY, LAST_SAFETY = 1.2, 1.0
CHUNK = 65_536
# A person's surface crosses about 80 000 blocks of two cells at 512; a field that needs so many more is noise.
MOST_BLOCKS = 800_000
# A gradient measured across a cell that a thin part's both sides cross is too small, and its step too long.
LEAST_SLOPE = 0.9


@dataclass(frozen=True)
class Box:
    """A cube in which the surface lies: its lowest corner (3,) and its side, metres."""

    low: tuple[float, float, float]
    side: float


@dataclass(frozen=True)
class Extracted:
    """vertices (V, 3) f32 metres; faces (F, 3) i32 outwards; queries: how often the field was asked for a point."""

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    queries: int


@dataclass
class _Asked:
    """The field, asked in chunks and counted."""

    field: Field
    device: torch.device
    chunk: int
    queries: int = 0

    def __call__(self, points: Tensor) -> Tensor:
        self.queries += len(points)
        with torch.no_grad():
            parts = [self.field(part).reshape(-1).float() for part in points.split(self.chunk)]
        return torch.cat(parts) if parts else torch.zeros(0, device=self.device)


@dataclass
class _Grid:
    """Cells and nodes of a box as numbers; cell or node (i, j, k) of a level of `size` cells."""

    box: Box
    device: torch.device
    low: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.low = torch.tensor(self.box.low, dtype=torch.float32, device=self.device)

    def middles(self, cells: Tensor, size: int) -> Tensor:
        """Points (N, 3) in the middle of cells (N, 3)."""
        return self.low + (cells.float() + 0.5) * (self.box.side / size)

    def nodes(self, nodes: Tensor, size: int) -> Tensor:
        """Points (N, 3) of nodes (N, 3)."""
        return self.low + nodes.float() * (self.box.side / size)

    def cells_of(self, points: Tensor, size: int) -> Tensor:
        """Numbers of the cells that hold points (N, 3); points outside the box have none."""
        cells = torch.floor((points - self.low) * (size / self.box.side)).long()
        return pack(cells[((cells >= 0) & (cells < size)).all(1)], size)


def extract(
    field: Field,
    box: Box,
    resolution: int = 512,
    *,
    lipschitz: float = 1.0,
    seeds: NDArray | None = None,
    near: Near | None = None,
    newton: int = 1,
    device: torch.device | str = "cpu",
    chunk: int = CHUNK,
    keep_all: bool = False,
    near_m: float = NEAR_M,
    report: Report = quiet,
) -> Extracted:
    """The closed surface where `field` is zero.

    field: points (N, 3) f32 metres on `device` -> (N,), negative inside. resolution: cells along the box, one of
    DIVISIONS. lipschitz: most that the field changes a metre, 99.9th percentile. seeds (S, 3): points where surface is
    sure (measured points, the fitted body). near: rules space out without asking the field (`Silhouette`). newton:
    steps that move vertices onto the zero level, a query each. keep_all: leave islands and bubbles in; near_m: see
    `without_islands`.
    A surface that meets the box's side is closed there. Raises LikenessError("surface.empty") where there is none and
    "surface.formless" where it is everywhere.
    """
    if resolution not in DIVISIONS:
        raise ValueError(f"resolution must be one of {tuple(DIVISIONS)}, not {resolution}")
    where = torch.device(device)
    asked, grid = _Asked(field, where, chunk), _Grid(box, where)
    sure = None if seeds is None else torch.from_numpy(np.ascontiguousarray(seeds, np.float32)).to(where)
    report(0.0, "Finding the surface")
    blocks = _blocks(asked, grid, resolution, lipschitz, sure, near)
    report(0.3, "Measuring the surface")
    numbers, nodes, values = _followed(asked, grid, blocks, resolution)
    report(0.8, "Drawing the surface")
    found = march(_cells(numbers), values, nodes)
    if not len(found.faces):
        raise LikenessError("surface.empty", "The network found no surface.", "Check depth and mask of the capture.")
    vertices = _projected(asked, grid, found, resolution, newton, lipschitz)
    points, faces = vertices.cpu().numpy(), found.faces.cpu().numpy().astype(np.int32)
    if not keep_all:
        points, faces = without_islands(points, faces, seeds, box.side / resolution, near_m)
    report(1.0, "Surface found")
    return Extracted(points, faces, asked.queries)


def from_numpy(function: Callable[[NDArray], NDArray]) -> Field:
    """A field of NumPy arrays as one of tensors."""
    return lambda points: torch.from_numpy(np.asarray(function(points.cpu().numpy()), np.float32)).to(points.device)


def pack(cells: Tensor, size: int) -> Tensor:
    """(N, 3) places as (N,) i64 numbers on a grid with `size` places a side."""
    return (cells[:, 0] * size + cells[:, 1]) * size + cells[:, 2]


def unpack(numbers: Tensor, size: int) -> Tensor:
    """The places (N, 3) i64 of numbers (N,)."""
    return torch.stack([numbers // (size * size), numbers // size % size, numbers % size], 1)


def _blocks(
    asked: _Asked, grid: _Grid, resolution: int, lipschitz: float, sure: Tensor | None, near: Near | None
) -> Tensor:
    """Numbers (B,) sorted of the cells at half the resolution that may hold the surface."""
    divisions = DIVISIONS[resolution]
    size, numbers = START, torch.arange(START**3, device=grid.device)
    for level in range(len(divisions)):
        cells = unpack(numbers, size)
        reach = 3**0.5 / 2 * grid.box.side / size
        if near is not None:
            cells = cells[near(grid.middles(cells, size), reach)]
        margin = lipschitz * (SAFETY if level + 1 < len(divisions) else LAST_SAFETY)
        cells = cells[asked(grid.middles(cells, size)).abs() <= margin * reach]
        if level == 0:
            # Thin parts may hide between the middles of coarse cells; their neighbours cost little here.
            cells = _neighbours(cells, size)
        kept = pack(cells, size)
        if sure is not None:
            kept = torch.cat([kept, grid.cells_of(sure, size)])
        numbers = torch.unique(kept)
        _not_too_many(len(numbers))
        if level + 1 < len(divisions):
            numbers, size = _divided(numbers, size, divisions[level]), size * divisions[level]
    return numbers


def _neighbours(cells: Tensor, size: int) -> Tensor:
    """Cells and those that share a side with them, some of them twice."""
    steps = torch.eye(3, dtype=torch.long, device=cells.device)
    around = torch.cat([torch.zeros_like(steps[:1]), steps, -steps])
    grown = (cells[:, None] + around).reshape(-1, 3)
    return grown[((grown >= 0) & (grown < size)).all(1)]


def _divided(numbers: Tensor, size: int, by: int) -> Tensor:
    steps = torch.tensor(list(product(range(by), repeat=3)), device=numbers.device)
    return pack((unpack(numbers, size)[:, None] * by + steps).reshape(-1, 3), size * by)


def _followed(asked: _Asked, grid: _Grid, blocks: Tensor, resolution: int) -> tuple[Tensor, Tensor, Tensor]:
    """Field at the nodes of blocks of 2 x 2 x 2 cells, and of those that the surface runs on into.

    Returns (B, 27) i64 numbers of each block's nodes, (N, 3) i64 places of the nodes and (N,) f32 values.
    """
    half, side = resolution // 2, resolution + 1
    keys, numbers = torch.unique(_block_nodes(blocks, half, side), return_inverse=True)
    values = _at_nodes(asked, grid, keys, resolution)
    every, main = blocks, (keys, values)
    more = _run_on(blocks, every, values[numbers] < 0, half)
    while len(more):
        _not_too_many(len(every))
        every = torch.cat([every, more])
        # Only what is new is looked at; of its nodes those of the first blocks are known.
        fresh, local = torch.unique(_block_nodes(more, half, side), return_inverse=True)
        place = torch.searchsorted(main[0], fresh).clamp(max=len(main[0]) - 1)
        known = main[0][place] == fresh
        found = main[1][place]
        found[~known] = _at_nodes(asked, grid, fresh[~known], resolution)
        keys, values = torch.cat([keys, fresh]), torch.cat([values, found])
        more = _run_on(more, every, found[local] < 0, half)
    if len(every) > len(blocks):
        unique, number = torch.unique(keys, return_inverse=True)
        keys, values = unique, torch.empty_like(values[: len(unique)]).scatter_(0, number, values)
        numbers = torch.searchsorted(keys, _block_nodes(every, half, side))
    return numbers, unpack(keys, side), values


def _at_nodes(asked: _Asked, grid: _Grid, keys: Tensor, resolution: int) -> Tensor:
    """Field (N,) at numbered nodes. Those on the box's sides count as outside, so that the surface ends there."""
    places = unpack(keys, resolution + 1)
    values = asked(grid.nodes(places, resolution))
    rim = ((places == 0) | (places == resolution)).any(1)
    return torch.where(rim, values.clamp(min=1e-6), values)


def _not_too_many(count: int) -> None:
    if count > MOST_BLOCKS:
        raise LikenessError(
            "surface.formless",
            "The network's answer has no clear surface.",
            "Check depth and mask of the capture; if they are right, restore the network's weights.",
        )


def _block_nodes(blocks: Tensor, half: int, side: int) -> Tensor:
    steps = torch.tensor(list(product(range(3), repeat=3)), device=blocks.device)
    places = unpack(blocks, half)[:, None] * 2 + steps
    return pack(places.reshape(-1, 3), side).view(-1, 27)


def _run_on(blocks: Tensor, every: Tensor, inside: Tensor, half: int) -> Tensor:
    """Numbers of blocks not in `every` beyond a side at which the surface leaves a block; inside (B, 27) at nodes."""
    cube = inside.view(-1, 3, 3, 3)
    out = []
    for axis, end in product(range(3), (0, 2)):
        side = cube.select(axis + 1, end).flatten(1)
        cells = unpack(blocks[side.any(1) & ~side.all(1)], half)
        cells[:, axis] += 1 if end else -1
        out.append(pack(cells[(cells[:, axis] >= 0) & (cells[:, axis] < half)], half))
    beyond = torch.unique(torch.cat(out))
    return beyond[~torch.isin(beyond, every)]


def _cells(numbers: Tensor) -> Tensor:
    """Nodes (8 B, 8) of the cells of blocks whose nodes are (B, 27)."""
    cube = numbers.view(-1, 3, 3, 3)
    parts = []
    for i, j, k in CORNERS:
        parts.append(cube[:, i : i + 2, j : j + 2, k : k + 2].reshape(-1, 8))
    return torch.stack(parts, 2).reshape(-1, 8)


def _projected(asked: _Asked, grid: _Grid, found: Marched, resolution: int, steps: int, lipschitz: float) -> Tensor:
    """Vertices (V, 3) in metres, moved along the gradient onto the zero level, by at most half a cell in all."""
    step = grid.box.side / resolution
    start = grid.low + found.vertices * step
    slope = found.gradient.norm(dim=1, keepdim=True) / step
    direction = found.gradient / step / slope.clamp(min=1e-9) / slope.clamp(min=LEAST_SLOPE * lipschitz)
    moved = start
    for _ in range(steps):
        shift = moved - asked(moved)[:, None] * direction - start
        length = shift.norm(dim=1, keepdim=True)
        moved = start + shift * (0.5 * step / length.clamp(min=1e-12)).clamp(max=1.0)
    return moved
