"""Finishes the colour of the rigged avatars, half of which was never photographed.

The source shows a person once, from the front and one side. Here unseen cloth takes what the same garment shows at the
same place of the front, through the body, so that prints, stripes and garment borders go round; openings, ties and
faces stay in front; hair closes over the back of the head; light that the source baked in is divided out.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from avatar_fill import finish_piece
from avatar_heads import finish_head, skin_color, strangeness
from avatar_texels import ENOUGH, NAMES, Array, Work, gather, mask, write
from scipy.cluster.vq import kmeans2
from scipy.spatial import cKDTree

# Words of captions: prints that go round a garment, and cloth that covers the head in the same piece as the face.
PRINTS = ("argyle", "checked", "camouflage", "striped")
SCARVES = ("headscarf", "hood up", "head covering", "balaclava")


def finish(
    avatar: dict[str, Array], atlas: Array, seed: int, *, caption: str = "", real_textures: Iterable[str] = ()
) -> tuple[Array, Array]:
    """Albedo all round from an avatar's half-known colour.

    avatar: the arrays of its npz, `vertices` in metres. atlas: (512, 512, 3) u8. caption: its sentence in the index,
    which tells hair, baldness and scarves. real_textures: names of the materials whose texture is the artist's own.
    Returns the atlas (512, 512, 3) u8 and known (512, 512) bool: the texels that were seen.
    """
    rng = np.random.default_rng(seed)
    texels = gather(avatar, atlas)
    names = np.array([str(n) for n in avatar["material_names"]])[avatar["material"].astype(int)][texels.triangle]
    cards = names == "opacity"
    real = np.isin(names, list(real_textures)) & ~cards
    sources = (texels.known | texels.mirrored) & ~cards & ~real
    labels = _color_labels(texels.lab, sources, rng)
    lab = np.where(real[:, None], texels.lab, _without_light(texels.lab, texels.normal, labels, sources))
    work = Work(texels, lab, labels, lab.copy(), texels.known | texels.mirrored | real, sources, _says(caption, PRINTS))
    hair = None
    for number, name in enumerate(NAMES):
        inside = (texels.group == number) & ~cards
        if name == "head" and not _says(caption, SCARVES):
            hair = finish_head(work, inside, caption, rng)
            continue
        if name == "head":
            # A scarf's back is scarf, not face.
            work.sources &= ~inside | (strangeness(work.lab, skin_color(work)) > 16)
        _finish_group(work, inside, name)
    if "barefoot" not in caption:
        _darken_soles(work)
    _even_cards(work, cards, hair)
    return write(texels, work.out), mask(texels, (texels.known & ~cards) | real)


def _says(caption: str, words: tuple[str, ...]) -> bool:
    return any(word in caption for word in words)


def _color_labels(lab: Array, sources: Array, rng: np.random.Generator) -> Array:
    """(N,) cloth number of every texel: clusters of the seen colours, brightness counting half."""
    scaled = lab * (0.5, 1, 1)
    sample = scaled[rng.choice(np.flatnonzero(sources), 6000)]
    # Flat colours would leave clusters empty.
    sample = sample + rng.normal(0, 0.5, sample.shape)
    centers, _ = kmeans2(sample, 10, minit="++", seed=rng, iter=20)
    centers = centers[~np.isnan(centers).any(1)]
    # Clusters closer than a shade belong to one cloth.
    parent = np.arange(len(centers))
    for i in range(len(centers)):
        for j in range(i):
            if np.linalg.norm(centers[i] - centers[j]) < 9:
                parent[parent == parent[i]] = parent[j]
    return parent[cKDTree(centers).query(scaled)[1]]


def _harmonics(normal: Array) -> Array:
    x, y, z = normal.T
    return np.stack([x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1], 1)


def _without_light(lab: Array, normal: Array, labels: Array, sources: Array) -> Array:
    """Colours with the smooth light of the preview taken out, as far as second-order harmonics of the normal explain
    the seen brightness within each cloth; gently, because folds and dirt are explained too."""
    at = np.flatnonzero(sources & (lab[:, 0] > 4))
    log = np.log(np.maximum(lab[at, 0], 4))
    rows = _harmonics(normal[at])
    number = labels[at]
    count = np.maximum(np.bincount(number), 1)
    centered = rows - np.stack([np.bincount(number, r) for r in rows.T], 1)[number] / count[number, None]
    target = log - (np.bincount(number, log) / count)[number]
    weight = np.ones(len(at))
    solution = np.zeros(8)
    for _ in range(5):
        left = (centered * weight[:, None]).T @ centered + 0.02 * len(at) * np.eye(8)
        solution = np.linalg.solve(left, (centered * weight[:, None]).T @ target)
        weight = 1 / (1 + ((target - centered @ solution) / 0.15) ** 2)
    light = _harmonics(normal) @ solution
    light = np.clip(light - np.median(light[at]), -0.35, 0.25)
    out = lab.copy()
    # Only what was seen carries light that its own normal explains.
    out[sources] *= np.exp(-0.8 * light[sources])[:, None]
    out[:, 0] = np.minimum(out[:, 0], 98)
    return out


def _finish_group(work: Work, inside: Array, name: str) -> None:
    """Fill one limb or the torso: each piece of the mesh from itself where enough of it was seen."""
    pooled = np.zeros(len(inside), bool)
    own = inside & work.sources
    for component in np.unique(work.texels.component[inside]):
        part = inside & (work.texels.component == component)
        if (part & own).sum() >= ENOUGH:
            finish_piece(work, part, part & own, name)
        else:
            pooled |= part
    if pooled.any() and own.sum() >= ENOUGH:
        finish_piece(work, pooled, own, name)


def _darken_soles(work: Work) -> None:
    texels = work.texels
    foot = np.isin(texels.group, [NAMES.index("left_foot"), NAMES.index("right_foot")])
    sole = foot & ~work.fixed & (texels.normal[:, 1] < -0.7) & (texels.position[:, 1] < 0.03)
    if sole.any():
        work.out[sole] = np.median(work.out[sole], 0) * (0.45, 0.4, 0.4)


def _even_cards(work: Work, cards: Array, hair: Array | None) -> None:
    """Unseen hair cards take the colour of the hair, or the median of the seen ones."""
    seen = cards & work.texels.known
    hidden = cards & ~work.texels.known
    if hair is not None:
        work.out[hidden] = hair
    elif seen.sum() > 30:
        work.out[hidden] = np.median(work.out[seen], 0)
