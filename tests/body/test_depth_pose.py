"""Joints read off depth: the picture is a ruler, places come back whole, and the shipped file knows a body's sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.corrector import JOINTS
from likeness.body.depth_pose import (
    DEPTH_UNIT_M,
    MIRRORED,
    PIXEL_M,
    SIDE,
    DepthPoseNet,
    depth_picture,
    load_depth_pose,
    read_depth,
)
from likeness.body.fit_guess import add_joints, state_of_depth
from likeness.body.fit_pairs import fit_points
from likeness.body.fit_system import System
from likeness.body.model import load_default
from likeness.core.camera import Camera
from likeness.core.frames import axis_angle, rodrigues
from likeness.synthesis.raster import project, rasterize
from likeness.synthesis.view import View

RADIUS = 0.5


def ball(camera: Camera, centre: np.ndarray) -> np.ndarray:
    """Depth (H, W) m of a ball of RADIUS, 0 beside it: a closed form."""
    rays = camera.backproject(np.ones((camera.height, camera.width), np.float32)).astype(float)
    a, b = np.square(rays).sum(-1), rays @ centre
    root = np.square(b) - a * (centre @ centre - RADIUS**2)
    return np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, 0).astype(np.float32)


@settings(max_examples=10, deadline=None)
@given(st.floats(250, 700), st.floats(-0.8, 0.8), st.floats(-0.5, 0.5), st.floats(2.0, 4.0))
def test_picture_measures_places_in_metres(focal: float, x: float, y: float, z: float):
    camera = Camera(focal, focal, 319.5, 239.5, 640, 480)
    centre = np.array([x, y, z])
    depth = ball(camera, centre)
    picture = depth_picture(depth, depth > 0, camera)
    assert picture is not None
    relative, known, person, inside = picture.channels
    assert known.sum() > 300 and (person >= known).all() and (inside >= person).all()
    row, column = np.nonzero(known)
    ahead = DEPTH_UNIT_M * relative[row, column] + picture.distance_m
    across = (np.stack([column, row], axis=1) - (SIDE - 1) / 2) * PIXEL_M / picture.distance_m * ahead[:, None]
    points = np.concatenate([across, ahead[:, None]], axis=1) @ picture.turn.T
    away = np.linalg.norm(points - centre, axis=1) - RADIUS
    # A capture's pixel is up to 16 mm wide there, and steep readings move with it.
    assert abs(np.median(away)) < 0.004 and np.percentile(np.abs(away), 90) < 0.02


class Told(torch.nn.Module):
    """A network that says joints (22, 3) and turns (22, 3, 3) in its own picture, and their mirror images."""

    def __init__(self, joints: np.ndarray, turns: np.ndarray) -> None:
        super().__init__()
        across = np.array([-1.0, 1.0, 1.0])
        self.joints = torch.from_numpy(np.stack([joints, joints[MIRRORED] * across]))
        # Mirrored rotation vectors: (x, -y, -z).
        other = rodrigues(axis_angle(turns[MIRRORED]) * -across)
        self.turns = torch.from_numpy(np.stack([turns, other]))

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        assert torch.equal(picture[0], picture[1].flip(2))
        return self.joints, torch.zeros(2, JOINTS), self.turns, torch.zeros(2, JOINTS), torch.zeros(2)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_joints_come_back_where_they_stand(seed: int):
    rng = np.random.default_rng(seed)
    camera = Camera(400.0, 400.0, 319.5, 239.5, 640, 480)
    centre = rng.uniform([-0.6, -0.4, 2.5], [0.6, 0.4, 4.0])
    depth = ball(camera, centre)
    picture = depth_picture(depth, depth > 0, camera)
    assert picture is not None
    joints = centre + rng.uniform(-0.8, 0.8, (JOINTS, 3))
    local = joints @ picture.turn
    told = np.concatenate([local[:, :2] / local[:, 2:] * picture.distance_m, local[:, 2:] - picture.distance_m], axis=1)
    turns = rodrigues(rng.normal(0, 1, (JOINTS, 3)))
    found = read_depth(depth, depth > 0, camera, Told(told, turns))
    assert found is not None
    assert found.joints == pytest.approx(joints, abs=1e-6)
    assert rodrigues(found.pose[0].astype(float)) == pytest.approx(picture.turn @ turns[0], abs=1e-5)
    assert rodrigues(found.pose[1:JOINTS].astype(float)) == pytest.approx(turns[1:], abs=1e-5)


def test_too_few_readings_say_nothing():
    camera = Camera(400.0, 400.0, 31.5, 23.5, 64, 48)
    depth = np.zeros((48, 64), np.float32)
    depth[10, :20] = 2.0
    assert read_depth(depth, depth > 0, camera) is None


def standing(yaw: float) -> tuple[np.ndarray, np.ndarray, Camera]:
    """Depth of the bare default body with its arms half down, turned about, and its joints (22, 3) m."""
    model = load_default("smplh")
    pose = np.zeros((52, 3))
    pose[16, 2], pose[17, 2], pose[4, 0] = -0.9, 0.6, 0.5
    vertices, joints = model.posed(np.zeros(1), pose)
    turn = rodrigues(np.array([np.pi, 0.0, 0.0])) @ rodrigues(np.array([0.0, yaw, 0.0]))
    place = np.array([0.2, 0.0, 3.0]) - turn @ joints[0]
    camera = Camera(300.0, 300.0, 159.5, 159.5, 320, 320)
    view = View(camera, np.eye(4))
    points = torch.from_numpy((vertices @ turn.T + place).astype(np.float32))
    seen = rasterize(project(points, [view]), torch.from_numpy(model.faces.astype(np.int64)), 320, 320)
    near = seen.nearness[0].numpy()
    return np.where(near > 0, 1 / np.maximum(near, 1e-6), 0).astype(np.float32), joints[:22] @ turn.T + place, camera


@pytest.mark.parametrize("yaw", [0.0, 0.8, np.pi, 4.2])
def test_shipped_network_reads_a_body_from_all_sides(yaw: float):
    depth, joints, camera = standing(yaw)
    found = read_depth(depth, depth > 0, camera)
    assert found is not None
    miss = np.linalg.norm(found.joints - joints, axis=1)
    assert miss.mean() < 0.06
    # A network with its weights shuffled would be sure of nothing, or wrong.
    assert np.median(found.sigma_m) < 0.06 and found.child < 0.5


def test_shuffled_network_reads_nothing():
    depth, joints, camera = standing(0.0)
    net = DepthPoseNet()
    net.load_state_dict(load_depth_pose().state_dict())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for values in net.parameters():
            values.copy_(values.flatten()[torch.randperm(values.numel(), generator=generator)].view(values.shape))
    found = read_depth(depth, depth > 0, camera, net.eval())
    assert found is not None
    assert np.linalg.norm(found.joints - joints, axis=1).mean() > 0.2


def test_joint_energy_has_the_right_slope():
    depth, _, camera = standing(0.8)
    guess = read_depth(depth, depth > 0, camera)
    assert guess is not None
    points = fit_points(load_default("smplh"))
    rng = np.random.default_rng(1)
    state = state_of_depth(guess, points)

    def system_at(step: np.ndarray) -> System:
        system = System(points.betas_count)
        add_joints(system, points.posed(state.moved(step)), guess, 0.7)
        return system

    at = system_at(np.zeros(len(System(points.betas_count).scale)))
    step = rng.normal(0, 1e-5, len(at.gradient))
    apart = system_at(step).energy - system_at(-step).energy
    # Robust weights are held still in the gradient of a Gauss-Newton step, hence no equality.
    assert np.sign(apart) == np.sign(at.gradient @ step)
    assert np.linalg.norm(points.posed(state).places[:22] - guess.joints, axis=1).mean() < 0.08
