"""The two-layer network's inputs, loss and prediction."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from likeness.core.camera import Camera  # noqa: E402
from likeness.core.capture import Capture  # noqa: E402
from likeness.core.errors import LikenessError  # noqa: E402
from likeness.surface.layers.features import (  # noqa: E402
    CHANNELS,
    LEAST_M,
    Pictures,
    both_layers,
    features,
    fill,
    first_guess,
    picture_normals,
    rays,
)
from likeness.surface.layers.losses import Truth, layer_loss  # noqa: E402
from likeness.surface.layers.network import LayerNetwork, NetworkSettings  # noqa: E402
from likeness.surface.layers.predict import FAR_IN_M, Layers, guess_layers, inflate, predict_layers  # noqa: E402
from likeness.surface.layers.spans import BodyHits  # noqa: E402
from likeness.surface.view import Rays  # noqa: E402
from likeness.surface.weights import load_weights, save_weights  # noqa: E402

SIZE = (64, 48)
SMALL = NetworkSettings(widths=(8, 16), groups=4)


def pictures(seed=0, batch=2):
    g = torch.Generator().manual_seed(seed)
    shape = (batch, *SIZE)

    def noise(scale):
        return scale * torch.randn(shape, generator=g)

    mask = torch.zeros(shape, dtype=torch.bool)
    mask[:, 10:50, 9:40] = True
    front = noise(0.01) * mask
    known = mask & (torch.rand(shape, generator=g) < 0.9)
    camera = torch.tensor([[170.0, 170.0, 20.0, 33.0]]).repeat(batch, 1)
    body = mask & (noise(1) > 0)
    return Pictures(front, known, mask, 0.2 * mask + noise(0.01) * mask, 3.0 * mask, noise(0.05), 0.2 + noise(0.05),
                    body, camera, torch.full((batch,), 2.0)).filled()  # fmt: skip


def test_mirrored_people_have_mirrored_features():
    p = pictures()
    plain, turned = features(p), features(p.flipped(torch.tensor([True, False])))
    sign = torch.ones(CHANNELS)
    # Normals' and place's lateral parts change their sign.
    sign[[CHANNELS - 5, CHANNELS - 2]] = -1
    torch.testing.assert_close(turned[0], plain[0].flip(-1) * sign[:, None, None], atol=1e-5, rtol=0)
    assert torch.equal(turned[1], plain[1])
    back = p.flipped(torch.tensor([True, True])).flipped(torch.tensor([True, True]))
    for name in vars(p):
        assert torch.equal(getattr(back, name), getattr(p, name)), name


def test_the_loss_does_not_care_about_mirrors():
    p, both = pictures(), torch.tensor([True, True])
    truth = Truth(p.front + 0.001, p.front + 0.15, p.mask)
    mirrored = Truth(*(x.flip(-1) for x in (truth.first, truth.last, truth.hit)))
    back = truth.last + 0.02 * torch.rand(truth.last.shape, generator=torch.Generator().manual_seed(1))
    one = layer_loss(p, truth, p.front, back)
    two = layer_loss(p.flipped(both), mirrored, p.front.flip(-1), back.flip(-1))
    for name in one:
        assert float(one[name]) == pytest.approx(float(two[name]), rel=1e-4)


def test_the_truth_itself_costs_nothing_and_an_offset_its_size():
    p = pictures()
    truth = Truth(p.front, p.front + 0.15, p.mask)
    assert float(layer_loss(p, truth, truth.first, truth.last)["loss"]) == pytest.approx(0, abs=1e-5)
    off = layer_loss(p, truth, truth.first, truth.last + 0.03)
    assert float(off["back_cm"]) == pytest.approx(3.0, rel=1e-4)


def test_normals_of_a_tilted_plane():
    camera = torch.tensor([[100.0, 110.0, 10.0, 12.0]])
    directions = rays(camera, 20, 30)
    normal = torch.tensor([0.3, -0.2, -0.9])
    depth = -1.8 / (directions * normal[None, :, None, None]).sum(1)
    found, good = picture_normals(depth, torch.ones_like(depth, dtype=torch.bool), directions)
    want = normal / normal.norm()
    assert good[:, 1:-1, 1:-1].all()
    torch.testing.assert_close(found[0, :, 5, 7], want, atol=1e-4, rtol=0)


def test_filling_keeps_what_is_known_and_stays_between():
    p = torch.rand((2, 37, 21), generator=torch.Generator().manual_seed(0))
    known = torch.rand(p.shape, generator=torch.Generator().manual_seed(1)) < 0.05
    out = fill(p, known)
    assert torch.equal(out[known], p[known])
    for k in (0, 1):
        assert p[k][known[k]].min() - 1e-6 <= out[k].min()
        assert out[k].max() <= p[k][known[k]].max() + 1e-6


def test_without_a_body_nothing_of_it_is_left():
    p = pictures()
    bare = p.without_body(torch.tensor([True, False]))
    wrong = Pictures(**{**vars(bare), "body_first": bare.body_first + 9, "body_last": bare.body_last - 9})
    assert torch.equal(features(bare)[0], features(wrong)[0])
    assert torch.equal(first_guess(wrong)[0], p.front[0] + p.thickness[0])
    assert not torch.equal(features(bare)[1], features(wrong)[1])


def test_an_untrained_network_is_the_first_guess():
    p = pictures()
    front, back = both_layers(p, LayerNetwork(SMALL)(features(p)))
    assert torch.equal(front, p.front)
    assert torch.equal(back, first_guess(p))


def test_the_last_hit_of_a_ball():
    trimesh = pytest.importorskip("trimesh")
    ball = trimesh.creation.icosphere(5, 0.5)
    camera = Camera(100.0, 100.0, 15.0, 15.0, 31, 31)
    rays_ = Rays(ball.vertices + (0, 0, 2.0), ball.faces)
    first, leaves = rays_.passed(camera)
    last, enters = rays_.passed(camera, behind=True)
    np.testing.assert_allclose(leaves, last, atol=2e-3)
    np.testing.assert_allclose(enters, first, atol=2e-3)
    assert first[15, 15] == pytest.approx(1.5, abs=2e-3)
    assert last[15, 15] == pytest.approx(2.5, abs=2e-3)
    # On any chord of a ball both ends' distances to the eye multiply to the power of the point.
    scale = (camera.rays() ** 2).sum(-1)
    hit = first > 0
    np.testing.assert_allclose((first * last * scale)[hit], 2.0**2 - 0.5**2, rtol=2e-3)
    assert np.array_equal(hit, last > 0)


def ball_capture():
    rows, columns = np.mgrid[:240, :200].astype(float)
    camera = Camera(300.0, 300.0, 99.5, 119.5, 200, 240)
    ray = np.stack([(columns - 99.5) / 300, (rows - 119.5) / 300, np.ones_like(rows)], -1)
    a, b = (ray**2).sum(-1), 2.0 * ray[..., 2]
    root = b**2 - a * (4 - 0.4**2)
    depth = np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, 0).astype(np.float32)
    return Capture(np.zeros((240, 200, 3), np.uint8), depth > 0, depth, camera, True, "ball", "", "file")


def closed(surface):
    e = np.concatenate([surface.faces[:, [0, 1]], surface.faces[:, [1, 2]], surface.faces[:, [2, 0]]]).astype(np.int64)
    return np.array_equal(np.sort(e[:, 0] << 32 | e[:, 1]), np.sort(e[:, 1] << 32 | e[:, 0]))


def test_inflating_a_balls_outline_keeps_its_front():
    made = inflate(ball_capture())
    assert closed(made)
    away = np.linalg.norm(made.vertices - (0, 0, 2.0), axis=1) - 0.4
    assert np.abs(away[made.seen > 0]).mean() < 0.002
    # The equation's chord of a disc's middle is its radius times the root of two, at the depth of the front there.
    radius = 0.4 / np.sqrt(2.0**2 - 0.4**2)
    assert made.vertices[:, 2].max() == pytest.approx(1.6 * (1 + np.sqrt(2) * radius), abs=0.01)


def test_weights_go_out_and_come_back(tmp_path):
    torch.manual_seed(0)
    network = LayerNetwork(SMALL)
    torch.nn.init.normal_(network.head.weight, 0, 0.01)
    metadata = {"network": json.dumps(SMALL.to_dict())}
    save_weights(tmp_path / "w.safetensors", network, metadata)
    other = LayerNetwork(SMALL)
    assert load_weights(tmp_path / "w.safetensors", other) == metadata
    for a, b in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(a.bfloat16(), b.bfloat16())
    made = predict_layers(ball_capture(), None, tmp_path / "w.safetensors")
    assert closed(made)
    with pytest.raises(LikenessError):
        load_weights(tmp_path / "w.safetensors", LayerNetwork(NetworkSettings(widths=(8, 24), groups=4)))


def test_lost_depth_is_completed_without_a_step():
    network = LayerNetwork(SMALL)
    capture = ball_capture()
    capture.depth[110:130, 90:110] = 0
    layers = guess_layers(capture, None, network)[0]
    assert layers.mask[~layers.measured].any()
    step = np.abs(np.diff(layers.front, axis=1))[layers.mask[:, 1:] & layers.mask[:, :-1]]
    inner = np.abs(np.diff(guess_layers(ball_capture(), None, network)[0].front, axis=1))
    assert step.max() < inner[layers.mask[:, 1:] & layers.mask[:, :-1]].max() + 0.02


def test_with_a_body_the_back_is_drawn_in():
    """An untrained network's back is the body's last hit: here a wall's, less what bodies are drawn in by."""
    wall = 2.7

    def body(camera):
        rows = (camera.height, camera.width)
        return BodyHits(np.full(rows, 1.7), np.full(rows, wall), np.full(rows, 1.7), np.full(rows, wall))

    layers = guess_layers(ball_capture(), body, LayerNetwork(SMALL))[0]
    np.testing.assert_allclose(layers.back[layers.mask], wall - FAR_IN_M, atol=1e-4)


def test_photos_have_no_front(tmp_path):
    capture = ball_capture()
    for bad in (None, np.zeros_like(capture.depth)):
        photo = Capture(capture.color, capture.mask, bad, capture.camera, True, "p", "", "file")
        with pytest.raises(LikenessError) as caught:
            inflate(photo)
        assert caught.value.code == "capture.no_depth"


def test_the_resolution_is_that_of_the_mesh():
    capture = ball_capture()
    counts = [len(predict_layers(capture, resolution=cells).vertices) for cells in (256, 512)]
    assert 2.5 < counts[1] / counts[0] < 6


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 0.05), st.integers(0, 1000))
def test_a_back_that_is_drawn_in_stays_behind_the_front(by_m, seed):
    rng = np.random.default_rng(seed)
    front = rng.uniform(1.5, 2.0, (6, 5))
    back, mask = front + rng.uniform(0.0, 0.2, front.shape), rng.random(front.shape) < 0.7
    layers = Layers(front, back, mask, mask, Camera(300.0, 300.0, 2.0, 2.5, 5, 6))
    found = layers.drawn_in(by_m).back
    assert np.array_equal(found[~mask], back[~mask]) and (found <= back).all() and (found >= front).all()
    deep = mask & (back - front > by_m + LEAST_M)
    assert np.allclose(found[deep], back[deep] - by_m)
