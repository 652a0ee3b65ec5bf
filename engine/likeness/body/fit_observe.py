"""What a capture says about the body, brought into the form that the fit's energies read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from likeness.body.landmarks import MIRROR, Landmarks
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from scipy import ndimage

CLOUD_POINTS = 2200
CONTOUR_POINTS = 320
FIELD_SIDE = 320
# Readings beside a jump of this share of the distance belong half to the background.
JUMP = 0.02
MIN_VISIBILITY = 0.25

# Radians. On 32 legs of synthesised training people BlazePose read 18 to 27 degrees where frontal knees had under 9,
# and 33 where they had 33 to 38.
STRAIGHT_KNEE = (0.33, 0.58)


@dataclass(frozen=True)
class Evidence:
    """One person's measurements in camera space; float32 unless said.

    uv (33, 2) px and trust (33,) 0..1 of BlazePose's points; world (33, 3) m, camera axes; landmark_depth (33,) m:
    reading at the point, 0 where there is none. cloud (N, 3) m and normals (N, 3) towards the camera, both empty for
    a photo. outside (h, w) px: distance to the mask, 0 inside; `field_step` px a cell. contour (M, 2) px: the mask's
    edge where it is not the picture's own edge. up (3,): away from the floor, camera space. depth (H, W) m: cleaned, 0
    where it is not trusted, or None. hands (2, 21, 3): px, px and confidence of the hands' points as somebody gave
    them, or None.
    """

    camera: Camera
    uv: np.ndarray
    trust: np.ndarray
    world: np.ndarray
    landmark_depth: np.ndarray
    cloud: np.ndarray
    normals: np.ndarray
    outside: np.ndarray
    field_step: float
    contour: np.ndarray
    up: np.ndarray
    depth: np.ndarray | None = None
    hands: np.ndarray | None = None

    @property
    def has_depth(self) -> bool:
        """Whether there are enough depth readings to fit to."""
        return len(self.cloud) >= 100

    def exchanged(self, points: Iterable[int], *, flipped: bool) -> Evidence:
        """Another reading of the landmarks: left is right at these points.

        flipped: what seemed near is far, too (a back view taken for a front view).
        """
        order = np.arange(33)
        order[list(points)] = np.array(MIRROR)[list(points)]
        return replace(
            self,
            uv=self.uv[order],
            trust=self.trust[order],
            world=self.world[order] * np.array([1, 1, -1 if flipped else 1], np.float32),
            landmark_depth=self.landmark_depth[order],
        )


def observe(capture: Capture, landmarks: Landmarks, rng: np.random.Generator) -> Evidence:
    """Evidence of a capture whose person has these landmarks; points are drawn by `rng`."""
    uv = landmarks.points.astype(np.float32)
    trust = (landmarks.visibility * landmarks.presence).astype(np.float32)
    trust = np.where(trust < MIN_VISIBILITY, 0.0, trust)
    height, width = capture.mask.shape
    inside = (uv[:, 0] > -2) & (uv[:, 0] < width + 1) & (uv[:, 1] > -2) & (uv[:, 1] < height + 1)
    trust = np.where(inside, trust, 0.0).astype(np.float32)
    points, normals, clean = depth_cloud(capture)
    if len(points) > CLOUD_POINTS:
        chosen = np.sort(rng.choice(len(points), CLOUD_POINTS, replace=False))
        points, normals = points[chosen], normals[chosen]
    outside, step = outside_field(capture.mask)
    return Evidence(
        camera=capture.camera,
        uv=uv,
        trust=trust,
        world=straightened(landmarks.world.astype(np.float32)),
        landmark_depth=depth_at(clean, uv),
        cloud=points,
        normals=normals,
        outside=outside,
        field_step=step,
        contour=mask_contour(capture.mask, rng),
        up=np.asarray(capture.up, np.float32),
        depth=clean if len(points) >= 100 else None,
        hands=landmarks.hands,
    )


def straightened(world: np.ndarray) -> np.ndarray:
    """World points (33, 3) m whose knees stand as straight as they are: seen from the front, BlazePose bends them.

    A knee read at STRAIGHT_KNEE[0] radians or less is straight, from STRAIGHT_KNEE[1] on the reading is believed.
    """
    out = world.copy()
    for hip, knee, ankle in ((23, 25, 27), (24, 26, 28)):
        thigh, shin = world[knee] - world[hip], world[ankle] - world[knee]
        lengths = np.linalg.norm(thigh), np.linalg.norm(shin)
        bend = np.arccos(np.clip(thigh @ shin / max(lengths[0] * lengths[1], 1e-9), -1.0, 1.0))
        low, high = STRAIGHT_KNEE
        believed = np.clip((bend - low) / (high - low), 0.0, 1.0) * high / max(bend, 1e-6) if bend < high else 1.0
        straight = world[hip] + (world[ankle] - world[hip]) * lengths[0] / max(sum(lengths), 1e-9)
        out[knee] = straight + (world[knee] - straight) * np.float32(min(believed, 1.0))
    return out


def depth_cloud(capture: Capture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (N, 3), normals (N, 3) towards the camera, and the cleaned depth (H, W), 0 where it is not trusted."""
    empty = np.zeros((0, 3), np.float32)
    if capture.depth is None:
        return empty, empty, np.zeros(capture.mask.shape, np.float32)
    depth = np.where(capture.valid, capture.depth, 0.0).astype(np.float32)
    depth = without_rim(depth)
    valid = depth > 0
    if valid.sum() < 100:
        return empty, empty, depth
    # Gaussian over valid readings only, about 1.2 px: sensor noise would otherwise tilt every normal.
    weight = ndimage.gaussian_filter(valid.astype(np.float32), 1.2)
    smooth = np.where(valid, ndimage.gaussian_filter(depth, 1.2) / np.maximum(weight, 1e-6), 0.0)
    grid = capture.camera.backproject(smooth)
    across, along = np.zeros_like(grid), np.zeros_like(grid)
    across[:, 1:-1] = grid[:, 2:] - grid[:, :-2]
    along[1:-1] = grid[2:] - grid[:-2]
    whole = ndimage.binary_erosion(valid, iterations=1)
    normal = np.cross(along, across)
    length = np.linalg.norm(normal, axis=-1)
    whole &= length > 1e-12
    normal = normal / np.maximum(length, 1e-12)[..., None]
    toward = -np.sign((normal * grid).sum(-1))[..., None]
    points = capture.camera.backproject(depth)[whole]
    return points.astype(np.float32), (normal * toward)[whole].astype(np.float32), depth


def without_rim(depth: np.ndarray) -> np.ndarray:
    """Depth (H, W) without mixed readings at its edges and without specks far from the rest."""
    valid = depth > 0
    far = np.where(valid, depth, -np.inf)
    near = np.where(valid, depth, np.inf)
    spread = ndimage.maximum_filter(far, 3) - ndimage.minimum_filter(near, 3)
    middle = float(np.median(depth[valid])) if valid.any() else 0.0
    keep = valid & (spread < JUMP * max(middle, 0.3) * 1.5) & (np.abs(depth - middle) < 1.3)
    labels, count = ndimage.label(keep)
    if count:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        keep &= sizes[labels] >= max(20, 0.005 * sizes.max())
    return np.where(keep, depth, 0.0).astype(np.float32)


def depth_at(depth: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Median reading (N,) in 7 x 7 pixels around points (N, 2); 0 where fewer than 5 readings lie there."""
    height, width = depth.shape
    out = np.zeros(len(uv), np.float32)
    for index, (x, y) in enumerate(np.round(uv).astype(int)):
        if not (0 <= x < width and 0 <= y < height):
            continue
        patch = depth[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4]
        readings = patch[patch > 0]
        out[index] = np.median(readings) if len(readings) >= 5 else 0.0
    return out


def outside_field(mask: np.ndarray) -> tuple[np.ndarray, float]:
    """Distance to the mask in pixels on a coarser grid (h, w) float32, and the grid's step in pixels."""
    step = max(1, int(np.ceil(max(mask.shape) / FIELD_SIDE)))
    rows, columns = mask.shape[0] // step, mask.shape[1] // step
    blocks = mask[: rows * step, : columns * step].reshape(rows, step, columns, step)
    coarse = blocks.mean(axis=(1, 3)) > 0.3
    if not coarse.any():
        return np.zeros((rows, columns), np.float32), float(step)
    return (ndimage.distance_transform_edt(~coarse) * step).astype(np.float32), float(step)


def mask_contour(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points (M, 2) px on the mask's edge, without those where the picture's border cuts the person."""
    filled = ndimage.binary_opening(ndimage.binary_fill_holes(mask), iterations=1)
    edge = filled & ~ndimage.binary_erosion(filled, border_value=1)
    edge[[0, 1, -2, -1]] = False
    edge[:, [0, 1, -2, -1]] = False
    rows, columns = np.nonzero(edge)
    points = np.stack([columns, rows], axis=1).astype(np.float32)
    if len(points) > CONTOUR_POINTS:
        points = points[np.sort(rng.choice(len(points), CONTOUR_POINTS, replace=False))]
    return points
