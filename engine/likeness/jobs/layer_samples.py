"""What the two-layer network learns from: people of the pack on the network's own pixels, with what lies behind."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from likeness.body.model import BodyModel, load_default
from likeness.core.camera import Camera
from likeness.core.files import write_bytes
from likeness.core.progress import Report, quiet
from likeness.jobs.fit_errors import disturbed
from likeness.surface.layers.crop import COLUMNS, PIXEL_M, ROWS, border_distance, crop_camera, person_distance, resample
from likeness.surface.layers.inflation import thickness
from likeness.synthesis.depth_sensors import SENSORS, fitting, simulate
from likeness.synthesis.figure import Posed
from likeness.synthesis.pack import Pack, load_pack
from likeness.synthesis.picture import render
from likeness.synthesis.poses import draw_pose
from likeness.synthesis.raster import project, rasterize
from likeness.synthesis.sample import Settings, make_dressed
from likeness.synthesis.scene import Scene
from likeness.synthesis.stance import pose_person
from likeness.synthesis.view import View
from likeness.synthesis.views import draw_view

# Lengths are kept as whole steps of 0.1 mm.
STEP_M = 1e-4
NOTHING = -32768
# Half of the views by the commonest sensor, some without any error, the others evenly.
OTHER_SENSORS = ("kinect_v1", "kinect_v2", "realsense_d435", "realsense_d455", "phone_lidar", "azure_kinect_binned")
HELD_M = (1.2, 3.6)
SHARE_GROSS = 0.12
OFFSET_PX = 4.0
_LAYERS = ("front", "clean", "last", "body_first", "body_last")


@dataclass(frozen=True)
class Plan:
    """What to make of each person. seed, split as in Settings; poses a person, views a pose; picture_px: side of the
    simulated colour picture. pixel_m, rows, columns: of the network's pixels. gross: share of grossly wrong fits."""

    seed: int = 11
    split: str = "train"
    poses: int = 4
    views: int = 4
    picture_px: int = 288
    pixel_m: float = PIXEL_M
    rows: int = ROWS
    columns: int = COLUMNS
    gross: float = SHARE_GROSS


def person_samples(pack: Pack, plan: Plan, index: int) -> dict[str, NDArray[Any]]:
    """All views of the index-th person, N = poses x views at most; byte-identical for equal plans.

    front, clean, last, body_first, body_last (N, H, W) i16 in STEP_M from distance (N,) f32 m, NOTHING where there is
    none: as measured, true first and last hit of the person, hits of a disturbed fit's bare body. thickness (N, H, W)
    u16 in STEP_M, border u8 pixels, mask bool as segmented. camera (N, 4) f32 fx, fy, cx, cy. body_error (N,) f32 m
    of the fit's joints, gross (N,) bool. person (N,) i32.
    """
    settings = Settings(seed=plan.seed, split=plan.split, cloth="skin")
    dressed = make_dressed(pack, settings, index)
    rng = np.random.default_rng((plan.seed, pack.split.person(plan.split, index), 100))
    people = str(dressed.recipe.get("people", "adults"))
    model = load_default("smplh", people=people, betas=30)
    views = []
    for _ in range(plan.poses):
        posed = pose_person(dressed, draw_pose(pack, rng, plan.split), rng, cloth="skin")
        scene = Scene(posed)
        views += [made for _ in range(plan.views) if (made := _view(plan, posed, scene, model, rng, index)) is not None]
    return {name: np.stack([view[name] for view in views]) for name in views[0]} if views else {}


def _view(
    plan: Plan, posed: Posed, scene: Scene, model: BodyModel, rng: np.random.Generator, index: int
) -> dict[str, Any] | None:
    """One view's arrays; None where the sensor saw nobody."""
    view = draw_view(posed, rng, plan.picture_px, distance_m=HELD_M)
    sensor = fitting((SENSORS[_draw_sensor(rng)],), view, posed.body[::23])[0]
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    frame = render(scene, view, outputs="geometry")
    reading = simulate(lambda seen: render(scene, seen, outputs="geometry"), view, sensor, generator, frame=frame)
    depth, mask = reading.depth.numpy(), reading.mask.numpy()
    fit = disturbed(model, posed.pose, posed.dressed.betas, rng, gross=rng.random() < plan.gross)
    shift = posed.joints[0] - fit.joints[0] + view.camera_from_world[:3, :3].T @ fit.shift
    if int((mask & (depth > 0)).sum()) < 200:
        return None
    distance = person_distance(depth, mask)
    offset = tuple(rng.uniform(-OFFSET_PX, OFFSET_PX, 2).tolist())
    camera = crop_camera(
        mask, distance, view.camera, pixel_m=plan.pixel_m, size=(plan.rows, plan.columns), offset_px=offset
    )
    front, person = resample(depth, mask, view.camera, camera)
    if int((front > 0).sum()) < 100:
        return None
    here = View(camera, view.camera_from_world)
    clean, last = hits(scene, here)
    body_first, body_last = body_hits(fit.vertices + shift.astype(np.float32), model.faces, here)
    layers = dict(zip(_LAYERS, (front, clean, last, body_first, body_last), strict=True))
    out: dict[str, Any] = {name: _steps(values, distance) for name, values in layers.items()}
    inflated = thickness(front, person, camera.fx)
    error = np.linalg.norm(fit.joints[:22] + shift - posed.joints[:22], axis=1).mean()
    return out | {
        "thickness": np.clip(np.round(inflated / STEP_M), 0, 65535).astype(np.uint16),
        "border": np.clip(np.round(border_distance(person)), 0, 255).astype(np.uint8),
        "mask": person,
        "camera": np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float32),
        "distance": np.float32(distance),
        "body_error": np.float32(error),
        "gross": np.bool_(fit.gross),
        "person": np.int32(index),
    }


def _draw_sensor(rng: np.random.Generator) -> str:
    draw = rng.random()
    if draw < 0.5:
        return "azure_kinect"
    return "ideal" if draw < 0.65 else str(rng.choice(OTHER_SENSORS))


def hits(scene: Scene, view: View) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """First and last surface of a person along each pixel's ray, (H, W) m along the axis, 0 = none."""
    projected = project(scene.vertices, [view])
    size = (view.camera.height, view.camera.width)
    out = []
    for farthest in (False, True):
        seen = rasterize(projected, scene.faces, *size, cut=scene.cut, accept=scene.solid, farthest=farthest)
        out.append(_depth(seen.nearness))
    return out[0], out[1]


def body_hits(
    vertices: NDArray[np.float32], faces: NDArray, view: View
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """First and last hit of a bare body (V, 3), world, along each pixel's ray, (H, W) m, 0 = none."""
    projected = project(torch.from_numpy(np.ascontiguousarray(vertices, np.float32)), [view])
    triangles = torch.from_numpy(np.asarray(faces, np.int64))
    size = (view.camera.height, view.camera.width)
    first, last = (_depth(rasterize(projected, triangles, *size, farthest=far).nearness) for far in (False, True))
    return first, last


def _depth(nearness: torch.Tensor) -> NDArray[np.float32]:
    near = nearness[0].numpy()
    return np.where(near > 0, 1 / np.maximum(near, 1e-9), 0).astype(np.float32)


def _steps(depth: NDArray, distance: float) -> NDArray[np.int16]:
    steps = np.clip(np.round((depth - distance) / STEP_M), NOTHING + 1, 32767)
    return np.where(depth > 0, steps, NOTHING).astype(np.int16)


def shard_path(folder: Path, plan: Plan, index: int) -> Path:
    """Where a person's views lie."""
    return Path(folder) / f"{plan.split}_{index:06d}.npz"


def make_shards(folder: Path, plan: Plan, indices: Iterable[int], report: Report = quiet) -> Iterator[Path]:
    """Write people that the folder lacks, one compressed file each, whole or not at all.

    Raises LikenessError("output.unwritable"), and "job.cancelled" through `report`.
    """
    pack = load_pack()
    Path(folder).mkdir(parents=True, exist_ok=True)
    for index in indices:
        path = shard_path(folder, plan, index)
        report(0.0, f"Person {index}")
        if path.exists():
            continue
        buffer = io.BytesIO()
        arrays: dict[str, Any] = person_samples(pack, plan, index)
        np.savez_compressed(buffer, **arrays)
        write_bytes(path, buffer.getvalue())
        yield path


def camera_of(numbers: NDArray, rows: int, columns: int) -> Camera:
    """The camera of stored fx, fy, cx, cy."""
    fx, fy, cx, cy = (float(n) for n in numbers)
    return Camera(fx, fy, cx, cy, columns, rows)
