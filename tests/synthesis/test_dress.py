"""Dressed people at rest: recipes, geometry, layers and skin."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

import igl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.model import load_default
from likeness.synthesis.dress import dress
from likeness.synthesis.fabric import draw_fabric
from likeness.synthesis.figure import KINDS, Dressed
from likeness.synthesis.garments import MADE, Cut
from likeness.synthesis.outfits import Wear
from likeness.synthesis.pack import Pack, load_pack
from likeness.synthesis.recipes import Recipe, draw_recipe


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load_pack()


@lru_cache(maxsize=64)
def drawn(seed: int) -> Recipe:
    return draw_recipe(load_pack(), np.random.default_rng(seed))


@lru_cache(maxsize=8)
def dressed(seed: int) -> Dressed:
    return dress(drawn(seed), load_pack())


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 3))
def test_layers_are_whole(seed: int) -> None:
    person = dressed(seed)
    assert {layer.kind for layer in person.layers} <= set(KINDS)
    assert [layer.order for layer in person.layers] == sorted(layer.order for layer in person.layers)
    assert person.layers[0].name == "body"
    for layer in person.layers:
        count = len(layer.vertices)
        assert np.isfinite(layer.vertices).all() and np.isfinite(layer.corner_uvs).all()
        assert layer.vertices.dtype == layer.skin_weights.dtype == layer.corner_uvs.dtype == np.float32
        assert layer.faces.dtype == np.int32 and layer.faces.min() >= 0 and layer.faces.max() < count
        assert layer.corner_uvs.shape == (len(layer.faces), 3, 2)
        assert layer.skin_joints.shape == layer.skin_weights.shape == (count, 4)
        assert layer.skin_joints.max() < 52 and layer.skin_weights.min() >= 0
        np.testing.assert_allclose(layer.skin_weights.sum(1), 1, atol=1e-5)
        assert layer.part.shape == (len(layer.faces),) and layer.part.max() < 15
        assert layer.slack.shape == (count,) and layer.slack.min() >= 0 and layer.slack.max() <= 1
        assert layer.color.dtype == np.uint8 and layer.color.shape[2] == 3
        assert layer.alpha is None or layer.alpha.dtype == np.uint8


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 3))
def test_cloth_lies_outside_the_body(seed: int) -> None:
    """Signed distances by libigl against the closed default body; hems that fold inwards may graze it."""
    person = dressed(seed)
    body, faces = person.body.astype(np.float64), load_default("smplh").faces.astype(np.int64)
    inside = total = 0
    for layer in person.layers:
        if layer.kind != "cloth":
            continue
        distance = igl.signed_distance(layer.vertices.astype(np.float64), body, faces)[0]
        inside, total = inside + int((distance < 0).sum()), total + len(distance)
    assert total > 500
    assert inside / total < 0.01


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 3))
def test_layers_are_bound_to_a_t_pose(seed: int) -> None:
    person = dressed(seed)
    joints = person.joints
    np.testing.assert_allclose(joints[0], 0, atol=1e-5)
    for first, last in ((16, 20), (17, 21)):
        along = joints[last] - joints[first]
        assert abs(along[1]) < 0.04 * np.linalg.norm(along) and abs(along[2]) < 0.04 * np.linalg.norm(along)
    for first, last in ((1, 7), (2, 8)):
        along = joints[first] - joints[last]
        assert along[1] > 0.998 * np.linalg.norm(along)
    body, faces = person.body.astype(np.float64), load_default("smplh").faces.astype(np.int64)
    # The tips of fingers and toes are thin; the trunk, arms and legs must hold their joints.
    distance = igl.signed_distance(joints[:22].astype(np.float64), body, faces)[0]
    assert (distance < 0.002).all()


def test_betas_give_nearly_the_same_body() -> None:
    for seed in range(4):
        recipe, person = drawn(seed), dressed(seed)
        shaped, joints = load_default("smplh", recipe.people).rest(person.betas)
        assert np.linalg.norm(shaped - person.body, axis=1).mean() < 0.008
        assert np.linalg.norm(joints - person.joints, axis=1).max() < 0.03


def test_same_recipe_same_person(pack: Pack) -> None:
    recipe = drawn(1)
    stored = json.loads(json.dumps(recipe.to_dict()))
    assert Recipe.from_dict(stored) == recipe
    again = dress(Recipe.from_dict(stored), pack)
    for one, two in zip(dressed(1).layers, again.layers, strict=True):
        assert one.vertices.tobytes() == two.vertices.tobytes()
        assert one.faces.tobytes() == two.faces.tobytes()
        assert one.color.tobytes() == two.color.tobytes()
    assert dressed(1).caption == again.caption


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["train", "val", "test"]))
def test_recipes_keep_to_their_split(seed: int, which: str) -> None:
    pack = load_pack()
    recipe = draw_recipe(pack, np.random.default_rng(seed), which)
    allowed = {name for kind in ("garment", "hair", "skin") for name in pack.split.names(kind, which)}
    assert set(recipe.items) - {"HighPolyEyes"} <= allowed


def test_a_crowd_is_varied(pack: Pack) -> None:
    crowd = [drawn(seed) for seed in range(40)]
    assert sum(recipe.loose for recipe in crowd) / len(crowd) > 1 / 3
    assert 0.02 < np.mean([recipe.years < 13 for recipe in crowd]) < 0.3
    assert 0.3 < np.mean([recipe.woman for recipe in crowd]) < 0.7
    assert len({wear.noun for recipe in crowd for wear in recipe.wears}) > 12
    assert np.mean([any(w.slot in ("shoes", "boots") for w in recipe.wears) for recipe in crowd]) > 0.85


def test_children_wear_what_children_wear(pack: Pack) -> None:
    rng = np.random.default_rng(5)
    young = [recipe for recipe in (draw_recipe(pack, rng) for _ in range(30)) if recipe.years < 16]
    assert len(young) > 2
    for recipe in young:
        assert not any("breast" in name or "bust" in name for name in recipe.local)
        assert not any("lingerie" in pack.assets[w.item].tags for w in recipe.wears if w.item != MADE)
        tops = [w for w in recipe.wears if w.item == MADE and w.slot in ("top", "tucked")]
        assert all(w.cut.hem is not None and w.cut.hem > 0.7 for w in tops)


def plain(cut: Cut, slot: str = "top") -> Recipe:
    """An average adult in one garment of our own."""
    fabric = draw_fabric(np.random.default_rng(0), "top").to_dict()
    macro = {"gender": 0.5, "age": 0.5, "muscle": 0.5, "weight": 0.5, "height": 0.5, "proportions": 0.5}
    wear = Wear(MADE, slot, "top", cut=cut, fabric=fabric)
    return replace(drawn(0), macro=macro, local={}, wears=(wear,), hair=replace(drawn(0).hair, style="", beard=""))


def area_of(person: Dressed, name: str) -> float:
    layer = next(layer for layer in person.layers if layer.name == name)
    corners = layer.vertices[layer.faces]
    return float(
        np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    )


def test_longer_sleeves_and_hems_cover_more(pack: Pack) -> None:
    sleeves = [dress(plain(Cut(sleeve=share, hem=0.8, neck=0.06, loose=0.005)), pack) for share in (0.2, 0.5, 0.95)]
    assert np.all(np.diff([area_of(person, "top") for person in sleeves]) > 0.02)
    assert np.all(np.diff([area_of(person, "body") for person in sleeves]) < -0.01)
    hems = [dress(plain(Cut(sleeve=0.3, neck=0.06, skirt=share, flare=0.1)), pack) for share in (0.2, 0.8)]
    low = [person.layers[-1].vertices[:, 1].min() for person in hems]
    assert low[1] < low[0] - 0.3


def test_looser_cloth_is_farther_from_the_skin(pack: Pack) -> None:
    body_faces = load_default("smplh").faces.astype(np.int64)
    off = []
    for loose in (0.0, 0.01, 0.03):
        person = dress(plain(Cut(sleeve=0.5, hem=0.8, neck=0.06, loose=loose)), pack)
        top = next(layer for layer in person.layers if layer.name == "top")
        distance = igl.signed_distance(top.vertices.astype(np.float64), person.body.astype(np.float64), body_faces)[0]
        off.append(float(np.median(distance)))
    assert off[0] > 0.002 and off[1] > off[0] + 0.004 and off[2] > off[1] + 0.01


def test_skin_under_cloth_is_left_out_and_bare_arms_stay(pack: Pack) -> None:
    bare = dress(replace(plain(Cut()), wears=()), pack)
    short = dress(plain(Cut(sleeve=0.2, hem=0.9, neck=0.06)), pack)
    assert area_of(short, "body") < 0.8 * area_of(bare, "body")
    joints = short.joints
    reach = joints[16, 0] + 0.5 * (joints[20, 0] - joints[16, 0])

    def beyond(person: Dressed) -> int:
        skin = person.layers[0]
        return int((skin.vertices[skin.faces].mean(1)[:, 0] > reach).sum())

    assert beyond(short) == beyond(bare)
