"""How a person's surface sends light to the eye: diffuse with a bleeding edge on skin, and a gloss."""

from __future__ import annotations

import torch

from likeness.synthesis.environment import lobe_of_roughness, patch_of, seen_in
from likeness.synthesis.light import Light
from likeness.synthesis.lookup import blended, corners_of, dot, rows, unit
from likeness.synthesis.scene import Samples, Scene, Surface
from likeness.synthesis.surfaces import tint

# Red light travels farther under skin than blue.
BLEED_COLOR = (1.0, 0.45, 0.25)
RIM_SHARE = 0.6
STRAND_SHARE = 0.3
STRAND_ROUGHNESS = 0.5
MIRROR_LIFT = 0.25
# Surfaces look for their shadow this many map cells off themselves: coarse triangles would shade one another.
_LIFT_CELLS = 2.5


def reflected(scene: Scene, light: Light, samples: Samples, surface: Surface) -> torch.Tensor:
    """Linear light (3, N) f32 from samples towards the eye."""
    corners = corners_of(scene.faces, samples.face)
    received = blended(light.planes, corners, samples.bary)
    received = torch.where(surface.flipped, received[4:], received[:4])
    around, openness = received[:3], received[3].clamp(0, 1)
    gloss, roughness = rows(scene.gloss, surface.layer), rows(scene.roughness, surface.layer)
    # Strands are round: each mirrors only the little of the surroundings that lies across it, and no two alike.
    strands = rows(scene.strand, surface.layer)
    share = torch.where(strands, STRAND_SHARE, 1.0)
    roughness = torch.where(strands, roughness.clamp(min=STRAND_ROUGHNESS), roughness)
    facing = dot(surface.normal, surface.to_eye).clamp(0, 1)
    mirror = 2 * facing * surface.normal - surface.to_eye
    # Rough surfaces lose most of the rim's sheen in their own roughness.
    rim = share * (gloss + (1 - gloss) * (1 - facing) ** 5 * (1 - roughness) ** 2 * RIM_SHARE)
    # A mirror sees the person itself where that hides the surroundings.
    free = openness * _seen_along(scene, light, corners, samples.bary, surface.normal, mirror)
    bounced = light.bounced[:, None] * (1 - free)
    mirrored = seen_in(light.mirrors, lobe_of_roughness(roughness), mirror) * free + bounced
    color = surface.albedo * around * (1 - rim) + mirrored * rim
    if light.sun is None or light.sun_direction is None or light.shadow is None:
        return color
    return color + _sunlight(scene, light, surface, gloss * share, roughness)


def _seen_along(
    scene: Scene,
    light: Light,
    corners: torch.Tensor,
    bary: torch.Tensor,
    normal: torch.Tensor,
    mirror: torch.Tensor,
) -> torch.Tensor:
    """How freely samples (N,) in triangles with corners (3, N) see about the directions (3, N) that they mirror."""
    # The few directions must not fall behind the surface.
    patch = patch_of(unit(mirror + MIRROR_LIFT * normal))
    seen = scene.transport.seen
    starts = corners * seen.shape[1]
    shares = []
    for directions, share in zip(light.nearest.unbind(1), light.nearest_share.unbind(1), strict=True):
        direction = rows(directions, patch)
        shares.append(dot(rows(seen.reshape(-1), starts + direction), bary) * rows(share, patch))
    return (shares[0] + shares[1] + shares[2]) / 255


def _sunlight(
    scene: Scene, light: Light, surface: Surface, gloss: torch.Tensor, roughness: torch.Tensor
) -> torch.Tensor:
    """What the sun adds (3, N)."""
    assert light.sun is not None and light.sun_direction is not None and light.shadow is not None
    toward = light.sun_direction
    cosine = dot(surface.normal, toward[:, None])
    bleed = rows(scene.bleed, surface.layer)
    # Past the terminator light has come through the body: a shadow only counts if it is cast from farther off.
    slack = 0.002 + bleed * 0.03 * (0.3 - cosine).clamp(0, 1)
    lifted = surface.position + surface.normal * (_LIFT_CELLS * light.shadow.cell_m)
    lit = light.shadow.lit(lifted, slack)
    reach = bleed * tint(BLEED_COLOR, bleed)
    wrapped = ((cosine + reach) / (1 + reach)).clamp(min=0) / (1 + reach)
    shine = glossy_lobe(surface.normal, surface.to_eye, toward[:, None], gloss, roughness)
    shine = shine * cosine.clamp(min=0) * torch.pi
    return (surface.albedo * wrapped * (1 - gloss) + shine) * light.sun[:, None] * lit


def glossy_lobe(
    normal: torch.Tensor, to_eye: torch.Tensor, to_light: torch.Tensor, gloss: torch.Tensor, roughness: torch.Tensor
) -> torch.Tensor:
    """Reflectance (N,) 1/sr of GGX facets with Smith's mutual shadowing; units (3, N), `to_light` also (3, 1)."""
    half = unit(to_eye + to_light)
    light = dot(normal, to_light).clamp(1e-3, 1)
    eye = dot(normal, to_eye).clamp(1e-3, 1)
    square = (roughness**4).clamp(min=1e-4)
    spread = square / torch.pi / (dot(normal, half) ** 2 * (square - 1) + 1).clamp(min=1e-6) ** 2
    fresnel = gloss + (1 - gloss) * (1 - dot(to_eye, half).clamp(0, 1)) ** 5
    masked = light * torch.sqrt(eye**2 * (1 - square) + square) + eye * torch.sqrt(light**2 * (1 - square) + square)
    return spread * fresnel * 0.5 / masked
