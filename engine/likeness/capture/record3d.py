"""Record3D's .r3d archives (iPhone and iPad with LiDAR or TrueDepth)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from likeness.core.errors import LikenessError

from .arrays import open_archive, read_member
from .depth_files import DepthMap, depth_from_array
from .files import Blob, check_size, kind_of, read_blob
from .images import decode_picture
from .intrinsics import calibration_from_dict, parse_json, to_number
from .limits import MAX_TEXT_BYTES
from .sources import Given, Sources

_FRAME = re.compile(r"rgbd/(\d+)\.(jpg|png|depth)")


def read_record3d(path: Path, given: Given) -> Sources:
    """Read the first frame of a .r3d file.

    Depth is float32 metres, stored plainly or packed with Apple's LZFSE. Raises `input.archive`, `input.damaged`,
    `capture.form`, `capture.depth_packed`.
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
    if data[:3] == b"bvx":
        raise LikenessError(
            "capture.depth_packed",
            f"The depth in {name} is packed with LZFSE, which is not read.",
            "In Record3D, export the capture as EXR + RGB and choose that folder.",
        )
    if len(data) != width * height * 4:
        raise LikenessError(
            "input.damaged",
            f"{name} should hold {width} x {height} distances ({width * height * 4 / 2**20:.3g} MB) "
            f"but holds {len(data) / 2**20:.3g} MB.",
            "Export the capture again.",
        )
    return depth_from_array(name, np.frombuffer(data, "<f4").reshape(height, width), unit_m=1.0)
