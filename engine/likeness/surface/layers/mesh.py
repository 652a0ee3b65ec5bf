"""A closed mesh from a front and a back depth for each pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from likeness.core.camera import Camera
from likeness.core.surface import CapturedSurface

Cells = NDArray[np.bool_]


def slab(
    front: NDArray, back: NDArray, mask: NDArray[np.bool_], seen: NDArray, camera: Camera, jump_m: float = np.inf
) -> CapturedSurface:
    """Front and back (H, W) m along the axis, joined along the rim: closed, outward, camera space, metres.

    mask (H, W) bool: pixels that take part; thinner than two pixels they vanish. seen (H, W) f32 0..1 of the front's
    vertices; the back's are 0. jump_m: larger steps of the front tear it, so that each piece is closed by itself.
    """
    cells = mask[:-1, :-1] & mask[1:, :-1] & mask[:-1, 1:] & mask[1:, 1:]
    corners = np.stack([front[:-1, :-1], front[1:, :-1], front[:-1, 1:], front[1:, 1:]])
    cells = without_pinches(cells & (np.ptp(corners, axis=0) <= jump_m))
    used = np.zeros(mask.shape, bool)
    for dv in (0, 1):
        for du in (0, 1):
            used[dv : dv + cells.shape[0], du : du + cells.shape[1]] |= cells
    count = int(used.sum())
    number = np.zeros(mask.shape, np.int64)
    number[used] = np.arange(count)
    top = _faces(number, front, cells)
    bottom = _faces(number, back, cells)[:, ::-1] + count
    rays = camera.rays()[used]
    vertices = np.concatenate([rays * front[used][:, None], rays * back[used][:, None]])
    return CapturedSurface(
        vertices=vertices.astype(np.float32),
        faces=np.concatenate([top, bottom, _walls(number, cells, count)]).astype(np.int32),
        seen=np.concatenate([seen[used], np.zeros(count)]).astype(np.float32),
    )


def without_pinches(cells: Cells) -> Cells:
    """Cells (H, W) bool without pairs that touch in a corner alone: there four walls would share an edge."""
    cells = cells.copy()
    while True:
        a, b, c, d = cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]
        falling, rising = a & d & ~b & ~c, b & c & ~a & ~d
        if not (falling.any() or rising.any()):
            return cells
        # The lower of the two goes; what that may leave behind, the next round finds.
        d[falling] = False
        c[rising] = False


def _faces(number: NDArray[np.int64], depth: NDArray, cells: Cells) -> NDArray[np.int64]:
    """Two triangles a cell, facing the camera, split along the diagonal that bends less."""
    a, b, c, d = (grid[cells] for grid in (number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]))
    bend_ac = np.abs(depth[:-1, :-1] - depth[1:, 1:])[cells]
    bend_bd = np.abs(depth[:-1, 1:] - depth[1:, :-1])[cells]
    along = (bend_ac <= bend_bd)[:, None]
    first = np.where(along, np.stack([a, d, c], 1), np.stack([a, d, b], 1))
    second = np.where(along, np.stack([a, c, b], 1), np.stack([b, d, c], 1))
    return np.concatenate([first, second])


def _walls(number: NDArray[np.int64], cells: Cells, count: int) -> NDArray[np.int64]:
    """Two triangles for each edge of a cell that has no cell beyond it."""
    padded = np.pad(cells, 1)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    parts = []
    # The cell beyond, and the edge as its front triangle runs along it.
    for beyond, start, stop in (
        (padded[1:-1, :-2], a, d),
        (padded[2:, 1:-1], d, c),
        (padded[1:-1, 2:], c, b),
        (padded[:-2, 1:-1], b, a),
    ):
        open_side = cells & ~beyond
        i, j = start[open_side], stop[open_side]
        parts += [np.stack([j, i, i + count], 1), np.stack([j, i + count, j + count], 1)]
    return np.concatenate(parts)
