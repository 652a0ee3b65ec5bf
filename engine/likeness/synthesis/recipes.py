"""What a synthetic person is made of, and how such recipes are drawn."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from likeness.synthesis.bodies import Body, draw_body
from likeness.synthesis.pack import Pack

BAREFOOT, HATS, GLASSES, BEARDS, BALD = 0.05, 0.10, 0.15, 0.30, 0.08
_IRISES = ("brown_eye", "brownlight_eye", "blue_eye", "bluegreen_eye", "green_eye", "grey_eye", "lightblue_eye")


@dataclass(frozen=True)
class Wear:
    """One garment.

    item: id in the pack. slot: 'top', 'bottom', 'dress', 'coat', 'full', 'shoes', 'hat' or 'glasses'. part: 'all', or
    'upper' / 'lower' of a full suit. texture: which of the item's pictures. order: larger is worn outside.
    """

    item: str
    slot: str
    order: int
    part: str = "all"
    texture: str | None = None


@dataclass(frozen=True)
class Recipe:
    """Everything that `dress` needs besides the pack; JSON-able. seed: of what is drawn while dressing."""

    seed: int
    years: float
    woman: bool
    macro: dict[str, float]
    local: dict[str, float]
    skin: str
    eyes: str
    hair: str | None
    wears: tuple[Wear, ...]
    version: int = field(default=1)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {**asdict(self), "wears": [asdict(wear) for wear in self.wears]}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Recipe:
        """Undo `to_dict`. Raises TypeError for unknown or missing keys."""
        return cls(**{**stored, "wears": tuple(Wear(**wear) for wear in stored["wears"])})

    @property
    def items(self) -> tuple[str, ...]:
        """Ids of every asset of the pack that goes in."""
        return (self.skin, "HighPolyEyes", *([self.hair] if self.hair else []), *(wear.item for wear in self.wears))


def draw_recipe(pack: Pack, rng: np.random.Generator, which: str = "train") -> Recipe:
    """A random person of a split: 'train', 'val' or 'test'."""
    body = draw_body(pack, rng)
    wears = _draw_outfit(pack, rng, which, body)
    hat = any(wear.slot == "hat" for wear in wears)
    return Recipe(
        seed=int(rng.integers(2**31)),
        years=body.years,
        woman=body.woman,
        macro=body.macro,
        local=body.local,
        skin=_draw_skin(pack, rng, which, body),
        eyes=str(rng.choice(_IRISES, p=[0.35, 0.2, 0.12, 0.08, 0.1, 0.08, 0.07])),
        hair=_draw_hair(pack, rng, which, body, hat),
        wears=wears,
    )


def _named(pack: Pack, which: str, kind: str, category: str | None = None) -> list[str]:
    names = [n for n in pack.split.names(kind, which) if n in pack.assets]
    return [n for n in names if category is None or pack.assets[n].category == category]


def _fits(pack: Pack, item: str, woman: bool) -> bool:
    tags = set(pack.assets[item].tags)
    return ("male" not in tags) if woman else ("female" not in tags)


def _draw_skin(pack: Pack, rng: np.random.Generator, which: str, body: Body) -> str:
    names = _named(pack, which, "skin")
    origin = max(("african", "asian", "caucasian"), key=lambda o: body.macro[o])
    age = "young" if body.years < 35 else "middleage" if body.years < 58 else "old"

    def fit(name: str) -> float:
        parts = name.split("_")
        sex = ("female" if body.woman else "male") in parts
        return 4.0 * (origin in parts) + 3.0 * sex + 1.0 * (parts[0] == age) + float(rng.random())

    return max(names, key=fit)


def _draw_hair(pack: Pack, rng: np.random.Generator, which: str, body: Body, hat: bool) -> str | None:
    names = _named(pack, which, "hair")
    if hat or not names:
        return None
    if not body.woman and rng.random() < BALD * (2.5 if body.years > 45 else 1):
        return None
    own = [n for n in names if _fits(pack, n, body.woman)] or names
    return str(rng.choice(own if rng.random() < 0.93 else names))


def _choose(rng: np.random.Generator, pack: Pack, names: list[str], woman: bool) -> str | None:
    own = [n for n in names if _fits(pack, n, woman)]
    return str(rng.choice(own)) if own else None


def _draw_outfit(pack: Pack, rng: np.random.Generator, which: str, body: Body) -> tuple[Wear, ...]:
    wears: list[Wear] = []
    full = _choose(rng, pack, _named(pack, which, "garment", "full"), body.woman)
    dress = _choose(rng, pack, _named(pack, which, "garment", "dress"), body.woman)
    if body.woman and dress and rng.random() < 0.4:
        wears.append(Wear(dress, "dress", 30))
    elif full:
        wears.append(Wear(full, "full", 30))
    coat = _choose(rng, pack, _named(pack, which, "garment", "coat"), body.woman)
    if coat and wears and rng.random() < 0.15:
        wears.append(Wear(coat, "coat", 50))
    shoes = _choose(rng, pack, _named(pack, which, "garment", "shoes"), body.woman)
    if shoes and rng.random() > BAREFOOT:
        wears.append(Wear(shoes, "shoes", 10))
    for slot, often, order in (("hat", HATS, 60), ("glasses", GLASSES, 55)):
        item = _choose(rng, pack, _named(pack, which, "garment", slot), body.woman)
        if item and rng.random() < often:
            wears.append(Wear(item, slot, order, texture=_a_texture(pack, rng, item)))
    return tuple(sorted(wears, key=lambda wear: wear.order))


def _a_texture(pack: Pack, rng: np.random.Generator, item: str) -> str | None:
    textures = getattr(pack.assets[item], "textures", ())
    return str(rng.choice(textures)) if len(textures) > 1 else None


def plain_words(item: str) -> str:
    """An item's id as words, for a caption."""
    return re.sub(r"[\d_\-]+", " ", item).strip().lower()
