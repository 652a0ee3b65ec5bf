"""The stage "body" of every job: which body, found anew, given, or refined from what was given."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..body.fit import draw_overlay, fit_body
from ..body.fit_given import place_pose
from ..body.fit_photos import fit_photos
from ..body.given_points import nobody
from ..body.landmarks import Landmarks
from ..body.model import BodyModel
from ..core.camera import Camera
from ..core.capture import Capture
from ..core.errors import LikenessError
from ..core.fit import Fit
from ..core.fit_file import DEFAULT_BODY, StoredFit, read_fit
from ..core.given_pose import GivenPose, read_given_pose
from ..core.hands import BODY_JOINTS
from ..core.progress import Report, quiet
from .body_model import load_body
from .reading import find_landmarks, find_person, read_input, shown
from .request import AvatarRequest

log = logging.getLogger("likeness")

#: Another camera than the fit's by this share of the focal length needs another place of the body.
_SAME_CAMERA = 0.01
_PICTURE_PX = 1600
#: Bodies to which SMPL's shape numbers mean something.
_SMPL = "SMPL"


@dataclass(frozen=True)
class Fitted:
    """A body in a capture. landmarks: what the fit saw, None where none were looked for."""

    capture: Capture
    model: BodyModel
    fit: Fit
    landmarks: Landmarks | None = None


def given_body(request: AvatarRequest) -> StoredFit | GivenPose | None:
    """What `--body` names. Raises LikenessError("body.*")."""
    if not request.body:
        return None
    path = Path(request.body).expanduser()
    return read_given_pose(path) if path.suffix.lower() == ".npz" else read_fit(path)


def read_for(request: AvatarRequest) -> Capture:
    """The capture or photo, seen by the camera that the given body knows of where the photo itself has none."""
    given = given_body(request)
    return read_input(request, given.focal_px if isinstance(given, GivenPose) else None)


def fit_person(
    capture: Capture, request: AvatarRequest, report: Report = quiet, *, refit: bool = False, kept: Fit | None = None
) -> Fitted:
    """The body in a capture: fitted, or as `--body` says.

    A fit of this body is taken as it is, with refit it is where the fit begins. A fit of another body, of another
    camera, or SMPL's parameters keep their pose, and shape and place are fitted: shape numbers of one body mean
    nothing to another. kept: the outcome of a run that was interrupted. Raises LikenessError("capture.no_person",
    "body.*", "keypoints.*").
    """
    given = given_body(request)
    if kept is not None:
        return settled(capture, load_body(request.body_model, kept.people), kept)
    if given is None:
        model = load_body(request.body_model)
        report(0.0, "Finding the person")
        landmarks = find_landmarks(capture, model, request)
        fit = fit_body(capture, model, landmarks, report=report, seed=request.seed, height_m=request.height_m)
        return replace(settled(capture, load_body(request.body_model, fit.people), fit), landmarks=landmarks)
    if isinstance(given, StoredFit):
        model = load_body(request.body_model, given.fit.people)
        start = given.fit.with_joints(len(model.parents))
        whole = settled(capture, model, start)
        same = given.body == model.name or (given.of_default_body() and model.name.startswith(DEFAULT_BODY))
        if same and _same_camera(whole.capture.camera, start.camera):
            return _refitted(whole, request, report) if refit else whole
        given = GivenPose(start.pose, root_known=True, pelvis=_pelvis(start, model) if same else None)
        capture = whole.capture
    else:
        model = load_body(request.body_model)
    return _shaped(capture, model, given, request, report)


def fit_together(captures: Sequence[Capture], request: AvatarRequest, report: Report = quiet) -> list[Fitted]:
    """Several photos of one person: one shape, one pose each. Raises what fit_person raises."""
    model = load_body(request.body_model)
    report(0.0, "Finding the person")
    landmarks = [find_person(capture) for capture in captures]
    fits = fit_photos(captures, model, landmarks, report=report, seed=request.seed, height_m=request.height_m)
    whole = [settled(c, load_body(request.body_model, f.people), f) for c, f in zip(captures, fits, strict=True)]
    return [replace(each, landmarks=seen) for each, seen in zip(whole, landmarks, strict=True)]


def settled(capture: Capture, model: BodyModel, fit: Fit) -> Fitted:
    """Capture and fit with one camera: the photo's own where it has one, else the fit's.

    Raises LikenessError("body.camera") where the fit belongs to a picture of another shape.
    """
    height, width = capture.mask.shape
    theirs = fit.camera
    if abs(theirs.width * height - theirs.height * width) > 0.01 * theirs.width * height:
        raise LikenessError(
            "body.camera",
            f"The body fit belongs to a picture of {theirs.width} x {theirs.height} pixels, and {capture.name} has "
            f"{width} x {height}.",
            "Use the fit of this capture.",
        )
    if capture.depth is None and not capture.camera_known:
        capture = replace(capture, camera=theirs.scaled(width, height))
        if "focal_spread" in fit.residuals:
            capture = replace(capture, warnings=(*capture.warnings, focal_note(capture.camera)))
    return Fitted(capture, model, fit)


def focal_note(camera: Camera) -> str:
    """What an artist should know of a focal length that nobody gave."""
    return (
        f"The photo does not say its focal length: {camera.fx:.0f} pixels were estimated from the body. "
        "Give it (--focal) for the true distance and depth."
    )


def _same_camera(ours: Camera, theirs: Camera) -> bool:
    theirs = theirs.scaled(ours.width, ours.height)
    apart = max(abs(ours.fx - theirs.fx), abs(ours.fy - theirs.fy), abs(ours.cx - theirs.cx), abs(ours.cy - theirs.cy))
    return apart <= _SAME_CAMERA * max(ours.fx, ours.fy)


def _pelvis(fit: Fit, model: BodyModel) -> np.ndarray:
    return model.rest(fit.betas)[1][0] + fit.translation


def _landmarks_if_any(capture: Capture, model: BodyModel, request: AvatarRequest) -> Landmarks | None:
    """A pose made by hand has to serve where the detector fails."""
    try:
        return find_landmarks(capture, model, request)
    except LikenessError as error:
        if error.code != "capture.no_person":
            raise
        log.info("%s: nobody was detected; the given pose is fitted to outline and depth alone", capture.name)
        return None


def _refitted(whole: Fitted, request: AvatarRequest, report: Report) -> Fitted:
    """Refine a pose that an artist made; fingers stay as they were posed."""
    report(0.0, "Finding the person")
    start = replace(whole.fit, camera=whole.capture.camera)
    landmarks = _landmarks_if_any(whole.capture, whole.model, request)
    fit = fit_body(
        whole.capture,
        whole.model,
        landmarks or nobody(),
        report=report,
        seed=request.seed,
        start=start,
        height_m=request.height_m,
    )
    fingers = np.concatenate([fit.pose[:BODY_JOINTS], start.pose[BODY_JOINTS:]])
    fit = replace(fit, pose=fingers)
    return Fitted(whole.capture, load_body(request.body_model, fit.people), fit, landmarks)


def _shaped(capture: Capture, model: BodyModel, given: GivenPose, request: AvatarRequest, report: Report) -> Fitted:
    """Keep a pose, fit shape and place."""
    own = model.name.startswith(_SMPL)
    if given.betas is not None and not own:
        log.info("%d shape numbers are another body's; shape is fitted to the capture", len(given.betas))
    report(0.0, "Finding the person")
    landmarks = _landmarks_if_any(capture, model, request)
    start = place_pose(capture, model, replace(given, betas=given.betas if own else None), landmarks, request.seed)
    fit = fit_body(
        capture,
        model,
        landmarks or nobody(),
        report=report,
        seed=request.seed,
        start=start,
        hold_pose=True,
        height_m=request.height_m,
    )
    fit = replace(fit, pose=np.concatenate([fit.pose[:1], start.pose[1:]]))
    return Fitted(capture, load_body(request.body_model, fit.people), fit, landmarks)


def overlay_picture(fitted: Fitted) -> np.ndarray:
    """(H, W, 3) u8: the fitted body over the picture: how the artist judges a fit."""
    return draw_overlay(replace(fitted.capture, color=shown(fitted.capture)), fitted.model, fitted.fit)


def capture_picture(capture: Capture) -> bytes:
    """JPEG of the picture as the fit's camera sees it, smaller where it is large: artists pose bodies over it."""
    image = Image.fromarray(shown(capture))
    image.thumbnail((_PICTURE_PX, _PICTURE_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
