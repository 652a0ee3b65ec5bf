"""The folder of raw material (bodies, shape targets, skins, garments, hair, eyes) and recipes for people."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from likeness.core.errors import LikenessError

Floats = NDArray[np.float32]
Arrays = dict[str, NDArray]
CC0 = "CC0-1.0"


@dataclass(frozen=True)
class Recipe:
    """What a person is made of.

    macro: sliders 0..1 of `macro_weights`. skin, garments, hair, eyes: ids in the wardrobe's assets.json;
    eyes names the iris texture; brows is the colour of brows and lashes, sRGB 0..255.
    dye: garment id -> new order of its texture's channels, which changes hues and leaves greys.
    """

    name: str
    macro: dict[str, float]
    skin: str
    garments: tuple[str, ...]
    hair: str | None
    eyes: str = "brown_eye"
    brows: tuple[int, int, int] = (34, 25, 20)
    dye: dict[str, tuple[int, int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """One wearable: its npz arrays (faces, face_uv, uvs, ref, weight, offset, ...), texture and coverage."""

    id: str
    kind: str
    category: str
    licence: str
    arrays: Arrays
    color: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None


class Wardrobe:
    """Lazy reader of a data folder. With `licences` given, items under any other licence are refused."""

    def __init__(self, folder: Path, licences: frozenset[str] | None = None) -> None:
        self.folder = Path(folder)
        self.licences = licences
        index = self.folder / "assets.json"
        if not index.is_file():
            raise LikenessError(
                "input.wardrobe",
                f"{self.folder} holds no assets.json, so it is no wardrobe folder.",
                "Pass the folder with body/, garments/, skins/ and assets.json with --data.",
            )
        self.assets = {entry["id"]: entry for entry in json.loads(index.read_text(encoding="utf-8"))}

    @cached_property
    def base(self) -> Arrays:
        """The base mesh with its rig; `verts` (19158, 3) metres."""
        return _read_arrays(self.folder / "body" / "mh_base.npz")

    @cached_property
    def targets(self) -> dict[str, tuple[NDArray[np.int64], Floats]]:
        """Shape target name -> (vertex indices (n,), offsets (n, 3) metres)."""
        found: dict[str, tuple[NDArray[np.int64], Floats]] = {}
        for path in sorted((self.folder / "body" / "targets").glob("*.npz")):
            z = _read_arrays(path)
            bounds = z["offsets"]
            for k, name in enumerate(z["names"]):
                part = slice(int(bounds[k]), int(bounds[k + 1]))
                found[str(name)] = (z["idx"][part].astype(np.int64), z["delta"][part].astype(np.float32) * 1e-4)
        return found

    @property
    def recipes(self) -> list[Recipe]:
        """The people suggested by people.json whose every item this wardrobe may use."""
        entries = json.loads((self.folder / "people.json").read_text(encoding="utf-8"))
        people = [Recipe(e["id"], e["macro"], e["skin"], tuple(e["garments"]), e["hair"]) for e in entries]
        return [r for r in people if all(self.allowed(i) for i in recipe_items(r))]

    def allowed(self, item: str) -> bool:
        """Whether the item exists here under a licence that this wardrobe accepts."""
        entry = self.assets.get(item)
        return entry is not None and (self.licences is None or entry["licence"] in self.licences)

    def item(self, item: str, texture: str | None = None) -> Item:
        """Read one garment, hair or eye item. `texture` picks among several by a part of the file's name."""
        entry = self._entry(item)
        textures = entry["textures"]
        chosen = next((t for t in textures if texture is None or texture in t["color"]), textures[0])
        alpha = chosen["alpha"] and np.asarray(Image.open(self.folder / chosen["alpha"]).convert("L"))
        return Item(
            item,
            entry["kind"],
            entry.get("category", entry["kind"]),
            entry["licence"],
            _read_arrays(self.folder / entry["file"]),
            self._color(chosen["color"]),
            alpha,
        )

    def skin(self, item: str) -> NDArray[np.uint8]:
        """Skin texture (H, W, 3) u8 sRGB on the body's own UVs."""
        return self._color(self._entry(item)["file"])

    def shape(self, macro: dict[str, float]) -> Floats:
        """Rest vertices (19158, 3) of a body shaped by macro sliders, helper geometry included."""
        vertices = self.base["verts"].astype(np.float32).copy()
        for name, weight in macro_weights(**macro).items():
            if name in self.targets:
                index, delta = self.targets[name]
                vertices[index] += np.float32(weight) * delta
        return vertices

    def _color(self, path: str) -> NDArray[np.uint8]:
        return np.asarray(Image.open(self.folder / path).convert("RGB"))

    def _entry(self, item: str) -> dict:
        if not self.allowed(item):
            known = item in self.assets
            raise LikenessError(
                "input.wardrobe_item",
                f"The item '{item}' is {'under a licence not allowed here' if known else 'unknown'}.",
                "Choose an item of assets.json whose licence is among those accepted.",
            )
        return self.assets[item]


def recipe_items(recipe: Recipe) -> list[str]:
    """Ids of every asset that a recipe draws from."""
    return [recipe.skin, *recipe.garments, *([recipe.hair] if recipe.hair else []), "HighPolyEyes"]


def fit_item(arrays: Arrays, body: Floats) -> Floats:
    """Vertices (n, 3) metres of a garment, hair or eye item bound to a shaped body (19158, 3)."""
    scale_ref, divisor = arrays["scale_ref"], arrays["scale_div"]
    scale = np.array([abs(body[scale_ref[a, 0], a] - body[scale_ref[a, 1], a]) * 10 / divisor[a] for a in range(3)])
    bound = (body[arrays["ref"]] * arrays["weight"][..., None]).sum(1)
    return (bound + 0.1 * arrays["offset"] * scale).astype(np.float32)


def macro_weights(
    gender: float = 0.5,
    age: float = 0.5,
    muscle: float = 0.5,
    weight: float = 0.5,
    height: float = 0.5,
    proportions: float = 0.5,
    african: float = 1 / 3,
    asian: float = 1 / 3,
    caucasian: float = 1 / 3,
) -> dict[str, float]:
    """MakeHuman's macro sliders 0..1 (gender 0 female..1 male; age 0.19 child..0.5 young..1 old) as target weights."""
    child = float(np.clip((0.5 - age) / 0.3125, 0, 1))
    old = max(0.0, (age - 0.5) * 2)
    ages = {"child": child, "young": 1 - child - old, "old": old}
    genders = {"female": 1 - gender, "male": gender}
    origins = {"african": african, "asian": asian, "caucasian": caucasian}
    blend: dict[str, float] = defaultdict(float)
    for g, gw in genders.items():
        for a, aw in ages.items():
            for origin, ow in origins.items():
                blend[f"{origin}-{g}-{a}"] += gw * aw * ow
            for m, mw in _three_steps(muscle).items():
                for w, ww in _three_steps(weight).items():
                    blend[f"universal-{g}-{a}-{m}muscle-{w}weight"] += gw * aw * mw * ww
            stem = f"{g}-{a}-averagemuscle-averageweight-"
            tall = "maxheight" if height > 0.5 else "minheight"
            ideal = "idealproportions" if proportions > 0.5 else "uncommonproportions"
            blend[stem + tall] += gw * aw * abs(height - 0.5) * 2
            blend[stem + ideal] += gw * aw * abs(proportions - 0.5) * 2
    return {name: value for name, value in blend.items() if value > 1e-6}


def _three_steps(slider: float) -> dict[str, float]:
    low, high = max(0.0, 1 - 2 * slider), max(0.0, 2 * slider - 1)
    return {"min": low, "average": 1 - low - high, "max": high}


def _read_arrays(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as z:
        return {key: z[key] for key in z.files}
