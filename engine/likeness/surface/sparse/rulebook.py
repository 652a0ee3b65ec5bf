"""Which voxel feeds which: the pairs of a kernel of 3 x 3 x 3, and the order in which to work them off.

Two sets of pairs are enough for every layer here: the symmetric one of a submanifold convolution, and the one between
a level and the next coarser one, which strided and inverse convolution share.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from likeness.surface.sparse.sites import CENTER, OFFSETS, Sites, coarser_shape, linear_keys, strides

#: Rows of the result that are worked on together. On a CPU their products must stay in the cache (8 MB at 32
#: channels); on a graphics card few large launches are better.
CHUNK_ROWS = {"cpu": 4096}
CHUNK_ROWS_ELSEWHERE = 65536
#: A table of so many cells for each key takes as long as sorting the keys.
TABLE_SHARE = 64


@dataclass(frozen=True)
class Pairs:
    """Rows of the result and of the input, (M,) int64, by offset; within an offset both ascend, and each occurs once.

    counts: pairs of each of the 27 offsets.
    """

    results: Tensor
    inputs: Tensor
    counts: tuple[int, ...]

    @classmethod
    def joined(cls, found: Sequence[tuple[Tensor, Tensor]]) -> Pairs:
        """From results and inputs of each offset."""
        results, inputs = zip(*found)
        return cls(torch.cat(results), torch.cat(inputs), tuple(len(rows) for rows in results))

    def transposed(self) -> Pairs:
        return Pairs(self.inputs, self.results, self.counts)


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
    """All pairs, ready to be worked off by offset (`chunks`) or by result (`table`), each made when it is asked for.

    rows, inputs: rows of the result and of the input. center: the result's own row is its input at the middle offset
    (submanifold); that pair is not among `pairs`.
    """

    pairs: Pairs
    rows: int
    inputs: int
    center: bool

    @property
    def share(self) -> float:
        """Pairs there are of all that could be."""
        return (len(self.pairs.results) + self.center * self.rows) / max(OFFSETS * self.rows, 1)

    @cached_property
    def chunks(self) -> tuple[Chunk, ...]:
        return _chunks(self.pairs, self.rows)

    @cached_property
    def largest(self) -> int:
        """Most pairs in any chunk."""
        return max((len(chunk.inputs) for chunk in self.chunks), default=0)

    @cached_property
    def table(self) -> Tensor:
        """(rows, 27) int32: the input's row at each offset, `inputs` where there is none."""
        device = self.pairs.results.device
        offsets = torch.arange(OFFSETS, device=device)
        cells = self.pairs.results * OFFSETS + offsets.repeat_interleave(torch.tensor(self.pairs.counts, device=device))
        table = torch.full((self.rows, OFFSETS), self.inputs, dtype=torch.int32, device=device)
        table.view(-1).index_copy_(0, cells, self.pairs.inputs.to(torch.int32))
        if self.center:
            table[:, CENTER] = torch.arange(self.rows, dtype=torch.int32, device=device)
        return table


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
        plan = Plan(submanifold_pairs(sites), len(sites), len(sites), center=True)
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
        coarse, pairs = strided_pairs(sites)
        up = Plan(pairs.transposed(), len(sites), len(coarse), center=False)
        rules = Rulebook(up, Plan(pairs, len(coarse), len(sites), center=False), mirrored=False)
        coarse.cache["finer"] = (sites, rules)
        sites.cache["coarser"] = weakref.ref(coarse)
    return coarse, upward(coarse)[1].inverse()


def upward(sites: Sites) -> tuple[Sites, Rulebook]:
    """The finer sites that these were made from, and the rulebook to them. Raises ValueError where there are none."""
    if "finer" not in sites.cache:
        raise ValueError("an inverse convolution needs voxels that a strided convolution made")
    return sites.cache["finer"]  # type: ignore[return-value]


def submanifold_pairs(sites: Sites) -> Pairs:
    """All pairs but those of a voxel with itself. Thirteen of the 26 neighbours are looked up: what is found on one
    side holds, mirrored, for the other."""
    found: list[tuple[Tensor, Tensor]] = [(sites.keys[:0], sites.keys[:0])] * OFFSETS
    for offset in range(CENTER + 1, OFFSETS):
        rows = sites.shifted(offset // 9 - 1, offset // 3 % 3 - 1, offset % 3 - 1)
        own = torch.nonzero(rows >= 0).flatten()
        other = rows.index_select(0, own).to(torch.int64)
        found[offset], found[OFFSETS - 1 - offset] = (own, other), (other, own)
    return Pairs.joined(found)


def strided_pairs(sites: Sites) -> tuple[Sites, Pairs]:
    """The coarser sites (results) and their pairs with the finer ones (inputs).

    Along one axis an even voxel 2o feeds o by the middle offset, an odd one 2o + 1 feeds o by offset 2 and o + 1 by
    offset 0: of the 27 offsets each of the eight parities of (z, y, x) has its own.
    """
    shape = coarser_shape(sites.shape)
    axes = sites.indices.to(torch.int64).unbind(1)
    halves = [axis >> 1 for axis in axes[1:]]
    floor = linear_keys(torch.stack([axes[0], *halves], 1), shape, sites.batch_size)
    parity = (axes[1] & 1) * 4 + (axes[2] & 1) * 2 + (axes[3] & 1)
    classes = [torch.nonzero(parity == i).flatten() for i in range(8)]
    # The last voxel of an axis of even length would feed one that lies outside.
    room = [half + 1 < limit for half, limit in zip(halves, shape)]
    steps = (*strides(shape), 1)
    keys: list[Tensor] = []
    fine: list[Tensor] = []
    for taps in itertools.product(range(3), repeat=3):
        rows = classes[sum((tap != 1) << 2 - i for i, tap in enumerate(taps))]
        for i, tap in enumerate(taps):
            if tap == 0 and sites.shape[i] % 2 == 0:
                rows = rows[room[i].index_select(0, rows)]
        fine.append(rows)
        keys.append(floor.index_select(0, rows) + sum(steps[i] for i, tap in enumerate(taps) if tap == 0))
    found, coarse = _distinct(torch.cat(keys))
    pairs = Pairs(coarse, torch.cat(fine), tuple(len(rows) for rows in fine))
    return Sites.from_keys(found, shape, sites.batch_size, 2 * sites.stride), pairs


def _distinct(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted distinct keys, and of each key (M,) which of them it is: by a table where that is smaller than sorting."""
    low, high = (int(end) for end in keys.aminmax()) if len(keys) else (0, -1)
    span = high - low + 1
    if span > TABLE_SHARE * len(keys):
        return torch.unique(keys, return_inverse=True)
    offset = keys - low
    seen = torch.zeros(span, dtype=torch.bool, device=keys.device).index_fill_(0, offset, True)
    found = torch.nonzero(seen).flatten()
    rows = torch.empty(span, dtype=torch.int64, device=keys.device)
    rows[found] = torch.arange(len(found), device=keys.device)
    return found + low, rows.index_select(0, offset)


def _chunks(pairs: Pairs, rows: int) -> tuple[Chunk, ...]:
    size = CHUNK_ROWS.get(pairs.results.device.type, CHUNK_ROWS_ELSEWHERE)
    starts = list(range(0, rows, size))
    counts, results, sources = _by_chunk(pairs, rows, starts)
    # Sorting is by radix: half as many bytes take half the time.
    narrow = torch.int16 if size < 2**15 else torch.int32
    chunks, first = [], 0
    for start, count in zip(starts, counts):
        stop, last = min(start + size, rows), first + sum(count)
        local = results[first:last] - start
        ends = torch.zeros(stop - start + 1, dtype=torch.int32, device=local.device)
        torch.cumsum(torch.bincount(local, minlength=stop - start), 0, dtype=torch.int32, out=ends[1:])
        order = torch.sort(local.to(narrow), stable=True).indices.to(torch.int32)
        chunks.append(Chunk(start, stop, tuple(count), sources[first:last], local.to(torch.int32), order, ends))
        first = last
    return tuple(chunks)


def _by_chunk(pairs: Pairs, rows: int, starts: list[int]) -> tuple[list[list[int]], Tensor, Tensor]:
    """Counts [chunk][offset], results (M,) int64 and inputs (M,) int32, ordered by chunk, offset, result."""
    inputs = pairs.inputs.to(torch.int32)
    if len(starts) <= 1:
        return [list(pairs.counts)] * len(starts), pairs.results, inputs
    edges = torch.tensor([*starts, rows], device=pairs.results.device)
    cuts = [torch.searchsorted(part, edges) for part in pairs.results.split(pairs.counts)]
    counts = torch.stack(cuts).diff(dim=1)
    sizes = counts.flatten().tolist()
    pieces = [column.split(sizes) for column in (pairs.results, inputs)]
    ordered = [torch.cat([p for i in range(len(starts)) for p in piece[i :: len(starts)]]) for piece in pieces]
    return counts.T.tolist(), ordered[0], ordered[1]
