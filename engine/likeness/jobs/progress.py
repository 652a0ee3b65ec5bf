"""From a stage's own share to what the artist sees: stage, share of the whole, remaining time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.errors import LikenessError, cancelled
from ..core.progress import Report

Emit = Callable[[dict[str, Any]], None]
#: Fewer messages than the panel draws frames, more than an artist can notice as a stall.
_MIN_INTERVAL_S = 0.1


class Tracker:
    """Turns reports of stages into progress events.

    stages: key -> expected seconds on a small machine; their ratio sets the shares, and the time that was really
    spent corrects the estimate as the job goes on.
    """

    def __init__(self, stages: dict[str, float], emit: Emit, cancel: threading.Event | None = None) -> None:
        self.stages = stages
        self.emit = emit
        self.cancel = cancel or threading.Event()
        self.seconds: dict[str, float] = {}
        self.preview: Path | None = None
        self._start = time.monotonic()
        self._last = 0.0
        self._fraction = 0.0

    def check(self) -> None:
        """Raise LikenessError("job.cancelled") when the artist has cancelled."""
        if self.cancel.is_set():
            raise cancelled()

    @contextmanager
    def stage(self, key: str) -> Iterator[Report]:
        """Run one stage; yields the report to hand to it."""
        self.check()
        begun = time.monotonic()
        self._send(key, 0.0, "", force=True)

        def report(fraction: float, message: str = "") -> None:
            self.check()
            self._send(key, fraction, message, force=False)

        yield report
        self.check()
        self.seconds[key] = round(time.monotonic() - begun, 2)
        self._send(key, 1.0, "", force=True)

    def _send(self, key: str, fraction: float, message: str, *, force: bool) -> None:
        now = time.monotonic()
        if not force and now - self._last < _MIN_INTERVAL_S:
            return
        self._last = now
        keys = list(self.stages)
        total = sum(self.stages.values())
        before = sum(self.stages[k] for k in keys[: keys.index(key)])
        done = (before + self.stages[key] * min(max(fraction, 0.0), 1.0)) / total
        self._fraction = max(self._fraction, done)
        self.emit(
            {
                "stage": key,
                "stages": keys,
                "fraction": round(self._fraction, 4),
                "remaining_s": round(self._remaining(now - self._start, self._fraction, total), 1),
                "message": message,
                "preview": str(self.preview) if self.preview else None,
            }
        )

    @staticmethod
    def _remaining(elapsed: float, fraction: float, expected: float) -> float:
        """The plan at first, then more and more what was measured."""
        if fraction <= 0:
            return expected
        measured = elapsed / fraction * (1 - fraction)
        planned = expected * (1 - fraction)
        return fraction * measured + (1 - fraction) * planned


def environment_error(error: BaseException) -> LikenessError | None:
    """The artist's sentence for what a machine lacks; None where the fault is ours."""
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return LikenessError(
            "engine.out_of_memory",
            "The machine has too little free memory for this job.",
            "Close other programs, or choose the Preview quality.",
        )
    if isinstance(error, OSError) and error.errno in (28, 30, 13, 122):
        return LikenessError(
            "output.unwritable",
            f"A file cannot be written ({error.strerror}).",
            "Make room on the disk, or choose another place.",
        )
    if isinstance(error, ModuleNotFoundError):
        return LikenessError(
            "environment.package",
            f"The engine lacks the package {error.name}.",
            "Run `python3 install/bootstrap.py engine`, or Set up engine in Blender.",
        )
    return None
