"""Scans of clothed people that their owners may train on, in the layouts in which such collections are sold or given.

Known layouts: THuman 2.x (`0123/0123.obj`, `material0.jpeg`), RenderPeople (`rp_name_posed_000_OBJ/*.obj`,
`tex/*_dif*.jpg`), CustomHumans (`mesh/0001_.../mesh-f00001.obj` and `.png`), and folders of any OBJ or GLB files. A
pair is a folder with a scan and the RGB-D frame of a real camera that saw it. No body parameters are read: what a
collection's own fit to SMPL says is under that model's licence. `people.json` in the folder, {scan's name: person},
tells who is who where the layout does not.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from likeness.core.camera import Camera
from likeness.core.errors import LikenessError
from likeness.synthesis.figure import JOINTS, Bytes, Dressed, Floats, Ints, Layer, Posed
from likeness.synthesis.meshfiles import MAX_TEXT_BYTES, Mesh, read_mesh
from likeness.synthesis.view import View

LAYOUTS = ("thuman", "renderpeople", "customhumans", "plain")
SUFFIXES = (".obj", ".glb")
PICTURES = (".jpeg", ".jpg", ".png", ".webp")
UNITS = (1.0, 0.01, 0.001)
# The largest extent of a person in any pose, arms up or spread, with hat and shoes.
EXTENT_M = (0.7, 2.6)
# Above this share of the height the longer of two axes is up; arms spread wide are no taller than the person.
UPRIGHT = 0.6
MAX_SCANS = 100_000


@dataclass(frozen=True)
class ScanFile:
    """Where a scan lies. name: unique in its folder; person: the same for all scans of somebody."""

    name: str
    person: str
    layout: str
    path: Path
    texture: Path | None = None


@dataclass(frozen=True)
class Scan:
    """A scanned person, standing in the world: metres, Y up, lowest vertex at y = 0, middle of the box at x = z = 0.

    vertices (V, 3) f32; faces (F, 3) i32; corner_uvs (F, 3, 2) f32 V up; color (H, W, 3) u8 sRGB. world_from_file
    (4, 4) f64 took the file's coordinates here; unit_m is the length of the file's unit. The front stays where the file
    has it, by custom +Z.
    """

    name: str
    person: str
    layout: str
    vertices: Floats
    faces: Ints
    corner_uvs: Floats
    color: Bytes
    world_from_file: NDArray[np.float64]
    unit_m: float


@dataclass(frozen=True)
class Pair:
    """A scan and a real camera's frame of it. view: the colour camera in the scan's world; color (H, W, 3) u8;
    depth (H, W) f32 metres registered to colour, 0 = none; mask (H, W) bool or None."""

    scan: Scan
    view: View
    color: Bytes
    depth: Floats
    mask: NDArray[np.bool_] | None


def find_scans(folder: Path) -> list[ScanFile]:
    """All scans below a folder, sorted by name; a layout is recognised by the names of files and folders."""
    folder = _existing(folder)
    who = _small_json(folder / "people.json") if (folder / "people.json").is_file() else {}
    found: dict[str, ScanFile] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())[:MAX_SCANS]:
        scan = _described(folder, path)
        # Of one scan at several resolutions the finest counts.
        if scan.name not in found or path.stat().st_size > found[scan.name].path.stat().st_size:
            person = str(who.get(scan.name, scan.person))
            found[scan.name] = ScanFile(scan.name, person, scan.layout, path, scan.texture)
    return [found[name] for name in sorted(found)]


def split_of(person: str) -> str:
    """The split of a scanned person: by a hash of the name 70 % train, 10 % val, 20 % test."""
    digit = int(hashlib.sha256(person.encode()).hexdigest(), 16) % 10
    return "train" if digit < 7 else "val" if digit < 8 else "test"


def read_scan(file: ScanFile, *, texture_size: int = 2048) -> Scan:
    """Read a scan and stand it in the world. Raises LikenessError when the file is unusable or no person's size."""
    return _standing(file, read_mesh(file.path, texture=file.texture, texture_size=texture_size), None)


def find_pairs(folder: Path) -> list[Path]:
    """Folders below `folder` (or itself) that hold a scan, color, depth and intrinsics.json, sorted."""
    folder = _existing(folder)
    homes = sorted(path.parent for path in folder.rglob("intrinsics.json"))
    return [home for home in homes if _one(home, "scan", SUFFIXES) and _one(home, "color", PICTURES) and _depth(home)]


def read_pair(folder: Path, *, texture_size: int = 2048) -> Pair:
    """Read a pair's folder. Raises LikenessError when something in it is missing, unreadable or of another size.

    `scan.obj` or `.glb`; `color` (jpg, png); `depth.png` (u16; `depth_unit_m` in intrinsics.json, else millimetres) or
    `depth.npy` (float metres), of colour's size; `intrinsics.json` with fx, fy, cx, cy; perhaps `mask.png`. The scan
    lies in the colour camera's frame (OpenCV: x right, y down, z forward), with `up` (3,) in intrinsics.json where the
    camera was tilted; or `camera_from_scan.json` holds `matrix`, 4 rows of 4, from the scan in metres to the camera.
    """
    folder = _existing(folder)
    mesh_path, color_path, depth_path = _one(folder, "scan", SUFFIXES), _one(folder, "color", PICTURES), _depth(folder)
    if mesh_path is None or color_path is None or depth_path is None:
        raise _bad(folder, "lacks a scan, color or depth")
    lens = _small_json(folder / "intrinsics.json")
    color = _read_picture(folder, color_path, "RGB")
    depth = _read_depth(folder, depth_path, lens)
    mask_path = _one(folder, "mask", PICTURES)
    mask = None if mask_path is None else _read_picture(folder, mask_path, "L") > 127
    if depth.shape != color.shape[:2] or (mask is not None and mask.shape != depth.shape):
        raise _bad(folder, "has color, depth or mask of different sizes")
    fx, fy, cx, cy = (_number(folder, lens, key) for key in ("fx", "fy", "cx", "cy"))
    camera = Camera(fx, fy, cx, cy, color.shape[1], color.shape[0])
    moved = folder / "camera_from_scan.json"
    camera_from_scan = _matrix(folder, _small_json(moved)) if moved.is_file() else None
    up = None if camera_from_scan is not None else _direction(folder, lens.get("up", (0.0, -1.0, 0.0)))
    file = ScanFile(folder.name, folder.name, "pair", mesh_path, _one(folder, "scan", PICTURES))
    scan = _standing(file, read_mesh(mesh_path, texture=file.texture, texture_size=texture_size), up)
    scan_from_world = np.diag([scan.unit_m] * 3 + [1.0]) @ np.linalg.inv(scan.world_from_file)
    view = View(camera, scan_from_world if camera_from_scan is None else camera_from_scan @ scan_from_world)
    return Pair(scan, view, color, depth, mask)


def scan_layer(scan: Scan) -> Posed:
    """A scan as a posed person for `render` and `outer_surface`.

    One closed layer of kind 'cloth', since nobody knows where skin ends; every face has part 0, every vertex hangs on
    the root, the pose is zero, betas are zero and the bare body is empty: learn nothing about parts and bodies from it.
    """
    count = len(scan.vertices)
    layer = Layer(
        name=scan.name,
        kind="cloth",
        order=1,
        vertices=scan.vertices,
        faces=scan.faces,
        corner_uvs=scan.corner_uvs,
        skin_joints=np.zeros((count, 4), np.uint16),
        skin_weights=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        part=np.zeros(len(scan.faces), np.uint8),
        slack=np.zeros(count, np.float32),
        color=scan.color,
    )
    joints, nobody = np.zeros((JOINTS, 3), np.float32), np.zeros((0, 3), np.float32)
    recipe = {"scan": scan.name, "person": scan.person, "layout": scan.layout}
    dressed = Dressed(recipe, "", (layer,), joints, np.zeros(10, np.float32), nobody)
    return Posed(dressed, (layer,), joints, np.zeros(3, np.float32), joints, nobody)


def _described(folder: Path, path: Path) -> ScanFile:
    """Layout, name, person and texture of one mesh file by where it lies."""
    home = path.parent
    name = path.relative_to(folder).with_suffix("").as_posix()
    if home.name.startswith("rp_") and home.name.endswith("_OBJ"):
        pictures = sorted((home / "tex").glob("*_dif*.*"), key=lambda p: (p.stat().st_size, p.name))
        person = "_".join(home.name.split("_")[:2])
        return ScanFile(home.name.removesuffix("_OBJ"), person, "renderpeople", path, next(iter(pictures), None))
    if home.name == path.stem and home.name.isdigit():
        return ScanFile(home.name, home.name, "thuman", path, _one(home, "material0", PICTURES))
    if path.stem.startswith("mesh-f") and home.parent.name == "mesh":
        person = home.name.split("_")[0]
        return ScanFile(f"{home.name}/{path.stem}", person, "customhumans", path, _one(home, path.stem, PICTURES))
    return ScanFile(name, name, "plain", path, _one(home, path.stem, PICTURES))


def _standing(file: ScanFile, mesh: Mesh, up: NDArray | None) -> Scan:
    """The mesh in metres with its feet on the floor. up (3,): in the file's frame, None: from layout and extent."""
    used = mesh.vertices[np.unique(mesh.faces)].astype(np.float64)
    extent = np.ptp(used, axis=0)
    unit = next((u for u in UNITS if EXTENT_M[0] <= u * extent.max() <= EXTENT_M[1]), None)
    if unit is None:
        raise LikenessError(
            "input.scan",
            f"{file.path.name} is {extent.max():.3g} units large, which is a person in no unit.",
            "Export the scan in metres, centimetres or millimetres.",
        )
    if up is None and file.layout in ("plain", "pair") and file.path.suffix.lower() == ".obj":
        up = np.array([0.0, 0.0, 1.0]) if extent[1] < UPRIGHT * extent[2] else None
    moved = np.eye(4)
    moved[:3, :3] = unit * _upright(up)
    placed = used @ moved[:3, :3].T
    low, high = placed.min(0), placed.max(0)
    moved[:3, 3] = -np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    vertices = (mesh.vertices @ moved[:3, :3].T + moved[:3, 3]).astype(np.float32)
    told = (file.name, file.person, file.layout)
    return Scan(*told, vertices, mesh.faces, mesh.corner_uvs, mesh.color, moved, unit)


def _upright(up: NDArray | None) -> NDArray[np.float64]:
    """Rotation (3, 3) that takes `up` to +Y and keeps the file's x to the right; None: it is +Y already."""
    if up is None:
        return np.eye(3)
    top = up / np.linalg.norm(up)
    back = np.cross((1.0, 0.0, 0.0), top)
    back /= np.linalg.norm(back)
    return np.stack([np.cross(top, back), top, back])


def _existing(folder: Path) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise _bad(folder, "is no folder")
    return folder


def _one(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path | None:
    """The first file of that name with one of the suffixes, in any case."""
    files = {path.name.lower(): path for path in folder.iterdir() if path.is_file()}
    return next((files[stem.lower() + s] for s in suffixes if stem.lower() + s in files), None)


def _depth(folder: Path) -> Path | None:
    return _one(folder, "depth", (".png", ".npy"))


def _read_picture(folder: Path, path: Path, mode: str) -> Bytes:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert(mode))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise _bad(folder, f"has an unreadable {path.name}") from error


def _read_depth(folder: Path, path: Path, lens: dict[str, Any]) -> Floats:
    try:
        if path.suffix.lower() == ".npy":
            depth = np.load(path, allow_pickle=False).astype(np.float32)
        else:
            depth = np.asarray(Image.open(path)).astype(np.float32) * np.float32(lens.get("depth_unit_m", 0.001))
    except (OSError, ValueError, TypeError) as error:
        raise _bad(folder, f"has an unreadable {path.name}") from error
    return np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)


def _direction(folder: Path, value: Any) -> NDArray[np.float64]:
    try:
        up = np.array(value, np.float64)
    except (ValueError, TypeError):
        up = np.zeros(0)
    # A picture's up never points to its side.
    if up.shape != (3,) or not np.linalg.norm(up[1:]) > 0.1 * np.linalg.norm(up) > 0:
        raise _bad(folder, "has no usable up in its intrinsics.json")
    return up


def _number(folder: Path, table: dict[str, Any], key: str) -> float:
    value = table.get(key)
    if not isinstance(value, int | float):
        raise _bad(folder, f"has no {key} in its intrinsics.json")
    return float(value)


def _matrix(folder: Path, table: dict[str, Any]) -> NDArray[np.float64]:
    try:
        matrix = np.array(table.get("matrix"), np.float64)
    except (ValueError, TypeError):
        matrix = np.zeros(0)
    if matrix.shape != (4, 4) or not np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-3):
        raise _bad(folder, "has no rigid 4 x 4 matrix in camera_from_scan.json")
    return matrix


def _small_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise ValueError("too large")
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _bad(path.parent, f"has an unreadable {path.name}") from error
    if not isinstance(found, dict):
        raise _bad(path.parent, f"has no object in {path.name}")
    return found


def _bad(folder: Path, why: str) -> LikenessError:
    return LikenessError("input.scan", f"{folder.name} {why}.", "See 'Own scans' in docs/people.md for the layouts.")
