# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's end of the protocol: calls, answers, notifications, and limits on every wait. No bpy here."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .child import ChildProcess
from .core import protocol
from .core.errors import LikenessError

#: answered(result, None) or answered(None, error).
Answer = Callable[[Any, LikenessError | None], None]
#: notified(method, params).
Notified = Callable[[str, dict[str, Any]], None]

#: JSON-RPC calls that may take long: reading a capture and finding the person in it.
CALL_LIMIT_S = 120.0


@dataclass(frozen=True)
class Limits:
    """How long to wait, in seconds. A cold disk and a first import of torch make a start slow."""

    hello_s: float = 120.0
    silence_s: float = 300.0
    cancel_s: float = 5.0
    grace_s: float = 5.0
    #: An engine without work holds half a gigabyte; starting another one takes seconds.
    idle_s: float = 600.0


@dataclass
class _Call:
    method: str
    answered: Answer
    deadline: float


def engine_command(python: str) -> list[str]:
    """How the engine is started: -I keeps Blender's variables and the current folder out of its imports."""
    return [python, "-I", "-X", "utf8", "-m", "likeness", "serve"]


class EngineClient:
    """One engine process. tick() must be called often; nothing else waits.

    failed(error) is called once, when the engine cannot be used any more.
    """

    def __init__(
        self,
        command: list[str],
        log_path: Path,
        notified: Notified,
        failed: Callable[[LikenessError], None],
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.facts: dict[str, Any] = {}
        self.alive = True
        self._notified, self._failed = notified, failed
        self._calls: dict[int, _Call] = {}
        self._number = 0
        self._dead_since: float | None = None
        self.last_word = time.monotonic()
        try:
            self._child = ChildProcess(
                command, log_path, max_line_bytes=protocol.MAX_MESSAGE_BYTES, grace_s=self.limits.grace_s
            )
        except OSError as error:
            raise LikenessError(
                "engine.start",
                f"The engine cannot be started: {command[0]}: {error.strerror or error}.",
                "Press Set Up Engine, or choose another Python in the extension's preferences.",
            ) from error
        self.call("hello", {"protocol": protocol.PROTOCOL_VERSION}, self._greeted, self.limits.hello_s)

    @property
    def ready(self) -> bool:
        """Whether the engine has introduced itself."""
        return self.alive and bool(self.facts)

    def call(self, method: str, params: dict[str, Any], answered: Answer, limit_s: float = CALL_LIMIT_S) -> None:
        """Send a request; its answer arrives in a later tick()."""
        self._number += 1
        # Silence counts from here: an engine without work has nothing to say.
        self.last_word = time.monotonic()
        self._calls[self._number] = _Call(method, answered, time.monotonic() + limit_s)
        self._child.send(protocol.encode(protocol.request(self._number, method, params)))

    def tick(self, budget_s: float = 0.02) -> None:
        """Take in what has arrived, within the time budget, and look after the limits."""
        self._child.tick()
        if not self.alive:
            return
        for line in self._child.lines(budget_s):
            self.last_word = time.monotonic()
            self._take(line)
            if not self.alive:
                return
        if self._child.output_ended or self._child.exit_code is not None:
            self._ended()
        self._check_calls()

    def _take(self, line: bytes) -> None:
        try:
            message = protocol.decode(line)
        except protocol.ProtocolError as error:
            self._fail(
                LikenessError(
                    "engine.garbage",
                    f"The engine sent something that is no message ({error}).",
                    "Press Set Up Engine to install it again, or open the log.",
                )
            )
            return
        if "method" in message:
            params = message.get("params")
            self._notified(str(message["method"]), params if isinstance(params, dict) else {})
            return
        call = self._calls.pop(message["id"], None) if isinstance(message.get("id"), int) else None
        if call is None:
            return
        if "error" in message:
            call.answered(None, _as_error(message["error"]))
        else:
            call.answered(message.get("result"), None)

    def _greeted(self, facts: Any, error: LikenessError | None) -> None:
        theirs = facts.get("protocol") if isinstance(facts, dict) else None
        if error is None and theirs != protocol.PROTOCOL_VERSION:
            error = LikenessError(
                "engine.protocol",
                f"The engine speaks protocol {theirs} and this extension {protocol.PROTOCOL_VERSION}.",
                "Press Set Up Engine to bring both to the same version.",
            )
        if error is not None:
            self._fail(error)
        else:
            self.facts = facts

    def _ended(self) -> None:
        """The output has ended or the process is gone: give the other sign a moment to follow, then say so."""
        now = time.monotonic()
        self._dead_since = self._dead_since or now
        code = self._child.exit_code
        if (code is None or not self._child.output_ended) and now - self._dead_since < 1.0:
            return
        if code == -9:
            what, hint = "was stopped by the system", "Memory may have run out: close programs, or choose Preview."
        elif not self.facts:
            what, hint = "did not start", "Open the log, or press Set Up Engine to install it again."
        else:
            what, hint = f"ended unexpectedly (exit code {code})", "Try again; if it happens again, open the log."
        self._fail(LikenessError("engine.died", f"The engine {what}.", hint))

    def _check_calls(self) -> None:
        now = time.monotonic()
        late = [call for call in self._calls.values() if now > call.deadline]
        if late and self.alive:
            what = "start" if late[0].method == "hello" else f"answer to {late[0].method}"
            self._fail(
                LikenessError("engine.silent", f"The engine did not {what} in time.", "Try again, or open the log.")
            )

    def _fail(self, error: LikenessError) -> None:
        """The engine is of no use any more: end it, tell everyone who waits, once."""
        if not self.alive:
            return
        self.alive = False
        self._child.interrupt()
        waiting, self._calls = list(self._calls.values()), {}
        self._failed(error)
        for call in waiting:
            if call.method != "hello":
                call.answered(None, error)

    def leave(self) -> None:
        """Let an engine without work go, in its own time."""
        self.alive = False
        self._child.end()

    def give_up(self, error: LikenessError) -> None:
        """Stop using the engine for a reason of the caller's; it is terminated, then killed."""
        self._fail(error)

    @property
    def gone(self) -> bool:
        """Whether the process has really ended."""
        return self._child.exit_code is not None

    def close(self) -> None:
        """End the engine and wait for it, briefly."""
        self.alive = False
        self._child.close()


def _as_error(error: Any) -> LikenessError:
    """A JSON-RPC error as the sentence for the artist."""
    data = error.get("data") if isinstance(error, dict) else None
    if isinstance(data, dict) and isinstance(data.get("message"), str):
        return LikenessError(str(data.get("code", "engine.refused")), data["message"], str(data.get("hint", "")))
    text = error.get("message") if isinstance(error, dict) else error
    return LikenessError("engine.refused", f"The engine refused: {text}", "Try again, or open the log.")
