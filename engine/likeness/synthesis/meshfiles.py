"""Textured triangles out of OBJ and GLB files that strangers made: sizes are limited, paths stay in the folder."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from likeness.core.errors import LikenessError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]

MAX_FILE_BYTES = 1 << 30
MAX_TEXT_BYTES = 1 << 20
MAX_FACES = 8_000_000
MAX_PIXELS = 1 << 26
MAX_TEXTURES = 8
PLAIN = (160, 160, 160)
_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_TRIANGLES = 4


@dataclass(frozen=True)
class Mesh:
    """Triangles as a file has them: vertices (V, 3) f32 in its unit and axes, faces (F, 3) i32, corner_uvs (F, 3, 2)
    f32 with V up, color (H, W, 3) u8 sRGB: all textures side by side, or one grey texel."""

    vertices: Floats
    faces: Ints
    corner_uvs: Floats
    color: Bytes


def bad_mesh(path: Path, why: str) -> LikenessError:
    """The error for a mesh file that cannot be used."""
    return LikenessError(
        "input.scan", f"{path.name} {why}.", "Export the scan again as a textured OBJ or binary GLB file."
    )


def read_mesh(path: Path, *, texture: Path | None = None, texture_size: int = 2048) -> Mesh:
    """The mesh of an .obj or .glb file; raises LikenessError when it is none, too large or names files outside.

    texture: the picture to use where the file names none that exists. texture_size: larger ones are made smaller.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
        raise bad_mesh(path, f"is missing or larger than {MAX_FILE_BYTES >> 20} MB")
    try:
        vertices, faces, uvs, group, pictures = (_read_glb if path.suffix.lower() == ".glb" else _read_obj)(path)
        if texture is not None and not any(isinstance(p, Path | bytes) for p in pictures):
            pictures, group = [texture], np.zeros_like(group)
        _check(path, vertices, faces, uvs)
        color, uvs = _side_by_side([_picture(p, texture_size) for p in pictures], group, uvs)
    except (ValueError, KeyError, IndexError, TypeError, OSError, struct.error, Image.DecompressionBombError) as error:
        raise bad_mesh(path, "is damaged or of an unknown kind") from error
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32), uvs.astype(np.float32), color)


def inside(folder: Path, name: str) -> Path | None:
    """The file that `name` means within `folder`, None when it is elsewhere, absolute or absent."""
    root = folder.resolve()
    try:
        path = (root / name.strip().replace("\\", "/")).resolve()
    except (OSError, ValueError):
        return None
    return path if path.is_relative_to(root) and path.is_file() else None


_Raw = tuple[NDArray, NDArray, NDArray, NDArray, list[Any]]


def _check(path: Path, vertices: NDArray, faces: NDArray, uvs: NDArray) -> None:
    if not 0 < len(faces) <= MAX_FACES:
        raise bad_mesh(path, f"has {len(faces)} faces, and 1 to {MAX_FACES} are possible")
    if faces.min() < 0 or faces.max() >= len(vertices) or not np.isfinite(vertices).all() or not np.isfinite(uvs).all():
        raise bad_mesh(path, "has corners without a place")


def _picture(source: Any, largest: int) -> Image.Image:
    """A texture from a file, encoded bytes or one colour, at most `largest` pixels wide and high."""
    if isinstance(source, tuple):
        return Image.new("RGB", (1, 1), source)
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError("texture too large")
        # JPEG files can be read at a half or a quarter right away.
        picture.draft("RGB", (largest, largest))
        found = picture.convert("RGB")
    found.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    return found


def _side_by_side(pictures: list[Image.Image], group: NDArray, uvs: NDArray) -> tuple[Bytes, NDArray]:
    """One texture from those of all groups of faces (F,), and the corners' UVs (F, 3, 2) in it."""
    # Tiled textures: a face outside the unit square moves back into it as a whole.
    uvs = uvs - np.floor(uvs.mean(axis=1, keepdims=True)) if len(uvs) else uvs
    if len(pictures) == 1:
        return np.asarray(pictures[0]), uvs
    width, height = (max(getattr(p, side) for p in pictures) for side in ("width", "height"))
    whole = np.concatenate([np.asarray(p.resize((width, height))) for p in pictures], axis=1)
    uvs = np.clip(uvs, 0, 1)
    uvs[..., 0] = (uvs[..., 0] + group[:, None]) / len(pictures)
    return whole, uvs


def _read_obj(path: Path) -> _Raw:
    """Vertices, faces, corner UVs, the faces' group, and a picture (path or colour) for each group."""
    lines = [line.strip() for line in path.read_bytes().split(b"\n")]
    vertices = _table([line[2:] for line in lines if line[:2] == b"v "])[:, :3]
    uv_lines = [line[3:] for line in lines if line[:3] == b"vt "]
    uvs = _table(uv_lines)[:, :2] if uv_lines else np.zeros((1, 2))
    materials, chosen, current = [""], [], 0
    rows: list[bytes] = []
    for line in lines:
        if line[:2] == b"f ":
            rows.append(line[2:])
            chosen.append(current)
        elif line[:7] == b"usemtl ":
            name = line[7:].decode("utf-8", "replace").strip()
            materials += [] if name in materials else [name]
            current = materials.index(name)
    if len(rows) > MAX_FACES:
        raise bad_mesh(path, f"has more than {MAX_FACES} faces")
    corner, source = _corners(rows)
    if corner[..., 0].min() < 1 or corner[..., 1].min() < 0 or corner[..., 1].max() > len(uvs):
        raise bad_mesh(path, "counts its corners backwards or beyond the end")
    used, group = np.unique(np.array(chosen)[source], return_inverse=True)
    maps = _obj_textures(path, [line for line in lines if line[:7] == b"mtllib "])
    pictures = [maps.get(materials[number], PLAIN) for number in used]
    if len(pictures) > MAX_TEXTURES:
        raise bad_mesh(path, f"has more than {MAX_TEXTURES} textures")
    return vertices, corner[..., 0] - 1, uvs[np.maximum(corner[..., 1] - 1, 0)], group, pictures


def _table(lines: list[bytes]) -> NDArray[np.float64]:
    """Numbers of lines that have the same count of them."""
    width = len(lines[0].split())
    return np.array(b" ".join(lines).split(), np.float64).reshape(len(lines), width)


def _corners(rows: list[bytes]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Triangles (F, 3, 2) of vertex and UV numbers from 1 (UV 0 = none), and the row (F,) each is of."""
    found: list[list[int]] = []
    source: list[int] = []
    numbers: dict[bytes, list[int]] = {}
    for row, text in enumerate(rows):
        polygon = []
        for token in text.split():
            pair = numbers.get(token)
            if pair is None:
                parts = token.split(b"/")
                pair = numbers[token] = [int(parts[0]), int(parts[1]) if len(parts) > 1 and parts[1] else 0]
            polygon.append(pair)
        for second in range(1, len(polygon) - 1):
            found.append(polygon[0] + polygon[second] + polygon[second + 1])
            source.append(row)
    return np.array(found, np.int64).reshape(-1, 3, 2), np.array(source, np.int64)


def _obj_textures(path: Path, libraries: list[bytes]) -> dict[str, Path]:
    """Material -> its colour picture inside the OBJ's folder."""
    found: dict[str, Path] = {}
    for line in libraries[:MAX_TEXTURES]:
        library = inside(path.parent, line[7:].decode("utf-8", "replace"))
        if library is None or library.stat().st_size > MAX_TEXT_BYTES:
            continue
        name = ""
        for text in library.read_text("utf-8", "replace").splitlines():
            key, _, value = text.strip().partition(" ")
            if key == "newmtl":
                name = value.strip()
            elif key.lower() == "map_kd":
                # Options such as `-s 1 1 1` come before the file's name.
                picture = inside(library.parent, value) or inside(library.parent, value.split()[-1] if value else "")
                if picture is not None:
                    found[name] = picture
    return found


def _read_glb(path: Path) -> _Raw:
    """As `_read_obj`, for binary glTF 2.0: all triangles of the scene's nodes in its frame."""
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    size, kind = struct.unpack_from("<I4s", data, 12)
    if magic != b"glTF" or version != 2 or length > len(data) or kind != b"JSON":
        raise ValueError("no binary glTF 2.0")
    document = json.loads(data[20 : 20 + size])
    binary = data[28 + size :]
    vertices, faces, uvs, group = [], [], [], []
    pictures: list[Any] = []
    place: dict[int | None, int] = {}
    count = 0
    for primitive, matrix in _primitives(document):
        corner, places, texture = _triangles(document, binary, primitive)
        material = primitive.get("material")
        if material not in place:
            place[material] = len(pictures)
            pictures.append(_glb_picture(document, binary, material))
        vertices.append(places @ matrix[:3, :3].T + matrix[:3, 3])
        faces.append(corner + count)
        uvs.append(texture[corner])
        group.append(np.full(len(corner), place[material]))
        count += len(places)
    if not faces or len(pictures) > MAX_TEXTURES:
        raise ValueError("no triangles or too many textures")
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(uvs), np.concatenate(group), pictures


def _primitives(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
    """Every primitive of the scene with the matrix (4, 4) that places it."""
    nodes = document.get("nodes", [])
    scenes = document.get("scenes", [{"nodes": list(range(len(nodes)))}])
    waiting = [(number, np.eye(4)) for number in scenes[document.get("scene", 0)].get("nodes", [])]
    seen: set[int] = set()
    while waiting:
        number, parent = waiting.pop()
        if number in seen:
            raise ValueError("a node hangs on itself")
        seen.add(number)
        matrix = parent @ _node_matrix(nodes[number])
        waiting += [(child, matrix) for child in nodes[number].get("children", [])]
        if "mesh" in nodes[number]:
            for primitive in document["meshes"][nodes[number]["mesh"]]["primitives"]:
                yield primitive, matrix


def _node_matrix(node: dict[str, Any]) -> NDArray[np.float64]:
    if "matrix" in node:
        return np.array(node["matrix"], float).reshape(4, 4).T
    x, y, z, w = np.array(node.get("rotation", (0, 0, 0, 1)), float)
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)), float)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def _triangles(document: dict, binary: bytes, primitive: dict) -> tuple[NDArray, NDArray, NDArray]:
    """Corners (F, 3), vertices (V, 3) and UVs (V, 2), V up, of one primitive."""
    if primitive.get("mode", _TRIANGLES) != _TRIANGLES or "KHR_draco_mesh_compression" in primitive.get(
        "extensions", {}
    ):
        raise ValueError("only plain triangles are read")
    attributes = primitive["attributes"]
    places = _accessor(document, binary, attributes["POSITION"]).astype(np.float64)
    if "indices" in primitive:
        corner = _accessor(document, binary, primitive["indices"]).reshape(-1, 3).astype(np.int64)
    else:
        corner = np.arange(len(places)).reshape(-1, 3)
    if "TEXCOORD_0" not in attributes:
        return corner, places, np.zeros((len(places), 2))
    texture = _accessor(document, binary, attributes["TEXCOORD_0"])
    if texture.dtype.kind == "u":
        texture = texture / np.iinfo(texture.dtype).max
    return corner, places, np.stack([texture[:, 0], 1 - texture[:, 1]], axis=1).astype(np.float64)


def _view(document: dict, binary: bytes, number: int) -> bytes:
    view = document["bufferViews"][number]
    start, length = view.get("byteOffset", 0), view["byteLength"]
    if view.get("buffer", 0) != 0 or "uri" in document["buffers"][0] or start < 0 or start + length > len(binary):
        raise ValueError("data outside the file")
    return binary[start : start + length]


def _accessor(document: dict, binary: bytes, number: int) -> NDArray:
    """The numbers (n, width) of an accessor."""
    accessor = document["accessors"][number]
    if "sparse" in accessor or "bufferView" not in accessor:
        raise ValueError("only plain accessors are read")
    data = _view(document, binary, accessor["bufferView"])
    kind, width, count = np.dtype(_TYPES[accessor["componentType"]]), _WIDTHS[accessor["type"]], accessor["count"]
    stride = document["bufferViews"][accessor["bufferView"]].get("byteStride") or kind.itemsize * width
    start = accessor.get("byteOffset", 0)
    if not 0 < count <= 3 * MAX_FACES or start < 0 or stride < kind.itemsize * width:
        raise ValueError("an impossible accessor")
    if start + stride * (count - 1) + kind.itemsize * width > len(data):
        raise ValueError("data outside the view")
    return np.ndarray((count, width), kind, data, start, (stride, kind.itemsize)).copy()


def _glb_picture(document: dict, binary: bytes, material: int | None) -> Any:
    """The base colour of a material: encoded bytes of its texture, or one sRGB colour."""
    if material is None:
        return PLAIN
    surface = document["materials"][material].get("pbrMetallicRoughness", {})
    if "baseColorTexture" in surface:
        texture = document["textures"][surface["baseColorTexture"]["index"]]
        source = texture.get("extensions", {}).get("EXT_texture_webp", texture).get("source")
        return _view(document, binary, document["images"][source]["bufferView"])
    linear = np.clip(np.array(surface.get("baseColorFactor", (1, 1, 1, 1)), float)[:3], 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return tuple(int(v) for v in np.rint(255 * encoded))
