"""Places of a person's joints in a picture, as an artist or another detector gives them.

Our own layout is a small JSON: {"format": "likeness-keypoints", "width": W, "height": H, "points": {name: [x, y,
confidence]}}, pixels of the picture (integer coordinates are pixel centres), names of NAMES; the confidence may be left
out. "hands": {"left": [21 such points], "right": [...]} says where fingers are: wrist, then thumb, index, middle, ring
and pinky, four each from the palm out, confidence 0 where one is not known. Read as well: OpenPose's JSON (BODY_25,
COCO-18, with hands) and COCO's person keypoints (17 points).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .errors import LikenessError
from .files import read_json

FORMAT = "likeness-keypoints"
NAMES = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
_SIDED = ("shoulder", "elbow", "wrist")
#: OpenPose's points in its order; those without a name here (neck, hip's middle, little toe) are not used.
BODY_25 = (
    "nose", "", *(f"right_{n}" for n in _SIDED), *(f"left_{n}" for n in _SIDED), "",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
    "left_foot_index", "", "left_heel", "right_foot_index", "", "right_heel",
)  # fmt: skip
COCO_18 = (
    "nose", "", *(f"right_{n}" for n in _SIDED), *(f"left_{n}" for n in _SIDED),
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
COCO_17 = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
_LAYOUTS = {len(layout): layout for layout in (BODY_25, COCO_18, COCO_17)}
#: How many points a hand has, in OpenPose's files and in ours, and which of them have a name among the body's.
HAND_POINTS = 21
_HAND = {2: "thumb", 5: "index", 17: "pinky"}
#: COCO's visibility: not labelled, hidden, seen.
_COCO_CONFIDENCE = {0: 0.0, 1: 0.5, 2: 1.0}
_MAX_PEOPLE = 1000
_MAX_PX = 1e6

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Keypoints:
    """One person's points: name of NAMES -> x, y in pixels and confidence 0..1; nothing else is known.

    size: (width, height) of the picture that the pixels belong to, None where the file does not say. hands: `left`,
    `right` -> HAND_POINTS points of a hand, see above.
    """

    points: dict[str, Point] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    hands: dict[str, tuple[Point, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, in our own layout."""
        size = {} if self.size is None else {"width": self.size[0], "height": self.size[1]}
        rounded = {name: [round(value, 3) for value in point] for name, point in self.points.items()}
        hands = {side: [[round(value, 3) for value in point] for point in hand] for side, hand in self.hands.items()}
        return {"format": FORMAT, **size, "points": rounded, **({"hands": hands} if hands else {})}

    def scaled_to(self, width: int, height: int, name: str = "the keypoints") -> Keypoints:
        """The points in a picture of another size. Raises LikenessError("keypoints.size") for another shape of it."""
        if self.size is None or self.size == (width, height):
            return replace(self, size=(width, height))
        across, down = width / self.size[0], height / self.size[1]
        if abs(self.size[0] * down - width) > 2 + 0.005 * width:
            raise LikenessError(
                "keypoints.size",
                f"{name}: belongs to a picture of {self.size[0]} x {self.size[1]} pixels, and this one has "
                f"{width} x {height}.",
                "Give the keypoints of this picture.",
            )

        def moved(point: Point) -> Point:
            return (point[0] + 0.5) * across - 0.5, (point[1] + 0.5) * down - 0.5, point[2]

        points = {key: moved(point) for key, point in self.points.items()}
        hands = {side: tuple(map(moved, hand)) for side, hand in self.hands.items()}
        return Keypoints(points, (width, height), hands)


def read_keypoints(path: Path) -> list[Keypoints]:
    """Everyone in a keypoint file, at least one. Raises LikenessError("keypoints.unreadable")."""
    path = Path(path).expanduser()
    return parse_keypoints(read_json(path, "keypoints.unreadable"), path.name)


def parse_keypoints(data: Any, name: str = "the keypoints") -> list[Keypoints]:
    """Everyone in the contents of a keypoint file; points of no confidence are left out.

    Raises LikenessError("keypoints.unreadable") with `name`, one sentence.
    """
    try:
        people = [person for person in _people(data) if person.points]
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise LikenessError(
            "keypoints.unreadable",
            f"{name}: the keypoints cannot be read ({str(error)[:120]}).",
            "Give a file in Likeness's own layout, OpenPose's or COCO's.",
        ) from error
    if not people:
        raise LikenessError(
            "keypoints.unreadable", f"{name}: holds no point of anybody.", "Give the keypoints of this picture."
        )
    return people


def _people(data: Any) -> Iterable[Keypoints]:
    if isinstance(data, Mapping) and "points" in data:
        return [_own(data)]
    if isinstance(data, Mapping) and "people" in data:
        return [_openpose(person) for person in _list(data["people"], "people")]
    if isinstance(data, Mapping) and "annotations" in data:
        size = _coco_size(data.get("images"))
        return [_coco(each, size) for each in _list(data["annotations"], "annotations")]
    if isinstance(data, Mapping) and "keypoints" in data:
        return [_coco(data, None)]
    if isinstance(data, list):
        return [_coco(each, None) for each in _list(data, "the list")]
    raise ValueError("it is none of the layouts that are known")


def _own(data: Mapping[str, Any]) -> Keypoints:
    if data.get("format", FORMAT) != FORMAT:
        raise ValueError("its format is not known")
    points: dict[str, Point] = {}
    for name, value in dict(data["points"]).items():
        if name not in NAMES:
            raise ValueError(f"there is no point called {name!s:.40}")
        if not isinstance(value, list) or len(value) not in (2, 3):
            raise ValueError(f"{name} is not a list of x, y and confidence")
        points |= _point(name, *(_number(v) for v in value))
    size = None
    if "width" in data or "height" in data:
        size = (_whole(data.get("width")), _whole(data.get("height")))
    hands: dict[str, tuple[Point, ...]] = {}
    for side, hand in dict(data.get("hands", {})).items():
        if side not in ("left", "right") or not isinstance(hand, list) or not all(isinstance(p, list) for p in hand):
            raise ValueError("its hands are not lists of points")
        hands[side] = _hand([_number(v) for p in hand for v in (p if len(p) == 3 else [*p, 1.0])])
    return Keypoints(points, size, hands)


def _openpose(person: Any) -> Keypoints:
    numbers = _numbers(person.get("pose_keypoints_2d", []), "pose_keypoints_2d")
    layout = _LAYOUTS.get(len(numbers) // 3)
    if numbers and (layout is None or len(numbers) % 3):
        raise ValueError(f"a person has {len(numbers)} numbers, which is neither BODY_25's 75 nor COCO's 54")
    points = _triples(numbers, layout or ())
    hands: dict[str, tuple[Point, ...]] = {}
    for side in ("left", "right"):
        key = f"hand_{side}_keypoints_2d"
        numbers = _numbers(person.get(key, []), key)
        if not any(numbers[2::3]):
            continue
        hands[side] = _hand(numbers)
        for place, finger in _HAND.items():
            points |= _point(f"{side}_{finger}", *hands[side][place])
    return Keypoints(points, hands=hands)


def _hand(numbers: list[float]) -> tuple[Point, ...]:
    """The points of one hand, confidence 0 where one is not known."""
    if len(numbers) != 3 * HAND_POINTS:
        raise ValueError(f"a hand has {len(numbers)} numbers and not {3 * HAND_POINTS}")
    found = (_point("a finger", *numbers[k : k + 3]) for k in range(0, len(numbers), 3))
    return tuple(next(iter(point.values()), (0.0, 0.0, 0.0)) for point in found)


def _coco(annotation: Any, size: tuple[int, int] | None) -> Keypoints:
    numbers = _numbers(annotation.get("keypoints", []), "keypoints")
    if numbers and len(numbers) != 3 * len(COCO_17):
        raise ValueError(f"a person has {len(numbers)} numbers and not COCO's 51")
    labelled = all(value in _COCO_CONFIDENCE for value in numbers[2::3])
    # Annotations have visibility 0, 1 or 2 as third number; detectors write their confidence there.
    if labelled:
        numbers = [_COCO_CONFIDENCE[int(v)] if k % 3 == 2 else v for k, v in enumerate(numbers)]
    return Keypoints(_triples(numbers, COCO_17), size)


def _coco_size(images: Any) -> tuple[int, int] | None:
    """The picture's size, where the file is about one picture."""
    if not isinstance(images, list) or not images:
        return None
    if len(images) > 1:
        raise ValueError(f"it is about {len(images)} pictures")
    if "width" not in images[0] or "height" not in images[0]:
        return None
    return _whole(images[0]["width"]), _whole(images[0]["height"])


def _triples(numbers: list[float], layout: tuple[str, ...]) -> dict[str, Point]:
    points: dict[str, Point] = {}
    for place, name in enumerate(layout):
        if name and numbers:
            points |= _point(name, *numbers[3 * place : 3 * place + 3])
    return points


def _point(name: str, x: float, y: float, confidence: float = 1.0) -> dict[str, Point]:
    """One entry, or none where the confidence is zero."""
    if confidence < 0 or abs(x) > _MAX_PX or abs(y) > _MAX_PX:
        raise ValueError(f"{name} lies at {x:g}, {y:g} with confidence {confidence:g}")
    return {name: (x, y, min(confidence, 1.0))} if confidence > 0 else {}


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MAX_PEOPLE:
        raise ValueError(f"{name} is not a list of at most {_MAX_PEOPLE}")
    if not all(isinstance(each, Mapping) for each in value):
        raise ValueError(f"{name} holds something that is not a person")
    return value


def _numbers(value: Any, name: str) -> list[float]:
    if not isinstance(value, list) or len(value) > 3 * 200:
        raise ValueError(f"{name} is not a list of numbers")
    return [_number(v) for v in value]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a number is not usable")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65536:
        raise ValueError("the picture's size is not usable")
    return value
