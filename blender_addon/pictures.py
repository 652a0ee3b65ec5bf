# SPDX-License-Identifier: GPL-3.0-or-later
"""Small pictures in the panel: thumbnails of the input, the preview of a running job."""

from pathlib import Path
from typing import Any

import bpy.utils.previews

_collection: Any = None
#: File -> its time of change when it was loaded: a preview is written again and again under one name.
_loaded: dict[Path, int] = {}


def follow(facts: dict[str, Any] | None, preview: Path | None) -> None:
    """Load what is new on disk. Called from tick(), so that drawing a panel never reads a file."""
    wanted = [path for _, path in thumbnails(facts)] + ([preview] if preview else [])
    for path in wanted:
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            continue  # not written yet, or cleared away already: the panel simply shows no picture
        if _loaded.get(path) != changed:
            _load(path)
            _loaded[path] = changed


def load(path: Path) -> None:
    """Load a picture, or load it anew, if it is there."""
    if path.is_file():
        _load(path)


def _load(path: Path) -> None:
    global _collection
    if _collection is None:
        _collection = bpy.utils.previews.new()
    if str(path) in _collection:
        del _collection[str(path)]
    _collection.load(str(path), str(path), "IMAGE")


def icon(path: Path | None) -> int:
    """The icon of a loaded picture, 0 where there is none."""
    if path is None or _collection is None or str(path) not in _collection:
        return 0
    return int(_collection[str(path)].icon_id)


def thumbnails(facts: dict[str, Any] | None) -> list[tuple[str, Path]]:
    """Names and files of the thumbnails that the engine has made of an input."""
    found = (facts or {}).get("thumbnails")
    if isinstance(found, dict):
        return [(str(name), Path(str(path))) for name, path in found.items()]
    return []


def clear() -> None:
    """Free all pictures."""
    global _collection
    if _collection is not None:
        bpy.utils.previews.remove(_collection)
        _collection = None
    _loaded.clear()
