"""Light and materials of synthetic pictures: one window, sky and ceiling, skin, cloth, hair, eyes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likeness.synthesis.room import Room
from likeness.synthesis.tracing import RAY_START_M, Floats, Hits, Scene, interpolate, sample_texture

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Lighting:
    """A rectangular window and the rest of the room as a dome.

    corner, edge_a, edge_b: the window, metres; radiance, ceiling, surround: linear RGB.
    """

    corner: tuple[float, float, float] = (-2.6, 1.3, 2.2)
    edge_a: tuple[float, float, float] = (1.5, 0.0, 1.5)
    edge_b: tuple[float, float, float] = (0.0, 1.7, 0.0)
    radiance: tuple[float, float, float] = (9.0, 8.6, 8.0)
    ceiling: tuple[float, float, float] = (0.66, 0.67, 0.70)
    surround: tuple[float, float, float] = (0.34, 0.325, 0.31)

    def dome(self, directions: Floats) -> Floats:
        """Light (N, 3) that arrives from directions (N, 3) which leave the scene."""
        up = np.clip(directions[:, 1:2] * 1.4, 0, 1)
        return np.asarray(self.surround, np.float32) * (1 - up) + np.asarray(self.ceiling, np.float32) * up


@dataclass(frozen=True)
class Surface:
    """Shading points. position, normal, view (N, 3); albedo (N, 3) linear; gloss, roughness (N,); soft (N, 3) wrap."""

    position: Floats
    normal: Floats
    view: Floats
    albedo: Floats
    gloss: Floats
    roughness: Floats
    soft: Floats


# material -> reflectance at normal incidence, roughness, and how far light bleeds past the terminator (RGB).
MATERIALS: dict[str, tuple[float, float, tuple[float, float, float]]] = {
    "skin": (0.026, 0.42, (0.30, 0.13, 0.07)),
    "cloth": (0.008, 0.8, (0.05, 0.05, 0.05)),
    "hair": (0.012, 0.65, (0.1, 0.1, 0.1)),
    "eye": (0.04, 0.12, (0.1, 0.1, 0.1)),
    "shoe": (0.03, 0.4, (0.0, 0.0, 0.0)),
    "room": (0.01, 0.6, (0.0, 0.0, 0.0)),
}
_TO_LINEAR = np.where(
    np.arange(256) <= 10, np.arange(256) / 255 / 12.92, ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4
).astype(np.float32)


def linear_textures(scene: Scene) -> list[Floats]:
    """Each layer's texture (H, W, 3) in linear light."""
    return [_TO_LINEAR[layer.color] for layer in scene.layers]


def surface_at(
    scene: Scene, textures: list[Floats], room: Room, origins: Floats, directions: Floats, hits: Hits
) -> Surface:
    """Material and frame at the hits of rays (N, 3); every ray must have hit. Normals face the viewer."""
    view = -directions / np.linalg.norm(directions, axis=1, keepdims=True)
    position = origins + directions * hits.distance[:, None]
    normal = scene.normal_at(hits)
    normal *= np.where((normal * view).sum(1) < 0, -1, 1)[:, None].astype(np.float32)
    corners = scene.corners[hits.triangle]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    face /= np.maximum(np.linalg.norm(face, axis=1, keepdims=True), 1e-12)
    face *= np.where((face * view).sum(1) < 0, -1, 1)[:, None]
    # Leave the surface along its true side, or shadow rays start inside coarse triangles.
    position = position + face * RAY_START_M * 3
    count = len(position)
    albedo, gloss = np.zeros((count, 3), np.float32), np.zeros(count, np.float32)
    roughness, soft = np.ones(count, np.float32), np.zeros((count, 3), np.float32)
    layer = scene.layer[hits.triangle]
    for index in np.unique(layer):
        mine = layer == index
        material = scene.layers[index].material
        if material == "room":
            albedo[mine] = room.albedo(position[mine])
        else:
            uv = interpolate(scene.uvs[hits.triangle[mine]], hits.bary[mine])
            albedo[mine] = sample_texture(textures[index], uv)
        gloss[mine], roughness[mine], soft[mine] = MATERIALS[material]
    return Surface(
        position.astype(np.float32), normal.astype(np.float32), view.astype(np.float32), albedo, gloss, roughness, soft
    )


def direct_light(
    scene: Scene, lighting: Lighting, surface: Surface, rng: np.random.Generator, square01: Floats | None = None
) -> Floats:
    """Light (N, 3) from one point of the window, shadows included; square01 (N, 2) places it, by chance if absent."""
    chosen = rng.random((len(surface.position), 2)) if square01 is None else square01
    a, b = np.asarray(lighting.edge_a), np.asarray(lighting.edge_b)
    point = np.asarray(lighting.corner) + chosen[:, :1] * a + chosen[:, 1:] * b
    to_light = (point - surface.position).astype(np.float32)
    square = (to_light**2).sum(1, keepdims=True)
    distance = np.sqrt(square)
    ray = to_light / distance
    area = np.cross(a, b)
    facing = np.abs(ray @ (area / np.linalg.norm(area)))[:, None]
    cosine = (surface.normal * ray).sum(1, keepdims=True)
    wrapped = np.clip((cosine + surface.soft) / (1 + surface.soft), 0, None) / (1 + surface.soft)
    lit = (wrapped > 0).any(1)
    lit[lit] = ~scene.blocked(surface.position[lit], ray[lit], distance[lit, 0] - 0.01, rng)
    power = np.asarray(lighting.radiance) * facing * np.linalg.norm(area) / square
    shine = _specular(surface, ray)[:, None] * np.clip(cosine, 0, None)
    return ((surface.albedo / np.pi * wrapped + shine) * power * lit[:, None]).astype(np.float32)


def bounced_light(
    scene: Scene,
    textures: list[Floats],
    room: Room,
    lighting: Lighting,
    surface: Surface,
    rng: np.random.Generator,
    square01: Floats,
) -> Floats:
    """Light (N, 3) by one diffuse bounce: the dome where the ray leaves, the lit neighbour where it meets one.

    square01 (N, 2) in 0..1 chooses the direction.
    """
    ray = cosine_directions(surface.normal, square01)
    hits = scene.cast(surface.position, ray, rng)
    arriving = lighting.dome(ray)
    met = np.flatnonzero(hits.triangle >= 0)
    if len(met):
        part = Hits(hits.triangle[met], hits.distance[met], hits.bary[met])
        neighbour = surface_at(scene, textures, room, surface.position[met], ray[met], part)
        # Later bounces are stood for by a share of the dome's mean.
        rest = 0.35 * (np.asarray(lighting.ceiling) + np.asarray(lighting.surround)) / 2
        arriving[met] = direct_light(scene, lighting, neighbour, rng) + neighbour.albedo * rest
    mirror = 2 * (surface.normal * surface.view).sum(1, keepdims=True) * surface.normal - surface.view
    fresnel = _fresnel(surface.gloss, np.clip((surface.normal * surface.view).sum(1), 0, 1))
    sheen = lighting.dome(mirror) * (fresnel * (1 - surface.roughness))[:, None] * (hits.triangle < 0)[:, None]
    return (surface.albedo * arriving + sheen).astype(np.float32)


def cosine_directions(normals: Floats, square01: Floats) -> Floats:
    """Unit directions (N, 3), cosine-distributed about normals (N, 3) where square01 (N, 2) is uniform in 0..1."""
    z, turn = 1 - 2 * square01[:, :1], 2 * np.pi * square01[:, 1:]
    ring = np.sqrt(np.maximum(1 - z * z, 0))
    out = normals + np.concatenate([ring * np.cos(turn), ring * np.sin(turn), z], 1) * 0.9999
    return (out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def spread_squares(start: Floats, index: int) -> Floats:
    """The index-th points (N, D) of sequences that fill the unit cube evenly, one for each start (N, D) in 0..1.

    Additive recurrence on the generalised golden ratio (Roberts 2018): far less grain than independent numbers.
    """
    dimensions = start.shape[1]
    ratio = 2.0
    for _ in range(40):
        ratio = (1 + ratio) ** (1 / (dimensions + 1))
    return ((start + index * ratio ** -np.arange(1.0, dimensions + 1)) % 1).astype(np.float32)


def _fresnel(base: Floats, cosine: Floats) -> Floats:
    return (base + (1 - base) * (1 - cosine) ** 5 * 0.6).astype(np.float32)


def _specular(surface: Surface, ray: Floats) -> Floats:
    """GGX lobe (N,) with Schlick's Fresnel and the usual approximate visibility."""
    half = ray + surface.view
    half /= np.maximum(np.linalg.norm(half, axis=1, keepdims=True), 1e-9)
    nh = np.clip((surface.normal * half).sum(1), 0, 1)
    vh = np.clip((surface.view * half).sum(1), 0, 1)
    alpha = surface.roughness**2
    spread = alpha**2 / np.pi / np.maximum(nh * nh * (alpha**2 - 1) + 1, 1e-6) ** 2
    return (spread * _fresnel(surface.gloss, vh) / (4 * np.maximum(vh, 0.1) ** 2)).astype(np.float32)
