"""Brows and lashes painted on the skin textures, which come without them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from likeness.synthesis.wardrobe import Arrays

Bytes = NDArray[np.uint8]
TEXTURE_PX = 2048

# On the left half of the unshaped base mesh, metres from the middle and above the eye's centre:
# (x, height) along the brow with its half thickness; the right half mirrors it.
_BROW = np.array(
    [
        [0.0120, 0.0125, 0.0020],
        [0.0180, 0.0150, 0.0030],
        [0.0260, 0.0175, 0.0028],
        [0.0360, 0.0190, 0.0022],
        [0.0440, 0.0175, 0.0015],
        [0.0520, 0.0130, 0.0006],
    ]
)
_UPPER_LID = np.array(
    [[0.0150, -0.0008], [0.0200, 0.0028], [0.0260, 0.0044], [0.0330, 0.0048], [0.0400, 0.0034], [0.0455, -0.0002]]
)
_LOWER_LID = np.array([[0.0210, -0.0028], [0.0270, -0.0040], [0.0340, -0.0044], [0.0410, -0.0028], [0.0455, -0.0002]])


def paint_brows(skin: Bytes, base: Arrays, hair: tuple[int, int, int], seed: int = 0) -> Bytes:
    """The skin texture at 2048 px with brows and lash lines in the colour `hair` (sRGB 0..255)."""
    texture = np.asarray(Image.fromarray(skin).resize((TEXTURE_PX, TEXTURE_PX), Image.Resampling.BICUBIC), np.float32)
    texels, place = _face_texels(base)
    x, height = np.abs(place[:, 0]), place[:, 1] - _eye_height(base)
    rng = np.random.default_rng(seed)
    centre, thickness = np.interp(x, _BROW[:, 0], _BROW[:, 1]), np.interp(x, _BROW[:, 0], _BROW[:, 2])
    across = np.abs(height - centre) / thickness
    inside = (x > _BROW[0, 0] - 0.001) & (x < _BROW[-1, 0])
    # Hairs lean outward: stripes along a slanted coordinate, finer than a pixel at portrait distance.
    strands = 0.65 + 0.35 * np.sin((x * 0.8 + (height - centre) * 0.9) * 9000 + rng.random() * 6)
    brow = np.clip(1.25 - across, 0, 1) * strands * inside * np.clip((x - _BROW[0, 0]) / 0.004 + 0.4, 0, 1) * 0.85
    upper = _line(x, height, _UPPER_LID, 0.0007) * 0.85
    lower = _line(x, height, _LOWER_LID, 0.0005) * 0.35
    cover = np.maximum.reduce([brow, upper, lower])[:, None]
    painted = texture.reshape(-1, 3).copy()
    painted[texels] = painted[texels] * (1 - cover) + np.asarray(hair, np.float32) * cover
    return np.clip(painted + 0.5, 0, 255).astype(np.uint8).reshape(texture.shape)


def _line(x: NDArray, height: NDArray, curve: NDArray, half_width: float) -> NDArray:
    distance = np.abs(height - np.interp(x, curve[:, 0], curve[:, 1])) / half_width
    return np.clip(1.5 - distance, 0, 1) * ((x > curve[0, 0]) & (x < curve[-1, 0]))


def _eye_height(base: Arrays) -> float:
    group = [str(name) for name in base["group_names"]].index("joint-l-eye")
    return float(base["verts"][np.unique(base["faces"][base["face_group"] == group]), 1].mean())


def _face_texels(base: Arrays) -> tuple[NDArray[np.int64], NDArray]:
    """Flat texel indices (N,) of the front of the face and their places (N, 3) on the unshaped base mesh."""
    vertices, quads = base["verts"], base["faces"]
    eye = _eye_height(base)
    corners = vertices[quads]
    middle = corners.mean(1)
    chosen = (
        (quads < int(base["body_vert_count"])).all(1)
        & (middle[:, 2] > 0.09)
        & (np.abs(middle[:, 0]) < 0.065)
        & (middle[:, 1] > eye - 0.012)
        & (middle[:, 1] < eye + 0.032)
    )
    corners, uvs = corners[chosen], base["uvs"][base["face_uv"][chosen]]
    steps = (np.arange(48) + 0.5) / 48
    s, t = (a.ravel()[:, None, None] for a in np.meshgrid(steps, steps))
    shares = (1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t
    place = sum(share * corners[None, :, k] for k, share in enumerate(shares)).reshape(-1, 3)
    uv = sum(share * uvs[None, :, k] for k, share in enumerate(shares)).reshape(-1, 2)
    column = np.clip((uv[:, 0] * TEXTURE_PX).astype(np.int64), 0, TEXTURE_PX - 1)
    row = np.clip(((1 - uv[:, 1]) * TEXTURE_PX).astype(np.int64), 0, TEXTURE_PX - 1)
    texels, first = np.unique(row * TEXTURE_PX + column, return_index=True)
    return texels, place[first]
