"""What a capture or photo contains, before anything costs time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from likeness.core.errors import LikenessError

from .files import kind_of, read_blob
from .framing import person_height_px
from .images import PICTURE_KINDS
from .people import PeopleFinder
from .photo import read_photo_reading
from .rgbd import Reading, read_reading
from .thumbnails import write_thumbnails


def inspect(
    path: str | Path,
    depth: str | Path | None = None,
    intrinsics: str | Path | None = None,
    mask: str | Path | None = None,
    unit: str | float | None = None,
    focal_px: float | None = None,
    person: int = 0,
    thumbnails: str | Path | None = None,
    *,
    finder: PeopleFinder | None = None,
) -> dict[str, Any]:
    """Read a capture or photo and describe it; the answer is JSON-ready.

    A picture file without depth is a photo; everything else is a capture. thumbnails: folder for color.png,
    cutout.png and side.png. Keys: kind, name, width, height, person_height_px, depth_range_m, valid_share, distance_m,
    stature_m, depth_unit_m, mask_source, people, person, camera {fx, fy, cx, cy, width, height, known}, up, warnings,
    thumbnails; depth's keys are None for a photo.
    Raises what read_capture and read_photo raise, and `output.unwritable`.
    """
    source = Path(path)
    if depth is None and _is_picture(source):
        reading = read_photo_reading(source, mask, focal_px, person, finder=finder)
    else:
        reading = read_reading(source, depth, intrinsics, mask, unit, person, focal_px=focal_px, finder=finder)
    found = _describe(reading, person)
    found["thumbnails"] = {}
    if thumbnails is not None:
        try:
            found["thumbnails"] = write_thumbnails(reading.capture, Path(thumbnails))
        except OSError as error:
            raise LikenessError(
                "output.unwritable",
                f"The thumbnails cannot be written to {Path(thumbnails).name}: {error.strerror or error}.",
                "Choose a folder that you may write to.",
            ) from error
    return found


def _is_picture(path: Path) -> bool:
    """Whether a path is one picture by its content. Raises what read_blob raises for a missing file."""
    if path.is_dir():
        return False
    head = read_blob(path).data[:512]
    return kind_of(head) in PICTURE_KINDS or path.suffix.lower() in (".png", ".jpg", ".jpeg", ".heic", ".heif")


def _describe(reading: Reading, person: int) -> dict[str, Any]:
    capture = reading.capture
    height, width = capture.mask.shape
    found: dict[str, Any] = {
        "kind": capture.kind,
        "name": capture.name,
        "width": width,
        "height": height,
        "person_height_px": person_height_px(capture),
        "depth_range_m": None,
        "distance_m": None,
        "valid_share": None,
        "stature_m": None,
        "depth_unit_m": None,
        "mask_source": capture.mask_source,
        "people": reading.people,
        "person": person,
        "camera": {**capture.camera.to_dict(), "known": capture.camera_known},
        "up": [round(float(v), 4) for v in capture.up],
        "warnings": list(capture.warnings),
    }
    if capture.depth is not None:
        z = capture.depth[capture.valid]
        found.update(
            depth_range_m=[round(float(z.min()), 3), round(float(z.max()), 3)],
            distance_m=round(float(np.median(z)), 3),
            valid_share=round(float(capture.valid.sum() / max(int(capture.mask.sum()), 1)), 4),
            stature_m=round(reading.stature_m, 3),
            depth_unit_m=reading.unit_m,
        )
    return found
