"""What a synthetic person is made of, and how such recipes are drawn."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from likeness.synthesis.bodies import Body, draw_body
from likeness.synthesis.garments import MADE
from likeness.synthesis.hair import VOLUMES, Hair
from likeness.synthesis.hair_colors import HairColor, draw_hair_color
from likeness.synthesis.outfits import Tailor, Wear
from likeness.synthesis.pack import Pack
from likeness.synthesis.skins import draw_complexion

CHILD_YEARS = 13
BEARDED, BALD = 0.30, 0.08
# Cards that show their inner sides from outside; a shape of our own replaces them.
FLAWED = ("afro01",)
_IRISES = ("brown_eye", "brownlight_eye", "blue_eye", "bluegreen_eye", "green_eye", "grey_eye", "lightblue_eye")


@dataclass(frozen=True)
class Recipe:
    """Everything that `dress` needs besides the pack; JSON-able.

    seed: of what is drawn while dressing. people: 'adults' or 'children', the default body that the betas are of.
    """

    seed: int
    years: float
    people: str
    woman: bool
    macro: dict[str, float]
    local: dict[str, float]
    skin: str
    complexion: dict[str, Any]
    eyes: str
    hair: Hair
    wears: tuple[Wear, ...]
    version: int = field(default=1)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {**asdict(self), "wears": [wear.to_dict() for wear in self.wears]}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Recipe:
        """Undo `to_dict`. Raises TypeError for unknown or missing keys."""
        return cls(**{**stored, "hair": Hair(**stored["hair"]), "wears": tuple(map(Wear.from_dict, stored["wears"]))})

    @property
    def _cards(self) -> tuple[str, ...]:
        return (self.hair.style,) if self.hair.style and self.hair.style not in VOLUMES else ()

    @property
    def loose(self) -> bool:
        """Whether the person wears something that hangs away from the body."""
        return any(wear.loose for wear in self.wears)

    @property
    def items(self) -> tuple[str, ...]:
        """Ids of every asset of the pack that goes in."""
        return (
            self.skin,
            "HighPolyEyes",
            *self._cards,
            *(wear.item for wear in self.wears if wear.item != MADE),
        )


def draw_recipe(pack: Pack, rng: np.random.Generator, which: str = "train") -> Recipe:
    """A random person of a split: 'train', 'val' or 'test'."""
    body = draw_body(pack, rng)
    wears = Tailor(pack, rng, which, body).outfit()
    hat = any(wear.slot == "hat" for wear in wears)
    skin = _draw_skin(pack, rng, which, body)
    hair = _draw_hair(pack, rng, which, body, hat, skin)
    complexion = draw_complexion(
        rng, body.macro["gender"], body.years, HairColor.from_dict(hair.color), beard=bool(hair.beard)
    )
    recipe = Recipe(
        seed=int(rng.integers(2**31)),
        years=body.years,
        people="children" if body.years < CHILD_YEARS else "adults",
        woman=body.woman,
        macro=body.macro,
        local=body.local,
        skin=skin,
        complexion=complexion.to_dict(),
        eyes=str(rng.choice(_IRISES, p=_iris_shares(skin))),
        hair=hair,
        wears=wears,
    )
    # As it comes back from a file, so that both are equal.
    return Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))


def _iris_shares(skin: str) -> list[float]:
    dark = "african" in skin or "asian" in skin
    return [0.82, 0.15, 0.0, 0.0, 0.02, 0.01, 0.0] if dark else [0.3, 0.18, 0.16, 0.08, 0.11, 0.09, 0.08]


def _named(pack: Pack, which: str, kind: str) -> list[str]:
    return [n for n in pack.split.names(kind, which) if n in pack.assets]


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


def _draw_hair(pack: Pack, rng: np.random.Generator, which: str, body: Body, hat: bool, skin: str) -> Hair:
    names = [n for n in _named(pack, which, "hair") if n not in FLAWED]
    own = [n for n in names if _fits(pack, n, body.woman)] if rng.random() < 0.93 else names
    color = draw_hair_color(rng, body.years, skin).to_dict()
    shapes = {"buzz": 1.0, "crop": 2.2, "curls": 1.0, "afro": 0.3, "straight": 0.15, "wavy": 0.15}
    if body.woman:
        shapes = {"buzz": 0.1, "crop": 0.3, "curls": 0.6, "afro": 0.3, "straight": 1.2, "wavy": 1.0}
    if "african" in skin:
        shapes |= {"buzz": shapes["buzz"] * 2, "curls": shapes["curls"] * 2, "afro": 2.0}
    if hat:
        style = "buzz"
    elif not body.woman and body.years > 20 and rng.random() < BALD * (2.5 if body.years > 45 else 1):
        style = ""
    elif own and rng.random() < (0.6 if body.woman else 0.5):
        style = str(rng.choice(own))
    else:
        shares = np.array(list(shapes.values()))
        style = str(rng.choice(list(shapes), p=shares / shares.sum()))
    bearded = not body.woman and body.years > 19 and rng.random() < BEARDED
    return Hair(
        style,
        color,
        round(float(rng.uniform(0.6, 1.5)), 3),
        str(rng.choice(["full", "short", "goatee", "moustache"], p=[0.35, 0.35, 0.17, 0.13])) if bearded else "",
        round(float(rng.uniform(0.6, 1.7)), 3),
        int(rng.integers(1 << 30)),
    )
