"""Small pictures that show an artist what was understood: colour, cut-out, the points from the side."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from likeness.core.capture import Capture

_SIDE_PX = 256


def write_thumbnails(capture: Capture, folder: Path) -> dict[str, str]:
    """Write color.png, cutout.png and, with depth, side.png into an existing or new folder; returns their paths.

    At most 256 pixels a side, RGBA. Raises OSError where the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"color": _small(capture.color), "cutout": cutout(capture)}
    if capture.depth is not None:
        pictures["side"] = side_view(capture)
    written: dict[str, str] = {}
    for name, picture in pictures.items():
        stream = io.BytesIO()
        picture.save(stream, "PNG")
        target = folder / f"{name}.png"
        target.write_bytes(stream.getvalue())
        written[name] = str(target)
    return written


def _small(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
    return image


def cutout(capture: Capture) -> Image.Image:
    """The person alone, transparent around, cropped to them."""
    rows, cols = np.nonzero(capture.mask)
    if rows.size == 0:
        return Image.new("RGBA", (_SIDE_PX, _SIDE_PX))
    margin = max(2, round(0.03 * max(capture.mask.shape)))
    window = (
        slice(max(rows.min() - margin, 0), rows.max() + margin + 1),
        slice(max(cols.min() - margin, 0), cols.max() + margin + 1),
    )
    alpha = np.where(capture.mask[window], np.uint8(255), np.uint8(0))
    return _small(np.dstack([capture.color[window], alpha]))


def side_view(capture: Capture, side_px: int = _SIDE_PX) -> Image.Image:
    """The person's points seen from their left in the picture, upright, the camera's side to the left.

    Flying pixels, a wrong unit and a wall that sticks to the back show at once.
    """
    points = capture.points().astype(np.float64)
    colors = capture.color[capture.valid]
    canvas = np.zeros((side_px, side_px, 4), np.uint8)
    if len(points) == 0:
        return Image.fromarray(canvas)
    up = capture.up.astype(np.float64)
    forward = np.array([0.0, 0.0, 1.0])
    forward -= up * (forward @ up)
    forward /= max(float(np.linalg.norm(forward)), 1e-9)
    across = points @ np.cross(up, forward)
    x, y = points @ forward, -(points @ up)
    scale = 0.94 * (side_px - 1) / max(float(np.ptp(x)), float(np.ptp(y)), 1e-6)
    u = np.rint((x - 0.5 * (x.min() + x.max())) * scale + (side_px - 1) / 2).astype(int)
    v = np.rint((y - 0.5 * (y.min() + y.max())) * scale + (side_px - 1) / 2).astype(int)
    # Far points first, so that near ones cover them.
    order = np.argsort(across)
    canvas[v[order], u[order], :3] = colors[order]
    canvas[v[order], u[order], 3] = 255
    return Image.fromarray(canvas)
