"""One synthetic person with its views and labels, from a seed: the unit that training and datasets consist of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from likeness.core.progress import Report, part, quiet
from likeness.synthesis.avatars import avatar_recipe, dress_avatar_recipe
from likeness.synthesis.captions import view_words
from likeness.synthesis.depth_sensors import SENSORS, fitting, simulate
from likeness.synthesis.dress import dress
from likeness.synthesis.figure import Bytes, Dressed, Floats, Ints, Posed
from likeness.synthesis.light import Light, light_scene
from likeness.synthesis.outer import VOXEL_M, OuterSurface, outer_surface
from likeness.synthesis.pack import Pack
from likeness.synthesis.picture import develop, render
from likeness.synthesis.places import Place, draw_place
from likeness.synthesis.points import LabelledPoints, draw_points
from likeness.synthesis.poses import draw_pose
from likeness.synthesis.recipes import Recipe, draw_recipe
from likeness.synthesis.scene import Scene
from likeness.synthesis.sensor_models import Sensor
from likeness.synthesis.stance import pose_person
from likeness.synthesis.view import Frame, View
from likeness.synthesis.views import DISTANCE_M, draw_view, view_angles

VIEWS_A_PLACE = 4
TRIES = 12
# Nobody records a person with a depth sensor from farther away than this.
HELD_M = 3.6


@dataclass(frozen=True)
class Settings:
    """What to synthesize.

    seed, split: people of different seeds or splits never coincide. size: pixels of the square pictures. views a pose.
    points: labelled points a person, 0 for none. sensors: names of SENSORS, one drawn for each view. cloth: 'hang'
    simulates it, 'skin' moves it with the skeleton. avatars: share of people that come from finished avatars.
    mesh: also close the outer surface. voxel_m: of that surface. device: where pictures are made.
    """

    seed: int = 0
    split: str = "train"
    size: int = 512
    views: int = 8
    points: int = 20_000
    sensors: tuple[str, ...] = ("azure_kinect",)
    cloth: Literal["hang", "skin"] = "hang"
    avatars: float = 0.25
    mesh: bool = False
    voxel_m: float = VOXEL_M
    device: str = "cpu"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class ViewSample:
    """One picture of a person and what is known about it; arrays (H, W, ...), metres, camera space as OpenCV.

    color u8 sRGB; depth f32 as the sensor reads it, registered to colour, 0 = nothing; mask bool as a segmenter would
    give it; clean f32 true depth of the person, 0 off it; normal f32 unit, towards the camera; outline bool the true
    mask; part u8 0 or 1 + the body's part; kind u8 0 or 1 + index in KINDS; known bool: the colour is truth.
    """

    view: View
    sensor: str
    caption: str
    color: Bytes
    depth: Floats
    mask: NDArray[np.bool_]
    clean: Floats
    normal: Floats
    outline: NDArray[np.bool_]
    part: Bytes
    kind: Bytes
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class PersonSample:
    """A posed person, labelled points (None where not asked for), the closed outer surface, and its views."""

    index: int
    settings: Settings
    posed: Posed
    points: LabelledPoints | None
    mesh: tuple[Floats, Ints] | None
    views: tuple[ViewSample, ...] = field(default=())


def make_dressed(pack: Pack, settings: Settings, index: int) -> Dressed:
    """The index-th person at rest. Byte-identical for equal settings, whatever else was made before."""
    rng = _rng(pack, settings, index, 0)
    if rng.random() < settings.avatars:
        return dress_avatar_recipe(pack, avatar_recipe(pack, rng, settings.split))
    return dress(draw_recipe(pack, rng, settings.split), pack)


def remake(pack: Pack, recipe: dict[str, Any]) -> Dressed:
    """The person that a stored recipe describes."""
    return dress_avatar_recipe(pack, recipe) if "avatar" in recipe else dress(Recipe.from_dict(recipe), pack)


def make_posed(pack: Pack, settings: Settings, index: int) -> tuple[Posed, str]:
    """The index-th person in its pose, and what the pose is called ('' where nobody can say)."""
    dressed = make_dressed(pack, settings, index)
    rng = _rng(pack, settings, index, 1)
    pose = draw_pose(pack, rng, settings.split)
    return pose_person(dressed, pose, rng, cloth=settings.cloth, device=settings.device), pose.words


def make_sample(pack: Pack, settings: Settings, index: int, report: Report = quiet) -> PersonSample:
    """The index-th person with points, surface and views.

    Raises LikenessError("job.cancelled") through `report`.
    """
    report(0.0, "Dressing")
    posed, words = make_posed(pack, settings, index)
    report(0.3, "Measuring the surface")
    points, mesh = None, None
    scene = Scene(posed, settings.device)
    if settings.points or settings.mesh:
        surface: OuterSurface = outer_surface(posed, scene, settings.voxel_m)
        points = draw_points(surface, _rng(pack, settings, index, 2), settings.points) if settings.points else None
        mesh = surface.mesh() if settings.mesh else None
    views: list[ViewSample] = []
    here: Setting | None = None
    for number in range(settings.views):
        part(report, 0.5, 1.0)(number / settings.views, "Taking pictures")
        rng = _rng(pack, settings, index, 3 + number)
        # A place costs as much as a picture of it, and people do stay for a few.
        if here is None or number % VIEWS_A_PLACE == 0:
            place = draw_place(rng)
            here = Setting(scene, posed, words, place, light_scene(scene, place))
        views.append(take_view(here, settings, rng))
    return PersonSample(index, settings, posed, points, mesh, tuple(views))


@dataclass(frozen=True)
class Setting:
    """A posed person in a place and its light; words: what the pose is called."""

    scene: Scene
    posed: Posed
    words: str
    place: Place
    light: Light


def take_view(here: Setting, settings: Settings, rng: np.random.Generator) -> ViewSample:
    """One picture from a drawn camera by a drawn sensor."""
    name = settings.sensors[int(rng.integers(len(settings.sensors)))]
    view, sensor = _within_reach(here.posed, SENSORS[name], settings.size, rng)
    return seen_from(here, view, name, sensor, settings.device, rng)


def seen_from(
    here: Setting, view: View, name: str, sensor: Sensor, device: str, rng: np.random.Generator
) -> ViewSample:
    """One picture from a camera that is known, by the sensor `name` as it is held there."""
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    frame = render(here.scene, view, here.place, light=here.light)
    reading = simulate(
        lambda seen: render(here.scene, seen, here.place, outputs="geometry"), view, sensor, generator, frame=frame
    )
    color = develop(frame.color, here.place.exposure, generator=generator)
    phrases = (here.posed.dressed.caption, here.words, view_words(*view_angles(view, here.posed)))
    caption = ", ".join(phrase for phrase in phrases if phrase)
    return _view_sample(view, name, caption, color, reading.depth, reading.mask, frame)


def _within_reach(posed: Posed, sensor: Sensor, size: int, rng: np.random.Generator) -> tuple[View, Sensor]:
    """A drawn view whose person the sensor can read, and the sensor as it is held: nobody stands out of its range."""
    points = posed.body[::23]
    reach = (DISTANCE_M[0], HELD_M) if sensor.width else DISTANCE_M
    for _ in range(TRIES):
        view = draw_view(posed, rng, size, distance_m=reach)
        found = fitting((sensor, SENSORS["ideal"]), view, points)
        if len(found) == 2:
            break
    return view, fitting((sensor,), view, points)[0]


def _view_sample(
    view: View, sensor: str, caption: str, color: torch.Tensor, depth: torch.Tensor, mask: torch.Tensor, frame: Frame
) -> ViewSample:
    def host(tensor: torch.Tensor) -> NDArray[Any]:
        return tensor.cpu().numpy()

    clean = torch.where(frame.mask, frame.depth, torch.zeros_like(frame.depth))
    return ViewSample(
        view,
        sensor,
        caption,
        host(color),
        host(depth),
        host(mask),
        host(clean),
        host(frame.normal),
        host(frame.mask),
        host(frame.part),
        host(frame.kind),
        host(frame.known),
    )


def _rng(pack: Pack, settings: Settings, index: int, purpose: int) -> np.random.Generator:
    """Chance for one purpose; the index-th person of a split has a number that no other split has."""
    return np.random.default_rng((settings.seed, pack.split.person(settings.split, index), purpose))
