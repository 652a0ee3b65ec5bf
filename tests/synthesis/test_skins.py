"""Skin stays human whatever is added to it; hair takes the colour that its name says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.synthesis.hair_colors import DYED, NATURAL, HairColor, draw_hair_color, hair_words, recolor_hair
from likeness.synthesis.pack import Pack, load_pack
from likeness.synthesis.palette import to_linear, to_oklab
from likeness.synthesis.skins import DARKEST_SKIN, PALEST_SKIN, Complexion, draw_complexion, paint_skin, shift_tone


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load_pack()


@pytest.fixture(scope="module")
def skin(pack: Pack) -> np.ndarray:
    return pack.skin("young_caucasian_male")


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**9), st.floats(0, 1), st.floats(1, 90))
def test_complexions_and_hair_survive_json(seed: int, gender: float, age: float) -> None:
    rng = np.random.default_rng(seed)
    hair = draw_hair_color(rng, age)
    skin = draw_complexion(rng, gender, age, hair)
    assert Complexion.from_dict(json.loads(json.dumps(skin.to_dict()))) == skin
    assert HairColor.from_dict(json.loads(json.dumps(hair.to_dict()))) == hair
    assert hair.grey == 0 or age > 25
    assert skin.stubble == 0 or (gender > 0.5 and age > 17)


@settings(deadline=None, max_examples=60)
@given(st.floats(-3, 3), st.floats(-0.2, 0.2), st.integers(0, 10**6))
def test_shifted_skin_stays_within_the_range_of_skin(melanin: float, blood: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    color = (np.array([0.45, 0.27, 0.18]) * np.exp(rng.normal(0, 0.1, (500, 1)))).astype(np.float32)
    moved = shift_tone(color, melanin, 0.0)
    assert DARKEST_SKIN * 0.98 <= np.median(moved[:, 1]) <= PALEST_SKIN * 1.02
    red = shift_tone(color, melanin, blood)
    middle = np.median(red, 0)
    assert middle[0] > middle[1] and (blood < 0.01 or middle[1] < np.median(moved[:, 1]))


def test_pigment_darkens_blue_most_and_blood_green_most() -> None:
    color = np.array([[0.45, 0.27, 0.18]], np.float32)
    density = -np.log(shift_tone(color, 0.3, 0.0) / color)[0]
    assert density[0] < density[1] < density[2]
    density = -np.log(shift_tone(color, 0.0, 0.2) / color)[0]
    assert density[1] > density[2] > density[0] > 0


def test_brows_are_darker_than_the_brow_below_them(pack: Pack, skin: np.ndarray) -> None:
    bare = paint_skin(Complexion(brow_weight=0.0), skin, pack.base, 512).astype(float)
    browed = paint_skin(Complexion(brow_weight=0.95), skin, pack.base, 512).astype(float)
    changed = (bare - browed).sum(-1) > 30
    # Two brows and nothing else: a small share of the texture, in two places that mirror one another.
    assert 20 < changed.sum() < 0.004 * changed.size
    runs = np.split(np.flatnonzero(changed.any(1)), np.flatnonzero(np.diff(np.flatnonzero(changed.any(1))) > 8) + 1)
    first, second = sorted(len(run) for run in runs)[-2:]
    assert first > 0.7 * second
    assert (browed <= bare + 1).all()


def test_additions_touch_the_texture_where_they_should(pack: Pack, skin: np.ndarray) -> None:
    plain = Complexion(seed=4)
    before = paint_skin(plain, skin, pack.base, 512).astype(float)
    assert np.array_equal(before, paint_skin(plain, skin, pack.base, 512))
    shares = {}
    for name, changes in {"stubble": {"stubble": 0.9}, "freckles": {"freckles": 0.9}, "tattoo": {"tattoo": 5}}.items():
        after = paint_skin(Complexion(**{**plain.to_dict(), **changes}), skin, pack.base, 512).astype(float)
        shares[name] = (np.abs(after - before).max(-1) > 6).mean()
    assert 0.003 < shares["stubble"] < 0.08
    assert 0.0005 < shares["freckles"] < 0.12
    assert 0.0005 < shares["tattoo"] < 0.05


@pytest.mark.parametrize("name", [*NATURAL, *DYED])
def test_hair_takes_its_colour(name: str) -> None:
    rng = np.random.default_rng(1)
    strands = (80 + 60 * rng.random((64, 64, 1)) * np.ones(3)).astype(np.uint8)
    color = np.array(NATURAL[name][0] if name in NATURAL else DYED[name]) / 255
    hair = HairColor(name, tuple(color), 0.0, tuple(color), 3)
    painted = np.median(recolor_hair(strands, hair).reshape(-1, 3), 0) / 255
    assert np.linalg.norm(to_oklab(painted) - to_oklab(color)) < 0.05


def test_grey_hair_is_grey_and_said_to_be() -> None:
    strands = np.full((64, 64, 3), 120, np.uint8)
    brown = tuple(np.array(NATURAL["brown"][0]) / 255)
    painted = [recolor_hair(strands, HairColor("brown", brown, grey, brown, 3)) for grey in (0.0, 0.5, 0.95)]
    chroma = [np.linalg.norm(to_oklab(p.reshape(-1, 3).mean(0) / 255)[1:]) for p in painted]
    light = [to_linear(p / 255).mean() for p in painted]
    assert chroma[0] > 1.5 * chroma[1] > 2 * chroma[2] and light[0] < light[1] < light[2]
    assert HairColor("brown", brown, 0.6, brown, 3).words == "grey"
    assert hair_words(HairColor("brown", brown, 0.0, brown, 3), "long") == "long brown hair"
    assert hair_words(None, "") == "no hair"


def test_hair_greys_with_age() -> None:
    ages = (22, 45, 75)
    grey = [np.mean([draw_hair_color(np.random.default_rng(s), age).grey for s in range(200)]) for age in ages]
    assert grey[0] == 0 and grey[0] < grey[1] < grey[2]
