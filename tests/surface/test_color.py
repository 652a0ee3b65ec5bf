"""The far side takes its colours from the near one: closed forms on a two-coloured post, and what weights must be."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from likeness.core.camera import Camera  # noqa: E402
from likeness.core.capture import Capture  # noqa: E402
from likeness.core.errors import LikenessError  # noqa: E402
from likeness.surface.color.looks import KINDS, MARKS, body_marks, features, looks, reduced  # noqa: E402
from likeness.surface.color.losses import color_loss, lab  # noqa: E402
from likeness.surface.color.network import ColorNetwork, mixed  # noqa: E402
from likeness.surface.color.predict import body_hits, guess_far_side, load_color, save_color  # noqa: E402
from likeness.surface.layers.network import LayerNetwork, NetworkSettings  # noqa: E402
from likeness.surface.weights import save_weights  # noqa: E402

SMALL = NetworkSettings(widths=(8, 16), groups=4, pixel_m=0.024)
RED, BLUE = (200, 40, 30), (20, 60, 180)


def post(sides: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """A closed post 1.6 m high and 40 cm across about the axis of Y (V, 3), (F, 3), outwards."""
    angle = 2 * np.pi * np.arange(sides) / sides
    ring = np.stack([0.2 * np.cos(angle), np.zeros(sides), 0.2 * np.sin(angle)], 1)
    heights = np.linspace(0, 1.6, 33)
    points = np.concatenate([ring + [0, y, 0] for y in heights] + [[[0, 0, 0], [0, 1.6, 0]]])
    faces = []
    for level in range(len(heights) - 1):
        for k in range(sides):
            a, b = level * sides + k, level * sides + (k + 1) % sides
            faces += [(a, a + sides, b), (b, a + sides, b + sides)]
    last = (len(heights) - 1) * sides
    for k in range(sides):
        faces += [(len(points) - 2, k, (k + 1) % sides), (len(points) - 1, last + (k + 1) % sides, last + k)]
    return points, np.array(faces)


def captured_post() -> tuple[Capture, np.ndarray, np.ndarray, np.ndarray]:
    """The post 2.5 m before a camera, red above and blue below: capture, vertices in camera space, faces, marks."""
    rest, faces = post()
    vertices = rest * [1, -1, -1] + [0.1, 0.8, 2.5]
    camera = Camera(300.0, 300.0, 119.5, 159.5, 240, 320)
    u, v = np.meshgrid(np.arange(240), np.arange(320))
    x, y = (u - camera.cx) / camera.fx * 2.5, (v - camera.cy) / camera.fy * 2.5
    mask = (np.abs(x - 0.1) < 0.2) & (np.abs(y) < 0.8)
    color = np.where((y < 0)[..., None], RED, BLUE).astype(np.uint8)
    color[~mask] = (0, 255, 0)
    kinds = np.zeros((len(rest), KINDS))
    kinds[:, 1] = 1
    capture = Capture(color, mask, None, camera, True, "post", "0" * 64, "file")
    return capture, vertices.astype(np.float32), faces, body_marks(rest, kinds)


def plain() -> ColorNetwork:
    """A network whose U-Net says nothing: only the place on the body counts."""
    network = ColorNetwork(SMALL)
    torch.nn.init.zeros_(network.trunk.head.weight)
    return network.eval()


def test_a_two_coloured_post_is_the_same_from_behind() -> None:
    capture, vertices, faces, marks = captured_post()
    far = guess_far_side(capture, (vertices, faces), marks, plain())
    heights = np.array([-0.6, -0.3, 0.3, 0.6])
    points = np.stack([np.full(4, 0.1), heights, np.full(4, 2.7)], 1)
    pixels = np.rint(far.camera.project(points)).astype(int)
    found = far.color[pixels[:, 1], pixels[:, 0]]
    assert np.abs(found - [RED, RED, BLUE, BLUE]).max() < 12, found
    # Beyond the outline the colours go on: a surface that stands out of it finds no background.
    assert far.color[..., 1].max() < 100
    again = guess_far_side(capture, (vertices, faces), marks, plain())
    np.testing.assert_array_equal(far.color, again.color)


def test_rays_meet_the_body_in_front_and_behind() -> None:
    _, vertices, faces, _ = captured_post()
    camera = Camera(100.0, 100.0, 31.5, 39.5, 64, 80)
    first, last = body_hits((vertices, faces), vertices, camera)
    rows, columns = np.nonzero(np.isfinite(first[..., 0]))
    assert len(rows) > 500
    rays = camera.rays()[rows, columns]
    for hits in (first, last):
        on_ray = hits[rows, columns]
        np.testing.assert_allclose(on_ray, rays * on_ray[:, 2:], atol=1e-4)
    middle = np.abs(rays[:, 0] * 2.5 - 0.1) < 0.02
    upright = np.abs(rays[:, 1]) < 0.25
    chosen = middle & upright
    assert chosen.sum() > 5
    np.testing.assert_allclose(first[rows, columns][chosen, 2], 2.3, atol=5e-3)
    np.testing.assert_allclose(last[rows, columns][chosen, 2], 2.7, atol=5e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 4))
def test_colours_stay_among_those_that_are_offered(seed: int, harder: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    asked, offered = (torch.randn((n, 7), generator=draw) * 3 for n in (5, 9))
    colors = torch.rand((9, 3), generator=draw)
    found = mixed(asked, offered, colors, harder)
    assert (found >= colors.amin(0) - 1e-6).all() and (found <= colors.amax(0) + 1e-6).all()


def test_what_agrees_best_gives_its_colour() -> None:
    offered = 20 * torch.eye(6)
    colors = torch.rand((6, 3), generator=torch.Generator().manual_seed(1))
    order = torch.tensor([3, 0, 5])
    torch.testing.assert_close(mixed(torch.eye(6)[order], offered, colors, 2.0), colors[order])


def test_mirrored_people_are_mirrored() -> None:
    rng = np.random.default_rng(0)
    marks = rng.normal(size=(2, 16, 16, MARKS)).astype(np.float32)
    seen = looks(rng.integers(0, 255, (16, 16, 3)).astype(np.uint8), rng.random((16, 16)) < 0.7, *marks)
    turned = seen.flipped(torch.tensor([True]))
    torch.testing.assert_close(turned.first[:, 0], -seen.first[:, 0].flip(-1))
    torch.testing.assert_close(turned.last[:, 1:], seen.last[:, 1:].flip(-1))
    back = turned.flipped(torch.tensor([True]))
    torch.testing.assert_close(features(back), features(seen))
    torch.testing.assert_close(plain()(turned), plain()(seen).flip(-1), atol=1e-5, rtol=1e-4)


def test_means_are_of_the_person_alone() -> None:
    color = np.zeros((8, 8, 3), np.uint8)
    color[:, :3] = 200
    where = np.zeros((8, 8), bool)
    where[:, :3] = True
    small, inside = reduced(color, where, 4)
    assert inside[:, 0].all() and not inside[:, 1].any()
    np.testing.assert_array_equal(small[:, 0], 200)


def test_lab_is_cie_lab() -> None:
    from skimage.color import rgb2lab

    color = np.random.default_rng(3).random((6, 7, 3))
    color[0] = [[0.001 * k] * 3 for k in range(7)]
    ours = lab(torch.from_numpy(color).float().permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours, rgb2lab(color), atol=0.08)


def test_the_loss_counts_what_is_known() -> None:
    truth = torch.rand((2, 3, 8, 8), generator=torch.Generator().manual_seed(2))
    known = torch.zeros((2, 8, 8), dtype=torch.bool)
    known[:, 2:6, 2:6] = True
    wrong = torch.where(known[:, None], truth, 1 - truth)
    dear = torch.zeros((2, 8, 8))
    assert float(color_loss(wrong, truth, known, dear)["loss"]) < 1e-6
    grey, white = torch.full((1, 3, 8, 8), 0.5), torch.ones((1, 3, 8, 8))
    everywhere = torch.ones((1, 8, 8), dtype=torch.bool)
    # L* of sRGB 0.5 is 53.39.
    assert abs(float(color_loss(grey, white, everywhere, dear[:1])["delta_e"]) - 46.5) < 0.3


def test_weights_come_back_and_others_are_refused(tmp_path) -> None:
    network = ColorNetwork(SMALL).eval()
    save_color(tmp_path / "a.safetensors", network, {"steps": "1"})
    read = load_color(tmp_path / "a.safetensors")
    assert read.settings == SMALL
    torch.testing.assert_close(read.trunk.stem[1].convolution.weight, network.trunk.stem[1].convolution.weight,
                               atol=4e-3, rtol=1e-2)  # fmt: skip
    other = LayerNetwork(SMALL)
    save_weights(tmp_path / "b.safetensors", other, {})
    save_weights(
        tmp_path / "c.safetensors", other, {"network": '{"widths": [8, 16], "fold": 2, "groups": 4, "pixel_m": 1}'}
    )
    for name in ("b", "c"):
        with pytest.raises(LikenessError) as caught:
            load_color(tmp_path / f"{name}.safetensors")
        assert caught.value.code == "input.weights"
