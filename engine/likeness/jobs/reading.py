"""From a request's files to one person in one picture, and where that person's joints are seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..body.given_points import seen_at, with_keypoints
from ..body.landmarks import BACKDROP, Landmarks, detect
from ..body.model import BodyModel
from ..capture import read_capture, read_photo
from ..capture.people import DEFAULT_FINDER, PeopleFinder
from ..core.capture import Capture
from ..core.errors import LikenessError
from ..core.keypoints import Keypoints, read_keypoints
from .request import AvatarRequest

#: Someone else in the picture shares a point or two with the mask; the person under it shares most of them.
_LEAST_SHARE = 0.4


def read_input(request: AvatarRequest, focal_px: float | None = None) -> Capture:
    """The capture or photo that a request names.

    focal_px: of a photo whose request names none. Raises LikenessError("capture.*", "photo.*", "input.*",
    "keypoints.*").
    """
    finder = _finder(request)
    if request.capture is not None:
        return read_capture(
            Path(request.capture),
            depth=path_of(request.depth),
            intrinsics=path_of(request.intrinsics),
            mask=path_of(request.mask),
            unit=request.unit,
            person=request.person,
            focal_px=request.focal_px,
            finder=finder,
        )
    return read_photo(
        Path(request.photos[0]),
        mask=path_of(request.mask),
        focal_px=request.focal_px or focal_px,
        person=request.person,
        finder=finder,
    )


def path_of(text: str | None) -> Path | None:
    """A path as an artist types it."""
    return Path(text).expanduser() if text else None


def _finder(request: AvatarRequest) -> PeopleFinder | None:
    """With keypoints, the detector is told where to look when it finds nobody by itself."""
    if not request.keypoints:
        return None
    people = read_keypoints(Path(request.keypoints))

    def find(color: np.ndarray) -> Sequence[Landmarks]:
        told = (seen_at(color, _in_picture(person, color.shape, request)) for person in people)
        return detect(color) or [person for person in told if person is not None]

    return PeopleFinder(find, DEFAULT_FINDER.silhouette)


def _in_picture(person: Keypoints, shape: tuple[int, ...], request: AvatarRequest) -> Keypoints:
    return person.scaled_to(shape[1], shape[0], Path(request.keypoints or "").name)


def find_landmarks(capture: Capture, model: BodyModel, request: AvatarRequest) -> Landmarks:
    """Where the joints are seen: by the detector, overridden by the request's keypoints.

    Raises LikenessError("capture.no_person", "keypoints.*").
    """
    if not request.keypoints:
        return find_person(capture)
    people = [_in_picture(each, capture.color.shape, request) for each in read_keypoints(Path(request.keypoints))]
    shares = [_share_of_points(each, capture.mask) for each in people]
    given = people[int(np.argmax(shares))]
    if max(shares) < _LEAST_SHARE:
        raise LikenessError(
            "keypoints.elsewhere",
            f"{Path(request.keypoints).name}: the keypoints do not lie on the person in {capture.name}.",
            "Give keypoints in pixels of this picture.",
        )
    found = _on_mask(capture) or seen_at(capture.color, given)
    return with_keypoints(found, given, model)


def _share_of_points(person: Keypoints, mask: np.ndarray) -> float:
    points = np.array([value[:2] for value in person.points.values()])
    return _share_inside(points, np.ones(len(points)), mask)


def find_person(capture: Capture) -> Landmarks:
    """The landmarks of the person under the capture's mask. Raises LikenessError("capture.no_person")."""
    person = _on_mask(capture)
    if person is None:
        raise LikenessError(
            "capture.no_person",
            f"{capture.name}: nobody can be found in the picture.",
            "Choose a picture that shows one whole person, or say where the joints are with --keypoints.",
        )
    return person


def _on_mask(capture: Capture) -> Landmarks | None:
    # The whole picture first: what a person stands on and holds helps the detector. Then the person alone.
    for picture in (shown(capture), _cut_out(capture)):
        shares = [(_share_inside(person.points, person.presence, capture.mask), person) for person in detect(picture)]
        share, person = max(shares, key=lambda pair: pair[0], default=(0.0, None))
        if person is not None and share > _LEAST_SHARE:
            return person
    return None


def _cut_out(capture: Capture) -> np.ndarray:
    """(H, W, 3) u8: the person on neutral grey."""
    return np.where(capture.mask[..., None], capture.color, np.uint8(BACKDROP))


def shown(capture: Capture) -> np.ndarray:
    """(H, W, 3) u8: the picture as the artist knows it, without what hides under transparent pixels."""
    return _cut_out(capture) if capture.mask_source == "alpha" else capture.color


def _share_inside(points: np.ndarray, weight: np.ndarray, mask: np.ndarray) -> float:
    """How much of weighted points (N, 2) px lies on the mask."""
    cols, rows = np.round(points).clip(-1e6, 1e6).astype(int).T
    inside = (cols >= 0) & (rows >= 0) & (cols < mask.shape[1]) & (rows < mask.shape[0])
    inside[inside] = mask[rows[inside], cols[inside]]
    return float((inside * weight).sum() / max(float(weight.sum()), 1e-6))
