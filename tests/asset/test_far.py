"""Guessed colours of the far side on the surface: where they go, that they leave no seam, and no second face."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("torch")

from likeness.asset.bake import Baked, bake
from likeness.asset.build import rest_body, unposed
from likeness.asset.far import far_side, marks_of, trusted, wanted
from likeness.asset.fill import RestBody
from likeness.asset.geometry import edges, vertex_normals
from likeness.surface.color.looks import MARKS
from likeness.surface.color.predict import FarSide

from .conftest import HAIR

GREEN = (20, 220, 60)


def painted(scene, far: FarSide | None) -> tuple[Baked, RestBody]:
    """The scene's texture with this guess of the far side."""
    body = rest_body(unposed(scene.surface, scene.model, scene.fit), scene.surface, scene.model, scene.fit)
    return bake(scene.capture, scene.surface.vertices, scene.surface.corner_uvs, body, far=far, size=128), body


@pytest.fixture(scope="module")
def plain(painted_scene: Callable):
    """The scene, its colours by rules, and its body."""
    scene = painted_scene(480, 0.0, True, 512)
    return scene, *painted(scene, None)


def test_what_looks_away_takes_the_guess_and_what_is_seen_keeps_the_picture(plain) -> None:
    scene, rules, body = plain
    color = np.broadcast_to(np.float32(GREEN), (480, 360, 3))
    baked, _ = painted(scene, FarSide(color, scene.capture.camera))
    points = scene.surface.vertices
    facing = np.einsum("vk,vk->v", vertex_normals(points, scene.surface.faces), -points)
    facing /= np.linalg.norm(points, axis=1)
    old, new = rules.vertex_colors.astype(float), baked.vertex_colors.astype(float)
    share = np.linalg.norm(new - old, axis=1) / np.linalg.norm(np.array(GREEN) - old, axis=1)
    asked = (wanted(body) > 0.99) & (body.regions[:, 0] < 0.01)
    behind = asked & (facing < -0.6)
    # Thin limbs are never far from what is seen, whence the guess fades in.
    assert behind.sum() > 50 and np.median(share[behind]) > 0.6 and share[behind].min() > 0.2
    # Hems, and hands that may be in their pockets, are the rules' matter; a collar's width fades.
    theirs = wanted(body) == 0
    assert theirs.any() and np.abs(new - old)[theirs].max() < 8
    shown = rules.visible > 0.99
    np.testing.assert_array_equal(baked.vertex_colors[shown], rules.vertex_colors[shown])
    np.testing.assert_array_equal(baked.visible, rules.visible)


def test_seen_and_guessed_meet_without_a_step(plain) -> None:
    """A guess that is wrong all over fades in: no edge carries more than a share of the difference."""
    scene, rules, body = plain
    color = np.broadcast_to(np.float32(GREEN), (480, 360, 3))
    baked, _ = painted(scene, FarSide(color, scene.capture.camera))
    edge = edges(body.faces)
    long = np.linalg.norm(body.positions[edge[:, 0]] - body.positions[edge[:, 1]], axis=1)
    seen = rules.visible > 0.5
    rim = (seen[edge[:, 0]] != seen[edge[:, 1]]) & (long < 0.02)
    assert rim.sum() > 100
    change = baked.vertex_colors.astype(float) - rules.vertex_colors
    assert np.abs(change[edge[rim, 0]] - change[edge[rim, 1]]).max(1).mean() < 8


def test_a_head_without_the_hair_that_the_rules_found_is_theirs(plain) -> None:
    _, baked, body = plain
    head = body.regions[:, 0]
    far, rules = np.ones(len(head)), np.full((len(head), 3), 60.0)
    for change, kept in ((-40, 1.0), (0, 1.0), (30, 0.0)):
        found = trusted(body, baked.visible, far, rules, rules + change)
        np.testing.assert_allclose(found, 1 - head * (1 - kept), atol=1e-6)
    # And of whoever looks away: nothing of the face is seen.
    unseen = np.where(body.cheeks > 0, 0, baked.visible)
    assert not trusted(body, unseen, far, rules, rules - 40).any()


def test_no_second_face_and_the_persons_own_colours(plain) -> None:
    """With the weights that ship: hair behind, and nothing of eyes, lips or the print."""
    scene, _, body = plain
    far = far_side(scene.capture, scene.model, scene.fit)
    baked, _ = painted(scene, far)
    colours = baked.vertex_colors.astype(float)
    x, y, z = body.positions.T
    nose = scene.model.rest(scene.fit.betas)[0][scene.model.landmark_vertices["nose"]]
    skull_z = z[body.skull > 0.9]
    middle = 0.5 * (skull_z.min() + skull_z.max())
    behind = (body.skull > 0.9) & (z < middle - 0.02) & (y > nose[1] + 0.05)
    assert behind.sum() > 50
    assert np.abs(np.median(colours[behind], axis=0) - HAIR).max() < 40
    # The eyes' green is on no other side of the head.
    greenish = (colours[:, 1] > colours[:, 0] + 5) & (body.skull > 0.9)
    assert greenish.any() and not greenish[z < middle].any()
    chest = (np.hypot(x, y - 0.3) < 0.05) & (z < -0.05) & (body.regions[:, 1] > 0.9)
    shirt = np.median(colours[chest], axis=0)
    assert shirt[0] > 130 and shirt[1] < 90, shirt
    again = far_side(scene.capture, scene.model, scene.fit)
    np.testing.assert_array_equal(far.color, again.color)


def test_marks_say_where_on_the_body(plain) -> None:
    scene, _, _ = plain
    marks = marks_of(scene.model, scene.fit.betas)
    assert marks.shape == (len(scene.surface.vertices), MARKS)
    np.testing.assert_allclose(marks[:, 3:].sum(1), 1, atol=1e-5)
    assert marks[:, 1].min() == pytest.approx(-0.5) and marks[:, 1].max() == pytest.approx(0.5)
    top, sole = marks[:, 1].argmax(), marks[:, 1].argmin()
    assert marks[top, 3] > 0.9 and marks[sole, 8] > 0.9
