"""Other colours for the plain garments of an avatar, and the caption that says so."""

from __future__ import annotations

import re

import numpy as np
from scipy import ndimage
from scipy.cluster.vq import kmeans2
from skimage.color import lab2rgb, rgb2lab

from likeness.synthesis.avatar_mesh import FineMesh
from likeness.synthesis.avatar_parts import CLOTH, Flags, Labels, difference, face_colors
from likeness.synthesis.figure import Bytes, Floats
from likeness.synthesis.pack import AvatarSource

# Colour words and the sRGB that they stand for.
PALETTE = {
    "black": (28, 28, 30),
    "white": (232, 231, 228),
    "grey": (125, 126, 128),
    "dark grey": (66, 67, 70),
    "light grey": (180, 181, 183),
    "blue": (44, 84, 160),
    "dark blue": (32, 40, 78),
    "light blue": (140, 175, 212),
    "red": (172, 34, 40),
    "dark red": (104, 28, 38),
    "green": (52, 112, 66),
    "dark green": (34, 62, 46),
    "olive": (104, 102, 58),
    "brown": (98, 68, 48),
    "dark brown": (58, 42, 34),
    "beige": (196, 176, 144),
    "yellow": (214, 178, 52),
    "orange": (208, 108, 44),
    "pink": (214, 142, 162),
    "purple": (98, 58, 122),
    "teal": (36, 110, 116),
}
_SHADES = r"(?:pale |light |dark |bright )?"
_NAMES = (
    r"(?:black|white|grey|blue|red|green|olive|brown|beige|yellow|orange|pink|purple|teal|khaki|magenta|tan|denim|dark)"
)
_PHRASE = re.compile(rf"\b({_SHADES}{_NAMES}(?:-{_NAMES})*)\b([^,]*?)(?=,| over | and | with |$)")
_LOWER = re.compile(r"trousers|jeans|skirt|shorts")
_WHOLE = re.compile(r"suit|scrubs|coat dress|thobe|abaya|kurta|clothes|\bdress\b")
_UPPER = re.compile(r"blazer|jacket|shirt|sweater|vest|waistcoat|cardigan|hoodie|tunic|top|coat|blouse")
# Prints and liveries keep their colours.
_KEPT = re.compile(r"camouflage|check|strip|visib|bunker|uniform|police|gear|armour|argyle|print|denim|jeans|keffiyeh")
_LOOKS = re.compile(r"hair|beard|moustache|goatee|bald|barefoot|bare chest|ponytail|skin$|visible")
_STATES = re.compile(r"^bald(ing)?$|barefoot|visible")
_LEGS, _SHINS, _CHEST = (1, 2, 4, 5, 7, 8), (4, 5, 7, 8), (9, 13, 14, 16, 17, 18, 19)
_CHANCE = 0.65
_MISS = 26.0
_SHARE = 0.45


def recolored(
    source: AvatarSource, kinds: Labels, joint: Labels, fine: FineMesh, rng: np.random.Generator
) -> tuple[Bytes, str]:
    """The atlas with some plain garments in other colours, and the caption as a sentence with the new words.

    kinds, joint (F,): kind of each source triangle and the joint that holds it most; fine: the refined mesh, whose
    `origin` counts the kept triangles, those of a kind >= 0.
    """
    caption, atlas = source.caption, source.atlas
    lab_faces = face_colors(source)
    body = source.material == source.material_names.index("body")
    for match in list(_PHRASE.finditer(source.caption)):
        color, noun = match.group(1), match.group(2)
        zone, other = _zone(noun, kinds == CLOTH, joint)
        new_name = list(PALETTE)[int(rng.integers(len(PALETTE)))]
        shade = rng.normal(0, (3.0, 2.5, 2.5))
        if zone is None or rng.random() > _CHANCE or _KEPT.search(match.group(0)) or new_name == color:
            continue
        center = _cloth_color(lab_faces[zone], _areas(source)[zone], color)
        if center is None or _alike(lab_faces[other], center):
            continue
        target = rgb2lab(np.array(PALETTE[new_name])[None] / 255.0)[0] + shade
        mask = _mask((kinds == CLOTH) & body, kinds, fine, atlas.shape[0])
        atlas = _dyed(atlas, source.atlas, mask, center, target)
        caption = caption.replace(match.group(0), new_name + noun, 1)
    return atlas, sentence(caption)


def sentence(listed: str) -> str:
    """A caption of the index, 'female adult, black coat, dark hair', as a sentence without a full stop."""
    # Visors are left out, because their transparency was lost.
    who, *items = re.sub(r" with (?:a )?(?:visor|face shield)", "", listed).split(", ")
    who = who.replace("female adult", "woman").replace("male adult", "man")
    worn = [item for item in items if not _LOOKS.search(item)]
    looks = [item for item in items if _LOOKS.search(item) and not _STATES.search(item)]
    states = [item for item in items if _STATES.search(item)]
    out = ("An " if who[0] in "aeiou" else "A ") + who
    if worn:
        out += " wearing " + ", ".join(worn)
    if looks:
        out += ", with " + " and ".join(looks)
    return ", ".join([out, *states])


def _alike(lab: Floats, center: Floats) -> bool:
    """Whether cloth of the colours (F, 3) has much of the colour `center`, so that dyeing one would dye both."""
    return len(lab) > 0 and float((difference(lab, center) < 22).mean()) > 0.25


def _zone(noun: str, cloth: Flags, joint: Labels) -> tuple[Flags | None, Flags]:
    """Triangles (F,) that show a garment for certain, by its noun, None = no garment; and those that show another."""
    legs, shins, chest = (np.isin(joint, which) for which in (_LEGS, _SHINS, _CHEST))
    if re.search(r"hair|beard|cap\b|hat\b|helmet|shoe|boot|glove|belt|tie\b|stripe|skin|scarf|mask", noun):
        return None, cloth
    if _LOWER.search(noun) and _UPPER.search(noun) is None:
        return cloth & legs, cloth & chest
    if _WHOLE.search(noun) and "waistcoat" not in noun:
        return cloth, np.zeros_like(cloth)
    return (cloth & ~legs if _UPPER.search(noun) else None), cloth & shins


def _areas(source: AvatarSource) -> Floats:
    corner = source.vertices[source.triangles]
    return np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)


def _cloth_color(lab: Floats, area: Floats, word: str) -> Floats | None:
    """Lab (3,) of the cloth that rules a zone and bears the colour `word`; None where there is none so plain."""
    if len(lab) < 50:
        return None
    if word == "dark":
        word = "black"
    said = (
        re.sub("pale|bright", "light", word)
        .replace("khaki", "olive")
        .replace("tan", "beige")
        .replace("magenta", "pink")
    )
    rgb = PALETTE.get(said, PALETTE.get(said.split()[-1].split("-")[-1]))
    if rgb is None:
        return None
    goal = rgb2lab(np.array(rgb)[None] / 255.0)[0]
    centers, label = kmeans2(lab * (0.5, 1, 1), 5, minit="++", seed=0, iter=15)
    best = int(np.argmin(np.linalg.norm(centers - goal * (0.5, 1, 1), axis=1)))
    center = np.median(lab[label == best], 0) if (label == best).any() else goal
    share = area[difference(lab, center) < 14].sum() / area.sum()
    return center if difference(center, goal) < _MISS and share > _SHARE else None


def _mask(zone: Flags, kinds: Labels, fine: FineMesh, size: int) -> Flags:
    """Texels (size, size) of the triangles of a zone, a little padded."""
    uv = fine.corner_uvs[zone[kinds >= 0][fine.origin]]
    steps = np.linspace(0, 1, 8)
    a, b = np.meshgrid(steps, steps)
    inside = a + b <= 1 + 1e-9
    blend = np.stack([1 - a[inside] - b[inside], a[inside], b[inside]], 1).astype(np.float32)
    place = np.einsum("pc,fcx->pfx", blend, uv).reshape(-1, 2)
    column = np.clip((place[:, 0] * size).astype(int), 0, size - 1)
    row = np.clip(((1 - place[:, 1]) * size).astype(int), 0, size - 1)
    out = np.zeros((size, size), bool)
    out[row, column] = True
    return ndimage.binary_dilation(out, iterations=3)


def _dyed(atlas: Bytes, original: Bytes, mask: Flags, center: Floats, target: Floats) -> Bytes:
    """The atlas with the texels that were near the colour `center` (3,) in the original one moved to `target` (3,)
    Lab, their shading kept."""
    lab = rgb2lab(original[mask] / 255.0)
    share = 1 / (1 + np.exp((difference(lab, center) - 16) / 2.0))[:, None]
    contrast = np.array([np.clip(target[0] / max(center[0], 8), 0.55, 1.6), 0.6, 0.6])
    dyed = target + (lab - center) * contrast
    dyed[:, 0] = np.clip(dyed[:, 0], 2, 97)
    # No light is that blue-less.
    dyed[:, 2] = np.minimum(dyed[:, 2], 1.6 * (dyed[:, 0] + 16))
    out = atlas.copy()
    mixed = atlas[mask] + share * (np.clip(lab2rgb(dyed), 0, 1) * 255 - atlas[mask])
    out[mask] = (mixed + 0.5).astype(np.uint8)
    return out
