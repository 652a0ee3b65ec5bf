# SPDX-License-Identifier: GPL-3.0-or-later
"""One child process that talks in lines: started, read without blocking, and ended for certain.

Two threads move bytes between pipes and queues and do nothing else; everything that decides runs in tick(), on the
thread of the caller. Neither bpy nor the engine is imported here.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

#: Variables by which Blender's Python would leak into the child's.
_LEAKS = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
MAX_LOG_BYTES = 4 << 20


def clean_environment() -> dict[str, str]:
    """The environment of a child that must find its own packages only."""
    kept = {key: value for key, value in os.environ.items() if key not in _LEAKS}
    return kept | {"PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


class ChildProcess:
    """A running child. `lines()` gives what it printed, `exit_code` is None while it lives.

    grace_s: how long it may take to leave after its input was closed, and again after it was asked to terminate.
    """

    def __init__(self, command: Sequence[str], log_path: Path, *, max_line_bytes: int, grace_s: float = 5.0) -> None:
        self.log_path = log_path
        self.grace_s = grace_s
        self._inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._max_line = max_line_bytes
        self._ending_since: float | None = None
        self._terminated = False
        self.output_ended = False
        keep = log_path.is_file() and log_path.stat().st_size < MAX_LOG_BYTES
        with open(log_path, "ab" if keep else "wb") as log:
            log.write(f"\n--- {time.strftime('%Y-%m-%d %H:%M:%S')} started\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=clean_environment(),
                **_own_group(),
            )
        for work in (self._read, self._write):
            threading.Thread(target=work, name="likeness-pipe", daemon=True).start()

    def _read(self) -> None:
        """Thread: lines from the child to the queue; None marks the end."""
        stream = self._process.stdout
        assert stream is not None
        with contextlib.suppress(OSError, ValueError):
            while line := stream.readline(self._max_line + 1):
                self._inbox.put(line)
        self._inbox.put(None)

    def _write(self) -> None:
        """Thread: lines from the queue to the child, so that a child that does not read never blocks Blender."""
        stream = self._process.stdin
        assert stream is not None
        with contextlib.suppress(OSError, ValueError):
            while (line := self._outbox.get()) is not None:
                stream.write(line)
                stream.flush()
        with contextlib.suppress(OSError, ValueError):
            stream.close()

    def send(self, line: bytes) -> None:
        """Queue one line for the child's standard input."""
        self._outbox.put(line)

    def lines(self, budget_s: float) -> Iterator[bytes]:
        """Lines that have arrived, until there are no more or the time is spent."""
        end = time.monotonic() + budget_s
        while time.monotonic() < end:
            try:
                line = self._inbox.get_nowait()
            except queue.Empty:
                return
            if line is None:
                self.output_ended = True
                return
            yield line

    @property
    def exit_code(self) -> int | None:
        """None while the process lives."""
        return self._process.poll()

    @property
    def ending(self) -> bool:
        """Whether end() was called."""
        return self._ending_since is not None

    def end(self) -> None:
        """Ask the child to leave by closing its input; tick() becomes firmer as time passes."""
        if self._ending_since is None:
            self._ending_since = time.monotonic()
            self._outbox.put(None)

    def interrupt(self) -> None:
        """Ask the child to terminate now, for one that does not watch its input."""
        self.end()
        self._terminate()

    def tick(self) -> None:
        """Terminate a child that was asked to leave and did not, then kill it."""
        if self._ending_since is None or self.exit_code is not None:
            return
        waited = time.monotonic() - self._ending_since
        if waited > 2 * self.grace_s:
            self.kill()
        elif waited > self.grace_s and not self._terminated:
            self._terminate()

    def _terminate(self) -> None:
        self._terminated = True
        self._signal(getattr(signal, "SIGTERM", 15))

    def kill(self) -> None:
        """End the child and what it started, at once."""
        self._signal(getattr(signal, "SIGKILL", 9))

    def _signal(self, number: int) -> None:
        with contextlib.suppress(OSError):  # it has just ended by itself
            if sys.platform == "win32":
                self._process.terminate()
            else:
                os.killpg(self._process.pid, number)

    def close(self, limit_s: float = 3.0) -> None:
        """End it and wait, for the moments when nobody will call tick() again: unregister, Blender's exit."""
        self.end()
        for step in (None, self._terminate, self.kill):
            if step is not None:
                step()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(limit_s / 3)
                return


def _own_group() -> dict[str, Any]:
    """Popen arguments that keep Ctrl+C in Blender's terminal away from the child, and no console on Windows."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}
