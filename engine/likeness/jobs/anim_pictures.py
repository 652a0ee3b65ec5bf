"""What ANIM has learnt, to look at: the zero level of stored views from four sides, beside what was seen."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from likeness.core.camera import Camera
from likeness.surface.anim.network import AnimState
from likeness.synthesis.raster import project, rasterize
from likeness.synthesis.view import View, look_at

TURNS_DEG = (0.0, 90.0, 180.0, 270.0)
_LIGHT = np.array([-0.3, -0.5, -0.8])


def dense_mesh(state: AnimState, resolution: int = 96) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The zero level of a batch of one by plain marching cubes: vertices (V, 3) camera space, faces (F, 3); perhaps
    empty. For looking alone: `extract` makes surfaces that ship."""
    from skimage.measure import marching_cubes

    side = state.net.config.side_m
    low = state.inputs.centre[0].cpu() - side / 2
    line = torch.arange(resolution + 1) * (side / resolution)
    nodes = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3) + low
    values = state.sdf(nodes.to(state.inputs.depth.device)).cpu().numpy()
    grid = values.reshape((resolution + 1,) * 3)
    if grid.min() >= 0 or grid.max() <= 0:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64)
    vertices, faces, _, _ = marching_cubes(grid, 0.0)
    return (vertices * (side / resolution) + low.numpy()).astype(np.float32), faces.astype(np.int64)


def shaded(
    vertices: NDArray, faces: NDArray, centre: NDArray, *, turn_deg: float, size: int = 192, height_m: float = 2.2
) -> NDArray[np.uint8]:
    """A grey picture (size, size, 3) of a mesh in camera space, the camera turned about `centre`; 0 the capture's."""
    if not len(faces):
        return np.full((size, size, 3), 40, np.uint8)
    view = _turned(np.asarray(centre, float), turn_deg, size, height_m)
    points = torch.from_numpy(np.ascontiguousarray(vertices, np.float32))
    seen = rasterize(project(points, [view]), torch.from_numpy(np.asarray(faces, np.int64)), size, size)
    triangle = seen.triangle[0].numpy()
    corner = vertices[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    # Whichever way the faces turn, light comes from the camera's side.
    local = normal @ view.camera_from_world[:3, :3].T
    local *= np.where(local[:, 2:] > 0, -1, 1)
    bright = 60 + 180 * np.clip(local @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
    grey = np.where(triangle >= 0, bright[np.maximum(triangle, 0)], 40)
    return np.repeat(grey[..., None], 3, -1).astype(np.uint8)


def _turned(centre: NDArray, turn_deg: float, size: int, height_m: float) -> View:
    away = 3.0
    turn = np.radians(turn_deg)
    eye = centre + away * np.array([np.sin(turn), 0.0, -np.cos(turn)])
    focal = size * away / height_m
    camera = Camera(focal, focal, (size - 1) / 2, (size - 1) / 2, size, size)
    # Camera space has y down, `look_at` wants it up: look in the turned-over world, then turn back.
    over = np.diag([1.0, -1.0, -1.0, 1.0])
    found = look_at(camera, over[:3, :3] @ eye, over[:3, :3] @ centre)
    return View(camera, found.camera_from_world @ over)


def sheet(states: list[AnimState], resolution: int = 96, size: int = 192) -> NDArray[np.uint8]:
    """One row a capture: what was seen, then the surface from TURNS_DEG."""
    rows = []
    for state in states:
        color = state.inputs.color[0].permute(1, 2, 0).cpu().numpy()
        step = np.linspace(0, color.shape[0] - 1, size).round().astype(int)
        tiles = [(color[np.ix_(step, step)] * 255).astype(np.uint8)]
        vertices, faces = dense_mesh(state, resolution)
        centre = state.inputs.centre[0].cpu().numpy()
        tiles += [shaded(vertices, faces, centre, turn_deg=turn, size=size) for turn in TURNS_DEG]
        rows.append(np.concatenate(tiles, 1))
    return np.concatenate(rows, 0)
