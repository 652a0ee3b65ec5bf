# SPDX-License-Identifier: GPL-3.0-or-later
"""What is going on: the chosen input, the running job, the error to show. One object for one Blender, without bpy.

It lives outside the .blend on purpose: neither undo nor loading another file may lose a job that runs.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .core.errors import CANCELLED, LikenessError
from .engine_client import EngineClient, Limits, engine_command


@dataclass
class Job:
    """The running job as the engine last described it."""

    out: Path
    id: str = ""
    stage: str = ""
    stages: tuple[str, ...] = ()
    fraction: float = 0.0
    remaining_s: float | None = None
    message: str = ""
    preview: Path | None = None
    cancelling_since: float | None = None
    request: str = ""


@dataclass(frozen=True)
class Arrival:
    """A finished avatar folder, or fit, that waits to be brought into the scene. request: JSON, what it was made of."""

    folder: Path
    job: str
    request: str = ""
    is_fit: bool = False


@dataclass
class Session:
    """The panel draws it, operators act on it, tick() moves it on."""

    limits: Limits = field(default_factory=Limits)
    source: Path | None = None
    facts: dict[str, Any] | None = None
    inspecting: bool = False
    job: Job | None = None
    failure: LikenessError | None = None
    retry: Callable[[], None] | None = None
    notice: str = ""
    arrivals: list[Arrival] = field(default_factory=list)
    client: EngineClient | None = None
    command: list[str] | None = None
    #: Counts changes, so that the pump redraws only when there is something new.
    version: int = 0
    _leaving: list[EngineClient] = field(default_factory=list)

    def engine(self, python: str, log_path: Path) -> EngineClient:
        """The running engine, started when there is none. Raises LikenessError("engine.start")."""
        command = engine_command(python)
        if self.client is not None and (not self.client.alive or command != self.command):
            self._leaving.append(self.client)
            if self.client.alive:
                self.client.give_up(LikenessError("engine.changed", "Another engine was chosen."))
            self.client = None
        if self.client is None:
            log_path.parent.mkdir(parents=True, exist_ok=True)
            self.client = EngineClient(command, log_path, self._notified, self._engine_failed, self.limits)
            self.command = command
        return self.client

    def choose(self, source: Path, params: dict[str, Any], engine: EngineClient | None) -> None:
        """Take an input and have the engine look at it, if there is an engine."""
        self.source, self.facts, self.failure, self.notice = source, None, None, ""
        self.inspecting = engine is not None
        self.version += 1
        if engine is None:
            return

        def answered(result: Any, error: LikenessError | None) -> None:
            if self.source != source:
                return  # the artist has chosen something else meanwhile
            self.inspecting = False
            if error is not None:
                self.fail(error, self.retry)
            elif isinstance(result, dict):
                self.facts = result

        engine.call("inspect", {"path": str(source), **params}, answered)

    def create(self, method: str, params: dict[str, Any], out: Path, engine: EngineClient) -> None:
        """Start a job. Raises LikenessError where one is running already."""
        if self.job is not None:
            raise LikenessError(
                "engine.busy", "An avatar is being made already.", "Wait until it is done, or cancel it."
            )
        job = Job(out, request=json.dumps({"method": method, "params": params}))
        self.job, self.failure, self.notice = job, None, ""
        self.version += 1

        def answered(result: Any, error: LikenessError | None) -> None:
            if self.job is not job:
                return
            if error is not None:
                self._job_failed(error)
                return
            job.id = str(result.get("job", "")) if isinstance(result, dict) else ""
            if job.cancelling_since is not None:
                self._send_cancel(engine, job)

        engine.call(method, {**params, "out": str(out)}, answered)

    def cancel(self) -> None:
        """Ask for the running job to stop; tick() ends the engine when it does not."""
        if self.job is None or self.client is None or self.job.cancelling_since is not None:
            return
        self.job.cancelling_since = time.monotonic()
        self.version += 1
        if self.job.id:
            self._send_cancel(self.client, self.job)

    @staticmethod
    def _send_cancel(engine: EngineClient, job: Job) -> None:
        # The answer says only that the message arrived; `failed` with job.cancelled is what ends the job.
        engine.call("cancel", {"job": job.id}, lambda _result, _error: None)

    def tick(self, budget_s: float = 0.02) -> None:
        """Move on: messages, limits, engines that are leaving. Never waits."""
        for old in self._leaving:
            old.tick(0.0)
        self._leaving = [old for old in self._leaving if not old.gone]
        if self.client is None:
            return
        heard = self.client.last_word
        self.client.tick(budget_s)
        if self.client.last_word != heard:
            self.version += 1
        now, job = time.monotonic(), self.job
        if not self.client.alive:
            return
        silence_s = now - self.client.last_word
        if job is None:
            if self.client.ready and not self.inspecting and silence_s > self.limits.idle_s:
                self.client.leave()
                self.version += 1
            return
        if job.cancelling_since is not None and now - job.cancelling_since > self.limits.cancel_s:
            self.client.give_up(LikenessError(CANCELLED, "The job was cancelled."))
        elif silence_s > self.limits.silence_s:
            self.client.give_up(
                LikenessError(
                    "engine.silent",
                    f"The engine has said nothing for {self.limits.silence_s / 60:.0f} minutes and was stopped.",
                    "Try again: it goes on from its last checkpoint.",
                )
            )

    def _notified(self, method: str, params: dict[str, Any]) -> None:
        job = self.job
        if job is None or not job.id or params.get("job") != job.id:
            return
        if method == "progress":
            _update(job, params)
        elif method == "done":
            self.job = None
            result = params.get("fit") or params.get("avatar") or job.out
            self.arrivals.append(Arrival(Path(str(result)), job.id, job.request, is_fit="fit" in params))
        elif method == "failed":
            self._job_failed(
                LikenessError(
                    str(params.get("code", "defect.unknown")),
                    str(params.get("message", "The engine gave up.")),
                    str(params.get("hint", "")),
                )
            )

    def _job_failed(self, error: LikenessError) -> None:
        cancelled = error.code == CANCELLED or (self.job is not None and self.job.cancelling_since is not None)
        self.job = None
        if cancelled:
            self.notice = "Cancelled. Finished stages are kept for the next try."
            self.version += 1
        else:
            self.fail(error, self.retry)

    def _engine_failed(self, error: LikenessError) -> None:
        """The process is of no use any more; a job or an inspection that ran on it has failed with it."""
        self.inspecting = False
        if self.job is not None:
            self._job_failed(error)
        elif error.code != "engine.changed":
            self.fail(error, self.retry)

    def fail(self, error: LikenessError, retry: Callable[[], None] | None = None) -> None:
        """Show an error until it is dismissed. retry: what Try Again does."""
        self.failure, self.retry = error, retry
        self.version += 1

    def dismiss(self) -> None:
        """Put the error or notice away."""
        self.failure, self.notice = None, ""
        self.version += 1

    def forget(self) -> None:
        """Put the chosen input away."""
        self.source, self.facts, self.inspecting = None, None, False
        self.version += 1

    @property
    def busy(self) -> bool:
        """Whether something is under way that tick() has to follow."""
        client = self.client
        starting_or_ending = client is not None and not (client.ready if client.alive else client.gone)
        return bool(self.job or self.inspecting or self.arrivals or self._leaving) or starting_or_ending

    def close(self) -> None:
        """End all engines: Blender quits or the extension is disabled."""
        for engine in (*self._leaving, *([self.client] if self.client else [])):
            engine.close()
        self.client, self.job, self.inspecting = None, None, False
        self._leaving.clear()


def _update(job: Job, params: dict[str, Any]) -> None:
    """Take over what a progress message says, believing no type."""
    job.stage = str(params.get("stage", job.stage))
    stages = params.get("stages")
    job.stages = tuple(str(s) for s in stages) if isinstance(stages, list) else job.stages
    fraction, remaining = params.get("fraction"), params.get("remaining_s")
    if isinstance(fraction, int | float) and fraction == fraction:
        job.fraction = min(max(float(fraction), 0.0), 1.0)
    job.remaining_s = float(remaining) if isinstance(remaining, int | float) else None
    job.message = str(params.get("message") or "")
    preview = params.get("preview")
    job.preview = Path(preview) if isinstance(preview, str) and preview else job.preview


def free_output(folder: Path, name: str, suffix: str = ".avatar") -> Path:
    """NAME.avatar in `folder`, or NAME-002.avatar and so on: nothing is ever overwritten."""
    number, path = 1, folder / f"{name}{suffix}"
    while path.exists():
        number += 1
        path = folder / f"{name}-{number:03d}{suffix}"
    return path


#: File names that say what a picture is, not who is in it.
_NAMELESS = {"color", "colour", "rgb", "depth"}


def capture_of(path: Path) -> Path:
    """The folder, where the artist has clicked on a file inside a capture's folder instead of the folder."""
    if path.is_file() and path.stem.lower() in _NAMELESS | {"intrinsics", "meta", "mask"}:
        folder = path.parent
        has_depth = any(folder.glob("depth.*"))
        if has_depth and any((folder / name).is_file() for name in ("intrinsics.json", "meta.json")):
            return folder
    return path


def avatar_name(source: Path) -> str:
    """A name for the avatar of an input, without characters that a file system minds."""
    stem = source.stem if source.is_file() else source.name
    if source.is_file() and stem.lower() in _NAMELESS:
        stem = source.parent.name
    kept = "".join(c if c.isalnum() or c in " -_" else "_" for c in stem).strip(" _-")
    return kept[:40] or "Avatar"
