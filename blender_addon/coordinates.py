# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where the engine's axes (Y up, facing +Z) become Blender's (Z up, facing -Y)."""

import numpy as np

#: (3, 3) Blender axes from engine axes: (x, y, z) -> (x, -z, y), a quarter turn about X.
BLENDER_FROM_ENGINE = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def to_blender(vectors: np.ndarray) -> np.ndarray:
    """Points, directions or axis-angle vectors (..., 3) in engine axes -> the same in Blender's, dtype kept.

    Axis-angle vectors turn like directions because the change of axes is a rotation, not a mirror.
    """
    return np.stack([vectors[..., 0], -vectors[..., 2], vectors[..., 1]], axis=-1)


def to_engine(vectors: np.ndarray) -> np.ndarray:
    """The inverse of to_blender."""
    return np.stack([vectors[..., 0], vectors[..., 2], -vectors[..., 1]], axis=-1)
