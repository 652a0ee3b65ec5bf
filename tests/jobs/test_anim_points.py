"""Points about a guess: labelled by the truth, drawn by the guess alone; bodies as the product fits them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anim_ball import CAMERA, CENTRE, RADIUS, SIZE, VIEW, stored_ball
from likeness.body.model import load_default
from likeness.core.camera import Camera
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit
from likeness.jobs.anim_bodies import fitted_pose, view_capture, write_fitted
from likeness.jobs.anim_data import Drawing, flipped_inputs, view_item
from likeness.jobs.anim_points import Skin, points_about
from likeness.jobs.anim_samples import STEP_M
from likeness.surface.anim.guess import Guess, RayGrid

MIDDLE = VIEW.to_camera(CENTRE[None])[0].astype(float)


def ball_guess(radius, step=0.02):
    """What a network would say that guesses a ball of another radius, on rays every second pixel."""
    camera = Camera(CAMERA.fx / 2, CAMERA.fy / 2, 15.5, 15.5, 32, 32)
    count = int(1.6 / step)
    z = MIDDLE[2] - 0.8 + step * np.arange(count)
    points = camera.rays()[None] * z[:, None, None, None]
    values = np.linalg.norm(points - MIDDLE, axis=-1) - radius
    grid = RayGrid(
        torch.from_numpy(values.astype(np.float16)),
        torch.tensor([camera.fx, camera.fy, camera.cx, camera.cy]),
        float(z[0]),
        step,
    )
    depth = torch.from_numpy(stored_ball()["depth"][0] * np.float32(STEP_M))
    maps = torch.stack([depth, *torch.zeros(3, SIZE, SIZE)])
    return Guess(maps, grid, torch.zeros(4, 8, 8), grid.intrinsics, 2)


def test_a_skin_labels_points_as_the_ball_does():
    pose = stored_ball(count=24_000, spread_m=0.01)
    points = CENTRE + np.random.default_rng(1).uniform(-0.45, 0.45, (2000, 3))
    truth = np.linalg.norm(points - CENTRE, axis=1) - RADIUS
    away, normals = Skin.of(pose).label(points)
    assert np.abs(away - truth).max() < 0.012 and np.abs(away - truth).mean() < 0.003
    sure = np.abs(truth) > 0.01
    assert ((away > 0) == (truth > 0))[sure].all()
    assert (normals * (points - CENTRE) > 0).sum(1)[np.abs(truth) < 0.1].min() >= 1


def test_points_lie_about_the_guess_and_seldom_where_it_was_measured():
    points = points_about(ball_guess(RADIUS), CAMERA, 3000, np.random.default_rng(2))
    off = np.linalg.norm(points - MIDDLE, axis=1) - RADIUS
    # Exponential on both sides, with e-folding of 3 cm.
    assert len(points) > 1000 and abs(np.median(off)) < 0.02 and 0.45 < (np.abs(off) < 0.03).mean() < 0.75
    # A quarter as often where readings are, told where the ball faces the camera: its pixels are 3 cm wide.
    middle = (np.linalg.norm(points[:, :2] - MIDDLE[:2], axis=1) < 0.15) & (np.abs(off) < 0.015)
    front = middle & (points[:, 2] < MIDDLE[2])
    assert 0 < front.sum() < 0.5 * (middle & ~front).sum()


@pytest.mark.parametrize("changed", [False, True])
def test_labels_about_a_guess_are_those_of_the_truth(changed):
    """Flipped or not: a guess 10 cm too large is told that its surface lies 10 cm outside."""
    pose, skin = stored_ball(count=24_000, spread_m=0.01), Skin.of(stored_ball(count=24_000, spread_m=0.01))

    def guesser(view, picture):
        middle = MIDDLE * ([-1, 1, 1] if abs(view.camera.cx - picture.cx) > 1e-3 else [1, 1, 1])
        assert np.allclose(middle[1:], MIDDLE[1:])
        return ball_guess(0.4)

    for seed in range(3):
        rng, seen = np.random.default_rng(seed), np.random.default_rng(seed)
        drawing = Drawing(points=1000, changed=changed)
        _, targets = view_item(pose, 0, drawing, SIZE, rng, seen, guesser, skin)
        near = targets.sdf[0].abs() < 0.5
        centre = (targets.points[0] - targets.normal[0] * (targets.sdf[0, :, None] + RADIUS))[near].median(0).values
        truth = (targets.points[0] - centre).norm(dim=1) - RADIUS
        assert (targets.sdf[0] - truth)[near].abs().mean() < 0.004
        assert near.sum() > 800


def test_flipping_inputs_twice_changes_nothing():
    inputs = view_item(stored_ball(), 0, Drawing(changed=False), SIZE, np.random.default_rng(0))[0]
    again = flipped_inputs(flipped_inputs(inputs))
    for name in ("color", "depth", "mask", "intrinsics", "centre"):
        assert torch.allclose(getattr(inputs, name).float(), getattr(again, name).float(), atol=1e-5), name


def standing_fit(capture):
    """A body that stands where the ball is."""
    model = load_default("smplh", betas=30)
    pose = np.zeros((len(model.parents), 3), np.float32)
    pose[0] = (np.pi, 0, 0)
    return Fit(pose, np.zeros(30, np.float32), MIDDLE.astype(np.float32), capture.camera, {}, {})


def test_stored_views_get_the_bodies_that_were_fitted(tmp_path):
    pose = stored_ball()
    made = fitted_pose(pose, standing_fit)
    hit = made["body_first"][0] > 0
    assert hit.any() and (made["body_last"][0] >= made["body_first"][0])[hit].all()
    assert not np.array_equal(made["body_first"], pose["body_first"]), "the stored body is the ball"
    assert np.array_equal(made["depth"], pose["depth"]) and view_capture(pose, 0).valid.any()

    def refusing(capture):
        raise LikenessError("body.fit", "Nobody.", "Look.")

    assert np.array_equal(fitted_pose(pose, refusing)["body_first"], pose["body_first"])
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / "train_000000_0.npz", **pose)
    assert write_fitted(tmp_path / "in", tmp_path / "out", standing_fit, lambda line: None) == 1
    assert write_fitted(tmp_path / "in", tmp_path / "out", refusing, lambda line: None) == 0
