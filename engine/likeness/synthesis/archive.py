"""Files of the people pack: zip archives of small compressed blobs, arrays and pictures.

A blob of arrays is LZMA over a JSON header and the arrays' bytes. Each array is a whole number times a step, written as
differences to its neighbours along one axis, or to the largest before it, and split into planes of low and high bytes,
because such planes repeat more than the numbers do. Which differences make the smallest blob is tried when writing.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from likeness.core.errors import LikenessError

Arrays = dict[str, NDArray]
Integers = NDArray[np.int64]
# Whole blobs fit the dictionary; no alignment bits, since the planes have one byte a number.
_FILTERS = [
    {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 23, "lc": 3, "lp": 0, "pb": 0}
]
_EPOCH = (1980, 1, 1, 0, 0, 0)
CODES = ("plain", "rows", "columns", "flat", "record")


def damaged(path: Path, why: str) -> LikenessError:
    """The error for a file of the pack that is missing or not as it was made."""
    return LikenessError(
        "environment.people_pack",
        f"The people pack is damaged: {path.name} {why}.",
        "Install Likeness again, or make the pack with install/make/make_people.py.",
    )


class Archive:
    """One zip file of the pack, read lazily. `digest`: its SHA-256 in hex, checked on first use; None = unchecked."""

    def __init__(self, path: Path, digest: str | None = None) -> None:
        self.path = Path(path)
        self._digest = digest
        self._zip: zipfile.ZipFile | None = None

    def names(self) -> list[str]:
        """Members of the archive."""
        return self._opened().namelist()

    def read(self, name: str) -> bytes:
        """The bytes of one member. Raises LikenessError when the file or the member is missing or damaged."""
        try:
            return self._opened().read(name)
        except (KeyError, OSError, zipfile.BadZipFile) as error:
            raise damaged(self.path, f"has no readable {name}") from error

    def arrays(self, name: str) -> Arrays:
        """The arrays of one member."""
        data = self.read(name)
        try:
            return decode(data)
        except (lzma.LZMAError, ValueError, KeyError, TypeError) as error:
            raise damaged(self.path, f"has no readable {name}") from error

    def image(self, name: str, mode: Literal["RGB", "L"] = "RGB") -> NDArray[np.uint8]:
        """The picture of one member: (H, W, 3) RGB or (H, W) grey."""
        try:
            with Image.open(io.BytesIO(self.read(name))) as picture:
                return np.asarray(picture.convert(mode))
        except (OSError, ValueError) as error:
            raise damaged(self.path, f"has no readable {name}") from error

    def _opened(self) -> zipfile.ZipFile:
        if self._zip is None:
            try:
                data = self.path.read_bytes()
            except OSError as error:
                raise damaged(self.path, "is missing") from error
            if self._digest is not None and hashlib.sha256(data).hexdigest() != self._digest:
                raise damaged(self.path, "is not the file that was made")
            try:
                # From a copy in memory, because processes forked from this one would share an open file's position.
                self._zip = zipfile.ZipFile(io.BytesIO(data))
            except (OSError, zipfile.BadZipFile) as error:
                raise damaged(self.path, "is no archive") from error
        return self._zip


def write_archive(path: Path, members: Mapping[str, bytes]) -> str:
    """Write blobs as an archive, the same bytes for the same members, and return its SHA-256 in hex."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), members[name])
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def encode(arrays: Mapping[str, NDArray], steps: Mapping[str, float] | None = None) -> bytes:
    """A blob of whole-number, text, and (with a step in `steps`: rounded to it) floating-point arrays."""
    steps = steps or {}
    header, bodies = [], []
    for name, array in arrays.items():
        array = np.asarray(array)
        entry: dict = {"name": name, "shape": list(array.shape), "type": array.dtype.str}
        if array.dtype.kind == "U":
            entry["text"] = array.ravel().tolist()
        else:
            if array.dtype.kind == "f":
                entry["step"] = steps[name]
                array = np.round(array.astype(np.float64) / steps[name])
            entry["code"], body = _smallest(array.astype(np.int64))
            entry["bytes"] = len(body)
            bodies.append(body)
        header.append(entry)
    text = json.dumps(header, separators=(",", ":")).encode()
    return _compressed(len(text).to_bytes(4, "little") + text + b"".join(bodies))


def decode(blob: bytes) -> Arrays:
    """The arrays that `encode` wrote."""
    data = lzma.decompress(blob, lzma.FORMAT_RAW, filters=_FILTERS)
    start = 4 + int.from_bytes(data[:4], "little")
    found: Arrays = {}
    for entry in json.loads(data[4:start]):
        shape, kind = tuple(entry["shape"]), np.dtype(entry["type"])
        if "text" in entry:
            found[entry["name"]] = np.array(entry["text"], kind).reshape(shape)
            continue
        stop = start + entry["bytes"]
        whole = _undone(_from_planes(data[start:stop], int(np.prod(shape))), shape, entry["code"])
        found[entry["name"]] = (whole * entry["step"] if "step" in entry else whole).astype(kind)
        start = stop
    return found


def _compressed(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_RAW, filters=_FILTERS)


def _smallest(array: Integers) -> tuple[str, bytes]:
    bodies = {code: _planes(_differences(array, code)) for code in CODES}
    return min(bodies.items(), key=lambda item: (len(_compressed(item[1])), item[0]))


def _differences(array: Integers, code: str) -> Integers:
    """Numbers of an array (n, ...) in the order and form in which they are written."""
    table = array.reshape(array.shape[0] if array.ndim and array.size else 1, -1)
    if code == "flat":
        return np.diff(table.ravel(), prepend=0)
    if code == "record":
        flat = table.ravel()
        return np.maximum.accumulate(np.append(-1, flat))[:-1] + 1 - flat
    if code == "columns" and table.size:
        table = np.diff(table, axis=1, prepend=0)
        table[:, 0] = np.diff(table[:, 0], prepend=0)
    elif code == "rows":
        table = np.diff(table, axis=0, prepend=0)
    return table.T.ravel()


def _undone(numbers: Integers, shape: tuple[int, ...], code: str) -> Integers:
    if code == "flat":
        return np.cumsum(numbers).reshape(shape)
    if code == "record":
        # A number is a new record, and the next one is compared to it, where it exceeds the old record by 1 - code.
        records = np.cumsum(np.maximum(1 - numbers, 0))
        return (
            (np.concatenate([[0], records[:-1]]) - numbers).reshape(shape) if numbers.size else numbers.reshape(shape)
        )
    table = numbers.reshape(-1, shape[0] if shape and numbers.size else 1).T
    if code == "columns" and table.size:
        table = table.copy()
        table[:, 0] = np.cumsum(table[:, 0])
        table = np.cumsum(table, axis=1)
    elif code == "rows":
        table = np.cumsum(table, axis=0)
    return table.reshape(shape)


def _planes(numbers: Integers) -> bytes:
    """Signs folded into the lowest bit (0, -1, 1, -2, ...), then all lowest bytes, all second ones, ..."""
    folded = np.where(numbers < 0, -2 * numbers - 1, 2 * numbers).astype("<u8")
    width = max((int(folded.max(initial=0)).bit_length() + 7) // 8, 1)
    return folded.view(np.uint8).reshape(-1, 8)[:, :width].T.tobytes()


def _from_planes(data: bytes, count: int) -> Integers:
    if count == 0:
        return np.zeros(0, np.int64)
    planes = np.frombuffer(data, np.uint8).reshape(-1, count)
    folded = np.zeros((count, 8), np.uint8)
    folded[:, : len(planes)] = planes.T
    numbers = folded.view("<u8").ravel().astype(np.int64)
    return np.where(numbers & 1, -((numbers + 1) >> 1), numbers >> 1)
