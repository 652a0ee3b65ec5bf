"""Short English sentences about a synthetic person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from likeness.synthesis.fabric import SPOKEN, Fabric

# Garment category -> nouns by length or kind; the first fits always.
NOUNS: dict[str, tuple[str, ...]] = {
    "top": ("top", "shirt"), "shirt": ("shirt",), "sweater": ("sweater", "jumper"), "vest": ("vest",),
    "coat": ("coat",), "jacket": ("jacket",), "bottom": ("trousers", "pants"), "trousers": ("trousers", "pants"),
    "shorts": ("shorts",), "dress": ("dress",), "skirt": ("skirt",), "shoes": ("shoes",), "hat": ("hat",),
    "swim": ("swimsuit",), "underwear": ("briefs",), "scarf": ("scarf",), "bag": ("bag",), "glasses": ("glasses",),
    "sleeve": ("sleeves",), "full": ("outfit",),
}  # fmt: skip
PLURAL = (
    "trousers",
    "pants",
    "shorts",
    "jeans",
    "shoes",
    "boots",
    "trainers",
    "glasses",
    "briefs",
    "leggings",
    "sleeves",
    "sandals",
)
SLEEVED = ("top", "shirt", "sweater", "dress")
AGES = ((3, "toddler"), (13, "child"), (20, "teenager"), (36, "young"), (55, "middle-aged"), (200, "old"))


def garment_words(
    category: str,
    fabric: Fabric | None,
    sleeve: str | None = None,
    length: str | None = None,
    loose: bool = False,
    open: bool = False,
    *,
    noun: str | None = None,
    colors: str = "",
) -> str:
    """'a long red and white striped dress', 'blue jeans', 'an open grey coat'.

    sleeve: 'sleeveless', 'short' or 'long'; length: 'short', 'knee-length', 'long', 'cropped' ...; noun: what to call
    the item if its category's word does not fit ('T-shirt', 'boots'); colors: of an item without a fabric
    (`texture_words`).
    """
    named = noun or NOUNS.get(category, (category,))[0]
    named = "T-shirt" if named == "t-shirt" else named
    words: list[str] = []
    if open:
        words.append("open")
    if loose:
        words.append("loose")
    if length and not (category in ("bottom", "trousers") and length == "long"):
        words.append(length)
    if sleeve and category in SLEEVED and named != "T-shirt":
        words.append(sleeve if sleeve == "sleeveless" else f"{sleeve}-sleeved")
    if fabric is None:
        words.append(colors)
    else:
        if named == "jeans" and fabric.material != "denim":
            named = "trousers"
        denim = fabric.material == "denim" and named in ("trousers", "pants")
        named = "jeans" if denim else named
        words += [fabric.color_words, fabric.pattern_words]
        if fabric.material in SPOKEN and not denim and not (fabric.material == "knitted" and fabric.pattern == "ribs"):
            words.append(fabric.material)
    phrase = " ".join([word for word in words if word] + [named])
    return phrase if named in PLURAL else with_article(phrase)


def view_words(yaw_deg: float, tilt_deg: float = 0.0) -> str:
    """How somebody is seen. yaw_deg: how far the camera stands round the person, 0 before the face, +90 at its left
    side; tilt_deg: how far the camera looks down."""
    turn = (yaw_deg + 180) % 360 - 180
    away = abs(turn)
    side = "left" if turn > 0 else "right"
    if away < 22:
        seen = "seen from the front"
    elif away < 67:
        seen = f"seen from the front {side}"
    elif away < 113:
        seen = f"seen from the {side}"
    elif away < 158:
        seen = f"seen from the back {side}"
    else:
        seen = "seen from behind"
    if tilt_deg > 25:
        return f"{seen} and above"
    return f"{seen} and below" if tilt_deg < -15 else seen


def person_words(age_years: float, gender: float) -> str:
    """'a young woman', 'a boy'; gender 0 female .. 1 male."""
    man = gender > 0.5
    group = next(name for limit, name in AGES if age_years < limit)
    if group == "toddler":
        return "a little boy" if man else "a little girl"
    if group == "child":
        return "a boy" if man else "a girl"
    if group == "teenager":
        return "a teenage boy" if man else "a teenage girl"
    return with_article(f"{group} {'man' if man else 'woman'}")


def caption(
    age_years: float,
    gender: float,
    layer_words: Sequence[str],
    hair_words: str,
    pose_words: str | None = None,
    view_words: str | None = None,
    rng: np.random.Generator | None = None,
) -> str:
    """One sentence without a full stop, as 'a young woman with long dark hair in a red dress and white shoes, seen from
    behind'. layer_words: phrases of the garments, the most telling first. rng: varies the wording; None: the first
    form.
    """
    form = 0 if rng is None else int(rng.integers(4))
    person, worn = person_words(age_years, gender), listed([w for w in layer_words if w])
    hair = f"with {hair_words}" if hair_words and hair_words != "no hair" else "who is bald" if hair_words else ""
    if form == 0:
        parts = [person, hair, f"in {worn}" if worn else ""]
    elif form == 1:
        parts = [person, f"wearing {worn}" if worn else "", hair.replace("who is bald", "and bald")]
    elif form == 2:
        parts = [person, f"in {worn}" if worn else "", f", {hair_words}" if hair.startswith("with") else ""]
    else:
        short = (
            person if age_years < 20 or rng is None or rng.random() < 0.5 else "a man" if gender > 0.5 else "a woman"
        )
        parts = [short, hair, f"dressed in {worn}" if worn else ""]
    sentence = " ".join(part for part in parts if part).replace(" ,", ",")
    if pose_words:
        sentence += f", {pose_words}"
    return sentence + (f", {view_words}" if view_words else "")


def listed(phrases: Sequence[str]) -> str:
    """'a, b and c'."""
    if len(phrases) < 2:
        return "".join(phrases)
    return ", ".join(phrases[:-1]) + " and " + phrases[-1]


def with_article(phrase: str) -> str:
    """The phrase after 'a' or 'an'."""
    return ("an " if phrase[:1].lower() in "aeiou" else "a ") + phrase
