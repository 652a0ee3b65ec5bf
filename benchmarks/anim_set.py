"""The people, views and sensors of the surface table: synthesized once, kept in a folder, read as an artist's captures.

SPLIT-SEED/NNNNNN/truth.npz          outer surface and bare body, world, metres
                  VIEW/view.json     the camera in the world
                  VIEW/SENSOR/       color.png, depth.png, mask.png, intrinsics.json as in any capture folder; fit.json
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from likeness.body.fit import fit_body
from likeness.body.model import BodyModel, load_default, product_body
from likeness.capture import read_capture
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.files import write_json
from likeness.core.fit import Fit
from likeness.jobs.reading import find_person
from likeness.surface.evaluation.distance import Mesh
from likeness.surface.evaluation.parts import vertex_groups
from likeness.surface.evaluation.scores import Truth
from likeness.synthesis.dataset import camera_pose
from likeness.synthesis.depth_sensors import SENSORS, fitting, simulate
from likeness.synthesis.figure import Posed
from likeness.synthesis.light import Light, light_scene
from likeness.synthesis.outer import outer_surface
from likeness.synthesis.pack import load_pack
from likeness.synthesis.picture import develop, render
from likeness.synthesis.places import Place, draw_place
from likeness.synthesis.sample import Settings, make_posed
from likeness.synthesis.scene import Scene
from likeness.synthesis.view import View
from likeness.synthesis.views import draw_view
from PIL import Image

# Azimuth about the person's own front and tilt, degrees, each a pair of limits; sides are drawn for `turned`.
VIEWS = {
    "front": ((-12.0, 12.0), (-4.0, 4.0)),
    "turned": ((30.0, 70.0), (-4.0, 4.0)),
    "behind": ((150.0, 210.0), (-4.0, 4.0)),
    "tilted": ((-50.0, 50.0), (-20.0, -10.0)),
}
HELD_M = (1.2, 3.6)
TRIES = 20
# A tenth of a millimetre, so that rounding does not spoil the row of depth without error.
DEPTH_SCALE_M = 0.0001


@dataclass(frozen=True)
class Plan:
    """Which people: split, seed, how many; size: pixels of the square pictures; sensors; voxel_m: of the truth."""

    cache: Path
    split: str = "test"
    seed: int = 100
    people: int = 12
    views: tuple[str, ...] = tuple(VIEWS)
    sensors: tuple[str, ...] = ("ideal", "azure_kinect")
    size: int = 640
    voxel_m: float = 0.004

    @property
    def folder(self) -> Path:
        return self.cache / f"{self.split}-{self.seed}"


@dataclass(frozen=True)
class Case:
    """One capture of one person with its fit and its truth."""

    person: int
    view: str
    sensor: str
    folder: Path

    @cached_property
    def capture(self) -> Capture:
        """As an artist's input is read."""
        return read_capture(self.folder)

    @cached_property
    def fit(self) -> Fit | None:
        """The body fitted to this very capture, kept beside it; None where the product refuses."""
        kept = self.folder / "fit.json"
        if not kept.is_file():
            try:
                record = fit_body(self.capture, product_body(), find_person(self.capture)).to_dict()
            except LikenessError as error:
                record = {"refused": error.code}
            write_json(kept, record)
        found = json.loads(kept.read_text("utf-8"))
        return None if "refused" in found else Fit.from_dict(found)

    @cached_property
    def true_fit(self) -> Fit:
        """The true pose and shape as a fit: what a perfect fit would be. Bodies of avatars it meets only nearly."""
        found = json.loads((self.folder.parent / "true_fit.json").read_text("utf-8"))
        return Fit.from_dict(found | {"camera": self.capture.camera.to_dict()})

    def truth(self, points: int) -> Truth:
        """In this capture's camera space."""
        kept = np.load(self.folder.parent.parent / "truth.npz")
        record = json.loads((self.folder.parent / "view.json").read_text("utf-8"))
        view = View(self.capture.camera, np.array(record["camera_from_world"]))
        model = load_default("smplh")
        mesh = Mesh.of(view.to_camera(kept["vertices"]), kept["faces"])
        groups = vertex_groups(model.parts, model.part_names)
        up = view.camera_from_world[:3, 1]
        body = view.to_camera(kept["body"])
        return Truth(mesh, self.capture.camera, up, body, groups, points, self.capture.valid)


def model_of(fit: Fit) -> BodyModel:
    """The body model whose parameters a fit holds."""
    return load_default("smpl" if len(fit.pose) == 24 else "smplh", fit.people, len(fit.betas))


def cases(plan: Plan) -> Iterator[Case]:
    """All captures of a plan, person by person; made where they are not kept yet."""
    for index in range(plan.people):
        person = plan.folder / f"{index:06d}"
        wanted = [(view, sensor, person / view / sensor) for view in plan.views for sensor in plan.sensors]
        if any(not (folder / "depth.png").is_file() for *_, folder in wanted):
            make_person(plan, index, person)
        yield from (Case(index, view, sensor, folder) for view, sensor, folder in wanted)


@dataclass(frozen=True)
class Studio:
    """A posed person in a place and its light."""

    scene: Scene
    posed: Posed
    place: Place
    light: Light


def make_person(plan: Plan, index: int, folder: Path) -> None:
    """Truth and captures of one person; what is there already stays as it is."""
    pack = load_pack()
    settings = Settings(seed=plan.seed, split=plan.split, size=plan.size)
    posed, words = make_posed(pack, settings, index)
    scene = Scene(posed, "cpu")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "truth.npz").is_file():
        vertices, faces = outer_surface(posed, scene, plan.voxel_m).mesh()
        np.savez_compressed(folder / "truth.npz", vertices=vertices, faces=faces, body=posed.body)
        write_json(folder / "person.json", {"caption": posed.dressed.caption, "pose": words})
    place = draw_place(np.random.default_rng((plan.seed, index, 0)))
    studio = Studio(scene, posed, place, light_scene(scene, place))
    for name in plan.views:
        _photograph(studio, plan, index, name, folder / name)


def _photograph(studio: Studio, plan: Plan, index: int, name: str, folder: Path) -> None:
    """One view, read by every sensor that is not there yet."""
    missing = [s for s in plan.sensors if not (folder / s / "depth.png").is_file()]
    if not missing:
        return
    rng = np.random.default_rng((plan.seed, index, 1 + list(VIEWS).index(name)))
    view = aimed(studio.posed, rng, plan.size, name)
    frame = render(studio.scene, view, studio.place, light=studio.light)
    color = develop(frame.color, studio.place.exposure, generator=torch.Generator().manual_seed(index))
    folder.mkdir(exist_ok=True)
    write_json(folder / "view.json", {"camera_from_world": view.camera_from_world.tolist()})
    write_json(folder / "true_fit.json", _true_fit(studio.posed, view))
    for sensor in missing:
        model = fitting((SENSORS[sensor],), view, studio.posed.body[::23])[0]
        chance = torch.Generator().manual_seed(int(np.random.default_rng((plan.seed, index, 99)).integers(2**62)))
        geometry = lambda seen: render(studio.scene, seen, studio.place, outputs="geometry")  # noqa: E731
        reading = simulate(geometry, view, model, chance, frame=frame)
        write_capture(folder / sensor, view, color.numpy(), reading.depth.numpy(), reading.mask.numpy())


def aimed(posed: Posed, rng: np.random.Generator, size: int, name: str) -> View:
    """A view of the named kind, the whole person in it and, if any try allows, in reach of every sensor."""
    (yaw_low, yaw_high), (tilt_low, tilt_high) = VIEWS[name]
    side = float(rng.choice((-1, 1))) if name == "turned" else 1.0
    for _ in range(TRIES):
        yaw = facing_deg(posed) + side * rng.uniform(yaw_low, yaw_high)
        view = draw_view(
            posed, rng, size, yaw_deg=yaw, tilt_deg=rng.uniform(tilt_low, tilt_high), whole=True, distance_m=HELD_M
        )
        if len(fitting(SENSORS.values(), view, posed.body[::23])) == len(SENSORS):
            break
    return view


def facing_deg(posed: Posed) -> float:
    """Azimuth that the hips face: across from the right to the left one, turned a quarter."""
    across = posed.joints[1] - posed.joints[2]
    return float(np.degrees(np.arctan2(-across[2], across[0])))


def _true_fit(posed: Posed, view: View) -> dict[str, Any]:
    """The truth as Fit stores it; translation is found by where the model's pelvis comes to lie."""
    pose, betas = camera_pose(posed, view), np.asarray(posed.dressed.betas, np.float32)
    _, joints = load_default("smplh", betas=len(betas)).posed(betas, pose, np.zeros(3, np.float32))
    translation = view.to_camera(posed.joints[0]) - joints[0]
    return {"pose": pose.tolist(), "betas": betas.tolist(), "translation": translation.tolist()}


def write_capture(folder: Path, view: View, color: np.ndarray, depth: np.ndarray, mask: np.ndarray) -> None:
    building = folder.with_suffix(".part")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    Image.fromarray(color).save(building / "color.png")
    steps = np.clip(np.round(depth / DEPTH_SCALE_M), 0, 65535).astype(np.uint16)
    Image.fromarray(steps).save(building / "depth.png")
    Image.fromarray(mask.astype(np.uint8) * 255).save(building / "mask.png")
    write_json(building / "intrinsics.json", {**view.camera.to_dict(), "depth_scale": DEPTH_SCALE_M})
    shutil.rmtree(folder, ignore_errors=True)
    building.rename(folder)
