"""What every method starts from: one person, one picture, perhaps with depth."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .camera import Camera


@dataclass(frozen=True)
class Capture:
    """One person in one undistorted picture; colour, mask and depth have the same size.

    color: (H, W, 3) u8 sRGB. mask: (H, W) bool, true on the person.
    depth: (H, W) f32 metres along the optical axis, registered to colour, 0 without a reading; None for a photo.
    camera: intrinsics of the colour picture; camera_known says whether they were measured or assumed.
    up: (3,) f32 unit vector in camera space that points away from the floor.
    source_sha256: of the bytes that were read. mask_source: file, alpha, depth or segmenter.
    """

    color: np.ndarray
    mask: np.ndarray
    depth: np.ndarray | None
    camera: Camera
    camera_known: bool
    name: str
    source_sha256: str
    mask_source: str
    up: np.ndarray = field(default_factory=lambda: np.array([0.0, -1.0, 0.0], np.float32))
    warnings: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """'rgbd' or 'photo'."""
        return "photo" if self.depth is None else "rgbd"

    @property
    def valid(self) -> np.ndarray:
        """(H, W) bool: the person's pixels that have a depth reading."""
        if self.depth is None:
            return np.zeros(self.mask.shape, bool)
        return self.mask & (self.depth > 0)

    def points(self) -> np.ndarray:
        """(N, 3) f32 points of the person in camera space, row-major over valid pixels."""
        if self.depth is None:
            return np.zeros((0, 3), np.float32)
        rows, cols = np.nonzero(self.valid)
        z = self.depth[rows, cols]
        c = self.camera
        return np.stack([(cols - c.cx) / c.fx * z, (rows - c.cy) / c.fy * z, z], axis=1).astype(np.float32)
