"""What a capture or photo contains, before anything costs time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ..capture import inspect
from ..core.errors import LikenessError
from .avatar_job import MEMORY_GB, estimate_seconds


class InspectRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One capture or photo, and where thumbnails may be written."""

    path: str
    depth: str | None = None
    intrinsics: str | None = None
    mask: str | None = None
    unit: str | None = None
    focal_px: float | None = None
    person: int = 0
    thumbnails_dir: str | None = None


def inspect_input(params: dict[str, Any]) -> dict[str, Any]:
    """Everything that the panel shows about an input. Raises LikenessError("usage.*", "capture.*", "photo.*")."""
    try:
        request = msgspec.convert(params, InspectRequest)
    except msgspec.ValidationError as error:
        raise LikenessError(
            "usage.request", f"The request is not understood: {error}.", "Check its settings."
        ) from error
    facts = inspect(
        Path(request.path).expanduser(),
        depth=_path(request.depth),
        intrinsics=_path(request.intrinsics),
        mask=_path(request.mask),
        unit=request.unit,
        focal_px=request.focal_px,
        person=request.person,
        thumbnails=_path(request.thumbnails_dir),
    )
    return facts | {"estimate": {"seconds": estimate_seconds(), "memory_gb": MEMORY_GB}}


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None
