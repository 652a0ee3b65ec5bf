"""Sparse extraction against dense marching cubes of scikit-image, closed forms and trimesh."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.core.camera import Camera
from likeness.core.errors import LikenessError
from likeness.surface.anim.extract import Box, Extracted, extract, from_numpy
from likeness.surface.anim.extract_clean import without_islands
from likeness.surface.anim.extract_cubes import EDGES, march, table
from likeness.surface.anim.extract_hull import Silhouette, box_of
from likeness.surface.evaluation.distance import Mesh
from likeness.surface.evaluation.terrace import terraces
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes
from torch import Tensor

from .conftest import photographed

BOX = Box((-1.0, -1.0, 1.0), 2.0)
MIDDLE = torch.tensor([0.03, -0.02, 2.01])


def capsule(points: Tensor, start: list[float], end: list[float], radius: float) -> Tensor:
    a, b = torch.tensor(start), torch.tensor(end)
    share = ((points - a) @ (b - a) / (b - a).square().sum()).clamp(0, 1)
    return (points - a - share[:, None] * (b - a)).norm(dim=1) - radius


def person(points: Tensor) -> Tensor:
    """Trunk, head, arms akimbo that touch the hips, legs: smoothly joined. Two handles: under the arms."""
    p = points - MIDDLE
    parts = [capsule(p, [0, -0.25, 0], [0, 0.2, 0], 0.13), capsule(p, [0, -0.5, 0], [0, -0.48, 0], 0.1)]
    for side in (-1, 1):
        parts.append(capsule(p, [side * 0.1, -0.3, 0], [side * 0.4, -0.1, 0], 0.045))
        parts.append(capsule(p, [side * 0.4, -0.1, 0], [side * 0.1, 0.12, 0], 0.04))
        parts.append(capsule(p, [side * 0.08, 0.25, 0], [side * 0.2, 0.8, 0], 0.06))
    return smooth_union(torch.stack(parts), 0.01)


def smooth_union(parts: Tensor, width: float) -> Tensor:
    return -width * torch.logsumexp(-parts / width, 0)


def torus(points: Tensor) -> Tensor:
    p = points - MIDDLE
    ring = torch.stack([p[:, :2].norm(dim=1) - 0.5, p[:, 2]], 1)
    return ring.norm(dim=1) - 0.1


def plate(points: Tensor) -> Tensor:
    """4 mm thin, leaning."""
    turn = torch.linalg.qr(torch.tensor([[1.0, 0.3, 0.1], [0.2, 1.0, 0.4], [0.1, 0.5, 1.0]]))[0]
    beyond = ((points - MIDDLE) @ turn).abs() - torch.tensor([0.4, 0.3, 0.002])
    return beyond.clamp(min=0).norm(dim=1) + beyond.amax(1).clamp(max=0)


def solid(found: Extracted) -> trimesh.Trimesh:
    return trimesh.Trimesh(found.vertices, found.faces, process=False)


def slab(field: Callable[[Tensor], Tensor], resolution: int, low: int, high: int) -> np.ndarray:
    """scikit-image's vertices (V, 3) in metres of the layers of cells low to high of a dense grid."""
    axes = [torch.arange(low, high + 1), torch.arange(resolution + 1), torch.arange(resolution + 1)]
    nodes = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    step = BOX.side / resolution
    values = torch.cat([field(part * step + torch.tensor(BOX.low)) for part in nodes.split(1 << 18)])
    cube = values.reshape([len(a) for a in axes]).numpy()
    if not (cube.min() < 0 < cube.max()):
        return np.zeros((0, 3))
    vertices = marching_cubes(cube, 0.0, method="lorensen")[0]
    return (vertices + [low, 0, 0]) * step + np.array(BOX.low)


def same_points(first: np.ndarray, second: np.ndarray) -> float:
    return max(cKDTree(first).query(second)[0].max(), cKDTree(second).query(first)[0].max())


@pytest.mark.parametrize(("field", "euler"), [(person, -2), (torus, 0)])
def test_the_mesh_is_that_of_the_dense_grid_and_closed(field, euler):
    found = extract(field, BOX, 128, newton=0)
    mesh = solid(found)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0
    assert mesh.euler_number == euler
    assert same_points(found.vertices, slab(field, 128, 0, 128)) < 1e-4


@settings(max_examples=6)
@given(low=st.integers(40, 200))
def test_random_slabs_at_256_are_those_of_the_dense_grid(low: int):
    found = _person_256()
    dense = slab(person, 256, low, low + 8)
    step = BOX.side / 256
    x = (found.vertices[:, 0] - BOX.low[0]) / step
    ours = found.vertices[(x >= low - 1e-4) & (x <= low + 8 + 1e-4)]
    assert len(dense) == len(ours) == 0 or same_points(ours, dense) < 1e-4


_KEPT: list[Extracted] = []


def _person_256() -> Extracted:
    if not _KEPT:
        _KEPT.append(extract(person, BOX, 256, newton=0))
    return _KEPT[0]


def test_a_fraction_of_the_dense_queries_suffices():
    assert _person_256().queries < 257**3 / 25
    assert solid(_person_256()).euler_number == -2


def test_a_plate_of_four_millimetres_is_whole_at_512():
    found = extract(plate, BOX, 512, newton=2)
    mesh = solid(found)
    assert mesh.is_watertight and mesh.euler_number == 2
    assert mesh.volume == pytest.approx(0.8 * 0.6 * 0.004, rel=0.03)
    unmoved = extract(plate, BOX, 512, newton=0).vertices
    x = (unmoved[:, 0] - BOX.low[0]) / (BOX.side / 512)
    assert same_points(unmoved[(x > 230 - 1e-4) & (x < 232 + 1e-4)], slab(plate, 512, 230, 232)) < 1e-4


def test_384_is_a_grid_of_its_own():
    found = extract(torus, BOX, 384, newton=0)
    x = (found.vertices - np.array(BOX.low)) / (BOX.side / 384)
    on_edges = (np.abs(x - np.round(x)) < 2e-3).sum(axis=1)
    assert (on_edges >= 2).all() and solid(found).euler_number == 0


@settings(max_examples=5)
@given(seed=st.integers(0, 10_000))
def test_any_smooth_field_gives_a_closed_mesh(seed: int):
    """Also where the field is far steeper than said, so that the first guess of cells is wrong."""
    rng = np.random.default_rng(seed)
    waves, phases = torch.from_numpy(rng.normal(0, 9, (6, 3))).float(), torch.from_numpy(rng.uniform(0, 6, 6)).float()
    size = rng.uniform(0.05, 0.3)

    def field(points: Tensor) -> Tensor:
        p = points - MIDDLE
        return 3 * (p.norm(dim=1) - 0.5 + size * torch.sin(p @ waves.T + phases).mean(1))

    found = extract(field, BOX, 128, keep_all=True)
    mesh = solid(found)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0
    assert field(torch.from_numpy(found.vertices)).abs().max() < 0.01


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_noise_gives_a_manifold(seed: int):
    """Every case of the table and every pair of neighbours: each edge has two faces, each vertex one fan."""
    size = 8
    values = torch.from_numpy(np.random.default_rng(seed).normal(size=(size, size, size))).float()
    for side in (0, size - 1):
        values[side], values[:, side], values[:, :, side] = 1, 1, 1
    number = torch.arange(size**3).view(size, size, size)
    near, far = slice(None, -1), slice(1, None)
    corners = torch.stack([number[i, j, k].reshape(-1) for i, j, k in product((near, far), repeat=3)], 1)
    place = torch.stack(torch.meshgrid(*[torch.arange(size)] * 3, indexing="ij"), -1).reshape(-1, 3)
    found = march(corners, values.reshape(-1), place)
    mesh = trimesh.Trimesh(found.vertices.numpy(), found.faces.numpy(), process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent
    edges = np.sort(mesh.edges, axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    # One fan: as many faces at a vertex as neighbours, and the neighbours linked in one ring.
    for vertex in range(0, len(mesh.vertices), 17):
        around = mesh.faces[(mesh.faces == vertex).any(axis=1)]
        links = [tuple(c for c in face if c != vertex) for face in around]
        ring = {links[0][0]}
        for _ in links:
            ring |= {c for link in links if ring & set(link) for c in link}
        assert len(ring) == len(links) == len({c for link in links for c in link})
    # Faces look to where the field is positive: the enclosed volume is that of the inside.
    assert mesh.volume > 0


def test_the_table_uses_exactly_the_crossed_edges():
    counts, triangles = table()
    for case in range(256):
        used = set(triangles[case, : counts[case]].ravel().tolist())
        assert used == {n for n, (a, b) in enumerate(EDGES) if (case >> a & 1) != (case >> b & 1)}


def test_a_thin_part_between_coarse_cells_is_kept_by_one_seed():
    """A wire of 6 mm along cells' edges in a field so steep that no coarse cell suspects it."""
    ball, wire = [0.03, -0.02, 2.01], [-0.5, 0.5, 1.85]

    def field(points: Tensor) -> Tensor:
        body = (points - torch.tensor(ball)).norm(dim=1) - 0.2
        return torch.minimum(body, 8 * capsule(points, wire, [-0.5, 0.5, 2.15], 0.003))

    without = extract(field, BOX, 512, keep_all=True)
    assert solid(without).body_count == 1
    seeds = np.array([[-0.5, 0.5, 2.0]])
    both = solid(extract(field, BOX, 512, seeds=seeds, keep_all=True))
    lengths = sorted(float(np.ptp(piece.vertices[:, 2])) for piece in both.split(only_watertight=False))
    assert both.is_watertight and lengths == pytest.approx([0.306, 0.4], abs=2e-3)


def test_the_silhouette_saves_queries_and_changes_nothing():
    camera = Camera(300.0, 310.0, 150.0, 160.0, 320, 330)
    found = extract(person, BOX, 128)
    pixels = np.round(camera.project(found.vertices)).astype(int)
    mask = np.zeros((330, 320), bool)
    mask[pixels[:, 1], pixels[:, 0]] = True
    narrowed = extract(person, BOX, 128, near=Silhouette(mask, camera))
    assert narrowed.queries < 0.6 * found.queries
    assert np.array_equal(narrowed.vertices, found.vertices) and np.array_equal(narrowed.faces, found.faces)


@settings(max_examples=30)
@given(x=st.floats(-1.5, 1.5), y=st.floats(-1.5, 1.5), z=st.floats(0.5, 4), radius=st.floats(0.005, 0.1))
def test_a_ball_that_meets_the_mask_is_never_ruled_out(x: float, y: float, z: float, radius: float):
    camera = Camera(200.0, 200.0, 99.5, 99.5, 200, 200)
    mask = np.zeros((200, 200), bool)
    mask[60:140, 80:120] = True
    rng = np.random.default_rng(1)
    offsets = rng.normal(size=(400, 3))
    ball = np.array([x, y, z]) + radius * offsets / np.linalg.norm(offsets, axis=1, keepdims=True)
    pixels = np.round(camera.project(ball)).astype(int)
    shown = ((pixels >= 0) & (pixels < 200)).all(axis=1)
    meets = mask[pixels[shown, 1], pixels[shown, 0]].any()
    near = Silhouette(mask, camera, margin_m=0.0)(torch.tensor([[x, y, z]], dtype=torch.float32), radius)
    assert bool(near) or not meets


def test_newton_steps_bring_vertices_onto_the_surface_and_leave_no_terraces():
    ball = lambda points: (points - MIDDLE).norm(dim=1) - 0.4  # noqa: E731
    errors = []
    for steps in (0, 1, 2):
        found = extract(ball, BOX, 128, newton=steps)
        errors.append(np.abs(np.linalg.norm(found.vertices - MIDDLE.numpy(), axis=1) - 0.4).max())
    assert errors[0] > 1e-5 > 1e-6 > errors[1] >= errors[2] * 0.5
    round_one = trimesh.creation.icosphere(6, 0.4)
    truth = Mesh.of(round_one.vertices + MIDDLE.numpy(), round_one.faces)
    camera = Camera(240.0, 240.0, 127.5, 127.5, 256, 256)
    fine = extract(ball, BOX, 256)
    assert terraces(Mesh.of(fine.vertices, fine.faces), truth, camera).index == pytest.approx(1, abs=0.05)


def test_a_surface_that_leaves_the_box_is_closed_there():
    found = extract(lambda points: (points - torch.tensor([-1.0, 0, 2])).norm(dim=1) - 0.5, BOX, 128)
    mesh = solid(found)
    assert mesh.is_watertight and mesh.volume == pytest.approx(2 / 3 * np.pi * 0.125, rel=0.05)


def test_an_empty_field_is_an_error_and_numpy_serves():
    with pytest.raises(LikenessError, match="no surface"):
        extract(lambda points: torch.ones(len(points)), BOX, 128)
    with pytest.raises(ValueError, match="resolution"):
        extract(torus, BOX, 100)
    found = extract(from_numpy(lambda p: np.linalg.norm(p - MIDDLE.numpy(), axis=1) - 0.3), BOX, 128)
    assert solid(found).volume == pytest.approx(4 / 3 * np.pi * 0.027, rel=0.01)


def test_a_formless_field_is_an_error_before_it_fills_the_memory():
    with pytest.raises(LikenessError, match="no clear surface"):
        extract(lambda points: torch.sin(points.sum(1) * 900) * 0.01, BOX, 256)


def test_islands_go_and_real_parts_stay():
    def ball(radius: float, x: float, flip: bool = False) -> trimesh.Trimesh:
        mesh = trimesh.creation.icosphere(2, radius)
        mesh.apply_translation((x, 0, 0))
        if flip:
            mesh.invert()
        return mesh

    body, bubble, near, far, crumb = (
        ball(0.3, 0),
        ball(0.1, 0, True),
        ball(0.05, 0.38),
        ball(0.1, 0.8),
        ball(0.01, 0.33),
    )
    every = trimesh.util.concatenate([body, bubble, near, far, crumb])
    vertices, faces = every.vertices.astype(np.float32), every.faces.astype(np.int32)

    def kept(seeds: np.ndarray | None, near_m: float = 0.05) -> set[float]:
        out = trimesh.Trimesh(*without_islands(vertices, faces, seeds, 0.004, near_m), process=False)
        return {round(float(np.ptp(piece.vertices[:, 0]) / 2), 2) for piece in out.split()}

    assert kept(None) == {0.3, 0.05}
    assert kept(crumb.vertices) == {0.3, 0.05, 0.01}
    assert kept(far.vertices) == {0.3, 0.05, 0.1}
    assert kept(None, 0.5) == {0.3, 0.05, 0.1}


def test_the_cube_fits_the_outline():
    """A ball seen by a camera: the cube is just larger than it, within the network's, and the mesh is the ball."""
    round_one = trimesh.creation.icosphere(5, 0.3)
    capture = photographed(round_one.vertices + [0.2, -0.1, 2.0], round_one.faces)
    centre = np.array([0.2, -0.1, 1.95])
    box = box_of(capture, centre, 2.4)
    assert 0.6 < box.side < 1.0
    assert (np.array(box.low) < [-0.1, -0.4, 1.7]).all() and (np.array(box.low) + box.side > [0.5, 0.2, 2.3]).all()
    middle = torch.tensor([0.2, -0.1, 2.0])
    near = Silhouette(capture.mask, capture.camera)
    found = extract(lambda points: (points - middle).norm(dim=1) - 0.3, box, 128, seeds=capture.points(), near=near)
    assert solid(found).is_watertight
    assert np.abs(np.linalg.norm(found.vertices - middle.numpy(), axis=1) - 0.3).max() < 1e-5
    whole = box_of(capture, centre, 0.65)
    assert whole.side == pytest.approx(0.65) and np.allclose(np.array(whole.low) + 0.325, centre)
