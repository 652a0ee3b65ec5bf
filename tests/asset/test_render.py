"""The CPU renderer against closed forms and libigl."""

from __future__ import annotations

import igl
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.asset.rays import RayScene
from likeness.asset.render import TexturedMesh, linear_to_srgb, render_mesh, srgb_to_linear
from likeness.asset.texture import MipTexture, bilinear, decode_png, encode_png, pull_push
from likeness.core.camera import Camera
from likeness.core.errors import LikenessError

CAMERA = Camera(300.0, 310.0, 79.5, 63.0, 160, 128)


def ball(colour: tuple[int, int, int] = (200, 100, 50)) -> tuple[trimesh.Trimesh, TexturedMesh]:
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=0.3)
    uvs = np.full((len(mesh.faces), 3, 2), 0.5, np.float32)
    texture = np.broadcast_to(np.uint8(colour), (16, 16, 3))
    return mesh, TexturedMesh(np.asarray(mesh.faces, np.int32), uvs, MipTexture(texture))


def test_alpha_of_a_sphere_is_its_outline() -> None:
    mesh, drawn = ball()
    centre = np.array([0.06, -0.04, 2.0])
    image = render_mesh(drawn, mesh.vertices + centre, CAMERA)
    # A ray meets the ball when its distance from the centre is under the radius: exact coverage by dense sampling.
    fine = Camera(CAMERA.fx * 8, CAMERA.fy * 8, (CAMERA.cx + 0.5) * 8 - 0.5, (CAMERA.cy + 0.5) * 8 - 0.5, 1280, 1024)
    rays = fine.rays().astype(np.float64)
    along = rays @ centre / np.linalg.norm(rays, axis=-1)
    inside = centre @ centre - along**2 < 0.3**2
    coverage = inside.reshape(128, 8, 160, 8).mean((1, 3))
    error = np.abs(image[..., 3] / 255.0 - coverage)
    assert error.max() < 0.15
    assert error.mean() < 0.002
    assert (image[image[..., 3] == 0] == 0).all()


def test_straight_alpha_keeps_the_colour_at_the_outline() -> None:
    mesh, drawn = ball((200, 100, 50))
    image = render_mesh(drawn, mesh.vertices + [0, 0, 2.0], CAMERA)
    assert (image[..., 3] == 255).any()
    assert ((image[..., 3] > 0) & (image[..., 3] < 255)).sum() > 20
    assert np.abs(image[image[..., 3] > 0][:, :3].astype(int) - (200, 100, 50)).max() <= 1


def test_first_hits_agree_with_libigl() -> None:
    """libigl's own ray caster tests every triangle in double precision, without Embree."""
    mesh = trimesh.creation.torus(0.5, 0.2)
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    rng = np.random.default_rng(4)
    origins = rng.normal(size=(300, 3)) * 0.2 + [0, 0, 3]
    directions = rng.normal(size=(300, 3)) * 0.15 + [0, 0, -1]
    hits = RayScene(vertices, faces).first_hits(origins, directions)
    nearest = np.full(300, np.inf)
    for ray in range(300):
        found = igl.ray_mesh_intersect(origins[ray], directions[ray], vertices, faces)
        nearest[ray] = min((hit[1] for hit in found), default=np.inf)
    struck = np.isfinite(nearest)
    assert 30 < struck.sum() < 290
    assert (struck == (hits.face >= 0)).mean() > 0.99
    both = struck & (hits.face >= 0)
    np.testing.assert_allclose(hits.distance[both], nearest[both], atol=2e-5)
    places = origins + nearest[:, None] * directions
    np.testing.assert_allclose(hits.interpolate(vertices[faces])[both], places[both], atol=2e-5)


def test_blocked_sees_only_what_lies_before_the_limit() -> None:
    mesh = trimesh.creation.box((1, 1, 1))
    scene = RayScene(mesh.vertices, mesh.faces)
    origins = np.array([[0.1, 0.2, 3.0]] * 3)
    directions = np.array([[0, 0, -1.0], [0, 0, -1.0], [0, 0, 1.0]])
    limit = np.array([2.4, 2.6, 9.0])
    assert scene.blocked(origins, directions, limit).tolist() == [False, True, False]


def test_texture_is_upright_and_not_mirrored() -> None:
    """A quad that fills the picture shows the texture as it is stored: V up means that row 0 is at the top."""
    rng = np.random.default_rng(1)
    texture = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    camera = Camera(576.0, 576.0, 287.5, 287.5, 576, 576)
    vertices = np.array([[-0.5, -0.5, 1], [0.5, -0.5, 1], [0.5, 0.5, 1], [-0.5, 0.5, 1]])
    uvs = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)
    faces = np.array([[0, 3, 2], [0, 2, 1]], np.int32)
    image = render_mesh(TexturedMesh(faces, uvs[faces], MipTexture(texture)), vertices, camera)
    # Nine pixels a texel: each fifth one lies on a texel's centre.
    assert np.abs(image[4::9, 4::9, :3].astype(int) - texture).max() <= 1


def test_small_pictures_average_the_texture() -> None:
    texture = np.zeros((512, 512, 3), np.uint8)
    texture[::2, ::2] = texture[1::2, 1::2] = 255
    camera = Camera(32.0, 32.0, 15.5, 15.5, 32, 32)
    vertices = np.array([[-0.5, -0.5, 1], [0.5, -0.5, 1], [0.5, 0.5, 1], [-0.5, 0.5, 1]])
    uvs = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)
    faces = np.array([[0, 3, 2], [0, 2, 1]], np.int32)
    image = render_mesh(TexturedMesh(faces, uvs[faces], MipTexture(texture)), vertices, camera)
    assert np.abs(image[2:-2, 2:-2, :3].astype(int) - 128).max() <= 3


def test_light_comes_from_above() -> None:
    mesh, drawn = ball((180, 180, 180))
    image = render_mesh(drawn, mesh.vertices + [0, 0, 2.0], CAMERA, lit=True)
    column = image[:, 80]
    rows = np.nonzero(column[:, 3] == 255)[0]
    assert column[rows[2], 0] > column[rows[-3], 0] + 40


def test_nothing_in_view_is_an_empty_picture() -> None:
    mesh, drawn = ball()
    for place in ([0, 0, -2.0], [9.0, 0, 2.0]):
        assert not render_mesh(drawn, mesh.vertices + place, CAMERA).any()


def test_camera_from_world_moves_the_camera() -> None:
    mesh, drawn = ball()
    transform = np.eye(4)
    transform[:3, 3] = (0.1, -0.05, 2.0)
    there = render_mesh(drawn, mesh.vertices, CAMERA, transform)
    here = render_mesh(drawn, mesh.vertices + transform[:3, 3], CAMERA)
    assert there.any()
    assert np.abs(there.astype(int) - here).max() <= 1


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_pull_push_keeps_what_is_known_and_stays_in_range(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((height, width, 2)).astype(np.float32)
    weight = (rng.random((height, width)) < 0.3).astype(np.float32)
    weight[rng.integers(height), rng.integers(width)] = 1
    filled = pull_push(image, weight)
    known = weight > 0
    np.testing.assert_allclose(filled[known], image[known], atol=1e-5)
    assert filled.min() >= image[known].min() - 1e-4
    assert filled.max() <= image[known].max() + 1e-4


def test_bilinear_is_exact_on_a_plane() -> None:
    y, x = np.mgrid[0:20, 0:30]
    plane = (3.0 * x - 2.0 * y + 5.0)[..., None].astype(np.float32)
    pixels = np.random.default_rng(0).random((50, 2)) * (29, 19)
    expected = 3.0 * pixels[:, 0] - 2.0 * pixels[:, 1] + 5.0
    np.testing.assert_allclose(bilinear(plane, pixels)[:, 0], expected, atol=1e-3)


def test_png_round_trip_and_refusal() -> None:
    image = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    assert (decode_png(encode_png(image)) == image).all()
    for bad in (b"", b"not a picture", encode_png(image)[:40]):
        with pytest.raises(LikenessError, match="texture"):
            decode_png(bad)


def test_srgb_curve_matches_the_standard() -> None:
    # IEC 61966-2-1: middle grey 0.5 encoded is 0.2140 linear, and the curve inverts.
    assert abs(float(srgb_to_linear(np.array(0.5))) - 0.21404) < 1e-4
    values = np.linspace(0, 1, 101)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-6)
