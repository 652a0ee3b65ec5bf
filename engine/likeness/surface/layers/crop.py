"""The person cut out of a capture at a fixed metric pixel: what the two-layer network looks at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from likeness.core.camera import Camera

PIXEL_M = 0.012
ROWS, COLUMNS = 160, 128
# Source samples along each side of a crop's pixel: their median is less noisy than one, and keeps edges.
SUPERSAMPLE = 3
# The network halves the picture four times, its folding included.
MULTIPLE = 16
MARGIN_PX = 3
# Neighbouring pixels that differ by more than this lie on different limbs (feasibility: layers of naive inflation).
JUMP_M = 0.06


@dataclass(frozen=True)
class Crop:
    """One person on pixels of fixed metric size; arrays (H, W), camera space as OpenCV.

    camera: of the crop; shares place and axes with the capture's. distance_m: the person's median depth, at which a
    pixel is pixel_m wide. front f32 metres along the axis, 0 without a reading; mask bool.
    """

    camera: Camera
    distance_m: float
    pixel_m: float
    front: NDArray[np.float32]
    mask: NDArray[np.bool_]


def crop_camera(
    mask: NDArray[np.bool_],
    distance_m: float,
    camera: Camera,
    *,
    pixel_m: float = PIXEL_M,
    size: tuple[int, int] | None = (ROWS, COLUMNS),
    offset_px: tuple[float, float] = (0.0, 0.0),
) -> Camera:
    """The crop's camera: the mask's box in the middle, a pixel `pixel_m` wide at `distance_m`.

    size: rows and columns, None for as many (multiples of MULTIPLE) as hold the mask. offset_px: rows and columns by
    which the box lies off the middle. The mask (H, W) must not be empty.
    """
    rows, columns = np.nonzero(mask)
    focal = distance_m / pixel_m
    # The box in rays (x / z, y / z), from outer edge to outer edge of its pixels.
    low = np.array([(rows.min() - 0.5 - camera.cy) / camera.fy, (columns.min() - 0.5 - camera.cx) / camera.fx])
    high = np.array([(rows.max() + 0.5 - camera.cy) / camera.fy, (columns.max() + 0.5 - camera.cx) / camera.fx])
    if size is None:
        needed = np.ceil((high - low) * focal) + 2 * MARGIN_PX
        size = tuple(int(-(-n // MULTIPLE)) * MULTIPLE for n in needed)  # type: ignore[assignment]
    height, width = size  # type: ignore[misc]
    middle = (low + high) / 2 * focal
    cy = (height - 1) / 2 + offset_px[0] - middle[0]
    cx = (width - 1) / 2 + offset_px[1] - middle[1]
    return Camera(focal, focal, float(cx), float(cy), int(width), int(height))


def person_distance(depth: NDArray, mask: NDArray[np.bool_]) -> float:
    """Median depth of the person in metres; raises ValueError where nothing of it was measured."""
    values = depth[mask & (depth > 0)]
    if not len(values):
        raise ValueError("no depth inside the mask")
    return float(np.median(values))


def resample(
    depth: NDArray, mask: NDArray[np.bool_], camera: Camera, crop: Camera
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Depth (H, W) metres, 0 = none, and mask (H, W) of a capture on a crop's pixels: front f32 and mask.

    A pixel's depth is the lower median of the readings on the person under it, which never invents one between two
    limbs. It lies on the person where most of its samples do.
    """
    height, width = mask.shape
    parts = (np.arange(SUPERSAMPLE) + 0.5) / SUPERSAMPLE - 0.5
    v = (np.arange(crop.height)[:, None] + parts - crop.cy).ravel() / crop.fy * camera.fy + camera.cy
    u = (np.arange(crop.width)[:, None] + parts - crop.cx).ravel() / crop.fx * camera.fx + camera.cx
    v, u = np.floor(v + 0.5).astype(int), np.floor(u + 0.5).astype(int)
    inside = ((v >= 0) & (v < height))[:, None] & ((u >= 0) & (u < width))[None]
    pick = np.ix_(np.clip(v, 0, height - 1), np.clip(u, 0, width - 1))
    person = _blocks(mask[pick] & inside, crop)
    values = _blocks(np.where(depth[pick] > 0, depth[pick], np.inf), crop)
    values = np.sort(np.where(person, values, np.inf), axis=-1)
    count = np.isfinite(values).sum(-1)
    middle = np.take_along_axis(values, np.maximum(count - 1, 0)[..., None] // 2, -1)[..., 0]
    inner = person.sum(-1) * 2 > SUPERSAMPLE**2
    front = np.where(inner & (count * 3 >= SUPERSAMPLE**2), middle, 0).astype(np.float32)
    return front, inner


def _blocks(values: NDArray, crop: Camera) -> NDArray:
    """(H s, W s) -> (H, W, s s)."""
    shape = (crop.height, SUPERSAMPLE, crop.width, SUPERSAMPLE)
    return values.reshape(shape).transpose(0, 2, 1, 3).reshape(crop.height, crop.width, -1)


def make_crop(
    depth: NDArray,
    mask: NDArray[np.bool_],
    camera: Camera,
    *,
    pixel_m: float = PIXEL_M,
    size: tuple[int, int] | None = None,
    offset_px: tuple[float, float] = (0.0, 0.0),
) -> Crop:
    """Cut the person out of a depth picture (H, W) metres, 0 = none; see `crop_camera`.

    Raises ValueError where nothing of the person was measured.
    """
    distance = person_distance(depth, mask)
    inner = crop_camera(mask, distance, camera, pixel_m=pixel_m, size=size, offset_px=offset_px)
    front, person = resample(depth, mask, camera, inner)
    return Crop(inner, distance, pixel_m, front, person)


def filled(front: NDArray, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The front with every hole inside the mask filled from its nearest reading; f32, 0 off the mask."""
    known = mask & (front > 0)
    if not known.any():
        return np.zeros(front.shape, np.float32)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.where(mask, front[tuple(nearest)], 0).astype(np.float32)


def border_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(H, W) f32 pixels to the nearest pixel off the mask, 0 off it; beyond the picture's rim is off it too."""
    padded = np.pad(mask, 1)
    return ndimage.distance_transform_edt(padded)[1:-1, 1:-1].astype(np.float32)
