"""Pictures and clean depth of a synthetic person through a pinhole camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likeness.core.camera import Camera
from likeness.core.progress import Report, quiet
from likeness.synthesis.person import SyntheticPerson
from likeness.synthesis.room import Room
from likeness.synthesis.shading import (
    Lighting,
    bounced_light,
    direct_light,
    linear_textures,
    spread_squares,
    surface_at,
)
from likeness.synthesis.tracing import Floats, Hits, Scene


@dataclass(frozen=True)
class View:
    """A camera and where it stands: camera_from_world (4, 4), camera space as OpenCV, world Y up."""

    camera: Camera
    camera_from_world: NDArray[np.float64]


@dataclass(frozen=True)
class CleanDepth:
    """What an ideal sensor sees. depth (H, W) f32 m along the axis, 0 = nothing; cosine (H, W) of incidence;
    reflectivity (H, W) 0..1 in the near infrared; person (H, W) bool."""

    depth: Floats
    cosine: Floats
    reflectivity: Floats
    person: NDArray[np.bool_]


def standing_view(camera: Camera, *, distance_m: float = 2.4, height_m: float = 1.2, aim_m: float = 0.95) -> View:
    """A camera at (0, height, distance) that looks at (0, aim, 0), level about its axis."""
    eye = np.array([0.0, height_m, distance_m])
    forward = np.array([0.0, aim_m, 0.0]) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    camera_from_world = np.eye(4)
    camera_from_world[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    camera_from_world[:3, 3] = -camera_from_world[:3, :3] @ eye
    return View(camera, camera_from_world)


def render_color(
    person: SyntheticPerson,
    view: View,
    *,
    samples: int = 32,
    seed: int = 0,
    room: Room | None = None,
    lighting: Lighting | None = None,
    report: Report = quiet,
) -> NDArray[np.uint8]:
    """sRGB picture (H, W, 3) u8: `samples` jittered rays a pixel, window shadows, one bounce."""
    room, lighting = room or Room(), lighting or Lighting()
    scene = Scene((*person.layers, room.layer()))
    textures = linear_textures(scene)
    total = np.zeros((view.camera.height * view.camera.width, 3), np.float64)
    starts = np.random.default_rng((seed, 0, 0)).random((len(total), 4), np.float32)
    for index in range(samples):
        report(index / samples, "Rendering the synthetic person")
        rng = np.random.default_rng((seed, 1, index))
        origins, directions = camera_rays(view, rng)
        hits = scene.cast(origins, directions, rng)
        arriving = lighting.dome(directions)
        met = np.flatnonzero(hits.triangle >= 0)
        seen = Hits(hits.triangle[met], hits.distance[met], hits.bary[met])
        surface = surface_at(scene, textures, room, origins[met], directions[met], seen)
        spread = spread_squares(starts[met], index)
        arriving[met] = direct_light(scene, lighting, surface, rng, spread[:, :2]) + bounced_light(
            scene, textures, room, lighting, surface, rng, spread[:, 2:]
        )
        # One sample brighter than this is a stray highlight that would leave a speck.
        total += np.minimum(arriving, 4.0)
    return develop(total.reshape(view.camera.height, view.camera.width, 3) / samples)


def develop(linear: NDArray, exposure: float = 1.2) -> NDArray[np.uint8]:
    """Linear light to sRGB u8 with a soft shoulder, so that bright walls do not clip."""
    light = np.maximum(linear * exposure, 0)
    knee = 0.6
    light = np.where(light > knee, knee + (1 - knee) * (1 - np.exp(-(light - knee) / (1 - knee))), light)
    coded = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.power(light, 1 / 2.4) - 0.055)
    return np.clip(coded * 255 + 0.5, 0, 255).astype(np.uint8)


def render_depth(person: SyntheticPerson, view: View, *, room: Room | None = None) -> CleanDepth:
    """Depth through pixel centres; floor and walls only where a `room` is given."""
    layers = person.layers if room is None else (*person.layers, room.layer())
    scene = Scene(layers)
    origins, directions = camera_rays(view)
    hits = scene.cast(origins, directions)
    shape = (view.camera.height, view.camera.width)
    depth, cosine, reflectivity = (np.zeros(shape[0] * shape[1], np.float32) for _ in range(3))
    met = np.flatnonzero(hits.triangle >= 0)
    # Camera rays have unit z in camera space, so the ray parameter is the depth.
    depth[met] = hits.distance[met]
    seen = Hits(hits.triangle[met], hits.distance[met], hits.bary[met])
    surface = surface_at(scene, linear_textures(scene), room or Room(), origins[met], directions[met], seen)
    cosine[met] = np.abs((surface.normal * surface.view).sum(1))
    reflectivity[met] = _infrared(scene, seen, surface.albedo.mean(1))
    person_seen = np.zeros(len(depth), bool)
    person_seen[met] = scene.layer[seen.triangle] < len(person.layers)
    return CleanDepth(
        depth.reshape(shape), cosine.reshape(shape), reflectivity.reshape(shape), person_seen.reshape(shape)
    )


def _infrared(scene: Scene, hits: Hits, brightness: Floats) -> Floats:
    """Near-infrared reflectivity (N,): most dyes are clear there, so only dark hair and shoes stay dark."""
    floor = {"skin": 0.45, "cloth": 0.25, "shoe": 0.12, "eye": 0.2, "hair": 0.09, "room": 0.3}
    darkest = np.array([floor[layer.material] for layer in scene.layers], np.float32)[scene.layer[hits.triangle]]
    return (darkest + (1 - darkest) * brightness).astype(np.float32)


def camera_rays(view: View, rng: np.random.Generator | None = None) -> tuple[Floats, Floats]:
    """World origins and directions (H W, 3) with unit z in camera space; with `rng` spread over each pixel."""
    camera = view.camera
    u, v = np.meshgrid(np.arange(camera.width, dtype=float), np.arange(camera.height, dtype=float))
    if rng is not None:
        # A tent filter: sharper than a box of the same reach, and no staircase on edges.
        u += rng.random(u.shape) + rng.random(u.shape) - 1
        v += rng.random(v.shape) + rng.random(v.shape) - 1
    local = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1).reshape(-1, 3)
    rotation = view.camera_from_world[:3, :3]
    origin = -rotation.T @ view.camera_from_world[:3, 3]
    directions = (local @ rotation).astype(np.float32)
    return np.broadcast_to(origin.astype(np.float32), directions.shape), directions


def to_camera(view: View, points: NDArray) -> Floats:
    """World points (..., 3) in the view's camera space."""
    return (points @ view.camera_from_world[:3, :3].T + view.camera_from_world[:3, 3]).astype(np.float32)
