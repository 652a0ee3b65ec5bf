"""A figure of known size before a camera, and ways to write it as files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from likeness.capture.people import PeopleFinder
from likeness.core.camera import Camera
from PIL import Image

#: Middle of the body and radii of its ellipsoids, metres: 1.7 m from the soles to the crown, 2.2 m before the camera.
PARTS = (
    ((0, -0.74, 2.2), (0.10, 0.13, 0.11)),
    ((0, -0.33, 2.2), (0.19, 0.32, 0.13)),
    ((-0.11, 0.38, 2.2), (0.09, 0.47, 0.10)),
    ((0.11, 0.38, 2.2), (0.09, 0.47, 0.10)),
    ((-0.28, -0.25, 2.2), (0.06, 0.34, 0.06)),
    ((0.28, -0.25, 2.2), (0.06, 0.34, 0.06)),
)
COLORS = np.array(
    [[70, 90, 80], [210, 170, 140], [40, 90, 160], [60, 60, 70], [60, 60, 70], [40, 90, 160], [40, 90, 160]]
)


@dataclass
class Figure:
    """depth (H, W) f32 m, 0 outside; color (H, W, 3) u8; mask (H, W) bool; camera."""

    depth: np.ndarray
    color: np.ndarray
    mask: np.ndarray
    camera: Camera

    def raw(self, unit_m: float = 0.001) -> np.ndarray:
        """(H, W) f64 whole numbers as a sensor stores them."""
        return np.rint(self.depth.astype(np.float64) / unit_m)

    def write(self, folder: Path, *, unit_m: float = 0.001, with_mask: bool = False, **intrinsics: object) -> Path:
        """A capture folder of color.png, 16-bit depth.png and intrinsics.json."""
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.color).save(folder / "color.png")
        Image.fromarray(self.raw(unit_m).astype(np.uint16)).save(folder / "depth.png")
        if with_mask:
            Image.fromarray(self.mask).save(folder / "mask.png")
        data = {**self.camera.to_dict(), "depth_scale": unit_m, **intrinsics}
        (folder / "intrinsics.json").write_text(json.dumps({k: v for k, v in data.items() if v is not None}))
        return folder


def ray_trace(camera: Camera, parts=PARTS, offset=(0.0, 0.0, 0.0)) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) f64 with inf outside, and the index of the part hit, from 1; closed form."""
    v, u = np.mgrid[0 : camera.height, 0 : camera.width].astype(float)
    ray = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1)
    z, part = np.full(u.shape, np.inf), np.zeros(u.shape, int)
    for i, (center, radii) in enumerate(parts, 1):
        d, o = ray / np.array(radii), -(np.array(center) + offset) / np.array(radii)
        a, b, k = (d * d).sum(-1), (d * o).sum(-1), (o * o).sum() - 1
        root = b * b - a * k
        t = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
        hit = (t < z) & (t > 0)
        z[hit], part[hit] = t[hit], i
    return z, part


def make_figure(width: int = 240, height: int = 320, focal: float | None = None, offset=(0.0, 0.0, 0.0)) -> Figure:
    focal = focal or 1.1 * height
    camera = Camera(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)
    z, part = ray_trace(camera, offset=offset)
    mask = np.isfinite(z)
    return Figure(np.where(mask, z, 0).astype(np.float32), COLORS[part].astype(np.uint8), mask, camera)


class FakeFinder:
    """Stands in for the detector: people given as masks, with landmarks at head and ankles. Counts its calls."""

    def __init__(self, *masks: np.ndarray, head=None, feet=None) -> None:
        self.masks, self.calls = masks, 0
        self.head, self.feet = head, feet

    def detect(self, color: np.ndarray):
        self.calls += 1
        return [self._person(m) for m in self.masks]

    def _person(self, mask):
        rows, cols = np.nonzero(mask)
        points = np.full((33, 2), [np.median(cols), np.median(rows)], np.float64)
        points[[0, 7, 8]] = self.head or [np.median(cols), rows.min() + 3]
        points[[27, 28]] = self.feet or [np.median(cols), rows.max() - 3]
        return SimpleNamespace(points=points, visibility=np.ones(33), score=0.9, mask=mask)

    def finder(self) -> PeopleFinder:
        return PeopleFinder(self.detect, lambda color, person: person.mask.astype(np.float32))


@pytest.fixture
def figure() -> Figure:
    return make_figure()


@pytest.fixture
def nobody() -> PeopleFinder:
    return FakeFinder().finder()


@pytest.fixture
def fake_finder():
    return FakeFinder


@pytest.fixture(scope="session")
def new_figure():
    return make_figure
