"""What the command line shows: a bar with stage and remaining time, or one JSON event a line."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

from .core.errors import EXIT_OK, LikenessError

_STAGE_WORDS = {
    "read": "Reading",
    "body": "Fitting the body",
    "surface": "Shaping the surface",
    "colour": "Colour and rig",
    "write": "Writing",
    "render": "Rendering",
    "people": "Making people",
}


class Terminal:
    """Progress on standard error, results on standard output."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._bar = sys.stderr.isatty()
        self._stage = ""

    def progress(self, event: dict[str, Any]) -> None:
        """Show one progress event."""
        if self._as_json:
            self._line({"event": "progress", **event})
            return
        number = event["stages"].index(event["stage"]) + 1
        words = _STAGE_WORDS.get(event["stage"], event["stage"])
        left = f"{int(event['remaining_s']) // 60}:{int(event['remaining_s']) % 60:02d} left"
        if self._bar:
            filled = int(event["fraction"] * 24)
            bar = f"[{'#' * filled}{'.' * (24 - filled)}]"
            text = f"{bar} {event['fraction']:4.0%}  {words}, {left}  {event['message']}"
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r" + text[:width].ljust(width))
            sys.stderr.flush()
        elif event["stage"] != self._stage:
            sys.stderr.write(f"{number} of {len(event['stages'])}  {words}, {left}\n")
            sys.stderr.flush()
        self._stage = event["stage"]

    def done(self, facts: dict[str, Any]) -> int:
        """Say what was made."""
        if self._as_json:
            self._line({"event": "done", **facts})
        else:
            self._end_bar()
            self._say("\n".join(f"{key}: {value}" for key, value in facts.items()))
        return EXIT_OK

    def table(self, facts: dict[str, Any]) -> int:
        """Show facts, one a line, or all as one JSON object."""
        if self._as_json:
            self._line(facts)
            return EXIT_OK
        for key, value in facts.items():
            if value is None or value == {}:
                continue
            if isinstance(value, list | tuple):
                self._say(f"{key}: {'none' if not value else ''}")
                for item in value:
                    self._say(f"  - {item}")
            elif isinstance(value, dict):
                self._say(f"{key}: " + ", ".join(f"{k} {v}" for k, v in value.items()))
            else:
                self._say(f"{key}: {value}")
        return EXIT_OK

    def fail(self, error: LikenessError) -> int:
        """Say what went wrong and what to do. Returns the exit code."""
        if self._as_json:
            self._line({"event": "failed", **error.to_dict()})
        self._end_bar()
        sys.stderr.write(f"{error.message}\n{error.hint}\n" if error.hint else f"{error.message}\n")
        return error.exit_code

    def _end_bar(self) -> None:
        if self._bar and self._stage:
            sys.stderr.write("\n")
            self._stage = ""

    @staticmethod
    def _line(data: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(data, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()

    @staticmethod
    def _say(text: str) -> None:
        sys.stdout.write(text + "\n")
