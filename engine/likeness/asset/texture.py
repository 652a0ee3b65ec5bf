"""Colour textures: decoding, filtered look-up, and filling of empty texels. V points up: row 0 is v = 1."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from ..core.errors import LikenessError

MAX_SIDE_PX = 8192


def decode_png(data: bytes) -> np.ndarray:
    """PNG bytes -> (H, W, 3) u8 sRGB. Raises LikenessError("avatar.texture")."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if max(image.size) > MAX_SIDE_PX:
                raise ValueError(f"it is {image.size[0]} x {image.size[1]} pixels")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise LikenessError(
            "avatar.texture",
            f"A texture of the avatar cannot be read: {error}.",
            "Create the avatar again.",
        ) from error


def encode_png(image: np.ndarray) -> bytes:
    """(H, W, 3 or 4) u8 -> PNG bytes."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", compress_level=4)
    return out.getvalue()


class MipTexture:
    """A texture with prefiltered levels, so that small renders do not sparkle."""

    def __init__(self, image: np.ndarray) -> None:
        """image: (H, W, 3) u8."""
        self.levels = [np.ascontiguousarray(image)]
        while min(self.levels[-1].shape[:2]) > 8:
            fine = self.levels[-1]
            fine = fine[: fine.shape[0] // 2 * 2, : fine.shape[1] // 2 * 2].astype(np.uint16)
            total = fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]
            self.levels.append(((total + 2) // 4).astype(np.uint8))

    def sample(self, uvs: np.ndarray, level: np.ndarray) -> np.ndarray:
        """uvs (N, 2), level (N,) where 0 is full resolution -> (N, 3) f32 in 0..255, trilinear."""
        level = np.clip(level, 0, len(self.levels) - 1)
        below = np.floor(level).astype(np.int32)
        out = np.zeros((len(uvs), 3), np.float32)
        for index in np.unique(below):
            rows = np.nonzero(below == index)[0]
            colour = bilinear_uv(self.levels[index], uvs[rows])
            share = (level[rows] - index)[:, None].astype(np.float32)
            if index + 1 < len(self.levels) and share.max() > 0:
                colour += share * (bilinear_uv(self.levels[index + 1], uvs[rows]) - colour)
            out[rows] = colour
        return out


def bilinear_uv(image: np.ndarray, uvs: np.ndarray) -> np.ndarray:
    """(H, W, C) at (N, 2) texture coordinates, clamped at the border -> (N, C) f32."""
    height, width = image.shape[:2]
    return bilinear(image, np.stack([uvs[:, 0] * width - 0.5, (1 - uvs[:, 1]) * height - 0.5], axis=1))


def bilinear(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) at (N, 2) pixel positions (x, y; integers are pixel centres), clamped -> (N, C) f32."""
    height, width, channels = image.shape
    x = np.clip(pixels[:, 0], 0, width - 1).astype(np.float32)
    y = np.clip(pixels[:, 1], 0, height - 1).astype(np.float32)
    left = np.minimum(x.astype(np.int64), max(width - 2, 0))
    top = np.minimum(y.astype(np.int64), max(height - 2, 0))
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    flat = image.reshape(-1, channels)
    first = top * width + left
    right = first + (1 if width > 1 else 0)
    step = width if height > 1 else 0
    upper = flat[first] * (1 - fx) + flat[right] * fx
    lower = flat[first + step] * (1 - fx) + flat[right + step] * fx
    return (upper * (1 - fy) + lower * fy).astype(np.float32)


def pull_push(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Fill where weight is 0 from the surroundings, smoothly, whatever the gap.

    image (H, W, C) float, weight (H, W) 0..1 -> (H, W, C) f32; pixels of weight 1 keep their value.
    """
    values = [image.astype(np.float32) * weight[..., None].astype(np.float32)]
    weights = [weight.astype(np.float32)]
    while max(values[-1].shape[:2]) > 1:
        values.append(_halve(values[-1]))
        weights.append(np.minimum(_halve(weights[-1][..., None])[..., 0], 1.0))
        scale = weights[-1] / np.maximum(_halve(weights[-2][..., None])[..., 0], 1e-12)
        values[-1] *= scale[..., None]
    filled = values[-1] / np.maximum(weights[-1], 1e-12)[..., None]
    for value, known in zip(values[-2::-1], weights[-2::-1], strict=True):
        filled = value + (1 - known)[..., None] * _double(filled, value.shape[:2])
    return filled


def _halve(image: np.ndarray) -> np.ndarray:
    """Sum of 2 x 2 blocks; odd sides are padded with nothing."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)))
    return image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]


def _double(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bilinear enlargement to `shape`, about twice the size."""
    for axis in (0, 1):
        padded = np.concatenate([image.take([0], axis), image, image.take([-1], axis)], axis)
        count = image.shape[axis]
        before = padded.take(range(count), axis)
        after = padded.take(range(2, count + 2), axis)
        both = np.stack([0.75 * image + 0.25 * before, 0.75 * image + 0.25 * after], axis + 1)
        merged = list(image.shape)
        merged[axis] = 2 * count
        image = both.reshape(merged)
    return image[: shape[0], : shape[1]]
