"""The focal length that perspective and usual cameras agree on: closed forms of the posterior."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from likeness.body import fit_focal
from likeness.body.fit_focal import LOG_RATIOS, likely, moved_away, refocused
from likeness.body.fit_points import State
from likeness.core.camera import Camera

FLAT = np.zeros(len(LOG_RATIOS))


def camera_of(share):
    return Camera(share * 1000, share * 1000, 399.5, 499.5, 800, 1000)


def test_priors_decide_where_energies_are_silent():
    # The size in the picture is fixed, so the distance follows the focal length: a product of two normals.
    weights = np.array([fit_focal.FOCAL_SPREAD, fit_focal.DISTANCE_SPREAD]) ** -2.0
    usual = fit_focal.USUAL_DISTANCE_M * np.exp(LOG_RATIOS)
    share, expected = 0.9 * fit_focal.USUAL_FOCAL, -np.log(0.9) * weights[0] / weights.sum()
    mean, spread = likely(camera_of(share), FLAT, usual)
    assert mean == pytest.approx(expected, abs=0.05)
    assert spread == pytest.approx(weights.sum() ** -0.5, abs=0.06)


def test_a_sharp_energy_decides_alone():
    mean, spread = likely(camera_of(1.2), 400 * (LOG_RATIOS - LOG_RATIOS[5]) ** 2, np.full(len(LOG_RATIOS), 2.0))
    assert mean == pytest.approx(LOG_RATIOS[5], abs=1e-3) and spread < 0.03


@given(st.floats(0.3, 4.0), st.floats(0.5, 20.0), st.floats(-1e6, 1e6))
def test_the_answer_stays_among_the_tries_whatever_the_energies_level(share, distance, level):
    distances = distance * np.exp(LOG_RATIOS)
    found = likely(camera_of(share), FLAT, distances)
    assert LOG_RATIOS[0] <= found[0] <= LOG_RATIOS[-1]
    assert np.allclose(likely(camera_of(share), FLAT + level, distances), found, atol=1e-6)


def test_a_body_moved_with_its_camera_keeps_its_size_in_the_picture():
    camera, pelvis = camera_of(1.2), np.array([0.3, -0.2, 2.5])
    state = State(np.eye(3), np.zeros((22, 3)), np.array([0.3, 0.7, 2.5]), np.zeros(10))
    moved = moved_away(state, pelvis, 0.4)
    other = pelvis + moved.translation - state.translation
    assert np.allclose(refocused(camera, 0.4).fx / other[2], camera.fx / pelvis[2])
    assert np.allclose(refocused(camera, 0.4).project(other[None]), camera.project(pelvis[None]))
