"""One photograph to a capture without depth."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from likeness.core.camera import Camera
from likeness.core.capture import Capture

from .files import read_blob
from .framing import assumed_camera, checked_focal, framing_warnings
from .images import Picture, decode_picture
from .masking import Choice, choice_of_bodies, segmented
from .masks import alpha_mask, decode_mask, hides_something
from .people import Crowd, PeopleFinder
from .rgbd import Reading
from .upright import estimate_up


def read_photo(
    path: str | Path,
    mask: str | Path | None = None,
    focal_px: float | None = None,
    person: int = 0,
    *,
    finder: PeopleFinder | None = None,
) -> Capture:
    """Read one photograph of one person.

    focal_px: focal length in pixels of the upright picture; else from EXIF, else 1.2 times the longest side, where
    the fit's estimate begins.
    person: counted from 0, best first. finder: stands in for the detector.
    Raises LikenessError `input.*` (files), `input.focal`, `capture.no_person`, `capture.person`,
    `capture.empty_mask`, `capture.mask_size`.
    """
    return read_photo_reading(path, mask, focal_px, person, finder=finder).capture


def read_photo_reading(
    path: str | Path,
    mask: str | Path | None = None,
    focal_px: float | None = None,
    person: int = 0,
    *,
    finder: PeopleFinder | None = None,
) -> Reading:
    """As read_photo, with what `inspect` shows beside the capture."""
    blob = read_blob(Path(path))
    picture = decode_picture(blob)
    camera, notes = _camera(picture, focal_px)
    crowd = Crowd(picture.color, finder)
    sha256 = blob.sha256
    choice: Choice
    if mask is not None:
        mask_blob = read_blob(Path(mask))
        sha256 = hashlib.sha256((sha256 + mask_blob.sha256).encode()).hexdigest()
        pixels, mask_notes = decode_mask(mask_blob, picture.size)
        choice = choice_of_bodies(pixels, "file", person, picture.name, mask_notes)
    elif picture.alpha is not None and hides_something(picture.alpha):
        choice = choice_of_bodies(alpha_mask(picture.alpha, picture.name), "alpha", person, picture.name, ())
    else:
        choice = segmented(crowd, person, picture.name)
    up, up_notes = estimate_up(choice.mask, None, camera, crowd.people, known=choice.source == "segmenter")
    capture = Capture(
        color=picture.color, mask=choice.mask, depth=None, camera=camera,
        camera_known=focal_px is not None or picture.focal_px is not None, name=picture.name, source_sha256=sha256,
        mask_source=choice.source, up=up.astype(np.float32),
    )  # fmt: skip
    collected = (*picture.notes, *notes, *choice.notes, *up_notes, *framing_warnings(capture))
    return Reading(replace(capture, warnings=tuple(dict.fromkeys(collected))), choice.people, 0.0, 0.0)


def _camera(picture: Picture, focal_px: float | None) -> tuple[Camera, tuple[str, ...]]:
    """The camera given, else EXIF's, else the usual one. Raises `input.focal`."""
    if focal_px is None:
        return assumed_camera(picture.size, picture.focal_px), ()
    # The artist reads the focal length off the file, which may have been shrunk to be worked on.
    stored = picture.stored_size or picture.size
    focal_px = checked_focal(focal_px, stored, picture.name)
    return assumed_camera(picture.size, focal_px * picture.size[0] / stored[0]), ()
