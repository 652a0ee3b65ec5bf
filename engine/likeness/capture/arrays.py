"""NumPy files from outside: headers are checked before memory is taken, and nothing is ever unpickled."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import PurePosixPath

import numpy as np
from numpy.lib import format as npformat

from likeness.core.errors import LikenessError

from .files import Blob, decoding
from .limits import MAX_ARCHIVE_MEMBERS, MAX_FILE_BYTES, MAX_UNPACKED_BYTES


def load_npy(blob: Blob, *, text: bool = False) -> np.ndarray:
    """Read one .npy array of numbers in native byte order and C order.

    text: admit fixed-width strings as well (small labels in an archive).
    Raises `input.python_objects`, `input.array_type`, `input.damaged`.
    """
    stream = io.BytesIO(blob.data)
    with decoding(blob.name, "a NumPy array"):
        version = npformat.read_magic(stream)
        read_header = npformat.read_array_header_1_0 if version == (1, 0) else npformat.read_array_header_2_0
        shape, fortran, dtype = read_header(stream)
    _check_type(blob.name, dtype, text)
    start = stream.tell()
    needed = math.prod(int(n) for n in shape) * dtype.itemsize
    if min(shape, default=1) < 0 or needed != len(blob.data) - start:
        raise LikenessError(
            "input.damaged",
            f"{blob.name} claims an array of {' x '.join(map(str, shape)) or 'one number'} ({needed / 2**20:.3g} MB) "
            f"but holds {(len(blob.data) - start) / 2**20:.3g} MB.",
            "Export or copy the file again.",
        )
    flat = np.frombuffer(blob.data, dtype, offset=start)
    array = flat.reshape(shape, order="F" if fortran else "C")
    return np.ascontiguousarray(array.astype(dtype.newbyteorder("="), copy=False))


def _check_type(name: str, dtype: np.dtype, text: bool) -> None:
    if dtype.hasobject:
        raise LikenessError(
            "input.python_objects",
            f"{name} holds Python objects instead of numbers, and those are never loaded.",
            "Save it as a plain array of numbers.",
        )
    kinds = "biufUS" if text else "biuf"
    if dtype.kind not in kinds or dtype.itemsize > (4096 if text else 16):
        raise LikenessError(
            "input.array_type",
            f"{name} holds values of type {dtype}, not plain numbers.",
            "Save it as float32 or uint16.",
        )


def open_archive(blob: Blob) -> zipfile.ZipFile:
    """Open a zip archive and check all of its claims; nothing is unpacked yet.

    Refused: damaged, encrypted, too many members, names that lead out of the archive, links, claims beyond
    the limit. Raises `input.damaged` or `input.archive`.
    """
    if blob.kind != "zip":
        raise LikenessError(
            "input.damaged",
            f"{blob.name} is damaged: it is not the archive its name promises.",
            "Export or copy the file again.",
        )
    with decoding(blob.name, "an archive"):
        archive = zipfile.ZipFile(io.BytesIO(blob.data))
        members = archive.infolist()
    if len(members) > MAX_ARCHIVE_MEMBERS:
        raise _archive_error(blob.name, f"it holds {len(members)} files, at most {MAX_ARCHIVE_MEMBERS} are read")
    for info in members:
        posix = PurePosixPath(info.filename.replace("\\", "/"))
        if posix.is_absolute() or ".." in posix.parts or (len(info.filename) > 1 and info.filename[1] == ":"):
            raise _archive_error(blob.name, "it holds files that lead out of its own folder")
        if (info.external_attr >> 16) & 0o170000 == 0o120000:
            raise _archive_error(blob.name, "it holds a link")
        if info.flag_bits & 0x1:
            raise _archive_error(blob.name, "it is encrypted")
    if sum(info.file_size for info in members) > 4 * MAX_UNPACKED_BYTES:
        raise _archive_error(blob.name, "it unpacks to more than is reasonable")
    return archive


def _archive_error(name: str, reason: str) -> LikenessError:
    return LikenessError("input.archive", f"The archive {name} is refused: {reason}.", "Export the capture again.")


def read_member(archive: zipfile.ZipFile, member: str, name: str, limit: int = MAX_UNPACKED_BYTES) -> bytes:
    """Unpack one member into memory, never to disk. name: of the archive, for sentences. Raises `input.archive`."""
    info = archive.getinfo(member)
    if info.file_size > min(limit, MAX_FILE_BYTES):
        raise _archive_error(name, f"{member} unpacks to {info.file_size / 2**20:.1f} MB, more than is reasonable")
    with decoding(name, "an archive"), archive.open(info) as handle:
        return handle.read(info.file_size)


def load_npz(blob: Blob) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz by their names, each checked like a file of its own.

    Raises what load_npy and open_archive raise.
    """
    arrays: dict[str, np.ndarray] = {}
    left = MAX_UNPACKED_BYTES
    with open_archive(blob) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            data = read_member(archive, info.filename, blob.name, limit=left)
            left -= len(data)
            key = info.filename.removesuffix(".npy")
            arrays[key] = load_npy(Blob(f"{blob.name} ({key})", data, "npy"), text=True)
    if not arrays:
        raise LikenessError("input.archive", f"{blob.name} holds no arrays.", "Choose the .npz of a capture.")
    return arrays
