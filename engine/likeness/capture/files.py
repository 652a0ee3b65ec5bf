"""Reading bytes from outside: existence, permission, size and what the content really is."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from likeness.core.errors import LikenessError

from .limits import MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE_PX, MIN_SIDE_PX

_PICTURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"GIF8": "gif",
    b"II*\x00": "tiff",
    b"MM\x00*": "tiff",
    b"BM": "bmp",
}
_OTHERS = {
    b"\x93NUMPY": "npy",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x76\x2f\x31\x01": "exr",
    b"ply\n": "cloud",
    b"ply\r": "cloud",
    b"# .PCD": "cloud",
    b"\x80\x02": "pickle",
    b"\x80\x03": "pickle",
    b"\x80\x04": "pickle",
    b"\x80\x05": "pickle",
    b"%PDF": "pdf",
}
_HEIF_BRANDS = (b"heic", b"heix", b"heif", b"mif1", b"msf1", b"hevc")
#: How a file of each kind is called in a sentence.
WORDS = {
    "png": "a PNG picture",
    "jpeg": "a JPEG picture",
    "gif": "a GIF picture",
    "tiff": "a TIFF picture",
    "bmp": "a BMP picture",
    "webp": "a WebP picture",
    "heif": "a HEIC picture",
    "avif": "an AVIF picture",
    "npy": "a NumPy array",
    "zip": "an archive",
    "exr": "an OpenEXR picture",
    "cloud": "a point cloud",
    "pickle": "a Python pickle",
    "pdf": "a PDF document",
    "web page": "a web page",
    "text": "plain text",
    "unknown": "of an unknown kind",
}


@dataclass(frozen=True)
class Blob:
    """One file in memory. name: as the artist knows it; kind: by content, never by name (a key of WORDS)."""

    name: str
    data: bytes
    kind: str

    @property
    def sha256(self) -> str:
        """Hash of the bytes, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


def kind_of(data: bytes) -> str:
    """What the first bytes say that a file is: a key of WORDS."""
    for table in (_PICTURES, _OTHERS):
        for magic, kind in table.items():
            if data.startswith(magic):
                return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "avif"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return "heif"
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype", b"<html", b"<head")):
        return "web page"
    return "text" if data and b"\0" not in data[:512] and head.isascii() else "unknown"


def read_blob(path: Path, *, limit: int = MAX_FILE_BYTES) -> Blob:
    """Read a file whole.

    Raises LikenessError `input.missing`, `input.folder`, `input.special`, `input.unreadable`, `input.empty`
    or `input.too_large`.
    """
    name = path.name or str(path)
    try:
        info = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise LikenessError(
            "input.missing", f"There is no file {name} at {path.parent}.", "Check the name and the folder."
        ) from error
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from error
    if stat.S_ISDIR(info.st_mode):
        raise LikenessError("input.folder", f"{name} is a folder, not a file.", "Choose the file inside it.")
    if not stat.S_ISREG(info.st_mode):
        raise LikenessError("input.special", f"{name} is a device or a pipe, not a file.", "Choose a file on disk.")
    if info.st_size == 0:
        raise LikenessError("input.empty", f"{name} is empty.", "Export or copy it again.")
    if info.st_size > limit:
        raise LikenessError(
            "input.too_large",
            f"{name} has {info.st_size / 2**20:.0f} MB; at most {limit / 2**20:.0f} MB are read.",
            "Choose the right file, or export a smaller one.",
        )
    try:
        with path.open("rb") as handle:
            # A buffered read takes the memory that it is asked for at once.
            data = handle.read(info.st_size)
    except OSError as error:
        raise _unreadable(name, error) from error
    if not data:
        raise LikenessError("input.empty", f"{name} is empty.", "Export or copy it again.")
    return Blob(name, data, kind_of(data))


def _unreadable(name: str, error: Exception) -> LikenessError:
    reason = getattr(error, "strerror", None) or str(error)
    return LikenessError(
        "input.unreadable", f"{name} cannot be read: {reason}.", "Check the permissions of the file and its folder."
    )


@contextmanager
def decoding(name: str, what: str, code: str = "input.damaged") -> Iterator[None]:
    """Turn whatever a decoder raises on a damaged file into one sentence.

    Decoders of foreign formats raise nearly every exception there is on broken data, so all are caught here;
    errors that already are sentences pass through.
    """
    try:
        yield
    except LikenessError:
        raise
    except Exception as error:
        raise LikenessError(
            code, f"{name} is incomplete or damaged and cannot be read as {what}.", "Export or copy the file again."
        ) from error


def check_size(name: str, width: int, height: int, what: str = "picture") -> None:
    """Refuse sizes that no capture has. Raises `input.too_large` or `input.too_small`."""
    if width > MAX_SIDE_PX or height > MAX_SIDE_PX or width * height > MAX_PIXELS:
        raise LikenessError(
            "input.too_large",
            f"The {what} {name} is too large: {width} x {height} pixels, where {MAX_SIDE_PX} a side and "
            f"{MAX_PIXELS // 10**6} megapixels are the limit.",
            "Shrink it and try again.",
        )
    if min(width, height) < MIN_SIDE_PX:
        raise LikenessError(
            "input.too_small",
            f"The {what} {name} is too small: {width} x {height} pixels, where {MIN_SIDE_PX} a side are the least.",
            "Use the original, not a thumbnail.",
        )
