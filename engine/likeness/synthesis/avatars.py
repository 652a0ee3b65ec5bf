"""Rigged avatars by artists as people: other bodies, folds and colours each time they are dressed."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from likeness.synthesis.avatar_body import Surface, fit_body
from likeness.synthesis.avatar_folds import away_from_bones, fold_heights, rising
from likeness.synthesis.avatar_mesh import FineMesh, refine
from likeness.synthesis.avatar_palette import recolored
from likeness.synthesis.avatar_parts import (
    CLOTH,
    HAIR,
    HAT,
    SHOE,
    SKIN,
    Labels,
    clean_borders,
    eye_places,
    face_kinds,
    hanging,
    may_hang,
    part_of_joint,
)
from likeness.synthesis.avatar_rest import Proportions, Rest, draw_proportions, reshape, t_pose
from likeness.synthesis.figure import FINISHES, KINDS, Dressed, Floats, Layer, vertex_normals
from likeness.synthesis.pack import AvatarSource, Pack

# Longest edge after refining, metres: folds of 35 mm need a few vertices each.
EDGE_M = 0.02
_ORDER = {"skin": 0, "eye": 1, "hair": 54, "cloth": 20, "shoe": 30, "hat": 60, "bag": 50}


def avatar_recipe(pack: Pack, rng: np.random.Generator, which: str = "train") -> dict[str, Any]:
    """A JSON-able recipe of a random avatar of the split `which` ('train', 'val' or 'test')."""
    names = pack.split.names("avatar", which)
    return {"avatar": names[int(rng.integers(len(names)))], "seed": int(rng.integers(1 << 31))}


def dress_avatar_recipe(pack: Pack, recipe: dict[str, Any]) -> Dressed:
    """The person of a recipe {'avatar', 'seed'} with, optionally, 'proportions'; the same each time.

    Its own recipe adds 'people', 'adults' or 'children': the default body that the betas are of.
    """
    given = recipe.get("proportions")
    source = pack.avatar(recipe["avatar"])
    streams = np.random.default_rng(recipe["seed"]).spawn(3)
    original = t_pose(source)
    woman = "female" in source.id.lower() and not source.id.startswith("Fire_")
    drawn = draw_proportions(original, woman, source.kind == "child", streams[0])
    proportions = Proportions(**given) if given else drawn
    rest = reshape(original, proportions)
    kinds = clean_borders(face_kinds(source, original), source.triangles.astype(int))
    fine = _fine(source, rest, kinds)
    kind = kinds[kinds >= 0][fine.origin]
    slack = _slack(fine, kind, rest, source.caption)
    folded = _folded(fine, kind, slack, rest, streams[1])
    joint = original.weights[source.triangles].sum(1).argmax(1)
    atlas, caption = recolored(source, kinds, joint, fine, streams[2])
    eyes = reshape_point(original, proportions, eye_places(source, original).mean(0))
    people = "children" if source.kind == "child" else "adults"
    fit = fit_body(rest.joints, eyes, _surface(fine, kind, rest), people)
    origin = fit.joints[0]
    return Dressed(
        {"avatar": source.id, "seed": int(recipe["seed"]), "people": people, "proportions": proportions.to_dict()},
        caption,
        _layers(source, fine, kind, folded - origin, slack, atlas),
        fit.joints - origin,
        fit.betas,
        fit.vertices - origin,
        (f"{source.id} (avatar) by Microsoft, {source.licence}, {source.source}",),
    )


def dress_avatar(
    pack: Pack, avatar_id: str, rng: np.random.Generator, *, proportions: Proportions | None = None
) -> Dressed:
    """A person made of the avatar `avatar_id`, other folds and colours and, unless `proportions` are given, another
    body at each draw of `rng`."""
    recipe: dict[str, Any] = {"avatar": avatar_id, "seed": int(rng.integers(1 << 31))}
    if proportions is not None:
        recipe["proportions"] = proportions.to_dict()
    return dress_avatar_recipe(pack, recipe)


def reshape_point(original: Rest, proportions: Proportions, point: np.ndarray) -> np.ndarray:
    """A point (3,) of the head at rest after `reshape`."""
    shaped = reshape(
        Rest(np.concatenate([original.vertices, point[None]]), original.joints, _with_head(original.weights)),
        proportions,
    )
    return shaped.vertices[-1]


def _with_head(weights: Floats) -> Floats:
    row = np.zeros((1, weights.shape[1]), np.float32)
    row[0, 15] = 1
    return np.concatenate([weights, row])


def _fine(source: AvatarSource, rest: Rest, kinds: Labels) -> FineMesh:
    kept = kinds >= 0
    uvs = source.uvs[source.triangle_uv]
    return refine(rest.vertices, source.triangles[kept], uvs[kept], rest.weights, EDGE_M)


def _slack(fine: FineMesh, kind: Labels, rest: Rest, caption: str) -> Floats:
    if not may_hang(caption):
        return np.zeros(len(fine.vertices), np.float32)
    normals = vertex_normals(fine.vertices, fine.faces)
    slack = hanging(fine.vertices, normals, fine.values, rest.joints)
    cloth = np.zeros(len(slack), bool)
    cloth[fine.faces[kind == CLOTH]] = True
    return np.where(cloth, slack, 0).astype(np.float32)


def _folded(fine: FineMesh, kind: Labels, slack: Floats, rest: Rest, rng: np.random.Generator) -> Floats:
    """Vertices (V, 3) with folds in the cloth; where cloth meets another kind they fade out."""
    cloth, other = np.zeros(len(fine.vertices), bool), np.zeros(len(fine.vertices), bool)
    cloth[fine.faces[kind == CLOTH]] = True
    other[fine.faces[kind != CLOTH]] = True
    moving = np.flatnonzero(cloth & ~other)
    border = fine.vertices[cloth & other]
    fade = np.ones(len(moving))
    if len(border):
        fade = np.clip(cKDTree(border).query(fine.vertices[moving])[0] / 0.03, 0, 1)
    strength = float(rng.uniform(0.5, 1.3))
    points = fine.vertices[moving].astype(float)
    weights = fine.values[moving]
    height = fold_heights(points, rest.joints, weights, slack[moving], strength, rng) * fade
    normals = vertex_normals(fine.vertices, fine.faces)[moving]
    out = fine.vertices.copy()
    away = away_from_bones(points, rest.joints, weights)
    out[moving] += (height[:, None] * rising(normals, away)).astype(np.float32)
    return out


def _surface(fine: FineMesh, kind: Labels, rest: Rest) -> Surface:
    """What the body must fit into: the sides that face outwards, hair and hats left out."""
    counted = np.isin(kind, (SKIN, CLOTH, SHOE))
    used = np.unique(fine.faces[counted])
    normals = vertex_normals(fine.vertices, fine.faces)
    bare = np.ones(len(fine.vertices), bool)
    bare[fine.faces[kind != SKIN]] = False
    away = away_from_bones(fine.vertices[used].astype(float), rest.joints, fine.values[used])
    used = used[(away * normals[used]).sum(1) > 0]
    return Surface(fine.vertices[used].astype(float), normals[used].astype(float), bare[used])


def _layers(
    source: AvatarSource, fine: FineMesh, kind: Labels, vertices: Floats, slack: Floats, atlas: np.ndarray
) -> tuple[Layer, ...]:
    order = np.argsort(-fine.values, axis=1, kind="stable")[:, :4]
    weights = np.take_along_axis(fine.values, order, axis=1)
    weights /= weights.sum(1, keepdims=True)
    table = part_of_joint()
    shares = np.zeros((len(vertices), int(table.max()) + 1), np.float32)
    for number in range(shares.shape[1]):
        shares[:, number] = fine.values[:, table == number].sum(1)
    part = shares[fine.faces].sum(1).argmax(1).astype(np.uint8)
    layers = []
    for number, name in enumerate(KINDS):
        mine = np.flatnonzero(kind == number)
        if not len(mine):
            continue
        used, compact = np.unique(fine.faces[mine], return_inverse=True)
        layers.append(
            Layer(
                name if name != "skin" else "body",
                name,
                _ORDER[name],
                vertices[used],
                compact.reshape(-1, 3).astype(np.int32),
                fine.corner_uvs[mine],
                order[used].astype(np.uint16),
                weights[used],
                part[mine],
                slack[used] if number == CLOTH else np.zeros(len(used), np.float32),
                atlas,
                known=source.known,
                sheet=number in (CLOTH, HAIR, HAT),
                thickness_m=0.004 if number == HAIR else 0.003,
                finish=FINISHES[name],
            )
        )
    return tuple(sorted(layers, key=lambda layer: layer.order))
