# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the script that makes the engine's environment, and follows how far it is. No bpy here."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .child import ChildProcess
from .core.errors import LikenessError

_MAX_LINE_BYTES = 64 << 10


@dataclass(frozen=True)
class SetupPlan:
    """What is installed where. interpreter: any Python that can run the script; wheelhouse: instead of the network."""

    interpreter: str
    script: Path
    wheel: Path
    target: Path
    wheelhouse: Path | None = None

    @classmethod
    def from_extension(cls, folder: Path, interpreter: str, target: Path, wheelhouse: Path | None) -> "SetupPlan":
        """The plan for the files that came in the extension's zip. Raises LikenessError("engine.wheel")."""
        wheels = sorted((folder / "engine").glob("likeness-*.whl"))
        script = folder / "engine" / "engine_env.py"
        if not wheels or not script.is_file():
            raise LikenessError(
                "engine.wheel", "This copy of the extension came without the engine.", "Install the released zip again."
            )
        return cls(interpreter, script, wheels[-1], target, wheelhouse)

    def command(self) -> list[str]:
        """The command line; -s and -B instead of -I, since the script imports its neighbours."""
        command = [self.interpreter, "-s", "-B", str(self.script), "--json"]
        command += ["--target", str(self.target), "--wheel", str(self.wheel)]
        return command + (["--wheelhouse", str(self.wheelhouse)] if self.wheelhouse else [])


class EngineSetup:
    """A set-up under way: tick() until `finished`; then either `failure` or `python` is set, or neither (stopped)."""

    def __init__(self, plan: SetupPlan, log_path: Path) -> None:
        self.fraction, self.stage, self.message = 0.0, "", "starting"
        self.finished, self.stopping = False, False
        self.failure: LikenessError | None = None
        self.python: str | None = None
        log_path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._child = ChildProcess(plan.command(), log_path, max_line_bytes=_MAX_LINE_BYTES, grace_s=10.0)
        except OSError as error:
            raise LikenessError(
                "engine.setup", f"The set-up cannot be started: {error.strerror or error}.", "Open the log."
            ) from error

    def tick(self, budget_s: float = 0.02) -> None:
        """Take in what the script has said."""
        self._child.tick()
        for line in self._child.lines(budget_s):
            self._take(line)
        if self._child.output_ended and self._child.exit_code is not None and not self.finished:
            self.finished = True
            if self.python is None and self.failure is None and not self.stopping:
                self.failure = LikenessError(
                    "engine.setup", "The set-up of the engine ended unexpectedly.", "Try again, or open the log."
                )

    def _take(self, line: bytes) -> None:
        try:
            event: Any = json.loads(line)
        except ValueError:
            return  # a line for people; it is in the log's neighbourhood and changes nothing
        if not isinstance(event, dict):
            return
        if event.get("event") == "progress":
            fraction = event.get("fraction")
            self.fraction = float(fraction) if isinstance(fraction, int | float) else self.fraction
            self.stage, self.message = str(event.get("stage", "")), str(event.get("message", ""))
        elif event.get("event") == "done":
            self.python = str(event.get("python", ""))
        elif event.get("event") == "failed" and not self.stopping:
            self.failure = LikenessError(
                str(event.get("code", "engine.setup")),
                str(event.get("message", "The set-up failed.")),
                "Try again: it goes on from where it stopped.",
            )

    def stop(self) -> None:
        """Stop; the next set-up goes on from there."""
        self.stopping = True
        self._child.interrupt()

    def close(self) -> None:
        """Stop and wait briefly."""
        self.stopping = True
        self._child.close()
