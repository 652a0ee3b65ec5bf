"""Fills the unseen side of a limb or garment from what was seen of it, round the limb's axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from avatar_texels import Array, Texels, Work
from scipy import ndimage
from scipy.spatial import cKDTree

BIN_M = 0.02
# Share of one cloth at each height above which a garment is plain even where the person wears a print.
PLAIN = 0.72
# Half-angle of a chest's front that stays in front: collars, ties, zips, prints.
OPENING = 0.75


def finish_piece(work: Work, part: Array, sources: Array, name: str) -> None:
    """Fill the unseen texels of `part` (N,) bool from those of `sources` (N,) bool round the same limb."""
    lab, labels = work.lab, work.labels
    wanted = np.flatnonzero(part & ~work.fixed)
    have = np.flatnonzero(sources)
    if not len(wanted):
        return
    turn = around(work.texels, part | sources, name)
    reach = _reach(turn, have)
    inner = OPENING * turn.upper if name in ("torso", "head") else np.zeros(len(reach))
    cloth, share = _cloth_at_height(turn, have, labels[have], name)
    tiled = work.patterned and share < PLAIN
    fold = _tiled if tiled else _folded
    angle = turn.angle.copy()
    angle[wanted] = fold(turn.angle[wanted], reach[wanted], inner[wanted])
    place = np.stack([turn.along, turn.radius * angle, 0.3 * turn.distance], 1)
    if tiled:
        work.out[wanted] = lab[have[cKDTree(place[have]).query(place[wanted])[1]]]
        return
    want_label = cloth[turn.bin[wanted]]
    for label in np.unique(want_label):
        mine = have[labels[have] == label]
        goal = wanted[want_label == label]
        found = mine[cKDTree(place[mine]).query(place[goal])[1]]
        smooth = local_mean(place[mine], lab[mine])
        detail = np.clip(lab[found] - smooth(place[found]), (-7, -4, -4), (7, 4, 4))
        work.out[goal] = smooth(place[goal]) + detail


@dataclass
class Turn:
    """Texels in cylinder coordinates about their limb (N,).

    along m; angle, 0 = front, +-pi = back; distance from the axis m; radius of the limb there m; bin of `along`, and
    where: the same without rounding; upper 0..1: the part of a torso that opens in front.
    """

    along: Array
    angle: Array
    distance: Array
    radius: Array
    bin: Array
    where: Array
    upper: Array


def around(texels: Texels, at: Array, name: str) -> Turn:
    """Cylinder coordinates of all texels about the limb `name`, whose own texels are `at` (N,) bool."""
    side = _side(name)
    position = texels.position
    if name.endswith(("arm", "hand")):
        along = position @ np.array([-side, 1.0, 0.0]) / np.sqrt(2)
        across = position @ np.array([side, 1.0, 0.0]) / np.sqrt(2) * side
    else:
        along, across = position[:, 1], position[:, 0]
    low = along[at].min()
    number = np.clip(np.floor((along - low) / BIN_M).astype(int), 0, int((along[at].max() - low) / BIN_M))
    where = (along - low) / BIN_M - 0.5
    x = across - _bin_middle(number[at], across[at], where)
    z = position[:, 2] - _bin_middle(number[at], position[at, 2], where)
    distance = np.hypot(x, z)
    count = np.bincount(number[at])
    used = np.flatnonzero(count)
    mean = np.bincount(number[at], distance[at])[used] / count[used]
    radius = np.interp(where, used, ndimage.gaussian_filter1d(mean, 2, mode="nearest"))
    upper = np.clip((position[:, 1] - 1.0) / 0.15, 0.3, 1.0)
    return Turn(along, np.arctan2(x, z), distance, np.maximum(radius, 0.02), number, where, upper)


def _side(name: str) -> float:
    return {"left": 1.0, "right": -1.0}.get(name.split("_")[0], 0.0)


def _bin_middle(number: Array, value: Array, where: Array) -> Array:
    """Half-way between the least and the largest value of each bin, smooth along the bins, at bin numbers `where`."""
    count = number.max() + 1
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, number, value)
    np.maximum.at(high, number, value)
    used = np.flatnonzero(np.isfinite(low))
    middle = ndimage.gaussian_filter1d((low[used] + high[used]) / 2, 2, mode="nearest")
    return np.interp(where, used, middle)


def _reach(turn: Turn, have: Array) -> Array:
    """(N,) how far round the seen cloth goes on each texel's side, radians."""
    out = np.zeros(len(turn.angle))
    for sign in (-1, 1):
        mine = have[turn.angle[have] * sign > 0]
        used = np.unique(turn.bin[mine])
        if not len(used):
            continue
        edge = [np.quantile(np.abs(turn.angle[mine[turn.bin[mine] == number]]), 0.95) for number in used]
        side = turn.angle * sign > 0
        out[side] = np.interp(turn.where[side], used, ndimage.gaussian_filter1d(edge, 2, mode="nearest"))
    return np.clip(out, 0.6, 2.6)


def _folded(angle: Array, reach: Array, inner: Array) -> Array:
    """Angles beyond `reach` folded back into inner..reach (the middle of the back meets `inner`)."""
    size = np.abs(angle)
    beyond = np.clip((size - reach) / (np.pi - reach), 0, 1)
    return np.sign(angle) * np.where(size > reach, reach - beyond * (reach - np.minimum(inner, reach)), size)


def _tiled(angle: Array, reach: Array, inner: Array) -> Array:
    """Angles beyond `reach` mirrored to and fro between inner and reach, so that a print keeps its scale."""
    size = np.abs(angle)
    width = np.maximum(reach - inner, 0.2)
    phase = np.mod(size - reach, 2 * width)
    back = np.where(phase < width, reach - phase, reach - 2 * width + phase)
    return np.sign(angle) * np.where(size > reach, back, size)


def _cloth_at_height(turn: Turn, have: Array, labels: Array, name: str) -> tuple[Array, float]:
    """(bins,) the cloth that rules each bin, counted more at the sides of a torso, and its mean share 0..1."""
    bins = int(turn.bin.max()) + 1
    # Openings in the middle of the front show what is worn beneath.
    outward = np.sin(turn.angle[have]) * (_side(name) or np.sign(turn.angle[have]))
    weight = np.ones(len(have)) if name.endswith(("arm", "hand")) else 0.02 + np.maximum(outward, 0) ** 2
    votes = np.zeros((bins, labels.max() + 1))
    np.add.at(votes, (turn.bin[have], labels), weight)
    wide = ndimage.gaussian_filter1d(votes, 0.8, axis=0, mode="nearest")
    empty = wide.sum(1) < 1e-6
    if empty.any():
        near = ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True)[0]
        wide = wide[near]
    share = wide.max(1) / wide.sum(1)
    return wide.argmax(1), float(np.average(share, weights=votes.sum(1) + 1e-9))


def local_mean(place: Array, lab: Array) -> Any:
    """A function that gives the mean colour of the 60 nearest of at most 1500 samples."""
    step = max(1, len(place) // 1500)
    tree, values = cKDTree(place[::step]), lab[::step]
    near = min(60, len(values))

    def mean(query: Array) -> Array:
        index = tree.query(query, k=near)[1].reshape(len(query), near)
        return values[index].mean(1)

    return mean
