"""Pictures of a posed person through pinhole cameras: colour, depth, normals and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from likeness.synthesis.development import develop
from likeness.synthesis.floor import FloorShade, floor_points, floor_shade, shaded_floor
from likeness.synthesis.light import Light, Surroundings, light_scene
from likeness.synthesis.lookup import blended, corners_of, dot, places, put, rows, unit
from likeness.synthesis.material import reflected
from likeness.synthesis.raster import Projected, Seen, faces_over, project, rasterize, repeated_faces, surface_under
from likeness.synthesis.scene import Samples, Scene, Surface
from likeness.synthesis.view import Frame, View

__all__ = ["develop", "render", "render_many"]
# Samples shaded at a time: few enough for a CPU's cache.
CPU_SAMPLES = 1 << 14


@dataclass(frozen=True)
class Drawn:
    """Pictures of a scene: the projected vertices and faces of all, and what their pixels see."""

    projected: Projected
    faces: torch.Tensor
    seen: Seen


def see(scene: Scene, views: Sequence[View], scale: int = 1, wanted: torch.Tensor | None = None) -> Drawn:
    """What the pixels of equally large views see at `scale` samples along each side of a pixel.

    wanted (B, H, W) bool: pixels that matter; samples in others may lack surfaces.
    """
    cameras = [view.camera for view in views]
    height, width = cameras[0].height, cameras[0].width
    faces, picture = repeated_faces(scene.faces, len(scene.vertices), len(views))
    cut = scene.cut.repeat(len(views))
    drawn = faces
    if wanted is not None:
        kept = faces_over(project(scene.vertices, views), faces, picture, wanted)
        kept = places(kept)
        drawn, picture, cut = rows(faces, kept), rows(picture, kept), rows(cut, kept)

    def solid(triangle: torch.Tensor, bary: torch.Tensor) -> torch.Tensor:
        return scene.solid(triangle if wanted is None else rows(kept, triangle), bary)

    height, width = height * scale, width * scale
    scaled = [View(c.scaled(width, height), v.camera_from_world) for c, v in zip(cameras, views, strict=True)]
    projected = project(scene.vertices, scaled)
    seen = rasterize(
        projected, drawn, height, width, pictures=len(views), picture=picture, cut=cut, accept=solid
    )  # fmt: skip
    if wanted is not None:
        found = rows(kept, seen.triangle.clamp(min=0)) if len(kept) else seen.triangle
        seen = Seen(torch.where(seen.triangle >= 0, found, -1), seen.nearness)
    return Drawn(projected, faces, seen)


def samples_at(scene: Scene, drawn: Drawn, where: torch.Tensor) -> Samples:
    """The person at flat indices `where` (N,) i64 into the pixels of all pictures, each of which must see it."""
    _, height, width = drawn.seen.triangle.shape
    triangle = rows(drawn.seen.triangle.reshape(-1), where)
    picture, pixel = where // (height * width), where % (height * width)
    x, y = (pixel % width).float(), (pixel // width).float()
    met = surface_under(drawn.projected, drawn.faces, triangle, x, y)
    face = triangle % len(scene.faces)
    texels = rows(scene.texels, face) / met.area.clamp(min=1e-6)
    return Samples(picture, pixel, face, met.bary, 1 / met.nearness.clamp(min=1e-9), texels)


def surface_of(scene: Scene, samples: Samples, eyes: torch.Tensor) -> Surface:
    """Place, normal and colour at samples; eyes (3, B) are the cameras' places."""
    shape = blended(scene.shape_planes, corners_of(scene.faces, samples.face), samples.bary)
    position, normal = shape[:3], shape[3:]
    to_eye = unit(eyes.index_select(1, samples.picture) - position)
    flipped = dot(normal, to_eye) < 0
    normal = unit(torch.where(flipped, -normal, normal))
    layer = rows(scene.owner, samples.face)
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
    if outputs == "all" and light is None:
        light = light_scene(scene, place)
    if outputs == "geometry":
        light = None
    eyes = torch.from_numpy(np.stack([view.eye for view in views], 1)).float().to(scene.device)
    turn = torch.from_numpy(np.stack([view.camera_from_world[:3, :3] for view in views])).float().to(scene.device)
    drawn = see(scene, views)
    fields = _blank(shape, scene.device)
    flat = {name: values.flatten(-3) for name, values in fields.items()}
    for where in _batches(places(drawn.seen.triangle.reshape(-1) >= 0)):
        centre = samples_at(scene, drawn, where)
        surface = surface_of(scene, centre, eyes)
        for name, values in _geometry(scene, centre, surface, turn).items():
            put(flat[name], where, values)
        if light is not None:
            put(flat["color"], where, reflected(scene, light, centre, surface))
    fields["coverage"] = fields["mask"].float()
    if light is not None:
        _smooth_outlines(scene, views, eyes, light, drawn, fields, supersample)
    if place is not None:
        shade = None if light is None else floor_shade(scene, light)
        for number, view in enumerate(views):
            _stand_before(place, view, fields, number, light, shade)
    fields |= {name: fields[name].permute(1, 2, 3, 0) for name in ("color", "normal")}
    return [Frame(**{name: values[k] for name, values in fields.items()}) for k in range(len(views))]


def _batches(where: torch.Tensor) -> Sequence[torch.Tensor]:
    return where.split(CPU_SAMPLES if where.device.type == "cpu" else max(1, len(where)))


def _blank(shape: tuple[int, int, int], device: torch.device) -> dict[str, torch.Tensor]:
    """The fields (B, H, W) of frames that show nothing, those of colour and normals (3, B, H, W)."""
    plain = {"depth": torch.float32, "cosine": torch.float32, "infrared": torch.float32, "mask": torch.bool,
             "known": torch.bool, "part": torch.uint8, "kind": torch.uint8}  # fmt: skip
    fields = {name: torch.zeros(shape, dtype=kind, device=device) for name, kind in plain.items()}
    return fields | {name: torch.zeros((3, *shape), device=device) for name in ("color", "normal")}


def _geometry(scene: Scene, samples: Samples, surface: Surface, turn: torch.Tensor) -> dict[str, torch.Tensor]:
    """All that frames hold but light, at samples (N,); turn (B, 3, 3) from the world's axes to the cameras'."""
    return {
        "depth": samples.depth,
        "normal": _turned(turn, samples.picture, surface.normal),
        "mask": torch.ones_like(surface.flipped),
        "part": rows(scene.part, samples.face) + 1,
        "kind": (rows(scene.kind, surface.layer) + 1).to(torch.uint8),
        "known": scene.textures.known(surface.layer, surface.uv),
        "cosine": dot(surface.normal, surface.to_eye).clamp(0, 1),
        "infrared": infrared_of(scene, surface),
    }


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
    behind = place.look(view, device=depth.device, colored=light is not None)
    depth.copy_(torch.where(mask, depth, behind.depth))
    if light is None or shade is None:
        return
    color, coverage = behind.color.permute(2, 0, 1).contiguous(), fields["coverage"][number]
    floor = places((behind.floor & (coverage < 1)).reshape(-1))
    points = floor_points(view, floor, rows(behind.depth.reshape(-1), floor))
    flat = color.flatten(1)
    put(flat, floor, flat.index_select(1, floor) * shaded_floor(light, shade, points))
    fields["color"][:, number] += (1 - coverage) * color


def _smooth_outlines(
    scene: Scene,
    views: Sequence[View],
    eyes: torch.Tensor,
    light: Light,
    drawn: Drawn,
    fields: dict[str, torch.Tensor],
    supersample: int,
) -> None:
    """Replace colour, weighted by coverage, and coverage where a pixel's samples do not all lie on one surface."""
    _, height, width = drawn.seen.triangle.shape
    near_edge = _near_edges(scene, views, drawn.seen)
    fine = see(scene, views, supersample, near_edge)
    hits = _subpixels((fine.seen.triangle >= 0).float(), supersample)
    covered = torch.where(near_edge, torch.stack(hits).sum(0) / len(hits), fields["coverage"])
    uneven = near_edge & _uneven(scene, views, drawn.seen, fine.seen, supersample)
    fields["coverage"], fields["color"] = covered, fields["color"] * covered
    step = torch.arange(supersample, device=scene.device)
    for where in _batches(places(uneven.reshape(-1))):
        picture, pixel = where // (height * width), where % (height * width)
        row = (pixel // width * supersample)[:, None, None] + step[:, None]
        column = (pixel % width * supersample)[:, None, None] + step
        inside = ((picture[:, None, None] * (height * supersample) + row) * (width * supersample) + column).reshape(-1)
        met = places(rows(fine.seen.triangle.reshape(-1), inside) >= 0)
        samples = samples_at(scene, fine, rows(inside, met))
        shaded = torch.zeros((3, len(inside)), device=scene.device)
        put(shaded, met, reflected(scene, light, samples, surface_of(scene, samples, eyes)))
        put(fields["color"].flatten(1), where, shaded.view(3, -1, supersample**2).mean(2))


def _near_edges(scene: Scene, views: Sequence[View], seen: Seen) -> torch.Tensor:
    """Pixels (B, H, W) bool with another layer or a step in depth among their neighbours."""
    layer, near = _layer_seen(scene, seen).float(), seen.nearness
    most, least = _largest_about(layer), -_largest_about(-layer)
    nearest, farthest = _largest_about(near), -_largest_about(-near)
    return (most > least) | ((nearest - farthest) > _step_of(views, near.device) * farthest)


def _largest_about(values: torch.Tensor) -> torch.Tensor:
    """The largest of each pixel's neighbours and itself in pictures (B, H, W)."""
    padded = torch.nn.functional.pad(values[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    rows = torch.maximum(torch.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    return torch.maximum(torch.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])


def _step_of(views: Sequence[View], device: torch.device) -> torch.Tensor:
    """How much nearness (relative) changes over four pixels' widths, (B, 1, 1): a steeper surface is an outline."""
    return torch.tensor([4 / view.camera.fx for view in views], device=device)[:, None, None]


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
    return other | ((nearest - farthest) > _step_of(views, nearest.device) * farthest)


def _layer_seen(scene: Scene, seen: Seen) -> torch.Tensor:
    """The layer under each pixel as u8, 255 where there is none."""
    # The last of the owners stands for nothing: index -1.
    owner = torch.cat([scene.owner.to(torch.uint8), torch.full((1,), 255, dtype=torch.uint8, device=scene.device)])
    if len(seen.triangle) > 1:
        triangle = torch.where(seen.triangle >= 0, seen.triangle % len(scene.faces), -1)
    else:
        triangle = seen.triangle
    return owner[triangle]


def _turned(turn: torch.Tensor, picture: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """World vectors (3, N) in the axes of their pictures' (N,) cameras, turn (B, 3, 3)."""
    if len(turn) == 1:
        return turn[0] @ vectors
    return torch.stack([dot(row.T.index_select(1, picture), vectors) for row in turn.unbind(1)])


def infrared_of(scene: Scene, surface: Surface) -> torch.Tensor:
    """Reflectivity (N,) at 850 nm: the finish's own, else from the kind and the colour's brightness."""
    least, own = rows(scene.infrared_floor, surface.layer), rows(scene.infrared, surface.layer)
    return torch.where(own.isnan(), least + (1 - least) * surface.albedo.mean(0), own)
