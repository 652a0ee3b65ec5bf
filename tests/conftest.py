"""What all tests share. Also loaded inside Blender's Python, so the standard library and pytest must do."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

if importlib.util.find_spec("hypothesis"):
    from hypothesis import settings

    # A shared machine may be slow at any moment, so no example has a deadline. CI tries the same examples each time:
    # a new one that fails should stop whoever looks for it, not whoever submits next.
    settings.register_profile("likeness", deadline=None, derandomize=bool(os.environ.get("CI")))
    settings.load_profile("likeness")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real captures and raw material that is no part of the repository; skips where it is absent."""
    folder = Path(os.environ.get("LIKENESS_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared data at {folder}: set LIKENESS_SHARED to the folder that holds data/test")
    return folder
