"""Colours for what the picture does not show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from likeness.asset.bake import bake
from likeness.asset.build import rest_body, unposed
from likeness.asset.fill import read_profiles
from likeness.asset.limbs import REGIONS
from likeness.asset.photo import read_photo

from .conftest import SKIN


def test_a_large_print_stays_in_front(painted_scene: Callable) -> None:
    """Two thirds of the chest wide, 24 cm high: the back continues the sides."""
    scene = painted_scene(480, 0.0, True, 512, 0.12)
    body = rest_body(unposed(scene.surface, scene.model, scene.fit), scene.surface, scene.model, scene.fit)
    uvs = scene.surface.corner_uvs
    baked = bake(scene.capture, scene.surface.vertices, uvs, body, size=256).vertex_colors.astype(int)
    x, y, z = body.positions.T
    chest = (np.hypot(x, y - 0.3) < 0.1) & (body.regions[:, 1] > 0.9)
    front, back = (np.median(baked[chest & side], axis=0) for side in (z > 0.05, z < -0.05))
    assert front[1] > 150 and back[1] < 80, (front, back)


def test_hands_that_nobody_saw_are_of_the_faces_colour(painted_scene: Callable) -> None:
    """Blue sleeves down to the wrists and no pixel of a hand."""
    scene = painted_scene(480, 0.0, True, 512, 0.12)
    body = rest_body(unposed(scene.surface, scene.model, scene.fit), scene.surface, scene.model, scene.fit)
    photo = read_photo(scene.capture, scene.surface.vertices, body.faces, body.regions, body.cheeks)
    region = np.where(photo.face >= 0, body.regions[body.faces].sum(1).argmax(1)[np.maximum(photo.face, 0)], -1)
    arms, hands = (np.isin(region, [REGIONS.index(f"{s}_{p}") for s in ("left", "right")]) for p in ("arm", "hand"))
    assert arms.sum() > 500 and hands.sum() > 100
    blue = np.where(arms[..., None], np.uint8([20, 40, 200]), photo.color)
    found = read_profiles(replace(photo, color=blue, trust=np.where(hands, 0, photo.trust)), body)
    wrist, elbow = (np.abs(scene.model.rest(scene.fit.betas)[1][j, 0]) for j in (20, 18))
    for side in ("left", "right"):
        place = np.array([[wrist + 0.08, 0, 0], [elbow, 0, 0]])
        hand, arm = found.at(place, np.eye(len(REGIONS))[[REGIONS.index(f"{side}_{p}") for p in ("hand", "arm")]])
        assert np.abs(hand - SKIN).max() < 25 and np.abs(arm - [20, 40, 200]).max() < 5
    sleeve = found.at(np.array([[0.97 * wrist, 0, 0]]), np.eye(len(REGIONS))[[REGIONS.index("left_arm")]])[0]
    assert sleeve[2] > sleeve[0] + 100
