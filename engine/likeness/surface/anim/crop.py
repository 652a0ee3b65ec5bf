"""The person cut out of a capture as a square picture, the camera following (anim.md, section 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from likeness.core.camera import Camera

# Free border around the mask, as a share of its longer side.
MARGIN = 0.09
# Samples along each side of a pixel of the crop when colours are averaged.
SUPERSAMPLE = 3


def crop_camera(mask: NDArray[np.bool_], camera: Camera, size: int, *, margin: float = MARGIN) -> Camera:
    """The camera of a square crop of `size` pixels around a mask (H, W), `margin` of its longer side free around it.

    Shares place and axes with `camera`; a point projects into both at the same place of the scene. Raises ValueError
    where the mask is empty.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        raise ValueError("the mask is empty")
    low = np.array([columns.min(), rows.min()]) - 0.5
    high = np.array([columns.max(), rows.max()]) + 0.5
    side = float((high - low).max()) * (1 + 2 * margin)
    scale, corner = size / side, (low + high) / 2 - side / 2
    # The crop's corner lies at its pixel coordinate -0.5.
    cx = (camera.cx - corner[0]) * scale - 0.5
    cy = (camera.cy - corner[1]) * scale - 0.5
    return Camera(camera.fx * scale, camera.fy * scale, float(cx), float(cy), size, size)


def nearest(image: NDArray, camera: Camera, crop: Camera) -> NDArray:
    """An image (H, W, ...) on the crop's pixels, each the source's nearest; zero beyond the picture."""
    return _picked(image, camera, crop, 0.0, 0.0)


def averaged(image: NDArray, camera: Camera, crop: Camera) -> NDArray[np.float32]:
    """An image (H, W, C) of numbers on the crop's pixels, each the mean of what lies under it."""
    parts = (np.arange(SUPERSAMPLE) + 0.5) / SUPERSAMPLE - 0.5
    total = np.zeros((crop.height, crop.width, image.shape[2]), np.float32)
    for dv in parts:
        for du in parts:
            total += _picked(image, camera, crop, float(dv), float(du))
    return (total / SUPERSAMPLE**2).astype(np.float32)


def _picked(image: NDArray, camera: Camera, crop: Camera, dv: float, du: float) -> NDArray:
    height, width = image.shape[:2]
    v = (np.arange(crop.height) + dv - crop.cy) / crop.fy * camera.fy + camera.cy
    u = (np.arange(crop.width) + du - crop.cx) / crop.fx * camera.fx + camera.cx
    v, u = np.floor(v + 0.5).astype(int), np.floor(u + 0.5).astype(int)
    inside = ((v >= 0) & (v < height))[:, None] & ((u >= 0) & (u < width))[None]
    found = image[np.ix_(np.clip(v, 0, height - 1), np.clip(u, 0, width - 1))]
    return np.where(inside.reshape(inside.shape + (1,) * (image.ndim - 2)), found, np.zeros((), image.dtype))
