"""Normals of two surfaces, rendered from four sides (anim.md, section 9)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..view import Rays
from .distance import Floats, Mask, Mesh
from .outline import overlap

VIEWS, PIXELS, HEIGHT_SHARE = 4, 512, 0.9


@dataclass(frozen=True)
class Frame:
    """Parallel projection around a person: centre (3,), axes (3, 3) right, down and forward as rows, metres a pixel."""

    centre: Floats
    axes: Floats
    step_m: float


@dataclass(frozen=True)
class NormalErrors:
    """`summed`: squared differences of colours (n + 1) / 2, mean over all pixels, summed over four views (ICON, ECON).
    degrees: mean angle where both are seen. overlap: intersection over union of the outlines, mean of the views."""

    summed: float
    degrees: float
    overlap: float


def frames(truth: Mesh, up: NDArray) -> list[Frame]:
    """Views at 0, 90, 180 and 270 degrees about `up` (3,), the first one as the camera looks; camera space.

    The true surface fills nine tenths of the picture's height and stands in its middle.
    """
    down = -np.asarray(up, np.float64) / np.linalg.norm(up)
    right = np.cross(down, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    forward = np.cross(right, down)
    base = np.stack([right, down, forward])
    local = truth.vertices @ base.T
    low, high = local.min(axis=0), local.max(axis=0)
    step = (high[1] - low[1]) / (HEIGHT_SHARE * PIXELS)
    out = []
    for turn in np.arange(VIEWS) * 2 * np.pi / VIEWS:
        cosine, sine = np.cos(turn), np.sin(turn)
        axes = np.stack([cosine * right - sine * forward, down, sine * right + cosine * forward])
        out.append(Frame(((low + high) / 2) @ base, axes, float(step)))
    return out


def rendered(mesh: Mesh, frame: Frame) -> tuple[Mask, Floats]:
    """Mask (H, W) and unit normals (H, W, 3) in the frame's axes with the third towards the eye; 0 off the mesh."""
    pixel = (np.arange(PIXELS) - (PIXELS - 1) / 2) * frame.step_m
    v, u = np.meshgrid(pixel, pixel, indexing="ij")
    reach = 2.0 * float(np.abs(mesh.vertices - frame.centre).max()) + 1.0
    local = np.stack([u, v, np.full_like(u, -reach)], axis=-1).reshape(-1, 3)
    rays = Rays((mesh.vertices - frame.centre) @ frame.axes.T, mesh.faces)
    face, distance = rays.cast(np.tile((0.0, 0.0, 1.0), (len(local), 1)), local)
    hit = face >= 0
    normal = np.zeros((len(local), 3))
    points = (local[hit] + distance[hit, None] * (0.0, 0.0, 1.0)) @ frame.axes + frame.centre
    normal[hit] = mesh.normals_at(face[hit], points) @ frame.axes.T * (1.0, -1.0, -1.0)
    return hit.reshape(PIXELS, PIXELS), normal.reshape(PIXELS, PIXELS, 3)


def from_four_sides(truth: Mesh, up: NDArray) -> list[tuple[Frame, Mask, Floats]]:
    """The frames of a true surface in camera space about `up` (3,), each with its mask and normals there."""
    return [(frame, *rendered(truth, frame)) for frame in frames(truth, up)]


def normal_errors(surface: Mesh, sides: list[tuple[Frame, Mask, Floats]]) -> NormalErrors:
    """Errors of the normals of `surface`, camera space, against a truth seen from four sides."""
    summed, degrees, pixels, shared = 0.0, 0.0, 0, []
    for frame, true_mask, true_normal in sides:
        mask, normal = rendered(surface, frame)
        either, both = mask | true_mask, mask & true_mask
        difference = _colours(mask, normal)[either] - _colours(true_mask, true_normal)[either]
        summed += float(np.square(difference).sum()) / mask.size
        cosine = np.clip((normal[both] * true_normal[both]).sum(axis=-1), -1, 1)
        degrees += float(np.degrees(np.arccos(cosine)).sum())
        pixels += int(both.sum())
        shared.append(overlap(mask, true_mask))
    return NormalErrors(summed, degrees / max(pixels, 1), float(np.mean(shared)))


def _colours(mask: Mask, normal: Floats) -> Floats:
    return np.asarray(np.where(mask[..., None], (normal + 1) / 2, 0.0), np.float64)
