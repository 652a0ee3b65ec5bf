"""The job behind Create Avatar: read, fit, surface, asset, write."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from .. import __version__
from ..asset.build import build_avatar
from ..asset.texture import encode_png
from ..body.model import BodyModel
from ..core.avatar import Avatar, write_avatar
from ..core.capture import Capture
from ..core.errors import CANCELLED, LikenessError
from ..core.files import write_bytes
from ..core.fit import Fit
from ..core.job import JobFolder
from ..core.progress import Report
from ..core.surface import CapturedSurface
from ..surface.anim.predict import predict_fitted
from ..surface.draped import drape
from ..surface.evaluation.quality import surface_quality
from ..surface.layers.predict import predict_layers
from .body_stage import capture_picture, fit_person, overlay_picture, read_for
from .defect import as_likeness_error
from .device import resolve_device
from .progress import Emit, Tracker
from .request import PRESETS, AvatarRequest
from .weights import weight_hashes

log = logging.getLogger("likeness")

#: Expected seconds a stage on two cores: the shares of the progress bar and the first estimate.
STAGES = {"read": 2.0, "body": 7.0, "surface": 16.0, "colour": 9.0, "write": 1.0}

#: Peak of a job at the standard preset (benchmarks/whole_path.py), for the panel's estimate.
MEMORY_GB = 1.2


def estimate_seconds() -> float:
    """What Create Avatar is expected to take on a small machine."""
    return sum(STAGES.values())


def run_avatar_job(request: AvatarRequest, emit: Emit, cancel: threading.Event | None = None) -> Path:
    """From files to an avatar folder; the same call resumes a killed or cancelled job.

    emit gets progress events (architecture, section 5). Returns the avatar folder.
    Raises LikenessError; nothing half-written is left behind, only whole checkpoints.
    """
    folder: JobFolder | None = None

    def tell(event: dict[str, object]) -> None:
        if folder is not None:
            folder.event({"event": "progress", **event})
        emit(event)

    tracker = Tracker(STAGES, tell, cancel)
    existed = request.job_path.exists()
    try:
        resolve_device(request.device)
        with tracker.stage("read"):
            capture = read_for(request)
            request.method_for(capture)
        folder = JobFolder.create(request.job_path, _job_record(request, capture))
        avatar = _make(request, capture, folder, tracker)
        with tracker.stage("write"):
            path = write_avatar(request.out_path, avatar)
        folder.event({"event": "done", "avatar": str(path)})
        folder.finish(path.resolve())
    except BaseException as error:
        shown = as_likeness_error(error, request.job_path)
        _leave(folder, shown, keep=existed or request.job_dir is not None)
        if isinstance(error, Exception):
            raise shown from error
        raise
    if request.job_dir is None:
        shutil.rmtree(request.job_path, ignore_errors=True)
    return path


def _job_record(request: AvatarRequest, capture: Capture) -> dict[str, object]:
    """`job.json`: the request, what its checkpoints depend on, versions and seed."""
    asked = {f: getattr(request, f) for f in request.__struct_fields__}
    return {"key": request.key(capture), "version": __version__, "seed": request.seed, "request": asked}


def _make(request: AvatarRequest, capture: Capture, folder: JobFolder, tracker: Tracker) -> Avatar:
    """All stages between reading and writing; each one's outcome is a checkpoint."""
    with tracker.stage("body") as report:
        fitted = fit_person(capture, request, report, kept=_load_fit(folder, capture))
        capture, model, fit = fitted.capture, fitted.model, fitted.fit
        folder.save_checkpoint("body", {"fit": np.frombuffer(_json(fit), np.uint8)})
        overlay = encode_png(overlay_picture(fitted))
        tracker.preview = folder.path / "overlay.png"
        write_bytes(tracker.preview, overlay)
    with tracker.stage("surface") as report:
        surface = _load_surface(folder) or _surface(request, capture, model, fit, report)
        arrays = {f.name: getattr(surface, f.name) for f in fields(surface)}
        folder.save_checkpoint("surface", {name: array for name, array in arrays.items() if array is not None})
    with tracker.stage("colour") as report:
        avatar = build_avatar(
            surface,
            capture,
            model,
            fit,
            name=request.avatar_name,
            method=request.method_for(capture),
            settings=request.settings(),
            report=report,
        )
    quality = dict(avatar.quality) | surface_quality(surface, capture)
    provenance = dict(avatar.provenance) | {
        "engine": __version__,
        "weights": weight_hashes(),
        "settings": request.settings(),
        "seed": request.seed,
        "seconds": dict(tracker.seconds),
        "input_sha256": capture.source_sha256,
        "warnings": list(capture.warnings),
    }
    extra = dict(avatar.extra) | {"previews/overlay.png": overlay, "previews/capture.jpg": capture_picture(capture)}
    return replace(avatar, quality=quality, provenance=provenance, extra=extra)


def _surface(request: AvatarRequest, capture: Capture, model: BodyModel, fit: Fit, report: Report) -> CapturedSurface:
    """The person's surface on the body's topology, in the capture's camera space."""
    guess, preset = None, PRESETS[request.preset]
    guesser = {"layers": predict_layers, "anim": predict_fitted}.get(request.method_for(capture))
    if guesser is not None:
        report(0.0, "Guessing the far side")
        guess = guesser(capture, fit, model=model, resolution=preset.resolution)
    return drape(capture, model, fit, guess=guess, edge_m=preset.edge_m, report=report)


def _json(fit: Fit) -> bytes:
    return json.dumps(fit.to_dict()).encode()


def _load_fit(folder: JobFolder, capture: Capture) -> Fit | None:
    stored = folder.load_checkpoint("body")
    if stored is None or "fit" not in stored:
        return None
    log.info("%s: the body fit was resumed", capture.name)
    return Fit.from_dict(json.loads(stored["fit"].tobytes()))


def _load_surface(folder: JobFolder) -> CapturedSurface | None:
    stored = folder.load_checkpoint("surface")
    return None if stored is None else CapturedSurface(**stored)


def _leave(folder: JobFolder | None, error: LikenessError, *, keep: bool) -> None:
    """After a failure: record it; a folder without a checkpoint that this run made is removed."""
    if folder is None:
        return
    if not keep and folder.load_checkpoint("body") is None:
        shutil.rmtree(folder.path, ignore_errors=True)
        return
    kind = "cancelled" if error.code == CANCELLED else "failed"
    try:
        folder.event({"event": kind, **error.to_dict()})
    except LikenessError:
        log.warning("the job folder cannot be written")
