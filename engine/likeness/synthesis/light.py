"""Light that falls on a posed person: from all round with soft shadows, from its own surface, and from a sun."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from likeness.synthesis.environment import gathered, mirror_pictures, nearest_directions
from likeness.synthesis.scene import Scene
from likeness.synthesis.shadow import ShadowMap, cast_shadow
from likeness.synthesis.view import View

__all__ = ["Backdrop", "FarLight", "Light", "Scene", "Surroundings", "light_scene"]
EVEN_RADIANCE = 0.8
# Light that reaches a hidden direction has met the person's own surface; this share of it is not lost in folds.
BOUNCE_SHARE = 0.85


class FarLight(Protocol):
    """A sun: direction (3,) towards it; irradiance (3,) f32 of a surface that faces it."""

    @property
    def direction(self) -> Sequence[float]: ...

    @property
    def irradiance(self) -> np.ndarray: ...


class Backdrop(Protocol):
    """A place through a camera: color (H, W, 3) linear; depth (H, W) m along the axis, 0 = open; floor (H, W) bool."""

    @property
    def color(self) -> torch.Tensor: ...

    @property
    def depth(self) -> torch.Tensor: ...

    @property
    def floor(self) -> torch.Tensor: ...


class Surroundings(Protocol):
    """What pictures need of a place. environment (H, W, 3) f32: linear radiance from all round, see `environment`,
    without the sun's disc."""

    @property
    def environment(self) -> np.ndarray: ...

    @property
    def sun(self) -> FarLight | None: ...

    def look(self, view: View, *, device: str | torch.device = "cpu", colored: bool = True) -> Backdrop: ...


@dataclass(frozen=True)
class Light:
    """Light on a scene's vertices.

    front, back (V, 3) f32: irradiance over pi on the side of the normal and on the other. open_front, open_back (V,)
    0..1: share of the surroundings that each side sees. environment (H, W, 3); mirrors: see `mirror_pictures`;
    nearest, nearest_share: see `nearest_directions`. bounced (3,): radiance of the person's own surface on the mean.
    sun_direction (3,) towards the sun and sun (3,) its irradiance over pi, None without sun; shadow: its map.
    """

    front: torch.Tensor
    back: torch.Tensor
    open_front: torch.Tensor
    open_back: torch.Tensor
    environment: torch.Tensor
    mirrors: torch.Tensor
    nearest: torch.Tensor
    nearest_share: torch.Tensor
    bounced: torch.Tensor
    sun_direction: torch.Tensor | None
    sun: torch.Tensor | None
    shadow: ShadowMap | None

    @functools.cached_property
    def planes(self) -> torch.Tensor:
        """front, open_front, back, open_back of the vertices (8, V)."""
        sides = ((self.front, self.open_front), (self.back, self.open_back))
        return torch.cat([torch.cat([light, share[:, None]], 1) for light, share in sides], 1).T.contiguous()


def light_scene(scene: Scene, place: Surroundings | None) -> Light:
    """Light of a place on a scene; even light of radiance EVEN_RADIANCE where there is none."""
    if place is None:
        environment = torch.full((32, 64, 3), EVEN_RADIANCE, device=scene.device)
    else:
        environment = torch.as_tensor(np.asarray(place.environment, np.float32)).to(scene.device)
    around = scene.transport
    radiance = gathered(environment, around.directions)
    direction, sun, shadow = None, None, None
    if place is not None and place.sun is not None:
        direction = torch.as_tensor(np.asarray(place.sun.direction, np.float32)).to(scene.device)
        direction = direction / direction.norm()
        sun = torch.as_tensor(np.asarray(place.sun.irradiance, np.float32)).to(scene.device) / torch.pi
        shadow = cast_shadow(scene, direction)
    front, back = around.front @ radiance, around.back @ radiance
    bounced = BOUNCE_SHARE * scene.mean_albedo * _mean_light(scene, front, direction, sun)
    return Light(
        front + (1 - around.open_front)[:, None] * bounced,
        back + (1 - around.open_back)[:, None] * bounced,
        around.open_front,
        around.open_back,
        environment,
        mirror_pictures(environment),
        *nearest_directions(around.directions),
        bounced,
        direction,
        sun,
        shadow,
    )


def _mean_light(
    scene: Scene, front: torch.Tensor, direction: torch.Tensor | None, sun: torch.Tensor | None
) -> torch.Tensor:
    """Mean irradiance over pi (3,) of the person's outside; about half of what faces the sun is in its own shadow."""
    if not len(front):
        return front.new_zeros(3)
    weight = scene.transport.open_front[:, None]
    mean = (front * weight).sum(0) / weight.sum().clamp(min=1e-6)
    if direction is not None and sun is not None:
        facing = (scene.normals @ direction).clamp(min=0)[:, None]
        mean = mean + sun * ((facing * weight).sum() / weight.sum().clamp(min=1e-6)) * 0.7
    return mean
