"""The engine's end of the protocol: JSON-RPC 2.0 on standard input and output (architecture, section 5).

The first thing that serve() does is to reserve the real standard output for messages and to point descriptor 1 at
standard error, because native libraries print.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any, BinaryIO

from . import __version__
from .core import protocol
from .core.errors import CANCELLED, LikenessError
from .core.protocol import ProtocolError

log = logging.getLogger("likeness")

#: How long a job may take to reach its next report when Blender has gone.
_GRACE_S = 10.0


class Server:
    """Reads requests from one stream, answers on another, runs at most one job in a thread."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._lock = threading.Lock()
        self._job: str | None = None
        self._cancel = threading.Event()
        self._thread: threading.Thread | None = None
        self._pending: threading.Thread | None = None
        self._methods: dict[str, Callable[[dict[str, Any]], Any]] = {
            "hello": self._hello,
            "doctor": self._doctor,
            "inspect": self._inspect,
            "reconstruct": self._avatar,
            "elicit": self._avatar,
            "fit": self._fit,
            "cancel": self._cancel_job,
        }

    def run(self) -> None:
        """Serve until standard input closes; then the running job is stopped at its last checkpoint."""
        while True:
            line = self._source.readline(protocol.MAX_MESSAGE_BYTES + 1)
            if not line:
                break
            if not line.endswith(b"\n") and len(line) > protocol.MAX_MESSAGE_BYTES:
                self._skip_line()
            self._handle(line)
        self._cancel.set()
        if self._thread is not None:
            self._thread.join(_GRACE_S)

    def _skip_line(self) -> None:
        """Read past the rest of a message that is too long, without keeping it."""
        while True:
            rest = self._source.readline(protocol.MAX_MESSAGE_BYTES)
            if not rest or rest.endswith(b"\n"):
                return

    def _handle(self, line: bytes) -> None:
        number: Any = None
        try:
            message = protocol.decode(line)
            number = message.get("id")
            method, params = message.get("method"), message.get("params", {})
            if not isinstance(method, str):
                raise ProtocolError(protocol.INVALID_REQUEST, "A request names no method.")
            if not isinstance(params, dict):
                raise ProtocolError(protocol.INVALID_PARAMS, "Parameters must be an object.")
            if method not in self._methods:
                raise ProtocolError(protocol.METHOD_NOT_FOUND, f"This engine has no method {method}.")
            value = self._methods[method](params)
            if number is not None:
                self._send(protocol.result(number, value))
            self._start_pending()
        except ProtocolError as error:
            self._send(protocol.failure(number, error.number, str(error)))
        except LikenessError as error:
            self._send(protocol.failure(number, protocol.LIKENESS_ERROR, error.message, error.to_dict()))
        except Exception as error:  # noqa: BLE001 - a defect is answered; the engine lives on
            from .jobs.defect import as_likeness_error

            shown = as_likeness_error(error)
            self._send(protocol.failure(number, protocol.INTERNAL_ERROR, shown.message, shown.to_dict()))

    def _start_pending(self) -> None:
        """Start the job only now: the answer with its id has to precede its first notification."""
        if self._pending is not None:
            self._thread, self._pending = self._pending, None
            self._thread.start()

    def _send(self, message: dict[str, Any]) -> None:
        try:
            with self._lock:
                self._sink.write(protocol.encode(message))
                self._sink.flush()
        except OSError:
            # Blender has gone: stop working at the next report.
            self._cancel.set()

    def _hello(self, params: dict[str, Any]) -> dict[str, Any]:
        wanted = params.get("protocol", protocol.PROTOCOL_VERSION)
        if wanted != protocol.PROTOCOL_VERSION:
            raise LikenessError(
                "engine.protocol",
                f"Blender's side speaks protocol {wanted} and this engine {protocol.PROTOCOL_VERSION}.",
                "Update the extension and set the engine up again.",
            )
        from .jobs.doctor import hello_facts

        return {"protocol": protocol.PROTOCOL_VERSION, "engine": __version__, **hello_facts()}

    def _doctor(self, params: dict[str, Any]) -> dict[str, Any]:
        del params
        from .jobs.doctor import examine

        return examine()

    def _inspect(self, params: dict[str, Any]) -> dict[str, Any]:
        from .jobs.inspect_job import inspect_input

        return inspect_input(params)

    def _avatar(self, params: dict[str, Any]) -> dict[str, Any]:
        from .jobs.avatar_job import run_avatar_job
        from .jobs.request import avatar_request

        return self._start(avatar_request, run_avatar_job, params, "avatar")

    def _fit(self, params: dict[str, Any]) -> dict[str, Any]:
        from .jobs.fit_job import fit_request, run_fit_job

        return self._start(fit_request, run_fit_job, params, "fit")

    def _start(
        self, check: Callable[[dict[str, Any]], Any], work: Callable[..., Any], params: dict[str, Any], result: str
    ) -> dict[str, Any]:
        """Make a job of a request; `done` tells the path of its outcome under the name `result`."""
        if self._thread is not None and self._thread.is_alive():
            raise LikenessError(
                "engine.busy", "The engine is already making an avatar.", "Wait until it is done, or cancel it."
            )
        request = check(params)
        job = uuid.uuid4().hex
        self._job, self._cancel = job, threading.Event()
        run = (job, work, request, result, self._cancel)
        self._pending = threading.Thread(target=self._run, args=run, daemon=True)
        return {"job": job}

    def _run(self, job: str, work: Callable[..., Any], request: Any, result: str, cancel: threading.Event) -> None:
        from .jobs.defect import as_likeness_error

        def emit(event: dict[str, Any]) -> None:
            self._send(protocol.notification("progress", {"job": job, **event}))

        try:
            path = work(request, emit, cancel)
            self._send(protocol.notification("done", {"job": job, result: str(path)}))
        except BaseException as error:  # noqa: BLE001 - a job's thread ends with a message, whatever happened
            shown = as_likeness_error(error)
            self._send(protocol.notification("failed", {"job": job, **shown.to_dict()}))

    def _cancel_job(self, params: dict[str, Any]) -> dict[str, Any]:
        if params.get("job") not in (None, self._job) or self._thread is None:
            raise LikenessError(CANCELLED, "There is no such job.", "It may have ended already.")
        self._cancel.set()
        return {}


def serve() -> int:
    """Run the engine until standard input closes. Returns the exit code."""
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    Server(sys.stdin.buffer, messages).run()
    return 0
