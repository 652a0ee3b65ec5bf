"""What a synthetic person is made of, and how such recipes are drawn."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from likeness.synthesis.bodies import Body, draw_body
from likeness.synthesis.garments import MADE
from likeness.synthesis.outfits import Tailor, Wear
from likeness.synthesis.pack import Pack

BEARDS, BALD = 0.30, 0.08
_IRISES = ("brown_eye", "brownlight_eye", "blue_eye", "bluegreen_eye", "green_eye", "grey_eye", "lightblue_eye")


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
        return {**asdict(self), "wears": [wear.to_dict() for wear in self.wears]}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Recipe:
        """Undo `to_dict`. Raises TypeError for unknown or missing keys."""
        return cls(**{**stored, "wears": tuple(Wear.from_dict(wear) for wear in stored["wears"])})

    @property
    def items(self) -> tuple[str, ...]:
        """Ids of every asset of the pack that goes in."""
        return (
            self.skin,
            "HighPolyEyes",
            *([self.hair] if self.hair else []),
            *(wear.item for wear in self.wears if wear.item != MADE),
        )


def draw_recipe(pack: Pack, rng: np.random.Generator, which: str = "train") -> Recipe:
    """A random person of a split: 'train', 'val' or 'test'."""
    body = draw_body(pack, rng)
    wears = Tailor(pack, rng, which, body).outfit()
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
