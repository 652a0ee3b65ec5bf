"""Which voxel feeds which: neighbour tables of a kernel of 3 x 3 x 3, and the order in which to work them off.

A table is (27, rows) int32: for every offset and row of the result the row of the input, or -1. Two are enough for
every layer here: the symmetric one of a submanifold convolution, and the pair that leads from a level to the next
coarser one and back, which strided and inverse convolution share.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import torch
from torch import Tensor

from likeness.surface.sparse.sites import CENTER, OFFSETS, Sites, coarser_shape, linear_keys, strides

#: Rows of the result that are worked on together. On a CPU their products must stay in the cache (8 MB at 32
#: channels); on a graphics card few large launches are better.
CHUNK_ROWS = {"cpu": 4096}
CHUNK_ROWS_ELSEWHERE = 65536


@dataclass(frozen=True)
class Chunk:
    """Pairs of input and result rows for results start..stop, by offset, then by result.

    counts: pairs of each offset. inputs: (M,) int32 rows of the input. results: (M,) int32, relative to start.
    order, ends: the same pairs by result: order[ends[i]:ends[i+1]] are those of result start + i.
    """

    start: int
    stop: int
    counts: tuple[int, ...]
    inputs: Tensor
    results: Tensor
    order: Tensor
    ends: Tensor


@dataclass(frozen=True)
class Plan:
    """A neighbour table ready to be worked off.

    rows, inputs: rows of the result and of the input. center: the result's own row is its input at the middle offset
    (submanifold); that pair is then in no chunk. largest: most pairs in any chunk.
    """

    rows: int
    inputs: int
    center: bool
    chunks: tuple[Chunk, ...]
    largest: int


@dataclass(frozen=True)
class Rulebook:
    """forward: from input to result. backward: from result to input. mirrored: an offset k of one is 26 - k of the
    other (submanifold), else k of both."""

    forward: Plan
    backward: Plan
    mirrored: bool

    def inverse(self) -> Rulebook:
        """The rulebook of the transposed convolution."""
        return Rulebook(self.backward, self.forward, self.mirrored)


def submanifold(sites: Sites) -> Rulebook:
    """Rulebook from sites to themselves; made once for each `Sites`."""
    if "submanifold" not in sites.cache:
        plan = _plan(submanifold_table(sites), len(sites), center=True)
        sites.cache["submanifold"] = Rulebook(plan, plan, mirrored=True)
    return sites.cache["submanifold"]  # type: ignore[return-value]


def downward(sites: Sites) -> tuple[Sites, Rulebook]:
    """The next coarser sites (kernel 3, stride 2, padding 1), which remember the finer ones, and the rulebook to them.

    Layers of the same sites share the coarser ones as long as any of them is alive: the finer sites do not keep them,
    lest the two keep each other's memory for ever.
    """
    remembered = sites.cache.get("coarser")
    coarse = remembered() if isinstance(remembered, weakref.ref) else None
    if coarse is None:
        coarse, down, up = strided_tables(sites)
        rules = Rulebook(_plan(up, len(coarse), center=False), _plan(down, len(sites), center=False), mirrored=False)
        coarse.cache["finer"] = (sites, rules)
        sites.cache["coarser"] = weakref.ref(coarse)
    return coarse, upward(coarse)[1].inverse()


def upward(sites: Sites) -> tuple[Sites, Rulebook]:
    """The finer sites that these were made from, and the rulebook to them. Raises ValueError where there are none."""
    if "finer" not in sites.cache:
        raise ValueError("an inverse convolution needs voxels that a strided convolution made")
    return sites.cache["finer"]  # type: ignore[return-value]


def submanifold_table(sites: Sites) -> Tensor:
    """(27, N) int32. Four searches serve all 26 neighbours: the three along x lie side by side in the sorted keys, and
    what is found on one side is written down for the other side too."""
    count = len(sites)
    table = torch.full((OFFSETS, count), -1, dtype=torch.int32, device=sites.device)
    rows = torch.arange(count, dtype=torch.int32, device=sites.device)
    table[CENTER] = rows
    beside = torch.nonzero(sites.keys[1:] - sites.keys[:-1] == 1).flatten()
    table[CENTER + 1, beside] = rows[beside + 1]
    table[CENTER - 1, beside + 1] = rows[beside]
    step_z, step_y = strides(sites.shape)
    # Past the end stand keys that nothing equals, so that stepping to the right needs no check.
    keys = torch.cat([sites.keys, sites.keys.new_full((3,), torch.iinfo(torch.int64).max)])
    for dz, dy in ((0, 1), (1, -1), (1, 0), (1, 1)):
        left = sites.keys + (dz * step_z + dy * step_y - 1)
        place = torch.searchsorted(keys, left)
        for dx in range(3):
            hit = keys[place] == left + dx
            offset = CENTER + 9 * dz + 3 * dy + dx - 1
            own = torch.nonzero(hit).flatten()
            other = place[own]
            table[offset, own] = other.to(torch.int32)
            table[26 - offset, other] = own.to(torch.int32)
            place = place + hit
    return table


def strided_tables(sites: Sites) -> tuple[Sites, Tensor, Tensor]:
    """Coarse sites, table from fine to coarse (27, coarse) and from coarse to fine (27, fine).

    Along one axis an even voxel 2o feeds o by the middle offset; an odd one 2o + 1 feeds o by offset 2 and o + 1 by
    offset 0.
    """
    shape = coarser_shape(sites.shape)
    zyx = sites.indices[:, 1:].to(torch.int64)
    odd = zyx & 1
    limits = torch.tensor(shape, device=sites.device)
    batch = sites.indices[:, :1].to(torch.int64)
    keys, offsets, fine = [], [], []
    for corner in range(8):
        lower = torch.tensor([corner >> 2 & 1, corner >> 1 & 1, corner & 1], device=sites.device)
        # The upper candidate is the only one of an even voxel, the lower one needs an odd voxel.
        place = torch.where(lower.bool(), zyx >> 1, zyx + 1 >> 1)
        valid = ((odd >= lower) & (place < limits)).all(1)
        rows = torch.nonzero(valid).flatten()
        tap = torch.where(lower.bool(), 2, 1 - odd)[rows]
        keys.append(linear_keys(torch.cat([batch, place], 1)[rows], shape, sites.batch_size))
        offsets.append(tap[:, 0] * 9 + tap[:, 1] * 3 + tap[:, 2])
        fine.append(rows)
    found, coarse = torch.unique(torch.cat(keys), return_inverse=True)
    result = Sites.from_keys(found, shape, sites.batch_size, 2 * sites.stride)
    offset, row = torch.cat(offsets), torch.cat(fine)
    down = torch.full((OFFSETS, len(result)), -1, dtype=torch.int32, device=sites.device)
    up = torch.full((OFFSETS, len(sites)), -1, dtype=torch.int32, device=sites.device)
    down[offset, coarse] = row.to(torch.int32)
    up[offset, row] = coarse.to(torch.int32)
    return result, down, up


def _plan(table: Tensor, inputs: int, center: bool) -> Plan:
    rows = table.shape[1]
    size = CHUNK_ROWS.get(table.device.type, CHUNK_ROWS_ELSEWHERE)
    chunks = tuple(_chunk(table[:, a : a + size], a, center) for a in range(0, rows, size))
    return Plan(rows, inputs, center, chunks, max((len(c.inputs) for c in chunks), default=0))


def _chunk(table: Tensor, start: int, center: bool) -> Chunk:
    active = table >= 0
    if center:
        active[CENTER] = False
    _, results = torch.nonzero(active, as_tuple=True)
    # The place of each pair in the order by offset, read out in the order by result.
    place = (torch.cumsum(active.flatten(), 0, dtype=torch.int32) - 1).view_as(table)
    by_result = active.T
    ends = torch.zeros(table.shape[1] + 1, dtype=torch.int32, device=table.device)
    torch.cumsum(by_result.sum(1, dtype=torch.int32), 0, dtype=torch.int32, out=ends[1:])
    return Chunk(
        start,
        start + table.shape[1],
        tuple(active.sum(1).tolist()),
        table[active],
        results.to(torch.int32),
        place.T[by_result],
        ends,
    )
