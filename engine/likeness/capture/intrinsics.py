"""Calibration files (ours, Open3D's, RealSense's, Azure Kinect's, plain 3x3 and 4x4 matrices) to cameras."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from likeness.core.camera import Camera
from likeness.core.errors import LikenessError

from .distortion import Distortion, read_distortion
from .files import WORDS, Blob
from .units import metres_of, metres_of_scale

_FORM = "Give a JSON object with fx, fy, cx, cy, width and height in pixels."
_SIZE_KEYS = (("width", "height"), ("w", "h"), ("image_width", "image_height"))


@dataclass(frozen=True)
class Lens:
    """One camera's calibration. size: (width, height) that it holds for, None where the file does not say."""

    fx: float
    fy: float
    cx: float
    cy: float
    size: tuple[int, int] | None
    distortion: Distortion | None

    def camera(self, size: tuple[int, int]) -> Camera:
        """The camera at the size that the calibration holds for (or the size given, where it does not say)."""
        return Camera(self.fx, self.fy, self.cx, self.cy, *(self.size or size))


@dataclass(frozen=True)
class Calibration:
    """What a calibration file says.

    lens: the colour camera, or the one camera of a registered pair.
    depth_lens, color_from_depth: set when depth has a camera of its own; (4, 4) float64, metres.
    unit_m: metres a unit of depth, None where unsaid. known: false where the file says that it guessed.
    """

    name: str
    lens: Lens
    depth_lens: Lens | None = None
    color_from_depth: np.ndarray | None = None
    unit_m: float | None = None
    known: bool = True


def decode_calibration(blob: Blob) -> Calibration:
    """Read a calibration file. Raises `capture.intrinsics` (and `capture.depth_unit` for its unit)."""
    if blob.kind in ("text", "unknown"):
        text = _decode_text(blob)
        if text.lstrip()[:1] in ("{", "["):
            return calibration_from_dict(_parse_json(blob.name, text), blob.name)
        return _calibration_from_matrix_text(blob.name, text)
    raise LikenessError("capture.intrinsics", f"{blob.name} is no calibration but {WORDS[blob.kind]}.", _FORM)


def _decode_text(blob: Blob) -> str:
    encoding = "utf-16" if blob.data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return blob.data.decode(encoding)
    except UnicodeDecodeError as error:
        raise LikenessError(
            "capture.intrinsics", f"The text of {blob.name} is not UTF-8.", "Save it as UTF-8 text."
        ) from error


def parse_json(blob: Blob) -> dict[str, Any]:
    """A JSON object from a file, UTF-8 or UTF-16. Raises `capture.intrinsics`."""
    return _parse_json(blob.name, _decode_text(blob))


def _parse_json(name: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise LikenessError(
            "capture.intrinsics",
            f"{name} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}.",
            "Correct it there, or export it again.",
        ) from error
    except (RecursionError, ValueError) as error:
        raise LikenessError("capture.intrinsics", f"{name} is not a usable JSON file.", _FORM) from error
    if not isinstance(found, dict):
        raise LikenessError("capture.intrinsics", f"{name} holds a bare {type(found).__name__}, not an object.", _FORM)
    return found


def calibration_from_dict(data: Mapping[str, Any], name: str) -> Calibration:
    """Read the fields of a calibration in any of the known spellings. Raises `capture.intrinsics`."""
    color = _sub(data, "color_camera", "color", "colour_camera", "rgb", "color_intrinsics")
    depth = _sub(data, "depth_camera", "depth_intrinsics")
    flat = _sub(data, "intrinsics", "intrinsic", "camera") or data
    unit_m = _unit_m(data, name)
    known = not str(data.get("intrinsics", "")).strip().upper().startswith(("UNKNOWN", "ASSUMED", "GUESS"))
    extrinsics = _sub(data, "depth_to_color", "color_from_depth", "extrinsics_depth_to_color")
    if extrinsics is not None and (color or depth):
        color_lens = lens_from_dict(color or flat, name)
        depth_lens = lens_from_dict(depth or flat, name)
        return Calibration(name, color_lens, depth_lens, _extrinsics(extrinsics, name), unit_m, known)
    return Calibration(name, lens_from_dict(color or flat, name), unit_m=unit_m, known=known)


def _sub(data: Mapping[str, Any], *keys: str) -> Mapping[str, Any] | None:
    return next((data[k] for k in keys if isinstance(data.get(k), Mapping)), None)


def lens_from_dict(data: Mapping[str, Any], name: str) -> Lens:
    """fx, fy, cx, cy (or ppx, ppy, or a matrix), size and distortion of one camera. Raises `capture.intrinsics`."""
    size = _size(data, name)
    matrix_key = next((k for k in ("intrinsic_matrix", "K", "camera_matrix", "matrix") if k in data), None)
    if matrix_key is not None and "fx" not in data:
        fx, fy, cx, cy = _from_matrix(data[matrix_key], name)
    else:
        fx, fy = (_number(data, (k,), name) for k in ("fx", "fy"))
        cx, cy = (_number(data, keys, name) for keys in (("cx", "ppx"), ("cy", "ppy")))
    return checked_lens(fx, fy, cx, cy, size, name, read_distortion(data, name))


def checked_lens(
    fx: float,
    fy: float,
    cx: float,
    cy: float,
    size: tuple[int, int] | None,
    name: str,
    distortion: Distortion | None = None,
) -> Lens:
    """A lens whose numbers can belong to a real camera. Raises `capture.intrinsics`."""
    for key, value in (("fx", fx), ("fy", fy), ("cx", cx), ("cy", cy)):
        if not math.isfinite(value):
            raise LikenessError("capture.intrinsics", f"In {name}, {key} is not a finite number.", _FORM)
    for key, value in (("fx", fx), ("fy", fy)):
        if value <= 0:
            raise LikenessError("capture.intrinsics", f"In {name}, {key} is {value:g}; it must be above 0.", _FORM)
    if size is not None:
        check_lens_size(Lens(fx, fy, cx, cy, size, distortion), size, name)
    return Lens(fx, fy, cx, cy, size, distortion)


def check_lens_size(lens: Lens, size: tuple[int, int], name: str) -> None:
    """Refuse a lens that cannot belong to pictures of this size. Raises `capture.intrinsics`."""
    for key, value, side in (("cx", lens.cx, size[0]), ("cy", lens.cy, size[1])):
        # A crop may push the centre a little outside; further out it is a mistake.
        if not -0.25 * side <= value <= 1.25 * side:
            raise LikenessError(
                "capture.intrinsics",
                f"In {name}, {key} is {value:g} and lies outside the picture of {size[0]} x {size[1]} pixels.",
                "Give the principal point in pixels of this picture.",
            )
    longest = max(size)
    for key, value in (("fx", lens.fx), ("fy", lens.fy)):
        if not 0.1 * longest <= value <= 100.0 * longest:
            raise LikenessError(
                "capture.intrinsics",
                f"In {name}, {key} is {value:g}, which no lens has on a picture of {size[0]} x {size[1]} pixels.",
                "Give the focal length in pixels of this picture.",
            )


def _number(data: Mapping[str, Any], keys: tuple[str, ...], name: str) -> float:
    key = next((k for k in keys if k in data), None)
    if key is None:
        raise LikenessError("capture.intrinsics", f"{name} lacks {keys[0]}.", _FORM)
    return to_number(data[key], key, name)


def to_number(value: object, key: str, name: str) -> float:
    """A JSON value as a number; numbers written as text are understood, true and words are not."""
    wrong = LikenessError("capture.intrinsics", f'In {name}, {key} is "{str(value)[:40]}", not a number.', _FORM)
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        raise wrong
    try:
        return float(value)
    except (ValueError, OverflowError) as error:
        raise wrong from error


def _size(data: Mapping[str, Any], name: str) -> tuple[int, int] | None:
    for wide, high in _SIZE_KEYS:
        if wide in data and high in data:
            size = [to_number(data[k], k, name) for k in (wide, high)]
            if not all(math.isfinite(n) and 1 <= n <= 65536 and n == int(n) for n in size):
                raise LikenessError("capture.intrinsics", f"In {name}, {wide} or {high} is no size in pixels.", _FORM)
            return int(size[0]), int(size[1])
    return None


def _from_matrix(value: object, name: str) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy of a 3x3 (or 4x4) matrix, nested by rows, or flat by rows or columns."""
    matrix = matrix_from_json(value, name)
    if matrix.ndim == 1 and matrix.size in (9, 16):
        side = math.isqrt(matrix.size)
        matrix = matrix.reshape(side, side)
        # The last row of a camera matrix is 0 0 1; numbers there mean that the file goes column by column,
        # as Open3D and Record3D write it.
        matrix = matrix.T if matrix[2, :2].any() else matrix
    return camera_numbers(matrix, name)


def matrix_from_json(value: object, name: str) -> np.ndarray:
    """A list (or list of lists) of numbers as a float64 array of at most 2 axes. Raises `capture.intrinsics`."""
    try:
        matrix = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise LikenessError("capture.intrinsics", f"{name} holds a matrix that is not all numbers.", _FORM) from error
    if matrix.ndim not in (1, 2) or matrix.size > 16:
        raise LikenessError("capture.intrinsics", f"{name} holds a matrix of {matrix.shape}.", _FORM)
    return matrix


def camera_numbers(matrix: np.ndarray, name: str) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy of a 3x3 or 4x4 matrix, or of the four numbers in that order. Raises `capture.intrinsics`."""
    if matrix.shape == (4,):
        return float(matrix[0]), float(matrix[1]), float(matrix[2]), float(matrix[3])
    if matrix.shape not in ((3, 3), (4, 4), (3, 4)):
        raise LikenessError(
            "capture.intrinsics", f"{name} holds {matrix.size} numbers, not a 3x3 or 4x4 camera matrix.", _FORM
        )
    if abs(matrix[0, 1]) > 1e-3 * abs(matrix[0, 0]):
        raise LikenessError(
            "capture.intrinsics", f"The camera matrix in {name} has skew, which is not supported.", _FORM
        )
    return float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2])


def _calibration_from_matrix_text(name: str, text: str) -> Calibration:
    """Rows of 3x3 or 4x4 numbers, or fx fy cx cy in one line, separated by space or comma."""
    lines = [line.split("#")[0].replace(",", " ").split() for line in text.splitlines()]
    rows = [line for line in lines if line]
    try:
        matrix = np.array([[float(word) for word in row] for row in rows[:4]], np.float64)
    except ValueError as error:
        raise LikenessError("capture.intrinsics", f"{name} holds no calibration that is known.", _FORM) from error
    if matrix.size == 9:
        matrix = matrix.reshape(3, 3)
    fx, fy, cx, cy = camera_numbers(matrix[0] if matrix.shape == (1, 4) else matrix, name)
    return Calibration(name, checked_lens(fx, fy, cx, cy, None, name))


def _unit_m(data: Mapping[str, Any], name: str) -> float | None:
    found: list[float] = []
    if data.get("depth_scale_to_m") is not None:
        found.append(metres_of(to_number(data["depth_scale_to_m"], "depth_scale_to_m", name), name))
    if data.get("depth_scale") is not None:
        found.append(metres_of_scale(to_number(data["depth_scale"], "depth_scale", name), name))
    if data.get("depth_unit") is not None:
        found.append(metres_of(str(data["depth_unit"]), name))
    if found and max(found) / min(found) > 1.01:
        raise LikenessError(
            "capture.depth_unit",
            f"{name} says two different things about the unit of depth: {found[0]:g} and {found[-1]:g} metres.",
            "Keep the right one of depth_scale and depth_unit.",
        )
    return found[0] if found else None


def _extrinsics(data: Mapping[str, Any], name: str) -> np.ndarray:
    """color_from_depth (4, 4), metres, from R and t: column convention, or `R_row_vector` (p' = p R + t).

    A calibration whose `convention` says that it holds for pictures flipped left-right is mirrored back.
    """
    row = "R_row_vector" in data
    rotation = matrix_from_json(data.get("R_row_vector", data.get("R", data.get("rotation"))), name)
    scale = 0.001 if "T_mm" in data or "t_mm" in data else 1.0
    key = next((k for k in ("T_mm", "t_mm", "T_m", "t_m", "t", "T", "translation") if k in data), "t")
    shift = matrix_from_json(data.get(key), name).reshape(-1) * scale
    rotation = rotation.reshape(3, 3) if rotation.size == 9 else rotation
    usable = rotation.shape == (3, 3) and shift.shape == (3,)
    if not usable or not np.isfinite(rotation).all() or not np.isfinite(shift).all():
        raise LikenessError("capture.intrinsics", f"{name} has no usable R and t from depth to colour.", _FORM)
    rotation = rotation.T if row else rotation
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-2) or np.linalg.det(rotation) < 0:
        raise LikenessError("capture.intrinsics", f"In {name}, R from depth to colour is no rotation.", _FORM)
    if np.linalg.norm(shift) > 1.0:
        raise LikenessError(
            "capture.intrinsics",
            f"In {name}, the two cameras are {np.linalg.norm(shift):.3g} m apart.",
            "Give t in metres, or T_mm in millimetres.",
        )
    if "flipped left-right" in str(data.get("convention", "")) or data.get("mirrored") is True:
        flip = np.diag([-1.0, 1.0, 1.0])
        rotation, shift = flip @ rotation @ flip, flip @ shift
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation, shift
    return out
