"""Dress a recipe: body, clothes, hair and the rest as layers at rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from likeness.synthesis.bags import accessory
from likeness.synthesis.captions import caption, garment_words
from likeness.synthesis.cutting import clip
from likeness.synthesis.fabric import Fabric, paint_fabric
from likeness.synthesis.figure import FINISHES, Bytes, Dressed, Finish, Layer
from likeness.synthesis.garments import MADE, hang, made_piece, opened
from likeness.synthesis.hair import grown_hair
from likeness.synthesis.hair_colors import HairColor, hair_words
from likeness.synthesis.layering import covered, push_outside, samples, settled
from likeness.synthesis.outfits import Wear
from likeness.synthesis.pack import Pack
from likeness.synthesis.pieces import Pattern, Piece, pattern
from likeness.synthesis.recipes import Recipe
from likeness.synthesis.skeleton import binding_of, parts_of_weights
from likeness.synthesis.skins import Complexion, paint_skin
from likeness.synthesis.subdivision import split_quads
from likeness.synthesis.wearer import Wearer

THICKNESS_M = {"coat": 0.005, "hoodie": 0.004, "sweater": 0.004, "scarf": 0.004, "hat": 0.003, "shoes": 0.003}
GAP_M, TUCK_M = 0.003, 0.04
TEXTURE_PX, SKIN_PX = 512, 1024
HAIR_GAP_M, HAIR_ORDER, BEARD_ORDER = 0.005, 54, 3
_KIND_OF_SLOT = {"bag": "bag", "shoes": "shoe", "boots": "shoe", "hat": "hat", "glasses": "glasses"}


def dress(recipe: Recipe, pack: Pack) -> Dressed:
    """The person of a recipe, at rest. The same recipe and pack give the same arrays."""
    wearer = Wearer.of(pack, recipe.macro, recipe.local, recipe.people)
    clothes = _clothes(recipe, wearer)
    layers = [_skin_layer(recipe, wearer, clothes)]
    layers.append(_item_layer(wearer, pattern(pack, "HighPolyEyes", recipe.eyes), "HighPolyEyes", "eye", 1))
    layers.extend(_hair_layers(recipe, wearer, clothes))
    layers = sorted([*layers, *(_cloth_layer(wearer, worn) for worn in clothes)], key=lambda layer: layer.order)
    rest = wearer.rest
    return Dressed(
        recipe.to_dict(),
        described(recipe, layers),
        tuple(layers),
        rest.joints,
        rest.betas,
        rest.body,
        _licences(pack, recipe),
    )


@dataclass(frozen=True)
class _Worn:
    """A garment on its wearer, with the picture that it came with."""

    wear: Wear
    piece: Piece
    color: Bytes | None
    alpha: Bytes | None


def _clothes(recipe: Recipe, wearer: Wearer) -> list[_Worn]:
    """All garments, inside first, each outside the skin and outside those before it."""
    done: list[_Worn] = []
    inner = [(wearer.skin, wearer.skin_normals)]
    for number, wear in enumerate(recipe.wears):
        if wear.slot in ("bag", "scarf"):
            points, normals = (np.concatenate(arrays) for arrays in zip(*inner, strict=True))
            piece = accessory(wear.noun, wearer, (points, normals), recipe.seed + number)
            done.append(_Worn(wear, piece, None, None))
            continue
        over = replace(wearer, worn=tuple(points for points, _ in inner[1:])) if wear.slot == "coat" else wearer
        piece = made_piece(over, wear.item, wear.texture, wear.part, wear.cut, recipe.seed + number)
        color, alpha = None, None
        if wear.item != MADE:
            own = pattern(wearer.pack, wear.item, wear.texture, wear.part)
            color, alpha = own.color, own.alpha
        if wear.slot not in ("glasses", "hat"):
            points, normals = (np.concatenate(arrays) for arrays in zip(*inner, strict=True))
            gap = 0.0015 if wear.slot in ("shoes", "boots") else GAP_M
            piece = settled(piece, points, normals, gap)
        if wear.cut.opening is not None:
            piece = opened(piece, wearer, wear.cut.opening)
        if wear.slot not in ("glasses", "hat", "shoes", "boots"):
            piece = hang(piece, wearer)
        if wear.slot not in ("glasses", "hat"):
            inner.append(samples(piece, alpha))
        done.append(_Worn(wear, piece, color, alpha))
    return _tucked(done)


def _tucked(clothes: list[_Worn]) -> list[_Worn]:
    """Tucked tops end a little below the waistband, or they would show through it."""
    waists = [worn.piece.vertices[:, 1].max() for worn in clothes if worn.wear.slot in ("bottom", "skirt")]
    if not waists:
        return clothes
    end = min(waists) - TUCK_M
    return [
        replace(worn, piece=clip(worn.piece, worn.piece.vertices[:, 1] - end)) if worn.wear.slot == "tucked" else worn
        for worn in clothes
    ]


def _cloth_layer(wearer: Wearer, worn: _Worn) -> Layer:
    wear = worn.wear
    kind = _KIND_OF_SLOT.get(wear.slot, "cloth")
    color, finish = worn.color, FINISHES[kind]
    fabric = None if wear.fabric is None else Fabric.from_dict(wear.fabric)
    words = garment_words(
        wear.category, fabric, wear.sleeve_words, wear.length_words, wear.wide, wear.open, noun=wear.noun
    )
    if fabric is not None:
        piece = worn.piece
        color = paint_fabric(
            fabric,
            piece.vertices,
            piece.faces,
            piece.corner_uvs,
            worn.color,
            TEXTURE_PX,
            joints=wearer.rest.joints,
        )
        finish = fabric.finish
    if color is None:
        raise ValueError("cloth of our own needs a fabric")
    name = wear.noun if wear.item == MADE else wear.item
    made = layer_of(worn.piece, name, kind, wear.order, color, worn.alpha, words, finish)
    return replace(made, thickness_m=THICKNESS_M.get(wear.noun, THICKNESS_M.get(wear.slot, 0.002)))


def described(recipe: Recipe, layers: list[Layer]) -> str:
    """One English sentence without a full stop."""
    color = HairColor.from_dict(recipe.hair.color) if recipe.hair.style else None
    phrases = [layer.words for layer in sorted(layers, key=lambda layer: -layer.order) if layer.words]
    return caption(
        recipe.years,
        recipe.macro["gender"],
        phrases,
        hair_words(color, recipe.hair.words),
        rng=np.random.default_rng(recipe.seed),
    )


def _hair_layers(recipe: Recipe, wearer: Wearer, clothes: list[_Worn]) -> list[Layer]:
    """Hair and beard; long hair lies over the clothes."""
    layers = []
    for shock in grown_hair(wearer, recipe.hair):
        piece = shock.piece
        low = np.flatnonzero(piece.vertices[:, 1] < wearer.measures.neck + 0.06)
        shoulders = [
            samples(worn.piece) for worn in clothes if worn.wear.slot not in ("shoes", "boots", "glasses", "hat")
        ]
        if shock.kind == "hair" and len(low) and shoulders:
            points, normals = (np.concatenate(arrays) for arrays in zip(*shoulders, strict=True))
            vertices = piece.vertices.copy()
            vertices[low] = push_outside(vertices[low], points, normals, HAIR_GAP_M)
            piece = piece.moved(vertices)
        order = HAIR_ORDER if shock.kind == "hair" else BEARD_ORDER
        layers.append(
            layer_of(piece, shock.name, shock.kind, order, shock.color, shock.alpha, "", FINISHES[shock.kind])
        )
    return layers


def _item_layer(wearer: Wearer, made: Pattern, name: str, kind: str, order: int) -> Layer:
    piece = made.fitted(wearer.a_pose, wearer.rest)
    return layer_of(piece, name, kind, order, made.color, made.alpha, "", FINISHES[kind])


def layer_of(
    piece: Piece, name: str, kind: str, order: int, color: Bytes, alpha: Bytes | None, words: str, finish: Finish
) -> Layer:
    """A piece as a layer of the figure."""
    part = parts_of_weights(piece.skin_joints, piece.skin_weights)
    return Layer(
        name,
        kind,
        order,
        piece.vertices,
        piece.faces,
        piece.corner_uvs,
        piece.skin_joints,
        piece.skin_weights,
        part[piece.faces[:, 0]],
        piece.slack,
        color,
        alpha,
        sheet=kind in ("cloth", "hair", "hat"),
        finish=finish,
        words=words,
    )


def _skin_layer(recipe: Recipe, wearer: Wearer, clothes: list[_Worn]) -> Layer:
    """The skin without the faces that cloth hides."""
    pack, rest, base = wearer.pack, wearer.rest, wearer.pack.base
    hidden = np.zeros(wearer.skin_count, bool)
    for worn in clothes:
        slot = worn.wear.slot
        if slot in ("glasses", "hat", "bag", "scarf"):
            continue
        if slot in ("shoes", "boots"):
            listed = pack.item(worn.wear.item, worn.wear.texture).arrays["delete_verts"]
            hidden[listed[listed < wearer.skin_count]] = True
        else:
            hidden |= covered(wearer.skin, wearer.skin_normals, worn.piece, worn.alpha)
    quads = base["faces"]
    shown = np.flatnonzero((quads < wearer.skin_count).all(axis=1))
    shown = shown[~hidden[quads[shown]].all(axis=1)]
    faces, uvs = split_quads(quads[shown], base["uvs"][base["face_uv"][shown]])
    used, compact = np.unique(faces, return_inverse=True)
    faces = compact.reshape(-1, 3).astype(np.int32)
    return Layer(
        "body",
        "skin",
        0,
        rest.vertices[used],
        faces,
        uvs,
        rest.skin_joints[used],
        rest.skin_weights[used],
        binding_of(pack).part[used][faces[:, 0]],
        np.zeros(len(used), np.float32),
        paint_skin(Complexion.from_dict(recipe.complexion), pack.skin(recipe.skin), base, SKIN_PX),
        finish=FINISHES["skin"],
    )


def _licences(pack: Pack, recipe: Recipe) -> tuple[str, ...]:
    found = set()
    for name in recipe.items:
        found.add(pack.assets[name].credit)
    return tuple(sorted(found))
