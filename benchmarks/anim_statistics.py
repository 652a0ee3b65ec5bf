"""Means over people with paired bootstrap intervals: which order of two rows may be claimed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import stats

DRAWS = 4000
# Share of the table's people whose mean lies within the interval.
LEVEL = 95.0


def person_means(rows: Iterable[tuple[int, float]]) -> dict[int, float]:
    """Mean over the views of each person; views without a figure (nan) do not count, nor people without any."""
    found: dict[int, list[float]] = defaultdict(list)
    for person, value in rows:
        if np.isfinite(value):
            found[person].append(value)
    return {person: float(np.mean(values)) for person, values in found.items()}


def interval(values: NDArray, seed: int = 0) -> tuple[float, float]:
    """Limits of the bootstrap interval of the mean of (N,) values; nan of fewer than three.

    Percentiles of few people's means are too close to the middle: widened as Student's t asks (Hesterberg 2015).
    """
    if len(values) < 3:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(len(values), size=(DRAWS, len(values)))
    tails = np.array([(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    limits = np.percentile(values[drawn].mean(axis=1), tails)
    wider = np.sqrt(len(values) / (len(values) - 1)) * stats.t.ppf(tails[1] / 100, len(values) - 1)
    low, high = values.mean() + (limits - values.mean()) * wider / stats.norm.ppf(tails[1] / 100)
    return float(low), float(high)


def difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> tuple[float, float, float]:
    """Mean and interval of ours - theirs over the people that both have."""
    shared = sorted(ours.keys() & theirs.keys())
    gaps = np.array([ours[k] - theirs[k] for k in shared])
    return (float(gaps.mean()), *interval(gaps)) if len(gaps) else (float("nan"),) * 3


def claimed(ours: Mapping[int, float], theirs: Mapping[int, float]) -> str:
    """'<' or '>' where the interval of the paired difference leaves zero out, '~' where no order may be claimed."""
    _, low, high = difference(ours, theirs)
    if not np.isfinite(low):
        return "~"
    return "<" if high < 0 else ">" if low > 0 else "~"
