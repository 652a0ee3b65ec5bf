"""Light from all round: a latitude-longitude picture, seen along directions and blurred for mirrors.

Row 0 of the picture is straight up; column 0 looks along -Z, and columns turn towards +X.
"""

from __future__ import annotations

import functools
import math

import torch

# Sharpness of the lobes that mirrors of growing roughness see, and the size of the blurred pictures.
LOBES = (160.0, 40.0, 10.0, 2.5)
BLURRED_SHAPE = (16, 32)
PATCHES = (48, 96)
_GATHER_SHARPNESS = 24.0


def lat_long_directions(height: int, width: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Unit directions (height, width, 3) f32 of the centres of a latitude-longitude picture."""
    down = (torch.arange(height, device=device) + 0.5) * (math.pi / height)
    turn = (torch.arange(width, device=device) + 0.5) * (2 * math.pi / width)
    ring = torch.sin(down)[:, None]
    x, z = ring * torch.sin(turn), -ring * torch.cos(turn)
    return torch.stack([x, torch.cos(down)[:, None].expand_as(x), z], -1)


def gathered(environment: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Mean radiance (D, 3) about directions (D, 3) spread over the sphere; every patch of the picture counts once."""
    share = _shares(environment.shape[0], environment.shape[1], directions)
    return share @ environment.reshape(-1, 3)


def _shares(height: int, width: int, directions: torch.Tensor) -> torch.Tensor:
    """What each patch (H W) gives to each of D directions (D, H W); rows sum to 1."""
    patches = lat_long_directions(height, width, directions.device).reshape(-1, 3)
    lobes = torch.softmax(_GATHER_SHARPNESS * (patches @ directions.T), 1)
    size = torch.sqrt((1 - patches[:, 1:2] ** 2).clamp(min=0))
    given = (lobes * size).T
    return given / given.sum(1, keepdim=True)


def mirror_pictures(environment: torch.Tensor) -> torch.Tensor:
    """The environment (H, W, 3) as mirrors of each of LOBES see it: (4, 16, 32, 3)."""
    height, width = environment.shape[:2]
    blur = _blur(height, width, str(environment.device))
    return (blur @ environment.reshape(-1, 3)).view(len(LOBES), *BLURRED_SHAPE, 3)


@functools.lru_cache(maxsize=4)
def _blur(height: int, width: int, device: str) -> torch.Tensor:
    """Weights (4 x 16 x 32, H W) of the blurring."""
    patches = lat_long_directions(height, width, device).reshape(-1, 3)
    size = torch.sqrt((1 - patches[:, 1] ** 2).clamp(min=0))
    cosine = lat_long_directions(*BLURRED_SHAPE, device).reshape(-1, 3) @ patches.T
    blur = torch.cat([torch.exp(lobe * (cosine - 1)) * size for lobe in LOBES])
    return blur / blur.sum(1, keepdim=True)


def lobe_of_roughness(roughness: torch.Tensor) -> torch.Tensor:
    """Which of LOBES (i64) comes closest to a mirror of perceptual roughness 0..1."""
    alpha = (roughness**2).clamp(min=0.02)
    sharpness = (0.5 / alpha**2).clamp(LOBES[-1], LOBES[0])
    step = math.log(LOBES[0] / LOBES[1])
    return (torch.log(LOBES[0] / sharpness) / step).round().long()


def nearest_directions(directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The three of D directions (D, 3) about each patch of a picture of PATCHES: (P, 3) i64, and their shares."""
    patches = lat_long_directions(*PATCHES, directions.device).reshape(-1, 3)
    cosine, index = (patches @ directions.T).topk(3, 1)
    return index, torch.softmax(_GATHER_SHARPNESS * cosine, 1)


def patch_of(directions: torch.Tensor) -> torch.Tensor:
    """The patch (N,) i64 of a picture of PATCHES, counted row by row, that directions (3, N) meet."""
    height, width = PATCHES
    row = (torch.acos(directions[1].clamp(-1, 1)) * (height / math.pi)).long().clamp(max=height - 1)
    turn = torch.atan2(directions[0], -directions[2]) * (width / (2 * math.pi))
    return row * width + turn.floor().long() % width


def seen_in(pictures: torch.Tensor, which: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Radiance (3, N) along directions (3, N) in pictures (K, H, W, 3), of which `which` (N,) is looked up."""
    _, height, width, _ = pictures.shape
    y = torch.acos(directions[1].clamp(-1, 1)) * (height / math.pi) - 0.5
    x = torch.atan2(directions[0], -directions[2]) * (width / (2 * math.pi)) - 0.5
    left, top = x.floor(), y.clamp(0, height - 1).floor()
    right_share, low_share = x - left, y.clamp(0, height - 1) - top
    flat = pictures.reshape(-1, 3).T.contiguous()
    upper = which * (height * width) + top.long() * width
    lower = which * (height * width) + (top.long() + 1).clamp(max=height - 1) * width
    first = left.long() % width
    second = first + 1
    # The column past the last is the first again.
    second = second * (second < width)
    above, below = (
        flat.index_select(1, row + first) * (1 - right_share) + flat.index_select(1, row + second) * right_share
        for row in (upper, lower)
    )
    return above * (1 - low_share) + below * low_share
