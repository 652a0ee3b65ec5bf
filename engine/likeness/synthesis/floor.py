"""The person's shadow on the floor: how much of a place's light still arrives there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from likeness.synthesis.development import blurred
from likeness.synthesis.environment import gathered
from likeness.synthesis.light import Light
from likeness.synthesis.scene import FLOOR_CELLS, FLOOR_REACH_M, Scene
from likeness.synthesis.view import View

NEAR_BLUR_CELLS = 0.6
FAR_BLUR_CELLS = 5.0


@dataclass(frozen=True)
class FloorShade:
    """Light on the floor about a person. middle (2,) f32: x and z of the grid's centre; around (G, G, 3): irradiance
    over pi from all round with the person, rows along z; free (3,): without the person."""

    middle: torch.Tensor
    around: torch.Tensor
    free: torch.Tensor


def floor_shade(scene: Scene, light: Light) -> FloorShade:
    """What the person leaves of the light on the floor."""
    transport = scene.floor_transport
    radiance = gathered(light.environment, transport.directions)
    up = transport.directions[:, 1].clamp(min=0)
    free = (up / up.sum()) @ radiance
    # Where the person hides the sky, a little of its own light arrives instead: less, the closer both are.
    free_share = transport.open_front[:, None]
    around = transport.front @ radiance + (1 - free_share) * free_share * light.bounced
    around = around.view(FLOOR_CELLS, FLOOR_CELLS, 3)
    # Each of the few directions stands for a patch of the surroundings, whose shadow softens with the way it falls.
    far = scene.floor_clearance[..., None]
    near, wide = blurred(around, NEAR_BLUR_CELLS), blurred(around, FAR_BLUR_CELLS)
    return FloorShade(scene.floor_middle, near + (wide - near) * far, free)


def shaded_floor(light: Light, shade: FloorShade, points: torch.Tensor) -> torch.Tensor:
    """Share (3, N) of the undisturbed light that arrives at points (3, N) of the floor, 0..1."""
    place = torch.stack([(points[axis] - shade.middle[k]) / FLOOR_REACH_M for k, axis in enumerate((0, 2))])
    found = functional.grid_sample(
        shade.around.permute(2, 0, 1)[None], place.T[None, None], mode="bilinear", align_corners=False
    )[0, :, 0]
    inside = (1 - place.abs().amax(0)).clamp(0, 0.2) / 0.2
    free = shade.free[:, None]
    around = found * inside + free * (1 - inside)
    if light.sun is not None and light.sun_direction is not None and light.shadow is not None:
        direct = (light.sun * light.sun_direction[1].clamp(min=0))[:, None]
        # The sun is no point: the farther what shades, the softer. A lift clears the soles' own thickness.
        around = around + direct * light.shadow.lit(points, 0.004)
        free = free + direct
    return (around / free.clamp(min=1e-9)).clamp(0, 1)


def floor_points(view: View, where: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    """World points (3, N) under pixels `where` (N,) i64, flat, at `depth` (N,) metres along the axis."""
    camera = view.camera
    x = ((where % camera.width).float() - camera.cx) / camera.fx * depth
    y = ((where // camera.width).float() - camera.cy) / camera.fy * depth
    pose = torch.as_tensor(view.camera_from_world, dtype=torch.float32).to(depth.device)
    return pose[:3, :3].T @ (torch.stack([x, y, depth]) - pose[:3, 3:])
