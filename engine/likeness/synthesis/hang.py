"""Garments hung on a moving body: from the rest pose into the pose, then left to settle, inside ones first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from likeness.synthesis.cloth import SEAT_FRONT_M, Cloth, Drape, Ground, edges_of
from likeness.synthesis.collider import Collider
from likeness.synthesis.figure import Floats, Ints, Layer
from likeness.synthesis.limbs import PARENTS
from likeness.synthesis.refine import Refinement, coarse, refined

KEYS, STEPS_A_KEY, SETTLING_STEPS = 10, 20, 200
_SEARCH_EVERY, _SLIDE_EVERY = 20, 5
_SETTLING_DAMPING, _FINE_STEPS = 6.0, 100
# A garment with less of it hanging than this is left to the skeleton.
_LEAST_SLACK, _LEAST_SHARE = 0.05, 0.01
_ANCHOR_SLACK, _MARGIN = 0.5, 2
# Logarithmic strain of skinned cloth from which, and to which, it is let go, and how far.
_EASE_FROM, _EASE_TO, _EASE_LIMIT, _EASE_ROUNDS = 0.06, 0.3, 0.8, 4


@dataclass(frozen=True)
class Surface:
    """A surface at all key poses: points (K, P, 3), faces (F, 3), strongest joint (P,)."""

    points: Floats
    faces: Ints
    joint: NDArray[np.int64]


def hangs(layer: Layer, goals: Floats) -> bool:
    """Whether enough of a layer is slack, or would crumple by the last of the goals (K, V, 3), for hanging to show."""
    return layer.kind == "cloth" and bool((eased_slack(layer, goals) > 0).mean() > _LEAST_SHARE)


def grounds_under(body: Floats, joint: NDArray, seated: bool) -> list[Ground]:
    """The floor at each of the key poses (K, B, 3) of a body with strongest joints (B,), and a seat that comes up."""
    floors = body[:, :, 1].min(1)
    if not seated:
        return [Ground(float(floor)) for floor in floors]
    under = np.isin(joint, (0, 1, 2)) & (np.abs(body[-1][:, 2]) < SEAT_FRONT_M)
    seat = float(body[-1][under, 1].min())
    way = np.linspace(0, 1, len(body))
    return [Ground(float(f), float(seat - (1 - w) * (seat - floors[0]))) for f, w in zip(floors, way, strict=True)]


def draw_drape(rng: np.random.Generator) -> tuple[Drape, float]:
    """A cloth's stiffness, weight in the wind and looseness, so that no two of one cut fall alike."""
    wind = rng.normal(0, 0.5, 3) * (1, 0.2, 1)
    return (
        Drape(
            bend=float(np.exp(rng.uniform(np.log(3e-5), np.log(1e-3)))),
            damping=float(rng.uniform(1.5, 3.0)),
            friction=float(rng.uniform(0.2, 0.6)),
            wind=(float(wind[0]), float(wind[1]), float(wind[2])),
        ),
        float(rng.uniform(1.0, 1.02)),
    )


def hang(
    layer: Layer,
    goals: Floats,
    inner: list[Surface],
    grounds: list[Ground],
    rng: np.random.Generator,
    device: str = "cpu",
) -> Hung:
    """Hang a garment.

    goals (K, V, 3): where the skeleton alone puts it at the key poses; inner: what lies under it at the same keys, the
    body first; grounds: K of them.
    """
    drape, looseness = draw_drape(rng)
    slack = eased_slack(layer, goals)
    sewing = _Sewing.of(layer, slack)
    cloth = sewing.cloth(slack, drape, looseness, device)
    cloth.place = torch.as_tensor(goals[0][sewing.chosen], device=device)
    cloth.speed += torch.as_tensor(_gust(layer.vertices[sewing.chosen], rng), device=device) * (cloth.slack > 0)
    frames = _run(cloth, sewing.collider(cloth, inner, device), goals[:, sewing.chosen], grounds)
    frames = sewing.whole(np.concatenate([goals, goals[-1:]]), frames)
    frames = np.concatenate([frames[:-2], frames[-1:]])
    if not coarse(layer):
        return Hung(layer, frames, frames[-1])
    cut = Refinement(layer.faces, len(layer.vertices))
    fine, fine_slack, goal = refined(layer, cut), cut.values(slack), cut.values(goals[-1])[None].astype(np.float32)
    sewing = _Sewing.of(fine, fine_slack)
    cloth = sewing.cloth(fine_slack, drape, looseness, device)
    cloth.place = torch.as_tensor(cut.values(frames[-1])[sewing.chosen].astype(np.float32), device=device)
    cloth.calm(_SETTLING_DAMPING)
    last = [Surface(surface.points[-1:], surface.faces, surface.joint) for surface in inner]
    settled = _run(cloth, sewing.collider(cloth, last, device), goal[:, sewing.chosen], grounds[-1:], _FINE_STEPS)
    return Hung(fine, frames, sewing.whole(goal, settled[-1:])[0])


@dataclass(frozen=True)
class Hung:
    """A garment that has been hung: `layer` at rest, finer than it was where that lets it fold; `frames` (K, V, 3) of
    the garment as it came, at all key poses, settled at the last; `vertices` (V', 3) of `layer` in the pose."""

    layer: Layer
    frames: Floats
    vertices: Floats


@dataclass(frozen=True)
class _Sewing:
    """Which vertices of a layer are simulated, with `faces` among them, and which ride on those."""

    layer: Layer
    chosen: NDArray[np.int64]
    riders: NDArray[np.int64]
    faces: Ints

    @classmethod
    def of(cls, layer: Layer, slack: Floats) -> _Sewing:
        chosen, riders = _simulated(layer, slack)
        number = np.full(len(layer.vertices), -1)
        number[chosen] = np.arange(len(chosen))
        faces = number[layer.faces]
        return cls(layer, chosen, riders, faces[(faces >= 0).all(1)].astype(np.int32))

    def cloth(self, slack: Floats, drape: Drape, looseness: float, device: str) -> Cloth:
        return Cloth(self.layer.vertices[self.chosen], self.faces, slack[self.chosen], drape, looseness, device)

    def collider(self, cloth: Cloth, inner: list[Surface], device: str) -> Collider:
        rows = self.chosen[cloth.moving.cpu().numpy()]
        starts = np.cumsum([0, *(surface.points.shape[1] for surface in inner)])
        faces = np.concatenate([surface.faces + start for surface, start in zip(inner, starts, strict=False)])
        points = np.concatenate([surface.points for surface in inner], 1)
        group = np.concatenate([region_of(surface.joint) for surface in inner])
        own = region_of(strongest_joint(self.layer.skin_joints[rows], self.layer.skin_weights[rows]))
        return Collider(points, faces, np.full(len(rows), cloth.drape.gap_m), group, own, device)

    def whole(self, goals: Floats, frames: Floats) -> Floats:
        """Frames (T, n, 3) of the simulated part set into the whole garment, which goes to goals (T, V, 3)."""
        out = goals.copy()
        out[:, self.chosen] = frames
        if len(self.riders):
            rest = self.layer.vertices
            near = cKDTree(rest[self.chosen]).query(rest[self.riders], min(4, len(self.chosen)))[1]
            out[:, self.riders] += (frames - goals[:, self.chosen])[:, near.reshape(len(self.riders), -1)].mean(2)
        return out


def eased_slack(layer: Layer, goals: Floats) -> Floats:
    """The layer's slack (V,), more where the skeleton alone would stretch or crumple the cloth at the last goal."""
    edges, _ = edges_of(layer.faces)
    count = len(layer.vertices)
    lengths = [np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1) + 1e-4 for v in (layer.vertices, goals[-1])]
    strain = np.abs(np.log(lengths[1] / lengths[0]))
    ends, both = edges.T.reshape(-1), np.r_[strain, strain]
    degree = np.maximum(np.bincount(ends, minlength=count), 1)
    amount = np.bincount(ends, both, count) / degree
    for _ in range(_EASE_ROUNDS):
        spread = np.bincount(ends, amount[edges[:, ::-1].T.reshape(-1)], count) / degree
        amount = np.maximum(amount, spread)
    eased = _EASE_LIMIT * np.clip((amount - _EASE_FROM) / (_EASE_TO - _EASE_FROM), 0, 1)
    slack = np.maximum(layer.slack, eased)
    return np.where(slack < _LEAST_SLACK, 0, slack).astype(np.float32)


def _simulated(layer: Layer, slack: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Vertices to simulate, what hangs and its margin; and those of small unsewn pieces (buttons), which ride on it."""
    edges, _ = edges_of(layer.faces)
    count = len(layer.vertices)
    graph = sparse.csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    pieces, piece = connected_components(graph, directed=False)
    sewn = np.bincount(piece[layer.slack <= _ANCHOR_SLACK], minlength=pieces) > 0
    size = np.bincount(piece, minlength=pieces)
    kept = sewn | (size > 0.5 * count)
    if not kept.any():
        kept = size == size.max()
    # Of what is sewn down only a margin matters: it holds the rest.
    near = slack > 0
    for _ in range(_MARGIN):
        near[edges[near[edges].any(1)].ravel()] = True
    return np.flatnonzero(kept[piece] & near), np.flatnonzero(~kept[piece])


def _gust(rest: Floats, rng: np.random.Generator) -> Floats:
    """A smooth random start velocity (V, 3), m/s."""
    out = np.zeros_like(rest)
    for _ in range(4):
        wave, phase = rng.normal(0, 9, 3), rng.uniform(0, 2 * np.pi)
        out += np.sin(rest @ wave + phase)[:, None] * rng.normal(0, 0.15, 3)
    return out.astype(np.float32)


def region_of(joint: NDArray) -> NDArray[np.int64]:
    """1 for the left arm's joints, 2 for the right arm's, 0 for all others: cloth of one does not meet the other."""
    return np.array([1 if 16 in c else 2 if 17 in c else 0 for c in map(_ancestry, range(len(PARENTS)))])[joint]


def _ancestry(joint: int) -> list[int]:
    out = []
    while joint >= 0:
        out.append(joint)
        joint = int(PARENTS[joint])
    return out


def strongest_joint(joints: NDArray, weights: NDArray) -> NDArray[np.int64]:
    """(V, K) joints and weights -> the joint (V,) that counts most."""
    return np.take_along_axis(joints, weights.argmax(1)[:, None], 1)[:, 0].astype(np.int64)


def _run(
    cloth: Cloth, collider: Collider, goals: Floats, grounds: list[Ground], settling: int = SETTLING_STEPS
) -> Floats:
    """Frames (K + 1, V, 3): at all K goals, and after settling at the last."""
    keys = torch.as_tensor(np.ascontiguousarray(goals), device=cloth.device)
    frames = [cloth.place.cpu().numpy()]
    count = 0
    for key in range(len(goals)):
        last = key == len(goals) - 1
        steps = settling if last else STEPS_A_KEY
        if last:
            cloth.calm(_SETTLING_DAMPING)
        for step in range(steps):
            share = 0.0 if last else (step + 1) / steps
            goal = keys[key] if last else torch.lerp(keys[key], keys[key + 1], share)
            collider.set_time(key, share, steps)
            if count % _SEARCH_EVERY == 0:
                collider.search(cloth.place[cloth.moving])
            elif count % _SLIDE_EVERY == 0:
                collider.slide(cloth.place[cloth.moving])
            cloth.step(goal, collider, grounds[key])
            count += 1
        frames.append(cloth.place.cpu().numpy())
    return np.stack(frames)
