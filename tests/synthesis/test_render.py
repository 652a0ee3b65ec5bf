"""Rays, depth and light against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from likeness.core.camera import Camera
from likeness.synthesis.layer import Layer
from likeness.synthesis.person import SyntheticPerson
from likeness.synthesis.render import develop, render_color, render_depth, standing_view, to_camera
from likeness.synthesis.room import Room
from likeness.synthesis.shading import (
    Lighting,
    bounced_light,
    cosine_directions,
    direct_light,
    linear_textures,
    spread_squares,
    surface_at,
)
from likeness.synthesis.tracing import Scene, sample_texture
from likeness.synthesis.wardrobe import Recipe

CAMERA = Camera(150, 160, 61.3, 78.1, 128, 160)


def layer(mesh: trimesh.Trimesh, material: str = "cloth", alpha: np.ndarray | None = None, grey: int = 188) -> Layer:
    vertices = mesh.vertices.astype(np.float32)
    uvs = np.tile(np.array([[0.5, 0.5]], np.float32), (len(mesh.faces), 3, 1))
    weights, color = np.zeros((len(vertices), 24), np.float32), np.full((1, 1, 3), grey, np.uint8)
    return Layer("thing", material, vertices, mesh.faces.astype(np.int32), uvs, weights, color, alpha)


def statue(*layers: Layer) -> SyntheticPerson:
    recipe = Recipe("statue", {}, "", (), None)
    zeros = np.zeros((24, 3), np.float32)
    return SyntheticPerson(recipe, layers, zeros, zeros, np.tile(np.eye(3, dtype=np.float32), (24, 1, 1)), zeros)


def ball(radius: float = 0.5, height: float = 1.0) -> trimesh.Trimesh:
    return trimesh.creation.icosphere(6, radius).apply_translation((0, height, 0))


def sphere_depth(view, centre: np.ndarray, radius: float) -> np.ndarray:
    rays = view.camera.rays().astype(float)
    a, b, c = (rays**2).sum(-1), rays @ centre, centre @ centre - radius**2
    root = b**2 - a * c
    return np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, 0)


def test_depth_of_a_sphere_is_the_quadratic_s_root() -> None:
    view = standing_view(CAMERA)
    clean = render_depth(statue(layer(ball())), view)
    exact = sphere_depth(view, to_camera(view, np.array([0.0, 1.0, 0.0])).astype(float), 0.5)
    # The outline may differ by the facets' sagitta, a tenth of a millimetre, which is less than a pixel.
    assert ((clean.depth > 0) != (exact > 0)).mean() < 2e-3
    both = (clean.depth > 0) & (exact > 0) & (clean.cosine > 0.2)
    assert both.sum() > 2000
    assert np.abs(clean.depth - exact)[both].max() < 5e-4
    assert clean.person.sum() == (clean.depth > 0).sum()


def test_depth_of_the_floor_is_the_plane_s() -> None:
    view = standing_view(CAMERA)
    clean = render_depth(statue(layer(ball(0.01, 0.02))), view, room=Room(back_m=50))
    rays = view.camera.rays().reshape(-1, 3) @ view.camera_from_world[:3, :3]
    eye = -view.camera_from_world[:3, :3].T @ view.camera_from_world[:3, 3]
    depth = np.where(rays[:, 1] < 0, -eye[1] / np.minimum(rays[:, 1], -1e-9), 0).reshape(clean.depth.shape)
    lower = np.zeros_like(clean.person)
    lower[-20:] = True
    assert np.abs(clean.depth - depth)[lower & ~clean.person].max() < 1e-4


def test_camera_is_right_handed_and_upright() -> None:
    view = standing_view(CAMERA)
    rotation = view.camera_from_world[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    left_hand, head, feet = to_camera(view, np.array([[0.5, 1, 0], [0, 1.8, 0], [0, 0, 0]]))
    assert left_hand[0] > 0.49, "a person who faces the camera has the left hand on the picture's right"
    assert head[1] < feet[1]


def test_a_cut_out_texture_lets_rays_through() -> None:
    view = standing_view(CAMERA)
    glass = layer(ball(0.5), alpha=np.zeros((1, 1), np.uint8))
    both = render_depth(statue(glass, layer(ball(0.2))), view)
    inner = render_depth(statue(layer(ball(0.2))), view)
    np.testing.assert_allclose(both.depth, inner.depth, atol=1e-3)
    solid = render_depth(statue(layer(ball(0.5), alpha=np.full((1, 1), 255, np.uint8)), layer(ball(0.2))), view)
    assert (solid.depth > 0).sum() > 2 * (inner.depth > 0).sum()


def test_a_matt_sphere_under_an_even_sky_returns_its_albedo() -> None:
    lighting = Lighting(radiance=(0, 0, 0), ceiling=(1, 1, 1), surround=(1, 1, 1))
    scene = Scene((layer(ball()),))
    rng = np.random.default_rng(0)
    count = 20000
    directions = np.tile(np.array([[0, 0, -1]], np.float32), (count, 1))
    offset = rng.uniform(-0.3, 0.3, (count, 2))
    origins = np.concatenate([offset + (0, 1), np.full((count, 1), 3)], 1).astype(np.float32)
    surface = surface_at(scene, linear_textures(scene), Room(), origins, directions, scene.cast(origins, directions))
    light = bounced_light(scene, linear_textures(scene), Room(), lighting, surface, rng, rng.random((count, 2)))
    albedo = ((188 / 255 + 0.055) / 1.055) ** 2.4
    assert light.mean() == pytest.approx(albedo, rel=0.02)  # the sheen adds up to one part in a hundred


def test_a_small_far_window_obeys_the_inverse_square() -> None:
    lighting = Lighting(corner=(-0.05, 4, -0.05), edge_a=(0.1, 0, 0), edge_b=(0, 0, 0.1), radiance=(100, 100, 100))
    mesh = trimesh.creation.box((4, 0.02, 4)).apply_translation((0, -0.01, 0))
    scene = Scene((layer(mesh, "room"),))
    origins = np.zeros((4000, 3), np.float32) + np.array([0, 1, 0], np.float32)
    down = np.tile(np.array([[0, -1, 0]], np.float32), (4000, 1))
    surface = surface_at(scene, linear_textures(scene), Room(), origins, down, scene.cast(origins, down))
    light = direct_light(scene, lighting, surface, np.random.default_rng(1))
    # Seen and lit along the normal, GGX is F / (4 pi alpha^2) with F = 0.01 and alpha = 0.6^2.
    reflected = surface.albedo.mean() / np.pi + 0.01 / (4 * np.pi * 0.6**4)
    assert light.mean() == pytest.approx(reflected * 100 * 0.01 / 16, rel=2e-3)


def test_sampled_directions_are_cosine_distributed_and_sequences_fill_the_square() -> None:
    normals = np.tile(np.array([[0.6, 0.0, 0.8]], np.float32), (40000, 1))
    squares = np.concatenate([spread_squares(np.full((1, 2), 0.3, np.float32), k) for k in range(40000)])
    cosine = (cosine_directions(normals, squares) * normals).sum(1)
    assert (cosine > -1e-3).all()
    assert cosine.mean() == pytest.approx(2 / 3, abs=1e-3)
    cells = np.histogram2d(*squares.T, bins=20, range=[[0, 1], [0, 1]])[0]
    assert cells.min() > 90 and cells.max() < 110  # independent numbers would spread over 70..130


def test_textures_are_read_between_texel_centres() -> None:
    texture = np.arange(8, dtype=np.uint8).reshape(2, 4, 1) * 10
    uv = np.array([[1 / 8, 3 / 4], [1 / 4, 3 / 4], [1 / 8, 1 / 2]], np.float32)
    np.testing.assert_allclose(sample_texture(texture, uv)[:, 0], [0, 5, 20])


def test_developing_is_monotonic_and_keeps_mid_grey() -> None:
    ramp = develop(np.linspace(0, 6, 1000)[None, :, None].repeat(3, 2), exposure=1.0)
    assert (np.diff(ramp[0, :, 0].astype(int)) >= 0).all() and ramp[0, -1, 0] == 255
    assert abs(int(develop(np.full((1, 1, 3), 0.2140), exposure=1.0)[0, 0, 0]) - 127) <= 1


def test_the_same_seed_gives_the_same_picture() -> None:
    view = standing_view(CAMERA.scaled(48, 60))
    pictures = [render_color(statue(layer(ball(0.3), "skin")), view, samples=2, seed=s) for s in (4, 4, 5)]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])
