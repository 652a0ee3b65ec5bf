"""ANIM on top of the two-layer guess: its grid, what it starts from, and the bound by observed free space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from anim_shapes import CAMERA, CAPSULE, Capsule, inputs
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.surface.anim import predict
from likeness.surface.anim.bound import free_space
from likeness.surface.anim.config import LAYERED, faithful
from likeness.surface.anim.guess import Guess, RayGrid, solid_of
from likeness.surface.anim.inputs import stacked
from likeness.surface.anim.losses import sign_loss
from likeness.surface.anim.network import AnimNet
from likeness.surface.anim.predict import bounded, predict_anim
from likeness.surface.layers.predict import Layers
from likeness.surface.layers.spans import Gap

STEP = 0.006
K = torch.tensor([300.0, 290.0, 20.0, 25.0])
SMALL = replace(LAYERED, image=64, voxel_widths=(8, 12, 16, 16), lr_width=16, hr_width=16, head=(16, 16))


def layers_of(shape: Capsule, camera=CAMERA) -> Layers:
    """The true first and last hits."""
    front, rays = shape.depth(camera).astype(float), camera.rays().astype(float)
    unit, reach = rays / np.linalg.norm(rays, axis=-1, keepdims=True), np.full(front.shape, 6.0)
    for _ in range(200):
        reach = np.maximum(reach - shape.sdf(unit * reach[..., None]), 0)
    mask = front > 0
    return Layers(front, np.where(mask, reach * unit[..., 2], 0), mask, mask, camera)


def no_gap(layers: Layers) -> Gap:
    nothing = np.zeros(layers.mask.shape)
    return Gap(nothing, nothing, nothing > 0)


def guess(shape: Capsule, size: int) -> Guess:
    layers = layers_of(shape)
    maps = torch.zeros(4, size, size)
    return Guess(maps, solid_of(layers, no_gap(layers), STEP), torch.zeros(48, 8, 8), K, 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_a_grid_on_rays_is_exact_where_its_numbers_are_linear(seed):
    rng = np.random.default_rng(seed)
    a, b, c, d = rng.uniform(-1, 1, 4)
    k, v, u = np.mgrid[:5, :7, :6]
    grid = RayGrid(torch.from_numpy((a + b * k + c * v + d * u).astype(np.float32)), K, 1.9, 0.05)
    place = rng.uniform(0, 1, (20, 3)) * (4, 6, 5)
    z = 1.9 + 0.05 * place[:, 0]
    points = np.stack([(place[:, 2] - 20) / 300 * z, (place[:, 1] - 25) / 290 * z, z], 1)
    found = grid.at(torch.from_numpy(points.astype(np.float32))).numpy()
    assert np.abs(found - (a + place @ (b, c, d))).max() < 2e-3


def test_beyond_the_grid_its_rim_counts_and_the_way_there():
    grid = RayGrid(torch.full((3, 4, 4), 0.2), K, 2.0, 0.1)

    def at(u, v, z):
        return grid.at(torch.tensor([[(u - 20) / 300 * z, (v - 25) / 290 * z, z]])).item()

    assert at(1, 1, 2.1) == pytest.approx(0.2)
    assert at(1, 1, 2.7) == pytest.approx(0.2 + 0.5, abs=1e-5)
    assert at(-30, 1, 2.1) == pytest.approx(0.2 + 30 / 300 * 2.1, abs=1e-5)


def test_the_guessed_distance_is_metric_near_and_far_of_the_surface():
    layers = layers_of(CAPSULE)
    grid = solid_of(layers, no_gap(layers), STEP)
    rng = np.random.default_rng(0)
    surface = rng.normal(0, 1, (4000, 3)) * 0.3 + (CAPSULE.a + CAPSULE.b) / 2
    surface = surface - CAPSULE.normal(surface) * CAPSULE.sdf(surface)[:, None]
    for away, error in ((0.0, 0.004), (0.01, 0.005), (-0.01, 0.005), (0.06, 0.009), (-0.06, 0.009)):
        points = surface + away * CAPSULE.normal(surface)
        found = grid.at(torch.from_numpy(points.astype(np.float32))).numpy()
        miss = np.abs(found - away)
        # The outline is rounded by a pixel.
        assert np.median(miss) < error / 2 and np.percentile(miss, 95) < error, away
        assert away == 0 or (np.sign(found) == np.sign(away)).all()


def test_untrained_the_zero_level_is_the_surface_that_was_guessed(monkeypatch):
    torch.manual_seed(0)
    net = AnimNet(SMALL).eval()
    monkeypatch.setattr(predict, "guess_of", lambda *_: guess(CAPSULE, SMALL.image))
    surface = predict_anim(CAPSULE.capture(), net, resolution=128)
    away = np.abs(CAPSULE.sdf(surface.vertices.astype(float)))
    assert np.median(away) < 0.0005 and np.percentile(away, 95) < 0.004 and away.max() < 0.01


def test_every_part_of_what_is_guessed_is_learnt_from():
    torch.manual_seed(0)
    net = AnimNet(SMALL)
    torch.nn.init.normal_(net.head.mlp.last.weight)
    seen = inputs(CAPSULE, SMALL)
    one = guess(CAPSULE, SMALL.image)
    points = torch.from_numpy(np.random.default_rng(0).normal(0, 0.2, (1, 200, 3)).astype(np.float32))
    points += torch.from_numpy((CAPSULE.a + CAPSULE.b) / 2).float()
    told = net.encode(replace(seen, guess=(one,))).distances(points)
    moved = replace(one.solid, first_m=one.solid.first_m + 0.02)
    for other in (
        replace(one, solid=moved),
        replace(one, features=torch.ones(48, 8, 8)),
        replace(one, maps=torch.full_like(one.maps, 2.0)),
    ):
        assert (net.encode(replace(seen, guess=(other,))).distances(points) - told).abs().mean() > 1e-4
    pair = stacked([replace(seen, guess=(one,))] * 2)
    assert torch.allclose(net.encode(pair).distances(points.expand(2, -1, -1))[1], told[0], atol=1e-5)


def test_without_the_option_there_is_no_guess():
    paper = faithful(SMALL)
    assert not paper.explicit_back and AnimNet(paper).layers is None
    with pytest.raises(ValueError, match="guess"):
        AnimNet(SMALL).encode(inputs(CAPSULE, SMALL))


def test_free_space_never_reaches_into_the_person():
    free = free_space(CAPSULE.capture())
    middle = (CAPSULE.a + CAPSULE.b) / 2
    points = middle + np.random.default_rng(0).uniform(-0.6, 0.6, (20_000, 3))
    points = points[CAPSULE.sdf(points) < 0.15]
    found = free.at(torch.from_numpy(points.astype(np.float32))).numpy()
    truth = CAPSULE.sdf(points)
    assert (found - truth)[truth > -0.05].max() < 0, "a lower bound"
    before = (truth > 0.1) & (points[:, 2] < middle[2] - CAPSULE.radius)
    assert before.sum() > 50 and found[before].min() > -0.01 and np.median(found[before]) > 0.03


def test_free_space_is_known_where_most_of_the_person_has_no_reading():
    """As far as the sensor reaches: the rest of the mask rules nothing out."""
    capture = CAPSULE.capture()
    depth = capture.depth.copy()
    rows = np.flatnonzero((depth > 0).any(1))
    depth[: rows[len(rows) * 3 // 4]] = 0
    free = free_space(replace(capture, depth=depth))
    middle = (CAPSULE.a + CAPSULE.b) / 2
    points = middle + np.random.default_rng(0).uniform(-0.6, 0.6, (20_000, 3))
    points = points[CAPSULE.sdf(points) < 0.15]
    found, truth = free.at(torch.from_numpy(points.astype(np.float32))).numpy(), CAPSULE.sdf(points)
    assert found[truth < 0].max() < 0 and (found > 0.03).any()


def test_what_stands_in_free_space_is_taken_away():
    free = free_space(CAPSULE.capture())
    blob = Capsule((-0.1, 0.0, 1.6), (-0.1, 0.0, 1.6), 0.08)

    def field(points):
        return torch.from_numpy(
            np.minimum(CAPSULE.sdf(points.double().numpy()), blob.sdf(points.double().numpy())).astype(np.float32)
        )

    inner = torch.tensor([[-0.1, 0.0, 1.6]])
    assert field(inner) < 0 < bounded(field, free)(inner)
    hidden = torch.from_numpy((CAPSULE.a[None] + [[0, 0, 0.1]]).astype(np.float32))
    assert bounded(field, free)(hidden) == field(hidden)


def test_the_sign_asks_for_the_place_and_against_flat_fields():
    truth = torch.randn(4000, generator=torch.Generator().manual_seed(0)) * 0.03
    right = sign_loss(truth, truth)
    for wrong in (truth + 0.005, truth - 0.005, 0.2 * truth, -truth):
        assert sign_loss(wrong, truth) > right + 0.005
