"""Places: light and backdrop agree, depths are those of planes, nothing hides the person, seeds bring places back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.core.camera import Camera
from likeness.synthesis.places import KINDS, Place, direction, draw_place, place_of, sample_environment
from likeness.synthesis.scenery import Scenery
from likeness.synthesis.tracer import Tracer
from likeness.synthesis.view import View, look_at

CAMERA = Camera(110.0, 110.0, 47.5, 63.5, 96, 128)
OPEN = ("street", "park", "beach", "night")


def standing(yaw: float, distance: float = 2.6, height: float = 1.3) -> View:
    return look_at(CAMERA, np.array([distance * np.sin(yaw), height, distance * np.cos(yaw)]), np.array([0, 0.9, 0]))


def irradiance(environment: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """By a sum over the pixels' solid angles, in float64."""
    rows, columns = np.mgrid[:32, :64]
    rays = direction(rows, columns).astype(float)
    solid = np.sin((rows + 0.5) * np.pi / 32) * (np.pi / 32) * (2 * np.pi / 64)
    return np.einsum("rc,rc,rck->k", np.clip(rays @ normal, 0, None), solid, environment.astype(float))


@settings(deadline=None, max_examples=8)
@given(st.sampled_from(sorted(KINDS)), st.integers(0, 10**6))
def test_places_come_back_from_json(kind: str, seed: int) -> None:
    place = draw_place(np.random.default_rng(seed), kind)
    again = place_of(**json.loads(json.dumps(place.to_dict())))
    assert np.array_equal(place.environment, again.environment) and place.sun == again.sun
    assert place.exposure == again.exposure and place.kind == kind
    json.dumps(place.describe())
    assert place.environment.shape == (32, 64, 3) and place.environment.dtype == np.float32
    assert np.isfinite(place.environment).all() and (place.environment >= 0).all()


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 10**6))
def test_a_grey_card_is_well_exposed(seed: int) -> None:
    place = draw_place(np.random.default_rng(seed))
    around = [np.array([np.sin(a), 0, np.cos(a)]) for a in np.arange(0, 2 * np.pi, np.pi / 8)]
    light = np.mean([irradiance(place.environment, normal) for normal in around], 0)
    if place.sun is not None:
        facing = np.mean([max(float(normal @ np.array(place.sun.direction)), 0) for normal in around])
        light = light + facing * place.sun.irradiance
    card = 0.5 * light / np.pi * place.exposure @ np.array([0.2126, 0.7152, 0.0722])
    assert 0.25 < card < 0.8


@pytest.mark.parametrize("kind", ["room", "corridor", "park", "beach", "street"])
def test_the_light_that_arrives_is_what_a_camera_sees(kind: str) -> None:
    near = []
    for seed in range(3):
        place = place_of(kind, seed)
        # A camera at the place where the environment is gathered.
        view = look_at(CAMERA, np.array([0.0, 1.2, 0.0]), np.array([np.sin(seed), 1.1, np.cos(seed)]))
        seen = place.backdrop(view).astype(float)
        rays = CAMERA.rays().reshape(-1, 3).astype(float) @ view.camera_from_world[:3, :3]
        told = place.sample_environment(rays).reshape(seen.shape)
        bright = np.percentile(told, 95)
        near.append(np.minimum(seen, bright).mean() / np.minimum(told, bright).mean())
    assert np.abs(np.log(near)).max() < np.log(1.4)
    assert abs(np.log(near).mean()) < np.log(1.15)


def test_directions_and_lookup_are_one_another() -> None:
    rows, columns = np.mgrid[:32, :64]
    rays = direction(rows, columns)
    assert np.allclose(np.linalg.norm(rays, axis=-1), 1, atol=1e-6)
    assert np.allclose(direction(np.array(-0.5), np.array(3.0)), [0, 1, 0], atol=1e-6)
    assert np.allclose(direction(np.array(15.5), np.array(-0.5)), [0, 0, -1], atol=1e-6)
    assert np.allclose(direction(np.array(15.5), np.array(15.5)), [1, 0, 0], atol=1e-6)
    picture = np.random.default_rng(0).random((32, 64, 3)).astype(np.float32)
    found = sample_environment(picture, rays.reshape(-1, 3) * 3).reshape(picture.shape)
    assert np.allclose(found, picture, atol=1e-3)


@pytest.mark.parametrize("kind", OPEN)
def test_the_floor_lies_at_its_depth(kind: str) -> None:
    for seed in range(3):
        place, view = place_of(kind, seed), standing(seed * 2.0)
        depth, floor = place.backdrop_depth(view), place.floor_mask(view)
        rays = CAMERA.rays().astype(float) @ view.camera_from_world[:3, :3]
        truth = np.where(rays[..., 1] < -1e-6, -view.eye[1] / np.minimum(rays[..., 1], -1e-6), 0)
        assert floor.any() and np.allclose(depth[floor], truth[floor], rtol=1e-3)
        below = rays[..., 1] < -0.02
        # What stands on the floor is nearer than the floor behind it.
        assert (depth[below] <= truth[below] * 1.001 + 1e-3).all() and (depth[below] > 0).all()


def test_walls_lie_at_their_depth() -> None:
    wall = ("plaster", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    room = Scenery(("plain", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 1), room=(2.0, 2.6, 3.0, 0.5, 0.25), walls=(wall,) * 4)
    view = look_at(CAMERA, np.array([0.0, 1.3, 2.0]), np.array([0.0, 1.3, 0.0]))
    place = place_of("room", 1)
    plain = Place("room", 1, room, place.environment, None, 1.0, 0.0, "", (1.0, 1.0, 1.0))
    # The wall at z = 0.25 - 3 faces the camera at z = 2.
    assert plain.backdrop_depth(view)[64, 48] == pytest.approx(4.75, rel=1e-4)
    assert not plain.floor_mask(view)[64, 48] and plain.floor_mask(view)[127].any()


@pytest.mark.parametrize("kind", ["corridor", "room", "studio"])
def test_rooms_are_closed_also_for_a_camera_outside(kind: str) -> None:
    for seed in range(3):
        place, view = place_of(kind, seed), standing(seed * 1.3, 6.0)
        assert (place.backdrop_depth(view) > 0.5).all() and (place.backdrop(view).sum(-1) > 0).all()


@settings(deadline=None, max_examples=6)
@given(st.sampled_from(["room", "street", "park", "night"]), st.integers(0, 10**6), st.floats(0, 6.28))
def test_nothing_hides_the_person(kind: str, seed: int, yaw: float) -> None:
    place, view = place_of(kind, seed), standing(yaw, 3.0)
    depth = place.backdrop_depth(view)
    column = view.camera.project(view.to_camera(np.array([[0, y, 0] for y in np.linspace(0.3, 1.8, 20)])))
    along = view.to_camera(np.array([[0, y, 0] for y in np.linspace(0.3, 1.8, 20)]))[:, 2]
    inside = (column[:, 1] > 0) & (column[:, 1] < CAMERA.height - 1)
    found = depth[np.rint(column[inside, 1]).astype(int), np.rint(column[inside, 0]).astype(int)]
    assert ((found == 0) | (found > along[inside])).all()


def test_the_sun_shines_as_strongly_as_it_says() -> None:
    place = next(p for p in (place_of("park", seed) for seed in range(20)) if p.sun is not None)
    assert place.sun is not None
    assert np.linalg.norm(place.sun.direction) == pytest.approx(1, abs=1e-6) and place.sun.direction[1] > 0
    solid = 2 * np.pi * (1 - np.cos(place.sun.radius_rad))
    assert np.allclose(np.array(place.sun.radiance) * solid, place.sun.irradiance, rtol=0.01)


def test_pictures_are_reproducible_and_sized_as_the_camera() -> None:
    view = standing(1.0)
    for kind in KINDS:
        place = place_of(kind, 5)
        first = place.backdrop(view)
        assert first.shape == (128, 96, 3) and np.array_equal(first, place.backdrop(view))
        assert np.isfinite(first).all() and (first >= 0).all() and first.std() > 0


def test_rays_bounded_by_a_projection_find_what_all_rays_find() -> None:
    place, view = place_of("room", 8), standing(0.7)
    rotation = view.camera_from_world[:3, :3]

    rays = torch.from_numpy((CAMERA.rays().astype(float) @ rotation).astype(np.float32))
    free = Tracer(place.scenery, view.eye, rays.permute(2, 0, 1), 1 / CAMERA.fx).cast(hidden=False)
    kept = place.backdrop_depth(view)
    # Without a projection nothing is left out, so where both saw the same thing they saw it at the same place.
    same = np.isclose(free.distance.numpy(), kept, rtol=1e-4)
    assert same.mean() > 0.5
    assert (free.distance.numpy() <= kept * 1.0001).all()
