"""Lens distortion (Brown-Conrady, also the rational and the inverse form) and its removal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from likeness.core.camera import Camera
from likeness.core.errors import LikenessError

_NAMED = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
_LIST_KEYS = ("coeffs", "distortion", "dist_coeffs", "distortion_coefficients", "dist", "D")


@dataclass(frozen=True)
class Distortion:
    """Coefficients in OpenCV's order k1 k2 p1 p2 k3 k4 k5 k6.

    inverse: the polynomial leads from the distorted to the straight picture (RealSense's inverse model).
    """

    coefficients: tuple[float, ...]
    inverse: bool = False

    def polynomial(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Apply the model to normalised coordinates of any shape."""
        k1, k2, p1, p2, k3, k4, k5, k6 = self.coefficients
        r2 = x * x + y * y
        radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        return (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )

    def distort(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the straight normalised point (x, y) lies in the distorted picture."""
        if not self.inverse:
            return self.polynomial(x, y)
        u, v = x.copy(), y.copy()
        for _ in range(20):
            back_x, back_y = self.polynomial(u, v)
            u, v = u + (x - back_x), v + (y - back_y)
        return u, v


def read_distortion(data: Mapping[str, Any], name: str) -> Distortion | None:
    """Distortion from a calibration's fields; None where there is none or all are 0. Raises `capture.intrinsics`."""
    model = str(data.get("model", data.get("distortion_model", ""))).lower().replace("_", " ")
    values = next((data[k] for k in _LIST_KEYS if isinstance(data.get(k), (list, tuple))), None)
    if values is None:
        values = [data.get(k, 0.0) for k in _NAMED]
    numbers = [float(v) for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) != len(values) or len(numbers) > 14 or not all(math.isfinite(n) and abs(n) < 1e3 for n in numbers):
        raise LikenessError(
            "capture.intrinsics",
            f"The distortion in {name} is not a list of numbers k1 k2 p1 p2 k3.",
            "Correct it, or remove it when the pictures are undistorted.",
        )
    if not any(numbers):
        return None
    if any(word in model for word in ("fisheye", "kannala", "equidistant", "ftheta", "omni")):
        raise LikenessError(
            "capture.intrinsics",
            f"{name} describes a fisheye lens ({model}), which is not supported.",
            "Undistort the pictures first and remove the coefficients.",
        )
    if any(numbers[8:]):
        raise LikenessError(
            "capture.intrinsics",
            f"{name} uses thin-prism or tilted lens terms, which are not supported.",
            "Undistort the pictures first and remove the coefficients.",
        )
    padded = (*numbers[:8], *([0.0] * (8 - len(numbers[:8]))))
    return Distortion(padded, inverse="inverse" in model)


def source_pixels(camera: Camera, distortion: Distortion) -> tuple[np.ndarray, np.ndarray]:
    """For every pixel of the straight picture, where to read in the distorted one: columns and rows, (H, W) f32."""
    rays = camera.rays().astype(np.float64)
    x, y = distortion.distort(rays[..., 0], rays[..., 1])
    return (x * camera.fx + camera.cx).astype(np.float32), (y * camera.fy + camera.cy).astype(np.float32)


def resample(image: np.ndarray, columns: np.ndarray, rows: np.ndarray, *, nearest: bool) -> np.ndarray:
    """Read (H, W) or (H, W, C) at the given places; 0 outside. nearest: no mixing, for depth and masks."""
    layers = image[..., None] if image.ndim == 2 else image
    order = 0 if nearest else 1
    out = np.stack(
        [
            ndimage.map_coordinates(layers[..., c].astype(np.float32), [rows, columns], order=order, cval=0.0)
            for c in range(layers.shape[-1])
        ],
        axis=-1,
    )
    if image.dtype == np.uint8:
        out = np.clip(out + 0.5, 0, 255)
    out = out.astype(image.dtype)
    return out[..., 0] if image.ndim == 2 else out
