"""Estimated depth and noisy outlines: how wrong they may be, and how they must not be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.core.camera import Camera
from likeness.synthesis.depth_sensors import SENSORS, simulate
from likeness.synthesis.figure import KINDS
from likeness.synthesis.mono import estimated
from likeness.synthesis.sensor_masks import noisy_mask
from likeness.synthesis.sensor_noise import Chance, Seen
from likeness.synthesis.view import Frame, View
from scipy import ndimage

ESTIMATE = SENSORS["estimate"]
SIZE = 240


def figure(thin: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth (SIZE, SIZE) of a bulging oval at 2.4 m before a wall at 4 m, and the oval; `thin` adds a 2-pixel rod."""
    v, u = np.mgrid[:SIZE, :SIZE]
    away = ((u - 120) / 50.0) ** 2 + ((v - 120) / 95.0) ** 2
    person = away < 1
    depth = np.where(person, 2.4 - 0.15 * np.sqrt(np.maximum(1 - away, 0)), 4.0)
    if thin:
        person[118:120, 170:230] = True
        depth[118:120, 170:230] = 2.4
    return torch.from_numpy(depth).float(), torch.from_numpy(person)


def seen(depth: torch.Tensor, person: torch.Tensor) -> Seen:
    one = torch.ones_like(depth)
    return Seen(depth, one, 0.5 * one, torch.zeros_like(person), person)


def estimate(depth: torch.Tensor, person: torch.Tensor, seed: int, scale: float = 1.0) -> torch.Tensor:
    chance = Chance(torch.Generator().manual_seed(seed), depth)
    return estimated(seen(depth, person), Camera(300, 300, 120, 120, SIZE, SIZE), ESTIMATE, scale, chance)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_an_estimate_is_wrong_in_scale_and_bend_yet_tells_front_from_back(seed: int) -> None:
    depth, person = figure()
    out = estimate(depth, person, seed)
    inner = torch.from_numpy(ndimage.binary_erosion(person.numpy(), iterations=8))
    behind = torch.from_numpy(ndimage.binary_erosion(~person.numpy(), iterations=8))
    assert torch.isfinite(out).all() and (out > 0).all()
    # Four sigma of scale, shift and bend.
    assert 0.6 < (out[inner] / depth[inner]).mean() < 1.7
    assert (out[behind] > out[inner].max()).all()


def test_the_relief_is_flattened_on_average() -> None:
    depth, person = figure()
    inner = torch.from_numpy(ndimage.binary_erosion(person.numpy(), iterations=8))
    rise = depth[inner] - depth[inner].mean()
    left = []
    for seed in range(40):
        out = estimate(depth, person, seed)[inner]
        left.append(
            ((out - out.mean()) * rise).sum().item() / rise.square().sum().item() / (out / depth[inner]).mean().item()
        )
    assert 0.65 < np.mean(left) < 1.0


def test_there_is_no_grain_in_an_estimate() -> None:
    _, person = figure()
    flat = torch.where(person, 2.4, 4.0)
    inner = torch.from_numpy(ndimage.binary_erosion(person.numpy(), iterations=10))
    for seed in range(5):
        out = estimate(flat, person, seed)
        second = (out[:, 2:] - 2 * out[:, 1:-1] + out[:, :-2])[inner[:, 1:-1]]
        assert second.abs().max() < 1e-3


def test_fine_relief_is_lost() -> None:
    depth, person = figure()
    ripples = 0.006 * torch.sin(torch.arange(SIZE) * 2 * torch.pi / 6).expand(SIZE, SIZE)
    inner = torch.from_numpy(ndimage.binary_erosion(person.numpy(), iterations=10))
    kept = []
    for seed in range(10):
        out = estimate(depth + torch.where(person, ripples, 0.0), person, seed) - estimate(depth, person, seed)
        kept.append((out[inner].std() / ripples[inner].std()).item())
    assert np.mean(kept) < 0.5


def test_thin_parts_are_sometimes_missing() -> None:
    depth, person = figure(thin=True)
    rod = np.zeros((SIZE, SIZE), bool)
    rod[118:120, 180:225] = True
    missing = [(estimate(depth, person, seed)[torch.from_numpy(rod)] > 3.2).float().mean().item() for seed in range(40)]
    assert 0.03 < np.mean(missing) < 0.7


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_nothing_is_estimated_where_nothing_is(scale: float) -> None:
    depth, person = figure()
    depth = torch.where(person, depth, 0.0)
    out = estimate(depth, person, 1, scale)
    assert torch.equal(out > 0, depth > 0)
    if scale == 0:
        assert torch.equal(out, depth)
    assert (estimate(torch.zeros(SIZE, SIZE), person & False, 1, scale) == 0).all()


def test_an_estimate_comes_at_the_networks_resolution_on_the_colour_cameras_axes() -> None:
    camera = Camera(900, 900, 383.5, 511.5, 768, 1024)
    view = View(camera, np.eye(4))
    found = simulate(person_frame, view, ESTIMATE, torch.Generator().manual_seed(0))
    assert found.raw.shape == (384, 288) and found.depth.shape == (1024, 768)
    assert np.array_equal(found.raw_view.camera_from_world, view.camera_from_world)


def person_frame(view: View, kind: str = "cloth") -> Frame:
    """An oval person before a wall, a head of hair on top."""
    v, u = np.mgrid[: view.camera.height, : view.camera.width]
    w, h = view.camera.width, view.camera.height
    person = torch.from_numpy(((u - w / 2) / (0.2 * w)) ** 2 + ((v - h / 2) / (0.4 * h)) ** 2 < 1)
    label = torch.where(person, 1 + KINDS.index(kind), 0).to(torch.uint8)
    label[: h // 4] = torch.where(person[: h // 4], 1 + KINDS.index("hair"), 0).to(torch.uint8)
    depth, one, space = torch.where(person, 2.4, 4.0), torch.ones(h, w), torch.zeros(h, w, 3)
    return Frame(space, depth, space, person.float(), person, label, label, person, one, 0.5 * one)


@given(width=st.integers(120, 400), height=st.integers(160, 500), seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_an_outline_errs_but_stays_near(width: int, height: int, seed: int) -> None:
    frame = person_frame(View(Camera(300, 300, width / 2, height / 2, width, height), np.eye(4)))
    mask, truth = noisy_mask(frame, torch.Generator().manual_seed(seed)).numpy(), frame.mask.numpy()
    assert mask.shape == truth.shape and mask.dtype == bool
    size = max(np.ptp(np.nonzero(truth)[0]), np.ptp(np.nonzero(truth)[1])) + 1
    reach = 0.035 * size + 3
    away = ndimage.distance_transform_edt(~truth)
    assert not (mask & (away > reach)).any()
    deep = ndimage.distance_transform_edt(truth)
    # Lost hair takes the skin beside it along.
    body = ndimage.distance_transform_edt(frame.kind.numpy() != 1 + KINDS.index("hair")) > reach
    assert mask[body & (deep > reach)].all()
    union, both = (mask | truth).sum(), (mask & truth).sum()
    assert both / union > 0.8


def test_outlines_differ_and_grow_and_shrink() -> None:
    frame = person_frame(View(Camera(300, 300, 128, 192, 256, 384), np.eye(4)))
    areas = [
        noisy_mask(frame, torch.Generator().manual_seed(seed)).sum().item() / frame.mask.sum().item()
        for seed in range(30)
    ]
    assert min(areas) < 0.99 and max(areas) > 1.005 and 0.95 < np.mean(areas) < 1.03


def test_hair_is_lost_more_than_the_rest() -> None:
    frame = person_frame(View(Camera(300, 300, 128, 192, 256, 384), np.eye(4)))
    deep = ndimage.distance_transform_edt(frame.mask.numpy()) > 12
    hair = deep & (frame.kind.numpy() == 1 + KINDS.index("hair"))
    rest = deep & (frame.kind.numpy() == 1 + KINDS.index("cloth"))
    masks = [noisy_mask(frame, torch.Generator().manual_seed(seed)).numpy() for seed in range(20)]
    assert np.mean([1 - m[hair].mean() for m in masks]) > 0.02
    assert np.mean([1 - m[rest].mean() for m in masks]) < 0.002


def test_thin_limbs_are_lost_now_and_then() -> None:
    frame = person_frame(View(Camera(300, 300, 128, 192, 256, 384), np.eye(4)))
    frame.mask[180:187, 170:245] = True
    limb = np.zeros((384, 256), bool)
    limb[182:185, 190:240] = True
    coverage = frame.mask.float()
    frame = replace(frame, coverage=coverage)
    kept = np.array([noisy_mask(frame, torch.Generator().manual_seed(seed)).numpy()[limb].mean() for seed in range(60)])
    assert 0.03 < (kept < 0.8).mean() < 0.4 and np.median(kept) == 1


def test_without_strength_the_outline_is_true() -> None:
    frame = person_frame(View(Camera(300, 300, 60, 80, 120, 160), np.eye(4)))
    assert torch.equal(noisy_mask(frame, torch.Generator().manual_seed(0), strength=0.0), frame.mask)
