"""JSON-RPC 2.0, UTF-8, one message a line (architecture, section 5). The standard library alone."""

from __future__ import annotations

import json
from typing import Any

PROTOCOL_VERSION = 1
MAX_MESSAGE_BYTES = 1 << 20

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
#: The engine understood and refuses; `data` holds code, message and hint for the artist.
LIKENESS_ERROR = -32000

REQUESTS = ("hello", "doctor", "inspect", "fit", "reconstruct", "elicit", "rig", "cancel", "load", "render")
NOTIFICATIONS = ("progress", "done", "failed")


class ProtocolError(Exception):
    """A line that is no message. `number` is the JSON-RPC error to answer with."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def encode(message: dict[str, Any]) -> bytes:
    """One message as one line. Raises ProtocolError over MAX_MESSAGE_BYTES."""
    line = json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    if len(line) > MAX_MESSAGE_BYTES:
        raise ProtocolError(INVALID_REQUEST, f"A message of {len(line)} bytes is over the limit of 1 MiB.")
    return line


def decode(line: bytes) -> dict[str, Any]:
    """One line as a message. Raises ProtocolError, whose text may be shown."""
    if len(line) > MAX_MESSAGE_BYTES:
        raise ProtocolError(INVALID_REQUEST, "A message is over the limit of 1 MiB.")
    try:
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(PARSE_ERROR, f"A message is not JSON: {error}.") from error
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise ProtocolError(INVALID_REQUEST, "A message is not a JSON-RPC 2.0 object.")
    return message


def request(number: int, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """A call that wants an answer."""
    return {"id": number, "method": method, "params": params or {}}


def notification(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """A message that wants none."""
    return {"method": method, "params": params}


def result(number: Any, value: Any) -> dict[str, Any]:
    """The answer to a call."""
    return {"id": number, "result": value}


def failure(number: Any, code: int, message: str, data: dict[str, str] | None = None) -> dict[str, Any]:
    """The refusal of a call."""
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"id": number, "error": error}
