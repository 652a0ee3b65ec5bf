"""Simple people for tests: closed forms as layers."""

from __future__ import annotations

import numpy as np
import trimesh
from likeness.body.model import load_default
from likeness.synthesis.figure import Dressed, Layer, Posed


def layer(mesh: trimesh.Trimesh, **changes) -> Layer:
    """A grey layer of any triangle mesh."""
    count = len(mesh.vertices)
    values = {
        "name": "thing", "kind": "cloth", "order": 0, "vertices": np.asarray(mesh.vertices, np.float32),
        "faces": np.asarray(mesh.faces, np.int32), "corner_uvs": np.full((len(mesh.faces), 3, 2), 0.5, np.float32),
        "skin_joints": np.zeros((count, 4), np.uint16), "skin_weights": np.full((count, 4), 0.25, np.float32),
        "part": np.zeros(len(mesh.faces), np.uint8), "slack": np.zeros(count, np.float32),
        "color": np.full((4, 4, 3), 128, np.uint8),
    }  # fmt: skip
    return Layer(**(values | changes))


def posed(*layers: Layer) -> Posed:
    """Layers as a person in the world, with the default body somewhere beside the point."""
    body, joints = load_default("smplh").rest(np.zeros(1))
    dressed = Dressed({}, "a thing", layers, joints, np.zeros(20, np.float32), body)
    still = np.zeros((52, 3), np.float32)
    shift = np.array([0, -body[:, 1].min(), 0], np.float32)
    return Posed(dressed, layers, still, shift, joints + shift, body + shift)
