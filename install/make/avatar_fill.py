"""Fills the unseen side of a limb or garment from what was seen of it, round the limb's axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from avatar_texels import Array, Texels, Work
from scipy import ndimage
from scipy.spatial import cKDTree

BIN_M = 0.02
# Half-angle of a chest's front that stays in front: collars, ties, zips, prints.
OPENING = 0.75
# The same where a print goes on behind, and the angle up to which prints were seen sharply.
PLACKET, FACING = 0.2, 0.9
ANGLES = 72


def finish_piece(work: Work, part: Array, sources: Array, name: str) -> None:
    """Fill the unseen texels of `part` (N,) bool from those of `sources` (N,) bool round the same limb."""
    lab, labels = work.lab, work.labels
    wanted = np.flatnonzero(part & ~work.fixed)
    have = np.flatnonzero(sources)
    if not len(wanted):
        return
    turn = around(work.texels, part | sources, name)
    reach = _reach(turn, have)
    opening = PLACKET if work.patterned else OPENING
    inner = opening * turn.upper if name in ("torso", "head") else np.zeros(len(reach))
    arc = _arcs(turn, np.flatnonzero(part | sources))
    angle = turn.angle.copy()
    if work.patterned:
        round_limb = arc(angle)
        edges = [np.abs(arc(np.sign(angle) * limit)) for limit in (reach, inner, np.full(len(angle), FACING))]
        round_limb[wanted] = _tiled(round_limb[wanted], *(edge[wanted] for edge in edges))
    else:
        angle[wanted] = _folded(turn.angle[wanted], reach[wanted], inner[wanted])
        round_limb = arc(angle)
    place = np.stack([turn.along, round_limb, 0.3 * turn.distance], 1)
    if work.patterned:
        work.out[wanted] = lab[have[cKDTree(place[have]).query(place[wanted])[1]]]
        return
    want_label = _cloth_at_height(turn, have, labels[have], name)[turn.bin[wanted]]
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


def _arcs(turn: Turn, at: Array) -> Callable[[Array], Array]:
    """A function of angles (N,), one a texel: how far it is round the limb from its front to them, metres, signed."""
    bins = int(turn.bin.max()) + 1
    column = np.clip(((turn.angle + np.pi) / (2 * np.pi) * ANGLES).astype(int), 0, ANGLES - 1)
    total, count = np.zeros((bins, ANGLES)), np.zeros((bins, ANGLES))
    np.add.at(total, (turn.bin[at], column[at]), turn.distance[at])
    np.add.at(count, (turn.bin[at], column[at]), 1)
    near = ndimage.distance_transform_edt(count == 0, return_distances=False, return_indices=True)
    radius = (total / np.maximum(count, 1))[near[0], near[1]]
    radius = ndimage.gaussian_filter(radius, (1.5, 1.5), mode=("nearest", "wrap"))
    slope = np.gradient(radius, 2 * np.pi / ANGLES, axis=1)
    length = np.cumsum(np.hypot(radius, slope), 1) * 2 * np.pi / ANGLES

    def arc(angle: Array) -> Array:
        place = (angle + np.pi) / (2 * np.pi) * ANGLES - 1
        front = np.full(len(angle), ANGLES / 2 - 1)
        here, zero = (
            ndimage.map_coordinates(length, [turn.where, where], order=1, mode="nearest") for where in (place, front)
        )
        return here - zero

    return arc


def _tiled(place: Array, reach: Array, inner: Array, facing: Array) -> Array:
    """Places round a limb beyond `reach` mirrored to and fro between `facing` and `inner`, so that a print keeps its
    scale; what lies farther round than `facing` was seen at a slant and is stretched. All in the same unit."""
    size = np.abs(place)
    outer = np.minimum(reach, facing)
    width = np.maximum(outer - inner, 0.15 * reach)
    phase = np.mod(size - reach, 2 * width)
    back = outer - np.where(phase < width, phase, 2 * width - phase)
    return np.sign(place) * np.where(size > reach, np.clip(back, np.minimum(inner, outer), outer), size)


def _cloth_at_height(turn: Turn, have: Array, labels: Array, name: str) -> Array:
    """(bins,) the cloth that rules each bin, counted more at the outer sides of legs and torso."""
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
    return wide.argmax(1)


def local_mean(place: Array, lab: Array) -> Any:
    """A function that gives the mean colour of the 60 nearest of at most 1500 samples."""
    step = max(1, len(place) // 1500)
    tree, values = cKDTree(place[::step]), lab[::step]
    near = min(60, len(values))

    def mean(query: Array) -> Array:
        index = tree.query(query, k=near)[1].reshape(len(query), near)
        return values[index].mean(1)

    return mean
