"""Depth readings made fit for draping: noise down, flying pixels out, normals and a trust for each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from likeness.core.camera import Camera

# Neighbouring pixels that differ by more than this lie on different surfaces (a wrist before a hip is 40 mm away).
JUMP_M = 0.03
# Range scale of the bilateral filter: twice the noise of a time-of-flight camera at 2 m, half a small fold.
RANGE_SIGMA_M = 0.005
# A reading needs this many of its 8 neighbours on its own surface; flying pixels at outlines have fewer.
MIN_SUPPORT = 5

_NEIGHBOURS = [(dv, du) for dv in (-1, 0, 1) for du in (-1, 0, 1) if (dv, du) != (0, 0)]


@dataclass(frozen=True)
class DepthMap:
    """depth (H, W) f64 metres, smoothed, 0 = none; trust (H, W) f64 0..1; points, normals (H, W, 3) camera space.

    noise (H, W) f64: standard deviation of the readings around, metres. Normals are unit, towards the camera, zero
    where unknown.
    """

    depth: np.ndarray
    trust: np.ndarray
    noise: np.ndarray
    points: np.ndarray
    normals: np.ndarray


def shifted(image: np.ndarray, dv: int, du: int) -> np.ndarray:
    """image[v + dv, u + du] for every pixel (v, u), zero beyond the border."""
    out = np.zeros_like(image)
    height, width = image.shape[:2]
    target_v = slice(max(0, -dv), min(height, height - dv))
    target_u = slice(max(0, -du), min(width, width - du))
    source_v = slice(max(0, dv), min(height, height + dv))
    source_u = slice(max(0, du), min(width, width + du))
    out[target_v, target_u] = image[source_v, source_u]
    return out


def prepare_depth(depth: np.ndarray, camera: Camera) -> DepthMap:
    """Filter raw depth (H, W) metres, 0 = no reading, of a camera of the same size."""
    depth = np.where(np.isfinite(depth) & (depth > 0), depth, 0.0).astype(np.float64)
    support = np.zeros(depth.shape, np.int32)
    # A surface seen at 70 degrees rises 2.7 pixel widths a pixel: do not take it for a jump.
    jump = np.maximum(JUMP_M, 4.0 * depth / camera.fx)
    for dv, du in _NEIGHBOURS:
        other = shifted(depth, dv, du)
        support += (other > 0) & (np.abs(other - depth) < jump)
    kept = np.where(support >= MIN_SUPPORT, depth, 0.0)
    smooth = _smooth(kept)
    points = camera.rays().astype(np.float64) * smooth[..., None]
    normals, spread = _normals(points, smooth, jump)
    cosine = np.abs(np.sum(normals * points, axis=-1)) / np.maximum(np.linalg.norm(points, axis=-1), 1e-9)
    trust = np.clip((cosine - 0.1) / 0.3, 0, 1) * np.clip((support - 3) / 5.0, 0, 1) * (spread > 0)
    return DepthMap(
        depth=smooth,
        trust=np.where(smooth > 0, trust, 0.0),
        noise=_noise(kept, smooth),
        points=points,
        normals=normals,
    )


def _smooth(depth: np.ndarray) -> np.ndarray:
    """Bilateral smoothing, with what it takes off curved limbs (1 mm at a pixel of 6 mm) given back afterwards."""
    first = _bilateral(depth, depth)
    slope_free = np.where(depth > 0, depth - first, 0.0)
    second = _bilateral(depth, slope_free, values_are_depth=False)
    return np.where(depth > 0, first + second, 0.0)


def _bilateral(
    depth: np.ndarray, values: np.ndarray, values_are_depth: bool = True, radius: int = 2, sigma_px: float = 1.6
) -> np.ndarray:
    """Edge-keeping means of (H, W) `values`; edges are seen in depth about its local plane, so slopes are no edges."""
    slope_v, slope_u = _slopes(depth)
    total, weight = np.zeros_like(depth), np.zeros_like(depth)
    for dv in range(-radius, radius + 1):
        for du in range(-radius, radius + 1):
            other = shifted(depth, dv, du)
            expected = depth + slope_v * dv + slope_u * du
            near = np.exp(-(dv * dv + du * du) / (2 * sigma_px**2))
            kernel = np.where(other > 0, near * np.exp(-(((other - expected) / RANGE_SIGMA_M) ** 2) / 2), 0.0)
            vote = shifted(values, dv, du)
            if values_are_depth:
                # A neighbour votes for this pixel's depth: its own reading brought back along the slope.
                vote = vote - slope_v * dv - slope_u * du
            total += kernel * vote
            weight += kernel
    return np.where(depth > 0, total / np.maximum(weight, 1e-12), 0.0)


def _noise(raw: np.ndarray, smooth: np.ndarray, sigma_px: float = 4.0) -> np.ndarray:
    """Local standard deviation of what the smoothing took away, metres."""
    valid = (raw > 0).astype(np.float64)
    squares = ndimage.gaussian_filter(np.where(raw > 0, (raw - smooth) ** 2, 0.0), sigma_px)
    return np.sqrt(squares / np.maximum(ndimage.gaussian_filter(valid, sigma_px), 1e-6))


def _slopes(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth change a pixel downwards and to the right, from steps that stay on one surface; 0 where unknown."""
    out = []
    for dv, du in ((1, 0), (0, 1)):
        total, count = np.zeros_like(depth), np.zeros_like(depth)
        for sign in (1, -1):
            other = shifted(depth, sign * dv, sign * du)
            usable = (other > 0) & (depth > 0) & (np.abs(other - depth) < JUMP_M)
            total += np.where(usable, sign * (other - depth), 0.0)
            count += usable
        out.append(total / np.maximum(count, 1))
    return out[0], out[1]


def _normals(points: np.ndarray, depth: np.ndarray, jump: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normals towards the camera from differences over 2 pixels, and (H, W) whether both directions were usable."""
    tangents, usable = [], np.ones(depth.shape, bool)
    for dv, du in ((1, 0), (0, 1)):
        total, count = np.zeros_like(points), np.zeros(depth.shape)
        for sign in (1, -1):
            for reach in (1, 2):
                other = shifted(depth, sign * reach * dv, sign * reach * du)
                good = (other > 0) & (depth > 0) & (np.abs(other - depth) < reach * jump)
                step = sign * (shifted(points, sign * reach * dv, sign * reach * du) - points)
                total += np.where(good[..., None], step, 0.0)
                count += good
        tangents.append(total)
        usable &= count > 0
    # Image axes are x right (second tangent) and y down (first): down x right points to -z, to the camera.
    normal = np.cross(tangents[0], tangents[1])
    length = np.linalg.norm(normal, axis=-1)
    usable &= length > 0
    return np.where(usable[..., None], normal / np.maximum(length, 1e-20)[..., None], 0.0), usable
