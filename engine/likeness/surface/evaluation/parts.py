"""Which part of the person a point belongs to: by the nearest vertex of the true body under the clothes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

PARTS = ("head", "torso", "arms", "hands", "legs", "feet")
_WORDS = {
    "head": ("head", "neck"),
    "torso": ("torso",),
    "arms": ("arm",),
    "hands": ("hand",),
    "legs": ("thigh", "shin"),
    "feet": ("foot",),
}


def vertex_groups(body_parts: NDArray, part_names: tuple[str, ...]) -> NDArray[np.int64]:
    """(V,) index into PARTS of vertices with part numbers (V,) u8 into `part_names` of the body model."""
    group = [next(k for k, part in enumerate(PARTS) if any(w in name for w in _WORDS[part])) for name in part_names]
    return np.array(group)[np.asarray(body_parts, np.int64)]


def nearest_groups(points: NDArray, body: NDArray, groups: NDArray) -> NDArray[np.int64]:
    """(N,) index into PARTS of points (N, 3) by the nearest of the body's vertices (V, 3) with groups (V,)."""
    return np.asarray(groups[cKDTree(body).query(points)[1]], np.int64)
