"""The depth map alone as a surface: what any reconstruction of the seen side has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from likeness.core.capture import Capture

# Neighbouring readings that differ by more lie on different surfaces; steep ones rise by some pixel widths a pixel.
JUMP_M, STEEP = 0.03, 4.0


def depth_sheet(capture: Capture) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Readings on the person, joined to their neighbours and cut at jumps: vertices (V, 3), faces (F, 3) towards the
    camera; camera space, metres. An open sheet; nothing is smoothed. Both are empty where there is no depth."""
    if capture.depth is None:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    depth = np.where(capture.valid, capture.depth, 0.0)
    number = np.full(depth.shape, -1, np.int32)
    number[depth > 0] = np.arange(int((depth > 0).sum()), dtype=np.int32)
    points = capture.camera.backproject(depth)[depth > 0]
    limit = np.maximum(JUMP_M, STEEP * depth / capture.camera.fx)
    top, left = (slice(None, -1), slice(1, None)), (slice(None, -1), slice(1, None))
    corner = {(v, u): (top[v], left[u]) for v in (0, 1) for u in (0, 1)}
    faces = []
    # Camera space is right-handed with y down, so turning from right to down looks away from the camera.
    for triple in (((0, 0), (1, 0), (0, 1)), ((0, 1), (1, 0), (1, 1))):
        depths = np.stack([depth[corner[c]] for c in triple])
        joined = (depths > 0).all(axis=0) & (np.ptp(depths, axis=0) < limit[corner[triple[0]]])
        faces.append(np.stack([number[corner[c]][joined] for c in triple], axis=1))
    every = np.concatenate(faces)
    used, compact = np.unique(every, return_inverse=True)
    return points[used], compact.reshape(-1, 3).astype(np.int32)
