"""All figures of one reconstruction against the truth (anim.md, section 9): the columns of the table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from likeness.core.camera import Camera

from ..view import Rays
from .distance import Closest, Floats, Ints, Mask, Mesh, Samples, angle_deg, closest, spread
from .normals import Frame, from_four_sides, normal_errors
from .outline import overlap, seen_points
from .parts import PARTS, nearest_groups
from .space import filled, free_points, handles
from .terrace import relief_camera, terraces
from .topology import topology

POINTS = 100_000
# Means over fewer points than this say nothing.
LEAST = 50
# Along the ray a limb missed by decimetres is another error than a depth missed by millimetres.
RAY_M = 0.05


@dataclass(frozen=True)
class Truth:
    """What is known of a person in one capture; camera space, metres.

    mesh: the closed outer surface. camera: of the capture. up (3,). body (V, 3): the true body's vertices; groups (V,)
    index into PARTS. points: how many are spread over each surface. read (H, W) bool: pixels that the sensor read.
    """

    mesh: Mesh
    camera: Camera
    up: NDArray
    body: NDArray
    groups: NDArray
    points: int = POINTS
    read: Mask | None = None

    @cached_property
    def samples(self) -> Samples:
        """Points spread over the surface."""
        return spread(self.mesh, self.points, seed=1)

    @cached_property
    def rays(self) -> Rays:
        """For casting into the surface."""
        return Rays(self.mesh.vertices, self.mesh.faces)

    @cached_property
    def seen(self) -> Mask:
        """Which of the samples the camera sees."""
        return seen_points(self.rays, self.camera, self.samples.points, self.samples.normals)

    @cached_property
    def part(self) -> Ints:
        """The part of each of the samples, index into PARTS."""
        return nearest_groups(self.samples.points, self.body, self.groups)

    @cached_property
    def free(self) -> Floats:
        """Points of the free space around the person."""
        return free_points(self.mesh, max(2000, self.points * 2 // 5), seed=2)

    @cached_property
    def sides(self) -> list[tuple[Frame, Mask, Floats]]:
        """The surface's normals from four sides."""
        return from_four_sides(self.mesh, self.up)

    @cached_property
    def handles(self) -> int:
        """Handles that the pose makes."""
        return handles(self.mesh)

    @cached_property
    def plain(self) -> Mask:
        """(H, W) bool on the relief's camera: torso and legs, where terraces are looked for."""
        camera = relief_camera(self.mesh, self.camera)
        face, depth = self.rays.render(camera)
        hit = face >= 0
        group = nearest_groups(camera.backproject(depth)[hit], self.body, self.groups)
        out = np.zeros(hit.shape, bool)
        out[hit] = np.isin(group, (PARTS.index("torso"), PARTS.index("legs")))
        return out


@dataclass(frozen=True)
class _Both:
    """Samples of both surfaces with what is closest on the other one."""

    ours: Samples
    ours_seen: Mask
    ours_part: Ints
    to_truth: Closest
    to_ours: Closest


def scores(
    vertices: NDArray, faces: NDArray, truth: Truth, cell_m: float | None = None, *, form: bool = True
) -> dict[str, float]:
    """Figures of a surface (V, 3), (F, 3) in the truth's camera space; nothing is aligned. nan: too little to judge.

    p2s: surface to truth; complete: truth to surface; chamfer: the mean of both; all in cm, point to triangle. seen_,
    unseen_: each surface's points as the capture's camera sees that surface; read_: seen points on pixels that were
    read (where the truth knows), all that depth alone has. p95: of both directions together.
    f5, f10: F-scores at 5 and 10 mm. seen_ray: depth error along the capture's rays. normals_: mean angle of oriented
    normals in degrees, from the truth's points; normals_unseen_plain: torso and legs; normals_4view, normals_4view_deg,
    iou_4view: see `normal_errors`. iou: outline in the capture. filled_pct: share of the free space within 10 cm that
    the surface fills. watertight 0 or 1; pieces without crumbs; genus of the largest; handles_off: handles too many or
    too few. terrace: see `terraces`; wave_mm where cell_m is given. unseen_p2s_PART, unseen_complete_PART,
    normals_unseen_PART. form: False leaves out handles_off and terrace, which take as long as all the others.
    """
    mesh = Mesh.of(vertices, faces)
    ours = spread(mesh, truth.points, seed=3)
    rays = Rays(mesh.vertices, mesh.faces)
    both = _Both(
        ours,
        seen_points(rays, truth.camera, ours.points, ours.normals),
        nearest_groups(ours.points, truth.body, truth.groups),
        closest(ours.points, truth.mesh),
        closest(truth.samples.points, mesh),
    )
    out = _distances(both, truth) | _normals(both, truth) | _parts(both, truth)
    found = normal_errors(mesh, truth.sides)
    out |= {"normals_4view": found.summed, "normals_4view_deg": found.degrees, "iou_4view": found.overlap}
    out |= _picture(rays, truth) | _read(both, truth)
    shape = topology(mesh)
    out |= {
        "filled_pct": 100 * filled(mesh, truth.free),
        "watertight": float(shape.watertight),
        "pieces": float(shape.parts),
        "genus": float(shape.genus[0]),
    }
    if not form:
        return out
    out["handles_off"] = float(abs(handles(mesh) - truth.handles))
    stepped = terraces(mesh, truth.mesh, truth.camera, truth.plain, cell_m)
    return out | {"terrace": stepped.index} | ({} if cell_m is None else {"wave_mm": 1000 * stepped.wave_m})


def _distances(both: _Both, truth: Truth) -> dict[str, float]:
    there, back = both.to_truth.distance, both.to_ours.distance
    out = _way("", there, back)
    out |= _way("seen_", there[both.ours_seen], back[truth.seen])
    out |= _way("unseen_", there[~both.ours_seen], back[~truth.seen])
    out["p95"] = 100 * float(np.percentile(np.concatenate([there, back]), 95))
    for millimetres in (5, 10):
        precision, recall = (float((d < millimetres / 1000).mean()) for d in (there, back))
        out[f"f{millimetres}"] = 2 * precision * recall / max(precision + recall, 1e-9)
    return out


def _way(side: str, there: Floats, back: Floats) -> dict[str, float]:
    p2s, complete = 100 * mean(there), 100 * mean(back)
    return {f"{side}chamfer": (p2s + complete) / 2, f"{side}p2s": p2s, f"{side}complete": complete}


def _read(both: _Both, truth: Truth) -> dict[str, float]:
    """Seen points of both surfaces whose pixel was read: there depth itself can be compared with."""
    if truth.read is None:
        return {}

    def on(points: Floats, seen: Mask) -> Mask:
        column, row = np.rint(truth.camera.project(points)).astype(int).T
        height, width = truth.read.shape  # type: ignore[union-attr]
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        chosen = truth.read[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]  # type: ignore[index]
        return np.asarray(seen & inside & chosen)

    ours, true = on(both.ours.points, both.ours_seen), on(truth.samples.points, truth.seen)
    return _way("read_", both.to_truth.distance[ours], both.to_ours.distance[true])


def mean(values: Floats) -> float:
    """The mean of (N,) values; nan of fewer than LEAST."""
    return float(values.mean()) if len(values) >= LEAST else float("nan")


def _normals(both: _Both, truth: Truth) -> dict[str, float]:
    angle = angle_deg(truth.samples.normals, both.to_ours.normals)
    plain = np.isin(truth.part, (PARTS.index("torso"), PARTS.index("legs")))
    return {
        "normals_seen": mean(angle[truth.seen]),
        "normals_unseen": mean(angle[~truth.seen]),
        "normals_unseen_plain": mean(angle[~truth.seen & plain]),
    }


def _parts(both: _Both, truth: Truth) -> dict[str, float]:
    angle = angle_deg(truth.samples.normals, both.to_ours.normals)
    out: dict[str, float] = {}
    for k, name in enumerate(PARTS):
        ours, true = both.ours_part == k, truth.part == k
        out[f"seen_p2s_{name}"] = 100 * mean(both.to_truth.distance[both.ours_seen & ours])
        out[f"unseen_p2s_{name}"] = 100 * mean(both.to_truth.distance[~both.ours_seen & ours])
        out[f"unseen_complete_{name}"] = 100 * mean(both.to_ours.distance[~truth.seen & true])
        out[f"normals_unseen_{name}"] = mean(angle[~truth.seen & true])
    return out


def _picture(rays: Rays, truth: Truth) -> dict[str, float]:
    """The outline's overlap, and the depth error along rays that meet both surfaces within RAY_M of each other."""
    (face, depth), (true_face, true_depth) = rays.render(truth.camera), truth.rays.render(truth.camera)
    hit, true_hit = face >= 0, true_face >= 0
    error = np.abs(depth - true_depth)[hit & true_hit]
    return {"iou": overlap(hit, true_hit), "seen_ray": 100 * mean(error[error < RAY_M])}
