"""The rasterizer against ray casting, closed forms and counting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.core.camera import Camera
from likeness.synthesis import raster
from likeness.synthesis.raster import Projected, faces_over, project, rasterize, repeated_faces, surface_under
from likeness.synthesis.view import View, look_at
from scipy.spatial import Delaunay

CAMERA = Camera(150, 160, 61.3, 78.1, 128, 160)
VIEW = look_at(CAMERA, np.array([0.6, 1.3, 2.2]), np.array([0.0, 1.0, 0.0]), roll_deg=7)


def knobbly(seed: int = 0) -> trimesh.Trimesh:
    """A closed surface with folds that hide one another."""
    mesh = trimesh.creation.icosphere(5, 0.5)
    phase = np.random.default_rng(seed).random(3) * 6
    bumps = np.sin(mesh.vertices * 9 + phase).prod(1)
    mesh.vertices *= (1 + 0.35 * bumps)[:, None]
    mesh.apply_translation((0, 1, 0))
    return mesh


def tensors(mesh: trimesh.Trimesh) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(mesh.vertices, dtype=torch.float32), torch.tensor(mesh.faces, dtype=torch.int64)


def depth_picture(vertices: torch.Tensor, faces: torch.Tensor, view: View, **options: bool) -> np.ndarray:
    """Exact depth (H, W) at pixel centres, 0 = nothing."""
    flat = project(vertices, [view])
    seen = rasterize(flat, faces, view.camera.height, view.camera.width, **options).triangle[0]
    y, x = (seen >= 0).nonzero(as_tuple=True)
    depth = torch.zeros(seen.shape)
    depth[y, x] = 1 / surface_under(flat, faces, seen[y, x], x.float(), y.float()).nearness
    return depth.numpy()


def world_rays(view: View) -> tuple[np.ndarray, np.ndarray]:
    directions = view.camera.rays().reshape(-1, 3).astype(float) @ view.camera_from_world[:3, :3]
    return np.broadcast_to(view.eye, directions.shape), directions


def test_hits_are_those_of_cast_rays() -> None:
    mesh = knobbly()
    origins, directions = world_rays(VIEW)
    triangle = mesh.ray.intersects_first(origins, directions).reshape(160, 128)
    flat = project(tensors(mesh)[0], [VIEW])
    seen = rasterize(flat, tensors(mesh)[1], 160, 128)
    # Rays through edges may fall to either neighbour: depth is compared there, the triangle elsewhere.
    assert (triangle >= 0).sum() > 4000
    assert ((triangle >= 0) == (seen.triangle[0].numpy() >= 0)).mean() > 0.999
    assert (triangle == seen.triangle[0].numpy()).mean() > 0.999
    hit = triangle >= 0
    normal = mesh.face_normals[triangle[hit]]
    offset = (mesh.triangles[triangle[hit], 0] - VIEW.eye) * normal
    along = directions.reshape(160, 128, 3)[hit]
    exact = offset.sum(1) / (along * normal).sum(1)
    depth = depth_picture(*tensors(mesh), VIEW)[hit]
    same = triangle[hit] == seen.triangle[0].numpy()[hit]
    assert np.quantile(np.abs(depth - exact)[same], 0.999) < 1e-4


def test_last_hits_are_those_of_cast_rays() -> None:
    mesh = knobbly(1)
    origins, directions = world_rays(VIEW)
    points, ray, _ = mesh.ray.intersects_location(origins, directions, multiple_hits=True)
    last = np.zeros(160 * 128)
    np.maximum.at(last, ray, VIEW.to_camera(points)[:, 2])
    found = depth_picture(*tensors(mesh), VIEW, farthest=True).reshape(-1)
    both = (last > 0) & (found > 0)
    assert both.sum() > 4000
    assert (np.abs(found - last)[both] < 1e-3).mean() > 0.995


def test_depth_of_a_tilted_plane_is_exact() -> None:
    corners = torch.tensor([[-3.0, -1, -2], [3, -1, -2], [3, 4, 0.5], [-3, 4, 0.5]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    depth = depth_picture(corners, faces, VIEW)
    local = VIEW.to_camera(corners.numpy()).astype(float)
    normal = np.cross(local[1] - local[0], local[2] - local[0])
    exact = (local[0] @ normal) / (CAMERA.rays().astype(float) @ normal)
    assert (depth > 0).mean() > 0.8
    assert np.abs(depth - exact)[depth > 0].max() < 2e-5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 4, 1000]))
def test_a_tiling_meets_every_pixel_once(seed: int, fineness: int) -> None:
    """Corners on pixel centres and quarters are the hard cases; each triangle is drawn in a picture of its own."""
    rng = np.random.default_rng(seed)
    points = np.round(rng.random((40, 2)) * 30 * fineness) / fineness - 3
    points = np.unique(np.concatenate([points, [[-3, -3], [27, -3], [27, 27], [-3, 27]]]), axis=0)
    faces = Delaunay(points).simplices
    x, y = torch.tensor(points, dtype=torch.float32).T
    flat = Projected(x, y, torch.ones(len(points)), True)
    own = torch.arange(len(faces))
    seen = rasterize(flat, torch.tensor(faces).long(), 24, 24, pictures=len(faces), picture=own)
    hits = (seen.triangle >= 0).sum(0)
    assert (hits == 1).all()


def test_a_closed_surface_has_no_cracks() -> None:
    mesh = trimesh.creation.icosphere(4, 0.8).apply_translation((0, 1, 0))
    seen = depth_picture(*tensors(mesh), VIEW)
    filled = seen > 0
    # A row of a convex outline is one run.
    assert all(np.diff(np.flatnonzero(row)).max(initial=1) == 1 for row in filled)


def test_order_does_not_matter() -> None:
    mesh = knobbly(2)
    vertices, faces = tensors(mesh)
    order = torch.from_numpy(np.random.default_rng(3).permutation(len(faces)))
    flat = project(vertices, [VIEW])
    plain = rasterize(flat, faces, 160, 128)
    mixed = rasterize(flat, faces[order], 160, 128)
    back = torch.where(mixed.triangle >= 0, order[mixed.triangle.clamp(min=0)], -1)
    assert torch.equal(plain.triangle, back)
    assert torch.equal(plain.nearness, mixed.nearness)


def test_pieces_of_work_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    flat, faces = project(tensors(knobbly())[0], [VIEW]), tensors(knobbly())[1]
    whole = rasterize(flat, faces, 160, 128)
    monkeypatch.setattr(raster, "CPU_FRAGMENTS", 777)
    pieces = rasterize(flat, faces, 160, 128)
    assert torch.equal(whole.triangle, pieces.triangle)


def test_several_pictures_are_those_of_each_view() -> None:
    vertices, faces = tensors(knobbly())
    views = [VIEW, look_at(CAMERA, np.array([-1.0, 0.4, 1.5]), np.array([0.0, 1.0, 0.0]))]
    both, picture = repeated_faces(faces, len(vertices), 2)
    seen = rasterize(project(vertices, views), both, 160, 128, pictures=2, picture=picture)
    for number, view in enumerate(views):
        alone = rasterize(project(vertices, [view]), faces, 160, 128).triangle[0]
        mine = seen.triangle[number]
        assert torch.equal(torch.where(mine >= 0, mine % len(faces), -1), alone)


def test_holes_show_what_lies_behind() -> None:
    near = torch.tensor([[-1.0, 0, 1], [1, 0, 1], [1, 2, 1], [-1, 2, 1]])
    far = near - torch.tensor([0.0, 0, 1])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    view = look_at(CAMERA, np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0, 0.0]))
    vertices = torch.cat([near, far])
    flat = project(vertices, [view])
    cut = torch.tensor([True, True, False, False])

    def upper_half(triangle: torch.Tensor, bary: torch.Tensor) -> torch.Tensor:
        return (vertices[faces[triangle], 1] * bary.T).sum(1) > 1

    seen = rasterize(flat, faces, 160, 128, cut=cut, accept=upper_half).triangle[0]
    middle = seen[:, 61]
    crossing = int(CAMERA.cy)
    assert set(middle[crossing - 40 : crossing].tolist()) <= {0, 1}
    assert set(middle[crossing + 2 : crossing + 40].tolist()) <= {2, 3}


def test_nothing_is_seen_behind_the_camera() -> None:
    vertices, faces = tensors(knobbly())
    away = look_at(CAMERA, np.array([0.0, 1.0, 2.2]), np.array([0.0, 1.0, 9.0]))
    seen = rasterize(project(vertices, [away]), faces, 160, 128)
    assert (seen.triangle == -1).all() and (seen.nearness == 0).all()
    inside = look_at(CAMERA, np.array([0.0, 1.0, 0.0]), np.array([0.0, 1.0, 9.0]))
    seen = rasterize(project(vertices, [inside]), faces, 160, 128)
    assert (seen.nearness <= 1 / raster.NEAR_M).all()


def test_parallel_projection_keeps_depth_linear() -> None:
    x, y, height = torch.tensor([0.0, 20, 0]), torch.tensor([0.0, 0, 20]), torch.tensor([1.0, 3, 2])
    flat = Projected(x, y, height, False)
    seen = rasterize(flat, torch.tensor([[0, 1, 2]]), 24, 24)
    rows, columns = (seen.triangle[0] >= 0).nonzero(as_tuple=True)
    exact = 1 + columns / 10 + rows / 20
    assert len(rows) == 210
    assert torch.allclose(seen.nearness[0, rows, columns], exact, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the same pictures on it are not checked")
def test_a_graphics_card_sees_the_same() -> None:
    vertices, faces = tensors(knobbly())
    here = rasterize(project(vertices, [VIEW]), faces, 160, 128).triangle
    there = rasterize(project(vertices.cuda(), [VIEW]), faces.cuda(), 160, 128).triangle.cpu()
    assert (here == there).float().mean() > 0.999


def test_faces_over_wanted_pixels_are_all_that_show_there() -> None:
    vertices, faces = tensors(knobbly())
    flat = project(vertices, [VIEW])
    wanted = torch.zeros((1, 160, 128), dtype=torch.bool)
    wanted[0, 60:70, 40:90] = wanted[0, 100, 30] = True
    kept = faces_over(flat, faces, torch.zeros(len(faces), dtype=torch.int64), wanted).nonzero()[:, 0]
    assert 0 < len(kept) < len(faces) / 2
    whole = rasterize(flat, faces, 160, 128).triangle
    part = rasterize(flat, faces[kept], 160, 128).triangle
    part = torch.where(part >= 0, kept[part.clamp(min=0)], -1)
    assert torch.equal(whole[wanted], part[wanted])
