"""The files of numbers that ship with the engine: the body's pose prior and networks, and the landmarks' networks."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np
import torch
from likeness.core.errors import LikenessError


def weight_file(folder: str, name: str) -> Traversable:
    """weights/`folder`/`name`. Raises LikenessError("environment.weights_missing") where it is not."""
    path = resources.files("likeness") / "weights" / folder / name
    if not path.is_file():
        raise LikenessError(
            "environment.weights_missing",
            f"The engine's file {name} is missing.",
            "Install the engine again: the file belongs to it.",
        )
    return path


def body_tensors(name: str) -> dict[str, torch.Tensor]:
    """All arrays of weights/body/`name`, an .npz, those of 16-bit floats as 32-bit ones. Raises as weight_file does."""
    with resources.as_file(weight_file("body", name)) as file, np.load(file, allow_pickle=False) as content:
        arrays = {key: content[key] for key in content.files}
    return {
        key: torch.from_numpy(values.astype(np.float32) if values.dtype == np.float16 else values)
        for key, values in arrays.items()
    }
