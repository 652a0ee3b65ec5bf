"""What the colour network learns from: people of the pack as a camera shows them, and the colours of their far side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from likeness.asset.far import marks_of
from likeness.body.model import BodyModel, load_default
from likeness.core.camera import Camera
from likeness.core.progress import Report, quiet
from likeness.jobs.fit_errors import disturbed
from likeness.jobs.layer_samples import write_shards
from likeness.surface.color.looks import PIXEL_M, reduced
from likeness.surface.layers.crop import crop_camera
from likeness.synthesis.development import Development, develop, draw_development
from likeness.synthesis.figure import Posed
from likeness.synthesis.light import Light, light_scene
from likeness.synthesis.pack import Pack
from likeness.synthesis.picture import Drawn, render, samples_at, see, surface_of
from likeness.synthesis.places import Place, draw_place
from likeness.synthesis.poses import draw_pose
from likeness.synthesis.raster import project, rasterize, surface_under
from likeness.synthesis.sample import Settings, make_dressed
from likeness.synthesis.scene import Scene, Surface
from likeness.synthesis.stance import pose_person
from likeness.synthesis.view import Frame, View
from likeness.synthesis.views import draw_view

# Most avatars are made of people who face the camera.
FRONTAL, FRONTAL_DEG = 0.6, 40.0
DISTANCE_M = (1.2, 4.5)
# A layer's own light is known from so many pixels of it.
LEAST_SEEN = 60
_FINER = 4
# Pixels of PIXEL_M, enough for anybody.
ROWS, COLUMNS = 80, 64


@dataclass(frozen=True)
class Plan:
    """What to make of each person. seed, split as in Settings; poses a person, views a pose; picture_px: side of the
    picture that finds the person; gross: share of grossly wrong bodies."""

    seed: int = 23
    split: str = "train"
    poses: int = 1
    views: int = 5
    picture_px: int = 160
    gross: float = 0.04


def person_samples(pack: Pack, plan: Plan, index: int) -> dict[str, NDArray[Any]]:
    """All views of the index-th person, N = poses x views; byte-identical for equal plans.

    color, back (N, H, W, 3) u8 sRGB: as the camera shows the person, and the last surface along each ray in the light
    of what the camera sees of the same thing; mask, known (N, H, W) bool: the person as segmented, and where `back` is
    truth; first, last (N, H, W, MARKS) f16: `body_marks` of a body as fits miss it, nan where there is none.
    person (N,) i32.
    """
    dressed = make_dressed(pack, Settings(seed=plan.seed, split=plan.split, cloth="skin"), index)
    person = pack.split.person(plan.split, index)
    rng = np.random.default_rng((plan.seed, person, 200))
    model = load_default("smplh", people=str(dressed.recipe.get("people", "adults")), betas=30)
    views = []
    for number in range(plan.poses):
        posed = pose_person(dressed, draw_pose(pack, rng, plan.split), rng, cloth="skin")
        scene = Scene(posed)
        place = draw_place(np.random.default_rng((plan.seed, person, 400 + number)))
        studio = Studio(posed, scene, place, light_scene(scene, place))
        views += [_view(studio, plan, model, rng) for _ in range(plan.views)]
    return {name: np.stack([view[name] for view in views]) for name in views[0]} | {
        "person": np.full(len(views), index, np.int32)
    }


@dataclass(frozen=True)
class Studio:
    """A posed person in a place and its light."""

    posed: Posed
    scene: Scene
    place: Place
    light: Light


def _view(studio: Studio, plan: Plan, model: BodyModel, rng: np.random.Generator) -> dict[str, Any]:
    """One view's arrays."""
    view = draw_view(studio.posed, rng, plan.picture_px, yaw_deg=_yaw(studio.posed, rng), distance_m=DISTANCE_M)
    seen = see(studio.scene, [view]).seen
    found = (seen.triangle[0] >= 0).numpy()
    distance = float(np.median(1 / seen.nearness[0].numpy()[found]))
    camera = crop_camera(found, distance, view.camera, pixel_m=PIXEL_M, size=(ROWS, COLUMNS))
    here = View(camera.scaled(_FINER * COLUMNS, _FINER * ROWS), view.camera_from_world)
    development = draw_development(torch.Generator().manual_seed(int(rng.integers(2**62))))
    frame = render(studio.scene, here, light=studio.light)
    # Of the room only what a coarse mask lets in is ever shown: one colour will do.
    behind = torch.from_numpy(rng.uniform(0, 1, 3).astype(np.float32) ** 2) / studio.place.exposure
    grain = torch.Generator().manual_seed(int(rng.integers(2**62)))
    light = frame.color + (1 - frame.coverage[..., None]) * behind
    color = develop(light, studio.place.exposure, generator=grain, development=development).numpy()
    back, known = far_side(studio, here, frame, development)
    mask = _segmented((frame.coverage > 0.5).numpy(), rng)
    first, last = _body(studio.posed, view, camera, model, rng, plan.gross)
    small_color, small_mask = reduced(color, mask, _FINER)
    small_back, small_known = reduced(back, known, _FINER)
    return {"color": small_color, "mask": small_mask, "back": small_back, "known": small_known,
            "first": first.astype(np.float16), "last": last.astype(np.float16)}  # fmt: skip


def _yaw(posed: Posed, rng: np.random.Generator) -> float:
    """Azimuth of the camera in degrees."""
    across = posed.joints[1] - posed.joints[2]
    facing = float(np.degrees(np.arctan2(-across[2], across[0])))
    frontal = rng.random() < FRONTAL
    return facing + float(rng.uniform(-FRONTAL_DEG, FRONTAL_DEG) if frontal else rng.uniform(-180, 180))


def _segmented(outline: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """The outline as segmenters miss it, by up to two pixels either way."""
    wrong = int(rng.integers(-2, 3))
    if wrong == 0:
        return outline
    change = ndimage.binary_dilation if wrong > 0 else ndimage.binary_erosion
    return np.asarray(change(outline, iterations=abs(wrong)))


def far_side(
    studio: Studio, view: View, frame: Frame, development: Development
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Colour (H, W, 3) u8 of the last surface along each ray, and where it is truth (H, W) bool.

    frame: the view as rendered. The far side has no shading of its own, which would be another in every room: albedo
    times the mean light that the camera sees on the same layer, or on all of the person where it hardly sees that.
    """
    scene, camera = studio.scene, view.camera
    eyes = torch.from_numpy(view.eye[:, None]).float()
    front = see(scene, [view])
    size = (camera.height, camera.width)
    farthest = rasterize(
        front.projected, front.faces, *size, cut=scene.cut, accept=scene.solid, farthest=True
    )  # fmt: skip
    near, where = _surface(scene, front, eyes)
    gains = _gains(near, frame.color.reshape(-1, 3)[where].T, len(scene.kind))
    far, behind = _surface(scene, Drawn(front.projected, front.faces, farthest), eyes)
    light = torch.zeros((size[0] * size[1], 3))
    light[behind] = (far.albedo * gains[far.layer].T).T
    known = torch.zeros(size[0] * size[1], dtype=torch.bool)
    known[behind] = scene.textures.known(far.layer, far.uv)
    plain = replace(development, vignette=0.0, blur_px=0.0, noise=0.0, sharpen=0.0)
    back = develop(light.reshape(*size, 3), studio.place.exposure, development=plain)
    return back.numpy(), known.reshape(size).numpy()


def _surface(scene: Scene, drawn: Drawn, eyes: torch.Tensor) -> tuple[Surface, torch.Tensor]:
    where = (drawn.seen.triangle.reshape(-1) >= 0).nonzero()[:, 0]
    return surface_of(scene, samples_at(scene, drawn, where), eyes), where


def _gains(surface: Surface, shaded: torch.Tensor, layers: int) -> torch.Tensor:
    """Light over albedo (L, 3) of each layer, where shaded (3, N) is what the camera sees of the surface."""
    count = torch.zeros(layers).index_add_(0, surface.layer, torch.ones(len(surface.layer)))
    light = torch.zeros((layers, 3)).index_add_(0, surface.layer, shaded.T)
    albedo = torch.zeros((layers, 3)).index_add_(0, surface.layer, surface.albedo.T)
    mean = light.sum(0) / albedo.sum(0).clamp(min=1e-6)
    # Black cloth has gloss and hardly an albedo: a ratio of little to nothing is no light.
    own = (light + 0.02 * count[:, None] * mean) / (albedo + 0.02 * count[:, None]).clamp(min=1e-6)
    return torch.where(count[:, None] >= LEAST_SEEN, own, mean)


def _body(
    posed: Posed, view: View, camera: Camera, model: BodyModel, rng: np.random.Generator, gross: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Marks (H, W, MARKS) of the first and last hit of the true body as a fit would miss it."""
    betas = posed.dressed.betas
    fit = disturbed(model, posed.pose, betas, rng, gross=bool(rng.random() < gross))
    shift = posed.joints[0] - fit.joints[0] + view.camera_from_world[:3, :3].T @ fit.shift
    vertices = torch.from_numpy(np.ascontiguousarray(view.to_camera(fit.vertices + shift)))
    shape = np.zeros(model.betas_count)
    shape[: len(betas)] = betas[: model.betas_count]
    return _hits(vertices, model.faces, marks_of(model, shape), camera)


def _hits(
    vertices: torch.Tensor, faces: NDArray, marks: NDArray, camera: Camera
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Values (V, C) of a mesh (V, 3) in camera space at the first and last hit of each ray, (H, W, C), nan = none."""
    triangles = torch.from_numpy(np.asarray(faces, np.int64))
    projected = project(vertices, [View(camera, np.eye(4))])
    table = torch.from_numpy(np.asarray(marks, np.float32))
    out = []
    for farthest in (False, True):
        seen = rasterize(projected, triangles, camera.height, camera.width, farthest=farthest).triangle.reshape(-1)
        where = (seen >= 0).nonzero()[:, 0]
        x, y = (where % camera.width).float(), (where // camera.width).float()
        met = surface_under(projected, triangles, seen[where], x, y)
        picture = torch.full((camera.height * camera.width, table.shape[1]), float("nan"))
        picture[where] = torch.einsum("kn,nkc->nc", met.bary, table[triangles[seen[where]]])
        out.append(picture.reshape(camera.height, camera.width, -1).numpy())
    return out[0], out[1]


def make_shards(folder: Path, plan: Plan, indices: Iterable[int], report: Report = quiet) -> Iterator[Path]:
    """Write people that the folder lacks; see `write_shards`."""
    return write_shards(folder, plan.split, indices, lambda pack, i: person_samples(pack, plan, i), report)
