"""Pinhole cameras. Camera space as OpenCV: x right, y down, z forward, metres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import LikenessError


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without skew or distortion.

    fx, fy, cx, cy: pixels; integer pixel coordinates are pixel centres.
    width, height: pixels.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        numbers = (self.fx, self.fy, self.cx, self.cy)
        if not all(np.isfinite(n) for n in numbers) or self.fx <= 0 or self.fy <= 0:
            raise LikenessError(
                "capture.intrinsics",
                f"The intrinsics are not usable: focal {self.fx:g}, {self.fy:g}, centre {self.cx:g}, {self.cy:g}.",
                "Give positive focal lengths in pixels.",
            )
        if self.width < 1 or self.height < 1:
            raise LikenessError(
                "capture.intrinsics",
                f"The intrinsics are for a picture of {self.width} x {self.height} pixels.",
                "Give the width and height of the colour picture.",
            )

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3) float64 intrinsics."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) points in camera space, metres -> (..., 2) pixels. Points behind the camera give no useful value."""
        depth = np.where(np.abs(points[..., 2]) < 1e-9, 1e-9, points[..., 2])
        return np.stack(
            [points[..., 0] / depth * self.fx + self.cx, points[..., 1] / depth * self.fy + self.cy], axis=-1
        )

    def rays(self) -> np.ndarray:
        """(height, width, 3) float32 directions through the pixel centres with z = 1."""
        u = (np.arange(self.width, dtype=np.float32) - np.float32(self.cx)) / np.float32(self.fx)
        v = (np.arange(self.height, dtype=np.float32) - np.float32(self.cy)) / np.float32(self.fy)
        directions = np.ones((self.height, self.width, 3), np.float32)
        directions[..., 0] = u[None, :]
        directions[..., 1] = v[:, None]
        return directions

    def backproject(self, depth: np.ndarray) -> np.ndarray:
        """(height, width) depth along the optical axis in metres -> (height, width, 3) float32 points."""
        return self.rays() * depth[..., None].astype(np.float32)

    def scaled(self, width: int, height: int) -> Camera:
        """The same view at another resolution (pixel centres stay pixel centres)."""
        sx, sy = width / self.width, height / self.height
        return Camera(
            self.fx * sx, self.fy * sy, (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5, int(width), int(height)
        )

    def cropped(self, left: int, top: int, width: int, height: int) -> Camera:
        """The camera of a window of the picture whose first pixel is (left, top)."""
        return Camera(self.fx, self.fy, self.cx - left, self.cy - top, int(width), int(height))

    def to_dict(self) -> dict[str, float]:
        """JSON-ready numbers."""
        return {k: getattr(self, k) for k in ("fx", "fy", "cx", "cy", "width", "height")}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Camera:
        """Read what to_dict wrote. Raises LikenessError where a number is missing."""
        try:
            values = {k: float(data[k]) for k in ("fx", "fy", "cx", "cy")}
            return cls(**values, width=int(data["width"]), height=int(data["height"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise LikenessError(
                "capture.intrinsics",
                f"The camera lacks a usable number: {error}.",
                "Give fx, fy, cx, cy, width and height in pixels.",
            ) from error
