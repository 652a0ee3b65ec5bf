"""Closes hair over the back of an avatar's head."""

from __future__ import annotations

import re

import numpy as np
from avatar_fill import around, finish_piece, local_mean
from avatar_texels import ENOUGH, NAMES, Array, Work
from scipy import ndimage


def finish_head(work: Work, inside: Array, caption: str, rng: np.random.Generator) -> Array | None:
    """The back of the head: hair where the front has hair, skin below; caps as any cloth.

    inside (N,) bool: the head's texels. Returns the hair's colour, Lab; None = bald.
    """
    texels, lab = work.texels, work.lab
    skin = skin_color(work)
    face = _face_piece(work, inside, skin)
    for component in np.unique(texels.component[inside]):
        part = inside & (texels.component == component)
        if component != face and (part & work.sources).sum() >= ENOUGH:
            finish_piece(work, part, part & work.sources, "head")
    skull = inside & (texels.component == face)
    have = np.flatnonzero(skull & work.sources)
    if not len(have):
        return None
    hair = _hair_color(work, skull & work.sources, skin, "bald" in caption)
    if "bald" in caption and "balding" not in caption:
        hair = None
    wanted = np.flatnonzero(skull & ~work.fixed)
    height = texels.position[:, 1]
    top = height[skull].max()
    # Hair ends at the nape, about as high as the mouth; a head is some 23 cm high.
    nape = top - 0.23 + 0.22 * 0.23
    noise = ndimage.gaussian_filter(rng.standard_normal((64, 64)), 2)
    wobble = 0.02 * noise[texels.row[wanted] // 8, texels.column[wanted] // 8]
    turn = around(texels, skull, "head")
    hairy = np.clip((height[wanted] + wobble - nape) / 0.012 + 0.5, 0, 1)[:, None]
    if hair is not None and re.search(r"long [\w-]+ hair", caption):
        # What lies behind hanging hair is hidden by it.
        hairy = np.maximum(hairy, (texels.normal[wanted, 2] < 0.2)[:, None])
    angle = np.sign(turn.angle) * np.minimum(np.abs(turn.angle), 1.2)
    place = np.stack([turn.along, turn.radius * angle], 1)
    bare = have[strangeness(lab[have], skin) < 14]
    neck = local_mean(place[bare], lab[bare])(place[wanted]) if len(bare) > 100 else skin
    grain = rng.standard_normal((len(wanted), 1)) * (1.5, 0.2, 0.2)
    work.out[wanted] = (1 - hairy) * neck + hairy * (neck if hair is None else hair + grain)
    if hair is not None:
        _color_strands(work, inside, face, hair, rng)
    return hair


def _color_strands(work: Work, inside: Array, face: int, hair: Array, rng: np.random.Generator) -> None:
    """Give small unseen pieces at the back of the head, which are strands of hair, its colour `hair` (3,) Lab."""
    texels = work.texels
    skull = inside & (texels.component == face)
    middle = np.median(texels.position[skull, 2])
    for component in np.unique(texels.component[inside]):
        part = inside & (texels.component == component)
        few = (part & work.sources).sum() < ENOUGH
        if component != face and few and texels.position[part, 2].mean() < middle:
            goal = part & ~work.fixed
            work.out[goal] = hair + rng.standard_normal((int(goal.sum()), 1)) * (1.5, 0.2, 0.2)


def skin_color(work: Work) -> Array:
    """Lab of the face: the median of its seen middle."""
    texels = work.texels
    head = texels.known & (texels.group == NAMES.index("head")) & (texels.normal[:, 2] > 0.4)
    if head.sum() < 50:
        return np.array([65.0, 18, 20])
    height = texels.position[head, 1]
    middle = (height > np.quantile(height, 0.25)) & (height < np.quantile(height, 0.6))
    return np.median(work.lab[head][middle], 0)


def strangeness(lab: Array, skin: Array) -> Array:
    """How far colours (N, 3) are from another (3,), Lab, brightness counting less."""
    return np.linalg.norm((lab - skin) * (0.6, 1, 1), axis=-1)


def _face_piece(work: Work, inside: Array, skin: Array) -> int:
    """The piece of the head with the most seen texels of the colour of skin."""
    like = inside & work.texels.known & (strangeness(work.lab, skin) < 14)
    return int(np.bincount(work.texels.component[like]).argmax()) if like.any() else -1


def _hair_color(work: Work, at: Array, skin: Array, thin: bool) -> Array | None:
    """Median colour of the hair that was seen: the crown's, or the sides' where it is `thin`; None = none seen."""
    height = work.texels.position[:, 1]
    top = height[at].max()
    crown = at & (height > top - 0.03)
    if not thin and crown.sum() > 20 and strangeness(np.median(work.lab[crown], 0), skin) > 8:
        return np.median(work.lab[crown], 0)
    upper = at & (height > top - 0.12)
    other = upper & (strangeness(work.lab, skin) > 14)
    return np.median(work.lab[other], 0) if other.sum() > 0.08 * max(upper.sum(), 1) else None
