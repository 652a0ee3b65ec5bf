"""Captions read as a person would say them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from likeness.synthesis.captions import caption, garment_words, listed, person_words, view_words
from likeness.synthesis.fabric import Fabric, draw_fabric


def fabric(pattern: str, material: str, *colors: tuple[float, float, float]) -> Fabric:
    plain = draw_fabric(np.random.default_rng(1), "top").to_dict()
    return Fabric.from_dict({**plain, "pattern": pattern, "material": material, "colors": [list(c) for c in colors]})


RED, WHITE, BLUE = (0.74, 0.12, 0.15), (0.93, 0.93, 0.92), (0.31, 0.41, 0.57)


def test_a_caption_says_who_wears_what_and_how_it_is_seen() -> None:
    dress = garment_words("dress", fabric("horizontal stripes", "cotton", RED, WHITE), "long", "long")
    shoes = garment_words("shoes", fabric("plain", "canvas", WHITE, RED))
    said = caption(25, 0.0, [dress, shoes], "long dark brown hair", None, view_words(180))
    assert said == (
        "a young woman with long dark brown hair in a long long-sleeved red and white striped dress and white shoes, "
        "seen from behind"
    )


def test_denim_trousers_are_jeans() -> None:
    assert garment_words("bottom", fabric("denim", "denim", BLUE, WHITE)) == "blue jeans"
    assert garment_words("bottom", fabric("plaid", "wool", RED, WHITE), noun="jeans") == "red and white plaid trousers"
    assert garment_words("shoes", None, noun="boots", colors="brown") == "brown boots"
    assert garment_words("coat", fabric("plain", "leather", RED, RED), open=True) == "an open red leather coat"


@pytest.mark.parametrize(
    ("age", "gender", "words"),
    [
        (2, 1, "a little boy"),
        (9, 0, "a girl"),
        (16, 1, "a teenage boy"),
        (30, 1, "a young man"),
        (70, 0, "an old woman"),
    ],
)
def test_people_are_called_by_age_and_sex(age: float, gender: float, words: str) -> None:
    assert person_words(age, gender) == words


@given(st.floats(-720, 720))
def test_sides_mirror_and_turns_close(yaw: float) -> None:
    assert view_words(yaw) == view_words(yaw + 360) or abs(yaw) > 300
    mirrored = view_words(-yaw).replace("left", "*").replace("right", "left").replace("*", "right")
    # At exactly the edges of a sector and straight behind either side will do.
    near_edge = min(abs((abs(yaw) % 360) - edge) for edge in (0, 22, 67, 113, 158, 180, 202, 247, 293, 338, 360)) < 1e-6
    assert near_edge or view_words(yaw) == mirrored


def test_views_are_named() -> None:
    assert view_words(0) == "seen from the front"
    assert view_words(90) == "seen from the left"
    assert view_words(-135) == "seen from the back right"
    assert view_words(0, 40).endswith("above")


@given(st.integers(0, 10**6))
def test_every_wording_tells_everything(seed: int) -> None:
    worn = ["a red coat", "blue jeans", "black shoes"]
    said = caption(40, 1.0, worn, "short grey hair", "sitting", "seen from the left", np.random.default_rng(seed))
    assert all(word in said for word in (*worn, "short grey hair", "sitting", "man"))
    assert said.endswith("seen from the left") and "  " not in said and " ," not in said


def test_lists() -> None:
    assert listed([]) == "" and listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c"
