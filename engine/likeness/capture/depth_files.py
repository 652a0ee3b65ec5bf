"""Depth files (16-bit PNG, TIFF, OpenEXR, npy, npz) to one array of raw values."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass

import numpy as np

from likeness.core.errors import LikenessError

from .arrays import load_npy, load_npz
from .files import WORDS, Blob, check_size, decoding
from .images import PICTURE_KINDS, open_image

_LOSSY = ("jpeg", "webp", "heif", "avif", "gif")
#: Names that a depth array goes by in an .npz.
DEPTH_KEYS = ("depth", "depth_m", "depth_mm", "depth_map", "depthmap", "z")


@dataclass(frozen=True)
class DepthMap:
    """Depth as stored. values: (H, W) f64 in the file's own unit, every not finite or not positive value set to 0.

    whole_numbers: stored as integers. bits: of one stored value. unit_m: metres a unit where the file itself says so.
    """

    name: str
    values: np.ndarray
    whole_numbers: bool
    bits: int
    unit_m: float | None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.values.shape[1], self.values.shape[0]


def decode_depth(blob: Blob) -> DepthMap:
    """Decode a depth file by its content.

    Raises `capture.depth_lossy`, `capture.depth_color`, `capture.depth_empty`, `capture.depth_frames`,
    `capture.depth_kind` and the codes of the decoders.
    """
    if blob.kind in _LOSSY:
        raise LikenessError(
            "capture.depth_lossy",
            f"Depth cannot come from {WORDS[blob.kind]} ({blob.name}): it is compressed with loss and has 8 bits.",
            "Give the 16-bit PNG, TIFF or .npy that the sensor's software exports.",
        )
    if blob.kind == "npy":
        return depth_from_array(blob.name, load_npy(blob))
    if blob.kind == "zip":
        arrays = load_npz(blob)
        key = next((k for k in DEPTH_KEYS if k in arrays), None)
        if key is None:
            raise LikenessError(
                "capture.depth_kind", f"{blob.name} holds no array named depth.", "Save the depth map under that name."
            )
        return depth_from_array(blob.name, arrays[key], unit_m={"depth_m": 1.0, "depth_mm": 0.001}.get(key))
    if blob.kind == "exr":
        return depth_from_array(blob.name, _load_exr(blob))
    if blob.kind in PICTURE_KINDS:
        return _depth_from_picture(blob)
    raise LikenessError(
        "capture.depth_kind",
        f"{blob.name} is no depth map: its content is {WORDS[blob.kind]}.",
        "Give a 16-bit PNG, TIFF, OpenEXR or .npy with one distance a pixel.",
    )


def _depth_from_picture(blob: Blob) -> DepthMap:
    image = open_image(blob, "depth map")
    if image.mode not in ("I;16", "I;16B", "I;16L", "I", "F", "L", "1"):
        raise LikenessError(
            "capture.depth_color",
            f"The depth file {blob.name} is a colour picture, perhaps a preview in false colours.",
            "Give the raw depth: a 16-bit grey PNG or TIFF, or a .npy.",
        )
    with decoding(blob.name, "a depth map"):
        frames = int(getattr(image, "n_frames", 1))
        image.load()
        array = np.asarray(image)
    notes = (f"{blob.name} holds {frames} pictures; the first is used.",) if frames > 1 else ()
    if image.mode == "1":
        array = array.astype(np.uint8)
    bits = 8 if array.dtype.itemsize == 1 else 16
    found = depth_from_array(blob.name, array)
    return DepthMap(blob.name, found.values, image.mode != "F", bits, None, notes)


def _load_exr(blob: Blob) -> np.ndarray:
    """The depth channel (Z, depth, or the only or first one) of an OpenEXR file."""
    import OpenEXR

    # The library reads files by name only.
    handle, path = tempfile.mkstemp(suffix=".exr")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(blob.data)
        with decoding(blob.name, "an OpenEXR picture"):
            with OpenEXR.File(path, header_only=True) as header:
                low, high = header.header()["dataWindow"]
            check_size(blob.name, int(high[0]) - int(low[0]) + 1, int(high[1]) - int(low[1]) + 1, "depth map")
            with OpenEXR.File(path, separate_channels=True) as content:
                channels = {k.lower().rsplit(".", 1)[-1]: np.asarray(c.pixels) for k, c in content.channels().items()}
    finally:
        os.unlink(path)
    for key in ("z", "depth", "y", "r", "v"):
        if key in channels:
            return channels[key].astype(np.float64)
    return next(iter(channels.values())).astype(np.float64)


def depth_from_array(name: str, array: np.ndarray, unit_m: float | None = None) -> DepthMap:
    """Depth from an array in memory: a trailing or leading axis of length 1 is dropped.

    Raises `capture.depth_frames`, `capture.depth_color`, `capture.depth_empty`, `input.too_small`.
    """
    shown = " x ".join(map(str, array.shape))
    if array.dtype.kind not in "uif":
        raise LikenessError(
            "input.array_type",
            f"{name} holds values of type {array.dtype}, not distances.",
            "Save it as uint16 or float32.",
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    elif array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[2] in (3, 4):
        raise LikenessError(
            "capture.depth_color", f"The depth array {name} has colours ({shown}).", "Give one distance a pixel."
        )
    if array.ndim == 3:
        raise LikenessError(
            "capture.depth_frames",
            f"The depth array {name} has {array.shape[0]} frames ({shown}).",
            "Save the one frame that belongs to the colour picture.",
        )
    if array.ndim != 2:
        raise LikenessError(
            "capture.depth_kind", f"The depth array {name} has the shape {shown}.", "Save it as rows x columns."
        )
    check_size(name, array.shape[1], array.shape[0], "depth map")
    values = array.astype(np.float64)
    values[~np.isfinite(values) | (values < 0)] = 0.0
    if not values.any():
        raise LikenessError(
            "capture.depth_empty", f"The depth map {name} has no valid pixel.", "Capture again, or choose another file."
        )
    return DepthMap(name, values, array.dtype.kind in "ui", array.dtype.itemsize * 8, unit_m)
