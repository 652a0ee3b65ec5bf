"""The cloth that a garment is made of: drawn at random, described in words, painted at the garment's rest surface."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likeness.synthesis import prints, tailoring
from likeness.synthesis.figure import Finish
from likeness.synthesis.noise import grain, noise_3d
from likeness.synthesis.palette import (
    BRIGHTEST,
    DARKEST,
    NEUTRAL,
    WORN,
    Rgb,
    draw_accent,
    draw_color,
    luminance,
    name_of,
)
from likeness.synthesis.tailoring import Artwork, Block
from likeness.synthesis.texels import TexelMap, map_texels

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Material -> (gloss, roughness, lowest and highest infrared reflectivity, depth of the weave's light and dark).
MATERIALS: dict[str, tuple[float, float, float, float, float]] = {
    "cotton": (0.02, 0.85, 0.40, 0.75, 0.035),
    "linen": (0.02, 0.85, 0.45, 0.75, 0.06),
    "wool": (0.015, 0.92, 0.40, 0.65, 0.07),
    "knitted": (0.015, 0.92, 0.40, 0.70, 0.09),
    "denim": (0.02, 0.82, 0.45, 0.70, 0.07),
    "corduroy": (0.02, 0.85, 0.40, 0.70, 0.06),
    "jersey": (0.02, 0.82, 0.40, 0.75, 0.03),
    "silk": (0.045, 0.45, 0.45, 0.75, 0.015),
    "satin": (0.05, 0.38, 0.40, 0.70, 0.012),
    "nylon": (0.04, 0.50, 0.15, 0.45, 0.015),
    "leather": (0.045, 0.42, 0.10, 0.40, 0.05),
    "suede": (0.015, 0.9, 0.30, 0.55, 0.06),
    "lace": (0.02, 0.8, 0.45, 0.75, 0.03),
    "fleece": (0.01, 0.95, 0.40, 0.70, 0.08),
    "canvas": (0.02, 0.85, 0.35, 0.65, 0.06),
    "velvet": (0.02, 0.8, 0.30, 0.55, 0.06),
    "felt": (0.015, 0.92, 0.30, 0.60, 0.06),
    "straw": (0.03, 0.7, 0.5, 0.75, 0.12),
    "rubber": (0.04, 0.5, 0.08, 0.30, 0.02),
}
# Materials that people name when they describe clothes.
SPOKEN = (
    "denim",
    "leather",
    "knitted",
    "lace",
    "silk",
    "satin",
    "velvet",
    "corduroy",
    "linen",
    "suede",
    "straw",
    "fleece",
)

_TOP: dict[str, float] = {
    "plain": 34, "melange": 8, "horizontal stripes": 10, "vertical stripes": 3, "diagonal stripes": 1, "plaid": 7,
    "gingham": 4, "dots": 3, "floral": 6, "camouflage": 2, "leopard": 2, "zebra": 1, "tie-dye": 2, "gradient": 2,
    "argyle": 2, "chevron": 2, "ribs": 4, "pinstripe": 2, "lace": 1, "denim": 3,
}  # fmt: skip
_COAT: dict[str, float] = {
    "plain": 50, "melange": 12, "plaid": 7, "pinstripe": 4, "herringbone": 6, "leather": 12, "denim": 6,
    "camouflage": 3, "leopard": 2, "ribs": 4,
}  # fmt: skip
_BOTTOM: dict[str, float] = {
    "denim": 34, "plain": 40, "melange": 5, "pinstripe": 4, "plaid": 5, "camouflage": 4, "leather": 4, "corduroy": 4,
    "vertical stripes": 2, "leopard": 1, "floral": 2, "tie-dye": 1,
}  # fmt: skip
_DRESS: dict[str, float] = {
    "plain": 34, "floral": 18, "dots": 8, "horizontal stripes": 8, "vertical stripes": 5, "plaid": 5, "gingham": 5,
    "leopard": 3, "zebra": 1, "gradient": 4, "tie-dye": 3, "chevron": 3, "lace": 3, "leather": 1, "denim": 2, "ribs": 2,
    "diagonal stripes": 2, "argyle": 1,
}  # fmt: skip
_SHOE: dict[str, float] = {"plain": 40, "leather": 48, "canvas": 12}
_HAT: dict[str, float] = {"plain": 50, "felt": 20, "straw": 12, "camouflage": 5, "plaid": 5, "denim": 4, "ribs": 4}
_SWIM: dict[str, float] = {
    "plain": 45,
    "floral": 18,
    "dots": 10,
    "horizontal stripes": 10,
    "leopard": 5,
    "tie-dye": 5,
    "zebra": 3,
}
PATTERNS: dict[str, dict[str, float]] = {
    "top": _TOP, "shirt": _TOP, "sweater": _TOP, "full": _TOP, "sleeve": _TOP, "vest": _TOP, "coat": _COAT,
    "jacket": _COAT, "bottom": _BOTTOM, "trousers": _BOTTOM, "shorts": _BOTTOM, "dress": _DRESS, "skirt": _DRESS,
    "shoes": _SHOE, "hat": _HAT, "swim": _SWIM, "underwear": _SWIM, "scarf": _DRESS, "bag": _COAT,
}  # fmt: skip
_CLOTHS: dict[str, tuple[str, ...]] = {
    "top": ("cotton", "cotton", "jersey", "jersey", "knitted", "linen", "silk", "nylon", "wool"),
    "coat": ("wool", "wool", "cotton", "nylon", "fleece", "suede", "canvas"),
    "bottom": ("cotton", "cotton", "wool", "nylon", "linen", "jersey"),
    "dress": ("cotton", "jersey", "silk", "satin", "linen", "velvet", "cotton"),
    "shoes": ("canvas", "leather", "suede", "rubber"),
    "hat": ("cotton", "felt", "wool", "knitted"),
    "swim": ("nylon", "jersey"),
}
_CLOTHS |= {"jacket": _CLOTHS["coat"], "bag": ("canvas", "leather", "nylon"), "skirt": _CLOTHS["dress"]}
_CLOTHS |= {"shorts": _CLOTHS["bottom"], "trousers": _CLOTHS["bottom"], "underwear": _CLOTHS["swim"]}
HI_VIS: Rgb = (0.82, 0.92, 0.18)
# Pattern -> its adjective in a caption.
ADJECTIVES = {
    "melange": "heather", "horizontal stripes": "striped", "vertical stripes": "vertically striped",
    "diagonal stripes": "diagonally striped", "plaid": "plaid", "gingham": "checked", "dots": "polka dot",
    "floral": "floral", "camouflage": "camouflage", "leopard": "leopard print", "zebra": "zebra print",
    "tie-dye": "tie-dye", "gradient": "ombre", "argyle": "argyle", "chevron": "zigzag", "ribs": "ribbed",
    "pinstripe": "pinstripe", "herringbone": "herringbone",
}  # fmt: skip
WITHOUT_LEGS = (
    "dress",
    "skirt",
    "coat",
    "jacket",
    "top",
    "shirt",
    "sweater",
    "vest",
    "scarf",
    "hat",
    "shoes",
    "bag",
    "sleeve",
)


@dataclass(frozen=True)
class Fabric:
    """Cloth of one garment; JSON-able by `to_dict`.

    category: the garment's. pattern: a key of `prints.PATTERNS`. colors: sRGB 0..1, the dominant one first. scale_m:
    the pattern's repeat. angle: radians, for patterns that may lie askew. material: a key of MATERIALS. keep: 'none',
    or 'detail' (the item's own texture gives light and dark), or 'texture' (kept as it is). wear and stains: 0..1.
    blocks: parts in another colour. artwork: placed prints. details: painted tailoring, see `tailoring.DETAILS`.
    gloss, roughness, infrared: how light meets it. lower: the cloth of the lower pieces of a whole outfit, else None.
    """

    category: str
    pattern: str
    colors: tuple[Rgb, ...]
    scale_m: float
    angle: float
    material: str
    keep: str
    wear: float
    stains: float
    blocks: tuple[Block, ...]
    artwork: tuple[Artwork, ...]
    details: tuple[str, ...]
    gloss: float
    roughness: float
    infrared: float
    seed: int
    lower: Fabric | None = None

    @property
    def color_words(self) -> str:
        """Its colours, as 'navy and white' or 'red'."""
        if self.pattern in ("camouflage", "leopard"):
            return "green" if self.pattern == "camouflage" and _is_green(self.colors[0]) else name_of(self.colors[0])
        second = ("stripes", "plaid", "gingham", "dots", "zebra", "argyle", "chevron", "gradient")
        names = [name_of(color) for color in self.colors[: 2 if self.pattern.endswith(second) else 1]]
        if self.pattern == "gingham":
            names = [names[0], "white"]
        if self.material == "denim":
            names = [name.replace("steel blue", "blue") for name in names]
        return " and ".join(dict.fromkeys(names))

    @property
    def pattern_words(self) -> str:
        """The pattern's adjective, '' if plain."""
        return ADJECTIVES.get(self.pattern, "")

    @property
    def words(self) -> str:
        """Colours, pattern and material, as 'navy and white striped cotton'."""
        return " ".join(word for word in (self.color_words, self.pattern_words, self.material) if word)

    @property
    def finish(self) -> Finish:
        """How light meets it."""
        return Finish(self.gloss, self.roughness, 0.05, self.infrared)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Fabric:
        """The fabric that `to_dict` described, also after a way through JSON."""
        taken = dict(plain)
        taken["colors"] = tuple(tuple(color) for color in plain["colors"])
        taken["blocks"] = tuple(Block(b["where"], tuple(b["color"])) for b in plain["blocks"])
        taken["artwork"] = tuple(
            Artwork(**{**a, "color": tuple(a["color"]), "second": tuple(a["second"])}) for a in plain["artwork"]
        )
        taken["details"] = tuple(plain["details"])
        taken["lower"] = cls.from_dict(plain["lower"]) if plain.get("lower") else None
        return cls(**taken)


def draw_fabric(rng: np.random.Generator, category: str) -> Fabric:
    """A fabric somebody might wear as `category` (see PATTERNS; unknown ones are drawn like tops)."""
    fabric = _draw_one(rng, "top" if category == "full" else category)
    if category != "full":
        return fabric
    return Fabric(**{**_fields(fabric), "category": "full", "lower": _draw_one(rng, "bottom")})


def paint_fabric(
    fabric: Fabric,
    vertices: Floats,
    faces: NDArray[np.int32],
    corner_uvs: Floats,
    base_color: Bytes | None = None,
    size: int = 512,
    *,
    texels: TexelMap | None = None,
    joints: NDArray | None = None,
) -> Bytes:
    """Albedo (size, size, 3) u8 sRGB of a garment, without light in it.

    vertices (V, 3) f32 metres at rest in T pose, pelvis joint at the origin; faces (F, 3); corner_uvs (F, 3, 2), V up.
    base_color: the item's own texture (H, W, 3), used as `fabric.keep` says. texels: `map_texels` of the same garment
    and size, if it was made before (`fabric_texels`). joints (>= 22, 3): the wearer's rest joints, else an average
    adult's.
    """
    cells = texels or fabric_texels(fabric, vertices, faces, corner_uvs, size, joints=joints)
    own = None if base_color is None else sample_base(base_color, cells)
    color = paint_texels(fabric, cells, own)
    if fabric.lower is not None:
        low = _lower_texels(cells)
        color[low] = paint_texels(fabric.lower, cells, own)[low]
    albedo = np.clip(color * 255 + 0.5, DARKEST, BRIGHTEST).astype(np.uint8)
    return cells.image(albedo)


def fabric_texels(
    fabric: Fabric,
    vertices: Floats,
    faces: NDArray[np.int32],
    corner_uvs: Floats,
    size: int = 512,
    *,
    joints: NDArray | None = None,
) -> TexelMap:
    """The texel map that `paint_fabric` needs: it depends on the garment's category and geometry alone."""
    legs = fabric.category not in WITHOUT_LEGS
    return map_texels(vertices, faces, corner_uvs, size, legs=legs, joints=joints)


def paint_texels(fabric: Fabric, texels: TexelMap, own: Floats | None = None) -> Floats:
    """sRGB colours (N, 3) 0..1 of all texels; own (N, 3): the item's own texture there."""
    if fabric.keep == "texture" and own is not None:
        return own
    color = prints.pattern_colors(fabric.pattern, texels, fabric.colors, fabric.scale_m, fabric.angle, fabric.seed)
    color = tailoring.apply_blocks(color, texels, fabric.blocks)
    color = tailoring.apply_artwork(color, texels, fabric.artwork)
    if fabric.keep == "detail" and own is not None:
        shade = luminance(own)
        shade = shade / max(float(np.median(shade)), 0.05)
        color = color * np.clip(shade, 0.55, 1.35)[:, None] ** np.float32(0.8)
    elif fabric.category not in ("shoes", "hat", "bag", "glasses"):
        color = tailoring.apply_details(color, texels, fabric.details, fabric.colors[0], fabric.seed)
    depth = MATERIALS[fabric.material][4]
    weave = depth * (grain(len(color), fabric.seed) - 0.5) + 0.05 * (
        noise_3d(texels.position * 9, fabric.seed + 5) - 0.5
    )
    color = color * (1 + weave[:, None])
    return tailoring.apply_wear(color, texels, fabric.wear, fabric.stains, fabric.seed)


def sample_base(base_color: Bytes, texels: TexelMap) -> Floats:
    """The item's own texture (H, W, 3) u8 at the texels, (N, 3) f32 in 0..1."""
    height, width = base_color.shape[:2]
    rows = ((texels.index // texels.size + 0.5) * height / texels.size).astype(np.int64)
    columns = ((texels.index % texels.size + 0.5) * width / texels.size).astype(np.int64)
    return base_color[rows, columns].astype(np.float32) / np.float32(255)


def texture_words(texture: Bytes, alpha: Bytes | None = None) -> str:
    """The colour name that covers most of an item's own texture (H, W, 3), where alpha (H, W) is opaque."""
    colors = texture.reshape(-1, 3)
    if alpha is not None and alpha.shape == texture.shape[:2]:
        colors = colors[alpha.ravel() > 127]
    if not len(colors):
        return ""
    step = max(1, len(colors) // 4000)
    names, counts = np.unique([name_of(color / 255) for color in colors[::step]], return_counts=True)
    return str(names[counts.argmax()])


def _fields(fabric: Fabric) -> dict[str, Any]:
    return {name: getattr(fabric, name) for name in fabric.__dataclass_fields__}


def _draw_one(rng: np.random.Generator, category: str) -> Fabric:
    table = PATTERNS.get(category, _TOP)
    pattern = str(rng.choice(list(table), p=np.array(list(table.values())) / sum(table.values())))
    cloths = _CLOTHS.get(category, _CLOTHS["top"])
    material = prints.MATERIAL_OF.get(pattern) or str(rng.choice(cloths))
    if pattern in ("leather", "felt", "straw", "canvas"):
        pattern = "leather" if pattern == "leather" else "plain"
    colors = _draw_colors(rng, pattern, material, category)
    low, high = prints.SCALES.get(pattern, (0.05, 0.1))
    gloss, roughness, dark, bright, _ = MATERIALS[material]
    infrared = float(rng.uniform(dark, bright))
    if float(luminance(np.array(colors[0]))) < 0.25 and rng.random() < 0.35:
        # Some black dyes (carbon, sulphur) swallow infrared light too; most do not.
        infrared = float(rng.uniform(0.05, 0.25))
    details = tailoring.draw_details(rng, category, pattern)
    if "hi-vis" in details:
        pattern, colors = "plain", (HI_VIS, *colors[1:])
    return Fabric(
        category,
        pattern,
        colors,
        round(float(np.exp(rng.uniform(np.log(low), np.log(high)))), 4),
        round(float(rng.uniform(-0.9, 0.9)), 3),
        material,
        str(rng.choice(["none", "detail"])),
        round(float(rng.beta(1.2, 5)), 3),
        round(float(rng.beta(0.6, 14)), 3),
        tailoring.draw_blocks(rng, category, pattern, colors),
        tailoring.draw_artwork(rng, category, pattern, colors),
        details,
        round(gloss * float(rng.uniform(0.8, 1.25)), 4),
        round(min(roughness * float(rng.uniform(0.92, 1.08)), 1.0), 3),
        round(infrared, 3),
        int(rng.integers(1 << 30)),
    )


def _draw_colors(rng: np.random.Generator, pattern: str, material: str, category: str) -> tuple[Rgb, ...]:
    among = {
        "denim": ("steel blue", "steel blue", "dark blue", "navy", "light blue", "black", "charcoal"),
        "leather": ("black", "black", "brown", "dark brown", "tan", "maroon"),
        "suede": ("brown", "tan", "dark brown", "black", "beige"),
        "straw": ("beige", "cream", "tan"),
    }.get(material)
    if pattern == "camouflage":
        return prints.CAMOUFLAGE[int(rng.integers(len(prints.CAMOUFLAGE)))]
    if pattern in ("leopard", "zebra"):
        return prints.ANIMALS[pattern]
    if category == "shoes" and rng.random() < 0.6:
        among = ("black", "black", "white", "brown", "grey", "tan", "navy")
    if category in ("bottom", "trousers", "shorts", "coat", "jacket") and among is None and rng.random() < 0.7:
        among = (*NEUTRAL, "khaki", "brown", "olive", "dark blue", "dark green", "maroon")
    if pattern == "gingham":
        # Its other colour is white.
        among = tuple(name for name in WORN if name not in ("white", "cream", "light grey", "beige", "mint", "peach"))
    first = draw_color(rng, among)
    second = draw_accent(rng, first)
    third = draw_color(rng)
    return (first, second, third)


def _is_green(color: Rgb) -> bool:
    return color[1] >= color[0] and color[1] > color[2]


def _lower_texels(texels: TexelMap) -> NDArray[np.bool_]:
    """Texels of the connected pieces whose middle lies below the waist."""
    height = np.bincount(texels.piece, texels.position[:, 1]) / np.maximum(np.bincount(texels.piece), 1)
    return height[texels.piece] < -0.05
