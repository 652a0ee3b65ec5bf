"""Where nobody can be: in front of what was measured and beside the outline (anim.md, section 8b)."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from likeness.core.capture import Capture
from likeness.surface.layers.predict import Layers
from likeness.surface.view import make_view

from .guess import RayGrid, numbers, window

# Of the grid; a trilinear distance errs by a fraction of it.
GRID_M = 0.012
# Free space ends this many deviations of the noise, and at least LEAST_M, before the readings.
SIGMAS, LEAST_M = 3.0, 0.006
_BEFORE_M, _BEHIND_M = 0.1, 0.6


def free_space(capture: Capture, grid_m: float = GRID_M) -> RayGrid:
    """Signed distance in metres to the border of the observed free space, positive in it.

    A lower bound of the true signed distance: a ball that fits into free space holds nothing. Free is what lies before
    every reading within a pixel, less the noise, and what lies a pixel and more beside the mask.
    """
    view = make_view(capture)
    assert view.depth is not None
    known = view.mask & (view.depth.depth > 0)
    noise = SIGMAS * float(np.median(view.depth.noise[known]))
    empty = np.zeros(view.mask.shape)
    layers = Layers(view.depth.depth, empty, view.mask, known, view.camera).thinned(grid_m)
    outline = ndimage.binary_dilation(layers.mask, np.ones((3, 3)))
    camera, (depth, mask, rim) = window(
        layers.camera, outline, [layers.front, layers.mask, outline], round(_BEFORE_M / grid_m)
    )
    # Where a person's pixel has no reading nothing is known to be free; a jump of depth may lie a pixel off.
    seen = depth[depth > 0]
    nearest = ndimage.minimum_filter(np.where(depth > 0, depth, np.inf), 3)
    before = np.where(np.isfinite(nearest), nearest - max(noise, LEAST_M), 0.0)
    limit = np.where(rim, before, np.inf)
    limit = np.where(mask & (depth == 0), 0.0, limit)
    first = float(seen.min()) - _BEFORE_M
    count = int(np.ceil((float(np.percentile(seen, 98)) + _BEHIND_M - first) / grid_m))
    free = (first + grid_m * np.arange(count))[:, None, None] < limit
    pixel_m = float(np.median(seen)) / camera.fx
    spacing = (grid_m, pixel_m, pixel_m)
    inside, outside = (ndimage.distance_transform_edt(side, sampling=spacing) for side in (free, ~free))
    half = grid_m / 2
    values = np.where(free, inside - half, half - outside)
    return RayGrid(torch.from_numpy(values.astype(np.float16)), numbers(camera), first, grid_m)
