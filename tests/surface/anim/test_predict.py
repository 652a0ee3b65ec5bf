"""The whole way from a capture to a surface, with a closed form in the head's place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anim_shapes import CAPSULE, SPHERE
from likeness.core.errors import LikenessError
from likeness.surface.anim.config import TINY
from likeness.surface.anim.network import AnimNet, AnimState
from likeness.surface.anim.predict import HELD_M, LIMIT_M, WEIGHTS, load_anim, look, predict_anim, predict_fitted
from likeness.surface.layers.predict import WEIGHTS as LAYERS


@pytest.fixture
def net():
    torch.manual_seed(0)
    return AnimNet(TINY).eval()


def test_the_surface_lies_where_the_capture_does(net, monkeypatch):
    def exact(self, points):
        return torch.from_numpy(CAPSULE.sdf(points.double().numpy()).astype(np.float32))

    monkeypatch.setattr(AnimState, "sdf", exact)
    surface = predict_anim(CAPSULE.capture(), net, resolution=128)
    assert np.abs(CAPSULE.sdf(surface.vertices.astype(float))).max() < 5e-4
    edges = np.sort(surface.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    facing = (CAPSULE.normal(surface.vertices.astype(float)) * surface.vertices).sum(1) / np.linalg.norm(
        surface.vertices, axis=1
    )
    assert surface.seen[facing < -0.5].min() > 0.5 and surface.seen[facing > 0.6].max() == 0


def test_a_body_is_looked_at_on_the_capture_s_pixels(net):
    size = 0.15
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * size + (0, 0, 2.2)
    faces = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6],
                      [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])  # fmt: skip
    state = look(net, CAPSULE.capture(), (corners.astype(np.float32), faces))
    first, last = state.inputs.body[0]
    cx, cy = state.inputs.intrinsics[0, 2:].tolist()
    assert first[round(cy), round(cx)].item() == pytest.approx(2.2 - size, abs=1e-4)
    assert last[round(cy), round(cx)].item() == pytest.approx(2.2 + size, abs=1e-4)
    assert look(net, CAPSULE.capture()).inputs.body is None


def test_noise_is_refused(net, monkeypatch):
    monkeypatch.setattr(AnimState, "sdf", lambda self, points: torch.ones(len(points)))
    with pytest.raises(LikenessError, match="no surface"):
        predict_anim(CAPSULE.capture(), net, resolution=128)


def test_the_weights_that_ship_move_the_guess_they_stand_on():
    """Both files fit the box; where nothing was read ANIM's surface is another than its guess, and near it."""
    assert WEIGHTS.stat().st_size + LAYERS.stat().st_size < 10e6
    shipped = load_anim(WEIGHTS)
    capture, field = SPHERE.capture(), look(shipped, SPHERE.capture())
    points = torch.from_numpy(predict_fitted(capture, None, resolution=128).vertices)
    hidden = field.reading(points).abs() > HELD_M
    with torch.no_grad():
        moved = field.net.head.start(field.inputs.guess[0].solid.at(points))[hidden].abs()
    assert hidden.sum() > 200 and float(moved.median()) > 5e-4 and float(moved.max()) < LIMIT_M + 0.02
