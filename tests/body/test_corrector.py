"""The corrector: what it reads does not depend on the camera, and its file gives rotations and doubts in bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.blazepose import Region
from likeness.body.corrector import FEATURES, JOINTS, SIGMA, CorrectorNet, correct, from_six, seen_along
from likeness.body.landmarks import Landmarks
from likeness.body.model import load_default
from likeness.core.camera import Camera
from likeness.core.frames import rodrigues


def standing(camera: Camera, turn: np.ndarray) -> Landmarks:
    """Landmarks without a mistake of the default body, three metres away in the direction that `turn` (3, 3) gives."""
    model = load_default()
    pose = np.zeros((24, 3))
    pose[0, 0] = np.pi
    pose[16, 2], pose[17, 2] = -1.1, 1.1
    vertices, joints = model.posed(np.zeros(1), pose)
    points = model.blazepose_points(vertices.astype(np.float64), joints.astype(np.float64))
    world = points - points[[23, 24]].mean(axis=0)
    placed = (points - points[[11, 12, 23, 24]].mean(axis=0) + [0, 0, 3.0]) @ turn.T
    sure = np.ones(33, np.float32)
    pixels = camera.project(placed).astype(np.float32)
    depth = (world[:, 2] / 3.0 * camera.fx).astype(np.float32)
    region = Region(np.zeros(2), 1.0)
    return Landmarks(pixels, depth, sure, sure, world.astype(np.float32), 1.0, np.zeros(4), region, np.zeros((2, 2)))


def camera(focal: float) -> Camera:
    return Camera(focal, focal, 2000.0, 2000.0, 4001, 4001)


@settings(max_examples=20, deadline=None)
@given(st.floats(600, 3000), st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_input_depends_neither_on_focal_length_nor_on_place(focal: float, aside: float, aloft: float):
    sight = np.array([np.tan(aside), np.tan(aloft), 1.0])
    sight /= np.linalg.norm(sight)
    axis = np.cross([0, 0, 1.0], sight)
    length = float(np.linalg.norm(axis))
    turn = rodrigues(axis / max(length, 1e-12) * np.arcsin(length))
    middle, _ = seen_along(standing(camera(1000.0), np.eye(3)), camera(1000.0))
    found, found_turn = seen_along(standing(camera(focal), turn), camera(focal))
    assert found.shape == (FEATURES,)
    inside = slice(33 * 7, 33 * 8)
    kept = np.delete(np.arange(FEATURES), np.arange(FEATURES)[inside])
    assert found[kept] == pytest.approx(middle[kept], abs=2e-3)
    assert found_turn == pytest.approx(turn, abs=0.02)


def test_six_numbers_give_rotations():
    turns = from_six(torch.randn(50, 6, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(turns @ turns.transpose(1, 2), torch.eye(3).expand(50, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(turns), torch.ones(50), atol=1e-5)


def test_doubt_keeps_its_bounds_whatever_is_seen():
    net = CorrectorNet().eval()
    with torch.no_grad():
        log_sigma = net(torch.randn(40, FEATURES, generator=torch.Generator().manual_seed(1)) * 100)[1]
    assert log_sigma.min() >= np.log(SIGMA[0]) - 1e-5
    assert log_sigma.max() <= np.log(SIGMA[1]) + 1e-5


def test_standing_person_is_recognised_and_turns_with_the_picture():
    seen = standing(camera(1000.0), np.eye(3))
    guess = correct(seen, camera(1000.0))
    assert guess.swapped < 0.5
    up = rodrigues(guess.pose[0].astype(float)) @ np.array([0.0, 1.0, 0.0])
    assert np.degrees(np.arccos(-up[1])) < 15
    assert np.degrees(np.linalg.norm(guess.pose[[1, 2, 4, 5]], axis=1)).max() < 35
    assert guess.pose.shape == (24, 3)
    assert guess.sigma.shape == (JOINTS,)


def test_hidden_legs_are_less_sure():
    seen = standing(camera(1000.0), np.eye(3))
    trust = seen.visibility.copy()
    trust[25:] = 0.02
    blind = correct(replace(seen, visibility=trust), camera(1000.0))
    assert blind.sigma[[4, 5]].sum() > correct(seen, camera(1000.0)).sigma[[4, 5]].sum()
