"""Pose correctives carried over to other surfaces, judged by the offsets that they give."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.core.correctives import Correctives, DenseCorrectives
from scipy.spatial.transform import Rotation

JOINTS, COUNT = 5, 12


def somebody(seed: int) -> tuple[np.random.Generator, Correctives, np.ndarray]:
    """Random rows, some vertices without any and some with several; and random rotations (J, 3, 3)."""
    random = np.random.default_rng(seed)
    pairs = random.choice(COUNT * (JOINTS - 1), 17, replace=False).astype(np.int32)
    rows = Correctives(pairs % COUNT, 1 + pairs // COUNT, random.normal(size=(17, 3, 9)).astype(np.float32))
    return random, rows, Rotation.random(JOINTS, random_state=seed).as_matrix()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_a_blend_of_vertices_bends_like_the_blend_of_their_offsets(seed: int) -> None:
    random, rows, turns = somebody(seed)
    corners = random.integers(0, COUNT, (30, 3))
    shares = random.dirichlet((1, 1, 1), 30)
    shares[:5] = [1, 0, 0]
    carried = rows.carried(corners, shares)
    expected = np.einsum("nk,nkc->nc", shares, rows.offsets(turns, COUNT)[corners])
    np.testing.assert_allclose(carried.offsets(turns, 30), expected, atol=1e-5)
    pairs = carried.vertices.astype(np.int64) * JOINTS + carried.joints
    assert len(np.unique(pairs)) == len(pairs), "one row a vertex and joint"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_chosen_vertices_keep_their_offsets(seed: int) -> None:
    random, rows, turns = somebody(seed)
    chosen = random.permutation(COUNT)[: random.integers(1, COUNT)]
    found = rows.of_vertices(chosen).offsets(turns, len(chosen))
    np.testing.assert_allclose(found, rows.offsets(turns, COUNT)[chosen], atol=1e-6)


def test_dense_correctives_are_the_same_as_rows() -> None:
    random, _, turns = somebody(1)
    dense = DenseCorrectives(random.normal(size=(9 * (JOINTS - 1), 3 * COUNT)).astype(np.float32))
    np.testing.assert_allclose(dense.rows().offsets(turns, COUNT), dense.offsets(turns, COUNT), atol=1e-5)


def test_small_rows_are_left_out() -> None:
    _, rows, _ = somebody(2)
    mixed = Correctives(
        rows.vertices, rows.joints, rows.directions * np.where(np.arange(17) < 6, 1e-6, 1)[:, None, None]
    )
    kept = mixed.above(1e-4)
    np.testing.assert_array_equal(kept.vertices, rows.vertices[6:])
    np.testing.assert_array_equal(kept.directions, rows.directions[6:])


def test_nothing_stays_nothing() -> None:
    empty = Correctives(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 3, 9), np.float32))
    carried = empty.carried(np.zeros((4, 3), np.int32), np.full((4, 3), 1 / 3)).above(0.1)
    assert not carried.offsets(np.tile(np.eye(3), (JOINTS, 1, 1)), 4).any()
