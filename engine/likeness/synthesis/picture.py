"""Pictures of a posed person through pinhole cameras: colour, depth, normals and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from likeness.synthesis.development import develop
from likeness.synthesis.figure import KINDS
from likeness.synthesis.raster import Projected, Seen, project, rasterize, repeated_faces, surface_under
from likeness.synthesis.scene import Scene
from likeness.synthesis.view import Frame, View

# Where a finish does not say: how much of 850 nm each kind reflects at least, as most dyes are clear there.
__all__ = ["Samples", "Surface", "develop", "render", "render_many"]
INFRARED_FLOOR = {
    "skin": 0.45, "eye": 0.2, "hair": 0.09, "beard": 0.09, "cloth": 0.25,
    "shoe": 0.12, "hat": 0.2, "glasses": 0.1, "bag": 0.15,
}  # fmt: skip


@dataclass(frozen=True)
class Samples:
    """Points of the person that pixels see. picture (N,) i64; pixel (N,) i64 in its picture's samples; face (N,) i64;
    bary (N, 3); depth (N,) m along the axis; texels (N,) per sample by area."""

    picture: torch.Tensor
    pixel: torch.Tensor
    face: torch.Tensor
    bary: torch.Tensor
    depth: torch.Tensor
    texels: torch.Tensor


@dataclass(frozen=True)
class Surface:
    """The person at samples. layer (N,) i64; position, normal, to_eye (N, 3) world, normal unit and facing the eye;
    flipped (N,) bool: the back is seen; albedo (N, 3) linear; uv (N, 2)."""

    layer: torch.Tensor
    position: torch.Tensor
    normal: torch.Tensor
    to_eye: torch.Tensor
    flipped: torch.Tensor
    albedo: torch.Tensor
    uv: torch.Tensor


def see(scene: Scene, views: Sequence[View], scale: int = 1) -> tuple[Projected, torch.Tensor, Seen]:
    """What the pixels of equally large views see at `scale` samples along each side of a pixel.

    Returns the projected vertices, the faces of all pictures and the triangles seen (B, scale H, scale W).
    """
    cameras = [view.camera for view in views]
    height, width = cameras[0].height * scale, cameras[0].width * scale
    scaled = [View(c.scaled(width, height), v.camera_from_world) for c, v in zip(cameras, views, strict=True)]
    projected = project(scene.vertices, scaled)
    faces, picture = repeated_faces(scene.faces, len(scene.vertices), len(views))
    cut = scene.cut.repeat(len(views))
    seen = rasterize(
        projected, faces, height, width, pictures=len(views), picture=picture, cut=cut, accept=scene.solid
    )  # fmt: skip
    return projected, faces, seen


def samples_at(scene: Scene, projected: Projected, faces: torch.Tensor, seen: Seen, where: torch.Tensor) -> Samples:
    """The person at flat indices `where` (N,) i64 into seen.triangle, each of which must see it."""
    _, height, width = seen.triangle.shape
    triangle = seen.triangle.reshape(-1)[where]
    picture, pixel = where // (height * width), where % (height * width)
    x, y = (pixel % width).float(), (pixel // width).float()
    met = surface_under(projected, faces, triangle, x, y)
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
    scene: Scene, view: View, place: object | None = None, *, supersample: int = 2, outputs: str = "all"
) -> Frame:
    """One picture; see `render_many`."""
    return render_many(scene, [view], place, supersample=supersample, outputs=outputs)[0]


def render_many(
    scene: Scene, views: Sequence[View], place: object | None = None, *, supersample: int = 2, outputs: str = "all"
) -> list[Frame]:
    """Frames of views that share one size, drawn together. Without a place: even light before black."""
    camera = views[0].camera
    count, height, width = len(views), camera.height, camera.width
    device = scene.device
    projected, faces, seen = see(scene, views)
    where = (seen.triangle.reshape(-1) >= 0).nonzero()[:, 0]
    eyes = torch.from_numpy(np.stack([view.eye for view in views])).float().to(device)
    centre = samples_at(scene, projected, faces, seen, where)
    surface = surface_of(scene, centre, eyes)

    def picture(values: torch.Tensor) -> torch.Tensor:
        out = torch.zeros((count * height * width, *values.shape[1:]), dtype=values.dtype, device=device)
        out[where] = values
        return out.view(count, height, width, *values.shape[1:])

    rotation = torch.from_numpy(np.stack([view.camera_from_world[:3, :3] for view in views])).float().to(device)
    normal = (rotation[centre.picture] @ surface.normal[:, :, None])[:, :, 0]
    cosine = (surface.normal * surface.to_eye).sum(1).clamp(0, 1)
    light = surface.albedo * (0.35 + 0.65 * cosine[:, None])
    mask = picture(torch.ones_like(surface.flipped))
    fields = {
        "color": picture(light),
        "depth": picture(centre.depth),
        "normal": picture(normal),
        "coverage": mask.float(),
        "mask": mask,
        "part": picture(scene.part[centre.face] + 1),
        "kind": picture((scene.kind[surface.layer] + 1).to(torch.uint8)),
        "known": picture(scene.textures.known(surface.layer, surface.uv)),
        "cosine": picture(cosine),
        "infrared": picture(infrared_of(scene, surface)),
    }
    return [Frame(**{name: values[k] for name, values in fields.items()}) for k in range(count)]


def infrared_of(scene: Scene, surface: Surface) -> torch.Tensor:
    """Reflectivity (N,) at 850 nm: the finish's own, else from the kind and the colour's brightness."""
    least = torch.tensor([INFRARED_FLOOR[kind] for kind in KINDS], device=scene.device)[scene.kind][surface.layer]
    own = scene.infrared[surface.layer]
    return torch.where(own.isnan(), least + (1 - least) * surface.albedo.mean(1), own)
