"""Pictures of a posed person through pinhole cameras: colour, depth, normals and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from likeness.synthesis.development import develop
from likeness.synthesis.figure import KINDS
from likeness.synthesis.floor import FloorShade, floor_points, floor_shade, shaded_floor
from likeness.synthesis.light import Light, Surroundings, light_scene
from likeness.synthesis.material import reflected
from likeness.synthesis.raster import Projected, Seen, project, rasterize, repeated_faces, surface_under
from likeness.synthesis.scene import Samples, Scene, Surface
from likeness.synthesis.view import Frame, View

# Where a finish does not say: how much of 850 nm each kind reflects at least, as most dyes are clear there.
__all__ = ["develop", "render", "render_many"]
INFRARED_FLOOR = {
    "skin": 0.45, "eye": 0.2, "hair": 0.09, "beard": 0.09, "cloth": 0.25,
    "shoe": 0.12, "hat": 0.2, "glasses": 0.1, "bag": 0.15,
}  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """Pictures of a scene: the projected vertices and faces of all, and what their pixels see."""

    projected: Projected
    faces: torch.Tensor
    seen: Seen


def see(scene: Scene, views: Sequence[View], scale: int = 1) -> Drawn:
    """What the pixels of equally large views see at `scale` samples along each side of a pixel."""
    cameras = [view.camera for view in views]
    height, width = cameras[0].height * scale, cameras[0].width * scale
    scaled = [View(c.scaled(width, height), v.camera_from_world) for c, v in zip(cameras, views, strict=True)]
    projected = project(scene.vertices, scaled)
    faces, picture = repeated_faces(scene.faces, len(scene.vertices), len(views))
    cut = scene.cut.repeat(len(views))
    seen = rasterize(
        projected, faces, height, width, pictures=len(views), picture=picture, cut=cut, accept=scene.solid
    )  # fmt: skip
    return Drawn(projected, faces, seen)


def samples_at(scene: Scene, drawn: Drawn, where: torch.Tensor) -> Samples:
    """The person at flat indices `where` (N,) i64 into the pixels of all pictures, each of which must see it."""
    _, height, width = drawn.seen.triangle.shape
    triangle = drawn.seen.triangle.reshape(-1)[where]
    picture, pixel = where // (height * width), where % (height * width)
    x, y = (pixel % width).float(), (pixel // width).float()
    met = surface_under(drawn.projected, drawn.faces, triangle, x, y)
    face = triangle % len(scene.faces)
    texels = scene.texels[face] / met.area.clamp(min=1e-6)
    return Samples(picture, pixel, face, met.bary, 1 / met.nearness.clamp(min=1e-9), texels)


def surface_of(scene: Scene, samples: Samples, eyes: torch.Tensor) -> Surface:
    """Place, normal and colour at samples; eyes (B, 3) are the cameras' places."""
    corner = scene.faces[samples.face]
    weight = samples.bary[:, :, None]
    position = (scene.vertices[corner] * weight).sum(1)
    normal = (scene.normals[corner] * weight).sum(1)
    to_eye = torch.nn.functional.normalize(eyes[samples.picture] - position, dim=1)
    flipped = (normal * to_eye).sum(1) < 0
    normal = torch.nn.functional.normalize(torch.where(flipped[:, None], -normal, normal), dim=1)
    layer = scene.owner[samples.face]
    uv = scene.uv(samples.face, samples.bary)
    albedo = scene.textures.albedo(layer, uv, samples.texels)
    return Surface(layer, position, normal, to_eye, flipped, albedo, uv)


def render(
    scene: Scene,
    view: View,
    place: Surroundings | None = None,
    *,
    supersample: int = 2,
    outputs: str = "all",
    light: Light | None = None,
) -> Frame:
    """One picture; see `render_many`."""
    return render_many(scene, [view], place, supersample=supersample, outputs=outputs, light=light)[0]


def render_many(
    scene: Scene,
    views: Sequence[View],
    place: Surroundings | None = None,
    *,
    supersample: int = 2,
    outputs: str = "all",
    light: Light | None = None,
) -> list[Frame]:
    """Frames of views that share one size, drawn together, in a place; without one: even light before black.

    supersample: samples along each side of a pixel at outlines. outputs: 'all', or 'geometry' for frames without
    colour (black) whose coverage is the mask. light: that of the place, if it is known already.
    """
    camera = views[0].camera
    shape = (len(views), camera.height, camera.width)
    eyes = torch.from_numpy(np.stack([view.eye for view in views])).float().to(scene.device)
    drawn = see(scene, views)
    where = (drawn.seen.triangle.reshape(-1) >= 0).nonzero()[:, 0]
    centre = samples_at(scene, drawn, where)
    surface = surface_of(scene, centre, eyes)

    def picture(values: torch.Tensor) -> torch.Tensor:
        out = torch.zeros((math.prod(shape), *values.shape[1:]), dtype=values.dtype, device=scene.device)
        out[where] = values
        return out.view(*shape, *values.shape[1:])

    rotation = torch.from_numpy(np.stack([view.camera_from_world[:3, :3] for view in views])).float().to(scene.device)
    cosine = (surface.normal * surface.to_eye).sum(1).clamp(0, 1)
    mask = picture(torch.ones_like(surface.flipped))
    fields = {
        "color": torch.zeros((*shape, 3), device=scene.device),
        "depth": picture(centre.depth),
        "normal": picture((rotation[centre.picture] @ surface.normal[:, :, None])[:, :, 0]),
        "coverage": mask.float(),
        "mask": mask,
        "part": picture(scene.part[centre.face] + 1),
        "kind": picture((scene.kind[surface.layer] + 1).to(torch.uint8)),
        "known": picture(scene.textures.known(surface.layer, surface.uv)),
        "cosine": picture(cosine),
        "infrared": picture(infrared_of(scene, surface)),
    }
    if outputs == "all":
        if light is None:
            light = light_scene(scene, place)
        inner = picture(reflected(scene, light, centre, surface))
        fields["color"], fields["coverage"] = _smooth_outlines(scene, views, eyes, light, drawn, inner, supersample)
    if place is not None:
        shade = floor_shade(scene, light) if light is not None and outputs == "all" else None
        for number, view in enumerate(views):
            _stand_before(place, view, fields, number, light, shade)
    return [Frame(**{name: values[k] for name, values in fields.items()}) for k in range(len(views))]


def _stand_before(
    place: Surroundings,
    view: View,
    fields: dict[str, torch.Tensor],
    number: int,
    light: Light | None,
    shade: FloorShade | None,
) -> None:
    """Put floor and walls behind the person of picture `number`: into its depth and, with `shade`, its colour."""
    depth, mask = fields["depth"][number], fields["mask"][number]
    behind = place.look(view, device=depth.device)
    depth[~mask] = behind.depth[~mask]
    if light is None or shade is None:
        return
    color, coverage = behind.color.clone(), fields["coverage"][number]
    floor = (behind.floor & (coverage < 1)).reshape(-1).nonzero()[:, 0]
    points = floor_points(view, floor, behind.depth.reshape(-1)[floor])
    color.view(-1, 3)[floor] *= shaded_floor(light, shade, points)
    fields["color"][number] += (1 - coverage)[..., None] * color


def _smooth_outlines(
    scene: Scene,
    views: Sequence[View],
    eyes: torch.Tensor,
    light: Light,
    drawn: Drawn,
    inner: torch.Tensor,
    supersample: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Light (B, H, W, 3) of the person times its coverage, and that coverage (B, H, W).

    inner (B, H, W, 3): light at the pixels' centres, which stands where all of a pixel's samples lie on one surface.
    """
    height, width = drawn.seen.triangle.shape[1:]
    fine = see(scene, views, supersample)
    hits = _subpixels((fine.seen.triangle >= 0).float(), supersample)
    coverage = torch.stack(hits).sum(0) / len(hits)
    uneven = _uneven(scene, views, drawn.seen, fine.seen, supersample).reshape(-1).nonzero()[:, 0]
    color = (inner * coverage[..., None]).view(-1, 3)
    picture, pixel = uneven // (height * width), uneven % (height * width)
    step = torch.arange(supersample, device=scene.device)
    row = (pixel // width * supersample)[:, None, None] + step[:, None]
    column = (pixel % width * supersample)[:, None, None] + step
    inside = ((picture[:, None, None] * (height * supersample) + row) * (width * supersample) + column).reshape(-1)
    met = (fine.seen.triangle.reshape(-1)[inside] >= 0).nonzero()[:, 0]
    samples = samples_at(scene, fine, inside[met])
    shaded = torch.zeros((len(inside), 3), device=scene.device)
    shaded[met] = reflected(scene, light, samples, surface_of(scene, samples, eyes))
    color[uneven] = shaded.view(-1, supersample**2, 3).mean(1)
    return color.view(inner.shape), coverage


def _subpixels(values: torch.Tensor, supersample: int) -> list[torch.Tensor]:
    """The supersample squared pictures (B, H, W) that a finer one (B, s H, s W) interleaves."""
    parts = range(supersample)
    return [values[:, row::supersample, column::supersample] for row in parts for column in parts]


def _uneven(scene: Scene, views: Sequence[View], coarse: Seen, fine: Seen, supersample: int) -> torch.Tensor:
    """Pixels (B, H, W) bool whose samples do not all lie on one smooth stretch of one layer."""
    layer = _layer_seen(scene, coarse)
    nearest = farthest = coarse.nearness
    other = torch.zeros_like(layer, dtype=torch.bool)
    for part in _subpixels(_layer_seen(scene, fine), supersample):
        other |= part != layer
    for near in _subpixels(fine.nearness, supersample):
        nearest, farthest = torch.maximum(nearest, near), torch.minimum(farthest, near)
    # Steeper than this many pixel widths over one pixel is an outline before something farther.
    step = torch.tensor([4 / view.camera.fx for view in views], device=scene.device)[:, None, None]
    return other | ((nearest - farthest) > step * farthest)


def _layer_seen(scene: Scene, seen: Seen) -> torch.Tensor:
    """The layer under each pixel as u8, 255 where there is none."""
    # The last of the owners stands for nothing: index -1.
    owner = torch.cat([scene.owner.to(torch.uint8), torch.full((1,), 255, dtype=torch.uint8, device=scene.device)])
    if len(seen.triangle) > 1:
        triangle = torch.where(seen.triangle >= 0, seen.triangle % len(scene.faces), -1)
    else:
        triangle = seen.triangle
    return owner[triangle]


def infrared_of(scene: Scene, surface: Surface) -> torch.Tensor:
    """Reflectivity (N,) at 850 nm: the finish's own, else from the kind and the colour's brightness."""
    least = torch.tensor([INFRARED_FLOOR[kind] for kind in KINDS], device=scene.device)[scene.kind][surface.layer]
    own = scene.infrared[surface.layer]
    return torch.where(own.isnan(), least + (1 - least) * surface.albedo.mean(1), own)
