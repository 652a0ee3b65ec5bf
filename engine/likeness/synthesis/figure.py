"""What a synthetic person is made of: textured layers on the default body's skeleton, at rest and posed.

Frame of every array here: metres, Y up, right-handed, the person faces +Z and its left is +X. At rest it is the default
body's T pose with the pelvis joint at the origin; posed it is the world, the floor at y = 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]
Shorts = NDArray[np.uint16]

# What a layer is; the order is also that of the labels in `Frame.kind`, whose 0 is the background.
KINDS = ("skin", "eye", "hair", "beard", "cloth", "shoe", "hat", "glasses", "bag")
JOINTS = 52


@dataclass(frozen=True)
class Finish:
    """How light meets a layer. gloss: reflectance at normal incidence 0..1; roughness 0..1 (perceptual);
    bleed: how far light runs past the terminator 0..1; infrared: reflectivity at 850 nm 0..1, None: from the colour."""

    gloss: float = 0.02
    roughness: float = 0.8
    bleed: float = 0.05
    infrared: float | None = None


# How each kind is finished where nothing more is known of it.
FINISHES = {
    "skin": Finish(0.03, 0.45, 0.25),
    "eye": Finish(0.04, 0.08, 0.1),
    "hair": Finish(0.04, 0.4, 0.3),
    "cloth": Finish(0.02, 0.85, 0.08),
    "shoe": Finish(0.04, 0.5, 0.02),
    "hat": Finish(0.02, 0.85, 0.05),
    "glasses": Finish(0.06, 0.15, 0.0),
    "bag": Finish(0.03, 0.6, 0.02),
    "beard": Finish(0.03, 0.5, 0.3),
}


@dataclass(frozen=True)
class Layer:
    """One textured part of a person.

    name: its item in the pack ('body' for the skin). kind: one of KINDS. words: its phrase in the caption, '' for none.
    order: 0 for the skin, larger is worn outside. vertices (V, 3) f32; faces (F, 3) i32, outward; corner_uvs (F, 3, 2)
    f32 in 0..1, V up. skin_joints (V, 4) u16 and skin_weights (V, 4) f32 (rows sum to 1) over the 52 joints of SMPL-H.
    part (F,) u8: the default body's part under each face. slack (V,) f32: 0 moves rigidly with the skeleton, 1 hangs
    freely (a skirt's hem). sheet: an open surface that has two sides; thickness_m its thickness. color (H, W, 3) u8 is
    sRGB albedo without light in it; alpha (H, W) u8 or None = opaque; known (H, W) bool: colour is truth, None = all.
    """

    name: str
    kind: str
    order: int
    vertices: Floats
    faces: Ints
    corner_uvs: Floats
    skin_joints: Shorts
    skin_weights: Floats
    part: Bytes
    slack: Floats
    color: Bytes
    alpha: Bytes | None = None
    known: NDArray[np.bool_] | None = None
    sheet: bool = False
    thickness_m: float = 0.003
    finish: Finish = Finish()
    words: str = ""

    def moved(self, vertices: Floats) -> Layer:
        """The same layer with other vertices (V, 3)."""
        return replace(self, vertices=np.asarray(vertices, np.float32))


@dataclass(frozen=True)
class Dressed:
    """A dressed person at rest.

    recipe: JSON-able, enough to make the same person again. caption: one English sentence without a full stop.
    layers: inside first; faces of the skin that cloth covers are left out of the skin layer. joints (52, 3): the
    skeleton that the layers are bound to. betas (K,): the default body's shape. body (V, 3): this very body, bare and
    whole, on the default body's vertices (its faces close the surface). licences: credits of all that went in.
    """

    recipe: dict[str, Any]
    caption: str
    layers: tuple[Layer, ...]
    joints: Floats
    betas: Floats
    body: Floats
    licences: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Posed:
    """A person in a pose, standing in the world.

    layers: as `dressed.layers` with posed vertices. pose (52, 3) axis-angle, parent-relative, pose[0] the root;
    translation (3,) of the pelvis joint; joints (52, 3) in the world. body (V, 3): the posed bare body under the cloth.
    """

    dressed: Dressed
    layers: tuple[Layer, ...]
    pose: Floats
    translation: Floats
    joints: Floats
    body: Floats


def concatenated(layers: Iterable[Layer]) -> tuple[Floats, Ints, Ints]:
    """All layers as one soup: vertices (V, 3), faces (F, 3) into them, and the layer (F,) of each face."""
    layers = tuple(layers)
    starts = np.cumsum([0, *(len(layer.vertices) for layer in layers)])
    vertices = np.concatenate([layer.vertices for layer in layers]).astype(np.float32)
    faces = np.concatenate([layer.faces + start for layer, start in zip(layers, starts, strict=False)])
    owner = np.repeat(np.arange(len(layers)), [len(layer.faces) for layer in layers])
    return vertices, faces.astype(np.int32), owner.astype(np.int32)


def vertex_normals(vertices: Floats, faces: Ints) -> Floats:
    """Area-weighted unit normals (V, 3)."""
    corner = vertices[faces]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normals = np.stack(
        [np.bincount(faces.ravel(), np.repeat(face[:, axis], 3), len(vertices)) for axis in range(3)], 1
    ).astype(np.float32)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
