"""Texture coordinates for cloth that has none: trunk, arms and legs rolled off as cylinders, at one scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from likeness.synthesis.figure import Floats
from likeness.synthesis.pieces import Piece
from likeness.synthesis.wearer import Measures

MARGIN_M = 0.03


def unwrap(piece: Piece, measures: Measures, legs: bool) -> Piece:
    """The piece with corner UVs in 0..1. legs: trousers, whose legs are cylinders of their own."""
    center = piece.vertices[piece.faces].mean(1)
    chart = np.zeros(len(piece.faces), np.int64)
    arm = center[:, 1] > measures.armpit - 0.08 * measures.size
    chart[arm & (center[:, 0] > measures.shoulder_x)] = 1
    chart[arm & (center[:, 0] < -measures.shoulder_x)] = 2
    if legs:
        low = center[:, 1] < measures.crotch
        chart[low & (center[:, 0] > 0)], chart[low & (center[:, 0] <= 0)] = 3, 4
    flat = np.zeros((*piece.faces.shape, 2))
    for number in np.unique(chart):
        mine = chart == number
        flat[mine] = _rolled(piece.vertices[piece.faces[mine]].astype(np.float64), along=0 if number in (1, 2) else 1)
    return Piece(
        piece.vertices,
        piece.faces,
        _packed(flat, chart),
        piece.skin_joints,
        piece.skin_weights,
        piece.slack,
    )


def _rolled(corners: NDArray, along: int) -> NDArray:
    """Corners (F, 3, 3) about the axis through their middle -> metres round and along (F, 3, 2)."""
    if along:
        across, height = corners[..., [0, 2]], corners[..., 1]
    else:
        across, height = corners[..., [1, 2]], corners[..., 0]
    middle = (across.reshape(-1, 2).min(0) + across.reshape(-1, 2).max(0)) / 2
    across = across - middle
    # The seam lies at the back of trunk and legs.
    angle = np.arctan2(across[..., 0], across[..., 1])
    turn = angle[:, 1:] - angle[:, :1]
    angle[:, 1:] = angle[:, :1] + (turn + np.pi) % (2 * np.pi) - np.pi
    radius = np.linalg.norm(across.reshape(-1, 2), axis=1).mean()
    return np.stack([angle * radius, height], 2)


def _packed(flat: NDArray, chart: NDArray) -> Floats:
    """Charts in metres -> side by side in the unit square, two rows, one scale."""
    boxes = []
    for number in np.unique(chart):
        corners = flat[chart == number].reshape(-1, 2)
        boxes.append((int(number), corners.min(0), np.ptp(corners, axis=0) + MARGIN_M))
    boxes.sort(key=lambda box: (-box[2][1], box[0]))
    best: tuple[float, list[tuple[int, NDArray, float, float]]] | None = None
    for columns in range(1, len(boxes) + 1):
        placed, x, wide, tall = [], 0.0, 0.0, 0.0
        for start in range(0, len(boxes), columns):
            group, y = boxes[start : start + columns], 0.0
            for number, low, size in group:
                placed.append((number, low, x, y))
                y += float(size[1])
            x += max(float(size[0]) for _, _, size in group)
            wide, tall = x, max(tall, y)
        side = max(wide, tall)
        if best is None or side < best[0]:
            best = (side, placed)
    out = np.zeros_like(flat)
    side, places = best if best else (1.0, [])
    for number, low, x, y in places:
        mine = chart == number
        out[mine] = (flat[mine] - low + MARGIN_M / 2 + [x, y]) / side
    return out.astype(np.float32)
