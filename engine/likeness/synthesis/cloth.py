"""Cloth by extended position-based dynamics (Macklin et al. 2016, 2019): small steps, one coloured sweep in each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from likeness.synthesis.collider import Collider
from likeness.synthesis.figure import Floats, Ints

GRAVITY = 9.81
SEAT_HALF_M, SEAT_BACK_M, SEAT_FRONT_M = 0.27, -0.27, 0.25
# Slack up to here counts as sewn to the body: from there long ties keep the hanging part from stretching.
_ANCHORED = 0.3
_SPEED_LIMIT = 8.0


@dataclass(frozen=True)
class Drape:
    """How a cloth moves. step_s: the time step; damping 1/s; bend: compliance of folding at unit mass, s^2 (0 is a
    board); hold 1/s^2: how firmly half-slack cloth follows the body; play_m: how far fully slack cloth strays before
    it is held; tie: longest distance to the sewn part as a multiple of the way through the cloth; friction 0..1;
    gap_m: room between cloth and what it lies on; wind (3,) m/s^2."""

    step_s: float = 1 / 240
    damping: float = 2.0
    bend: float = 2e-4
    hold: float = 2000.0
    play_m: float = 0.02
    tie: float = 1.02
    friction: float = 0.4
    gap_m: float = 0.003
    wind: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Ground:
    """What carries from below: a floor at a height, and a seat at another, if any, under the pelvis at the origin."""

    floor: float
    seat: float | None = None

    def height(self, place: torch.Tensor) -> torch.Tensor:
        """The ground's height (V,) under each of (V, 3)."""
        floor = torch.full_like(place[:, 1], self.floor)
        if self.seat is None:
            return floor
        above = (place[:, 0].abs() < SEAT_HALF_M) & (place[:, 2] > SEAT_BACK_M) & (place[:, 2] < SEAT_FRONT_M)
        return torch.where(above, self.seat, floor)


@dataclass(frozen=True)
class _Sweep:
    """Distance constraints that share no vertex: both ends (2N,), each end's share (2, N, 4), rest lengths (N, 4).

    Everything is four wide, as one 16-byte element is gathered several times faster than three floats.
    """

    ends: torch.Tensor
    shares: torch.Tensor
    lengths: torch.Tensor


def edges_of(faces: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges (E, 2) of triangles (F, 3), and the pairs (B, 2) of vertices opposite an edge that two faces share."""
    corners = np.concatenate([faces[:, [0, 1, 2]], faces[:, [1, 2, 0]], faces[:, [2, 0, 1]]]).astype(np.int64)
    key = np.sort(corners[:, :2], 1) @ np.array([1 << 32, 1])
    order = np.argsort(key, kind="stable")
    key, corners = key[order], corners[order]
    first = np.r_[True, key[1:] != key[:-1]]
    twin = ~first & np.r_[False, first[:-1]]
    opposite = np.stack([corners[np.flatnonzero(twin) - 1, 2], corners[twin, 2]], 1)
    return corners[first][:, :2], opposite[opposite[:, 0] != opposite[:, 1]]


def coloring(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """A colour (N,) for each pair so that no two of one colour share a vertex of `count`; greedy, few colours."""
    used = [0] * count
    colors = np.zeros(len(pairs), np.int64)
    for number, (a, b) in enumerate(pairs.tolist()):
        taken = used[a] | used[b]
        free = ~taken & (taken + 1)
        used[a] |= free
        used[b] |= free
        colors[number] = free.bit_length() - 1
    return colors


class Cloth:
    """A garment in motion: `place` (V, 3) and `speed` (V, 3) are its state, float32 on one device."""

    def __init__(
        self, rest: Floats, faces: Ints, slack: Floats, drape: Drape, looseness: float = 1.0, device: str = "cpu"
    ) -> None:
        """rest (V, 3) m gives the lengths, times `looseness`; slack (V,): 0 is sewn to the goal, 1 is free."""
        self.drape, self.device = drape, device
        self.place = self._tensor(rest)
        self.speed = torch.zeros_like(self.place)
        self._ones = torch.ones(4, 4, device=device)
        slack = np.asarray(slack, np.float32)
        self.slack = self._tensor(slack)[:, None]
        self._damping = drape.damping
        self.pinned = torch.as_tensor(np.flatnonzero(slack <= 0), device=device)
        self.moving = torch.as_tensor(np.flatnonzero(slack > 0), device=device)
        self._hold(slack)
        self._sweeps = self._constrain(rest, faces, slack, looseness)
        self._tie(rest, faces, slack, looseness)

    def _tensor(self, array: NDArray) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array, np.float32), device=self.device)

    def _hold(self, slack: Floats) -> None:
        """Springs to the goal for cloth that is neither sewn nor free."""
        held = np.flatnonzero((slack > 0) & (slack < 1))
        firm = self.drape.hold * (1 / slack[held] - 1) ** 2 * self.drape.step_s**2
        self.held = torch.as_tensor(held, device=self.device)
        self._firmness = self._tensor(firm / (1 + firm))[:, None]
        self._play = self._tensor(self.drape.play_m * slack[held])[:, None]

    def _constrain(self, rest: Floats, faces: Ints, slack: Floats, looseness: float) -> list[_Sweep]:
        edges, across = edges_of(faces)
        pairs = np.concatenate([edges, across])
        softness = np.r_[np.zeros(len(edges)), np.full(len(across), self.drape.bend / self.drape.step_s**2)]
        mobile = (slack > 0).astype(np.float64)
        useful = mobile[pairs].sum(1) > 0
        pairs, softness = pairs[useful], softness[useful]
        colors = coloring(pairs, len(rest))
        lengths = np.linalg.norm(rest[pairs[:, 0]] - rest[pairs[:, 1]], axis=1) * looseness
        sweeps = []
        for color in range(int(colors.max(initial=-1)) + 1):
            rows = np.flatnonzero(colors == color)
            ends, weight = pairs[rows].T, mobile[pairs[rows].T]
            share = weight / (weight.sum(0) + softness[rows])
            share[0] *= -1
            sweeps.append(
                _Sweep(
                    torch.as_tensor(ends.reshape(-1), device=self.device),
                    self._tensor(np.repeat(share[:, :, None], 4, 2)),
                    self._tensor(np.repeat(lengths[rows, None], 4, 1)),
                )
            )
        return sweeps

    def _tie(self, rest: Floats, faces: Ints, slack: Floats, looseness: float) -> None:
        """Long ties from hanging vertices to the nearest sewn one, by the way through the cloth."""
        edges, _ = edges_of(faces)
        length = np.linalg.norm(rest[edges[:, 0]] - rest[edges[:, 1]], axis=1)
        graph = sparse.csr_matrix((length, (edges[:, 0], edges[:, 1])), shape=(len(rest), len(rest)))
        anchors = np.flatnonzero(slack <= _ANCHORED)
        tied = np.zeros(0, np.int64)
        if len(anchors):
            way, _, source = dijkstra(graph, False, anchors, min_only=True, return_predecessors=True)
            tied = np.flatnonzero((slack > _ANCHORED) & np.isfinite(way))
        self.tied = torch.as_tensor(tied, device=self.device)
        if len(tied):
            self._anchor = torch.as_tensor(source[tied].astype(np.int64), device=self.device)
            self._reach = self._tensor(way[tied] * looseness * self.drape.tie)[:, None]

    def step(self, goal: torch.Tensor, collider: Collider | None = None, ground: Ground | None = None) -> None:
        """One time step: goal (V, 3) is where the skeleton alone would put the cloth."""
        drape, before = self.drape, self.place
        pull = torch.tensor([drape.wind[0], drape.wind[1] - GRAVITY, drape.wind[2]], device=self.device)
        self.speed = self.speed * (1 - self._damping * drape.step_s) + pull * drape.step_s
        self.place = before + self.speed * drape.step_s
        self.place[self.pinned] = goal[self.pinned]
        self._follow(goal)
        self._project()
        if len(self.tied):
            away = self.place[self.tied] - self.place[self._anchor]
            far = away.norm(dim=1, keepdim=True)
            self.place[self.tied] -= away * (1 - self._reach / far.clamp_min(1e-9)).clamp_min(0)
        if collider is not None:
            self.place[self.moving] = collider.pushed(self.place[self.moving], before[self.moving], drape.friction)
        if ground is not None:
            self.place[:, 1] = torch.maximum(self.place[:, 1], ground.height(self.place) + drape.gap_m)
        speed = (self.place - before) / drape.step_s
        fast = speed.norm(dim=1, keepdim=True)
        self.speed = speed * (_SPEED_LIMIT / fast.clamp_min(_SPEED_LIMIT))

    def calm(self, damping: float) -> None:
        """Damp all motion by `damping` 1/s from now on."""
        self._damping = damping

    def _follow(self, goal: torch.Tensor) -> None:
        if not len(self.held):
            return
        off = goal[self.held] - self.place[self.held]
        beyond = (1 - self._play / off.norm(dim=1, keepdim=True).clamp_min(1e-9)).clamp_min(0)
        self.place[self.held] += off * beyond * self._firmness

    def _project(self) -> None:
        wide = torch.nn.functional.pad(self.place, (0, 1))
        rows = wide.view(torch.complex128)[:, 0]
        for sweep in self._sweeps:
            ends = rows.index_select(0, sweep.ends)[:, None].view(torch.float32).view(2, -1, 4)
            apart = ends[0] - ends[1]
            # The product with ones spreads the squared length over all four columns.
            length = ((apart * apart) @ self._ones).sqrt_().clamp_min_(1e-9)
            pull = apart.mul_(1 - sweep.lengths / length)
            ends[0].addcmul_(sweep.shares[0], pull)
            ends[1].addcmul_(sweep.shares[1], pull)
            rows.index_copy_(0, sweep.ends, ends.view(-1, 4).view(torch.complex128)[:, 0])
        self.place = wide[:, :3].contiguous()
