"""Files to one RGB-D capture: units, one grid, mask, cleaning, uprightness, checks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError

from .alignment import align_color
from .cleaning import clean_depth
from .framing import framing_warnings
from .grids import Grid, one_grid
from .masking import choose_mask
from .masks import resize_nearest, smooth_resize
from .people import Crowd, PeopleFinder
from .readers import find_reader
from .registration import resize_depth
from .scale import check_stature, depth_unit, stature_m, to_metres
from .sources import Given, Sources
from .upright import estimate_up

#: Fewer readings on the person than this make no surface.
_MIN_READINGS = 200


@dataclass(frozen=True)
class Reading:
    """A capture and what was learned on the way. people: how many are in it. stature_m: extent along `up`, metres."""

    capture: Capture
    people: int
    stature_m: float
    unit_m: float


def read_capture(
    path: str | Path,
    depth: str | Path | None = None,
    intrinsics: str | Path | None = None,
    mask: str | Path | None = None,
    unit: str | float | None = None,
    person: int = 0,
    *,
    focal_px: float | None = None,
    finder: PeopleFinder | None = None,
) -> Capture:
    """Read one RGB-D capture of one person.

    path: a folder, a container file (.npz, .r3d), or the colour picture (then depth is needed). unit: of depth, "mm",
    "m" or metres a unit; overrides the files. person: counted from 0, best first. focal_px: of the
    colour picture, overrides the files where depth is registered to colour. finder: stands in for the detector.
    Returns colour, mask and depth on colour's grid, undistorted, metres, camera space.
    Raises LikenessError `input.*` (files), `capture.*` (content); every one names the file.
    """
    return read_reading(path, depth, intrinsics, mask, unit, person, focal_px=focal_px, finder=finder).capture


def read_reading(
    path: str | Path,
    depth: str | Path | None = None,
    intrinsics: str | Path | None = None,
    mask: str | Path | None = None,
    unit: str | float | None = None,
    person: int = 0,
    *,
    focal_px: float | None = None,
    finder: PeopleFinder | None = None,
) -> Reading:
    """As read_capture, with what `inspect` shows beside the capture."""
    given = Given(*(Path(p) if p is not None else None for p in (depth, intrinsics, mask)))
    sources = find_reader(Path(path), given).read(Path(path), given)
    return assemble(sources, unit=unit, person=person, focal_px=focal_px, finder=finder)


def assemble(
    sources: Sources,
    *,
    unit: str | float | None = None,
    person: int = 0,
    focal_px: float | None = None,
    finder: PeopleFinder | None = None,
) -> Reading:
    """Parts of a capture to a Capture; arguments and errors as in read_capture."""
    unit_m, notes = depth_unit(sources.depth, sources.calibration.unit_m if sources.calibration else None, unit)
    grid = one_grid(sources, to_metres(sources.depth, unit_m), focal_px)
    crowd = Crowd(grid.color, finder)
    choice = choose_mask(sources, grid, person, crowd)
    mask, depth = _on_person(grid, choice.mask, choice.source)
    if int((depth > 0).sum()) < _MIN_READINGS:
        raise LikenessError(
            "capture.no_depth",
            f"The person in {sources.name} has hardly any depth readings ({int((depth > 0).sum())} pixels).",
            "Check that depth, mask and colour belong to the same moment.",
        )
    up, up_notes = estimate_up(mask, depth, grid.camera, crowd.people, known=choice.source == "segmenter")
    color, moved_notes = align_color(grid.color, mask, crowd) if choice.source == "depth" else (grid.color, ())
    capture = Capture(
        color=color, mask=mask, depth=depth, camera=grid.camera, camera_known=grid.camera_known,
        name=sources.name, source_sha256=sources.sha256, mask_source=choice.source, up=up,
    )  # fmt: skip
    points = capture.points()
    stature = stature_m(points, up)
    size_notes = check_stature(sources.name, stature, float(np.median(points[:, 2])), unit_m, unit is not None)
    collected = (
        *sources.notes, *sources.color.notes, *sources.depth.notes, *notes, *grid.notes, *choice.notes, *up_notes,
        *moved_notes, *size_notes, *framing_warnings(capture),
    )  # fmt: skip
    return Reading(replace(capture, warnings=tuple(dict.fromkeys(collected))), choice.people, stature, unit_m)


def _on_person(grid: Grid, mask: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Clean depth on its own grid, then bring it to colour's: mask (H, W) bool and depth (H, W) f32."""
    height, width = grid.color.shape[:2]
    depth_size = grid.depth.shape[1], grid.depth.shape[0]
    focal = _focal(grid.camera) * depth_size[0] / width
    small = mask if depth_size == (width, height) else resize_nearest(mask, depth_size)
    clean, background = clean_depth(grid.depth, small, focal)
    if source == "depth":
        # The silhouette is what the sensor saw, so what was dropped as flying is not the person either.
        small = clean > 0
        mask = mask & smooth_resize(small, (width, height))
    elif background.any():
        mask = mask & ~resize_nearest(background, (width, height))
    depth = resize_depth(clean, (width, height))
    return mask, np.where(mask, depth, np.float32(0))


def _focal(camera: Camera) -> float:
    return 0.5 * (camera.fx + camera.fy)
