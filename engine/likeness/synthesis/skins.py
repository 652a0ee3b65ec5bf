"""Variety of skin: tone, blood, freckles, moles, stubble, make-up, brows and lashes, painted on the body's texture."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from likeness.synthesis.hair_colors import HairColor
from likeness.synthesis.noise import grain, noise_2d, noise_3d
from likeness.synthesis.palette import Rgb, luminance, to_linear, to_srgb
from likeness.synthesis.texels import rasterize

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Arrays = dict[str, NDArray]

# How melanin and haemoglobin absorb red, green and blue: melanin's lambda^-3.3 law at 610, 545, 465 nm; oxygenated
# blood averaged over a camera's bands.
MELANIN = np.array([0.55, 0.80, 1.35], np.float32)
BLOOD = np.array([0.10, 1.0, 0.62], np.float32)
# Linear reflectance in green of the darkest and palest skin, which no shift may leave (Fitzpatrick VI to I).
DARKEST_SKIN, PALEST_SKIN = 0.030, 0.46

# On the left half of the unshaped base mesh, metres from the middle and above the eye's centre:
# (x, height, half thickness) along the brow; the right half mirrors it.
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


@dataclass(frozen=True)
class Complexion:
    """How a skin differs from its texture. melanin, blood: optical density added (negative: taken away). freckles,
    blush, stubble, lipstick, shadow: 0..1. moles: their number. tattoo: 0 none, else its seed. brows: their colour,
    sRGB 0..1, and brow_weight their strength; lip, nail: colours of make-up."""

    melanin: float = 0.0
    blood: float = 0.0
    freckles: float = 0.0
    moles: int = 0
    blush: float = 0.0
    stubble: float = 0.0
    lipstick: float = 0.0
    lip: Rgb = (0.6, 0.2, 0.22)
    shadow: float = 0.0
    brows: Rgb = (0.13, 0.10, 0.08)
    brow_weight: float = 0.85
    brow_width: float = 1.0
    tattoo: int = 0
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Complexion:
        """The complexion that `to_dict` described, also after a way through JSON."""
        colors = {name: tuple(plain[name]) for name in ("lip", "brows")}
        return cls(**{**plain, **colors})


def draw_complexion(
    rng: np.random.Generator, gender: float, age_years: float, hair: HairColor, *, beard: bool = False
) -> Complexion:
    """A skin for somebody; gender 0 female .. 1 male; hair: its colour gives that of the brows."""
    man, child = gender > 0.5, age_years < 14
    made_up = not man and not child and rng.random() < 0.45
    freckled = rng.random() < (0.4 if hair.name in ("red", "ginger", "blonde") else 0.1)
    brow = np.asarray(hair.brow)
    return Complexion(
        melanin=round(float(rng.normal(0, 0.16)), 3),
        blood=round(float(rng.normal(0, 0.05)), 3),
        freckles=round(float(rng.uniform(0.2, 0.9)), 2) if freckled else 0.0,
        moles=int(rng.poisson(2 if child else 9)),
        blush=round(float(rng.beta(1.5, 3)), 2),
        stubble=round(float(rng.beta(1.2, 1.6)), 2)
        if man and age_years > 17 and (beard or rng.random() < 0.6)
        else 0.0,
        lipstick=round(float(rng.uniform(0.2, 0.85)), 2) if made_up else 0.0,
        lip=((0.62, 0.16, 0.20), (0.66, 0.34, 0.34), (0.45, 0.12, 0.2), (0.75, 0.38, 0.40))[int(rng.integers(4))],
        shadow=round(float(rng.uniform(0, 0.5)), 2) if made_up else 0.0,
        brows=(round(float(brow[0]), 3), round(float(brow[1]), 3), round(float(brow[2]), 3)),
        brow_weight=round(float(rng.uniform(0.55, 0.95)), 2),
        brow_width=round(float(rng.uniform(0.8, 1.25) * (1.15 if man else 0.9)), 2),
        tattoo=int(rng.integers(1, 1 << 20)) if age_years > 18 and rng.random() < 0.05 else 0,
        seed=int(rng.integers(1 << 30)),
    )


def paint_skin(complexion: Complexion, texture: Bytes, base: Arrays, size: int = 1024) -> Bytes:
    """A skin texture (size, size, 3) u8 sRGB on the body's own UVs.

    texture (H, W, 3) u8: one of the pack's; base: the arrays of the hm08 base mesh (verts, faces, face_uv, uvs,
    face_group, group_names, body_vert_count).
    """
    image = Image.fromarray(texture)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    color = to_linear(np.arange(256, dtype=np.float32) / 255)[np.asarray(image).reshape(-1, 3)]
    color = shift_tone(color, complexion.melanin, complexion.blood)
    cells = _skin_cells(base, size)
    color = _paint_body(color, complexion, cells)
    color = _paint_face(color, complexion, cells)
    return np.clip(to_srgb(color) * 255 + 0.5, 0, 255).astype(np.uint8).reshape(size, size, 3)


def shift_tone(color: Floats, melanin: float, blood: float) -> Floats:
    """Linear skin colours (N, 3) with more or less pigment, kept within the range of human skin."""
    middle = float(np.median(color[:, 1]))
    darkest, palest = np.log(middle / DARKEST_SKIN), np.log(middle / PALEST_SKIN)
    density = float(np.clip(melanin * MELANIN[1], palest, darkest)) / float(MELANIN[1])
    return (color * np.exp(-density * MELANIN - blood * BLOOD)).astype(np.float32)


@dataclass(frozen=True)
class _Cells:
    """Texels of the visible body: flat index (N,), place on the unshaped base mesh (N, 3) m; face: those of the head's
    front with x away from the middle and height above the eyes' centre."""

    index: NDArray[np.int64]
    place: Floats
    face: NDArray[np.int64]
    eye_height: float


_CACHE: OrderedDict[tuple[int, int], _Cells] = OrderedDict()


def _skin_cells(base: Arrays, size: int) -> _Cells:
    key = (id(base["verts"]), size)
    if key not in _CACHE:
        quads = base["faces"]
        drawn = (quads < int(base["body_vert_count"])).all(1)
        quads, uv = quads[drawn], base["uvs"][base["face_uv"][drawn]]
        faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        corners = np.concatenate([uv[:, [0, 1, 2]], uv[:, [0, 2, 3]]])
        index, face, bary = rasterize(corners, size)
        place = np.einsum("nk,nkc->nc", bary, base["verts"][faces[face]]).astype(np.float32)
        group = [str(name) for name in base["group_names"]].index("joint-l-eye")
        eye = float(base["verts"][np.unique(base["faces"][base["face_group"] == group]), 1].mean())
        near = (
            (place[:, 2] > 0.02) & (place[:, 1] > eye - 0.16) & (place[:, 1] < eye + 0.1) & (np.abs(place[:, 0]) < 0.09)
        )
        _CACHE[key] = _Cells(index.astype(np.int64), place, np.flatnonzero(near), eye)
        while len(_CACHE) > 2:
            _CACHE.popitem(last=False)
    return _CACHE[key]


def _paint_body(color: Floats, c: Complexion, cells: _Cells) -> Floats:
    rng = np.random.default_rng(c.seed)
    place = cells.place
    # Blood and pigment are not even: patches of some centimetres.
    patch = noise_3d(place * np.float32(22), c.seed) - 0.5
    color[cells.index] *= np.exp(-0.10 * patch[:, None] * MELANIN)
    if c.freckles > 0:
        # Freckles are a millimetre or two wide, crowd on nose and cheeks, and fade out towards the rest of the body.
        spots = noise_3d(place * np.float32(420), c.seed + 1) + 0.25 * noise_3d(place * np.float32(60), c.seed + 2)
        spots = np.clip((spots - 0.92) * 5, 0, 1)
        where = np.exp(-(((place[:, 1] - cells.eye_height + 0.03) / 0.035) ** 2)) + 0.25
        color[cells.index] *= np.exp(-0.32 * c.freckles * (spots * where)[:, None] * MELANIN)
    for _ in range(c.moles):
        centre = place[int(rng.integers(len(place)))]
        radius, depth = float(rng.uniform(0.0008, 0.0022)), float(rng.uniform(0.5, 1.3))
        near = np.flatnonzero(np.abs(place[:, 1] - centre[1]) < 1.4 * radius)
        dark = np.clip(1.4 - np.linalg.norm(place[near] - centre, axis=1) / radius, 0, 1) * depth
        color[cells.index[near]] *= np.exp(-dark[:, None] * MELANIN)
    if c.tattoo:
        _tattoo(color, c, cells)
    return color


def _tattoo(color: Floats, c: Complexion, cells: _Cells) -> None:
    """Inked lines on one upper arm or forearm, without a motif that could be recognised."""
    rng = np.random.default_rng(c.tattoo)
    side, place = (1 if rng.random() < 0.5 else -1), cells.place
    start = float(rng.uniform(0.24, 0.42))
    x = place[:, 0] * side
    on = np.flatnonzero((x > start) & (x < start + float(rng.uniform(0.08, 0.16))))
    field = noise_3d(place[on] * np.float32(38), c.tattoo % 997) + 0.5 * noise_3d(
        place[on] * np.float32(90), c.tattoo % 991
    )
    ink = np.clip(1 - np.abs(np.mod(field * 4, 1) - 0.5) * 9, 0, 1) * 0.75
    ink *= np.clip((field - 0.45) * 8, 0, 1)
    color[cells.index[on]] = color[cells.index[on]] * (1 - ink[:, None]) + np.array([0.03, 0.035, 0.05]) * ink[:, None]


def _paint_face(color: Floats, c: Complexion, cells: _Cells) -> Floats:
    index, place = cells.index[cells.face], cells.place[cells.face]
    x, height = np.abs(place[:, 0]), place[:, 1] - cells.eye_height
    skin = color[index]
    cheek = np.exp(-(((x - 0.042) / 0.018) ** 2) - ((height + 0.035) / 0.017) ** 2) * (place[:, 2] > 0.06)
    nose = 0.6 * np.exp(-((x / 0.012) ** 2) - ((height + 0.038) / 0.012) ** 2)
    skin = skin * np.exp(-(0.28 * c.blush * (cheek + nose))[:, None] * BLOOD)
    if c.stubble > 0:
        hair = np.asarray(to_linear(np.asarray(c.brows)))
        hairs = 0.5 * noise_3d(place * np.float32(640), c.seed + 3) + 0.5 * grain(len(place), c.seed)
        cover = (_beard_area(x, height) * c.stubble * (0.15 + 0.6 * hairs)).astype(np.float32)
        skin = skin * (1 - cover[:, None]) + hair * cover[:, None]
    if c.shadow > 0:
        lid = np.exp(-(((height - 0.009) / 0.005) ** 2)) * (x > 0.014) * (x < 0.05) * c.shadow * 0.5
        skin = skin * np.exp(-lid[:, None] * np.array([0.8, 1.0, 0.9], np.float32))
    if c.lipstick > 0:
        # Lips are where the texture itself is redder than the skin around the mouth.
        mouth = (x < 0.030) & (np.abs(height + 0.072) < 0.020)
        if mouth.any():
            redness = np.log(np.maximum(skin[:, 0], 1e-3) / np.maximum(skin[:, 1], 1e-3))
            usual = float(np.median(redness[mouth]))
            cover = np.clip((redness - usual - 0.03) * 5, 0, 1) * mouth * c.lipstick
            shade = luminance(skin) / max(float(np.median(luminance(skin[mouth]))), 1e-3)
            lips = to_linear(np.asarray(c.lip)) * np.clip(shade, 0.4, 1.8)[:, None]
            skin = skin * (1 - cover[:, None]) + lips * cover[:, None]
    color[index] = _paint_brows(skin, c, x, height, place[:, 2])
    return color


def _beard_area(x: NDArray, height: NDArray) -> Floats:
    """0..1 where a beard grows: upper lip, chin, jaw up to the ears."""
    jaw = np.clip((-0.042 - height) / 0.03 + 0.25 * np.clip(x / 0.06, 0, 1), 0, 1)
    jaw = jaw * np.clip((height + 0.135) / 0.035, 0, 1)
    bare_cheek = np.exp(-(((x - 0.036) / 0.018) ** 2) - ((height + 0.045) / 0.018) ** 2)
    lips = np.exp(-((x / 0.024) ** 4) - ((height + 0.073) / 0.0085) ** 4)
    return (jaw * (1 - np.clip(bare_cheek * 1.2, 0, 1)) * (1 - lips)).astype(np.float32)


def _paint_brows(skin: Floats, c: Complexion, x: NDArray, height: NDArray, depth: NDArray) -> Floats:
    front = depth > 0.075
    centre = np.interp(x, _BROW[:, 0], _BROW[:, 1])
    thickness = np.interp(x, _BROW[:, 0], _BROW[:, 2]) * c.brow_width
    across = np.abs(height - centre) / thickness
    inside = (x > _BROW[0, 0] - 0.001) & (x < _BROW[-1, 0]) & front
    # Hairs lean outward: streaks along a slanted coordinate.
    streak = noise_2d((x * 0.8 + (height - centre) * 0.9) * 1900, (height - centre) * 240, c.seed + 9)
    brow = np.clip(1.25 - across, 0, 1) * (0.45 + 0.75 * streak) * inside
    brow = brow * np.clip((x - _BROW[0, 0]) / 0.005 + 0.35, 0, 1) * c.brow_weight
    lashes = 0.85 + 0.15 * min(c.shadow * 3, 1)
    upper = _lid_line(x, height, _UPPER_LID, 0.0008) * lashes * front
    lower = _lid_line(x, height, _LOWER_LID, 0.0006) * 0.35 * front
    cover = np.clip(np.maximum.reduce([brow, upper, lower]), 0, 0.95)[:, None]
    hair = to_linear(np.asarray(c.brows))
    lash = np.minimum(hair, 0.02)
    painted = np.where((np.maximum(upper, lower) > brow)[:, None], lash, hair)
    return (skin * (1 - cover) + painted * cover).astype(np.float32)


def _lid_line(x: NDArray, height: NDArray, curve: NDArray, half_width: float) -> Floats:
    distance = np.abs(height - np.interp(x, curve[:, 0], curve[:, 1])) / half_width
    return (np.clip(1.5 - distance, 0, 1) * ((x > curve[0, 0]) & (x < curve[-1, 0]))).astype(np.float32)
