"""The surface table's columns on people by other hands: known meshes, and a turntable scan of a real person.

    python benchmarks/anim_known.py --data DIR --cache FOLDER [--rows inflation,draped_layers] [--people 15]

DIR holds known/ (rendered people whose meshes are known: read by a simulated Azure Kinect 2.4 m away, from the
photograph's own direction, with its colours), and rgbd/uva_kinectv1_upperbody with scans/ (a Kinect's frames of a real
person, head to hips, and the fused cloud of a hundred such frames). For figures only, never shipped.

known: the columns of benchmarks/anim.py. Truth is the meshes' outer surface, hair cards taken as solid; part groups
are those of the fitted body. scan: centimetres from the cloud to the surface (complete) and back (p2s), where the
cloud was scanned: between its ends less 3 cm, forearms and hands left out; split into what the frame's own depth shows
(within 12 mm) and the rest. Keeps benchmarks/results/anim_known.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
import trimesh
from anim import SHOWN, Figures, Method, methods, one, orders, table
from anim_set import Case, model_of, write_capture
from likeness.capture import read_capture
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.files import write_json
from likeness.core.fit import Fit
from likeness.surface.evaluation.distance import Mesh, closest, spread
from likeness.surface.evaluation.outline import seen_points
from likeness.surface.evaluation.parts import vertex_groups
from likeness.surface.evaluation.scores import Truth
from likeness.surface.view import Rays
from likeness.synthesis.depth_sensors import SENSORS, fitting, simulate
from likeness.synthesis.figure import JOINTS, Dressed, Layer, Posed
from likeness.synthesis.outer import outer_surface
from likeness.synthesis.picture import render
from likeness.synthesis.scene import Scene
from likeness.synthesis.view import View
from PIL import Image
from record import keep, print_table
from scipy import ndimage
from scipy.spatial import cKDTree

ROWS = ("inflation", "draped", "layers_body", "anim", "draped_layers", "draped_anim")
SENSOR, VIEW = "azure_kinect", "photo"
SIZE, DISTANCE_M, FILLED = 640, 2.4, 0.86
VOXEL_M = 0.004
HAIR = 2
# Of the turntable: frames, how far depth may lie from the cloud, and what is left off at its ends.
FRAMES = ("00", "20", "50")
SHOWN_M, END_M = 0.012, 0.03
SEED = 7


@dataclass(frozen=True)
class KnownCase(Case):
    """A known person before the simulated sensor; parts of the body are the fit's, as nobody knows true ones."""

    def truth(self, points: int) -> Truth:
        """In the capture's camera space."""
        kept = np.load(self.folder.parent.parent / "truth.npz")
        mesh = Mesh.of(kept["vertices"], kept["faces"])
        fit = self.fit
        if fit is None:
            raise LikenessError("body.fit", "There is no body fit.", "Look at the capture.")
        model = model_of(fit)
        body = model.posed(fit.betas, fit.pose, fit.translation)[0]
        groups = vertex_groups(model.parts, model.part_names)
        return Truth(mesh, self.capture.camera, kept["up"], body, groups, points, self.capture.valid)


def posed_of(vertices: np.ndarray, faces: np.ndarray, material: np.ndarray) -> Posed:
    """A known mesh in the world as a person for the simulator: hair, and everything else as cloth."""
    layers = []
    for order, (kind, chosen) in enumerate((("cloth", material != HAIR), ("hair", material == HAIR))):
        count = len(vertices)
        layer = Layer(
            name=kind,
            kind=kind,
            order=order,
            vertices=vertices.astype(np.float32),
            faces=faces[chosen].astype(np.int32),
            corner_uvs=np.zeros((int(chosen.sum()), 3, 2), np.float32),
            skin_joints=np.zeros((count, 4), np.uint16),
            skin_weights=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
            part=np.zeros(int(chosen.sum()), np.uint8),
            slack=np.zeros(count, np.float32),
            color=np.full((2, 2, 3), 128, np.uint8),
            sheet=kind == "hair",
        )
        if len(layer.faces):
            layers.append(layer)
    joints, nobody = np.zeros((JOINTS, 3), np.float32), np.zeros((0, 3), np.float32)
    dressed = Dressed({}, "", tuple(layers), joints, np.zeros(10, np.float32), nobody)
    return Posed(dressed, tuple(layers), joints, np.zeros(3, np.float32), joints, nobody)


def nearer_view(photo: View, vertices: np.ndarray) -> View:
    """The photograph's direction from DISTANCE_M, the whole person in a square picture."""
    moved = photo.camera_from_world.copy()
    middle = (vertices.max(0) + vertices.min(0)) / 2
    moved[:3, 3] = np.array([0, 0, DISTANCE_M]) - moved[:3, :3] @ middle
    local = vertices @ moved[:3, :3].T + moved[:3, 3]
    reach = np.abs(local[:, :2] / local[:, 2:]).max()
    focal = float(FILLED * SIZE / 2 / reach)
    return View(Camera(focal, focal, (SIZE - 1) / 2, (SIZE - 1) / 2, SIZE, SIZE), moved)


def carried_colour(depth: np.ndarray, view: View, photo: View, picture: np.ndarray, rays: Rays) -> np.ndarray:
    """(H, W, 3) u8: the photograph's colours on what the nearer camera sees; beside them where it was hidden."""
    hit = depth > 0
    local = view.camera.backproject(depth)[hit].astype(np.float64)
    turn = view.camera_from_world
    there = photo.to_camera((local - turn[:3, 3]) @ turn[:3, :3]).astype(np.float64)
    columns, rows = np.rint(photo.camera.project(there)).astype(int).T
    columns, rows = np.clip(columns, 0, picture.shape[1] - 1), np.clip(rows, 0, picture.shape[0] - 1)
    face, reach = rays.cast(there)
    shown = (np.where(face >= 0, there[:, 2] * (1 - reach), 1.0) < 0.03) & (picture[rows, columns, 3] > 127)
    out = np.full((*depth.shape, 3), 127, np.uint8)
    good = np.zeros(depth.shape, bool)
    good[hit] = shown
    out[good] = picture[rows, columns, :3][shown]
    near = ndimage.distance_transform_edt(~good, return_distances=False, return_indices=True)
    return np.where(hit[..., None], out[tuple(near)], out)


def make_known(source: Path, folder: Path) -> KnownCase:
    """The capture of one known person, made where it is not there yet."""
    home = folder / VIEW / SENSOR
    case = KnownCase(int(folder.name), VIEW, SENSOR, home)
    if (home / "depth.png").is_file():
        return case
    lens = json.loads((source / "camera.json").read_text("utf-8"))
    camera = Camera(*(lens[key] for key in ("fx", "fy", "cx", "cy", "width", "height")))
    photo = View(camera, np.array(lens["world_to_camera"]))
    kept = np.load(source / "truth.npz")
    turn = photo.camera_from_world
    world = (kept["vertices"] - turn[:3, 3]) @ turn[:3, :3]
    posed = posed_of(world, kept["triangles"].astype(np.int64), kept["material"])
    scene = Scene(posed)
    view = nearer_view(photo, world)
    frame = render(scene, view, outputs="geometry")
    sensor = fitting((SENSORS[SENSOR],), view, world)[0]
    generator = torch.Generator().manual_seed(SEED + case.person)
    reading = simulate(lambda seen: render(scene, seen, outputs="geometry"), view, sensor, generator, frame=frame)
    depth = np.where(frame.mask.numpy(), frame.depth.numpy(), 0)
    picture = np.asarray(Image.open(source / "photo.png").convert("RGBA"))
    color = carried_colour(depth, view, photo, picture, Rays(kept["vertices"], kept["triangles"].astype(np.int64)))
    vertices, faces = outer_surface(posed, scene, VOXEL_M).mesh()
    home.parent.mkdir(parents=True, exist_ok=True)
    truth = {"vertices": view.to_camera(vertices), "faces": faces, "up": view.camera_from_world[:3, 1]}
    np.savez_compressed(folder / "truth.npz", **truth)
    write_capture(home, view, color, reading.depth.numpy(), reading.mask.numpy())
    return case


def known(options: argparse.Namespace, rows: dict[str, Method]) -> Figures:
    """The table's figures of all known people, each kept as soon as it is there."""
    entries = json.loads((options.data / "known" / "index.json").read_text("utf-8"))[: options.people]
    found: Figures = {}
    for number, entry in enumerate(entries):
        case = make_known(options.data / "known" / entry["known"], options.cache / "known" / f"{number:06d}")
        truth: Truth | None = None
        for row, method in rows.items():
            kept = case.folder / "scores" / f"{row}-{options.points}.json"
            if not kept.is_file() or row in options.redo:
                truth = truth or case.truth(options.points)
                kept.parent.mkdir(exist_ok=True)
                write_json(kept, one(method, case, truth, "fitted", True))
            figures = json.loads(kept.read_text("utf-8"))
            if "refused" in figures:
                print(f"{row} refused {entry['known']}: {figures['refused']}")
            else:
                found[row, number, VIEW, SENSOR] = figures
    return found


def turntable_pose(path: Path) -> np.ndarray:
    """(4, 4): from a frame's camera to that of the cloud; the identity where the file tells none."""
    tree = ElementTree.parse(path).getroot()
    moved = np.eye(4)
    for name, place in (("R", (slice(3), slice(3))), ("t", (slice(3), 3))):
        data = tree.findtext(f"{name}/data")
        if data:
            moved[place] = np.array(data.split(), float).reshape(moved[place].shape)
    return moved


def scan_figures(surface: tuple[np.ndarray, np.ndarray], cloud: np.ndarray, capture: Capture, fit: Fit | None) -> dict:
    """Centimetres both ways between a surface and the cloud (N, 3) in the capture's camera space."""
    assert capture.depth is not None
    mesh = Mesh.of(*surface)
    ours = spread(mesh, 20_000, seed=3)
    low, high = cloud[:, 1].min() + END_M, cloud[:, 1].max() - END_M
    keep_ours = (ours.points[:, 1] > low) & (ours.points[:, 1] < high)
    if fit is not None:
        model = model_of(fit)
        names = np.array(model.part_names)[model.parts[cKDTree(
            model.posed(fit.betas, fit.pose, fit.translation)[0]).query(ours.points)[1]]]  # fmt: skip
        keep_ours &= ~np.array([("arm" in n and "fore" in n) or "hand" in n or "finger" in n for n in names])
    seen_ours = seen_points(Rays(mesh.vertices, mesh.faces), capture.camera, ours.points, ours.normals)
    back = cKDTree(cloud).query(ours.points)[0]
    inside = cloud[(cloud[:, 1] > low) & (cloud[:, 1] < high)]
    columns, rows = np.rint(capture.camera.project(inside)).astype(int).T
    height, width = capture.mask.shape
    depth = capture.depth[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
    shown = (depth > 0) & (np.abs(inside[:, 2] - depth) < SHOWN_M)
    there = closest(inside, mesh).distance
    return {
        "seen_complete": 100 * float(there[shown].mean()),
        "unseen_complete": 100 * float(there[~shown].mean()),
        "seen_p2s": 100 * float(back[keep_ours & seen_ours].mean()),
        "unseen_p2s": 100 * float(back[keep_ours & ~seen_ours].mean()),
    }


def scan(options: argparse.Namespace, rows: dict[str, Method]) -> list[dict[str, Any]]:
    """A line a row and frame of the turntable."""
    cloud = np.asarray(trimesh.load(options.data / "scans/uva_kinectv1_upperbody_fused/fused_3mm.ply").vertices)
    lines = []
    for frame in FRAMES:
        home = options.data / "rgbd" / "uva_kinectv1_upperbody" / frame
        capture = read_capture(home)
        kept = options.cache / "scan" / frame / "fit.json"
        case = Case(int(frame), frame, "kinect_v1", kept.parent)
        case.__dict__["capture"] = capture
        kept.parent.mkdir(parents=True, exist_ok=True)
        turn = turntable_pose(home / "camera.xml")
        here = (cloud - turn[:3, 3]) @ turn[:3, :3]
        for row, method in rows.items():
            try:
                surface = method(capture, case.fit)
            except LikenessError as error:
                print(f"{row} refused frame {frame}: {error.code}")
                continue
            line = {"frame": frame, "row": row, **scan_figures(surface, here, capture, case.fit)}
            lines.append(line)
            print(line, flush=True)
    return lines


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words = lambda text: tuple(part for part in text.split(",") if part)  # noqa: E731
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--rows", type=words, default=ROWS)
    parser.add_argument("--redo", type=words, default=())
    parser.add_argument("--people", type=int, default=15)
    parser.add_argument("--points", type=int, default=20_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    every = methods({})
    rows = {name: every[name] for name in options.rows}
    lines = scan(options, rows)
    found = known(options, rows)
    whole = table(found, list(rows), SENSOR, (VIEW,))
    print_table([{key: line.get(key) for key in ("row", "n", *SHOWN)} for line in whole])
    means = [
        {"row": row, **{key: float(np.mean([n[key] for n in lines if n["row"] == row])) for key in list(lines[0])[2:]}}
        for row in rows
        if any(n["row"] == row for n in lines)
    ]
    claims = orders(found, list(rows), SENSOR)
    keep("anim_known", means, points=options.points, known=whole, orders=claims, scan=lines)


if __name__ == "__main__":
    main()
