"""Avatars dressed as people: skeleton, proportions, layers, folds, the body beneath and the words."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise

import igl
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.model import load_default
from likeness.core.errors import LikenessError
from likeness.core.frames import rodrigues
from likeness.core.skinning import joint_transforms, skin
from likeness.synthesis.avatar_folds import draw_waves, rising
from likeness.synthesis.avatar_mesh import refine
from likeness.synthesis.avatar_palette import PALETTE, sentence
from likeness.synthesis.avatar_parts import clean_borders
from likeness.synthesis.avatar_rest import (
    CROWN_M,
    Proportions,
    Rest,
    bare_stature,
    draw_proportions,
    reshape,
    t_pose,
)
from likeness.synthesis.avatars import avatar_recipe, dress_avatar, dress_avatar_recipe
from likeness.synthesis.figure import KINDS, Dressed, Layer, concatenated
from likeness.synthesis.limbs import PARENTS
from likeness.synthesis.pack import Pack, load_pack
from scipy.spatial import Delaunay
from skimage.color import rgb2lab

COAT, SKIRT, TROUSERS, CHILD = "Medical_Male_03", "Female_Adult_15", "Male_Adult_11", "Female_Child_01"


@cache
def pack() -> Pack:
    try:
        return load_pack()
    except LikenessError:
        pytest.skip("the people pack is not here")


@cache
def dressed(name: str, seed: int = 7) -> Dressed:
    return dress_avatar(pack(), name, np.random.default_rng(seed))


@cache
def rest(name: str) -> Rest:
    return t_pose(pack().avatar(name))


def layer(person: Dressed, kind: str) -> Layer:
    return next(layer for layer in person.layers if layer.kind == kind)


def test_refining_a_ball_brings_it_nearer_to_the_sphere_and_keeps_it_closed() -> None:
    ball = trimesh.creation.icosphere(1, 0.1)
    uvs = ball.vertices[ball.faces][..., :2]
    fine = refine(ball.vertices, ball.faces, uvs, ball.vertices, 0.02)
    after = trimesh.Trimesh(fine.vertices, fine.faces, process=False)
    assert after.is_watertight and after.is_winding_consistent
    assert np.allclose(fine.vertices[: len(ball.vertices)], ball.vertices, atol=1e-7)
    radius = np.linalg.norm(fine.vertices, axis=1)
    flat = np.linalg.norm(fine.values, axis=1)
    assert np.abs(radius - 0.1).max() < 0.2 * np.abs(flat - 0.1).max()
    assert after.edges_unique_length.max() <= 0.02 + 1e-3
    # Values and corner UVs stay linear, so they still agree.
    assert np.abs(fine.values[fine.faces][..., :2] - fine.corner_uvs).max() < 1e-6


def test_refining_a_plane_keeps_it_and_its_area() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.random((40, 2)), [[0, 0], [0, 1], [1, 0], [1, 1]]])
    faces = Delaunay(points).simplices
    flat = np.c_[points, np.zeros(len(points))]
    fine = refine(flat, faces, points[faces], flat, 0.15)
    corner = fine.vertices[fine.faces]
    area = np.abs(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])[:, 2]).sum() / 2
    assert area == pytest.approx(1, abs=1e-5) and np.abs(fine.vertices[:, 2]).max() < 1e-7


def test_the_rest_pose_is_a_t() -> None:
    person = dressed(TROUSERS)
    joints = person.joints
    for chain, axis, sign in (
        ((16, 18, 20, 25), 0, 1),
        ((17, 19, 21, 40), 0, -1),
        ((1, 4, 7), 1, -1),
        ((2, 5, 8), 1, -1),
    ):
        for joint, tip in pairwise(chain):
            bone = joints[tip] - joints[joint]
            assert sign * bone[axis] / np.linalg.norm(bone) > 1 - 1e-6
    assert np.abs(joints[0]).max() < 1e-6
    assert joints[15, 1] > joints[12, 1] > joints[9, 1] > 0 > joints[7, 1]


def test_layers_keep_their_contract() -> None:
    person = dressed(COAT)
    parts = len(load_default(layout="smplh").part_names)
    assert {"skin", "eye", "hair", "cloth", "shoe"} <= {layer.kind for layer in person.layers}
    for part in person.layers:
        count, faces = len(part.vertices), len(part.faces)
        assert part.kind in KINDS and part.faces.max() == count - 1 and part.faces.min() == 0
        assert part.vertices.dtype == np.float32 and part.skin_joints.dtype == np.uint16
        assert part.corner_uvs.shape == (faces, 3, 2) and part.part.shape == (faces,) and part.part.max() < parts
        assert np.abs(part.skin_weights.sum(1) - 1).max() < 1e-5 and part.skin_joints.max() < 52
        assert np.isfinite(part.vertices).all() and ((part.slack >= 0) & (part.slack <= 1)).all()
        assert part.known is not None and part.known.shape == part.color.shape[:2]
    assert np.isfinite(person.body).all() and person.body.shape == load_default().v_template.shape
    json.dumps(person.recipe)


def test_a_recipe_makes_the_same_person_and_draws_differ() -> None:
    recipe = avatar_recipe(pack(), np.random.default_rng(1), "val")
    assert recipe["avatar"] in pack().split.names("avatar", "val")
    one = dressed(TROUSERS)
    again = dress_avatar_recipe(pack(), json.loads(json.dumps(one.recipe)))
    for a, b in zip(one.layers, again.layers, strict=True):
        assert (a.vertices == b.vertices).all() and (a.color == b.color).all()
    assert again.caption == one.caption and (again.body == one.body).all()
    # The same body in other folds: they differ by millimetres where there is cloth, nowhere on skin.
    proportions = Proportions(**one.recipe["proportions"])
    other = dress_avatar(pack(), TROUSERS, np.random.default_rng(99), proportions=proportions)
    moved = np.linalg.norm(layer(one, "cloth").vertices - layer(other, "cloth").vertices, axis=1)
    assert np.quantile(moved, 0.9) > 0.002 and moved.max() < 0.03
    assert (layer(one, "skin").vertices == layer(other, "skin").vertices).all()


@given(st.floats(1.5, 2.0), st.floats(0.9, 1.2), st.floats(0.95, 1.05), st.floats(0.95, 1.05))
@settings(max_examples=15, deadline=None)
def test_reshaping_reaches_the_stature(stature: float, girth: float, legs: float, head: float) -> None:
    shaped = reshape(rest(COAT), Proportions(stature, legs=legs, girth=girth, hips=girth**0.5, head=head))
    size = np.linalg.norm(shaped.joints[18] - shaped.joints[16]) / np.linalg.norm(
        rest(COAT).joints[18] - rest(COAT).joints[16]
    )
    reached = shaped.joints[15, 1] + CROWN_M * head * size - shaped.vertices[:, 1].min()
    assert reached == pytest.approx(stature, abs=1e-9)
    bone = shaped.joints[[4, 5]] - shaped.joints[[1, 2]]
    assert np.abs(bone[:, [0, 2]]).max() < 1e-9 and np.isfinite(shaped.vertices).all()


def test_the_own_proportions_change_nothing() -> None:
    original = rest(COAT)
    same = reshape(original, Proportions(bare_stature(original)))
    assert np.abs(same.vertices - original.vertices).max() < 1e-6


def test_children_stay_children_and_statures_vary() -> None:
    rng = np.random.default_rng(0)
    child = [draw_proportions(rest(CHILD), True, True, rng).stature_m for _ in range(50)]
    women = [draw_proportions(rest(SKIRT), True, False, rng).stature_m for _ in range(50)]
    assert max(child) <= 1.55 and min(child) >= 1.18 and 1.55 < np.mean(women) < 1.75 and np.std(women) > 0.04
    drawn = dressed(CHILD)
    bare = [layer.vertices for layer in drawn.layers if layer.kind in ("skin", "shoe", "hair")]
    height = max(v[:, 1].max() for v in bare) - min(v[:, 1].min() for v in bare)
    assert height == pytest.approx(drawn.recipe["proportions"]["stature_m"], abs=0.05)


def test_a_skirt_hangs_and_trousers_do_not() -> None:
    skirt, trousers = layer(dressed(SKIRT), "cloth"), layer(dressed(TROUSERS), "cloth")
    hip, knee = dressed(SKIRT).joints[1, 1], dressed(SKIRT).joints[4, 1]
    hem = np.abs(skirt.vertices[:, 1] - (knee + 0.12)) < 0.05
    assert np.median(skirt.slack[hem]) > 0.5 and not skirt.slack[skirt.vertices[:, 1] > hip + 0.05].any()
    assert not trousers.slack.any()
    assert layer(dressed(COAT), "cloth").slack.max() > 0.5


def test_posing_keeps_nearly_all_edges() -> None:
    person = dressed(TROUSERS)
    pose = np.zeros((52, 3))
    pose[16], pose[17] = (0, 0.2, -1.1), (0, -0.2, 1.1)
    pose[18], pose[1], pose[4], pose[5] = (0, -0.6, 0), (-0.6, 0, 0), (0.7, 0, 0), (0.3, 0, 0)
    moves = joint_transforms(rodrigues(pose), person.joints.astype(float), PARENTS)
    ratios = []
    for part in person.layers:
        moved = skin(part.vertices, part.skin_joints, part.skin_weights, moves)
        edges = igl.edges(part.faces)
        before = np.linalg.norm(part.vertices[edges[:, 0]] - part.vertices[edges[:, 1]], axis=1)
        after = np.linalg.norm(moved[edges[:, 0]] - moved[edges[:, 1]], axis=1)
        ratios.append(after / np.maximum(before, 1e-5))
        assert after.max() < 0.12
    ratio = np.concatenate(ratios)
    assert ((ratio > 0.4) & (ratio < 2.5)).mean() > 0.997


def test_the_body_lies_under_the_cloth_and_meets_bare_skin() -> None:
    person = dressed(TROUSERS)
    vertices, faces, owner = concatenated(part for part in person.layers if part.kind in ("skin", "cloth", "shoe"))
    kinds = [part.kind for part in person.layers if part.kind in ("skin", "cloth", "shoe")]
    body = person.body.astype(float)
    squared, face, near = igl.point_mesh_squared_distance(body, vertices.astype(float), faces.astype(np.int64))
    corner = vertices[faces[face]].astype(float)
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    outside = ((body - near) * normal).sum(1) > 0
    covered = np.array([kinds[number] == "cloth" for number in owner])[face]
    assert (outside & covered & (squared > 0.003**2)).mean() < 0.01
    head = np.flatnonzero(load_default(layout="smplh").weights[:, 15] > 0.95)
    assert np.median(np.sqrt(squared[head])) < 0.006
    assert np.abs(person.betas).max() < 4


def test_dyed_garments_have_the_colour_that_the_caption_says() -> None:
    changed = 0
    for seed in range(6):
        person = dressed("Business_Male_06", seed)
        words = person.caption.split("wearing ")[1].split(", ")
        cloth = layer(person, "cloth")
        for word, parts in ((words[0], (2, 3, 6)), (words[1], (9, 12))):
            color = word.rsplit(" ", 1)[0]
            if color in ("white", "black"):
                continue
            uv = cloth.corner_uvs[np.isin(cloth.part, parts)].mean(1)
            size = cloth.color.shape[0]
            texel = cloth.color[((1 - uv[:, 1]) * size).astype(int), (uv[:, 0] * size).astype(int)]
            found = np.median(rgb2lab(texel[None] / 255.0)[0], 0)
            want = rgb2lab(np.array(PALETTE[color])[None] / 255.0)[0]
            assert np.linalg.norm(found - want) < 18, (seed, word)
            changed += 1
    assert changed >= 3


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ("female adult, black abaya, face visible", "A woman wearing black abaya, face visible"),
        ("firefighter, yellow helmet with visor", "A firefighter wearing yellow helmet"),
        ("older male adult, dark waistcoat, bald", "An older man wearing dark waistcoat, bald"),
        ("girl, red shirt, blonde ponytail", "A girl wearing red shirt, with blonde ponytail"),
    ],
)
def test_captions_become_sentences(listed: str, said: str) -> None:
    assert sentence(listed) == said


def test_both_sides_of_cloth_rise_together() -> None:
    away = np.array([[1.0, 0, 0], [1, 0, 0], [1, 0, 0]])
    normals = np.array([[1.0, 0, 0], [-1, 0, 0], [0, -1, 0]])
    assert np.allclose(rising(normals, away), away)
    waves = draw_waves(np.random.default_rng(0), (0.05, 0.1), np.ones(3))
    values = waves.at(np.random.default_rng(1).random((20000, 3)))
    assert abs(values.mean()) < 0.05 and values.std() == pytest.approx(1, abs=0.1)


def test_lone_triangles_join_their_neighbours() -> None:
    faces = np.array([[0, 1, 2], [1, 3, 2], [2, 3, 4], [0, 2, 4]])
    assert (clean_borders(np.array([4, 0, 4, 4]), faces) == 4).all()
