"""The job folder: everything that a job needs to be resumed, found again, or understood after a crash."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .errors import LikenessError
from .files import output_error, read_json, read_npz, write_bytes, write_json

KEPT_CHECKPOINTS = 2


class JobFolder:
    """`job.json`, `events.jsonl`, `engine.log`, `checkpoint/`, and `result`, which is written last."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: Path, job: dict[str, Any]) -> JobFolder:
        """Make the folder for a request, or take up an existing one of the same request (that is how jobs resume)."""
        folder = cls(path)
        try:
            (folder.path / "checkpoint").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(folder.path, error) from error
        known = folder.job() if (folder.path / "job.json").exists() else None
        if known is None or known.get("key") != job.get("key"):
            folder.clear()
            write_json(folder.path / "job.json", job)
        return folder

    def job(self) -> dict[str, Any]:
        """The request as it was written. Raises LikenessError("input.job")."""
        job = read_json(self.path / "job.json", "input.job")
        if not isinstance(job, dict):
            raise LikenessError("input.job", f"{self.path.name}: job.json is not a job.", "Start the job again.")
        return job

    def clear(self) -> None:
        """Forget checkpoints, events and result: another request takes the folder over."""
        for file in [*self.path.glob("checkpoint/*.npz"), self.path / "events.jsonl", self.path / "result"]:
            file.unlink(missing_ok=True)

    def event(self, event: dict[str, Any]) -> None:
        """Append one event with its time."""
        line = json.dumps({"time": round(time.time(), 3), **event}, ensure_ascii=False)
        try:
            with open(self.path / "events.jsonl", "a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError as error:
            raise output_error(self.path, error) from error

    def events(self) -> Iterator[dict[str, Any]]:
        """All whole events so far; a line cut by a crash is left out."""
        file = self.path / "events.jsonl"
        if not file.exists():
            return
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event

    @property
    def log(self) -> Path:
        """Where tracebacks and the chatter of libraries go."""
        return self.path / "engine.log"

    def save_checkpoint(self, stage: str, arrays: dict[str, np.ndarray]) -> None:
        """Store the outcome of a stage, whole or not at all; only the last two are kept."""
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        number = 1 + max((int(f.name.split("-", 1)[0]) for f in self._checkpoints()), default=0)
        write_bytes(self.path / "checkpoint" / f"{number:04d}-{stage}.npz", buffer.getvalue())
        for old in self._checkpoints()[:-KEPT_CHECKPOINTS]:
            os.unlink(old)

    def load_checkpoint(self, stage: str) -> dict[str, np.ndarray] | None:
        """The stored outcome of a stage, or None where there is none or it cannot be read."""
        for file in reversed(self._checkpoints()):
            if file.stem.split("-", 1)[1] == stage:
                try:
                    return read_npz(file, "input.checkpoint")
                except LikenessError:
                    return None
        return None

    def _checkpoints(self) -> list[Path]:
        return sorted(self.path.glob("checkpoint/[0-9]*-*.npz"))

    def finish(self, avatar: Path) -> None:
        """Write `result`: the last thing that a job does."""
        write_bytes(self.path / "result", f"{avatar}\n".encode())

    def result(self) -> Path | None:
        """The avatar folder of a finished job."""
        file = self.path / "result"
        return Path(file.read_text(encoding="utf-8").strip()) if file.is_file() else None
