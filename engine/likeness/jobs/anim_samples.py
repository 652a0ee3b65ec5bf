"""What ANIM learns from: posed people of the pack as depth sensors see them, with labelled points about them.

One file a pose, made once and drawn from again and again: making it costs seconds, learning from a view a fraction of
one. The same seed makes the same file on every machine, so files never need to travel.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from likeness.body.model import BodyModel, load_default
from likeness.capture.cleaning import clean_depth
from likeness.core.camera import Camera
from likeness.core.files import write_bytes
from likeness.jobs.fit_errors import disturbed
from likeness.surface.anim.crop import MARGIN, averaged, crop_camera, nearest
from likeness.synthesis.depth_sensors import SENSORS, fitting, simulate
from likeness.synthesis.figure import Posed
from likeness.synthesis.light import Light, light_scene
from likeness.synthesis.outer import outer_surface
from likeness.synthesis.pack import Pack, load_pack
from likeness.synthesis.picture import develop, render
from likeness.synthesis.places import Place, draw_place
from likeness.synthesis.points import LabelledPoints, draw_points
from likeness.synthesis.poses import draw_pose
from likeness.synthesis.raster import project, rasterize
from likeness.synthesis.sample import Settings, make_dressed
from likeness.synthesis.scene import Scene
from likeness.synthesis.stance import pose_person
from likeness.synthesis.view import Frame, View
from likeness.synthesis.views import draw_view

# Lengths are kept as whole steps: depths and positions of 0.1 mm, distances of 0.05 mm.
STEP_M, FINE_M = 1e-4, 5e-5
# Half of the views by the commonest sensor, some without any error, the others evenly.
OTHERS = ("kinect_v1", "kinect_v2", "realsense_d435", "realsense_d455", "phone_lidar", "azure_kinect_binned")
HELD_M = (1.2, 3.6)
BODY = ("body_first", "body_leaves", "body_enters", "body_last")
MIN_READINGS = 400


@dataclass(frozen=True)
class Plan:
    """What to make of each person.

    seed, split as in Settings. poses a person, views a pose, points a pose; image: side of the square crop in pixels.
    sensor: a name of SENSORS, or 'mixed'. places: light and backdrop of a drawn place, else even light before black.
    cloth: 'hang' simulates it. voxel_m: of the outer surface's grid. gross: share of grossly wrong body fits.
    """

    seed: int = 21
    split: str = "train"
    poses: int = 2
    views: int = 4
    points: int = 24_000
    image: int = 256
    sensor: str = "mixed"
    places: bool = False
    cloth: str = "skin"
    voxel_m: float = 0.008
    gross: float = 0.12


def pose_arrays(pack: Pack, plan: Plan, index: int, number: int) -> dict[str, NDArray[Any]]:
    """The number-th pose of the index-th person, its points and V views; byte-identical for equal plans.

    position (N, 3) i16 in STEP_M from origin (3,) f32 (world, m), sdf (N,) i16 in FINE_M, negative inside, normal
    (N, 3) i8 in 1/127, part u8, albedo (N, 3) u8, known bool. Each view on the crop's S x S pixels: color u8, depth,
    clean and BODY (V, S, S) u16 in STEP_M, 0 = none: as measured and cleaned, true, and hits of a disturbed fit's
    bare body; mask bool. camera (V, 4) f64 fx, fy, cx, cy; camera_from_world (V, 4, 4) f64; gross (V,)
    bool. Empty where no sensor saw the person.
    """
    cloth = "hang" if plan.cloth == "hang" else "skin"
    dressed = make_dressed(pack, Settings(seed=plan.seed, split=plan.split), index)
    rng = np.random.default_rng((plan.seed, pack.split.person(plan.split, index), 200 + number))
    posed = pose_person(dressed, draw_pose(pack, rng, plan.split), rng, cloth=cloth)  # type: ignore[arg-type]
    scene = Scene(posed)
    place = draw_place(rng) if plan.places else None
    taking = _Taking(plan, posed, scene, place, light_scene(scene, place), _body_model(posed))
    views = [made for _ in range(plan.views) if (made := taking.view(rng)) is not None]
    if not views:
        return {}
    points = draw_points(outer_surface(posed, scene, plan.voxel_m), rng, plan.points)
    return point_arrays(points, posed.joints[0]) | {name: np.stack([v[name] for v in views]) for name in views[0]}


def _body_model(posed: Posed) -> BodyModel:
    return load_default("smplh", people=str(posed.dressed.recipe.get("people", "adults")), betas=30)


def point_arrays(points: LabelledPoints, origin: NDArray) -> dict[str, NDArray[Any]]:
    """Labelled points as `pose_arrays` stores them, from `origin` (3,)."""

    def steps(values: NDArray, step: float) -> NDArray[np.int16]:
        return np.clip(np.round(values / step), -32767, 32767).astype(np.int16)

    return {
        "origin": np.asarray(origin, np.float32),
        "position": steps(points.position - origin, STEP_M),
        "sdf": steps(points.sdf, FINE_M),
        "normal": np.round(points.normal * 127).astype(np.int8),
        "part": points.part,
        "albedo": points.color,
        "known": points.known,
    }


@dataclass(frozen=True)
class _Taking:
    """A posed person, ready for pictures."""

    plan: Plan
    posed: Posed
    scene: Scene
    place: Place | None
    light: Light
    model: BodyModel

    def geometry(self, view: View) -> Frame:
        return render(self.scene, view, self.place, outputs="geometry")

    def view(self, rng: np.random.Generator) -> dict[str, Any] | None:
        """One view's arrays; None where the sensor saw nobody."""
        plan = self.plan
        view = draw_view(self.posed, rng, plan.image * 9 // 8, distance_m=HELD_M)
        sensor = fitting((SENSORS[_sensor_name(plan, rng)],), view, self.posed.body[::23])[0]
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        frame = render(self.scene, view, self.place, light=self.light)
        reading = simulate(self.geometry, view, sensor, generator, frame=frame)
        exposure = 1.0 if self.place is None else self.place.exposure
        color = develop(frame.color, exposure, generator=generator).cpu().numpy()
        focal = (view.camera.fx + view.camera.fy) / 2
        mask = reading.mask.cpu().numpy()
        depth, _ = clean_depth(reading.depth.cpu().numpy(), mask, focal)
        fit = disturbed(self.model, self.posed.pose, self.posed.dressed.betas, rng, gross=rng.random() < plan.gross)
        shift = self.posed.joints[0] - fit.joints[0] + view.camera_from_world[:3, :3].T @ fit.shift
        margin = MARGIN * rng.uniform(0.6, 1.6)
        if int((depth > 0).sum()) < MIN_READINGS:
            return None
        crop = crop_camera(mask, view.camera, plan.image, margin=margin)
        clean = torch.where(frame.mask, frame.depth, torch.zeros_like(frame.depth)).cpu().numpy()
        hits = body_hits(fit.vertices + shift.astype(np.float32), self.model, replace(view, camera=crop))
        return {
            "color": np.round(averaged(color, view.camera, crop)).astype(np.uint8),
            "depth": depth_steps(nearest(depth, view.camera, crop)),
            "clean": depth_steps(nearest(clean, view.camera, crop)),
            **{name: depth_steps(values) for name, values in hits.items()},
            "mask": nearest(mask, view.camera, crop),
            "camera": np.array([crop.fx, crop.fy, crop.cx, crop.cy], np.float64),
            "camera_from_world": view.camera_from_world,
            "gross": np.bool_(fit.gross),
        }


def _sensor_name(plan: Plan, rng: np.random.Generator) -> str:
    if plan.sensor != "mixed":
        return plan.sensor
    draw = rng.random()
    if draw < 0.5:
        return "azure_kinect"
    return "ideal" if draw < 0.65 else str(rng.choice(OTHERS))


def body_hits(vertices: NDArray[np.float32], model: BodyModel, view: View) -> dict[str, NDArray[np.float32]]:
    """Hits of a bare body (V, 3), world, along each pixel's ray: (H, W) f32 m, 0 = none.

    As in spans.BodyHits: first; leaves, the nearest side turned away; enters, the farthest turned to the eye; last.
    """
    vertices = np.ascontiguousarray(vertices, np.float32)
    faces = np.asarray(model.faces, np.int64)
    corner = view.to_camera(vertices)[faces]
    facing = (np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]) * corner[:, 0]).sum(1) < 0
    projected = project(torch.from_numpy(vertices), [view])
    out = {}
    for name, chosen in zip(BODY, (slice(None), ~facing, facing, slice(None)), strict=True):
        these = torch.from_numpy(faces[chosen])
        size = (view.camera.height, view.camera.width)
        near = rasterize(projected, these, *size, farthest=name in BODY[2:]).nearness[0].numpy()
        out[name] = np.where(near > 0, 1 / np.maximum(near, 1e-9), 0).astype(np.float32)
    return out


def depth_steps(depth: NDArray) -> NDArray[np.uint16]:
    """Metres as whole steps."""
    return np.clip(np.round(depth / STEP_M), 0, 65535).astype(np.uint16)


def pose_path(folder: Path, plan: Plan, index: int, number: int) -> Path:
    """Where a pose's arrays lie."""
    return Path(folder) / f"{plan.split}_{index:06d}_{number}.npz"


def write_pose(folder: Path, plan: Plan, index: int, number: int, pack: Path | None = None) -> Path:
    """Make one pose's file where it is not there yet; an empty file says that nobody saw the person."""
    path = pose_path(folder, plan, index, number)
    if not path.exists():
        torch.set_num_threads(1)
        arrays = pose_arrays(load_pack(pack), plan, index, number)
        stream = BytesIO()
        np.savez_compressed(stream, **cast(dict[str, Any], arrays))
        write_bytes(path, stream.getvalue())
    return path


def camera_of(numbers: NDArray, size: int) -> Camera:
    """The camera of stored fx, fy, cx, cy."""
    fx, fy, cx, cy = (float(n) for n in numbers)
    return Camera(fx, fy, cx, cy, size, size)


class Makers:
    """Processes that fill a folder with poses while somebody trains; close() ends them, whole files stay."""

    def __init__(
        self, folder: Path, wanted: Sequence[tuple[Plan, range]], workers: int, pack: Path | None = None
    ) -> None:
        """wanted: plans and the people to make by each, in this order; of each plan all people in one pose first."""
        folder.mkdir(parents=True, exist_ok=True)
        self._pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
        self.jobs = [
            self._pool.submit(write_pose, folder, plan, index, number, pack)
            for plan, people in wanted
            for number in range(plan.poses)
            for index in people
        ]

    def check(self) -> int:
        """How many poses are done; raises what a process raised."""
        for job in self.jobs:
            if job.done() and not job.cancelled():
                job.result()
        return sum(job.done() for job in self.jobs)

    def close(self) -> None:
        """Stop now."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in list((self._pool._processes or {}).values()):
            process.terminate()
