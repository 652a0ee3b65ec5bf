"""From a capture to what ANIM looks at, on true perspective and in metres (paper section 3; anim.md, section 1)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from likeness.capture.cleaning import clean_depth
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError

from .config import AnimConfig
from .crop import averaged, crop_camera, nearest
from .guess import Guess

# The cube's middle lies this far behind the nearest twentieth of the cloud: half of a person's thickness and reach.
BEHIND_M = 0.25
# Neighbours that differ by more lie on different surfaces.
JUMP_M = 0.02
# Smoothing of the normal picture alone: weights over 5 x 5 pixels that lie on one surface.
_KERNEL_PX = 1.2


@dataclass(frozen=True)
class AnimInputs:
    """A batch of captures on square pictures; tensors of one device, camera space as OpenCV, metres.

    color (B, 3, S, S) f32 0..1, black off the mask. depth (B, 1, S, S) f32 along the axis, 0 = no reading, none off the
    mask. mask (B, 1, S, S) bool. intrinsics (B, 4) f32 fx, fy, cx, cy of the square picture. centre (B, 3) f32: middle
    of the cube, the origin of network coordinates. body (B, 2, S, S) f32: first and last hit of the fitted body along
    each pixel's ray, 0 = none; all zeros where there is no fit, None to leave it out of all. guess: of each item, for
    networks with explicit_back.
    """

    color: Tensor
    depth: Tensor
    mask: Tensor
    intrinsics: Tensor
    centre: Tensor
    body: Tensor | None = None
    guess: tuple[Guess, ...] | None = None

    @property
    def size(self) -> int:
        """S, pixels."""
        return int(self.depth.shape[-1])

    def to(self, device: torch.device | str) -> AnimInputs:
        """The same on another device."""
        moved = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        guess = None if self.guess is None else tuple(one.to(device) for one in self.guess)
        return replace(self, **moved, guess=guess)


def inputs_of(
    capture: Capture, config: AnimConfig, body: tuple[NDArray, NDArray] | None = None
) -> tuple[AnimInputs, Camera]:
    """A batch of one from an RGB-D capture, and the crop's camera (same place and axes as the capture's).

    body: first and last hit of the fitted body (H, W) metres, 0 = none, on the capture's pixels. Raises
    LikenessError("capture.no_depth") where the person has no reading.
    """
    depth = np.zeros(capture.mask.shape, np.float32) if capture.depth is None else capture.depth
    depth = np.where(capture.valid, np.nan_to_num(depth), 0).astype(np.float32)
    depth, _ = clean_depth(depth, capture.mask, (capture.camera.fx + capture.camera.fy) / 2)
    if not (depth > 0).any():
        raise LikenessError(
            "capture.no_depth",
            f"{capture.name} has no depth on the person.",
            "ANIM needs an RGB-D capture; use --method draped, or `likeness elicit` for a photo.",
        )
    crop = crop_camera(capture.mask, capture.camera, config.image)
    layers = None
    if body is not None:
        layers = np.stack([nearest(hit, capture.camera, crop) for hit in body])
    mask = nearest(capture.mask, capture.camera, crop)
    color = averaged(capture.color.astype(np.float32), capture.camera, crop) / 255
    return batch_of(color, nearest(depth, capture.camera, crop), mask, crop, layers), crop


def batch_of(
    color: NDArray, depth: NDArray, mask: NDArray[np.bool_], camera: Camera, body: NDArray | None = None
) -> AnimInputs:
    """A batch of one from square arrays: color (S, S, 3) 0..1, depth (S, S) m, mask (S, S), body (2, S, S) or None."""
    depth = np.where(mask, depth, 0).astype(np.float32)
    intrinsics = torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]], dtype=torch.float32)
    deep = torch.from_numpy(depth)[None, None]
    return AnimInputs(
        torch.from_numpy(np.ascontiguousarray((color * mask[..., None]).transpose(2, 0, 1), np.float32))[None],
        deep,
        torch.from_numpy(np.ascontiguousarray(mask))[None, None],
        intrinsics,
        cube_centre(deep, intrinsics),
        None if body is None else torch.from_numpy(np.ascontiguousarray(body, np.float32))[None],
    )


def stacked(batches: list[AnimInputs]) -> AnimInputs:
    """Several batches as one; body is kept where every one has it."""
    whole = all(batch.body is not None for batch in batches)
    names = ("color", "depth", "mask", "intrinsics", "centre") + (("body",) if whole else ())
    joined = {name: torch.cat([getattr(batch, name) for batch in batches]) for name in names}
    guesses = [batch.guess for batch in batches if batch.guess is not None]
    guess = tuple(one for each in guesses for one in each) if len(guesses) == len(batches) else None
    return AnimInputs(**joined, guess=guess)


def cube_centre(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """The cube's middle (B, 3) of depth (B, 1, S, S): across, the middle of the cloud; in depth, section 1's rule."""
    points = back_project(depth, intrinsics).flatten(2)
    out = []
    for cloud, deep in zip(points, depth.flatten(1)):
        seen = cloud[:, deep > 0]
        low, high = seen[:2].amin(1), seen[:2].amax(1)
        out.append(torch.cat([(low + high) / 2, torch.quantile(_thinned(seen[2]), 0.05)[None] + BEHIND_M]))
    return torch.stack(out)


def _thinned(values: Tensor, most: int = 20_000) -> Tensor:
    return values[:: max(1, -(-len(values) // most))]


def back_project(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Depth (B, 1, H, W) -> points (B, 3, H, W) in camera space; zero where there is no reading."""
    height, width = depth.shape[-2:]
    u = torch.arange(width, device=depth.device, dtype=depth.dtype)
    v = torch.arange(height, device=depth.device, dtype=depth.dtype)
    fx, fy, cx, cy = (intrinsics[:, k, None] for k in range(4))
    x, y = (u - cx) / fx, (v - cy) / fy
    return torch.cat([depth * x[:, None, None, :], depth * y[:, None, :, None], depth], 1)


def project(points: Tensor, intrinsics: Tensor) -> Tensor:
    """Points (B, N, 3) in camera space -> pixels (B, N, 2), integer coordinates are pixel centres."""
    z = points[..., 2:].clamp(min=1e-3)
    return points[..., :2] / z * intrinsics[:, None, :2] + intrinsics[:, None, 2:]


def _neighbour(image: Tensor, dv: int, du: int) -> Tensor:
    """image[..., v + dv, u + du] of a picture (B, C, H, W), zero beyond its rim; |dv|, |du| <= 2."""
    padded = F.pad(image, (2, 2, 2, 2))
    height, width = image.shape[-2:]
    return padded[..., 2 + dv : 2 + dv + height, 2 + du : 2 + du + width]


def _smoothed(depth: Tensor, limit: Tensor) -> Tensor:
    """Means over 5 x 5 pixels of one surface; pairs on opposite sides count together, so slopes stay."""
    total, weight = depth.clone(), (depth > 0).to(depth.dtype)
    for dv in range(3):
        for du in range(-2, 3):
            if (dv, du) <= (0, 0):
                continue
            near = float(np.exp(-(dv * dv + du * du) / (2 * _KERNEL_PX**2)))
            one, other = _neighbour(depth, dv, du), _neighbour(depth, -dv, -du)
            span = (dv * dv + du * du) ** 0.5
            good = (one > 0) & (other > 0) & (depth > 0)
            good &= ((one - depth).abs() < span * limit) & ((other - depth).abs() < span * limit)
            total = total + torch.where(good, near * (one + other), 0)
            weight = weight + torch.where(good, 2 * near, 0)
    return torch.where(depth > 0, total / weight.clamp(min=1e-6), 0)


def surface_normals(depth: Tensor, intrinsics: Tensor, *, smooth: bool = True) -> tuple[Tensor, Tensor]:
    """Normals (B, 3, H, W) in camera axes, towards the camera, and validity (B, 1, H, W) bool, of depth (B, 1, H, W).

    Central differences of back-projected points, one-sided where one neighbour is missing or lies on another surface
    (paper: the gradient of the depth map; anim.md, section 1).
    """
    # A surface at 75 degrees rises 3.7 pixel widths a pixel.
    footprint = depth / intrinsics[:, 0, None, None, None]
    limit = torch.clamp(4 * footprint, min=JUMP_M)
    points = back_project(_smoothed(depth, limit) if smooth else depth, intrinsics)
    tangents, valid = [], depth > 0
    for dv, du in ((0, 1), (1, 0)):
        step, sides = torch.zeros_like(points), torch.zeros_like(depth)
        for sign in (1, -1):
            other = _neighbour(points, sign * dv, sign * du)
            good = (other[:, 2:] > 0) & ((other[:, 2:] - points[:, 2:]).abs() < limit) & valid
            step = step + torch.where(good, sign * (other - points), 0)
            sides = sides + good
        valid = valid & (sides > 0)
        tangents.append(step / sides.clamp(min=1))
    right, down = tangents
    # Columns grow to the right, rows down: down x right points to -z, to the camera.
    normal = torch.linalg.cross(down, right, dim=1)
    length = normal.norm(dim=1, keepdim=True)
    valid = valid & (length > 1e-12)
    return torch.where(valid, normal / length.clamp(min=1e-12), 0), valid


def cosines(normals: Tensor, intrinsics: Tensor) -> Tensor:
    """Cosine (B, 1, H, W) of the angle between each pixel's ray and its normal (B, 3, H, W); 0 without a normal."""
    rays = back_project(torch.ones_like(normals[:, :1]), intrinsics)
    return -(normals * rays).sum(1, keepdim=True) / rays.norm(dim=1, keepdim=True)


def depth_edges(depth: Tensor, most: int = 10) -> Tensor:
    """Distance (B, 1, H, W) in pixels (king's moves) to the nearest step of depth or end of readings, up to `most`."""
    high = F.max_pool2d(depth, 3, 1, 1)
    low = -F.max_pool2d(torch.where(depth > 0, -depth, -1e3), 3, 1, 1)
    gaps = F.max_pool2d((depth <= 0).to(depth.dtype), 3, 1, 1) > 0
    near = ((high - low > 2 * JUMP_M) | gaps).to(depth.dtype)
    distance = torch.full_like(depth, float(most))
    for k in range(most):
        distance = torch.where((near > 0) & (distance > k), float(k), distance)
        near = F.max_pool2d(near, 3, 1, 1)
    return distance
