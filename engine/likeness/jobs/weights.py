"""The weights that ship, and their hashes for an avatar's provenance."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
_SUFFIXES = (".npz", ".tflite", ".safetensors")


@cache
def weight_hashes() -> dict[str, str]:
    """Relative path -> sha256 of every shipped weight file."""
    files = sorted(f for f in WEIGHTS.rglob("*") if f.suffix in _SUFFIXES)
    return {f.relative_to(WEIGHTS).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
