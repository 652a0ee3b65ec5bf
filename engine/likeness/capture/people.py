"""Who is in a picture: one thin door to the landmark detector and segmenter, so that tests can stand in for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from likeness.core.errors import LikenessError


@dataclass(frozen=True)
class PeopleFinder:
    """detect: (H, W, 3) u8 -> people found, best first (likeness.body.landmarks.Landmarks or like it: `points` (33, 2)
    px, `visibility` (33,), `box`). silhouette: (H, W, 3) u8, one of them -> (H, W) f32 0..1.
    """

    detect: Callable[[np.ndarray], Sequence[Any]]
    silhouette: Callable[[np.ndarray, Any], np.ndarray]


def _detect(color: np.ndarray) -> Sequence[Any]:
    from likeness.body.landmarks import detect

    return detect(color)


def _silhouette(color: np.ndarray, person: Any) -> np.ndarray:
    from likeness.body.person_mask import person_mask

    return person_mask(color, person)


#: The landmark detector and segmenter of likeness.body, loaded when first asked.
DEFAULT_FINDER = PeopleFinder(_detect, _silhouette)


class Crowd:
    """Everyone in one picture, looked for when first asked and only once. color: (H, W, 3) u8."""

    def __init__(self, color: np.ndarray, finder: PeopleFinder | None) -> None:
        self._color = color
        self._finder = finder or DEFAULT_FINDER
        self._found: Sequence[Any] | None = None

    def people(self) -> Sequence[Any]:
        """Landmarks of everyone found, best first."""
        if self._found is None:
            self._found = self._finder.detect(self._color)
        return self._found

    def silhouette(self, person: int, name: str) -> np.ndarray:
        """(H, W) f32 0..1 of one person, counted from 0. Raises `capture.no_person` or `capture.person`."""
        people = self.people()
        if not people:
            raise LikenessError(
                "capture.no_person",
                f"Nobody was found in {name}.",
                "Choose a picture that shows a person from head to feet, or give a mask.",
            )
        check_index(len(people), person, name)
        return np.asarray(self._finder.silhouette(self._color, people[person]), np.float32)


def person_in(mask: np.ndarray, people: Sequence[Any]) -> int | None:
    """Index of the one whose landmarks lie in a mask (H, W) bool most; None where nobody's do."""
    best, best_share = None, 0.3
    for index, person in enumerate(people):
        points = np.rint(np.asarray(person.points)).astype(int)
        inside = (points >= 0).all(axis=1) & (points < mask.shape[::-1]).all(axis=1)
        share = float(mask[points[inside, 1], points[inside, 0]].sum()) / len(points)
        if share > best_share:
            best, best_share = index, share
    return best


def check_index(count: int, person: int, name: str) -> None:
    """Refuse a person that is not there. Raises `capture.person`."""
    if not 0 <= person < count:
        raise LikenessError(
            "capture.person",
            f"Person {person + 1} was asked for, but {name} shows {count}.",
            f"Choose a person from 1 to {count}.",
        )
