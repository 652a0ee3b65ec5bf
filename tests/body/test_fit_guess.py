"""The corrector's energy against differences, and the shape that several photos share against a joint solution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.corrector import JOINTS, Guess
from likeness.body.fit_guess import add_guess
from likeness.body.fit_pairs import fit_points
from likeness.body.fit_photos import marginal
from likeness.body.fit_points import State, unknowns
from likeness.body.fit_system import System
from likeness.body.model import load_default
from likeness.core.frames import rodrigues


def guess_of(rng: np.random.Generator) -> Guess:
    pose = rng.normal(0, 0.3, (24, 3)).astype(np.float32)
    return Guess(pose, np.zeros(10, np.float32), rng.uniform(0.1, 0.5, JOINTS).astype(np.float32), 0.0)


def energy(guess: Guess, state: State) -> System:
    points = fit_points(load_default())
    system = System(points.betas_count)
    add_guess(system, points.posed(state), guess.pose, guess.sigma, 0.7)
    return system


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000))
def test_energy_is_zero_at_the_guess_and_its_slope_is_right(seed: int):
    rng = np.random.default_rng(seed)
    guess = guess_of(rng)
    pose = guess.pose[:JOINTS].astype(np.float64)
    best = State(rodrigues(pose[0]), pose, np.array([0, 0, 3.0]), np.zeros(load_default().betas_count))
    assert energy(guess, best).energy == pytest.approx(0.0, abs=1e-6)
    # Near the guess: farther off the robust weights, which Gauss and Newton hold still, would have slopes of their own.
    step = rng.normal(0, 1e-3, unknowns(len(best.betas)))
    near = best.moved(step)
    system = energy(guess, near)
    assert system.energy == pytest.approx(0.5 * float(system.gradient @ step), rel=1e-2)
    assert energy(guess, near.moved(-step)).energy < 1e-6


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.integers(1, 6), st.integers(0, 10_000))
def test_marginal_normal_equations_give_the_whole_systems_answer(kept: int, other: int, seed: int):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(3 * (kept + other), kept + other))
    hessian, gradient = rows.T @ rows, rng.normal(size=kept + other)
    matrix, slope = marginal(hessian, gradient, np.arange(kept))
    assert np.linalg.solve(matrix, slope) == pytest.approx(np.linalg.solve(hessian, gradient)[:kept], abs=1e-3)
