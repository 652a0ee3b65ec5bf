"""Hair colours that people have by nature, age and dye, and hair textures recoloured to them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likeness.synthesis.noise import noise_2d
from likeness.synthesis.palette import Rgb, from_oklab, luminance, to_oklab

Bytes = NDArray[np.uint8]

# Name -> sRGB 0..255 of a middle strand, and how often by nature.
NATURAL: dict[str, tuple[tuple[int, int, int], float]] = {
    "black": ((30, 26, 24), 34), "dark brown": ((52, 36, 27), 26), "brown": ((86, 58, 38), 16),
    "light brown": ((122, 88, 58), 8), "dark blonde": ((150, 118, 78), 6), "blonde": ((198, 164, 112), 7),
    "ginger": ((136, 84, 54), 2), "red": ((112, 46, 28), 1.5),
}  # fmt: skip
DYED: dict[str, tuple[int, int, int]] = {
    "platinum blonde": (212, 196, 162), "burgundy": (84, 28, 36), "pink": (200, 122, 150), "blue": (44, 66, 112),
    "purple": (80, 50, 100), "green": (58, 98, 78),
}  # fmt: skip
SPOKEN = {"black": "black", "dark brown": "dark brown", "dark blonde": "dark blonde"}
GREY, WHITE = (132, 129, 125), (190, 187, 181)


@dataclass(frozen=True)
class HairColor:
    """A colour of hair. name: English; color: sRGB 0..1 of its middle strands; grey: share of strands without pigment;
    roots: share of the length, from the top, in `root` (dyed hair that grew out); seed of the strands."""

    name: str
    color: Rgb
    grey: float
    root: Rgb
    seed: int

    @property
    def brow(self) -> Rgb:
        """The colour of brows and lashes: the root's, darker."""
        lab = to_oklab(np.array(self.root))
        lab[0] = min(float(lab[0]) * 0.8, 0.5) + 0.12 * self.grey
        red, green, blue = (round(float(v), 4) for v in from_oklab(lab))
        return red, green, blue

    @property
    def words(self) -> str:
        """'grey' or 'white' once most strands are, else the name."""
        if self.grey > 0.85:
            return "white"
        return "grey" if self.grey > 0.45 else self.name

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> HairColor:
        """The colour that `to_dict` described, also after a way through JSON."""
        return cls(**{**plain, "color": tuple(plain["color"]), "root": tuple(plain["root"])})


def draw_hair_color(rng: np.random.Generator, age_years: float, skin: str = "") -> HairColor:
    """Natural hair, greying from about 35 on, sometimes dyed. skin: the skin's name in the pack, as dark skin seldom
    goes with fair hair."""
    names = list(NATURAL)
    share = np.array([NATURAL[name][1] for name in names])
    if "african" in skin or "asian" in skin:
        share = share * np.array([1, 0.6, 0.15, 0.03, 0.01, 0.01, 0.005, 0.005])
    elif age_years < 14:
        share = share * np.array([0.6, 0.8, 1, 1.6, 2, 2.4, 1.5, 1])
    name = names[int(rng.choice(len(names), p=share / share.sum()))]
    root = _near(rng, NATURAL[name][0])
    # Half of all people are half grey at 55, and few before 30.
    grey = 1 / (1 + np.exp(-(age_years - rng.normal(56, 9)) / 5)) if age_years > 25 else 0.0
    color = root
    if age_years > 15 and rng.random() < (0.3 if grey > 0.3 else 0.1):
        natural = rng.random() < (0.65 if age_years < 45 else 0.96)
        choices = [n for n in names if n != name] if natural else list(DYED)
        name = str(rng.choice(choices))
        color, grey = _near(rng, NATURAL[name][0] if natural else DYED[name]), 0.0
    return HairColor(name, color, round(float(grey), 3), root, int(rng.integers(1 << 30)))


def recolor_hair(texture: Bytes, hair: HairColor, alpha: Bytes | None = None) -> Bytes:
    """A hair texture (H, W, 3) u8 in another colour: its strands' light and dark stay, grey strands are mixed in.

    alpha (H, W) u8: the strands' coverage; bare texels take no part in the mean brightness.
    """
    height, width = texture.shape[:2]
    shade = luminance(texture.astype(np.float32) / 255)
    covered = shade[alpha > 64] if alpha is not None and (alpha.shape == shade.shape) and (alpha > 64).any() else shade
    relative = np.clip(shade / max(float(np.median(covered)), 0.03), 0.25, 1.9)
    row, column = np.mgrid[:height, :width].astype(np.float32)
    # Strands run along one axis of the texture, mostly the vertical one.
    strand = noise_2d((column * (360 / width)).ravel(), (row * (9 / height)).ravel(), hair.seed % 997).reshape(
        shade.shape
    )
    # Single strands are finer than texels, so even half grey hair is a blend that varies, not black beside white.
    gray = np.clip(hair.grey + 1.1 * np.sqrt(hair.grey * (1 - hair.grey)) * (strand - 0.5), 0, 1)
    silver = np.asarray(WHITE if hair.grey > 0.8 else GREY, np.float32) / 255
    base = np.asarray(hair.color, np.float32) * (1 + 0.22 * (strand[..., None] - 0.5))
    mixed = base * (1 - gray[..., None]) + silver * gray[..., None]
    # Dark hair shows more contrast between shadow and sheen than fair hair does.
    contrast = 0.95 - 0.6 * float(np.median(luminance(mixed)))
    return np.clip(mixed * relative[..., None] ** contrast * 255 + 0.5, 6, 246).astype(np.uint8)


def hair_words(color: HairColor | None, style: str) -> str:
    """'long dark brown hair' from a style such as 'long'; 'no hair' without any."""
    return "no hair" if color is None else f"{style} {color.words} hair".strip()


def _near(rng: np.random.Generator, color: tuple[int, int, int]) -> Rgb:
    lab = to_oklab(np.array(color) / 255) + rng.normal(0, 1, 3) * np.array([0.025, 0.006, 0.009])
    red, green, blue = (round(float(v), 4) for v in from_oklab(lab))
    return red, green, blue
