"""`likeness fit`: the body alone, and what an artist judges it by."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from ..asset.texture import encode_png
from ..body.fit_side import draw_side
from ..body.given_points import keypoints_of
from ..core.errors import LikenessError
from ..core.files import output_error, write_bytes, write_json
from ..core.fit_file import fit_path, write_fit
from .avatar_job import STAGES
from .body_stage import Fitted, fit_person, overlay_picture, read_for
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
    return avatar_request(params)


def run_fit_job(request: AvatarRequest, emit: Emit, cancel: threading.Event) -> Path:
    """Fit the body to a capture or photo and write the folder NAME.fit; a body that is given is where it begins.

    Where `out` ends in .json the fit alone is written there, and the overlay beside it. Returns what was written.
    Raises LikenessError; nothing half-written is left behind.
    """
    tracker = Tracker({k: STAGES[k] for k in ("read", "body", "write")}, emit, cancel)
    try:
        with tracker.stage("read"):
            capture = read_for(request)
        with tracker.stage("body") as report:
            fitted = fit_person(capture, request, report, refit=True)
        with tracker.stage("write"):
            out = Path(request.out).expanduser()
            return _write_alone(out, fitted) if out.suffix == ".json" else _write_folder(fit_path(out), fitted)
    except Exception as error:
        raise as_likeness_error(error) from error


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
