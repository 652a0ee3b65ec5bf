"""Labelled points about a person: what signed-distance networks learn from (ANIM, part-aware sampling)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from likeness.body.model import load_default
from likeness.synthesis.figure import KINDS, Bytes, Floats, Ints
from likeness.synthesis.outer import OuterSurface

# Shares of the points (anim.md, section 3): on everything, head, hands, feet; between limbs; anywhere in the box.
SHARES = {"body": 0.37, "head": 0.2, "hands": 0.2, "feet": 0.05, "between": 0.06, "box": 0.12}
# Standard deviations of the offsets along the normal and across, metres, and how often each is drawn.
SIGMAS_M, SIGMA_SHARES = (0.005, 0.02, 0.08), (0.47, 0.35, 0.18)
BOX_MARGIN_M = 0.15
LIMB_GAP_M = 0.25


@dataclass(frozen=True)
class LabelledPoints:
    """Points (N, 3) f32 in the world, metres, each with what lies nearest on the outer surface.

    sdf (N,) f32 metres, negative inside; part (N,) u8 of the default body; kind (N,) u8 index in KINDS; color (N, 3) u8
    sRGB albedo; known (N,) bool, whether that colour is truth; normal (N, 3) f32 outward at the closest point.
    """

    position: Floats
    sdf: Floats
    part: Bytes
    kind: Bytes
    color: Bytes
    known: NDArray[np.bool_]
    normal: Floats


def draw_points(surface: OuterSurface, rng: np.random.Generator, count: int = 20_000) -> LabelledPoints:
    """`count` points, more of them where parts are small, near the surface and in the gaps between limbs."""
    chosen = rng.choice(len(SHARES), count, p=np.array(list(SHARES.values())) / sum(SHARES.values()))
    positions = np.zeros((count, 3), np.float32)
    corners = surface.vertices[surface.faces[surface.outer]]
    part = face_parts(surface)[surface.outer]
    for number, name in enumerate(SHARES):
        mine = np.flatnonzero(chosen == number)
        if name == "box":
            low, high = corners.min((0, 1)) - BOX_MARGIN_M, corners.max((0, 1)) + BOX_MARGIN_M
            positions[mine] = rng.uniform(low, high, (len(mine), 3))
        elif name == "between":
            positions[mine] = _between_limbs(corners, part, rng, len(mine))
        else:
            positions[mine] = _near_surface(corners, _faces_of(part, name), rng, len(mine))
    return label(surface, positions)


def label(surface: OuterSurface, positions: NDArray) -> LabelledPoints:
    """The labels of any points (N, 3)."""
    near = surface.nearest(positions)
    row = np.searchsorted(surface.outer, near.face)
    color, known = surface_colors(surface, near.face, near.bary)
    kinds = np.array([KINDS.index(layer.kind) for layer in surface.posed.layers], np.uint8)
    return LabelledPoints(
        np.asarray(positions, np.float32),
        near.distance,
        face_parts(surface)[near.face],
        kinds[surface.layer[near.face]],
        color,
        known,
        surface.normal[row],
    )


def face_parts(surface: OuterSurface) -> Bytes:
    """The default body's part (F,) of every face of the soup."""
    numbers = _layer_numbers(surface)
    return np.concatenate([surface.posed.layers[k].part for k in numbers])


def surface_colors(surface: OuterSurface, face: Ints, bary: Floats) -> tuple[Bytes, NDArray[np.bool_]]:
    """Albedo (N, 3) u8 sRGB at places (face (N,), bary (N, 3)) of the soup, and whether it is truth."""
    color, known = np.zeros((len(face), 3), np.uint8), np.ones(len(face), bool)
    start = 0
    for k in _layer_numbers(surface):
        layer = surface.posed.layers[k]
        mine = np.flatnonzero((face >= start) & (face < start + len(layer.faces)))
        uv = (layer.corner_uvs[face[mine] - start] * bary[mine, :, None]).sum(1)
        color[mine] = _texel(layer.color, uv)
        if layer.known is not None:
            known[mine] = _texel(layer.known, uv)
        start += len(layer.faces)
    return color, known


def _texel(texture: NDArray, uv: Floats) -> NDArray:
    height, width = texture.shape[:2]
    column = np.clip((uv[:, 0] % 1.0 * width).astype(int), 0, width - 1)
    row = np.clip(((1 - uv[:, 1]) % 1.0 * height).astype(int), 0, height - 1)
    return texture[row, column]


def _layer_numbers(surface: OuterSurface) -> list[int]:
    """The layers of the soup in their order (layers without a surface of their own are left out of it)."""
    return [int(k) for k in surface.layer[np.flatnonzero(np.diff(surface.layer, prepend=-1))]]


def _faces_of(part: Bytes, name: str) -> Ints:
    """Outer faces (K,) whose part's name speaks of `name`; all where there are none."""
    words = {"head": ("head",), "hands": ("hand", "finger", "thumb"), "feet": ("foot", "toe")}.get(name)
    names = load_default().part_names
    wanted = [k for k, text in enumerate(names) if words is None or any(word in text for word in words)]
    found = np.flatnonzero(np.isin(part, wanted))
    return (found if len(found) else np.arange(len(part))).astype(np.int32)


def _on_faces(corners: Floats, faces: Ints, rng: np.random.Generator, count: int) -> tuple[Floats, Ints]:
    """`count` points spread by area over `faces`, with the face of each."""
    mine = corners[faces]
    area = np.linalg.norm(np.cross(mine[:, 1] - mine[:, 0], mine[:, 2] - mine[:, 0]), axis=1).astype(np.float64) + 1e-12
    drawn = rng.choice(len(faces), count, p=area / area.sum())
    root, share = np.sqrt(rng.random(count)), rng.random(count)
    bary = np.stack([1 - root, root * (1 - share), root * share], 1)
    return (mine[drawn] * bary[..., None]).sum(1).astype(np.float32), faces[drawn]


def _near_surface(corners: Floats, faces: Ints, rng: np.random.Generator, count: int) -> Floats:
    points, _ = _on_faces(corners, faces, rng, count)
    sigma = rng.choice(SIGMAS_M, count, p=SIGMA_SHARES)
    return (points + rng.normal(size=(count, 3)) * sigma[:, None]).astype(np.float32)


def _between_limbs(corners: Floats, part: Bytes, rng: np.random.Generator, count: int) -> Floats:
    """Points on lines that join two parts across a gap: between the legs, under the arms."""
    everywhere = np.arange(len(corners), dtype=np.int32)
    first, a = _on_faces(corners, everywhere, rng, 12 * count)
    second, b = _on_faces(corners, everywhere, rng, 12 * count)
    gap = np.linalg.norm(first - second, axis=1)
    good = np.flatnonzero((part[a] != part[b]) & (gap < LIMB_GAP_M))[:count]
    out = _near_surface(corners, everywhere, rng, count)
    out[: len(good)] = first[good] + rng.random((len(good), 1)) * (second[good] - first[good])
    return out
