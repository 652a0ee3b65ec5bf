"""How long-running code tells how far it is, and how it learns that it was cancelled."""

from __future__ import annotations

from typing import Protocol


class Report(Protocol):
    """Called a few times a second with the share done (0..1) and one short sentence.

    Raises LikenessError("job.cancelled") when the artist has cancelled: let it pass through.
    """

    def __call__(self, fraction: float, message: str = "") -> None: ...


def quiet(fraction: float, message: str = "") -> None:
    """A report that nobody reads: the default of every stage."""
    del fraction, message


def part(report: Report, start: float, end: float) -> Report:
    """A report for a sub-task that fills start..end of its parent."""

    def scaled(fraction: float, message: str = "") -> None:
        report(start + (end - start) * min(max(fraction, 0.0), 1.0), message)

    return scaled
