"""From what the network saw of a capture to the person's closed surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from likeness.core.capture import Capture
from likeness.core.progress import Report, quiet

from .extract import Box, Extracted, extract
from .extract_hull import Silhouette
from .network import AnimState

# Around the outline, for what the mask cuts off; and the least box, for hands and busts.
MARGIN_M, LEAST_M = 0.1, 0.6


def extract_person(
    state: AnimState,
    capture: Capture,
    resolution: int = 256,
    *,
    body: NDArray | None = None,
    lipschitz: float = 1.0,
    newton: int = 1,
    report: Report = quiet,
) -> Extracted:
    """The zero level of a batch of one, camera space, metres.

    body (V, 3): vertices of the fitted body where thin parts may hide (hands). Other arguments and errors as `extract`.
    """
    points = capture.points()
    seeds = points if body is None else np.concatenate([points, np.asarray(body, np.float32)])
    return extract(
        state.sdf,
        box_of(capture, state.inputs.centre[0].cpu().numpy(), state.net.config.side_m),
        resolution,
        lipschitz=lipschitz,
        seeds=seeds,
        near=Silhouette(capture.mask, capture.camera),
        newton=newton,
        device=state.inputs.depth.device,
        report=report,
    )


def box_of(capture: Capture, centre: NDArray, most_m: float) -> Box:
    """The smallest cube about the outline at the person's distance, at most the network's own of side `most_m`: cells
    are for the person. centre (3,): of the network's cube; the box keeps its depth and follows the outline across."""
    rows, columns = np.nonzero(capture.mask)
    near, far = np.percentile(capture.points()[:, 2], (2, 98))
    corners = np.array([[u, v] for u in (columns.min(), columns.max()) for v in (rows.min(), rows.max())], float)
    c = capture.camera
    ends = np.array([[(u - c.cx) / c.fx * z, (v - c.cy) / c.fy * z] for u, v in corners for z in (near, far)])
    low, high = ends.min(axis=0), ends.max(axis=0)
    side = float(np.clip((high - low).max() + 2 * MARGIN_M, LEAST_M, most_m))
    # A leg stretched to the camera or away from it needs depth as well.
    side = min(max(side, float(far - near) + 0.5), most_m)
    # Never beyond the network's cube: there it knows nothing.
    reach = (most_m - side) / 2
    across = np.clip((low + high) / 2, centre[:2] - reach, centre[:2] + reach)
    corner = np.array([*across, centre[2]]) - side / 2
    return Box((float(corner[0]), float(corner[1]), float(corner[2])), side)
