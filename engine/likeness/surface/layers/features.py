"""What the two-layer network is told of each pixel, and the geometry of depth pictures in torch.

Pictures are (B, H, W). Depths are metres along the axis less the person's median distance, so that they are small.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional

from likeness.surface.layers.crop import JUMP_M

CHANNELS = 14
# Divisors that bring each channel to order one, metres or pixels.
_DEPTH_M, _THICK_M, _BODY_M, _BORDER_PX, _PLACE_M = 0.3, 0.2, 0.2, 16.0, 1.0
_FAR_M, _SPREAD_M = 2.5, 1.0
_BODY_LIMIT_M = 0.6
# No back lies nearer to its front than this.
LEAST_M = 0.01


@dataclass(frozen=True)
class Pictures:
    """A batch of crops. (B, H, W): front f32 m relative, where known (bool), mask bool, thickness f32 m of naive
    inflation, border f32 px, body_first and body_last f32 m relative, where body (bool) was hit; no body: all False.
    camera (B, 4) fx, fy, cx, cy; distance (B,) m."""

    front: Tensor
    known: Tensor
    mask: Tensor
    thickness: Tensor
    border: Tensor
    body_first: Tensor
    body_last: Tensor
    body: Tensor
    camera: Tensor
    distance: Tensor

    def filled(self) -> Pictures:
        """Holes of the front closed from around; `known` still says where they were."""
        return replace(self, front=fill(self.front, self.known & self.mask) * self.mask)

    def without_body(self, dropped: Tensor) -> Pictures:
        """Samples (B,) bool lose their body."""
        return replace(self, body=self.body & ~dropped[:, None, None])

    def flipped(self, which: Tensor) -> Pictures:
        """Samples (B,) bool mirrored left to right, cameras too."""
        out = {}
        for field in fields(self):
            values = getattr(self, field.name)
            if values.ndim == 3:
                out[field.name] = torch.where(which[:, None, None], values.flip(-1), values)
        cx = torch.where(which, self.mask.shape[-1] - 1 - self.camera[:, 2], self.camera[:, 2])
        camera = torch.cat([self.camera[:, :2], cx[:, None], self.camera[:, 3:]], 1)
        return replace(self, **out, camera=camera)


def rays(camera: Tensor, height: int, width: int) -> Tensor:
    """(B, 3, H, W) directions with z = 1 of cameras (B, 4)."""
    fx, fy, cx, cy = (n[:, None, None] for n in camera.unbind(1))
    u = torch.arange(width, device=camera.device, dtype=camera.dtype)[None, None, :]
    v = torch.arange(height, device=camera.device, dtype=camera.dtype)[None, :, None]
    x, y = ((u - cx) / fx).expand(-1, height, -1), ((v - cy) / fy).expand(-1, -1, width)
    return torch.stack([x, y, torch.ones_like(x)], 1)


def picture_normals(depth: Tensor, known: Tensor, directions: Tensor, jump_m: float = JUMP_M) -> tuple[Tensor, Tensor]:
    """Unit normals towards the camera (B, 3, H, W) of absolute depth (B, H, W), and where they mean something.

    Central differences between neighbours that are known and lie less than jump_m apart; zero elsewhere.
    """
    points = directions * depth[:, None]
    across = functional.pad(points[..., :, 2:] - points[..., :, :-2], (1, 1))
    along = functional.pad(points[..., 2:, :] - points[..., :-2, :], (0, 0, 1, 1))
    normal = torch.linalg.cross(along, across, dim=1)
    # Where nothing is known the vector is zero, and so must its gradient be.
    normal = normal * torch.rsqrt(normal.square().sum(1, keepdim=True) + 1e-16)
    good = functional.pad(known[..., :, 2:] & known[..., :, :-2], (1, 1))
    good &= functional.pad(known[..., 2:, :] & known[..., :-2, :], (0, 0, 1, 1)) & known
    good &= (across[:, 2].abs() < jump_m) & (along[:, 2].abs() < jump_m)
    return torch.where(good[:, None], normal, 0.0), good


def fill(values: Tensor, known: Tensor) -> Tensor:
    """(B, H, W) with unknown pixels taken from around: means over ever larger squares (pull-push)."""
    weight = known.float()[:, None]
    total = (values * known)[:, None]
    levels = [(total, weight)]
    while min(levels[-1][0].shape[-2:]) > 1:
        a, b = levels[-1]
        levels.append((functional.avg_pool2d(a, 2, ceil_mode=True), functional.avg_pool2d(b, 2, ceil_mode=True)))
    mean = _mean(*levels[-1])
    for a, b in reversed(levels[:-1]):
        coarse = functional.interpolate(mean, size=a.shape[-2:], mode="nearest")
        mean = torch.where(b > 0, _mean(a, b), coarse)
    return mean[:, 0]


def _mean(total: Tensor, weight: Tensor) -> Tensor:
    return total / weight.clamp(min=1e-9)


def features(pictures: Pictures) -> Tensor:
    """(B, CHANNELS, H, W) f32 of pictures whose holes are filled.

    Relative depth, mask, normals (3), inflation's thickness, distance to the border, place (lateral 2, distance), where
    depth was read, the body's first and last hit against the front, and where it was hit.
    """
    p = pictures
    height, width = p.mask.shape[-2:]
    directions = rays(p.camera, height, width)
    depth = p.front + p.distance[:, None, None]
    normals, _ = picture_normals(depth, p.mask, directions)
    mask = p.mask.float()
    place = directions[:, :2] * depth[:, None]
    count = mask.sum((1, 2)).clamp(min=1)[:, None]
    middle = (place * mask[:, None]).sum((2, 3)) / count
    place = (place - middle[:, :, None, None]) * mask[:, None] / _PLACE_M
    far = ((p.distance - _FAR_M) / _SPREAD_M)[:, None, None] * mask
    body = p.body & p.mask
    against = [
        torch.where(body, (hit - p.front).clamp(-_BODY_LIMIT_M, _BODY_LIMIT_M), 0.0) / _BODY_M
        for hit in (p.body_first, p.body_last)
    ]
    single = [p.front * mask / _DEPTH_M, mask, p.thickness / _THICK_M, p.border / _BORDER_PX, far,
              (p.known & p.mask).float(), *against, body.float()]  # fmt: skip
    return torch.cat([torch.stack(single, 1), normals, place], 1)


def first_guess(pictures: Pictures) -> Tensor:
    """The back (B, H, W) m relative without learning: the body's last hit where it was hit, else naive inflation."""
    p = pictures
    behind = torch.maximum(p.body_last, p.front + LEAST_M)
    return torch.where(p.body & p.mask, behind, p.front + p.thickness)


def both_layers(pictures: Pictures, residual: Tensor) -> tuple[Tensor, Tensor]:
    """Front and back (B, H, W) m relative: the network's residuals (B, 2, H, W) added to the first guess."""
    return pictures.front + residual[:, 0], first_guess(pictures) + residual[:, 1]
