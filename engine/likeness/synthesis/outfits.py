"""What people wear: garments of the pack and garments of our own, mixed freely."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from likeness.synthesis.bodies import GROWN_YEARS, Body
from likeness.synthesis.fabric import draw_fabric
from likeness.synthesis.garments import MADE, Cut
from likeness.synthesis.pack import Pack
from likeness.synthesis.pieces import separable

BAREFOOT, HATS, GLASSES, OUTER, BAG, SCARF = 0.05, 0.10, 0.15, 0.22, 0.12, 0.06
# Slots from the skin outwards; a tucked top lies under the bottom.
ORDER = {"underwear": 5, "tucked": 12, "shoes": 15, "bottom": 20, "skirt": 22, "top": 26, "full": 24, "dress": 28,
         "boots": 30, "coat": 40, "scarf": 45, "bag": 50, "glasses": 55, "hat": 60}  # fmt: skip


@dataclass(frozen=True)
class Wear:
    """One garment.

    item: id in the pack, or MADE. slot: a key of ORDER. noun: what to call it. part: 'all', or 'upper' / 'lower' of a
    full suit. texture: which of the item's pictures. cut: its shape. fabric: a `Fabric` as plain JSON types, None = the
    item's own texture.
    """

    item: str
    slot: str
    noun: str
    part: str = "all"
    texture: str | None = None
    cut: Cut = field(default=Cut())
    fabric: dict[str, Any] | None = None

    @property
    def order(self) -> int:
        """Larger is worn outside."""
        return ORDER[self.slot]

    @property
    def loose(self) -> bool:
        """Whether it hangs away from the body."""
        cut = self.cut
        return self.slot in ("coat", "skirt", "dress") or cut.loose >= 0.02 or cut.wide >= 0.03 or cut.skirt is not None

    @property
    def category(self) -> str:
        """The category as captions and fabrics know it."""
        return {"tucked": "top", "boots": "shoes"}.get(self.slot, self.slot)

    @property
    def wide(self) -> bool:
        """Whether people would call it loose."""
        return self.slot in ("top", "bottom") and (self.cut.loose >= 0.02 or self.cut.wide >= 0.03)

    @property
    def open(self) -> bool:
        """Whether its front stands open."""
        return self.cut.opening is not None

    @property
    def sleeve_words(self) -> str | None:
        """'sleeveless', 'short' or 'long' if its sleeves were cut."""
        sleeve = self.cut.sleeve
        if sleeve is None or self.noun in ("t-shirt", "tank top", "coat", "jacket", "hoodie", "sweater", "turtleneck"):
            return None
        return "sleeveless" if sleeve < 0.02 else "short" if sleeve < 0.5 else "long"

    @property
    def length_words(self) -> str | None:
        """'short', 'knee-length' or 'long' of a skirt or dress of ours."""
        if self.cut.skirt is None or self.slot not in ("dress", "skirt"):
            return None
        return "short" if self.cut.skirt < 0.3 else "knee-length" if self.cut.skirt < 0.6 else "long"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Wear:
        """Undo `to_dict`."""
        return cls(**{**stored, "cut": Cut(**stored["cut"])})


class Tailor:
    """Draws one person's outfit."""

    def __init__(self, pack: Pack, rng: np.random.Generator, which: str, body: Body) -> None:
        self.pack, self.rng, self.body = pack, rng, body
        self.child = body.years < GROWN_YEARS
        self.names = [n for n in pack.split.names("garment", which) if n in pack.assets and self._decent(n)]

    def _decent(self, name: str) -> bool:
        """No lingerie, and on children none of the pack's close or short women's clothes."""
        asset = self.pack.assets[name]
        tight = asset.category in ("top", "dress", "skirt", "full") and "female" in asset.tags
        return "lingerie" not in asset.tags and not (self.child and tight)

    def outfit(self) -> tuple[Wear, ...]:
        """From the skin outwards."""
        kind = self.rng.random()
        one_piece = self._dress() if self.body.woman and kind < 0.3 else self._suit() if kind > 0.88 else None
        wears = [one_piece] if one_piece else self._two_pieces()
        if self.rng.random() < OUTER and not any(w.cut.collar == "hood" for w in wears):
            wears.append(self._outer(wears))
        wears.extend(self._shoes(wears))
        if self.rng.random() < SCARF and not any(w.cut.collar in ("hood", "turtle") for w in wears):
            wears.append(Wear(MADE, "scarf", "scarf", fabric=self._fabric("scarf")))
        if self.rng.random() < BAG:
            noun = self._pick({"backpack": 5, "shoulder bag": 4, "handbag": 3 if self.body.woman else 0})
            wears.append(Wear(MADE, "bag", noun, fabric=self._fabric("bag")))
        for slot, often in (("hat", HATS), ("glasses", GLASSES)):
            item = self._own(slot)
            if item and self.rng.random() < often:
                wears.append(self._packed(item, slot, "hat" if slot == "hat" else "glasses", slot == "hat"))
        return tuple(sorted(wears, key=lambda wear: wear.order))

    def _u(self, low: float, high: float) -> float:
        return round(float(self.rng.uniform(low, high)), 4)

    def _pick(self, table: dict[str, float]) -> str:
        chances = np.array(list(table.values()), float)
        return str(self.rng.choice(list(table), p=chances / chances.sum()))

    def _own(self, category: str, tag: str | None = None) -> str | None:
        other = "male" if self.body.woman else "female"
        assets = [self.pack.assets[name] for name in self.names]
        fit = [a.id for a in assets if a.category == category and other not in a.tags and (not tag or tag in a.tags)]
        return str(self.rng.choice(fit)) if fit else None

    def _fabric(self, category: str) -> dict[str, Any]:
        return draw_fabric(self.rng, category).to_dict()

    def _packed(
        self, item: str, slot: str, noun: str, painted: bool, cut: Cut | None = None, part: str = "all"
    ) -> Wear:
        textures = self.pack.assets[item].textures
        texture = str(self.rng.choice(textures)) if len(textures) > 1 else None
        category = {"tucked": "top", "boots": "shoes"}.get(slot, slot)
        if slot in ("top", "tucked", "full", "coat") and self.rng.random() < 0.35:
            cut = replace(cut or Cut(), sleeve=self._u(0.15, 0.9))
        if (slot == "bottom" or slot == "full") and part != "upper" and self.rng.random() < 0.3:
            cut = replace(cut or Cut(), leg=self._u(0.2, 0.97))
        fabric = self._fabric(category) if painted else None
        return Wear(item, slot, noun, part, texture, cut or Cut(), fabric)

    def _two_pieces(self) -> list[Wear]:
        bottom = self._bottom()
        tucked = bottom.cut.waist is not None and bottom.cut.waist > 0.6 and self.rng.random() < 0.6
        flared = bottom.slot == "skirt" and (bottom.cut.flare > 0.12 or self.rng.random() < 0.7)
        return [bottom, self._top(tucked or flared)]

    def _top(self, tucked: bool) -> Wear:
        slot = "tucked" if tucked else "top"
        item = self._own("top")
        suit = self._separable()
        choice = self.rng.random()
        if item and choice < (0.22 if self.body.woman else 0.05):
            return self._packed(item, slot, "top", True, Cut(loose=self._u(0, 0.008)))
        if suit and choice > 0.84:
            return self._packed(suit, slot, "top", self.rng.random() < 0.85, Cut(loose=self._u(0, 0.006)), "upper")
        return self._made_top(slot, tucked)

    def _made_top(self, slot: str, tucked: bool) -> Wear:
        woman = self.body.woman
        noun = self._pick({"t-shirt": 30, "top": 10, "sweater": 14, "hoodie": 10, "shirt": 18,
                           "polo shirt": 6, "tank top": 6 if not woman else 9, "turtleneck": 5,
                           "blouse": 10 if woman else 0, "crop top": 4 if woman and not self.child else 0})  # fmt: skip
        if tucked and noun in ("hoodie", "sweater", "crop top"):
            noun = "t-shirt"
        big = self.rng.random() < 0.3 and not tucked
        loose = self._u(0.002, 0.012) if not big else self._u(0.015, 0.03)
        thick = {"sweater": 0.008, "hoodie": 0.012, "turtleneck": 0.002}.get(noun, 0.0)
        hem = self._u(0.75, 1.0) if noun != "crop top" else self._u(0.0, 0.3)
        sleeves = {"t-shirt": (0.22, 0.42), "polo shirt": (0.24, 0.4), "tank top": (-0.3, -0.02),
                   "crop top": (-0.2, 0.3),
                   "blouse": (0.25, 0.98), "shirt": (0.3, 0.99) if self.rng.random() < 0.4 else (0.9, 1.0)}  # fmt: skip
        low, high = sleeves.get(noun, (0.9, 1.0))
        collars = {"shirt": "fold", "polo shirt": "fold", "hoodie": "hood", "turtleneck": "turtle"}
        collar = collars.get(noun, "stand" if noun == "blouse" and self.rng.random() < 0.3 else "")
        vee = not collar and not self.child and self.rng.random() < 0.25
        depth = (
            0.035
            if collar
            else self._u(0.05, 0.06 if self.child else 0.09)
            + 0.05 * vee
            + 0.03 * (noun == "tank top" and not self.child)
        )
        cut = Cut(
            sleeve=self._u(low, high),
            hem=hem if not tucked else 0.9,
            neck=depth,
            vee=vee,
            loose=round(loose + thick, 4),
            drape=0.0 if tucked else self._u(0.2, 0.9) if big else self._u(0.1, 0.6),
            collar=collar,
            wide=self._u(0, 0.03) if self.rng.random() < 0.25 else 0.0,
        )
        category = {"sweater": "sweater", "turtleneck": "sweater", "shirt": "shirt", "blouse": "shirt"}.get(noun, "top")
        return Wear(MADE, slot, noun, cut=cut, fabric=self._fabric(category))

    def _bottom(self) -> Wear:
        item, skirt, suit = self._own("bottom"), self._own("skirt"), self._separable()
        choice = self.rng.random()
        if self.body.woman and choice < 0.24:
            if skirt and choice < 0.08:
                return self._packed(skirt, "skirt", "skirt", True)
            return self._made_skirt()
        if item and choice < 0.4:
            noun = "shorts" if "short" in item.lower() else "jeans"
            return self._packed(item, "bottom", noun, self.rng.random() < 0.6, Cut(loose=self._u(0, 0.006)))
        if suit and choice > 0.85:
            return self._packed(suit, "bottom", "trousers", self.rng.random() < 0.85, None, "lower")
        return self._made_trousers()

    def _made_skirt(self) -> Wear:
        full = self.rng.random() < 0.5
        cut = Cut(
            waist=self._u(0.5, 1.0),
            skirt=self._u(0.3 if self.child else 0.12, 0.95),
            flare=self._u(0.15, 0.5) if full else self._u(0.0, 0.12),
            folds=int(self.rng.integers(5, 14)) if full else 0,
            loose=0.003,
        )
        return Wear(MADE, "skirt", "skirt", cut=cut, fabric=self._fabric("skirt"))

    def _made_trousers(self) -> Wear:
        noun = self._pick({"trousers": 40, "wide trousers": 14, "joggers": 10, "shorts": 16, "leggings": 6})
        leg = {"shorts": (0.15, 0.55)}.get(noun, (0.85, 1.0) if self.rng.random() < 0.15 else (0.96, 1.02))
        loose = {"leggings": (0.0, 0.001), "wide trousers": (0.015, 0.03), "joggers": (0.012, 0.022)}
        low, high = loose.get(noun, (0.003, 0.018))
        cut = Cut(
            waist=self._u(0.15, 1.0),
            leg=self._u(*leg),
            loose=self._u(low, high),
            drape=self._u(0, 0.5),
            wide=self._u(0.03, 0.08) if noun == "wide trousers" else self._u(0, 0.015) * (noun == "trousers"),
        )
        category = "shorts" if noun == "shorts" else "bottom"
        spoken = noun if noun in ("shorts", "leggings") else "trousers"
        return Wear(MADE, "bottom", spoken, cut=cut, fabric=self._fabric(category))

    def _dress(self) -> Wear:
        item = self._own("dress")
        if item and self.rng.random() < 0.35:
            return self._packed(item, "dress", "dress", True, Cut(loose=self._u(0, 0.004)))
        full = self.rng.random() < 0.6
        sleeveless = self.rng.random() < (0.2 if self.child else 0.45)
        vee = not self.child and self.rng.random() < 0.35
        cut = Cut(
            sleeve=self._u(-0.35, -0.02) if sleeveless else self._u(0.15, 1.0),
            skirt=self._u(0.3 if self.child else 0.15, 1.0),
            neck=self._u(0.05, 0.06 if self.child else 0.11) + 0.04 * vee,
            vee=vee,
            loose=self._u(0.002, 0.008) if full else self._u(0.004, 0.02),
            drape=0.0 if full else self._u(0, 0.9),
            flare=self._u(0.15, 0.5) if full else self._u(0.02, 0.15),
            folds=int(self.rng.integers(5, 14)) if full else 0,
            collar="fold" if self.rng.random() < 0.1 else "",
        )
        return Wear(MADE, "dress", "dress", cut=cut, fabric=self._fabric("dress"))

    def _suit(self) -> Wear | None:
        item = self._own("full")
        cut = Cut(loose=self._u(0, 0.012) if self.rng.random() < 0.4 else 0.0)
        return self._packed(item, "full", "outfit", self.rng.random() < 0.85, cut) if item else None

    def _separable(self) -> str | None:
        other = "male" if self.body.woman else "female"
        fit = [
            name
            for name in self.names
            if self.pack.assets[name].category == "full"
            and other not in self.pack.assets[name].tags
            and separable(self.pack, name)
        ]
        return str(self.rng.choice(fit)) if fit else None

    def _outer(self, inner: list[Wear]) -> Wear:
        wide_skirt = any(w.cut.flare > 0.12 or (w.cut.skirt is None and w.slot in ("dress", "skirt")) for w in inner)
        item = self._own("coat")
        if item and not wide_skirt and self.rng.random() < 0.25:
            return self._packed(item, "coat", "coat", True, Cut(loose=self._u(0.004, 0.01)))
        long = self.rng.random() < 0.45 and not wide_skirt
        # A suit, or its upper part, may be a jacket already.
        worn = [w.cut.loose + 0.012 * (w.slot == "full" or w.part == "upper") for w in inner if w.slot != "bottom"]
        thick = max(worn, default=0.0)
        drape = max((w.cut.drape for w in inner if w.slot != "bottom"), default=0.0)
        cut = Cut(
            sleeve=self._u(0.9, 1.03),
            hem=self._u(0.75, 1.0),
            skirt=self._u(0.15, 0.75) if long else None,
            neck=0.045,
            loose=round(max(thick + 0.008, 0.016) + self._u(0.0, 0.012), 4),
            drape=round(max(drape, self._u(0.4, 0.9)), 4),
            flare=self._u(0.02, 0.12),
            collar=self._pick({"fold": 5, "stand": 2, "hood": 2, "": 1}),
            opening=self._u(0.02, 0.07) if self.rng.random() < 0.65 else None,
        )
        noun = "coat" if long else "jacket"
        return Wear(MADE, "coat", noun, cut=cut, fabric=self._fabric(noun))

    def _shoes(self, wears: list[Wear]) -> list[Wear]:
        item = self._own("shoes")
        if item is None or self.rng.random() < BAREFOOT:
            return []
        boots = "boots" in self.pack.assets[item].tags
        if boots and any(w.slot == "bottom" and (w.cut.wide or w.cut.loose > 0.006) for w in wears):
            low = [
                n
                for n in self.names
                if self.pack.assets[n].category == "shoes" and "boots" not in self.pack.assets[n].tags
            ]
            if not low:
                return []
            item, boots = str(self.rng.choice(low)), False
        return [
            self._packed(item, "boots" if boots else "shoes", "boots" if boots else "shoes", self.rng.random() < 0.6)
        ]
