"""`likeness fit`: the body alone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from ..body.model import load_default
from ..core.files import output_error, write_bytes, write_json
from .avatar_job import STAGES, fit_capture, overlay_png, read_input
from .progress import Emit, Tracker
from .request import avatar_request

_PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".heic", ".webp", ".tif", ".tiff")


def run_fit_job(source: str, out: Path, params: dict[str, Any], emit: Emit, cancel: threading.Event) -> Path:
    """Fit the body to a capture or photo; writes `out` (JSON) and an overlay picture beside it. Returns `out`.

    Raises LikenessError.
    """
    target = "photos" if is_photo(source, params) else "capture"
    value: Any = [source] if target == "photos" else source
    request = avatar_request(params | {"out": str(out), target: value})
    tracker = Tracker({k: STAGES[k] for k in ("read", "body", "write")}, emit, cancel)
    with tracker.stage("read"):
        capture = read_input(request)
    model = load_default()
    with tracker.stage("body") as report:
        fit = fit_capture(capture, model, request, report)
    with tracker.stage("write"):
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(out, error) from error
        write_json(out, fit.to_dict())
        write_bytes(out.with_suffix(".png"), overlay_png(capture, model, fit))
    return out


def is_photo(source: str, params: dict[str, Any]) -> bool:
    """A single picture without depth is a photo; everything else is a capture."""
    path = Path(source).expanduser()
    if params.get("depth") or path.is_dir():
        return False
    return path.suffix.lower() in _PHOTO_SUFFIXES
