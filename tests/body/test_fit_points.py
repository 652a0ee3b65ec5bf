"""The fit's own skinning and solver against the body model, finite differences and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from likeness.body.fit_cloth import Cloth
from likeness.body.fit_pairs import spread_vertices, vertex_normals
from likeness.body.fit_points import BodyPoints, State, unknowns, wrapped
from likeness.body.fit_system import System, minimise
from likeness.body.lbs import with_landmarks
from likeness.body.model import product_body
from likeness.core.frames import rodrigues

BETAS = 30


@pytest.fixture(scope="module")
def points():
    model = product_body()
    chosen = with_landmarks(model, spread_vertices(model, 200))
    return BodyPoints(model, chosen, vertex_normals(model.v_template, model.faces))


def somewhere(seed):
    rng = np.random.default_rng(seed)
    pose = 0.4 * rng.normal(size=(22, 3))
    pose[0] = 0
    return State(rodrigues(rng.normal(size=3)), pose, np.array([0.1, 0.2, 2.5]), rng.normal(size=BETAS))


def test_points_are_the_models_own(points):
    model, state = product_body(), somewhere(0)
    vertices, joints = model.posed(state.betas, state.full_pose(52), state.translation, correctives=True)
    posed = points.posed(state)
    np.testing.assert_allclose(posed.vertices, vertices[points.vertices], atol=2e-6)
    np.testing.assert_allclose(posed.places, joints, atol=2e-6)
    np.testing.assert_allclose(posed.marks, model.blazepose_points(vertices, joints), atol=2e-6)


@pytest.mark.parametrize("seed", [1, 2])
def test_derivatives_are_those_of_small_steps(points, seed):
    # Correctives are taken as constant within a step, so the derivatives are those of the plain body.
    plain = BodyPoints(
        replace(product_body(), correctives=None),
        points.vertices,
        vertex_normals(product_body().v_template, product_body().faces),
    )
    state, rng = somewhere(seed), np.random.default_rng(seed)
    posed = plain.posed(state)
    index, coefficient = np.arange(len(plain.vertices)), rng.normal(size=(len(plain.vertices), 3))
    rows = posed.rows(index, coefficient)
    for number in [0, 2, *rng.integers(3, 66, 6), 67, *rng.integers(69, 99, 3)]:
        step = np.zeros(unknowns(BETAS))
        step[number] = 1e-3
        ahead, behind = plain.posed(state.moved(step)), plain.posed(state.moved(-step))
        slope = ((ahead.vertices.astype(float) - behind.vertices) * coefficient).sum(axis=1) / 2e-3
        np.testing.assert_allclose(rows[:, number], slope, atol=3e-3)
        np.testing.assert_allclose(posed.joint_jacobian[:, :, number], (ahead.places - behind.places) / 2e-3, atol=1e-5)
        np.testing.assert_allclose(posed.mark_jacobian[:, :, number], (ahead.marks - behind.marks) / 2e-3, atol=1e-3)


def test_wrapping_keeps_the_rotation():
    pose = np.array([[0.0, 4.0, 0.0], [5.0, 1.0, 0.0], [0.1, 0.0, 0.0], [0.0, 0.0, 0.0]])
    short = wrapped(pose)
    np.testing.assert_allclose(rodrigues(short), rodrigues(pose), atol=1e-9)
    assert np.linalg.norm(short, axis=1).max() <= np.pi + 1e-9


def test_a_linear_problem_is_solved_in_a_step_and_outliers_count_no_more_than_their_limit():
    target = np.linspace(-0.2, 0.3, unknowns(BETAS))

    def build(state, energy_only):
        system = System(BETAS, energy_only=energy_only)
        system.add(lambda: np.eye(BETAS, unknowns(BETAS), 69), state.betas - target[69 : 69 + BETAS], 4.0)
        return system

    state, energy = minimise(build, somewhere(3), 12, lambda: None, damping=1e-6)
    np.testing.assert_allclose(state.betas, target[69 : 69 + BETAS], atol=1e-6)
    assert energy < 1e-9
    system = System(BETAS)
    system.add(lambda: np.zeros((2, unknowns(BETAS))), np.array([1.0, 1e6]), 1.0, limit=4.0)
    assert abs(system.energy - 0.5 * (1 / (1 + 1 / 4) + 4.0)) < 1e-6


def test_cloth_lets_readings_stand_off_more_easily_than_sink_in():
    model = product_body()
    torso = np.flatnonzero(model.parts == model.part_names.index("torso"))[:1]
    cloth = Cloth.over(model, torso)
    usual = float(cloth.usual[0])
    residual, _, by_share = cloth.residual(np.array([usual + 0.02, usual - 0.02]), np.array([0, 0]), np.ones(2), 0.0)
    assert 0 < residual[0] < -residual[1]
    bare, *_ = cloth.residual(np.array([0.0]), np.array([0]), np.zeros(2), 0.0)
    assert abs(bare[0]) < 1e-6 and by_share[0, 0] < 0 == by_share[0, 1]
