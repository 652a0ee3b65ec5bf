"""Readings on skirts and bags are left out, readings on the body and its clothes stay, and doubt widens both."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from likeness.body.corrector import JOINTS
from likeness.body.depth_pose import DepthPose
from likeness.body.fit_loose import LOOSE_M, without_loose
from likeness.body.fit_observe import Evidence
from likeness.body.fit_pairs import fit_points
from likeness.body.fit_points import Posed, State
from likeness.body.model import load_default
from likeness.core.camera import Camera

CAMERA = Camera(500.0, 500.0, 319.5, 319.5, 640, 640)
ANKLES, KNEES = [7, 8], [4, 5]


@cache
def standing() -> Posed:
    points = fit_points(load_default())
    flip = np.diag([1.0, -1.0, -1.0])
    return points.posed(State(flip, np.zeros((JOINTS, 3)), np.array([0, 0, 3.0]), np.zeros(points.betas_count)))


def seen(sigma_m: float | np.ndarray = 0.005) -> DepthPose:
    joints = standing().places[:JOINTS]
    sigma = np.broadcast_to(np.asarray(sigma_m, float), JOINTS)
    return DepthPose(joints, sigma, np.zeros((24, 3), np.float32), np.full(JOINTS, 0.1), 0.0)


def evidence(cloud: np.ndarray, contour: np.ndarray) -> Evidence:
    nothing = np.zeros((33, 2), np.float32)
    return Evidence(
        CAMERA, nothing, nothing[:, 0], np.zeros((33, 3)), nothing[:, 0], cloud.astype(np.float32),
        np.tile(np.array([0, 0, -1], np.float32), (len(cloud), 1)), np.zeros((8, 8)), 80.0,
        contour.astype(np.float32), np.array([0, -1, 0], np.float32),
    )  # fmt: skip


def kept(cloud: np.ndarray, doubt: DepthPose) -> int:
    return len(without_loose(evidence(cloud, CAMERA.project(cloud)), standing(), doubt).cloud)


def on_skin(off_m: float) -> np.ndarray:
    posed = standing()
    return posed.vertices[::7] + off_m * posed.normals[::7]


def skirt(radius_m: float) -> np.ndarray:
    """A cone's front at the height of the shins, about the middle between the ankles."""
    knees, ankles = standing().places[KNEES].mean(0), standing().places[ANKLES].mean(0)
    turn, down = np.meshgrid(np.linspace(-1.2, 1.2, 15), np.linspace(0.2, 0.8, 5))
    around = np.stack([np.sin(turn), np.zeros_like(turn), -np.cos(turn)], axis=-1)
    return (knees + down[..., None] * (ankles - knees) + radius_m * around).reshape(-1, 3)


def test_skin_and_thin_clothes_stay_whole():
    for off in (0.0, 0.02):
        cloud = on_skin(off)
        told = without_loose(evidence(cloud, CAMERA.project(cloud)), standing(), seen())
        assert len(told.cloud) == len(told.normals) == len(cloud)
        assert len(told.contour) == len(cloud)


def test_a_wide_skirt_is_left_out_and_the_body_beside_it_stays():
    cloud = np.concatenate([on_skin(0.01), skirt(0.45)])
    told = without_loose(evidence(cloud, CAMERA.project(cloud)), standing(), seen())
    np.testing.assert_array_equal(told.cloud, on_skin(0.01).astype(np.float32))


def test_doubt_about_the_legs_keeps_what_may_be_legs():
    doubt = np.full(JOINTS, 0.005)
    doubt[[4, 5, 7, 8, 10, 11]] = 0.6
    cloud = np.concatenate([on_skin(0.01), skirt(0.45)])
    assert kept(cloud, seen()) == len(on_skin(0.01))
    assert kept(cloud, seen(doubt)) == len(cloud)


def test_a_body_that_is_somewhere_else_tells_nothing():
    elsewhere = on_skin(0.0) + np.array([1.0, 0, 0])
    assert kept(elsewhere, seen()) == len(elsewhere)


def test_edges_count_in_metres_at_the_bodys_distance():
    posed = standing()
    right = posed.vertices[posed.vertices[:, 0].argmax()]
    per_px = right[2] / CAMERA.fx
    pixel = CAMERA.project(right[None])[0]
    for off, stays in ((0.5 * LOOSE_M, True), (3 * LOOSE_M, False)):
        beside = (pixel + np.array([off / per_px, 0]))[None]
        told = without_loose(evidence(on_skin(0.0), beside), standing(), seen(0.001))
        assert (len(told.contour) == 1) == stays


def test_nothing_at_all_is_no_trouble():
    told = without_loose(evidence(np.zeros((0, 3)), np.zeros((0, 2))), standing(), seen())
    assert len(told.cloud) == len(told.contour) == 0


@pytest.mark.parametrize("off", [0.5, 1.5])
def test_limit_is_where_it_says(off: float):
    """Far from all edges, on the chest, the distance from the nearest vertex is the height above the skin."""
    posed = standing()
    chest = posed.places[9]
    row = np.linalg.norm(posed.vertices - (chest - [0, 0, 0.12]), axis=1).argmin()
    point = posed.vertices[row] + off * LOOSE_M * np.array([0, 0, -1.0])
    assert kept(np.concatenate([on_skin(0.0), point[None]]), seen(1e-6)) == len(on_skin(0.0)) + (off < 1)
