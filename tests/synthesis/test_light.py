"""Light on synthetic people against closed forms and cast rays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from likeness.synthesis import environment, places
from likeness.synthesis.figure import Dressed, Finish, Layer, Posed
from likeness.synthesis.light import Light, light_scene
from likeness.synthesis.material import glossy_lobe, reflected
from likeness.synthesis.scene import Samples, Scene, Surface, transport_to
from likeness.synthesis.shadow import cast_shadow, light_frame
from likeness.synthesis.visibility import axes, measure_heights, spread_points


class Sky:
    """A place of even or given radiance, with or without a sun."""

    def __init__(self, radiance: float | np.ndarray = 1.0, sun: tuple[float, float, float] | None = None) -> None:
        self.environment = np.broadcast_to(np.asarray(radiance, np.float32), (32, 64, 3)).copy()
        self.sun = None if sun is None else Star(sun)

    def look(self, view, *, device="cpu", colored=True):
        raise NotImplementedError


class Star:
    """A sun that brings an irradiance of pi."""

    def __init__(self, direction: tuple[float, float, float]) -> None:
        self.direction = np.asarray(direction) / np.linalg.norm(direction)
        self.irradiance = np.full(3, np.pi, np.float32)


DULL = Finish(0, 1, 0)


def layer(mesh: trimesh.Trimesh, grey: int = 255, finish: Finish = DULL, sheet: bool = False) -> Layer:
    count = len(mesh.vertices)
    return Layer(
        "thing",
        "cloth",
        1,
        mesh.vertices.astype(np.float32),
        mesh.faces.astype(np.int32),
        np.full((len(mesh.faces), 3, 2), 0.5, np.float32),
        np.zeros((count, 4), np.uint16),
        np.zeros((count, 4), np.float32),
        np.zeros(len(mesh.faces), np.uint8),
        np.zeros(count, np.float32),
        np.full((2, 2, 3), grey, np.uint8),
        sheet=sheet,
        finish=finish,
    )


def scene(*layers: Layer) -> Scene:
    empty = np.zeros((52, 3), np.float32)
    dressed = Dressed({}, "", layers, empty, np.zeros(10, np.float32), empty)
    return Scene(Posed(dressed, layers, empty, empty[0], empty, empty))


def ball(radius: float = 0.4, height: float = 1.0) -> trimesh.Trimesh:
    return trimesh.creation.icosphere(4, radius).apply_translation((0, height, 0))


def at_vertices(stage: Scene, eye: torch.Tensor) -> tuple[Samples, Surface]:
    """A sample at the first corner of every face, seen along the normal's side from `eye` (3,)."""
    count = len(stage.faces)
    corner = stage.faces[:, 0]
    bary = torch.tensor([[1.0], [0], [0]]).expand(3, count)
    zeros = torch.zeros(count, dtype=torch.int64)
    samples = Samples(zeros, zeros, torch.arange(count), bary, torch.ones(count), torch.ones(count))
    normal, position = stage.normals[corner].T, stage.vertices[corner].T
    to_eye = torch.nn.functional.normalize(eye[:, None] - position, dim=0)
    flipped = (normal * to_eye).sum(0) < 0
    normal = torch.where(flipped, -normal, normal)
    uv = torch.full((2, count), 0.5)
    owner = stage.owner
    albedo = stage.textures.albedo(owner, uv, torch.ones(count))
    return samples, Surface(owner, position, normal, to_eye, flipped, albedo, uv)


def test_a_ball_under_an_even_sky_is_as_bright_as_its_colour() -> None:
    stage = scene(layer(ball(), grey=188))
    light = light_scene(stage, Sky(0.7))
    # Nothing of a convex body hides the sky from it.
    assert float(light.open_front.min()) > 0.95
    albedo = ((188 / 255 + 0.055) / 1.055) ** 2.4
    samples, surface = at_vertices(stage, torch.tensor([0.0, 1.0, 3.0]))
    color = reflected(stage, light, samples, surface)[:, ~surface.flipped]
    assert torch.allclose(color, torch.full_like(color, 0.7 * albedo), rtol=0.03)


def test_light_from_one_side_falls_off_with_the_cosine() -> None:
    small = environment.lat_long_directions(32, 64)[..., 0] > np.cos(0.12)
    stage = scene(layer(ball()))
    light = light_scene(stage, Sky(np.where(small[..., None], 50.0, 0.0)))
    towards = stage.normals[:, 0].clamp(min=0)
    share = float((light.front[:, 0] * towards).sum() / (towards * towards).sum())
    assert (light.front[:, 0] - share * towards).abs().max() < 0.25 * share


@pytest.mark.parametrize("away", [0.05, 0.1, 0.25])
def test_a_wall_hides_half_of_the_sky_by_its_angle(away: float) -> None:
    wall = trimesh.creation.box((2.0, 0.4, 0.02)).apply_translation((0, 0.2, -0.01))
    vertices, faces = torch.tensor(wall.vertices, dtype=torch.float32), torch.tensor(wall.faces)
    face, bary = spread_points(vertices, faces, 0.007)
    corners = torch.tensor(wall.vertices[wall.faces], dtype=torch.float32)[face]
    heights = measure_heights((corners * bary.T[:, :, None]).sum(1))
    point, up = torch.tensor([[0.0, 0.0, away]]), torch.tensor([[0.0, 1.0, 0.0]])
    transport = transport_to(heights, point, up)
    # The horizon rises by an angle on one side of a long wall: the sky's share is (1 + its cosine) / 2.
    exact = (1 + np.cos(np.arctan2(0.4, away))) / 2
    assert float(transport.open_front) == pytest.approx(exact, abs=0.08)


@pytest.mark.parametrize("finish", [Finish(0.04, 0.3, 0.0), Finish(0.3, 0.9, 0.3), Finish(0.0, 0.1, 0.1)])
def test_a_white_body_in_a_white_sky_gains_no_light(finish: Finish) -> None:
    hollow = trimesh.creation.torus(0.35, 0.15, major_sections=64, minor_sections=32).apply_translation((0, 1, 0))
    stage = scene(layer(hollow, finish=finish))
    color = reflected(stage, light_scene(stage, Sky(1.0)), *at_vertices(stage, torch.tensor([1.0, 2.0, 2.0])))
    assert float(color.max()) < 1.001
    assert float(color.min()) > 0.3


def test_the_inside_of_a_sheet_takes_its_light_from_its_own_side() -> None:
    bell = trimesh.creation.cylinder(0.2, 0.6, sections=96).apply_transform(
        trimesh.transformations.rotation_matrix(np.pi / 2, (1, 0, 0))
    )
    open_ended = bell.submesh([np.flatnonzero(np.abs(bell.face_normals[:, 1]) < 0.5)], append=True)
    open_ended = open_ended.subdivide_to_size(0.05).apply_translation((0, 1, 0))
    stage = scene(layer(open_ended, sheet=True))
    middle = (stage.vertices[:, 1] - 1).abs() < 0.05
    transport = stage.transport
    assert float(transport.open_front[middle].min()) > 0.94
    # From the middle of a tube's wall the openings fill this share of the half space (discs as seen from the side).
    assert 0.02 < float(transport.open_back[middle].mean()) < 0.2


def test_shadows_are_those_of_cast_rays() -> None:
    body = trimesh.util.concatenate(
        [
            trimesh.creation.icosphere(4, 0.25).apply_translation((0, 1, 0)),
            trimesh.creation.box((0.1, 0.5, 0.1)).subdivide_to_size(0.06).apply_translation((0.35, 1.3, 0.2)),
        ]
    )
    stage = scene(layer(body))
    direction = np.array([0.7, 0.6, 0.35]) / np.linalg.norm([0.7, 0.6, 0.35])
    shadow = cast_shadow(stage, torch.tensor(direction, dtype=torch.float32))
    points, face = trimesh.sample.sample_surface(body, 4000, seed=1)
    facing = body.face_normals[face] @ direction > 0.05
    lifted = points[facing] + body.face_normals[face[facing]] * 1e-3
    blocked = body.ray.intersects_any(lifted, np.broadcast_to(direction, lifted.shape))
    offset = points[facing] + body.face_normals[face[facing]] * 2.5 * shadow.cell_m
    lit = shadow.lit(torch.tensor(offset.T, dtype=torch.float32), 0.002).numpy()
    assert 0.02 < blocked.mean() < 0.5
    assert ((lit < 0.5) == blocked).mean() > 0.97


def test_a_turned_away_side_has_no_sun() -> None:
    stage = scene(layer(ball()))
    light = light_scene(stage, Sky(0.0, sun=(1.0, 0.5, 0.0)))
    samples, surface = at_vertices(stage, torch.tensor([0.0, 1.0, 30.0]))
    color = reflected(stage, light, samples, surface)[0]
    cosine = light.sun_direction @ surface.normal
    bounced = float(light.bounced.max())
    assert bounced < 0.3
    assert float(color[(cosine < -0.1) & ~surface.flipped].max()) <= bounced * 0.05
    # An irradiance of pi makes white, diffuse surfaces as bright as the cosine.
    assert (color - cosine)[(cosine > 0.3) & ~surface.flipped].abs().max() < 0.05


def test_every_patch_of_the_sky_counts_once() -> None:
    directions = torch.from_numpy(np.concatenate([axes(), -axes()]))
    even = environment.gathered(torch.full((32, 64, 3), 0.3), directions)
    assert torch.allclose(even, torch.full_like(even, 0.3), atol=1e-5)
    rough = torch.from_numpy(np.random.default_rng(0).random((32, 64, 3)).astype(np.float32)) ** 4
    size = torch.sin((torch.arange(32) + 0.5) * np.pi / 32)[:, None, None]
    mean = (rough * size).sum((0, 1)) / size.sum() / 64
    assert torch.allclose(environment.gathered(rough, directions).mean(0), mean, rtol=0.03)


def test_directions_agree_with_those_of_places() -> None:
    rows, columns = np.meshgrid(np.arange(32), np.arange(64), indexing="ij")
    assert np.allclose(environment.lat_long_directions(32, 64).numpy(), places.direction(rows, columns), atol=1e-6)
    noise = np.random.default_rng(1).random((32, 64, 3)).astype(np.float32)
    rays = np.random.default_rng(2).normal(size=(500, 3)).astype(np.float32)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    ours = environment.seen_in(
        torch.from_numpy(noise)[None], torch.zeros(500, dtype=torch.int64), torch.from_numpy(rays.T)
    )
    assert np.allclose(ours.numpy().T, places.sample_environment(noise, rays), atol=1e-3)


def test_mirrors_show_where_the_light_is() -> None:
    target = torch.nn.functional.normalize(torch.tensor([[0.6, 0.5, -0.3]]), dim=1)
    spot = (environment.lat_long_directions(32, 64) @ target[0] > 0.95).float()[..., None].expand(32, 64, 3)
    pictures = environment.mirror_pictures(spot)
    for lobe in range(len(environment.LOBES)):
        which = torch.tensor([lobe, lobe])
        towards, against = environment.seen_in(pictures, which, torch.cat([target, -target]).T)[0]
        assert towards > 3 * against
    even = environment.mirror_pictures(torch.full((32, 64, 3), 0.4))
    assert torch.allclose(even, torch.full_like(even, 0.4), atol=1e-5)


@pytest.mark.parametrize("roughness", [0.15, 0.4, 0.8, 1.0])
def test_a_gloss_sends_back_no_more_than_arrives(roughness: float) -> None:
    """The lobe of a perfect mirror's facets, summed over all directions of light, by the midpoint rule."""
    down = (torch.arange(400) + 0.5) / 400 * torch.pi / 2
    turn = (torch.arange(400) + 0.5) / 400 * 2 * torch.pi
    theta, phi = torch.meshgrid(down, turn, indexing="ij")
    light = torch.stack([theta.sin() * phi.cos(), theta.cos(), theta.sin() * phi.sin()]).reshape(3, -1)
    size = (theta.sin() * (torch.pi / 2 / 400) * (2 * torch.pi / 400)).reshape(-1)
    for tilt in (0.0, 0.5, 1.0):
        eye = torch.tensor([[np.sin(tilt)], [np.cos(tilt)], [0.0]], dtype=torch.float32)
        up, ones = torch.tensor([[0.0], [1.0], [0.0]]).expand_as(light), torch.ones(light.shape[1])
        lobe = glossy_lobe(up, eye.expand_as(light), light, ones, roughness * ones)
        total = float((lobe * light[1] * size).sum())
        assert 0.3 < total < 1.005


def test_a_light_s_frame_is_a_rotation() -> None:
    for direction in ((0.0, 1.0, 0.0), (0.3, -0.2, 0.9), (-1.0, 0.0, 0.0)):
        axis = torch.nn.functional.normalize(torch.tensor([direction]), dim=1)[0]
        frame = light_frame(axis)
        assert torch.allclose(frame @ frame.T, torch.eye(3), atol=1e-6)
        assert float(torch.det(frame)) == pytest.approx(1, abs=1e-5)
        assert torch.allclose(frame[2], axis, atol=1e-6)


def test_points_lie_evenly_on_a_surface() -> None:
    box = trimesh.creation.box((0.4, 0.2, 0.6)).subdivide_to_size(0.1)
    vertices, faces = torch.tensor(box.vertices, dtype=torch.float32), torch.tensor(box.faces)
    face, bary = spread_points(vertices, faces, 0.005)
    assert len(face) == pytest.approx(box.area / 0.005**2, rel=0.01)
    assert float(bary.min()) >= 0 and torch.allclose(bary.sum(0), torch.ones(len(face)))
    points = (vertices[faces[face]] * bary.T[:, :, None]).sum(1)
    share = float((points[:, 1] > 0.1 - 1e-5).float().mean())
    assert share == pytest.approx(0.4 * 0.6 / box.area, abs=0.01)


def test_light_is_the_same_on_every_run() -> None:
    def once() -> Light:
        return light_scene(scene(layer(ball())), Sky(0.5, sun=(0.2, 1.0, 0.3)))

    first, second = once(), once()
    assert torch.equal(first.front, second.front) and torch.equal(first.back, second.back)
