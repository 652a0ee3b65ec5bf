"""How a person's surface sends light to the eye: diffuse with a bleeding edge on skin, and a gloss."""

from __future__ import annotations

import torch

from likeness.synthesis.environment import lobe_of_roughness, patch_of, seen_in
from likeness.synthesis.figure import KINDS
from likeness.synthesis.light import Light
from likeness.synthesis.scene import Samples, Scene, Surface

# Red light travels farther under skin than blue.
BLEED_COLOR = (1.0, 0.45, 0.25)
RIM_SHARE = 0.6
STRANDS = ("hair", "beard")
STRAND_SHARE = 0.3
STRAND_ROUGHNESS = 0.5
MIRROR_LIFT = 0.25
# Surfaces look for their shadow this many map cells off themselves: coarse triangles would shade one another.
_LIFT_CELLS = 2.5


def reflected(scene: Scene, light: Light, samples: Samples, surface: Surface) -> torch.Tensor:
    """Linear light (N, 3) f32 from samples towards the eye."""
    corner = scene.faces[samples.face]
    on_vertices = torch.cat([light.front, light.open_front[:, None], light.back, light.open_back[:, None]], 1)
    received = (on_vertices[corner] * samples.bary[:, :, None]).sum(1)
    received = torch.where(surface.flipped[:, None], received[:, 4:], received[:, :4])
    around, openness = received[:, :3], received[:, 3:].clamp(0, 1)
    gloss, roughness = scene.gloss[surface.layer], scene.roughness[surface.layer]
    # Strands are round: each mirrors only the little of the surroundings that lies across it, and no two alike.
    strands = torch.tensor([kind in STRANDS for kind in KINDS], device=gloss.device)[scene.kind][surface.layer]
    share = torch.where(strands, STRAND_SHARE, 1.0)
    roughness = torch.where(strands, roughness.clamp(min=STRAND_ROUGHNESS), roughness)
    facing = (surface.normal * surface.to_eye).sum(1).clamp(0, 1)
    mirror = 2 * facing[:, None] * surface.normal - surface.to_eye
    # Rough surfaces lose most of the rim's sheen in their own roughness.
    rim = share * (gloss + (1 - gloss) * (1 - facing) ** 5 * (1 - roughness) ** 2 * RIM_SHARE)
    # A mirror sees the person itself where that hides the surroundings.
    free = openness * _seen_along(scene, light, samples, surface.normal, mirror)[:, None]
    mirrored = seen_in(light.mirrors, lobe_of_roughness(roughness), mirror) * free + light.bounced * (1 - free)
    color = surface.albedo * around * (1 - rim)[:, None] + mirrored * rim[:, None]
    if light.sun is None or light.sun_direction is None or light.shadow is None:
        return color
    return color + _sunlight(scene, light, surface, gloss * share, roughness)


def _seen_along(
    scene: Scene, light: Light, samples: Samples, normal: torch.Tensor, mirror: torch.Tensor
) -> torch.Tensor:
    """How freely samples (N,) see about the directions (N, 3) that they mirror, 0..1."""
    # The few directions must not fall behind the surface.
    lifted = torch.nn.functional.normalize(mirror + MIRROR_LIFT * normal, dim=1)
    patch = patch_of(lifted)
    direction, share = light.nearest[patch], light.nearest_share[patch]
    seen = scene.transport.seen
    at_corners = seen.reshape(-1)[(scene.faces[samples.face] * seen.shape[1])[:, :, None] + direction[:, None]]
    return ((at_corners * samples.bary[:, :, None]).sum(1) * share).sum(1) / 255


def _sunlight(
    scene: Scene, light: Light, surface: Surface, gloss: torch.Tensor, roughness: torch.Tensor
) -> torch.Tensor:
    """What the sun adds (N, 3)."""
    assert light.sun is not None and light.sun_direction is not None and light.shadow is not None
    toward = light.sun_direction
    cosine = surface.normal @ toward
    bleed = scene.bleed[surface.layer]
    # Past the terminator light has come through the body: a shadow only counts if it is cast from farther off.
    slack = 0.002 + bleed * 0.03 * (0.3 - cosine).clamp(0, 1)
    lifted = surface.position + surface.normal * (_LIFT_CELLS * light.shadow.cell_m)
    lit = light.shadow.lit(lifted, slack)
    reach = bleed[:, None] * torch.tensor(BLEED_COLOR, device=bleed.device)
    wrapped = ((cosine[:, None] + reach) / (1 + reach)).clamp(min=0) / (1 + reach)
    shine = glossy_lobe(surface.normal, surface.to_eye, toward, gloss, roughness)
    shine = shine * cosine.clamp(min=0) * torch.pi
    return (surface.albedo * wrapped * (1 - gloss)[:, None] + shine[:, None]) * light.sun * lit[:, None]


def glossy_lobe(
    normal: torch.Tensor, to_eye: torch.Tensor, to_light: torch.Tensor, gloss: torch.Tensor, roughness: torch.Tensor
) -> torch.Tensor:
    """Reflectance (N,) 1/sr of GGX facets with Smith's mutual shadowing; unit vectors (N, 3), `to_light` also (3,)."""
    half = torch.nn.functional.normalize(to_eye + to_light, dim=1)
    light = (normal * to_light).sum(1).clamp(1e-3, 1)
    eye = (normal * to_eye).sum(1).clamp(1e-3, 1)
    square = (roughness**4).clamp(min=1e-4)
    spread = square / torch.pi / ((normal * half).sum(1) ** 2 * (square - 1) + 1).clamp(min=1e-6) ** 2
    fresnel = gloss + (1 - gloss) * (1 - (to_eye * half).sum(1).clamp(0, 1)) ** 5
    masked = light * torch.sqrt(eye**2 * (1 - square) + square) + eye * torch.sqrt(light**2 * (1 - square) + square)
    return spread * fresnel * 0.5 / masked
