"""Cutting cloth, growing it, laying it over a surface and rolling it off: closed forms and trimesh as oracle."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.synthesis.cutting import border_edges, border_loops, clip, flap, grow
from likeness.synthesis.layering import covered, push_outside, settled
from likeness.synthesis.pieces import Piece, joined
from likeness.synthesis.skeleton import dense_weights, strongest_four


def piece_of(mesh: trimesh.Trimesh) -> Piece:
    """A mesh as cloth whose UVs are its x and y."""
    vertices = np.asarray(mesh.vertices, np.float32)
    faces = np.asarray(mesh.faces, np.int32)
    count = len(vertices)
    weights = np.tile(np.array([0.75, 0.25, 0, 0], np.float32), (count, 1))
    joints = np.tile(np.array([3, 6, 0, 0], np.uint16), (count, 1))
    return Piece(vertices, faces, vertices[faces][..., :2], joints, weights, np.zeros(count, np.float32))


def area(piece: Piece) -> float:
    return float(trimesh.Trimesh(piece.vertices, piece.faces, process=False).area)


def tube(radius: float = 0.2, height: float = 1.0) -> Piece:
    """An open cylinder about Y from 0 to `height`, its faces outward."""
    around, up = 48, 20
    angle, y = np.meshgrid(np.arange(around) / around * 2 * np.pi, np.linspace(0, height, up + 1))
    points = np.stack([radius * np.sin(angle), y, radius * np.cos(angle)], 2).reshape(-1, 3)
    number = np.arange(len(points)).reshape(up + 1, around)
    right = np.roll(number, -1, 1)
    here, beside, above, corner = number[:-1].ravel(), right[:-1].ravel(), number[1:].ravel(), right[1:].ravel()
    faces = np.concatenate([np.stack([here, beside, corner], 1), np.stack([here, corner, above], 1)])
    return piece_of(trimesh.Trimesh(points, faces, process=False))


@settings(max_examples=30, deadline=None)
@given(st.floats(0.03, 0.97))
def test_a_cut_tube_has_the_area_and_border_of_its_height(height: float) -> None:
    whole = tube()
    short = clip(whole, height - whole.vertices[:, 1])
    assert area(short) == pytest.approx(area(whole) * height, rel=1e-3)
    assert short.vertices[:, 1].max() == pytest.approx(height, abs=1e-5)
    border = np.unique(border_edges(short.faces))
    on_line = np.abs(short.vertices[border, 1] - height) < 1e-5
    at_foot = np.abs(short.vertices[border, 1]) < 1e-6
    assert (on_line | at_foot).all() and on_line.sum() >= 48
    mesh = trimesh.Trimesh(short.vertices, short.faces, process=False)
    outward = (mesh.face_normals * mesh.triangles_center * [1, 0, 1]).sum(1)
    assert (outward > 0).all()
    np.testing.assert_allclose(short.skin_weights.sum(1), 1, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 2 * np.pi), st.floats(-0.15, 0.15))
def test_both_sides_of_a_slanted_cut_make_the_whole(angle: float, offset: float) -> None:
    """trimesh slices the same mesh along the same plane."""
    whole = piece_of(trimesh.creation.icosphere(3, 0.3))
    normal = np.array([np.cos(angle), np.sin(angle), 0.3])
    field = whole.vertices @ normal - offset
    one, two = clip(whole, field), clip(whole, -field)
    # Vertices near the line move onto it along the surface, so the sphere's area hardly changes.
    assert area(one) + area(two) == pytest.approx(area(whole), rel=5e-3)
    vertices, faces, _ = trimesh.intersections.slice_faces_plane(
        whole.vertices.astype(float), whole.faces, normal, normal * offset / (normal @ normal)
    )
    sliced = trimesh.Trimesh(vertices, faces, process=False)
    assert area(one) == pytest.approx(sliced.area, rel=1e-2, abs=1e-3)


def test_uvs_are_cut_with_the_cloth() -> None:
    flat = piece_of(trimesh.creation.box((1, 1, 1)).subdivide().subdivide())
    cut = clip(flat, 0.123 - flat.vertices[:, 0] + 0.2 * flat.vertices[:, 1])
    # Only corners of vertices that snapped onto the line may be off, by a quarter of an edge.
    off = np.abs(cut.corner_uvs - cut.vertices[cut.faces][..., :2])
    assert off.max() < 0.25 * 0.36 and np.median(off) < 1e-6


def test_nothing_is_cut_where_the_field_is_positive() -> None:
    whole = tube()
    assert clip(whole, np.ones(len(whole.vertices))) is whole
    assert len(clip(whole, -np.ones(len(whole.vertices))).faces) == 0


def test_cloth_grown_from_a_border_continues_it() -> None:
    whole = tube()
    low = min(border_loops(whole.faces), key=lambda loop: whole.vertices[loop, 1].mean())
    rows = [whole.vertices[low] - [0, 0.1 * k, 0] for k in (1, 2, 3)]
    longer = grow(whole, low, rows)
    assert area(longer) == pytest.approx(1.3 * area(whole), rel=1e-3)
    assert sorted(len(loop) for loop in border_loops(longer.faces)) == [48, 48]
    mesh = trimesh.Trimesh(longer.vertices, longer.faces, process=False)
    assert ((mesh.face_normals * mesh.triangles_center * [1, 0, 1]).sum(1) > 0).all()
    assert mesh.is_winding_consistent


def test_a_fold_faces_outward_again() -> None:
    whole = tube()
    top = max(border_loops(whole.faces), key=lambda loop: whole.vertices[loop, 1].mean())
    wide = whole.vertices[top] * [1.2, 1, 1.2]
    fold = flap(whole, top, [whole.vertices[top], wide, wide - [0, 0.2, 0]])
    mesh = trimesh.Trimesh(fold.vertices, fold.faces, process=False)
    hanging = mesh.triangles_center[:, 1] < 0.95
    assert ((mesh.face_normals * mesh.triangles_center * [1, 0, 1]).sum(1)[hanging] > 0).all()
    assert len(joined([whole, fold]).vertices) == len(whole.vertices) + 3 * 48


@settings(max_examples=15, deadline=None)
@given(st.floats(0.001, 0.01), st.integers(0, 1000))
def test_pushed_points_lie_outside_a_sphere(gap: float, seed: int) -> None:
    sphere = trimesh.creation.icosphere(4, 0.2)
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(200, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = rng.uniform(0.16, 0.28, 200)
    points = direction * radius[:, None]
    moved = push_outside(points, sphere.vertices, sphere.vertex_normals, gap)
    after = np.linalg.norm(moved, axis=1)
    assert after.min() > 0.2 + gap - 0.001
    clear = radius > 0.2 + gap + 0.002
    np.testing.assert_allclose(moved[clear], points[clear], atol=1e-6)


def test_a_settled_tube_clears_a_wider_one_and_stays_round() -> None:
    inner, outer = tube(0.21), tube(0.2)
    moved = settled(outer, inner.vertices, inner.normals, 0.003)
    radius = np.linalg.norm(moved.vertices[:, [0, 2]], axis=1)
    assert radius.min() > 0.2125 and np.ptp(radius) < 0.004


def test_skin_is_covered_where_cloth_is_and_away_from_its_hem() -> None:
    skin, cloth = tube(0.2), tube(0.21, 0.5)
    under = covered(skin.vertices, skin.normals, cloth, None)
    y = skin.vertices[:, 1]
    assert under[(y > 0.06) & (y < 0.44)].all()
    assert not under[y > 0.48].any()
    hole = np.zeros((8, 8), np.uint8)
    assert not covered(skin.vertices, skin.normals, cloth, hole).any()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_the_four_strongest_weights_change_continuously(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(52, 0.08), 30)
    nearby = np.abs(weights + rng.normal(0, 1e-6, weights.shape))
    dense = [dense_weights(*strongest_four(w / w.sum(1, keepdims=True))) for w in (weights, nearby)]
    np.testing.assert_allclose(dense[0].sum(1), 1, atol=1e-5)
    assert ((dense[0] > 0).sum(1) <= 4).all()
    assert np.abs(dense[0] - dense[1]).max() < 1e-3
