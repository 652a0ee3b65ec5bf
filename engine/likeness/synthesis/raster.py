"""Which triangle each pixel sees: a scan-line rasterizer in plain torch, the same on any device.

Every triangle is cut into the pixel rows that it crosses, every row into the pixels between its two edges. Neighbours
compute their common edge from the same numbers in the same order, so that no pixel is lost or met twice between them.
The nearest fragment wins by one atomic maximum over (nearness, triangle), hence the result does not depend on order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from likeness.synthesis.lookup import corners_of, dot, places, rows
from likeness.synthesis.view import View

NEAR_M = 0.05
# Rows or fragments in work at a time: few enough for a CPU's cache, enough to keep a graphics card busy.
CPU_FRAGMENTS = 1 << 16
DEVICE_FRAGMENTS = 1 << 26
_TRIANGLE_BITS = 32
_NOTHING = -1
_EVERYTHING = (1 << 63) - 1

# Says for triangles (N,) and barycentrics (3, N) whether the surface is solid there (N,).
Accept = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Projected:
    """Vertices in a picture: x, y (V,) f32 pixels, integers are pixel centres; nearness (V,) f32 grows towards the
    camera, is linear in the picture, and is positive where the vertex can be drawn: 1 / depth if `perspective`, else
    a constant less the depth."""

    x: torch.Tensor
    y: torch.Tensor
    nearness: torch.Tensor
    perspective: bool


@dataclass(frozen=True)
class Fragments:
    """Surface points under pixels. bary (3, N) f32; nearness (N,) f32; area (N,) f32: the whole triangle's, pixels."""

    bary: torch.Tensor
    nearness: torch.Tensor
    area: torch.Tensor


@dataclass(frozen=True)
class Seen:
    """What each pixel's centre sees. triangle (B, H, W) i64, -1 = nothing; nearness (B, H, W) f32, 0 = nothing."""

    triangle: torch.Tensor
    nearness: torch.Tensor


def project(vertices: torch.Tensor, views: Sequence[View]) -> Projected:
    """World vertices (V, 3) in the pictures of B cameras, one picture's (B V) after the other."""
    pose = torch.from_numpy(np.stack([view.camera_from_world for view in views])).float().to(vertices.device)
    lens = [(v.camera.fx, v.camera.fy, v.camera.cx, v.camera.cy) for v in views]
    fx, fy, cx, cy = torch.tensor(lens, device=vertices.device)[:, :, None].unbind(1)
    local = torch.einsum("bij,vj->biv", pose[:, :3, :3], vertices) + pose[:, :3, 3:]
    depth = local[:, 2]
    inverse = 1 / depth.clamp(min=NEAR_M)
    x, y = local[:, 0] * inverse * fx + cx, local[:, 1] * inverse * fy + cy
    nearness = torch.where(depth > NEAR_M, inverse, torch.zeros_like(inverse))
    return Projected(x.reshape(-1), y.reshape(-1), nearness.reshape(-1), True)


def repeated_faces(faces: torch.Tensor, vertex_count: int, pictures: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Faces (B F, 3) that refer to each picture's own vertices, and the picture (B F,) of each."""
    index = torch.arange(pictures, device=faces.device)
    moved = faces[None] + (index * vertex_count)[:, None, None]
    return moved.reshape(-1, 3), index.repeat_interleave(len(faces))


def rasterize(
    projected: Projected,
    faces: torch.Tensor,
    height: int,
    width: int,
    *,
    pictures: int = 1,
    picture: torch.Tensor | None = None,
    cut: torch.Tensor | None = None,
    accept: Accept | None = None,
    farthest: bool = False,
) -> Seen:
    """The triangle under each pixel's centre.

    faces (F, 3) i64; picture (F,) i64: the picture of each face (all in one if absent). cut (F,) bool: faces with
    holes, which `accept` is asked about. farthest: the last surface along each ray, not the first. Triangles with a
    vertex behind the near plane are left out.
    """
    empty = _EVERYTHING if farthest else _NOTHING
    best = torch.full((pictures * height * width,), empty, dtype=torch.int64, device=faces.device)
    contest = _Contest(best, height, width, farthest)
    if cut is None or accept is None:
        _draw(contest, projected, faces, None, picture, None)
    else:
        # The solid parts first: most of the fragments with holes are then hidden and need no look at their texture.
        for chosen, ask in ((~cut, None), (cut, accept)):
            _draw(contest, projected, faces, places(chosen), picture, ask)
    best[best == empty] = _NOTHING
    hit = best >= 0
    triangle = torch.where(hit, best & ((1 << _TRIANGLE_BITS) - 1), _NOTHING)
    nearness = torch.where(hit, best >> _TRIANGLE_BITS, 0).int().view(torch.float32)
    shape = (pictures, height, width)
    return Seen(triangle.view(shape), nearness.view(shape))


def surface_under(
    projected: Projected, faces: torch.Tensor, triangle: torch.Tensor, x: torch.Tensor, y: torch.Tensor
) -> Fragments:
    """Where triangles (N,) i64 lie under picture points x, y (N,): perspective-correct barycentrics and nearness."""
    corner = corners_of(faces, triangle)
    px, py = rows(projected.x, corner) - x, rows(projected.y, corner) - y
    nearness = rows(projected.nearness, corner)
    area = torch.stack([px[a] * py[b] - px[b] * py[a] for a, b in ((1, 2), (2, 0), (0, 1))])
    # Rounding may put a pixel on the edge a hair outside.
    area = (area * torch.where(area.sum(0) < 0, -1.0, 1.0)).clamp(min=0)
    total = area.sum(0)
    flat = torch.where(total > 1e-12, area / total.clamp(min=1e-12), 1 / 3)
    near = dot(flat, nearness)
    bary = flat * nearness / near.clamp(min=1e-20) if projected.perspective else flat
    return Fragments(bary, near, total / 2)


def faces_over(projected: Projected, faces: torch.Tensor, picture: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Faces (F,) bool whose surrounding box touches a pixel that is wanted in its picture, `wanted` (B, H, W) bool."""
    _, height, width = wanted.shape
    # Sums over all pixels above and to the left count those in any box by four look-ups.
    sums = torch.nn.functional.pad(wanted.int().cumsum(1).cumsum(2), (1, 0, 1, 0)).int().reshape(-1)
    x, y = ((values + 0.5).floor()[faces] for values in (projected.x, projected.y))
    left, top = x.amin(1).clamp(0, width).int(), y.amin(1).clamp(0, height).int()
    right, bottom = (x.amax(1) + 1).clamp(0, width).int(), (y.amax(1) + 1).clamp(0, height).int()
    start = picture.int() * ((height + 1) * (width + 1))
    upper, lower = start + top * (width + 1), start + bottom * (width + 1)
    return sums[lower + right] + sums[upper + left] > sums[lower + left] + sums[upper + right]


@dataclass(frozen=True)
class _Contest:
    """The pixels that fragments compete for. best (pixels,) i64: (nearness, triangle) of the winner so far."""

    best: torch.Tensor
    height: int
    width: int
    farthest: bool


@dataclass(frozen=True)
class _Fragments:
    """pixel, triangle (N,) i64; nearness (N,) f32."""

    pixel: torch.Tensor
    triangle: torch.Tensor
    nearness: torch.Tensor


def _draw(
    contest: _Contest,
    projected: Projected,
    faces: torch.Tensor,
    which: torch.Tensor | None,
    picture: torch.Tensor | None,
    accept: Accept | None,
) -> None:
    """Let the faces `which` (all if None) compete."""
    best = contest.best
    edges = _edges(projected, faces, which, picture, (contest.height, contest.width))
    limit = CPU_FRAGMENTS if best.device.type == "cpu" else DEVICE_FRAGMENTS
    for triangles in _pieces(edges.count, limit):
        rows = _rows(edges, triangles, contest.width)
        for part in _pieces(rows.count, limit):
            found = _fragments(rows, part)
            if accept is not None:
                found = _solid(contest, projected, faces, found, accept)
            key = (found.nearness.view(torch.int32).long() << _TRIANGLE_BITS) | found.triangle
            best.scatter_reduce_(0, found.pixel, key, "amin" if contest.farthest else "amax")


def _pieces(count: torch.Tensor, limit: int) -> list[slice]:
    """Runs of entries whose counts (N,) sum to about `limit`; a single entry may hold more."""
    if not len(count):
        return []
    ends = torch.cumsum(count, 0)
    marks = torch.arange(limit, int(ends[-1]) + limit, limit, device=count.device)
    stops = torch.searchsorted(ends, marks, right=True).tolist()
    stops[-1] = len(count)
    return [slice(start, stop) for start, stop in zip([0, *stops], stops, strict=False) if stop > start]


def _solid(
    contest: _Contest, projected: Projected, faces: torch.Tensor, found: _Fragments, accept: Accept
) -> _Fragments:
    """Those fragments that could still win and that `accept` finds solid."""
    bits = found.nearness.view(torch.int32).long()
    rival = rows(contest.best, found.pixel) >> _TRIANGLE_BITS
    kept = places(bits <= rival if contest.farthest else bits >= rival)
    pixel, triangle = rows(found.pixel, kept), rows(found.triangle, kept)
    x, y = pixel % contest.width, (pixel // contest.width) % contest.height
    met = surface_under(projected, faces, triangle, x.float(), y.float())
    solid = places(accept(triangle, met.bary))
    return _Fragments(rows(pixel, solid), rows(triangle, solid), rows(found.nearness, rows(kept, solid)))


@dataclass(frozen=True)
class _Edges:
    """Triangles ready to be cut into rows. first, count (T,) i64: their rows; lines (12, T) f32: x and y of the top and
    middle corner, slopes of the long, upper and lower edge, nearness at the top, its gradient, its bounds;
    identity (2, T) i64: the face, and the first pixel of its picture."""

    first: torch.Tensor
    count: torch.Tensor
    lines: torch.Tensor
    identity: torch.Tensor


@dataclass(frozen=True)
class _Rows:
    """Pieces of pixel rows, arrays (R,) or (2, R). count i64 pixels; nearness f32: at the first pixel, and from one to
    the next; identity i64: the face and the first pixel."""

    count: torch.Tensor
    nearness: torch.Tensor
    identity: torch.Tensor


def _edges(
    projected: Projected,
    faces: torch.Tensor,
    which: torch.Tensor | None,
    picture: torch.Tensor | None,
    size: tuple[int, int],
) -> _Edges:
    """Triangles that cross a row of pixels inside the picture, their corners ordered from top to bottom."""
    height, width = size
    corner = (faces if which is None else rows(faces, which)).T.contiguous()
    first, count, usable = _extent(projected, corner, size)
    kept = places(usable)
    first, count = rows(first, kept), rows(count, kept)
    x, y, n = _from_the_top(projected, corner.index_select(1, kept))

    def slope(a: int, b: int) -> torch.Tensor:
        return (x[b] - x[a]) / (y[b] - y[a]).clamp(min=1e-20)

    gradient = _gradient(x, y, n)
    bounds = (torch.minimum(torch.minimum(n[0], n[1]), n[2]), torch.maximum(torch.maximum(n[0], n[1]), n[2]))
    lines = torch.stack([x[0], y[0], x[1], y[1], slope(0, 2), slope(0, 1), slope(1, 2), n[0], *gradient, *bounds])
    face = kept if which is None else rows(which, kept)
    base = torch.zeros_like(face) if picture is None else rows(picture, face) * (height * width)
    return _Edges(first, count, lines, torch.stack([face, base]))


def _extent(
    projected: Projected, corner: torch.Tensor, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The first row and how many rows triangles with corners (3, T) cross, (T,) i64, and whether they may be seen."""
    height, width = size

    def bounds(values: torch.Tensor, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
        a, b, c = rows(values, corner).unbind()
        low, high = torch.minimum(torch.minimum(a, b), c), torch.maximum(torch.maximum(a, b), c)
        return low.clamp(0, limit).ceil(), high.clamp(0, limit).ceil()

    top, bottom = bounds(projected.y, height)
    left, right = bounds(projected.x, width)
    ahead = rows(projected.nearness, corner).amin(0) > 0
    first = top.long()
    return first, bottom.long() - first, (bottom > top) & (right > left) & ahead


def _from_the_top(
    projected: Projected, corner: torch.Tensor
) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
    """x, y and nearness (T,) of the corners (3, T), from the top down."""
    order, y = list(corner.unbind()), list(rows(projected.y, corner).unbind())
    for a, b in ((0, 1), (1, 2), (0, 1)):
        # Sums and bounds instead of choices, which cost a CPU a wrong guess each.
        step = (order[b] - order[a]) * (y[a] > y[b])
        order[a], order[b] = order[a] + step, order[b] - step
        y[a], y[b] = torch.minimum(y[a], y[b]), torch.maximum(y[a], y[b])
    return [rows(projected.x, c) for c in order], y, [rows(projected.nearness, c) for c in order]


def _gradient(x: list[torch.Tensor], y: list[torch.Tensor], n: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """How nearness changes a pixel to the right and a pixel down (T,) each; 0 where a triangle is seen edge on."""
    x1, x2, y1, y2 = x[1] - x[0], x[2] - x[0], y[1] - y[0], y[2] - y[0]
    n1, n2 = n[1] - n[0], n[2] - n[0]
    area = x1 * y2 - x2 * y1
    inverse = torch.where(area.abs() > 1e-12, 1 / area, torch.zeros_like(area))
    return (n1 * y2 - n2 * y1) * inverse, (n2 * x1 - n1 * x2) * inverse


def _rows(edges: _Edges, part: slice, width: int) -> _Rows:
    """Some triangles' pixels row by row."""
    count = edges.count[part]
    owner = torch.repeat_interleave(count)
    start = torch.cumsum(count, 0) - count
    row = torch.arange(len(owner), device=owner.device) - rows(start - edges.first[part], owner)
    owner = owner + part.start
    x0, y0, x1, y1, long_slope, upper, lower, n0, across, down, least, most = edges.lines.index_select(1, owner)
    y = row.float()
    far = x0 + (y - y0) * long_slope
    # A row belongs to the upper edge as long as it lies above the middle corner: the same rule for both neighbours.
    above = y < y1
    near = torch.where(above, x0 + (y - y0) * upper, x1 + (y - y1) * lower)
    begin = torch.minimum(far, near).clamp(0, width).ceil()
    count = torch.maximum(far, near).clamp(0, width).ceil() - begin
    # Bounded at both ends, no pixel between lies before or behind its triangle, however steep that is.
    start = n0 + down * (y - y0) + across * (begin - x0)
    steps = (count - 1).clamp(min=1)
    stop = torch.minimum(torch.maximum(start + across * steps, least), most)
    start = torch.minimum(torch.maximum(start, least), most)
    step = (stop - start) / steps
    kept = places(count > 0)
    face, base = edges.identity.index_select(1, rows(owner, kept))
    pixel = base + rows(row * width + begin.long(), kept)
    nearness = torch.stack([start, step]).index_select(1, kept)
    return _Rows(rows(count, kept).long(), nearness, torch.stack([face, pixel]))


def _fragments(cut: _Rows, part: slice) -> _Fragments:
    """The pixels of some rows."""
    count = cut.count[part]
    owner = torch.repeat_interleave(count)
    index = torch.arange(len(owner), device=owner.device)
    start = torch.cumsum(count, 0) - count
    along = index - rows(start, owner)
    owner = owner + part.start
    nearness, step = cut.nearness.index_select(1, owner)
    face, pixel = cut.identity.index_select(1, owner)
    return _Fragments(pixel + along, face, nearness + step * along.float())
