"""Weights as safetensors with nothing but NumPy: 8 bytes of header length, JSON, raw little-endian numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import LikenessError
from .files import write_bytes

MAX_HEADER_BYTES = 1 << 22
MAX_FILE_BYTES = 1 << 30
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}
_NAMES = {np.dtype(code): name for name, code in _TYPES.items()}


def write_tensors(
    path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None, *, bfloat16: bool = False
) -> None:
    """Write arrays, whole or not at all; with `bfloat16` those of f32 are rounded to it (to nearest, ties to even).

    Raises LikenessError("output.unwritable").
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    parts, position = [], 0
    # Widest numbers first, so that each begins at a multiple of its size.
    for name in sorted(tensors, key=lambda n: (-_stored(tensors[n], bfloat16)[1].itemsize, n)):
        kind, values = _stored(tensors[name], bfloat16)
        data = values.tobytes()
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [position, position + len(data)]}
        parts.append(data)
        position += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write_bytes(Path(path), len(text).to_bytes(8, "little") + text + b"".join(parts))


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays (bfloat16 comes as f32) and metadata of a file. Raises LikenessError("input.weights")."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError("it is too large")
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or length > min(MAX_HEADER_BYTES, len(data) - 8):
            raise ValueError("its header is cut off")
        header = json.loads(data[8 : 8 + length])
        metadata = {str(k): str(v) for k, v in header.pop("__metadata__", {}).items()}
        body = data[8 + length :]
        return {str(name): _array(entry, body) for name, entry in header.items()}, metadata
    except OSError as error:
        raise LikenessError(
            "input.weights", f"{path.name}: cannot be read ({error.strerror}).", "Install Likeness again."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LikenessError(
            "input.weights", f"{path.name}: these are no weights ({error}).", "Install Likeness again."
        ) from error


def _stored(values: np.ndarray, bfloat16: bool) -> tuple[str, np.ndarray]:
    values = np.asarray(values)
    if bfloat16 and values.dtype == np.float32:
        bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
        # To nearest, ties to even; a NaN must not round to infinity.
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return "BF16", np.where(np.isnan(values), np.uint64(0x7FC0), rounded).astype("<u2")
    if values.dtype == bool:
        return "BOOL", values.astype("u1")
    return _NAMES[values.dtype], np.ascontiguousarray(values)


def _array(entry: Mapping[str, Any], body: bytes) -> np.ndarray:
    start, stop = (int(n) for n in entry["data_offsets"])
    shape = tuple(int(n) for n in entry["shape"])
    kind = entry["dtype"]
    stored = np.dtype({"BF16": "<u2", "BOOL": "u1"}.get(kind) or _TYPES[kind])
    count = 1
    for length in shape:
        if length < 0:
            raise ValueError("a shape is negative")
        count *= length
    if not 0 <= start <= stop <= len(body) or stop - start != count * stored.itemsize:
        raise ValueError("a tensor lies outside the file")
    flat = np.frombuffer(body, stored, count, start).reshape(shape)
    if kind == "BF16":
        return (flat.astype(np.uint32) << 16).view(np.float32)
    return flat.astype(bool) if kind == "BOOL" else flat.copy()
