"""Space in sight from afar, against a walk voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.synthesis.carving import SIGHT, seen_from_afar
from scipy import ndimage


def walked(wall: np.ndarray) -> np.ndarray:
    """The same by following every line from every voxel until it leaves the box."""
    thick = ndimage.binary_dilation(wall)

    def is_open(place: np.ndarray) -> bool:
        inside = (place >= 0).all() and (place < thick.shape).all()
        return not (inside and thick[tuple(place)])

    def in_sight(place: np.ndarray, step: np.ndarray) -> bool:
        lead = int(np.argmax(np.abs(step)))
        while 0 <= place[lead] < thick.shape[lead]:
            if not is_open(place):
                return False
            before = place - np.sign(step[lead]) * np.eye(3, dtype=int)[lead]
            if abs(step[lead]) == 2 and 0 <= before[lead] < thick.shape[lead]:
                aside = np.where(np.arange(3) == lead, 0, step)
                if not (is_open(before - aside // 2) or is_open(before - (aside - aside // 2))):
                    return False
            place = place - step
        return True

    seen = np.zeros_like(wall)
    for place in np.ndindex(*wall.shape):
        seen[place] = any(in_sight(np.array(place), np.array(step)) for step in SIGHT)
    return ndimage.binary_dilation(seen, iterations=2, mask=~wall) & ~wall


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.03, 0.12, 0.3]))
@settings(max_examples=8, deadline=None)
def test_it_agrees_with_a_walk_along_every_line(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    wall = rng.random(tuple(rng.integers(3, 9, 3))) < share
    np.testing.assert_array_equal(seen_from_afar(wall), walked(wall))


@pytest.mark.parametrize("opening", [False, True])
def test_a_closed_box_stays_dark_and_an_open_one_does_not(opening: bool) -> None:
    wall = np.zeros((24, 24, 24), bool)
    wall[6:18, 6:18, 6:18] = True
    wall[7:17, 7:17, 7:17] = False
    if opening:
        wall[6, 7:17, 7:17] = False
    seen = seen_from_afar(wall)
    assert seen[12, 12, 12] == opening
    assert seen[0].all() and not (seen & wall).any()
