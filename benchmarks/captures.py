"""How well the drape keeps what was measured: real whole-body frames with a known camera, and the shipped sample.

    python benchmarks/captures.py --data DIR [--pictures DIR] [--only TEXT] [--photos]

DIR holds rgbd/ and photos/ (real people: for figures only, never shipped). Each input is read, fitted and draped in a
process of its own. One row an input: median and 95th percentile of the distance from measured points to the seen side,
overlap of outline and mask, seconds a stage, peak memory; below it the same figures of the depth map closed from
behind, which keeps the seen side best and knows nothing else. Keeps the figures in benchmarks/results/captures.json;
pictures (shaded from four sides, seen side bluish; coloured; the fitted body) go to --pictures, outside the repository.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from likeness.body.fit import fit_body
from likeness.body.model import product_body
from likeness.capture import read_capture, read_photo
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.surface import CapturedSurface
from likeness.jobs.reading import find_person
from likeness.surface.draped import drape, posed_mesh
from likeness.surface.evaluation.quality import surface_quality
from likeness.surface.refine import vertex_normals
from likeness.surface.view import Rays
from PIL import Image
from record import ROOT, keep

#: Whole-body frames with a known camera.
CAPTURES = (
    "rgbd/normalgan_kinectv2/01",
    "rgbd/normalgan_kinectv2/02",
    "rgbd/normalgan_kinectv2/03",
    "rgbd/srdf_kinectv2/1001",
    "rgbd/depthkit_chae/still",
)
#: Chosen by file name before any was draped.
PHOTOS = (
    "photos/elicit_fashion/fs0000_m394/gt_image.png",
    "photos/elicit_fashion/fs4235_m394/gt_image.png",
    "photos/sith/010.png",
    "photos/pifu/ryota.png",
    "photos/lhm/000057.png",
)
SIDES_DEG = (0, 60, 180, 270)
PICTURE_ROWS = 560


def closed_depth(capture: Capture) -> CapturedSurface:
    """The baseline: the depth map as a sheet, its steps under 6 cm bridged, and the same sheet 15 cm behind it."""
    valid = capture.valid
    index = np.cumsum(valid.ravel()).reshape(valid.shape) - 1
    points = capture.points().astype(np.float64)
    corners = [index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]]
    whole = [valid[:-1, :-1], valid[:-1, 1:], valid[1:, 1:], valid[1:, :-1]]
    faces = []
    for a, b, c in ((0, 3, 1), (1, 3, 2)):
        triangle = np.stack([corners[k][whole[a] & whole[b] & whole[c]] for k in (a, b, c)], axis=1)
        depth = points[triangle, 2]
        faces.append(triangle[np.ptp(depth, axis=1) < 0.06])
    front = np.concatenate(faces)
    back = points * (1 + 0.15 / points[:, 2:])
    return CapturedSurface(
        vertices=np.concatenate([points, back]).astype(np.float32),
        faces=np.concatenate([front, front[:, ::-1] + len(points)]).astype(np.int32),
        seen=np.repeat([1.0, 0.0], len(points)).astype(np.float32),
    )


def measure(path: Path, pictures: Path | None) -> list[dict[str, Any]]:
    """Read, fit and drape one input; one row for the drape and, with depth, one for the baseline."""
    model, marks = product_body(), [time.perf_counter()]
    photo = path.is_file() and path.suffix != ".npz"
    capture = read_photo(path) if photo else read_capture(path)
    marks.append(time.perf_counter())
    fit = fit_body(capture, model, find_person(capture))
    marks.append(time.perf_counter())
    cpu = time.process_time()
    surface = drape(capture, model, fit)
    cpu = time.process_time() - cpu
    marks.append(time.perf_counter())
    name = "/".join(path.parts[-2:])
    spent = dict(zip(("read_s", "fit_s", "drape_s"), np.diff(marks).round(1).tolist(), strict=True))
    memory = {"drape_cpu_s": round(cpu, 1), "peak_rss_gb": round(_peak_gb(), 2)}
    rows = [{"input": name, "method": "draped", **_figures(surface, capture), **spent, **memory}]
    if not photo:
        rows.append({"input": name, "method": "depth closed from behind", **_figures(closed_depth(capture), capture)})
    if pictures is not None:
        body, _ = posed_mesh(model, fit)
        naked = CapturedSurface(
            body.vertices.astype(np.float32), body.faces.astype(np.int32), np.ones(len(body.vertices), np.float32)
        )
        sheet = [shaded(surface, capture.up, side) for side in SIDES_DEG]
        sheet += [shaded(surface, capture.up, side, painted(surface, capture)) for side in (0, 30)]
        sheet.append(shaded(naked, capture.up, 0))
        pictures.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.concatenate(sheet, axis=1)).save(pictures / f"{name.replace('/', '_')}.png")
    return rows


def _figures(surface: CapturedSurface, capture: Capture) -> dict[str, Any]:
    found = surface_quality(surface, capture)
    return {k: found.get(k) for k in ("depth_median_mm", "depth_p95_mm", "silhouette_iou", "seen_share")}


def _peak_gb() -> float:
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def painted(surface: CapturedSurface, capture: Capture) -> np.ndarray:
    """(V, 3) 0..1: the picture's colour where a vertex was seen, grey elsewhere."""
    cols, rows = np.rint(capture.camera.project(surface.vertices.astype(np.float64))).astype(int).T
    height, width = capture.mask.shape
    color = capture.color[np.clip(rows, 0, height - 1), np.clip(cols, 0, width - 1)] / 255.0
    return surface.seen[:, None] * color + (1 - surface.seen[:, None]) * 0.7


def shaded(surface: CapturedSurface, up: np.ndarray, side_deg: float, color: np.ndarray | None = None) -> np.ndarray:
    """(H, W, 3) u8: the surface by a far camera turned about `up`; inner sides of triangles are red."""
    points = surface.vertices.astype(np.float64)
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    away = np.array([0.0, 0.0, 1.0]) - up * up[2]
    away /= np.linalg.norm(away)
    angle = np.radians(side_deg)
    look = away * np.cos(angle) + np.cross(away, up) * np.sin(angle)
    axes = np.stack([np.cross(look, up), -up, look])
    turned = (points - middle) @ axes.T + [0, 0, 12.0]
    half = 1.03 * np.abs(turned[:, 1]).max()
    width = int(PICTURE_ROWS * 0.62)
    focal = 12.0 * PICTURE_ROWS / (2 * half)
    camera = Camera(focal, focal, width / 2 - 0.5, PICTURE_ROWS / 2 - 0.5, width, PICTURE_ROWS)
    face = Rays(turned, surface.faces).render(camera)[0]
    if color is None:
        seen = surface.seen[:, None]
        color = seen * [0.55, 0.75, 0.95] + (1 - seen) * [0.95, 0.8, 0.6]
    hit = face >= 0
    corners = surface.faces[face[hit]]
    share = _barycentric(turned[corners], camera.rays()[hit].astype(np.float64))
    normals = np.einsum("nk,nkc->nc", share, vertex_normals(turned, surface.faces)[corners])
    light = np.array([0.4, -0.5, -0.75])
    shade = 0.2 + 0.8 * np.clip(normals @ (light / np.linalg.norm(light)), 0, 1)
    tint = np.einsum("nk,nkc->nc", share, np.asarray(color)[corners]) * shade[:, None]
    flat = np.cross(turned[corners[:, 1]] - turned[corners[:, 0]], turned[corners[:, 2]] - turned[corners[:, 0]])
    tint[flat[:, 2] > 0] = [0.9, 0.1, 0.1]
    picture = np.full((*hit.shape, 3), 255, np.uint8)
    picture[hit] = (np.clip(tint, 0, 1) * 255).astype(np.uint8)
    return picture


def _barycentric(corners: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """(N, 3) shares of the corners (N, 3, 3) where the rays (N, 3) from the origin meet their triangles."""
    shares = np.stack(
        [np.einsum("nc,nc->n", rays, np.cross(corners[:, k - 2], corners[:, k - 1])) for k in range(3)], 1
    )
    return shares / np.where(np.abs(shares.sum(axis=1)) < 1e-20, 1e-20, shares.sum(axis=1))[:, None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "test")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--only", default="", help="inputs whose path contains this text")
    parser.add_argument("--photos", action="store_true", help="also drape five photos")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.pictures)))
        return
    names = CAPTURES + (PHOTOS if arguments.photos else ())
    paths = [ROOT / "samples" / "capture", *(arguments.data / n for n in names)]
    if arguments.photos:
        paths.append(ROOT / "samples" / "photo.jpg")
    rows: list[dict[str, Any]] = []
    for path in paths:
        if arguments.only not in str(path):
            continue
        call = [sys.executable, __file__, "--one", str(path)]
        if arguments.pictures:
            call += ["--pictures", str(arguments.pictures)]
        done = subprocess.run(call, check=False, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            rows.append({"input": "/".join(path.parts[-2:]), "method": f"failed: {last}"})
            continue
        rows += json.loads(done.stdout.strip().splitlines()[-1])
    columns = list(dict.fromkeys(key for row in rows for key in row))
    keep("captures", [{c: row.get(c) for c in columns} for row in rows])


if __name__ == "__main__":
    main()
