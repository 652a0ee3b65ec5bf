"""Naive inflation: a thickness for every pixel of the outline, as if each limb were a round tube seen from the side.

Inside the outline, cut into layers where depth jumps, solve the Poisson equation  laplace(u) = -2,  u = 0 on the border
(metres). Then 2 sqrt(u) is the chord of the ray: exact for cylinders across the view, 0.71 of it for spheres.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg, spsolve

from likeness.surface.layers.crop import JUMP_M, filled

SOURCE = 2.0
# A direct solution of more unknowns takes over a second; a finer picture starts from a coarser one's solution.
DIRECT_UNKNOWNS = 30_000
STEPS = 60
LEAK = 1e-5
MAX_M = 0.5


def thickness(front: NDArray, mask: NDArray[np.bool_], focal_px: float) -> NDArray[np.float32]:
    """Chord (H, W) f32 metres of a person whose depth is front (H, W) m, 0 = none, seen with this focal length.

    0 off the mask. A pixel is joined to its neighbours of the same limb; a nearer limb's rim is its border, while the
    farther surface goes on behind it.
    """
    depth = filled(front, mask)
    height = np.sqrt(np.maximum(_solve(depth, mask), 0.0) * SOURCE)
    return np.minimum(2 * height * depth / focal_px, MAX_M).astype(np.float32)


def _solve(depth: NDArray, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """u of  laplace(u) = -1  in square pixels, (H, W), 0 off the mask."""
    out = np.zeros(mask.shape)
    count = int(mask.sum())
    if not count:
        return out
    matrix = _matrix(mask, *_links(depth, mask))
    if count <= DIRECT_UNKNOWNS:
        out[mask] = spsolve(matrix.tocsc(), np.ones(count))
        return out
    # What the coarser solution lacks is of short wavelength, which conjugate gradients find in few steps.
    inverse = sparse.diags(1 / matrix.diagonal())
    start = _coarser(depth, mask)[mask]
    out[mask] = cg(matrix, np.ones(count), start, rtol=1e-4, maxiter=STEPS, M=inverse)[0]
    return out


def _links(depth: NDArray, mask: NDArray[np.bool_]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """What lies between a pixel and its right (H, W-1), its lower (H-1, W) neighbour.

    0 nothing, 1 the same surface, 2 the first is nearer by a jump, 3 the second is.
    """
    out = []
    for first, second, a, b in (
        (mask[:, :-1], mask[:, 1:], depth[:, :-1], depth[:, 1:]),
        (mask[:-1], mask[1:], depth[:-1], depth[1:]),
    ):
        both = first & second
        link = np.where(both, 1, 0)
        link[both & (b - a > JUMP_M)] = 2
        link[both & (a - b > JUMP_M)] = 3
        out.append(link.astype(np.int8))
    return out[0], out[1]


def _diagonal(mask: NDArray[np.bool_], right: NDArray[np.int8], down: NDArray[np.int8]) -> NDArray[np.float64]:
    """The matrix' diagonal as a picture (H, W).

    The border runs half a pixel from the last centre inside, so what lies beyond counts double. At a jump the near
    limb ends; the far one goes on behind it, so nothing flows there.
    """
    diagonal = np.full(mask.shape, 8.0)
    diagonal[:, :-1] -= np.choose(right, (0, 1, 0, 2))
    diagonal[:, 1:] -= np.choose(right, (0, 1, 2, 0))
    diagonal[:-1] -= np.choose(down, (0, 1, 0, 2))
    diagonal[1:] -= np.choose(down, (0, 1, 2, 0))
    # A far surface shut in by nearer ones on all sides would have no border at all.
    return diagonal + LEAK


def _matrix(mask: NDArray[np.bool_], right: NDArray[np.int8], down: NDArray[np.int8]) -> sparse.csr_matrix:
    """Minus the Laplacian (N, N) over the mask's pixels, row-major."""
    count = int(mask.sum())
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(count)
    rows, columns = [], []
    for link, first, second in ((right, number[:, :-1], number[:, 1:]), (down, number[:-1], number[1:])):
        joined = link == 1
        rows += [first[joined], second[joined]]
        columns += [second[joined], first[joined]]
    row, column = np.concatenate(rows), np.concatenate(columns)
    off = sparse.csr_matrix((-np.ones(len(row)), (row, column)), shape=(count, count))
    return off + sparse.diags(_diagonal(mask, right, down)[mask])


def _coarser(depth: NDArray, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A first guess from every second pixel."""
    solved = _solve(depth[::2, ::2], mask[::2, ::2]) * 4
    rows, columns = mask.shape
    fine = ndimage.zoom(solved, 2, order=1, grid_mode=True, mode="nearest")[:rows, :columns]
    return np.where(mask, np.pad(fine, ((0, rows - fine.shape[0]), (0, columns - fine.shape[1])), "edge"), 0)
