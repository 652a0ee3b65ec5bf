"""The floor under a fit: derivatives, flat soles, lifted feet, and which way is up."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.fit_floor import add_balance, add_camera_prior, add_floor, floored, upright
from likeness.body.fit_pairs import fit_points
from likeness.body.fit_points import BETAS, FLOOR, PLACE, POSE, TURN, State, unknowns
from likeness.body.fit_system import System, minimise
from likeness.body.model import product_body
from likeness.core.frames import rodrigues

UPRIGHT = rodrigues(np.array([np.pi, 0.0, 0.0]))


@pytest.fixture(scope="module")
def points():
    return fit_points(product_body())


def evidence(trust: float = 1.0, up: tuple[float, float, float] = (0.0, -1.0, 0.0)):
    return SimpleNamespace(up=np.array(up), trust=np.full(33, trust))


def standing(points, joints: dict[int, tuple[float, float, float]] | None = None, turn: np.ndarray = UPRIGHT) -> State:
    """Somebody who stands 3 m before the camera, some joints turned."""
    pose = np.zeros((22, 3))
    for joint, turned in (joints or {}).items():
        pose[joint] = turned
    return State(turn, pose, np.array([0.0, 0.4, 3.0]), np.zeros(points.betas_count))


def energy_of(points, seen, state: State, *, energy_only: bool = False) -> System:
    system = System(points.betas_count, energy_only=energy_only)
    add_floor(system, seen, points.posed(state), 2.0)
    add_camera_prior(system, state, 1.0)
    return system


def test_soles_are_the_lowest_of_the_body_and_mirror_each_other(points):
    places = product_body().v_template[points.vertices[points.sole_rows]]
    assert places[:, 1].max() < product_body().v_template[:, 1].min() + 0.01
    np.testing.assert_allclose(places[:3] * [-1, 1, 1], places[3:], atol=1e-3)
    assert (places[[1, 2, 4, 5], 2] > places[[0, 0, 3, 3], 2] + 0.1).all()


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000))
def test_derivatives_are_those_of_small_steps(points, seed):
    rng = np.random.default_rng(seed)
    seen = evidence(0.8, tuple(rodrigues(0.2 * rng.normal(size=3)) @ [0, -1, 0]))
    state = standing(points, {j: tuple(0.1 * rng.normal(size=3)) for j in (1, 2, 4, 5, 7, 8)})
    state = floored(seen, points.posed(state))
    state = replace(state, floor=state.floor + 0.05 * rng.normal(size=3))
    gradient = energy_of(points, seen, state).gradient
    # Skinning is float32 and its correctives are held, so the pose's own numbers are checked with the points.
    for number in (*range(TURN.start, TURN.stop), *range(PLACE.start, PLACE.stop), *range(100, 103)):
        step = np.zeros(unknowns(points.betas_count))
        step[number] = 1e-4
        ahead, behind = (energy_of(points, seen, state.moved(s * step), energy_only=True).energy for s in (1, -1))
        assert gradient[number] == pytest.approx((ahead - behind) / 2e-4, rel=0.03, abs=0.3)


def test_feet_that_stand_askew_are_put_flat(points):
    seen = evidence()
    state = standing(points, {7: (0.12, 0.0, 0.1), 8: (-0.1, 0.0, -0.08)})
    state = floored(seen, points.posed(state))
    fixed = np.ones(unknowns(points.betas_count), bool)
    fixed[POSE.start + 18 : POSE.start + 24] = False
    fixed[FLOOR] = False
    # Ankles are joints 7 and 8; POSE begins at joint 1.
    settled, _ = minimise(lambda s, only: energy_of(points, seen, s, energy_only=only), state, 25, lambda: None, fixed)

    def unevenness(state: State) -> float:
        posed = points.posed(state)
        return float(np.ptp(posed.vertices[posed.points.sole_rows] @ upright(seen, state)))

    assert unevenness(state) > 0.015
    assert unevenness(settled) < 0.003


def test_a_lifted_foot_is_let_go_and_an_unseen_one_says_nothing(points):
    lifted = floored(evidence(), points.posed(standing(points, {2: (-0.8, 0.0, 0.0), 5: (1.4, 0.0, 0.0)})))
    pull = energy_of(points, evidence(), lifted).gradient
    askew = floored(evidence(), points.posed(standing(points, {8: (-0.1, 0.0, -0.08)})))
    knee = slice(POSE.start + 12, POSE.start + 15)
    assert np.abs(pull[knee]).max() < 0.1 * np.abs(energy_of(points, evidence(), askew).gradient[knee]).max()
    blind = energy_of(points, evidence(0.0), askew)
    assert not blind.gradient[POSE].any() and not blind.gradient[BETAS].any()


def test_a_camera_that_looks_down_is_told_by_whoever_stands_before_it(points):
    """Balanced over flat feet, with the camera at the height of a chest: up leads from the soles to the head."""
    down = 0.2
    tilt = rodrigues(np.array([-down, 0.0, 0.0]))
    true_up = tilt @ np.array([0.0, -1.0, 0.0])
    seen = evidence()
    state = standing(points, turn=tilt @ UPRIGHT)
    state = floored(seen, points.posed(replace(state, translation=tilt @ np.array([0.0, 0.4, 3.0]))))
    rows = np.arange(0, len(points.vertices), 10)
    fixed = np.ones(unknowns(points.betas_count), bool)
    fixed[FLOOR] = False

    def build(state: State, energy_only: bool) -> System:
        system = energy_of(points, seen, state, energy_only=energy_only)
        add_balance(system, seen, points.posed(state), rows, 6.0)
        return system

    settled, _ = minimise(build, state, 25, lambda: None, fixed)
    assert np.degrees(np.arccos(upright(seen, state) @ true_up)) > 11
    assert np.degrees(np.arccos(upright(seen, settled) @ true_up)) < 4
