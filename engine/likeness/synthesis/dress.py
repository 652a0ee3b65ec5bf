"""Dress a recipe: body, clothes, hair and the rest as layers at rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from likeness.synthesis.figure import Bytes, Dressed, Finish, Floats, Layer
from likeness.synthesis.pack import Pack
from likeness.synthesis.pieces import Pattern, Piece, pattern
from likeness.synthesis.recipes import Recipe, Wear, plain_words
from likeness.synthesis.skeleton import RestBody, binding_of, parts_of_weights, rest_body
from likeness.synthesis.subdivision import split_quads

FINISHES = {
    "skin": Finish(0.03, 0.45, 0.25),
    "eye": Finish(0.04, 0.08, 0.1),
    "hair": Finish(0.04, 0.4, 0.3),
    "cloth": Finish(0.02, 0.85, 0.08),
    "shoe": Finish(0.04, 0.5, 0.02),
    "hat": Finish(0.02, 0.85, 0.05),
    "glasses": Finish(0.06, 0.15, 0.0),
    "bag": Finish(0.03, 0.6, 0.02),
    "beard": Finish(0.03, 0.5, 0.3),
}
_KIND_OF_SLOT = {"shoes": "shoe", "hat": "hat", "glasses": "glasses"}


def dress(recipe: Recipe, pack: Pack) -> Dressed:
    """The person of a recipe, at rest. The same recipe and pack give the same arrays."""
    a_pose = pack.shape(recipe.macro, recipe.local)
    rest = rest_body(pack, a_pose)
    worn = [_worn(pack, wear, a_pose, rest) for wear in recipe.wears]
    layers = [_skin_layer(pack, recipe, rest)]
    layers.append(_item_layer(pack, pattern(pack, "HighPolyEyes", recipe.eyes), "HighPolyEyes", "eye", 1, a_pose, rest))
    if recipe.hair:
        cards = pattern(pack, recipe.hair, None, "all", False)
        layers.append(_item_layer(pack, cards, recipe.hair, "hair", 54, a_pose, rest))
    layers = sorted([*layers, *worn], key=lambda layer: layer.order)
    return Dressed(
        recipe.to_dict(),
        caption(recipe, layers),
        tuple(layers),
        rest.joints,
        rest.betas,
        rest.body,
        _licences(pack, recipe),
    )


def caption(recipe: Recipe, layers: list[Layer]) -> str:
    """One sentence without a full stop."""
    who = ("girl" if recipe.woman else "boy") if recipe.years < 15 else ("woman" if recipe.woman else "man")
    words = [layer.words for layer in layers if layer.words]
    return f"A {who} wearing {', '.join(words)}" if words else f"A {who}"


def _worn(pack: Pack, wear: Wear, a_pose: Floats, rest: RestBody) -> Layer:
    made = pattern(pack, wear.item, wear.texture, wear.part)
    kind = _KIND_OF_SLOT.get(wear.slot, "cloth")
    return _item_layer(pack, made, wear.item, kind, wear.order, a_pose, rest, plain_words(wear.item))


def _item_layer(
    pack: Pack, made: Pattern, name: str, kind: str, order: int, a_pose: Floats, rest: RestBody, words: str = ""
) -> Layer:
    return layer_of(pack, made.fitted(a_pose, rest), name, kind, order, made.color, made.alpha, words)


def layer_of(
    pack: Pack, piece: Piece, name: str, kind: str, order: int, color: Bytes, alpha: Bytes | None, words: str
) -> Layer:
    """A piece as a layer of the figure."""
    part = parts_of_weights(pack, piece.skin_joints, piece.skin_weights)
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
        finish=FINISHES[kind],
        words=words,
    )


def _skin_layer(pack: Pack, recipe: Recipe, rest: RestBody) -> Layer:
    base = pack.base
    hidden = np.zeros(len(rest.vertices), bool)
    for wear in recipe.wears:
        item = pack.item(wear.item, wear.texture)
        hidden[item.arrays["delete_verts"]] = True
    quads = base["faces"]
    shown: NDArray[np.bool_] = (quads < int(base["body_vert_count"])).all(1) & ~hidden[quads].all(1)
    faces, uvs = split_quads(quads[shown], base["uvs"][base["face_uv"][shown]])
    used, compact = np.unique(faces, return_inverse=True)
    joints, weights = rest.skin_joints[used], rest.skin_weights[used]
    faces = compact.reshape(-1, 3).astype(np.int32)
    return Layer(
        "body",
        "skin",
        0,
        rest.vertices[used],
        faces,
        uvs,
        joints,
        weights,
        binding_of(pack).part[used][faces[:, 0]],
        np.zeros(len(used), np.float32),
        pack.skin(recipe.skin),
        finish=FINISHES["skin"],
    )


def _licences(pack: Pack, recipe: Recipe) -> tuple[str, ...]:
    found = set()
    for name in recipe.items:
        found.add(pack.assets[name].credit)
    return tuple(sorted(found))
