"""Which pixels are the person: from the file, alpha, depth that is cut out, or the segmenter, in this order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from likeness.core.errors import LikenessError

from .files import Blob
from .grids import Grid
from .masks import (
    alpha_mask,
    binary,
    bodies,
    decode_mask,
    fit_mask,
    hides_something,
    is_cut_out,
    smooth_resize,
    without_specks,
)
from .people import Crowd, check_index
from .sources import Sources

#: Least share of the picture that a person covers.
_LEAST_SHARE = 0.002


@dataclass(frozen=True)
class Choice:
    """mask (H, W) bool of one person on colour's grid. source: file, alpha, depth or segmenter. people: how many."""

    mask: np.ndarray
    source: str
    people: int
    notes: tuple[str, ...]


def choose_mask(sources: Sources, grid: Grid, person: int, crowd: Crowd) -> Choice:
    """The mask of the person asked for (counted from 0).

    Raises `capture.empty_mask`, `capture.mask_size`, `capture.no_person`, `capture.person`.
    """
    cut_out = is_cut_out(grid.depth)
    seen = smooth_resize(grid.depth > 0, grid.size)
    if sources.mask is not None:
        mask, notes = _given_mask(sources.mask, grid, sources.name)
        if mask.mean() > 0.98 and cut_out:
            return choice_of_bodies(mask & seen, "depth", person, sources.name, notes)
        return choice_of_bodies(mask, "file", person, sources.name, notes)
    if grid.alpha is not None and hides_something(grid.alpha):
        return choice_of_bodies(alpha_mask(grid.alpha, sources.color.name), "alpha", person, sources.name, ())
    if cut_out:
        return choice_of_bodies(seen, "depth", person, sources.name, ())
    return segmented(crowd, person, sources.name)


def _given_mask(given: Blob | np.ndarray, grid: Grid, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    if isinstance(given, Blob):
        mask, notes = decode_mask(given, grid.size)
        return grid.straight_mask(mask), notes
    mask = binary(np.squeeze(given)) if given.dtype.kind in "biuf" else np.zeros((0, 0), bool)
    if mask.ndim != 2 or not mask.any():
        raise LikenessError(
            "capture.empty_mask", f"The mask in {name} selects nothing.", "Remove it to let Likeness find the person."
        )
    return grid.straight_mask(fit_mask(mask, grid.size, name)), ()


def choice_of_bodies(mask: np.ndarray, source: str, person: int, name: str, notes: tuple[str, ...]) -> Choice:
    """One of the people that a mask shows, with a note where there are several."""
    people = bodies(mask)
    check_index(len(people), person, name)
    return _checked(Choice(people[person], source, len(people), (*notes, *several(len(people), person))), name)


def segmented(crowd: Crowd, person: int, name: str) -> Choice:
    """The person asked for as the segmenter sees them. Raises `capture.no_person`, `capture.person`."""
    soft = crowd.silhouette(person, name)
    mask = without_specks(ndimage.binary_fill_holes(soft > 0.5) & (soft > 0.1))
    count = len(crowd.people())
    return _checked(Choice(mask, "segmenter", count, several(count, person)), name)


def several(count: int, person: int) -> tuple[str, ...]:
    """The note that tells an artist that others are in the picture."""
    return (f"Person {person + 1} of {count}.",) if count > 1 else ()


def _checked(choice: Choice, name: str) -> Choice:
    if choice.mask.mean() < _LEAST_SHARE:
        raise LikenessError(
            "capture.no_person",
            f"Nobody was found in {name}: what is masked covers {100 * choice.mask.mean():.2f} % of the picture.",
            "Choose a picture that shows a person from head to feet, or give another mask.",
        )
    return choice
