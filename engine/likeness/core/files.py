"""Writing that leaves nothing half-written, and reading that believes no header."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .errors import LikenessError

MAX_JSON_BYTES = 8 << 20
MAX_ARRAY_BYTES = 1 << 30


def sha256(data: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(data).hexdigest()


def output_error(path: Path, error: OSError) -> LikenessError:
    """One sentence for a place that cannot be written."""
    reasons = {
        errno.EACCES: "may not be written",
        errno.EPERM: "may not be written",
        errno.EROFS: "is on a read-only disk",
        errno.ENOSPC: "is on a full disk",
        errno.ENOTDIR: "is inside a file, not a folder",
    }
    reason = reasons.get(error.errno or 0, f"cannot be written ({error.strerror or error})")
    return LikenessError(
        "output.unwritable", f"{path}: this place {reason}.", "Choose another place with --out, or make room there."
    )


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise output_error(path, error) from error


def write_json(path: Path, data: Any) -> None:
    """Write JSON whole or not at all."""
    write_bytes(path, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())


def read_json(path: Path, code: str = "input.json") -> Any:
    """Read a JSON file of reasonable size. Raises LikenessError(code) with the file's name."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise LikenessError(code, f"{path.name}: this JSON file is too large.", "Choose the right file.")
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise LikenessError(code, f"{path.name}: cannot be read ({error.strerror}).", "Check the file.") from error
    except (ValueError, RecursionError) as error:
        raise LikenessError(code, f"{path.name}: is not valid JSON.", "Choose another file, or mend it.") from error


def read_npz(
    path: Path | BinaryIO, code: str = "input.npz", limit: int = MAX_ARRAY_BYTES, *, only: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """Read an .npz of plain numeric arrays; sizes are checked from the headers before anything is allocated.

    only: the arrays to read, where others are none of ours. Object arrays (pickles) are refused. Raises
    LikenessError(code) with the file's name.
    """
    name = Path(getattr(path, "name", "this file")).name
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = {key: info for key, info in members.items() if only is None or key in only}
            total = sum(info.file_size for info in wanted.values())
            if total > limit:
                raise LikenessError(code, f"{name}: unpacks to {total >> 20} MB.", "Choose a smaller file.")
            out = {}
            for key, info in wanted.items():
                with archive.open(info) as stream:
                    out[key] = _read_array(stream, info.file_size)
            return out
    except OSError as error:
        raise LikenessError(code, f"{name}: cannot be read ({error}).", "Check the file.") from error
    except (ValueError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, SyntaxError) as error:
        raise LikenessError(
            code, f"{name}: is damaged or not an .npz of numbers ({error}).", "Choose another file."
        ) from error


def _read_array(stream: Any, size: int) -> np.ndarray:
    """One .npy member, after comparing the header's shape with the member's size."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"unknown array version {version}")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    count = 1
    for length in shape:
        count *= int(length)
    if count * dtype.itemsize > size:
        raise ValueError("an array is longer than the file")
    flat = np.frombuffer(stream.read(count * dtype.itemsize), dtype=dtype, count=count)
    return flat.reshape(shape, order="F" if fortran else "C").copy()


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A sibling temporary folder that replaces `target` when the block ends well, and vanishes when it does not.

    Its name is always the same, so that what a killed process left behind is cleared by the next one.
    Raises LikenessError("output.unwritable").
    """
    target = Path(target)
    temporary = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
    except OSError as error:
        raise output_error(target, error) from error
    try:
        try:
            yield temporary
            _swap(temporary, target)
        except OSError as error:
            raise output_error(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(temporary: Path, target: Path) -> None:
    """Put the new folder in the old one's place; the old one is removed only after that."""
    if not target.exists():
        os.replace(temporary, target)
        return
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    os.replace(target, old)
    try:
        os.replace(temporary, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)
