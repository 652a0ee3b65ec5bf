"""Captures become ANIM's inputs without a shift anywhere: pictures, nodes, samples, flips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from anim_shapes import CAMERA, CAPSULE, SPHERE, inputs, targets
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.core.camera import Camera
from likeness.core.errors import LikenessError
from likeness.jobs.anim_data import flipped_inputs, flipped_targets
from likeness.surface.anim.config import SMALL, TINY
from likeness.surface.anim.crop import averaged, crop_camera, nearest
from likeness.surface.anim.inputs import (
    back_project,
    cosines,
    depth_edges,
    inputs_of,
    project,
    stacked,
    surface_normals,
)
from likeness.surface.anim.sampling import depth_at, query_body, query_depth, sample_picture
from likeness.surface.anim.voxels import HULL_LEVEL, Frame, VoxelFeatures, hull_nodes, occupied
from likeness.surface.sparse import Sites, SparseTensor
from torch import nn


@settings(max_examples=30, deadline=None)
@given(
    st.floats(100, 2000),
    st.floats(100, 2000),
    st.floats(-400, 700),
    st.floats(-400, 700),
    st.floats(0.3, 6),
)
def test_projection_round_trip(fx, fy, cx, cy, z):
    lens = torch.tensor([[fx, fy, cx, cy]], dtype=torch.float64)
    points = back_project(torch.full((1, 1, 48, 64), z, dtype=torch.float64), lens)
    pixels = project(points.flatten(2).transpose(1, 2), lens).view(48, 64, 2)
    v, u = torch.meshgrid(torch.arange(48), torch.arange(64), indexing="ij")
    assert (pixels - torch.stack([u, v], -1)).abs().max() < 1e-4


def test_projection_agrees_with_the_camera():
    points = np.random.default_rng(0).normal(0, 0.3, (50, 3)) + (0, 0, 2)
    lens = torch.tensor([[CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy]])
    ours = project(torch.from_numpy(points.astype(np.float32))[None], lens)[0]
    assert np.abs(ours.numpy() - CAMERA.project(points)).max() < 1e-3


def test_crop_follows_the_picture():
    """A picture whose value is its own pixel coordinate is a ruler for the crop."""
    mask = np.zeros((240, 320), bool)
    mask[30:201, 100:161] = True
    crop = crop_camera(mask, CAMERA, 128)
    v, u = np.mgrid[:240, :320].astype(np.float32)
    points = np.random.default_rng(1).uniform(-0.2, 0.2, (100, 3)) + (0, 0, 2)
    here, there = crop.project(points), CAMERA.project(points)
    ruler = averaged(np.stack([u, v], -1), CAMERA, crop)
    rows, columns = np.round(here[:, 1]).astype(int), np.round(here[:, 0]).astype(int)
    step = CAMERA.fx / crop.fx
    expected = there + (np.stack([columns, rows], 1) - here) * step
    assert np.abs(ruler[rows, columns] - expected).max() < 0.51
    assert np.abs((ruler[rows, columns] - expected).mean(0)).max() < 0.1
    where = np.argwhere(nearest(mask, CAMERA, crop))
    assert where.min() > 5 and where.max() < 122
    assert abs((where.min(0) + where.max(0))[0] / 2 - 63.5) < 1


@pytest.mark.parametrize("shape", [SPHERE, CAPSULE])
def test_shapes_through_the_whole_input(shape):
    x = inputs(shape, SMALL)
    seen = x.depth[0, 0] > 0
    points = back_project(x.depth, x.intrinsics)[0].permute(1, 2, 0)[seen].numpy()
    # A pixel of the crop takes the nearest reading, up to half a pixel of 7 mm away.
    assert np.abs(shape.sdf(points)).mean() < 0.002
    normals, valid = surface_normals(x.depth, x.intrinsics)
    ok = (valid[0, 0] & (cosines(normals, x.intrinsics)[0, 0] > 0.4)).numpy()
    found = normals[0].permute(1, 2, 0).numpy()[ok]
    truth = shape.normal(back_project(x.depth, x.intrinsics)[0].permute(1, 2, 0).numpy()[ok])
    angle = np.degrees(np.arccos(np.clip((found * truth).sum(1), -1, 1)))
    assert np.median(angle) < 4 and ok.mean() > 0.15
    half = SMALL.side_m / 2
    assert (np.abs(points - x.centre[0].numpy()) < half).all()


def test_normals_of_a_tilted_plane_are_exact():
    camera = Camera(200.0, 210.0, 31.0, 30.0, 64, 64)
    normal = np.array([0.3, -0.4, -0.9])
    normal /= np.linalg.norm(normal)
    depth = (2.0 * normal[2] / (camera.rays() @ normal)).astype(np.float64)
    lens = torch.tensor([[200.0, 210.0, 31.0, 30.0]], dtype=torch.float64)
    found, valid = surface_normals(torch.from_numpy(depth)[None, None], lens, smooth=False)
    assert valid.all()
    assert np.abs(found[0].permute(1, 2, 0).numpy() - normal).max() < 1e-6


def test_a_capture_without_depth_is_refused():
    capture = replace(SPHERE.capture(), depth=np.zeros((240, 320), np.float32))
    with pytest.raises(LikenessError, match="no depth"):
        inputs_of(capture, TINY)


@pytest.mark.parametrize("stride", [2, 4])
def test_features_lie_where_their_layers_put_them(stride):
    """A ramp through the stem's geometry (and the pooling) is read back as pixel coordinates."""
    v, u = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    stem = nn.Conv2d(1, 1, 7, stride=2, padding=3, bias=False)
    stem.weight.data.zero_()[0, 0, 3, 3] = 1
    made = torch.cat([stem(u[None, None]), stem(v[None, None])], 1).detach()
    if stride == 4:
        made = nn.functional.avg_pool2d(made, 2)
    pixels = torch.rand(1, 200, 2, generator=torch.Generator().manual_seed(0)) * 50 + 6
    assert (sample_picture(made, pixels, stride=stride) - pixels).abs().max() < 1e-4


def test_depth_is_never_mixed_across_a_step():
    depth = torch.full((1, 1, 8, 8), 2.0)
    depth[..., 4:] = 2.5
    pixels = torch.tensor([[[3.4, 3.0], [3.6, 3.0], [1.3, 2.2], [9.0, 1.0]]])
    assert depth_at(depth, pixels)[0].tolist() == [2.0, 2.5, 2.0, 0.0]
    slope = torch.arange(8.0).expand(1, 1, 8, 8) * 0.005 + 2
    assert depth_at(slope, torch.tensor([[[2.5, 3.5]]])).item() == pytest.approx(2.0125)


def test_projective_distance_of_a_sphere():
    x = inputs(SPHERE, SMALL)
    normals, _ = surface_normals(x.depth, x.intrinsics)
    maps = torch.cat([cosines(normals, x.intrinsics), depth_edges(x.depth)], 1)
    rng = np.random.default_rng(2)
    away = rng.normal(0, 1, (300, 3))
    # No steeper than 45 degrees: a point before the rim would look past the sphere.
    away[:, :2] *= 0.5 / np.linalg.norm(away[:, :2], axis=1, keepdims=True)
    away[:, 2] = -np.abs(away[:, 2]) - 0.6
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    offset = rng.uniform(-0.012, 0.012, 300)
    points = torch.from_numpy((SPHERE.a + away * (SPHERE.radius + offset)[:, None]).astype(np.float32))[None]
    query = query_depth(x, maps, points, project(points, x.intrinsics))
    assert query.valid.all()
    assert np.abs((query.t * query.cosine)[0].numpy() - offset).mean() < 0.002
    states = query.state()[0]
    assert (states.sum(1) == 1).all()
    behind = SPHERE.a + np.array([0, 0, 0.2])
    far = np.stack([behind, SPHERE.a - (0, 0, 0.6), SPHERE.a + (0.6, 0, 0)])
    far = torch.from_numpy(far.astype(np.float32))[None]
    told = query_depth(x, maps, far, project(far, x.intrinsics)).state()[0].argmax(1)
    assert told.tolist() == [2, 0, 3]


def test_body_channels_say_front_and_back():
    body = torch.zeros(1, 2, 16, 16)
    body[:, 0, :, :8], body[:, 1, :, :8] = 2.0, 2.3
    pixels = torch.tensor([[[3.0, 3.0]] * 3 + [[12.0, 3.0]]])
    points = torch.tensor([[[0, 0, 1.95], [0, 0, 2.15], [0, 0, 2.35], [0, 0, 2.0]]])
    told = query_body(body, points, pixels)[0]
    assert torch.allclose(told[:, 0], torch.tensor([0.5, -1.0, -1.0, 0.0]), atol=1e-4)
    assert torch.allclose(told[:, 1], torch.tensor([-1.0, -1.0, 0.5, 0.0]), atol=1e-4)
    assert told[:, 2].tolist() == [1, 1, 1, 0] and (told[:, 3] == 1).all()
    assert (query_body(torch.zeros(1, 2, 16, 16), points, pixels) == 0).all()


def test_occupied_nodes_lie_on_the_surface_and_not_half_a_voxel_off():
    x = inputs(SPHERE, SMALL)
    frame = Frame.of(SMALL, x.centre)
    normals, _ = surface_normals(x.depth, x.intrinsics)
    indices, known = occupied(x, frame, normals)
    places = frame.place(indices, 0).numpy()
    away = SPHERE.sdf(places)
    assert np.abs(away).max() < SMALL.cell_m * 0.87 + 0.004
    # Half a voxel along the view would be a mean of 5 to 10 mm.
    facing = SPHERE.normal(places)[:, 2] < -0.8
    assert abs(away[facing].mean()) < 0.12 * SMALL.cell_m
    assert known[:, :3].abs().max() <= 0.5 + 1e-4
    exact = places + known[:, :3].numpy() * SMALL.cell_m
    assert np.abs(SPHERE.sdf(exact)).mean() < np.abs(away).mean() / 2


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_trilinear_samples_give_back_coordinates(level):
    """Features that are the nodes' own x, y, z are read back as x, y, z at any level: no shift, no swapped axis."""
    centre = torch.tensor([[0.1, -0.2, 2.0], [0.0, 0.3, 1.5]])
    frame = Frame.of(TINY, centre)
    line = torch.arange(3, 9)
    grid = torch.stack(torch.meshgrid(torch.arange(2), line, line + 1, line, indexing="ij"), -1).reshape(-1, 4)
    sites = Sites.from_indices(grid, frame.shape(level), 2, 2**level)[0]
    features = VoxelFeatures([SparseTensor.on(sites, frame.place(grid, level))], frame)
    inner = torch.rand(2, 100, 3, generator=torch.Generator().manual_seed(level)) * 4
    nodes = inner + torch.tensor([3.2, 4.2, 3.2])
    points = frame.low[:, None] + nodes * TINY.cell_m * 2**level
    assert (features.sample(points) - points).abs().max() < 1e-5


def test_every_level_ends_on_the_cube():
    frame = Frame.of(SMALL, torch.tensor([[0.0, 0.0, 2.0]]))
    for level in range(len(SMALL.voxel_widths)):
        last = frame.shape(level)[0] - 1
        corner = frame.place(torch.tensor([[0, last, last, last]]), level)
        assert torch.allclose(corner, torch.tensor([[0.0, 0.0, 2.0]]) + SMALL.side_m / 2, atol=1e-5)


@pytest.mark.parametrize("shape", [SPHERE, CAPSULE])
def test_hidden_skin_is_within_the_hull(shape):
    """The support gap: without the hull most of the far side has no active node around it."""
    x = inputs(shape, SMALL)
    frame = Frame.of(SMALL, x.centre)
    t = targets(shape, 3, 2000)
    surface = (t.points - t.normal * t.sdf[..., None])[0]
    hidden = surface[(t.normal[0] * surface).sum(1) > 0][None]
    normals, _ = surface_normals(x.depth, x.intrinsics)
    cells = occupied(x, frame, normals)[0]
    observed = torch.unique(torch.cat([cells[:, :1], cells[:, 1:] // 2**HULL_LEVEL], 1), dim=0)

    def reached(nodes):
        sites = Sites.from_indices(nodes, frame.shape(HULL_LEVEL), 1, 2**HULL_LEVEL)[0]
        one = SparseTensor.on(sites, torch.ones(len(sites), 1))
        return VoxelFeatures([one], frame).sample(hidden)[0, :, 0]

    assert (reached(hull_nodes(x, frame, HULL_LEVEL)) > 0.999).all()
    assert (reached(observed) > 0).float().mean() < 0.6


def test_flips_flip_everything():
    x, t = inputs(CAPSULE, TINY), targets(CAPSULE, 4)
    y, s = flipped_inputs(x), flipped_targets(t)
    again, back = flipped_inputs(y), flipped_targets(s)
    assert torch.equal(again.depth, x.depth) and torch.allclose(back.points, t.points)
    assert torch.allclose(again.intrinsics, x.intrinsics, atol=1e-4)
    first, _ = surface_normals(x.depth, x.intrinsics)
    second, _ = surface_normals(y.depth, y.intrinsics)
    mirrored = first.flip(-1) * torch.tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1)
    assert (second - mirrored).abs().max() < 1e-4
    maps = torch.cat([x.depth, x.depth], 1)
    here = query_depth(x, maps, t.points, project(t.points, x.intrinsics))
    there = query_depth(y, maps.flip(-1), s.points, project(s.points, y.intrinsics))
    # A point on the very border between two pixels may fall to either side.
    assert ((here.t - there.t).abs() < 1e-4).float().mean() > 0.99
    assert not torch.allclose(here.t, query_depth(x, maps, s.points, project(s.points, x.intrinsics)).t)


def test_stacking_keeps_each_item():
    x, y = inputs(SPHERE, TINY), inputs(CAPSULE, TINY)
    both = stacked([x, y])
    assert torch.equal(both.depth[1:], y.depth) and torch.equal(both.centre[:1], x.centre)
