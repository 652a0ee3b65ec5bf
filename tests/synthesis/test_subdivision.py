"""One Catmull-Clark step against known results."""

from __future__ import annotations

import numpy as np
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from likeness.synthesis.subdivision import catmull_clark, split_quads

CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
CUBE_QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]], np.int32)


def grid(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.meshgrid(np.arange(rows + 1.0), np.arange(columns + 1.0), indexing="ij")
    index = np.arange((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], -1).reshape(-1, 4)
    return np.stack([x.ravel(), y.ravel()], 1), quads.astype(np.int32)


def test_the_cube_gives_the_published_points() -> None:
    fine = catmull_clark(CUBE_QUADS, np.zeros((6, 4, 2), np.float32), 8)
    points = np.abs(fine.matrix @ CUBE)
    np.testing.assert_allclose(points[:8], 5 / 9, atol=1e-6)
    np.testing.assert_allclose(np.sort(points[8:20], 1), np.tile([0, 0.75, 0.75], (12, 1)), atol=1e-6)
    np.testing.assert_allclose(np.sort(points[20:], 1), np.tile([0, 0, 1], (6, 1)), atol=1e-6)


def test_the_refined_cube_is_closed_and_keeps_its_orientation() -> None:
    fine = catmull_clark(CUBE_QUADS, np.zeros((6, 4, 2), np.float32), 8)
    mesh = trimesh.Trimesh(fine.matrix @ CUBE, fine.triangles()[0], process=False)
    coarse = trimesh.Trimesh(CUBE, split_quads(CUBE_QUADS, np.zeros((6, 4, 2), np.float32))[0], process=False)
    assert mesh.is_watertight and mesh.euler_number == 2 and len(fine.quads) == 24
    assert np.sign(mesh.volume) == np.sign(coarse.volume) and abs(mesh.volume) < 8


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**31))
def test_a_sheet_keeps_its_corners_its_uvs_and_affine_maps(rows: int, columns: int, seed: int) -> None:
    points, quads = grid(rows, columns)
    fine = catmull_clark(quads, points[quads].astype(np.float32), len(points))
    np.testing.assert_allclose(np.asarray(fine.matrix.sum(1)), 1, atol=1e-6)
    refined = fine.matrix @ points
    # Corners move along the border's curve, never out of the sheet.
    assert refined.min() >= -1e-6 and refined[:, 0].max() <= columns + 1e-6 and refined[:, 1].max() <= rows + 1e-6
    # UVs stay bilinear while border points are smoothed, so they agree away from the border.
    inner = (np.abs(fine.corner_uvs - (columns, rows)).min((1, 2)) > 1) & (fine.corner_uvs.min((1, 2)) > 1)
    np.testing.assert_allclose(refined[fine.quads][inner], fine.corner_uvs[inner], atol=1e-5)
    affine = np.random.default_rng(seed).normal(size=(2, 3))
    np.testing.assert_allclose(fine.matrix @ (points @ affine + 1), refined @ affine + 1, atol=1e-4)


def test_triangles_give_three_quads_and_unused_vertices_stay() -> None:
    points = np.array([[0, 0], [1, 0], [0, 1], [9, 9]], float)
    fine = catmull_clark(np.array([[0, 1, 2, 2]], np.int32), np.zeros((1, 4, 2), np.float32), 4)
    assert fine.quads.shape == (3, 4)
    np.testing.assert_allclose((fine.matrix @ points)[3], (9, 9))
    np.testing.assert_allclose((fine.matrix @ points)[-1], (1 / 3, 1 / 3), atol=1e-6)
