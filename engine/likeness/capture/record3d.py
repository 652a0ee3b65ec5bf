"""Record3D's .r3d archives (iPhone and iPad with LiDAR or TrueDepth)."""

from __future__ import annotations

import importlib
import re
import struct
from pathlib import Path

import numpy as np

from likeness.core.errors import LikenessError

from .arrays import open_archive, read_member
from .depth_files import DepthMap, depth_from_array
from .files import Blob, check_size, decoding, kind_of, read_blob
from .images import decode_picture
from .intrinsics import calibration_from_dict, parse_json, to_number
from .limits import MAX_TEXT_BYTES
from .sources import Given, Sources

_FRAME = re.compile(r"rgbd/(\d+)\.(jpg|png|depth)")


def read_record3d(path: Path, given: Given) -> Sources:
    """Read the first frame of a .r3d file.

    Depth is float32 metres, stored plainly or packed with Apple's LZFSE. Raises `input.archive`, `input.damaged`,
    `capture.form`, `environment.lzfse`.
    """
    blob = read_blob(path)
    with open_archive(blob) as archive:
        names = set(archive.namelist())
        if "metadata" not in names:
            raise LikenessError(
                "capture.form", f"{blob.name} lacks its metadata, so it is no Record3D capture.", "Export it again."
            )
        raw = read_member(archive, "metadata", blob.name, MAX_TEXT_BYTES)
        meta = parse_json(Blob(f"{blob.name} (metadata)", raw, kind_of(raw)))
        frames: dict[int, dict[str, str]] = {}
        for member in names:
            match = _FRAME.fullmatch(member)
            if match:
                frames.setdefault(int(match[1]), {})["depth" if match[2] == "depth" else "color"] = member
        whole = sorted(k for k, parts in frames.items() if len(parts) == 2)
        if not whole:
            raise LikenessError(
                "capture.form",
                f"None of the {len(frames)} frames in {blob.name} has both colour and depth.",
                "Export the capture again with depth.",
            )
        parts = frames[whole[0]]
        width, height = (int(to_number(meta.get(k, meta.get(f)), k, blob.name)) for k, f in (("dw", "w"), ("dh", "h")))
        check_size(blob.name, width, height, "depth map")
        data = read_member(archive, parts["color"], blob.name)
        color = decode_picture(Blob(f"{blob.name} ({parts['color']})", data, kind_of(data)))
        # LZFSE never makes data much larger than it was.
        packed = read_member(archive, parts["depth"], blob.name, width * height * 4 + 4096)
    depth = _depth(f"{blob.name} ({parts['depth']})", packed, width, height)
    calibration = calibration_from_dict({"w": color.size[0], "h": color.size[1], **meta}, blob.name)
    hashes = [blob.sha256]
    mask = read_blob(given.mask) if given.mask else None
    if mask is not None:
        hashes.append(mask.sha256)
    notes = [f"{blob.name} holds {len(whole)} frames; the first is used."] if len(whole) > 1 else []
    return Sources(blob.name, color, depth, calibration, mask, hashes, notes)


def _depth(name: str, data: bytes, width: int, height: int) -> DepthMap:
    """(height, width) float32 metres from the bytes of a frame."""
    expected = width * height * 4
    found = unpacked_bytes(data) if data[:3] == b"bvx" else len(data)
    if found != expected:
        raise LikenessError(
            "input.damaged",
            f"{name} should hold {width} x {height} distances ({expected / 2**20:.3g} MB) "
            f"but holds {found / 2**20:.3g} MB.",
            "Export the capture again.",
        )
    if data[:3] == b"bvx":
        data = _unpack(name, data)
    return depth_from_array(name, np.frombuffer(data, "<f4", count=width * height).reshape(height, width), unit_m=1.0)


def _unpack(name: str, data: bytes) -> bytes:
    try:
        lzfse = importlib.import_module("lzfse")
    except ImportError as error:
        raise LikenessError(
            "environment.lzfse",
            f"The depth in {name} is packed with Apple's LZFSE, and the package that unpacks it is missing.",
            "Set up the engine again, or export the capture as EXR and RGB.",
        ) from error
    with decoding(name, "packed depth"):
        return bytes(lzfse.decompress(data))


def unpacked_bytes(data: bytes) -> int:
    """How many bytes an LZFSE stream says that it unpacks to, read off its block headers; -1 where they are damaged.

    The decoder takes as much memory as it needs, so this is asked first.
    """
    total, at = 0, 0
    while at + 4 <= len(data):
        magic = data[at : at + 4]
        if magic == b"bvx$":
            return total
        try:
            raw = int(struct.unpack_from("<I", data, at + 4)[0])
            if magic == b"bvx-":
                size = 8 + raw
            elif magic == b"bvxn":
                size = 12 + int(struct.unpack_from("<I", data, at + 8)[0])
            elif magic == b"bvx2":
                first, second, third = struct.unpack_from("<3Q", data, at + 8)
                size = (third & 0xFFFFFFFF) + (first >> 20 & 0xFFFFF) + (second >> 40 & 0xFFFFF)
            else:
                return -1
        except struct.error:
            return -1
        total += raw
        at += max(size, 8)
    return -1
