"""Splitting edges keeps what a mesh is and rounds what it stands for."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.surface.refine import DrapeMesh, body_corners, refine_long_edges


def as_drape_mesh(mesh: trimesh.Trimesh) -> DrapeMesh:
    """Weights: barycentric in height, so that they are known at every new vertex; UVs: the corner's x and y."""
    vertices = np.asarray(mesh.vertices, np.float64)
    faces = np.asarray(mesh.faces, np.int64)
    high = (vertices[:, 2] - vertices[:, 2].min()) / np.ptp(vertices[:, 2])
    return DrapeMesh(
        vertices=vertices,
        rest=vertices * 2,
        faces=faces,
        corner_uvs=vertices[faces][..., :2],
        weights=np.stack([high, 1 - high], axis=1),
        parts=(high > 0.5).astype(np.uint8),
        origin=sparse.eye_array(len(vertices), format="csr"),
    )


@settings(max_examples=20, deadline=None)
@given(limit=st.floats(0.05, 0.8), squash=st.floats(0.3, 3.0))
def test_refinement_keeps_a_closed_mesh_closed(limit: float, squash: float) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=1)
    sphere.vertices[:, 0] *= squash
    fine = refine_long_edges(as_drape_mesh(sphere), limit, passes=8)
    out = trimesh.Trimesh(fine.vertices, fine.faces, process=False)
    assert out.is_watertight
    assert out.is_winding_consistent
    assert out.euler_number == 2
    assert out.volume >= sphere.volume - 1e-9
    assert out.edges_unique_length.max() <= limit * 1.001
    assert (out.area_faces > 0).all()
    np.testing.assert_allclose(fine.weights.sum(axis=1), 1)
    corners, shares = body_corners(fine.origin)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    before = as_drape_mesh(sphere).weights
    np.testing.assert_allclose(np.einsum("vk,vkc->vc", shares, before[corners]), fine.weights, atol=1e-6)
    np.testing.assert_allclose(fine.rest, fine.vertices * 2, atol=1e-9)


def test_split_sphere_is_rounder_than_its_facets() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=1)
    fine = refine_long_edges(as_drape_mesh(sphere), 0.1)
    radius = np.linalg.norm(fine.vertices, axis=1)
    # Chords of this sphere's edges (0.55 and 0.62 long) pass 0.048 below it.
    assert radius.min() > 0.99
    assert radius.max() < 1.01


def test_flat_meshes_stay_flat_and_uvs_follow() -> None:
    box = trimesh.creation.box(extents=(1, 2, 3))
    # Each side on its own: the normals at the rim of a box belong to no side.
    box = trimesh.Trimesh(box.vertices[box.faces].reshape(-1, 3), np.arange(36).reshape(-1, 3), process=False)
    fine = refine_long_edges(as_drape_mesh(box), 0.4, passes=8)
    out = trimesh.Trimesh(fine.vertices, fine.faces, process=False)
    assert out.area == np.float64(22.0).item() or abs(out.area - 22.0) < 1e-9
    np.testing.assert_allclose(fine.corner_uvs, fine.vertices[fine.faces][..., :2], atol=1e-12)


def test_short_edges_are_left_alone() -> None:
    mesh = as_drape_mesh(trimesh.creation.icosphere(subdivisions=3))
    assert refine_long_edges(mesh, 1.0) is mesh
