"""The people pack that ships: bodies, shape targets, skins, wearables, hair, eyes, motion clips and avatars.

Metres, Y up, right-handed, a person faces +Z and its left is +X. `install/make/make_people.py` makes the files; each
item's author, licence and source are in its `Asset`, and `split.json` says which items a network may learn from.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likeness.core.errors import LikenessError
from likeness.synthesis.archive import Archive, Arrays, damaged

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Target = tuple[Ints, Floats]

FOLDER = Path(__file__).resolve().parent.parent / "weights" / "people"
SPLIT_KINDS = ("person", "garment", "hair", "skin", "clip", "avatar")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Asset:
    """What the pack says about one skin, garment, hair or pair of eyes.

    kind: skin, garment, hair or eye; category: top, bottom, full, dress, skirt, coat, shoes, hat, glasses, sleeve,
    swim, underwear for garments, else the kind. textures: names that `Pack.item` takes. split: train, val, test, or ''
    for what is in every split (eyes). credit: one line that names the item, its author, licence and source.
    """

    id: str
    kind: str
    category: str
    tags: tuple[str, ...]
    textures: tuple[str, ...]
    licence: str
    author: str
    source: str
    split: str

    @property
    def credit(self) -> str:
        return f"{self.id} ({self.kind}) by {self.author}, {self.licence}, {self.source}"


@dataclass(frozen=True)
class Item:
    """One wearable, hair or pair of eyes, bound to the base mesh of 19158 vertices.

    arrays: faces (f, 4) i32 quads (a triangle repeats its last index), face_uv (f, 4) i32 into uvs (u, 2) f32 V up,
    ref (n, 3) i32 base vertices, weight (n, 3) f32 rows sum to 1, offset (n, 3) f32 decimetres, scale_ref (3, 2) i32,
    scale_div (3,) f32, delete_verts (d,) i32 body vertices under it, z_depth () i64, larger = outer; see `fit_item`.
    color (H, W, 3) u8 sRGB; alpha (H, W) u8 or None = opaque, perhaps of another size.
    """

    asset: Asset
    arrays: Arrays
    color: Bytes
    alpha: Bytes | None

    @property
    def id(self) -> str:
        return self.asset.id

    @property
    def kind(self) -> str:
        return self.asset.kind

    @property
    def category(self) -> str:
        return self.asset.category

    @property
    def licence(self) -> str:
        return self.asset.licence


@dataclass(frozen=True)
class Clip:
    """A motion: poses (T, 24, 3) f32 axis-angle in SMPL's joint order, parent-relative, identity = T pose facing +Z;
    trans (T, 3) f32 pelvis positions; rest_offsets (24, 3) f32 the performer's bones; usable (T,) bool: no joint turns
    more than 45 degrees between neighbouring frames within two frames of it."""

    name: str
    description: str
    poses: Floats
    trans: Floats
    rest_offsets: Floats
    fps: float
    usable: Mask
    licence: str
    source: str


@dataclass(frozen=True)
class AvatarSource:
    """A finished avatar in its A pose, lowest vertex at y = 0.

    vertices (V, 3) f32; triangles (F, 3) i32 outward; uvs (U, 2) f32 V up; triangle_uv (F, 3) i32; material (F,) u8
    into material_names (0 body, 1 head, 2 opacity, then accessories). 80 bones: bone_names, bone_parents (80,) i32,
    bone_heads (80, 3) f32, bone_smpl24 and bone_smplh52 (80,) i32; joints24 (24, 3), joints52 (52, 3) f32; skin_bones
    (V, 4) i32 and skin_weights (V, 4) f32, rows sum to 1; seen, mirrored (V,) bool: colour real, or taken from the seen
    mirror image. atlas (H, W, 3) u8 sRGB; known (H, W) bool: the atlas' texel is truth. person: the same number = the
    same face. Every UV belongs to one vertex, and faces follow each other in fans.
    """

    id: str
    kind: str
    caption: str
    person: int
    vertices: Floats
    triangles: Ints
    uvs: Floats
    triangle_uv: Ints
    material: Bytes
    material_names: tuple[str, ...]
    bone_names: tuple[str, ...]
    bone_parents: Ints
    bone_heads: Floats
    bone_smpl24: Ints
    bone_smplh52: Ints
    joints24: Floats
    joints52: Floats
    skin_bones: Ints
    skin_weights: Floats
    seen: Mask
    mirrored: Mask
    atlas: Bytes
    known: Mask
    licence: str
    source: str


class Targets(Mapping[str, Target]):
    """Shape targets, name -> (base vertices (n,) i32, offsets (n, 3) f32 metres); a group is read on first use."""

    def __init__(self, archive: Archive, groups: dict[str, list[str]]) -> None:
        self._archive = archive
        self._groups = groups
        self._group_of = {name: group for group, names in groups.items() for name in names}
        self._read: dict[str, dict[str, Target]] = {}

    def __getitem__(self, name: str) -> Target:
        group = self._group_of[name]
        if group not in self._read:
            self._read[group] = self._group(group)
        return self._read[group][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._group_of)

    def __len__(self) -> int:
        return len(self._group_of)

    def group(self, name: str) -> str:
        """The group (head, torso, macro_shape, ...) of a target."""
        return self._group_of[name]

    def _group(self, group: str) -> dict[str, Target]:
        z = self._archive.arrays(f"targets/{group}")
        cuts = z["offsets"][1:-1]
        parts = zip(np.split(z["idx"].astype(np.int32), cuts), np.split(z["delta"], cuts), strict=True)
        return dict(zip(self._groups[group], parts, strict=True))


class Split:
    """Which people, garments, hair, skins, clips and avatars are for training, choosing and figures."""

    def __init__(self, table: dict[str, Any]) -> None:
        self._table = table

    def names(self, kind: str, which: str) -> tuple[str, ...]:
        """Ids of a kind (`SPLIT_KINDS`) in a split (`SPLITS`); of 'person' the last decimal digits of their indices."""
        if kind not in SPLIT_KINDS or which not in SPLITS:
            raise ValueError(f"{kind}/{which} is no part of the split")
        return tuple(self._table[kind][which])

    def of_person(self, index: int) -> str:
        """The split of the person drawn with this index (its seed), by its last decimal digit."""
        digit = str(index % 10)
        return next(which for which in SPLITS if digit in self.names("person", which))

    def person(self, which: str, number: int) -> int:
        """Index of the `number`-th person (from 0) of a split."""
        digits = self.names("person", which)
        return 10 * (number // len(digits)) + int(digits[number % len(digits)])


class Pack:
    """Reader of a pack's folder; everything but its index is read on first use. Raises LikenessError when damaged."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = Path(folder)
        self._index = _read_json(self.folder / "pack.json")
        if not {"assets", "targets", "clips", "avatars", "sha256"} <= self._index.keys():
            raise damaged(self.folder / "pack.json", "is not what was made")
        self._archives = {name: Archive(self.folder / name, sha) for name, sha in self._index["sha256"].items()}
        self._entries = {entry["id"]: entry for entry in self._index["assets"]}
        self._blob: tuple[str, Arrays] = ("", {})

    @cached_property
    def split(self) -> Split:
        """The split by person, garment, hair, skin, clip and avatar."""
        return Split(_read_json(self.folder / "split.json"))

    @cached_property
    def base(self) -> Arrays:
        """The base mesh hm08 with its rig, keys as in MakeHuman's conversion; `verts` (19158, 3) f32 in an A pose."""
        return self._archive("body.zip").arrays("base")

    @cached_property
    def targets(self) -> Targets:
        """All shape targets by name."""
        return Targets(self._archive("body.zip"), self._index["targets"])

    @cached_property
    def assets(self) -> dict[str, Asset]:
        """Skins, garments, hair and eyes by id."""
        place = {i: w for kind in ("garment", "hair", "skin") for w in SPLITS for i in self.split.names(kind, w)}
        return {key: _asset(entry, place.get(key, "")) for key, entry in self._entries.items()}

    def shape(self, macro: Mapping[str, float], local: Mapping[str, float] | None = None) -> Floats:
        """A-pose vertices (19158, 3) of a body, helper geometry included.

        macro: sliders 0..1 of `macro_weights`; local: weights of further targets by name."""
        vertices = self.base["verts"].copy()
        weights = macro_weights(**macro)
        for name, weight in (local or {}).items():
            weights[name] = weights.get(name, 0.0) + weight
        for name, weight in weights.items():
            if name in self.targets:
                index, delta = self.targets[name]
                vertices[index] += np.float32(weight) * delta
        return vertices

    def names(self, kind: str, category: str | None = None) -> tuple[str, ...]:
        """Ids of all assets of a kind, perhaps of one category."""
        return tuple(a.id for a in self.assets.values() if a.kind == kind and category in (None, a.category))

    def item(self, item: str, texture: str | None = None) -> Item:
        """One garment, hair or pair of eyes. `texture`: one of its asset's, None = the first."""
        asset, archive = self._asset(item)
        texture = asset.textures[0] if texture is None else texture
        if asset.kind == "skin" or texture not in asset.textures:
            raise _unknown(f"{item} with the texture {texture}")
        arrays = archive.arrays(f"{item}/arrays")
        if "faces" not in arrays:
            arrays["faces"] = arrays.pop("uv_vertex")[arrays["face_uv"]]
        arrays["weight"][:, 2] = 1 - arrays["weight"][:, 0] - arrays["weight"][:, 1]
        alpha = f"{item}/{texture}.alpha"
        return Item(
            asset,
            arrays,
            archive.image(f"{item}/{texture}.color"),
            archive.image(alpha, "L") if alpha in archive.names() else None,
        )

    def skin(self, item: str) -> Bytes:
        """A skin's picture (H, W, 3) u8 sRGB on the base mesh's own UVs."""
        return self._asset(item)[1].image(f"{item}/color")

    @property
    def clip_names(self) -> tuple[str, ...]:
        """Names of all motion clips."""
        return tuple(self._index["clips"])

    def clip(self, name: str) -> Clip:
        """One motion clip."""
        if name not in self._index["clips"]:
            raise _unknown(name)
        entry = self._index["clips"][name]
        z = self._archive(entry["archive"]).arrays(name)
        told: dict[str, Any] = {key: entry[key] for key in ("description", "fps", "licence", "source")}
        arrays: dict[str, Any] = {key: z[key] for key in ("poses", "trans", "rest_offsets")}
        return Clip(name=name, usable=z["usable"].astype(bool), **arrays, **told)

    @property
    def avatar_names(self) -> tuple[str, ...]:
        """Names of all avatars."""
        return tuple(self._index["avatars"])

    def person_of(self, avatar: str) -> int:
        """The number of an avatar's face, without reading the avatar."""
        if avatar not in self._index["avatars"]:
            raise _unknown(avatar)
        return int(self._index["avatars"][avatar]["person"])

    def avatar(self, name: str) -> AvatarSource:
        """One finished avatar."""
        if name not in self._index["avatars"]:
            raise _unknown(name)
        entry = self._index["avatars"][name]
        archive = self._archive("avatars.zip")
        blob = self._avatar_blob(entry["blob"])
        z: dict[str, Any] = {key.split("/")[1]: a.copy() for key, a in blob.items() if key.startswith(f"{name}/")}
        told = {key: entry[key] for key in ("kind", "caption", "person", "licence", "source")}
        z |= {key: tuple(z[key].tolist()) for key in ("material_names", "bone_names")}
        z |= {key: z[key].astype(bool) for key in ("seen", "mirrored")}
        z["skin_weights"] = z["skin_weights"].astype(np.float32) / np.float32(255)
        first, second, third = (z.pop(key) for key in ("first", "second", "third"))
        z["triangle_uv"] = np.stack([first, second + np.append(0, third[:-1]), third], 1).astype(np.int32)
        z["triangles"] = z.pop("uv_vertex")[z["triangle_uv"]]
        known = archive.image(f"{name}/known", "L") > 127
        return AvatarSource(id=name, atlas=archive.image(f"{name}/atlas"), known=known, **z, **told)

    def _avatar_blob(self, name: str) -> Arrays:
        """Arrays of some avatars that are stored together; the last blob read is kept."""
        if self._blob[0] != name:
            self._blob = (name, self._archive("avatars.zip").arrays(name))
        return self._blob[1]

    @property
    def credits(self) -> list[str]:
        """One line for each item: its name, author, licence and source."""
        lines = [
            "hm08 base mesh, rig and shape targets (body) by the MakeHuman team, CC0-1.0, makehumancommunity/mpfb2"
        ]
        lines += [asset.credit for asset in self.assets.values()]
        for name, clip in self._index["clips"].items():
            author = "the Likeness authors" if clip["licence"] == "CC0-1.0" else "mocap.cs.cmu.edu (NSF EIA-0196217)"
            lines.append(f"{name} (clip) by {author}, {clip['licence']}, {clip['source']}")
        for name, avatar in self._index["avatars"].items():
            lines.append(f"{name} (avatar) by Microsoft, {avatar['licence']}, {avatar['source']}")
        return lines

    def _archive(self, name: str) -> Archive:
        if name not in self._archives:
            raise damaged(self.folder / "pack.json", f"does not list {name}")
        return self._archives[name]

    def _asset(self, item: str) -> tuple[Asset, Archive]:
        if item not in self._entries:
            raise _unknown(item)
        return self.assets[item], self._archive(self._entries[item]["archive"])


def load_pack(folder: Path | None = None) -> Pack:
    """The pack in a folder, by default the one that ships; opened once a process."""
    return _opened(FOLDER if folder is None else Path(folder).resolve())


@lru_cache(maxsize=4)
def _opened(folder: Path) -> Pack:
    return Pack(folder)


def fit_item(arrays: Arrays, body: Floats) -> Floats:
    """Vertices (n, 3) metres of a garment, hair or eye item bound to a shaped body (19158, 3)."""
    ends, divisor = arrays["scale_ref"], arrays["scale_div"]
    scale = [abs(body[ends[a, 0], a] - body[ends[a, 1], a]) * 10 / divisor[a] for a in range(3)]
    bound = (body[arrays["ref"]] * arrays["weight"][..., None]).sum(1)
    return (bound + 0.1 * arrays["offset"] * np.array(scale)).astype(np.float32)


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
    """MakeHuman's sliders 0..1 (gender 0 female..1 male; age 0.19 child..0.5 young..1 old) as weights of targets."""
    child = float(np.clip((0.5 - age) / 0.3125, 0, 1))
    old = max(0.0, (age - 0.5) * 2)
    ages = {"child": child, "young": 1 - child - old, "old": old}
    origins = {"african": african, "asian": asian, "caucasian": caucasian}
    blend: dict[str, float] = defaultdict(float)
    for sex, sex_weight in {"female": 1 - gender, "male": gender}.items():
        for stage, stage_weight in ages.items():
            share = sex_weight * stage_weight
            for origin, origin_weight in origins.items():
                blend[f"{origin}-{sex}-{stage}"] += share * origin_weight
            for m, m_weight in _three_steps(muscle).items():
                for w, w_weight in _three_steps(weight).items():
                    blend[f"universal-{sex}-{stage}-{m}muscle-{w}weight"] += share * m_weight * w_weight
            stem = f"{sex}-{stage}-averagemuscle-averageweight-"
            tall = "maxheight" if height > 0.5 else "minheight"
            ideal = "idealproportions" if proportions > 0.5 else "uncommonproportions"
            blend[stem + tall] += share * abs(height - 0.5) * 2
            blend[stem + ideal] += share * abs(proportions - 0.5) * 2
    return {name: value for name, value in blend.items() if value > 1e-6}


def _three_steps(slider: float) -> dict[str, float]:
    low, high = max(0.0, 1 - 2 * slider), max(0.0, 2 * slider - 1)
    return {"min": low, "average": 1 - low - high, "max": high}


def _asset(entry: dict[str, Any], split: str) -> Asset:
    lists: dict[str, Any] = {key: tuple(entry[key]) for key in ("tags", "textures")}
    texts = {key: entry[key] for key in ("id", "kind", "category", "licence", "author", "source")}
    return Asset(**texts, **lists, split=split)


def _unknown(what: str) -> LikenessError:
    return LikenessError(
        "input.people_item", f"The people pack has no {what}.", "Choose a name that the pack's CREDITS.md lists."
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, "is missing or no JSON") from error
    if not isinstance(found, dict):
        raise damaged(path, "is not what was made")
    return found
