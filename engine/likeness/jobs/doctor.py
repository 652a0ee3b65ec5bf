"""What is installed, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from typing import Any

from .. import __version__
from .device import available_devices
from .weights import WEIGHTS, weight_hashes

#: Import name -> package name of everything that an avatar needs.
NEEDED = {
    "numpy": "numpy",
    "torch": "torch",
    "scipy": "scipy",
    "skimage": "scikit-image",
    "trimesh": "trimesh",
    "embreex": "embreex",
    "igl": "libigl",
    "PIL": "pillow",
    "msgspec": "msgspec",
    "ai_edge_litert": "ai-edge-litert",
    "pygltflib": "pygltflib",
}
OPTIONAL = {"smplx": "smplx", "spconv": "spconv-cu126", "open_clip": "open_clip_torch"}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def memory_gb() -> float:
    """Installed memory, 0 where the system does not tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return 0.0


def hello_facts() -> dict[str, Any]:
    """Devices, memory and weights, for the first exchange with Blender."""
    return {"devices": available_devices(), "memory_gb": memory_gb(), "weights": sorted(weight_hashes())}


def examine() -> dict[str, Any]:
    """Versions, devices, and one sentence for each thing that is missing (`problems`; empty when all is well)."""
    packages = {p: _version(p) for m, p in (NEEDED | OPTIONAL).items() if importlib.util.find_spec(m) is not None}
    problems = [
        f"The package {package} is missing: run `python3 install/bootstrap.py engine`."
        for module, package in NEEDED.items()
        if importlib.util.find_spec(module) is None
    ]
    if not weight_hashes():
        problems.append(f"The weights are missing from {WEIGHTS.name}/: install Likeness again.")
    facts: dict[str, Any] = {"devices": [], "memory_gb": memory_gb(), "weights": sorted(weight_hashes())}
    if "torch" in packages:
        facts["devices"] = available_devices()
    return {
        "engine": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": packages,
        "problems": problems,
        **facts,
    }
