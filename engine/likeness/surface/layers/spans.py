"""Where a ray runs through air between two limbs: the layers' slab opened behind what is in front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from likeness.body.model import BodyModel, load_default
from likeness.core.camera import Camera
from likeness.core.fit import Fit
from likeness.surface.layers.crop import JUMP_M
from likeness.surface.view import Rays

# Air less deep than this is not opened, and nothing solid is made thinner.
LEAST_GAP_M, LEAST_SOLID_M = 0.02, 0.03
# A limb is deeper than its tube by this much only where something else lies behind it.
EXCESS_M = 0.08
# Farther than this from the layers, a fitted body's limb is not the one that the picture shows.
ASTRAY_M = 0.08
# Beside open air, a limb this much deeper than its tube is a web.
WEB_M = 0.05
# Cloth lies this far off the bare body.
CLOTH_M = 0.01
# The surface behind a limb is looked for so far around it.
REACH_M = 0.2


@dataclass(frozen=True)
class Gap:
    """Air within a ray's solid span, (H, W) f64 m along the axis from start to stop; none where not open (bool)."""

    start: NDArray[np.float64]
    stop: NDArray[np.float64]
    open: NDArray[np.bool_]


@dataclass(frozen=True)
class BodyHits:
    """Hits of a fitted bare body, (H, W) f64 m along the axis, 0 = none.

    first; leaves: where the ray leaves again; enters: where it enters for the last time; last.
    """

    first: NDArray[np.float64]
    leaves: NDArray[np.float64]
    enters: NDArray[np.float64]
    last: NDArray[np.float64]


def body_hits(vertices: NDArray, faces: NDArray, camera: Camera) -> BodyHits:
    """Of a closed body (V, 3), (F, 3) in camera space."""
    rays = Rays(vertices, faces)
    first, leaves = rays.passed(camera)
    last, enters = rays.passed(camera, behind=True)
    return BodyHits(first, leaves, enters, last)


def gap_by_body(front: NDArray, back: NDArray, hits: BodyHits) -> Gap:
    """Air that a fitted body has, moved along the ray to where the layers are; closed where the two disagree."""
    near, far = front - hits.first, back - hits.last
    start, stop = hits.leaves + near + CLOTH_M, hits.enters + far - CLOTH_M
    agreed = (hits.first > 0) & (np.abs(near) < ASTRAY_M) & (np.abs(far) < ASTRAY_M)
    return _opened(front, back, start, stop, agreed & (hits.enters > hits.leaves))


def gap_by_jumps(front: NDArray, back: NDArray, mask: NDArray[np.bool_], tube: NDArray, camera: Camera) -> Gap:
    """Air behind limbs whose front ends in a jump. tube (H, W) m: how deep each limb would be if it were round.

    What lies behind begins where the nearest farther front beside the limb lies.
    """
    near_side, far_side = _jumps(front, mask)
    deep = mask & (back - front > tube + EXCESS_M)
    pieces, _ = ndimage.label(deep, np.ones((3, 3)))
    limbs = deep & np.isin(pieces, np.unique(pieces[near_side & deep]))
    if not (limbs.any() and far_side.any()):
        return Gap(np.zeros(front.shape), np.zeros(front.shape), np.zeros(front.shape, bool))
    away, nearest = ndimage.distance_transform_edt(~far_side, return_indices=True)
    behind = ndimage.gaussian_filter(front[tuple(nearest)], 2.0)
    close = away * front / camera.fx < REACH_M
    return _opened(front, back, front + np.maximum(tube, LEAST_SOLID_M), behind, limbs & close)


def either(first: Gap, second: Gap) -> Gap:
    """The first's air, and where it has none the second's."""
    return Gap(
        np.where(first.open, first.start, second.start),
        np.where(first.open, first.stop, second.stop),
        first.open | second.open,
    )


def grown(gap: Gap, front: NDArray, back: NDArray, mask: NDArray[np.bool_], tube: NDArray, reach_px: int = 6) -> Gap:
    """The air carried on to the limb's rim, where a misplaced body or a short guess left a thin web.

    A pixel joins where it is deeper than its limb and no more than reach_px from open air: it takes the limb's depth
    from there.
    """
    if not gap.open.any():
        return gap
    away, nearest = ndimage.distance_transform_edt(~gap.open, return_indices=True)
    place = tuple(nearest)
    deep = mask & (away <= reach_px) & (back - front > np.minimum(tube, (gap.start - front)[place]) + WEB_M)
    start = np.where(
        gap.open, gap.start, front + np.minimum((gap.start - front)[place], np.maximum(tube, LEAST_SOLID_M))
    )
    return _opened(front, back, start, np.where(gap.open, gap.stop, gap.stop[place]), deep | gap.open)


def fit_surface(fit: Fit, model: BodyModel | None = None) -> tuple[NDArray, NDArray]:
    """The fitted bare body's vertices (V, 3) in camera space and faces; without a model that of the body that ships."""
    if model is None:
        model = load_default("smpl" if len(fit.pose) == 24 else "smplh", fit.people, max(20, len(fit.betas)))
    return model.posed(fit.betas, fit.pose, fit.translation)[0], model.faces


def _opened(front: NDArray, back: NDArray, start: NDArray, stop: NDArray, wanted: NDArray[np.bool_]) -> Gap:
    """Only where both sides stay solid and the air is worth it; lone pixels are closed again."""
    start = np.maximum(start, front + LEAST_SOLID_M)
    stop = np.minimum(stop, back - LEAST_SOLID_M)
    real = ndimage.binary_opening(wanted & (stop - start > LEAST_GAP_M))
    return Gap(start, stop, real)


def _jumps(front: NDArray, mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels (H, W) on the nearer and on the farther side of a jump of the front."""
    near, far = np.zeros(mask.shape, bool), np.zeros(mask.shape, bool)
    for axis in (0, 1):
        a = tuple(slice(None, -1) if k == axis else slice(None) for k in (0, 1))
        b = tuple(slice(1, None) if k == axis else slice(None) for k in (0, 1))
        both = mask[a] & mask[b]
        step = front[b] - front[a]
        near[a] |= both & (step > JUMP_M)
        far[b] |= both & (step > JUMP_M)
        near[b] |= both & (step < -JUMP_M)
        far[a] |= both & (step < -JUMP_M)
    return near, far
