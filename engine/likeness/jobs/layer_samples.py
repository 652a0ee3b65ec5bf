"""What the two-layer network learns from: people of the pack on the network's own pixels, with what lies behind."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from likeness.body.model import BodyModel, load_default
from likeness.capture.cleaning import clean_depth
from likeness.core.camera import Camera
from likeness.core.files import write_bytes
from likeness.core.progress import Report, quiet
from likeness.jobs.fit_errors import disturbed
from likeness.jobs.fitted_bodies import Fitter, fitted_body, made_capture
from likeness.surface.layers.crop import COLUMNS, PIXEL_M, ROWS, border_distance, crop_camera, person_distance, resample
from likeness.surface.layers.inflation import thickness
from likeness.synthesis.depth_sensors import SENSORS, fitting, simulate
from likeness.synthesis.figure import Posed
from likeness.synthesis.light import Light, light_scene
from likeness.synthesis.pack import Pack, load_pack
from likeness.synthesis.picture import develop, render
from likeness.synthesis.places import Place, draw_place
from likeness.synthesis.poses import draw_pose
from likeness.synthesis.raster import project, rasterize
from likeness.synthesis.sample import Settings, make_dressed
from likeness.synthesis.scene import Scene
from likeness.synthesis.stance import pose_person
from likeness.synthesis.view import Frame, View
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


def person_samples(pack: Pack, plan: Plan, index: int, fitter: Fitter | None = None) -> dict[str, NDArray[Any]]:
    """All views of the index-th person, N = poses x views at most; byte-identical for equal plans.

    front, clean, last, body_first, body_last (N, H, W) i16 in STEP_M from distance (N,) f32 m, NOTHING where there is
    none: as measured, true first and last hit of the person, hits of a body. thickness (N, H, W) u16 in STEP_M, border
    u8 pixels, mask bool as segmented. camera (N, 4) f32 fx, fy, cx, cy. body_error (N,) f32 m of the body's joints,
    gross, fitted (N,) bool. person (N,) i32.
    fitter: fits the body to the view as a user would have it, in colour and before a drawn place; without one, and
    where it refuses, the body is a disturbed true one (not `fitted`).
    """
    settings = Settings(seed=plan.seed, split=plan.split, cloth="skin")
    dressed = make_dressed(pack, settings, index)
    person = pack.split.person(plan.split, index)
    rng = np.random.default_rng((plan.seed, person, 100))
    people = str(dressed.recipe.get("people", "adults"))
    model = load_default("smplh", people=people, betas=30)
    views = []
    for number in range(plan.poses):
        posed = pose_person(dressed, draw_pose(pack, rng, plan.split), rng, cloth="skin")
        scene = Scene(posed)
        place = None if fitter is None else draw_place(np.random.default_rng((plan.seed, person, 300 + number)))
        light = None if place is None else light_scene(scene, place)
        taking = _Taking(plan, posed, scene, model, place, light, fitter)
        views += [made for _ in range(plan.views) if (made := taking.view(rng)) is not None]
    arrays = {name: np.stack([view[name] for view in views]) for name in views[0]} if views else {}
    return arrays | {"person": np.full(len(views), index, np.int32)} if views else {}


@dataclass(frozen=True)
class _Taking:
    """A posed person, ready for pictures; place, light and fitter where bodies are fitted."""

    plan: Plan
    posed: Posed
    scene: Scene
    model: BodyModel
    place: Place | None
    light: Light | None
    fitter: Fitter | None

    def geometry(self, view: View) -> Frame:
        return render(self.scene, view, self.place, outputs="geometry")

    def view(self, rng: np.random.Generator) -> dict[str, Any] | None:
        """One view's arrays; None where the sensor saw nobody."""
        plan = self.plan
        view = draw_view(self.posed, rng, plan.picture_px, distance_m=HELD_M)
        sensor = fitting((SENSORS[_draw_sensor(rng)],), view, self.posed.body[::23])[0]
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        frame = self.geometry(view) if self.fitter is None else render(self.scene, view, self.place, light=self.light)
        reading = simulate(self.geometry, view, sensor, generator, frame=frame)
        depth, mask = reading.depth.numpy(), reading.mask.numpy()
        body = self.disturbed_body(view, rng)
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
        if self.fitter is not None:
            body = self.fitted_body(view, frame, depth, mask, generator) or body
        here = View(camera, view.camera_from_world)
        layers = dict(zip(_LAYERS, (front, *hits(self.scene, here), *body_hits(body, camera)), strict=True))
        out: dict[str, Any] = {name: _steps(values, distance) for name, values in layers.items()}
        inflated = thickness(front, person, camera.fx)
        return out | {
            "thickness": np.clip(np.round(inflated / STEP_M), 0, 65535).astype(np.uint16),
            "border": np.clip(np.round(border_distance(person)), 0, 255).astype(np.uint8),
            "mask": person,
            "camera": np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float32),
            "distance": np.float32(distance),
            "body_error": np.float32(body.error),
            "gross": np.bool_(body.gross),
            "fitted": np.bool_(body.fitted),
        }

    def disturbed_body(self, view: View, rng: np.random.Generator) -> _Body:
        """The true body as a fit would miss it."""
        gross = rng.random() < self.plan.gross
        fit = disturbed(self.model, self.posed.pose, self.posed.dressed.betas, rng, gross=gross)
        shift = self.posed.joints[0] - fit.joints[0] + view.camera_from_world[:3, :3].T @ fit.shift
        error = _joint_error(fit.joints + shift, self.posed.joints)
        return _Body(view.to_camera(fit.vertices + shift), self.model.faces, error, fit.gross, False)

    def fitted_body(
        self, view: View, frame: Frame, depth: NDArray, mask: NDArray, generator: torch.Generator
    ) -> _Body | None:
        """The body that the product fits to the view; None where it refuses."""
        assert self.place is not None and self.fitter is not None
        color = develop(frame.color, self.place.exposure, generator=generator).numpy()
        clean, _ = clean_depth(depth, mask, (view.camera.fx + view.camera.fy) / 2)
        found = fitted_body(made_capture(color, clean, mask, view.camera), self.fitter)
        if found is None:
            return None
        error = _joint_error(found.joints, view.to_camera(self.posed.joints))
        return _Body(found.vertices, found.faces, error, False, True)


@dataclass(frozen=True)
class _Body:
    """vertices (V, 3) m in camera space, faces (F, 3); error: of its joints, m; gross, fitted: see person_samples."""

    vertices: NDArray
    faces: NDArray
    error: float
    gross: bool
    fitted: bool


def _joint_error(joints: NDArray, true: NDArray) -> float:
    return float(np.linalg.norm(joints[:22] - true[:22], axis=1).mean())


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


def body_hits(body: _Body, camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """First and last hit of a bare body along each pixel's ray, (H, W) m, 0 = none."""
    vertices = torch.from_numpy(np.ascontiguousarray(body.vertices, np.float32))
    projected = project(vertices, [View(camera, np.eye(4))])
    triangles = torch.from_numpy(np.asarray(body.faces, np.int64))
    size = (camera.height, camera.width)
    first, last = (_depth(rasterize(projected, triangles, *size, farthest=far).nearness) for far in (False, True))
    return first, last


def _depth(nearness: torch.Tensor) -> NDArray[np.float32]:
    near = nearness[0].numpy()
    return np.where(near > 0, 1 / np.maximum(near, 1e-9), 0).astype(np.float32)


def _steps(depth: NDArray, distance: float) -> NDArray[np.int16]:
    steps = np.clip(np.round((depth - distance) / STEP_M), NOTHING + 1, 32767)
    return np.where(depth > 0, steps, NOTHING).astype(np.int16)


def shard_path(folder: Path, split: str, index: int) -> Path:
    """Where a person's views lie."""
    return Path(folder) / f"{split}_{index:06d}.npz"


def make_shards(
    folder: Path, plan: Plan, indices: Iterable[int], report: Report = quiet, fitter: Fitter | None = None
) -> Iterator[Path]:
    """Write people that the folder lacks; see `write_shards`."""
    return write_shards(folder, plan.split, indices, lambda pack, i: person_samples(pack, plan, i, fitter), report)


def write_shards(
    folder: Path,
    split: str,
    indices: Iterable[int],
    make: Callable[[Pack, int], dict[str, NDArray[Any]]],
    report: Report = quiet,
) -> Iterator[Path]:
    """Write what `make` gives of people that the folder lacks, one compressed file each, whole or not at all.

    Raises LikenessError("output.unwritable"), and "job.cancelled" through `report`.
    """
    pack = load_pack()
    Path(folder).mkdir(parents=True, exist_ok=True)
    for index in indices:
        path = shard_path(folder, split, index)
        report(0.0, f"Person {index}")
        if path.exists():
            continue
        buffer = io.BytesIO()
        arrays: dict[str, Any] = make(pack, index)
        np.savez_compressed(buffer, **arrays)
        write_bytes(path, buffer.getvalue())
        yield path
