"""The registry of capture forms: container files, loose files, folders. A new sensor is one more Reader here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from likeness.core.errors import LikenessError

from .arrays import load_npz
from .depth_files import DEPTH_KEYS, depth_from_array
from .files import check_size, read_blob
from .intrinsics import Calibration, calibration_from_dict, camera_numbers, checked_lens, parse_json
from .limits import MAX_TEXT_BYTES
from .record3d import read_record3d
from .sources import Given, Reader, Sources, array_picture, read_calibration, read_parts

_PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".heic", ".heif", ".webp", ".tif", ".tiff", ".bmp")
_DEPTH_ENDINGS = (".png", ".tif", ".tiff", ".npy", ".npz", ".exr")
_COLOR_STEMS = ("color", "colour", "rgb", "image")
_CALIBRATIONS = (
    "intrinsics.json",
    "meta.json",
    "camera.json",
    "camera_intrinsic.json",
    "intrinsic.json",
    "intrinsics.txt",
)
_SEQUENCE_COLOR, _SEQUENCE_DEPTH = ("color", "colour", "rgb", "image"), ("depth",)


def find_reader(path: Path, given: Given) -> Reader:
    """The first reader that takes this path. Raises `capture.form` and the codes of a missing file."""
    for reader in READERS:
        if reader.matches(path, given):
            return reader
    blob = read_blob(path)
    raise LikenessError(
        "capture.form",
        f"{blob.name} alone is no capture: there is no depth with it.",
        "Give the depth file as well, or choose a folder or .npz with colour, depth and intrinsics.",
    )


def _read_loose(path: Path, given: Given) -> Sources:
    if given.depth is None:
        raise LikenessError("capture.form", f"{path.name} has no depth with it.", "Give the depth file as well.")
    return read_parts(path.name, path, given.depth, given.intrinsics, given.mask)


def _read_npz(path: Path, given: Given) -> Sources:
    blob = read_blob(path)
    arrays = load_npz(blob)
    color = next((arrays[k] for k in ("color", "colour", "rgb", "image") if k in arrays), None)
    depth_key = next((k for k in DEPTH_KEYS if k in arrays), None)
    if color is None or depth_key is None:
        missing = "color" if color is None else "depth"
        raise LikenessError(
            "capture.form", f"{blob.name} holds no array named {missing}.", "Save color, depth and intrinsics in it."
        )
    if color.ndim >= 2:
        check_size(blob.name, color.shape[1], color.shape[0])
    hashes = [blob.sha256]
    calibration = _npz_calibration(arrays, blob.name)
    if given.intrinsics:
        calibration = read_calibration(given.intrinsics, hashes)
    stated = {"depth_m": 1.0, "depth_mm": 0.001}.get(depth_key)
    depth = depth_from_array(f"{blob.name} (depth)", arrays[depth_key], stated)
    mask: Any = arrays.get("mask")
    if given.mask:
        mask = read_blob(given.mask)
        hashes.append(mask.sha256)
    return Sources(blob.name, array_picture(blob.name, color), depth, calibration, mask, hashes)


def _npz_calibration(arrays: Mapping[str, np.ndarray], name: str) -> Calibration | None:
    """Intrinsics as fx fy cx cy, as a matrix, or as single numbers under their own names."""
    fields: dict[str, Any] = {k: a.item() for k, a in arrays.items() if a.size == 1}
    key = next((k for k in ("intrinsics", "K", "camera_matrix") if k in arrays and arrays[k].size > 1), None)
    if key is None and "fx" not in fields:
        return None
    if key is not None:
        if arrays[key].dtype.kind not in "uif" or arrays[key].size not in (4, 9, 16):
            raise LikenessError(
                "capture.intrinsics",
                f"The intrinsics in {name} are not four numbers or a 3x3 matrix.",
                "Save fx, fy, cx, cy or the camera matrix.",
            )
        values = arrays[key].astype(np.float64).squeeze()
        lens = checked_lens(*camera_numbers(values, name), None, name)
        fields.update(fx=lens.fx, fy=lens.fy, cx=lens.cx, cy=lens.cy)
    return calibration_from_dict(fields, name)


def _stem_file(folder: Path, stems: tuple[str, ...], endings: tuple[str, ...]) -> Path | None:
    """The file of the folder whose name is one of the stems with one of the endings, in that order of preference."""
    files = {p.name.lower(): p for p in sorted(folder.iterdir()) if p.is_file()}
    return next((files[s + e] for s in stems for e in endings if s + e in files), None)


def _named(folder: Path, data: Mapping[str, Any], key: str) -> Path | None:
    """A file that the folder's meta.json names; text after the name is a remark. Names never lead out of the folder."""
    value = data.get(key)
    if not isinstance(value, str) or not value.strip():
        return None
    for candidate in (value.strip(), value.split()[0]):
        if Path(candidate).name == candidate and "\\" not in candidate and (folder / candidate).is_file():
            return folder / candidate
    return None


def _read_folder(path: Path, given: Given) -> Sources:
    calibration = given.intrinsics or next((path / n for n in _CALIBRATIONS if (path / n).is_file()), None)
    data: Mapping[str, Any] = {}
    if calibration is not None and calibration.suffix == ".json":
        data = parse_json(read_blob(calibration, limit=MAX_TEXT_BYTES))
    color = _named(path, data, "color") or _stem_file(path, _COLOR_STEMS, _PICTURE_ENDINGS)
    depth = given.depth or _named(path, data, "depth") or _stem_file(path, ("depth",), _DEPTH_ENDINGS)
    mask = given.mask or _named(path, data, "mask") or _stem_file(path, ("mask",), _PICTURE_ENDINGS)
    for part, word in ((color, "color"), (depth, "depth")):
        if part is None:
            raise LikenessError(
                "capture.form",
                f"The folder {path.name} holds no file named {word}.*, so it is no capture.",
                "Put color.png, depth.png and intrinsics.json into it.",
            )
    return read_parts(path.name, color, depth, calibration, mask)  # type: ignore[arg-type]


def _sequence_folders(path: Path) -> tuple[Path, Path] | None:
    """The colour and depth folders of a TUM or Open3D recording."""
    color = next((path / n for n in _SEQUENCE_COLOR if (path / n).is_dir()), None)
    depth = next((path / n for n in _SEQUENCE_DEPTH if (path / n).is_dir()), None)
    return (color, depth) if color and depth else None


def _read_sequence(path: Path, given: Given) -> Sources:
    folders = _sequence_folders(path)
    files = [
        sorted(p for p in folder.iterdir() if p.suffix.lower() in endings)
        for folder, endings in zip(folders or (), (_PICTURE_ENDINGS, _DEPTH_ENDINGS), strict=True)
    ]
    if not all(files):
        raise LikenessError("capture.form", f"The recording {path.name} has no frames.", "Choose another folder.")
    color, depth = files[0][0], _partner(files[0][0], files[1])
    calibration = given.intrinsics or next((path / n for n in _CALIBRATIONS if (path / n).is_file()), None)
    sources = read_parts(path.name, color, depth, calibration, given.mask)
    if len(files[0]) > 1:
        sources.notes.append(f"{path.name} is a recording of {len(files[0])} frames; the first is used.")
    if (path / "rgb.txt").is_file() and (sources.calibration is None or sources.calibration.unit_m is None):
        # TUM's recordings have lists of frames beside the folders, and 5000 units a metre.
        sources.depth = replace(sources.depth, unit_m=1 / 5000)
    return sources


def _partner(color: Path, depths: list[Path]) -> Path:
    """The depth frame of a colour frame: the same name, else the nearest time stamp, else the first."""
    same = next((d for d in depths if d.stem == color.stem), None)
    if same is not None:
        return same
    try:
        moment = float(color.stem)
        return min(depths, key=lambda d: abs(float(d.stem) - moment))
    except ValueError:
        return depths[0]


READERS: tuple[Reader, ...] = (
    Reader("loose files", lambda path, given: given.depth is not None and not path.is_dir(), _read_loose),
    Reader("Record3D", lambda path, given: path.suffix.lower() == ".r3d" and path.is_file(), read_record3d),
    Reader("npz", lambda path, given: path.suffix.lower() == ".npz" and path.is_file(), _read_npz),
    Reader("recording", lambda path, given: path.is_dir() and _sequence_folders(path) is not None, _read_sequence),
    Reader("folder", lambda path, given: path.is_dir(), _read_folder),
)
