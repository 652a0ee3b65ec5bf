"""Defects: errors that are ours. The artist gets one sentence and a report that may be sent."""

from __future__ import annotations

import logging
import platform
import tempfile
import time
import traceback
from pathlib import Path

from .. import __version__
from ..core.errors import LikenessError
from .progress import environment_error

log = logging.getLogger("likeness")


def as_likeness_error(error: BaseException, folder: Path | None = None) -> LikenessError:
    """Any exception as one that may be shown; a defect leaves a report file (text alone, no pictures)."""
    if isinstance(error, LikenessError):
        return error
    known = environment_error(error)
    if known is not None:
        log.error("%s", known, exc_info=error)
        return known
    log.error("defect", exc_info=error)
    report = _write_report(error, folder)
    return LikenessError(
        "defect.unexpected",
        f"Likeness failed in a way that it should not ({type(error).__name__}).",
        f"Please send the report {report}; it contains no pictures.",
    )


def _write_report(error: BaseException, folder: Path | None) -> Path:
    text = "\n".join(
        [
            f"Likeness {__version__}, Python {platform.python_version()}, {platform.platform()}",
            time.strftime("%Y-%m-%d %H:%M:%S"),
            "".join(traceback.format_exception(error)),
        ]
    )
    name = time.strftime("likeness-report-%Y%m%d-%H%M%S.txt")
    for place in (folder, Path(tempfile.gettempdir())):
        if place is None or not place.is_dir():
            continue
        try:
            (place / name).write_text(text, encoding="utf-8")
            return place / name
        except OSError:
            log.warning("no report could be written to %s", place)
    return Path(name)
