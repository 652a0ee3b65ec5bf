"""What was given: which files make up a capture, before anything is computed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from likeness.core.errors import LikenessError

from .depth_files import DepthMap, decode_depth, depth_from_array
from .files import Blob, read_blob
from .images import Picture, decode_picture
from .intrinsics import Calibration, decode_calibration
from .limits import MAX_TEXT_BYTES


@dataclass
class Sources:
    """The parts of one capture as files hold them. mask: a mask file, or (H, W) array from an archive."""

    name: str
    color: Picture
    depth: DepthMap
    calibration: Calibration | None
    mask: Blob | np.ndarray | None
    hashes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """One hash for all files that were read."""
        return hashlib.sha256("".join(self.hashes).encode()).hexdigest()


@dataclass(frozen=True)
class Given:
    """Paths that the caller gave beside the capture's own."""

    depth: Path | None
    intrinsics: Path | None
    mask: Path | None


@dataclass(frozen=True)
class Reader:
    """A way to read captures. matches: whether a path is of this form, by cheap looks only. read: the parts."""

    name: str
    matches: Callable[[Path, Given], bool]
    read: Callable[[Path, Given], Sources]


def read_calibration(path: Path, hashes: list[str]) -> Calibration:
    """Read a calibration file and note its hash."""
    blob = read_blob(path, limit=MAX_TEXT_BYTES)
    hashes.append(blob.sha256)
    return decode_calibration(blob)


def read_parts(name: str, color: Path, depth: Path, intrinsics: Path | None, mask: Path | None) -> Sources:
    """Read a capture whose parts are files of their own."""
    hashes: list[str] = []

    def blob(path: Path) -> Blob:
        found = read_blob(path)
        hashes.append(found.sha256)
        return found

    color_blob = blob(color)
    picture = decode_picture(color_blob)
    depth_map = decode_depth(blob(depth))
    calibration = read_calibration(intrinsics, hashes) if intrinsics else None
    mask_blob = blob(mask) if mask else None
    return Sources(name, picture, depth_map, calibration, mask_blob, hashes)


def array_picture(name: str, array: np.ndarray) -> Picture:
    """Colour from an array in an archive: (H, W, 3 or 4) u8, u16 or float 0..1, or (H, W) grey."""
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] not in (3, 4) or array.dtype.kind not in "uif":
        raise LikenessError(
            "input.array_type",
            f"The colours in {name} have the shape {' x '.join(map(str, array.shape))} and type {array.dtype}.",
            "Save them as rows x columns x 3 of uint8.",
        )
    if array.dtype != np.uint8:
        top = 65535.0 if array.dtype.kind in "ui" and array.max(initial=0) > 255 else 255.0
        scale = 255.0 / top if array.dtype.kind in "ui" else 255.0
        array = np.clip(np.nan_to_num(array.astype(np.float64)) * scale + 0.5, 0, 255).astype(np.uint8)
    alpha = array[..., 3] if array.shape[2] == 4 and array[..., 3].min() < 255 else None
    return Picture(name, np.ascontiguousarray(array[..., :3]), alpha, None, ())


__all__ = [
    "Given",
    "Reader",
    "Sources",
    "array_picture",
    "depth_from_array",
    "read_calibration",
    "read_parts",
]
