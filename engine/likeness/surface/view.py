"""The capture as the drape looks at it: a window around the person at a working resolution, and rays into a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from likeness.core.camera import Camera
from likeness.core.capture import Capture

from .depthmap import DepthMap, prepare_depth

# Outlines and folds of a draped body gain nothing from more rows than this; a 12-megapixel photo would only cost time.
WORKING_ROWS = 800
# Share of the person's larger extent by which the window exceeds the mask: an ill-fitted limb shall land in it.
MARGIN = 0.12


@dataclass(frozen=True)
class View:
    """One person in a window (H, W) of the picture.

    camera: of the window. mask (H, W) bool. known (H, W) bool: pixels that the picture covers.
    depth: prepared depth map or None for a photo.
    """

    camera: Camera
    mask: np.ndarray
    known: np.ndarray
    depth: DepthMap | None


def make_view(capture: Capture, rows: int = WORKING_ROWS) -> View:
    """Cut the person's window out of a capture and bring it to at most `rows` pixels along its longer side."""
    height, width = capture.mask.shape
    ys, xs = np.nonzero(capture.mask)
    margin = int(np.ceil(MARGIN * max(np.ptp(ys), np.ptp(xs)) + 4))
    left, top = int(xs.min()) - margin, int(ys.min()) - margin
    window_w, window_h = int(np.ptp(xs)) + 1 + 2 * margin, int(np.ptp(ys)) + 1 + 2 * margin
    step = max(1.0, max(window_w, window_h) / rows)
    out_w, out_h = int(round(window_w / step)), int(round(window_h / step))
    camera = capture.camera.cropped(left, top, window_w, window_h).scaled(out_w, out_h)
    # Each working pixel takes the nearest source pixel: means across an outline would invent depth.
    u = np.floor((np.arange(out_w) + 0.5) * window_w / out_w).astype(int) + left
    v = np.floor((np.arange(out_h) + 0.5) * window_h / out_h).astype(int) + top
    inside_u, inside_v = (u >= 0) & (u < width), (v >= 0) & (v < height)
    known = inside_v[:, None] & inside_u[None, :]
    pick = np.ix_(np.clip(v, 0, height - 1), np.clip(u, 0, width - 1))
    mask = capture.mask[pick] & known
    depth = None
    if capture.depth is not None:
        raw = np.where(capture.valid, np.nan_to_num(capture.depth), 0.0)
        depth = prepare_depth(raw[pick] * mask, camera)
    return View(camera=camera, mask=mask, known=known, depth=depth)


class Rays:
    """Rays from the camera's centre into one triangle mesh (V, 3), (F, 3) in camera space."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        # Machines that only train have no Embree.
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self.vertices = np.ascontiguousarray(vertices, np.float32)
        self.faces = np.asarray(faces)
        self._scene = EmbreeScene()
        self._mesh = TriangleMesh(self._scene, np.ascontiguousarray(self.vertices[self.faces]))

    def cast(self, directions: np.ndarray, origins: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """First hits of rays along (N, 3): face (N,), -1 where there is none, and (N,) multiples.

        They start at the camera's centre unless origins (N, 3) are given.
        """
        directions = np.ascontiguousarray(directions.reshape(-1, 3), np.float32)
        start = np.zeros_like(directions) if origins is None else np.ascontiguousarray(origins, np.float32)
        hit = self._scene.run(start, directions, output=1)
        return hit["primID"].astype(np.int64), hit["tfar"].astype(np.float64)

    def passed(self, camera: Camera, *, behind: bool = False, beyond_m: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
        """First and second hits of all pixels of a camera at the origin: depths (H, W) in metres, 0 = none.

        behind: counted from the far end instead, from beyond_m along the axis: the last hit and the one before it.
        """
        rays = np.ascontiguousarray(camera.rays().reshape(-1, 3), np.float32)
        start, way = (np.float32(beyond_m), -rays) if behind else (np.float32(0), rays)
        reach = np.zeros(len(rays))
        out = []
        for skipped in (0.0, 5e-4):
            hit = self._scene.run(rays * start + way * (reach + skipped).astype(np.float32)[:, None], way, output=1)
            reach = reach + skipped + hit["tfar"].astype(np.float64)
            found = hit["primID"] >= 0
            depth = beyond_m - reach if behind else reach
            out.append(np.where(found, depth, 0.0).reshape(camera.height, camera.width))
            reach = np.where(found, reach, 0.0)
        return out[0], np.where(out[0] > 0, out[1], 0.0)

    def visible(self, tolerance_m: float = 0.004, *, behind: bool = False) -> np.ndarray:
        """(V,) bool: vertices that nothing hides from the camera; behind: that nothing lies behind, seen from it."""
        distance = np.linalg.norm(self.vertices, axis=1)
        directions = self.vertices / np.maximum(distance[:, None], 1e-9)
        if behind:
            return self.cast(directions, self.vertices + tolerance_m * directions)[0] < 0
        face, reach = self.cast(directions)
        return (face < 0) | (reach >= distance - tolerance_m)

    def render(self, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
        """First hits of all pixels of a camera at the origin: (H, W) face index or -1, (H, W) depth in metres or 0."""
        face, reach = self.cast(camera.rays())
        shape = (camera.height, camera.width)
        # rays() has z = 1, so the multiple is the depth along the optical axis.
        return face.reshape(shape), np.where(face >= 0, reach, 0.0).reshape(shape)


def outline_distance(mask: np.ndarray) -> np.ndarray:
    """(H, W) f64 signed distance to the outline of a (H, W) bool mask, pixels, positive inside, 0.5 at its rim."""
    if mask.all() or not mask.any():
        # There is no outline: as far away as the picture allows.
        return np.full(mask.shape, float(sum(mask.shape)) if mask.all() else -float(sum(mask.shape)))
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    return np.where(mask, inside - 0.5, 0.5 - outside)
