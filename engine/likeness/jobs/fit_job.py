"""`likeness fit`: the body alone, and what an artist judges it by."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import msgspec

from ..asset.texture import encode_png
from ..body.fit_side import draw_side
from ..body.given_points import keypoints_of
from ..core.errors import LikenessError
from ..core.files import output_error, write_bytes, write_json
from ..core.fit_file import SUFFIX, fit_path, write_fit
from .avatar_job import STAGES
from .body_stage import Fitted, fit_person, fit_together, overlay_picture, read_for
from .defect import as_likeness_error
from .progress import Emit, Tracker
from .request import AvatarRequest, avatar_request

_PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".heic", ".webp", ".tif", ".tiff")
OVERLAY, SIDE = "overlay.png", "overlay_side.png"


def fit_request(params: dict[str, Any]) -> AvatarRequest:
    """Check a request for a fit: as for an avatar, or with `input` for a capture or photo of either kind.

    Raises LikenessError("usage.*").
    """
    params = dict(params)
    source = params.pop("input", None)
    if source is not None:
        sources = list(source) if isinstance(source, list | tuple) else [source]
        if not sources or not all(isinstance(each, str) for each in sources):
            raise LikenessError("usage.request", "The input is not a path.", "Name a capture or photos.")
        photos = len(sources) > 1 or is_photo(sources[0], params)
        params |= {"photos": sources} if photos else {"capture": sources[0]}
    request = avatar_request(params, several_photos=True)
    alone = [f"--{name}" for name in ("body", "keypoints", "mask") if getattr(request, name)]
    if len(request.photos) > 1 and alone:
        raise LikenessError(
            "usage.photos", f"{' and '.join(alone)} belong to one photo, and several were chosen.", "Choose one photo."
        )
    return request


def run_fit_job(request: AvatarRequest, emit: Emit, cancel: threading.Event) -> Path:
    """Fit the body to a capture or photo and write the folder NAME.fit; a body that is given is where it begins.

    Several photos of one person get one shape and NAME.fit, NAME-2.fit and so on, in their order. Where `out` ends in
    .json the fit of one is written there alone, and the overlay beside it. Returns what was written, the first one.
    Raises LikenessError; nothing half-written is left behind.
    """
    out = Path(request.out).expanduser()
    tracker = Tracker({k: STAGES[k] for k in ("read", "body", "write")}, emit, cancel)
    try:
        with tracker.stage("read"):
            captures = [read_for(each) for each in _one_by_one(request)]
        with tracker.stage("body") as report:
            if len(captures) > 1:
                people = fit_together(captures, request, report)
            else:
                people = [fit_person(captures[0], request, report, refit=True)]
        with tracker.stage("write"):
            if out.suffix == ".json" and len(people) == 1:
                return _write_alone(out, people[0])
            folder = fit_path(out)
            name = folder.name.removesuffix(SUFFIX)
            for number, fitted in enumerate(people[1:], 2):
                _write_folder(folder.with_name(f"{name}-{number}{SUFFIX}"), fitted)
            return _write_folder(folder, people[0])
    except Exception as error:
        raise as_likeness_error(error) from error


def _one_by_one(request: AvatarRequest) -> list[AvatarRequest]:
    """A request for each photo."""
    if len(request.photos) < 2:
        return [request]
    return [msgspec.structs.replace(request, photos=(photo,)) for photo in request.photos]


def _write_folder(path: Path, fitted: Fitted) -> Path:
    height, width = fitted.capture.mask.shape
    seen = None if fitted.landmarks is None else keypoints_of(fitted.landmarks, (width, height)).to_dict()
    pictures = {
        OVERLAY: encode_png(overlay_picture(fitted)),
        SIDE: encode_png(draw_side(fitted.capture, fitted.model, fitted.fit)),
    }
    joints = fitted.model.rest(fitted.fit.betas)[1]
    return write_fit(path, fitted.fit, _body_model(fitted), rest_joints=joints, pictures=pictures, keypoints=seen)


def _write_alone(path: Path, fitted: Fitted) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path, error) from error
    write_json(path, {"body_model": _body_model(fitted), **fitted.fit.to_dict()})
    write_bytes(path.with_suffix(".png"), encode_png(overlay_picture(fitted)))
    return path


def _body_model(fitted: Fitted) -> dict[str, str]:
    return {"id": fitted.model.name, "licence": fitted.model.licence}


def is_photo(source: str, params: dict[str, Any]) -> bool:
    """A single picture without depth is a photo; everything else is a capture."""
    path = Path(source).expanduser()
    if params.get("depth") or path.is_dir():
        return False
    return path.suffix.lower() in _PHOTO_SUFFIXES
