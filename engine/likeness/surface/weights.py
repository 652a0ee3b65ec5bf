"""A network's weights to and from a safetensors file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from likeness.core.errors import LikenessError
from likeness.core.tensors import read_tensors, write_tensors


def save_weights(path: Path, model: nn.Module, metadata: dict[str, str], *, bfloat16: bool = True) -> None:
    """Write a model's parameters and buffers, rounded to bfloat16 to halve the file.

    Raises LikenessError("output.unwritable").
    """
    tensors = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    write_tensors(path, tensors, metadata, bfloat16=bfloat16)


def load_weights(path: Path, model: nn.Module) -> dict[str, str]:
    """Fill a model from a file of `save_weights`; returns its metadata. Raises LikenessError("input.weights")."""
    tensors, metadata = read_tensors(path)
    try:
        model.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    except RuntimeError as error:
        raise LikenessError(
            "input.weights", f"{Path(path).name}: these weights are of another network.", "Install Likeness again."
        ) from error
    return metadata
