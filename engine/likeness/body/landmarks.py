"""People in a picture: BlazePose landmarks of everyone found, whatever way up and however small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from likeness.body.blazepose import Detection, Networks, Picture, PoseAnswer, Region, networks, region_between
from likeness.core.keypoints import NAMES

# A person is believed when the landmark network says so; the detector alone also fires on trousers on a line.
MIN_PERSON_SCORE = 0.5
MIN_DETECTION_SCORE = 0.4
# Smaller people give no usable avatar, and noise and foliage look like them.
MIN_PERSON_PX = 48.0
# Behind transparent pixels: a grey that is neither skin nor a common background of training pictures.
BACKDROP = 128
MIRROR = tuple(NAMES.index(name.replace("left", "~").replace("right", "left").replace("~", "right")) for name in NAMES)


@dataclass(frozen=True)
class Landmarks:
    """What BlazePose sees of one person.

    points (33, 2) px, depth_z (33,) px (smaller is nearer), visibility and presence (33,) 0..1, world (33, 3) m in
    camera axes with the hips' middle at the origin, score 0..1, box (4,) px x0 y0 x1 y1 of the body, region and mask
    (256, 256) logits of the turned square crop that the person was seen in. hands (2, 21, 3): px, px and confidence of
    the left and the right hand's points as somebody gave them, or None.
    """

    points: np.ndarray
    depth_z: np.ndarray
    visibility: np.ndarray
    presence: np.ndarray
    world: np.ndarray
    score: float
    box: np.ndarray
    region: Region
    mask: np.ndarray
    hands: np.ndarray | None = None


def detect(color: np.ndarray) -> list[Landmarks]:
    """Everyone in a picture (H, W, 3 or 4) uint8, best first (large and sure before small and doubtful).

    Transparent pixels are replaced by grey. Looks at the whole picture and at large tiles; with quarter turns and at
    small tiles only while nobody (or nobody large) was found. Nobody gives an empty list.
    """
    picture = Picture(over_grey(color))
    net = networks()
    people: list[Landmarks] = []
    for views, only_if_small in _searches(picture):
        largest = max((_height(person) for person in people), default=0.0)
        if only_if_small and largest > 0.35 * min(picture.width, picture.height):
            continue
        for view in views:
            for detection in net.people(picture, view, MIN_DETECTION_SCORE):
                _add(people, look(net, picture, detection))
    return sorted(people, key=lambda person: -person.score * _height(person))


def look_at(color: np.ndarray, hips: np.ndarray, reach: np.ndarray) -> Landmarks:
    """Landmarks (however doubtful, see `score`) of somebody who is known to be in a picture (H, W, 3 or 4) uint8.

    hips (2,) px: the middle of the hips; reach (2,) px: a point on the circle around the body, above the head.
    """
    picture, net = Picture(over_grey(color)), networks()
    answer = net.pose(picture, region_between(hips, reach))
    again = net.pose(picture, answer.next_region) if answer.score >= MIN_PERSON_SCORE else answer
    return _landmarks(max(answer, again, key=lambda each: each.score))


def over_grey(color: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3 or 4) uint8 as (H, W, 3) uint8, transparent pixels over neutral grey."""
    if color.shape[2] == 3:
        return color
    alpha = color[:, :, 3:].astype(np.float32) / 255.0
    return np.round(color[:, :, :3] * alpha + BACKDROP * (1.0 - alpha)).astype(np.uint8)


def _searches(picture: Picture) -> list[tuple[list[Region], bool]]:
    """Groups of windows to search; the flag marks those that are worth it only while nobody large was found."""
    longest = float(max(picture.width, picture.height))
    middle = np.array([picture.width - 1, picture.height - 1]) / 2.0
    whole = [Region(middle, longest), Region(middle, 1.6 * longest)]
    turned = [Region(middle, 1.2 * longest, quarter * np.pi / 2) for quarter in (1, -1, 2)]
    return [
        (whole, False),
        (turned, True),
        (_tiles(picture, 0.6 * longest), False),
        (_tiles(picture, 0.33 * longest), True),
    ]


def _tiles(picture: Picture, side: float) -> list[Region]:
    """Square windows that cover the picture and overlap by a third or more."""
    counts = [1 if extent <= side else int(np.ceil((extent - side) / (0.65 * side))) + 1
              for extent in (picture.width, picture.height)]  # fmt: skip
    columns, rows = (
        np.array([(extent - 1) / 2]) if count == 1 else np.linspace(side / 2, extent - side / 2, count)
        for extent, count in zip((picture.width, picture.height), counts, strict=True)
    )
    return [Region(np.array([x, y]), side) for y in rows for x in columns]


def look(net: Networks, picture: Picture, detection: Detection) -> Landmarks | None:
    """Landmarks for a detection, looked at twice: the second crop is centred on what the first one found."""
    region = region_between(detection.keypoints[0], detection.keypoints[1])
    answer = net.pose(picture, region)
    if answer.score < 0.25:
        return None
    again = net.pose(picture, answer.next_region)
    best = again if again.score >= answer.score - 0.1 else answer
    person = _landmarks(best)
    return person if best.score >= MIN_PERSON_SCORE and _height(person) >= MIN_PERSON_PX else None


def _landmarks(answer: PoseAnswer) -> Landmarks:
    sure = answer.presence > 0.5
    points = answer.points[sure] if sure.sum() >= 4 else answer.points
    box = np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float32)
    return Landmarks(
        points=answer.points,
        depth_z=answer.depth_z,
        visibility=answer.visibility,
        presence=answer.presence,
        world=answer.world,
        score=answer.score,
        box=box,
        region=answer.region,
        mask=answer.mask,
    )


def _add(people: list[Landmarks], person: Landmarks | None) -> None:
    """Add a person unless they are already known; of two views of one person keep the surer one."""
    if person is None:
        return
    for index, known in enumerate(people):
        if max(_share_inside(person, known), _share_inside(known, person)) > 0.6:
            if person.score > known.score + 0.02 and _height(person) > 0.7 * _height(known):
                people[index] = person
            return
    people.append(person)


def _share_inside(person: Landmarks, known: Landmarks) -> float:
    """The share of a person's body points (0..1) that lie on somebody known, by the latter's own mask."""
    body = person.points[11:][person.presence[11:] > 0.5]
    if len(body) == 0:
        return 0.0
    side = known.mask.shape[0]
    cells = np.floor(known.region.to_crop(body) * side).astype(int)
    valid = ((cells >= 0) & (cells < side)).all(axis=1)
    cells = cells.clip(0, side - 1)
    return float((valid & (known.mask[cells[:, 1], cells[:, 0]] > 0)).mean())


def _height(person: Landmarks) -> float:
    return float(max(person.box[2] - person.box[0], person.box[3] - person.box[1]))
