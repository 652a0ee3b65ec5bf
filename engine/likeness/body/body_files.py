"""The small files of numbers that belong to the body: its pose prior and its networks."""

from __future__ import annotations

from importlib import resources

import numpy as np
from likeness.core.errors import LikenessError


def body_arrays(name: str) -> dict[str, np.ndarray]:
    """All arrays of weights/body/`name`, an .npz. Raises LikenessError("environment.weights_missing") without it."""
    path = resources.files("likeness") / "weights" / "body" / name
    if not path.is_file():
        raise LikenessError(
            "environment.weights_missing",
            f"The engine's file {name} is missing.",
            "Install the engine again: the file belongs to it.",
        )
    with resources.as_file(path) as file, np.load(file, allow_pickle=False) as content:
        return {key: content[key] for key in content.files}
