"""Cloth against closed forms: falling, hanging, lying on a sphere, and following the skeleton."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.synthesis.cloth import GRAVITY, SEAT_FRONT_M, Cloth, Drape, Ground, coloring, edges_of
from likeness.synthesis.collider import Collider

torch.set_num_threads(1)


def _sheet(columns: int, rows: int, edge: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """A level grid of triangles: vertices (columns x rows, 3), row 0 at z = 0, and faces."""
    x, z = np.meshgrid(np.arange(columns) * edge, np.arange(rows) * edge)
    vertices = np.stack([x.ravel(), np.zeros(x.size), z.ravel()], 1).astype(np.float32)
    number = np.arange(x.size).reshape(rows, columns)
    a, b, c, d = (n.ravel() for n in (number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]))
    return vertices, np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)]).astype(np.int32)


def _stretch(cloth: Cloth, rest: np.ndarray, faces: np.ndarray) -> np.ndarray:
    edges, _ = edges_of(faces)
    length = [np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1) for v in (cloth.place.numpy(), rest)]
    return length[0] / length[1]


def _energy(cloth: Cloth, at_rest: float) -> float:
    """Kinetic and potential energy of unit masses, J/kg summed."""
    return float(0.5 * cloth.speed.square().sum() + GRAVITY * (cloth.place[:, 1] - at_rest).sum())


def test_edges_are_those_of_trimesh() -> None:
    mesh = trimesh.creation.icosphere(2)
    edges, across = edges_of(np.asarray(mesh.faces, np.int32))
    assert {tuple(e) for e in np.sort(edges, 1)} == {tuple(e) for e in np.sort(mesh.edges_unique, 1)}
    assert len(across) == len(mesh.face_adjacency)
    opposite = np.sort(mesh.face_adjacency_unshared, 1)
    assert {tuple(e) for e in np.sort(across, 1)} == {tuple(e) for e in opposite}


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 40), st.integers(1, 120), st.integers(0, 2**31))
def test_pairs_of_one_color_share_no_vertex(count: int, pairs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, count, (pairs, 2))
    drawn = drawn[drawn[:, 0] != drawn[:, 1]]
    colors = coloring(drawn, count)
    for color in np.unique(colors):
        ends = drawn[colors == color].ravel()
        assert len(np.unique(ends)) == len(ends)


def test_free_fall() -> None:
    rest, faces = _sheet(5, 5)
    cloth = Cloth(rest, faces, np.ones(25, np.float32), Drape(damping=0.0))
    goal = torch.as_tensor(rest)
    steps = 60
    for _ in range(steps):
        cloth.step(goal)
    time = steps * cloth.drape.step_s
    # The scheme moves by g t (t + step) / 2: exact up to the step.
    assert cloth.place[:, 1].numpy() == pytest.approx(-0.5 * GRAVITY * time * (time + cloth.drape.step_s), rel=1e-3)
    assert np.abs(cloth.place[:, [0, 2]].numpy() - rest[:, [0, 2]]).max() < 1e-5


def test_a_strip_hangs_straight_and_keeps_its_length() -> None:
    rest, faces = _sheet(4, 40)
    slack = np.ones(len(rest), np.float32)
    slack[:4] = 0
    cloth = Cloth(rest, faces, slack, Drape(damping=6.0))
    for _ in range(900):
        cloth.step(torch.as_tensor(rest))
    low = cloth.place[-4:].numpy()
    assert low[:, 1] == pytest.approx(-0.39, abs=0.02 * 0.39)
    assert np.abs(low[:, 2]).max() < 0.01
    assert (np.abs(_stretch(cloth, rest, faces) - 1) < 0.05).mean() > 0.95


def test_a_pendulum_loses_energy() -> None:
    rest, faces = _sheet(3, 20)
    slack = np.ones(len(rest), np.float32)
    slack[:3] = 0
    cloth = Cloth(rest, faces, slack, Drape(damping=1.0))
    energy = []
    for _ in range(40):
        for _ in range(12):
            cloth.step(torch.as_tensor(rest))
        energy.append(_energy(cloth, -0.19))
    assert max(np.diff(energy)) < 0.01 * (energy[0] - energy[-1])
    # At last it hangs straight down.
    assert energy[-1] == pytest.approx(GRAVITY * float((0.19 - rest[:, 2]).sum()), rel=0.05)


def test_a_sheet_stays_outside_the_sphere_that_it_falls_on() -> None:
    radius, ball = 0.1, trimesh.creation.icosphere(4, 0.1)
    rest, faces = _sheet(25, 25, 0.012)
    rest = rest + np.array([-0.144, radius + 0.02, -0.144], np.float32)
    drape = Drape(gap_m=0.004)
    cloth = Cloth(rest, faces, np.ones(len(rest), np.float32), drape)
    group = np.zeros(len(ball.vertices), int)
    collider = Collider(
        ball.vertices[None].astype(np.float32),
        np.asarray(ball.faces, np.int32),
        np.full(len(rest), drape.gap_m),
        group,
        np.zeros(len(rest), int),
    )
    deepest = 1.0
    for step in range(240):
        collider.set_time(0, 0.0, 1)
        if step % 10 == 0:
            collider.search(cloth.place)
        elif step % 3 == 0:
            collider.slide(cloth.place)
        cloth.step(torch.as_tensor(rest), collider)
        deepest = min(deepest, float(cloth.place.norm(dim=1).min()))
    assert deepest > radius
    assert float(cloth.place.norm(dim=1).min()) < radius + 2 * drape.gap_m
    assert (cloth.place[:, 1].numpy().max() > radius) and (cloth.place[:, 1].numpy().min() < 0.5 * radius)


def test_cloth_lies_on_the_seat_and_falls_to_the_floor_beside_it() -> None:
    rest, faces = _sheet(8, 60)
    rest = rest + np.array([-0.035, 0.1, 0.0], np.float32)
    cloth = Cloth(rest, faces, np.ones(len(rest), np.float32), Drape(damping=4.0))
    ground = Ground(-0.3, seat=0.0)
    for _ in range(240):
        cloth.step(torch.as_tensor(rest), ground=ground)
    on_seat = cloth.place[:, 2] < SEAT_FRONT_M - 0.01
    assert cloth.place[on_seat, 1].numpy() == pytest.approx(cloth.drape.gap_m, abs=1e-4)
    assert float(cloth.place[:, 1].min()) >= -0.3
    assert float(cloth.place[-1, 1]) < -0.04


def test_sewn_cloth_follows_its_goal() -> None:
    rest, faces = _sheet(6, 6)
    cloth = Cloth(rest, faces, np.zeros(36, np.float32), Drape(wind=(3.0, 0.0, 0.0)))
    for step in range(20):
        goal = torch.as_tensor(rest) + torch.tensor([0.0, 0.01 * step, 0.02 * step])
        cloth.step(goal)
    assert np.abs(cloth.place.numpy() - goal.numpy()).max() < 1e-6


def test_half_slack_cloth_stays_near_its_goal() -> None:
    rest, faces = _sheet(6, 6)
    drape = Drape(damping=8.0, play_m=0.0)
    cloth = Cloth(rest, faces, np.full(36, 0.5, np.float32), drape)
    for _ in range(400):
        cloth.step(torch.as_tensor(rest))
    # A spring of stiffness `hold` at unit mass gives way by gravity / hold.
    assert (rest - cloth.place.numpy())[:, 1] == pytest.approx(GRAVITY / drape.hold, rel=0.1)


def test_equal_seeds_fall_alike() -> None:
    rest, faces = _sheet(8, 12)
    slack = np.ones(len(rest), np.float32)
    slack[:8] = 0
    places = []
    for _ in range(2):
        cloth = Cloth(rest, faces, slack, Drape(wind=(0.5, 0, 0.2)))
        for _ in range(100):
            cloth.step(torch.as_tensor(rest))
        places.append(cloth.place.numpy())
    assert np.array_equal(*places)
