"""`likeness synthesize`: a folder of clothed people with their truth."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.errors import LikenessError, cancelled
from ..core.files import output_error
from ..core.progress import Report
from ..synthesis.dataset import is_complete, person_folder, write_person
from ..synthesis.depth_sensors import SENSORS
from ..synthesis.pack import SPLITS, load_pack
from ..synthesis.sample import Settings, make_sample
from .device import resolve_device
from .progress import Emit, Tracker

#: What one person with eight views takes on one core, for the first estimate.
_SECONDS_A_PERSON = 20.0
_POLL_S = 0.2


@dataclass(frozen=True)
class SynthesizeOptions:
    """count people from `first` on, written below `out`; workers processes share them. pack: another pack's folder."""

    out: Path
    settings: Settings
    count: int = 8
    first: int = 0
    workers: int = 1
    pack: Path | None = None


def run_synthesize_job(options: SynthesizeOptions, emit: Emit, cancel: threading.Event | None = None) -> list[Path]:
    """Write the people that are not there yet; returns the folders of all.

    Raises LikenessError("usage.*", "input.pack", "output.unwritable", "job.cancelled").
    """
    options = replace(options, settings=_checked(options))
    out = options.out.expanduser()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(out, error) from error
    load_pack(options.pack)
    indices = range(options.first, options.first + options.count)
    missing = [i for i in indices if not is_complete(out, i, options.settings)]
    tracker = Tracker({"people": _SECONDS_A_PERSON * max(len(missing), 1) / options.workers}, emit, cancel)
    with tracker.stage("people") as report:
        if options.workers == 1 or len(missing) < 2:
            for done, index in enumerate(missing):
                report(done / len(missing), f"Person {done + 1} of {len(missing)}")
                _make(out, options.settings, index, options.pack, tracker.cancel)
        else:
            _make_all(out, options, missing, report)
    return [person_folder(out, index) for index in indices]


def sensor_names(text: str) -> tuple[str, ...]:
    """'all', or names with commas between them."""
    return tuple(SENSORS) if text == "all" else tuple(name.strip() for name in text.split(",") if name.strip())


def _checked(options: SynthesizeOptions) -> Settings:
    settings = options.settings
    unknown = [name for name in settings.sensors if name not in SENSORS]
    if unknown:
        raise LikenessError(
            "usage.sensor", f"There is no sensor model {unknown[0]}.", f"Choose among: {', '.join(SENSORS)}."
        )
    if settings.split not in SPLITS:
        raise LikenessError(
            "usage.split", f"There is no split {settings.split}.", f"Choose among: {', '.join(SPLITS)}."
        )
    limits: dict[str, tuple[float, float, float]] = {
        "count": (options.count, 1, 10**6),
        "first": (options.first, 0, 10**6),
        "views": (settings.views, 1, 100),
        "size": (settings.size, 64, 2048),
        "points": (settings.points, 0, 10**7),
        "avatars": (settings.avatars, 0, 1),
        "workers": (options.workers, 1, max(os.cpu_count() or 1, 2)),
    }
    for name, (value, least, most) in limits.items():
        if not least <= value <= most:
            raise LikenessError("usage.value", f"--{name} {value} is out of range.", f"Give {least} to {most}.")
    return replace(settings, device=resolve_device(settings.device))


def _make(out: Path, settings: Settings, index: int, pack: Path | None, cancel: threading.Event | None = None) -> None:
    def report(fraction: float, message: str = "") -> None:
        del fraction, message
        if cancel is not None and cancel.is_set():
            raise cancelled()

    write_person(out, make_sample(load_pack(pack), settings, index, report))


def _start_worker() -> None:
    """One core a worker: torch's own threads would only get in the way of the other workers."""
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _make_all(out: Path, options: SynthesizeOptions, indices: list[int], report: Report) -> None:
    """Share the people out among processes; at most two wait for each, so that cancelling is quick."""
    # A fork starts at once where a fresh process imports for seconds; graphics cards do not survive it.
    forks = sys.platform == "linux" and options.settings.device == "cpu" and threading.active_count() == 1
    context = multiprocessing.get_context("fork" if forks else "spawn")
    with ProcessPoolExecutor(options.workers, context, _start_worker) as pool:
        left, running, done = list(indices), set[Future[None]](), 0
        try:
            while left or running:
                while left and len(running) < options.workers + 1:
                    running.add(pool.submit(_make, out, options.settings, left.pop(0), options.pack))
                finished, running = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                    done += 1
                report(done / len(indices), f"Person {min(done + 1, len(indices))} of {len(indices)}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list((pool._processes or {}).values()):
                process.terminate()
            time.sleep(_POLL_S)
            raise
