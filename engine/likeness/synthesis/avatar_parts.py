"""What each triangle of an avatar is: skin, eye, hair, cloth, shoe, hat or bag.

The source is one mesh of body, head and accessories; the kinds come from the material, the bones, the colour and the
caption.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from skimage.color import rgb2lab

from likeness.synthesis.avatar_rest import Rest
from likeness.synthesis.figure import KINDS, Bytes
from likeness.synthesis.limbs import PARENTS
from likeness.synthesis.pack import AvatarSource

Array = NDArray[np.floating]
Labels = NDArray[np.int64]
Flags = NDArray[np.bool_]

SKIN, EYE, HAIR, CLOTH, SHOE, HAT, BAG = (
    KINDS.index(kind) for kind in ("skin", "eye", "hair", "cloth", "shoe", "hat", "bag")
)
DROPPED = -1
_BIN_M = 0.025
# Rows of legs from hip to ankle, the one below the crotch, and how many vertices of a refined mesh go across there.
_ROWS, _CROTCH, _ACROSS = 16, 3, 12
_BARE_LEGS = r"shorts|skirt|dress with|bikini|barefoot|bare chest"
_BARE_TRUNK = r"sleeveless|bikini|bare chest|dress with"
_SCARF = r"headscarf|hood up|head covering|balaclava"
_HATS = r"\bcap\b|hat\b|helmet|beret"
_LONG_GUNS = ("shotgun", "machinegun")
_NEAR_EYE_M = 0.045


@dataclass(frozen=True)
class Colors:
    """lab (F, 3) of every triangle; skin, hair (3,) of the person, hair None where bald."""

    lab: Array
    skin: Array
    hair: Array | None


def face_colors(source: AvatarSource) -> Array:
    """Mean Lab colour (F, 3) of each triangle, from four points of it."""
    uv = source.uvs[source.triangle_uv]
    blends = np.array([[1 / 3, 1 / 3, 1 / 3], [0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]])
    return _lab_at(source.atlas, np.einsum("pc,fcx->pfx", blends, uv)).mean(0)


def _lab_at(atlas: Bytes, uv: Array) -> Array:
    height, width = atlas.shape[:2]
    column = np.clip((uv[..., 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - uv[..., 1]) * height).astype(int), 0, height - 1)
    return rgb2lab(atlas[row, column] / 255.0)


def difference(lab: Array, other: Array) -> Array:
    """Colour difference that counts brightness, which light changes, by half."""
    return np.linalg.norm((lab - other) * (0.5, 1, 1), axis=-1)


def pieces(faces: Labels, count: int) -> Labels:
    """Connected piece (F,) of every triangle."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = sparse.coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return sparse.csgraph.connected_components(graph, directed=False)[1][faces[:, 0]]


def face_kinds(source: AvatarSource, rest: Rest) -> Labels:
    """Index in KINDS of every triangle (F,), DROPPED for those that are left out. rest: the source in the T pose."""
    faces = source.triangles.astype(int)
    center = rest.vertices[faces].mean(1)
    joint = rest.weights[faces].sum(1).argmax(1)
    names = np.array(source.material_names)[source.material]
    piece = pieces(faces, len(source.vertices))
    lab = face_colors(source)
    skin, hair = _person_colors(source, rest, lab, center, names)
    colors = Colors(lab, skin, hair)
    kinds = np.full(len(faces), CLOTH)
    kinds[names == "body"] = _body_kinds(source, rest, colors, center, joint, names == "body")
    kinds[names == "head"] = _head_kinds(source, rest, colors, center, joint, piece, names == "head")
    for name in set(source.material_names) - {"body", "head", "opacity", ""}:
        kinds[names == name] = _accessory(name, source.caption)
    kinds[names == "opacity"] = _card_kinds(source, rest, center, joint, piece, names == "opacity")
    return kinds


def _accessory(name: str, caption: str) -> int:
    if name in _LONG_GUNS:
        return DROPPED
    if name in ("helmet", "hat", "mask"):
        return HAT
    return CLOTH if name in ("keffiyeh", "protection") else BAG


def eye_places(source: AvatarSource, rest: Rest) -> Array:
    """(2, 3) where the eyes' bones lie at rest."""
    heads = np.stack([_bone(source, side + "Eye") for side in "LR"])
    # The head does not turn between the bind pose and the T pose.
    return heads - source.joints52[15] + rest.joints[15]


def _bone(source: AvatarSource, ending: str) -> Array:
    """Head (3,) of the bone whose name ends so; the head's own, a little forward, where there is none."""
    for number, name in enumerate(source.bone_names):
        if name.endswith(ending):
            return source.bone_heads[number].astype(float)
    return source.joints52[15] + np.array([0.0, 0.07, 0.09])


def _person_colors(
    source: AvatarSource, rest: Rest, lab: Array, center: Array, names: NDArray
) -> tuple[Array, Array | None]:
    eyes = eye_places(source, rest).mean(0)
    head = names == "head"
    offset = center - eyes
    cheek = (
        head & (np.abs(offset[:, 0]) < 0.06) & (offset[:, 1] < -0.015) & (offset[:, 1] > -0.06) & (offset[:, 2] > -0.03)
    )
    skin = np.median(lab[cheek], 0) if cheek.any() else np.array([65.0, 18.0, 20.0])
    back = head & (center[:, 2] < rest.joints[15, 2] - 0.03) & (offset[:, 1] > 0.0)
    hair = np.median(lab[back], 0) if back.any() else skin
    bald = re.search(r"\bbald\b", source.caption) is not None
    return skin, hair if difference(hair, skin) > 7 and not bald else None


def _body_kinds(source: AvatarSource, rest: Rest, colors: Colors, center: Array, joint: Labels, body: Flags) -> Labels:
    kinds = np.full(len(joint), CLOTH)
    feet = np.isin(joint, (7, 8, 10, 11))
    kinds[feet] = SHOE
    like_skin = difference(colors.lab, colors.skin)
    for wrist, chain, first in ((20, (16, 18, 20), 22), (21, (17, 19, 21), 37)):
        hand = body & ((joint == wrist) | ((joint >= first) & (joint < first + 15)))
        if not hand.any():
            continue
        own = np.median(colors.lab[hand], 0)
        if difference(own, colors.skin) > 24:
            continue
        fingers = body & (joint >= first) & (joint < first + 15)
        kinds[fingers] = SKIN
        along = np.abs(center[:, 0] - rest.joints[wrist, 0]) * np.sign(
            np.abs(rest.joints[wrist, 0]) - np.abs(center[:, 0])
        )
        arm = body & np.isin(joint, chain)
        kinds[arm & (along < _bare_length(along[arm], difference(colors.lab[arm], own)))] = SKIN
    if re.search(_BARE_LEGS, source.caption):
        legs = np.isin(joint, (1, 2, 4, 5)) & body
        kinds[legs & (like_skin < 14)] = SKIN
    if re.search(_BARE_TRUNK, source.caption):
        trunk = body & ~feet & ~np.isin(joint, (1, 2, 4, 5))
        kinds[trunk & (like_skin < 14)] = SKIN
    if "barefoot" in source.caption:
        kinds[feet] = SKIN
    elif "boots" in source.caption:
        _raise_boots(kinds, rest, colors, center, joint, body)
    return kinds[body]


def _raise_boots(kinds: Labels, rest: Rest, colors: Colors, center: Array, joint: Labels, body: Flags) -> None:
    """Let boots reach up the shins as far as their colour does."""
    for foot, shin in (((7, 10), 4), ((8, 11), 5)):
        own = body & np.isin(joint, foot)
        leg = body & (joint == shin)
        if own.any() and leg.any():
            unlike = difference(colors.lab[leg], np.median(colors.lab[own], 0))
            along = center[:, 1] - rest.joints[foot[0], 1]
            kinds[leg & (along < _bare_length(along[leg], unlike))] = SHOE


def _bare_length(along: Array, unlike: Array) -> float:
    """How far up the arm from the wrist the colour stays the hand's, metres."""
    bin_of = np.floor(along / _BIN_M).astype(int)
    limit = 0.0
    for number in range(24):
        inside = bin_of == number
        if inside.any() and np.median(unlike[inside]) > 13:
            break
        limit = (number + 1) * _BIN_M
    # A sleeve may end a little before the wrist.
    return limit if limit > 0 else -0.01


def _head_kinds(
    source: AvatarSource, rest: Rest, colors: Colors, center: Array, joint: Labels, piece: Labels, head: Flags
) -> Labels:
    kinds = np.full(len(joint), SKIN)
    eyes = eye_places(source, rest)
    like_skin = difference(colors.lab, colors.skin)
    inside = np.flatnonzero(head)
    main = int(np.bincount(piece[inside]).argmax())
    offset = center - eyes.mean(0)
    if re.search(_SCARF, source.caption):
        face = (np.abs(offset[:, 0]) < 0.085) & (offset[:, 2] > -0.09) & (like_skin < 20)
        kinds[head & ~face & (piece == main)] = CLOTH
    else:
        covered = HAT if re.search(_HATS, source.caption) and "helmet" not in source.material_names else HAIR
        kinds[head & (piece == main) & _hairy(colors, offset)] = covered
        # Collars that belong to the head's mesh.
        low = offset[:, 1] < -0.13
        kinds[head & low & (like_skin > 22)] = CLOTH
    for number in np.unique(piece[inside]):
        part = head & (piece == number)
        middle = center[part].mean(0)
        if number == main:
            continue
        if np.linalg.norm(eyes - middle, axis=1).min() < 0.02:
            kinds[part] = EYE
        elif middle[1] > eyes[:, 1].mean() + 0.02:
            kinds[part] = HAT if re.search(_HATS, source.caption) else HAIR
        elif offset[part, 2].mean() < -0.08:
            kinds[part] = HAIR if colors.hair is not None else SKIN
    return kinds[head]


def _hairy(colors: Colors, offset: Array) -> Flags:
    """Triangles of the head that are hair by place and colour."""
    if colors.hair is None:
        return np.zeros(len(offset), bool)
    place = (offset[:, 1] > 0.03) | ((offset[:, 2] < -0.07) & (offset[:, 1] > -0.11))
    return place & (difference(colors.lab, colors.hair) < difference(colors.lab, colors.skin))


def _card_kinds(source: AvatarSource, rest: Rest, center: Array, joint: Labels, piece: Labels, cards: Flags) -> Labels:
    """Hair and fringes stay; lashes, brows and visors, whose transparency was lost, are dropped."""
    kinds = np.full(len(joint), HAIR)
    eyes = eye_places(source, rest)
    hats = bool(re.search(_HATS + r"|mask|visor|shield", source.caption))
    for number in np.unique(piece[cards]):
        part = cards & (piece == number)
        away = np.linalg.norm(center[part][:, None] - eyes[None], axis=2).min(1)
        small = np.ptp(center[part], axis=0).max() < 0.09
        on_head = np.isin(joint[part], (12, 15)).mean() > 0.5
        if (small and away.min() < _NEAR_EYE_M and center[part, 2].mean() > eyes[:, 2].mean() - 0.03) or hats:
            kinds[part] = DROPPED
        elif re.search(_SCARF, source.caption) or not on_head:
            kinds[part] = CLOTH
    return kinds[cards]


def clean_borders(kinds: Labels, faces: Labels, rounds: int = 2) -> Labels:
    """Kinds with lone triangles taken by their neighbours: each takes what two of its three neighbours are."""
    out = kinds.copy()
    sides = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1)
    order = np.lexsort((sides[:, 1], sides[:, 0]))
    same = (sides[order][1:] == sides[order][:-1]).all(1)
    a, b = order[:-1][same] // 3, order[1:][same] // 3
    for _ in range(rounds):
        votes = np.zeros((len(faces), len(KINDS) + 1))
        np.add.at(votes, (a, out[b]), 1)
        np.add.at(votes, (b, out[a]), 1)
        best = votes.argmax(1)
        change = (votes.max(1) >= 2) & (best < len(KINDS)) & (out >= 0)
        out = np.where(change, best, out)
    return out


def may_hang(caption: str) -> bool:
    """Whether a caption names a garment that hangs below the hips."""
    return re.search(r"skirt|dress\b|coat|abaya|thobe|kurta|tunic|apron|cardigan|bunker", caption) is not None


def hanging(vertices: Array, normals: Array, weights: Array, joints: Array) -> Array:
    """How freely cloth (V,) hangs, 0..1: what goes round both legs below the hips, as skirts and coats do.

    vertices, normals (V, 3) in the T pose, edges up to 2 cm, weights (V, 52), joints (52, 3).
    """
    hip, ankle = joints[1:3, 1].mean(), joints[7:9, 1].mean()
    height, depth = vertices[:, 1], vertices[:, 2] - joints[1:3, 2].mean()
    leg = np.abs(joints[1:3, 0]).mean()
    low = (height < hip + 0.02) & (weights[:, 7:9].sum(1) < 0.5)
    number = np.clip(((hip + 0.02 - height) / (hip - ankle) * _ROWS).astype(int), 0, 31)
    # Trousers leave the middle free below the crotch; a skirt, or a coat's back, goes straight across it.
    across = low & (np.abs(normals[:, 2]) > 0.8) & (normals[:, 2] * depth > 0)
    across &= np.abs(vertices[:, 0]) < 0.3 * leg
    sides = [np.bincount(number[across & (depth * side > 0)], minlength=32) for side in (1, -1)]
    count = np.maximum(*sides)
    if count[_CROTCH] < _ACROSS:
        return np.zeros(len(vertices), np.float32)
    below = np.flatnonzero(count[_CROTCH:] < _ACROSS / 2)
    lowest = _CROTCH + (below[0] if len(below) else 32)
    angle = np.floor((np.arctan2(depth, vertices[:, 0]) + np.pi) / (2 * np.pi) * 23.999).astype(int)
    radius = np.hypot(vertices[:, 0], depth)
    outer = np.zeros((32, 24))
    np.maximum.at(outer, (number[low], angle[low]), radius[low])
    outer = ndimage.maximum_filter(outer, (3, 1), mode=("nearest", "wrap"))
    free = low & (number <= lowest) & (radius > outer[number, angle] - 0.035)
    share = np.clip((hip - 0.02 - height) / max(0.25 * (hip - ankle), 1e-6), 0, 1)
    return np.where(free, share * share * (3 - 2 * share), 0).astype(np.float32)


def part_of_joint() -> Labels:
    """(52,) index in the default body's part_names of what hangs on each joint."""
    first = [2, 9, 12, 2, 10, 13, 2, 11, 14, 2, 11, 14, 1, 2, 2, 0, 3, 6, 4, 7, 5, 8]
    table = np.array([*first, *([5] * 15), *([8] * 15)])
    assert len(table) == len(PARENTS)
    return table
