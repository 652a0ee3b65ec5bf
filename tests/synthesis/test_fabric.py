"""Cloth: continuous over seams of the texture, named by its colours, reproducible, and an albedo."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.synthesis.fabric import (
    PATTERNS,
    Fabric,
    draw_fabric,
    fabric_texels,
    paint_fabric,
    paint_texels,
    texture_words,
)
from likeness.synthesis.palette import NAMED, draw_color, from_oklab, name_of, to_linear, to_oklab, to_srgb
from likeness.synthesis.prints import PATTERNS as PRINTS
from likeness.synthesis.prints import band
from likeness.synthesis.texels import LEFT_ARM, LEFT_LEG, TRUNK, distance_to_hem, map_texels, rasterize
from skimage.color import lab2rgb

SIZE = 256


def tube(low: float = -0.3, high: float = 0.3, rings: int = 24, sides: int = 48) -> tuple:
    """An elliptic tube about Y, its front half and back half on two islands of the texture that lie far apart."""
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    y = np.linspace(low, high, rings)
    ring = np.stack([0.17 * np.sin(turn), 0 * turn, 0.11 * np.cos(turn)], 1)
    vertices = (ring[None] + np.array([0, 1, 0]) * y[:, None, None]).reshape(-1, 3).astype(np.float32)
    faces, uvs = [], []
    for r in range(rings - 1):
        for s in range(sides):
            corner = [(r, s), (r, s + 1), (r + 1, s + 1), (r + 1, s)]
            # Sides 0..23 lie at the left (x > 0), 24..47 at the right; the back is mirrored and turned upside down.
            place = []
            for rr, ss in corner:
                share = (ss if s < 24 else ss - 24) / 24 * 0.42
                up = rr / (rings - 1) * 0.9
                place.append((0.03 + share, 0.05 + up) if s < 24 else (0.97 - share, 0.95 - up))
            index = [rr * sides + ss % sides for rr, ss in corner]
            for k in ((0, 1, 2), (0, 2, 3)):
                faces.append([index[i] for i in k])
                uvs.append([place[i] for i in k])
    return vertices, np.array(faces, np.int32), np.array(uvs, np.float32)


def fabric(pattern: str, seed: int = 3, scale: float = 0.06, **changes: object) -> Fabric:
    plain = draw_fabric(np.random.default_rng(seed), "top").to_dict()
    colors = [[0.1, 0.12, 0.3], [0.9, 0.88, 0.8], [0.7, 0.2, 0.2], [0.3, 0.3, 0.2]]
    kept = {"pattern": pattern, "colors": colors, "scale_m": scale, "wear": 0.0, "stains": 0.0, "keep": "none"}
    return Fabric.from_dict(
        {**plain, **kept, "material": "silk", "blocks": [], "artwork": [], "details": [], **changes}
    )


def color_at(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    column, row = (uv[:, 0] * len(texture)).astype(int), ((1 - uv[:, 1]) * len(texture)).astype(int)
    return texture[row, column].astype(float)


@settings(deadline=None, max_examples=16)
@given(st.sampled_from(sorted(PRINTS)), st.integers(0, 10**6))
def test_patterns_run_on_over_the_seams_of_the_texture(pattern: str, seed: int) -> None:
    vertices, faces, uvs = tube()
    texture = paint_fabric(fabric(pattern, seed, 0.09), vertices, faces, uvs, None, 512)
    up = np.linspace(0.1, 0.9, 150)
    # Where x = 0 in front and behind, on the left island (u 0.03 to 0.45) and on the right one (0.97 to 0.55).
    for left_u, right_u in ((0.0302, 0.5502), (0.4498, 0.9698)):
        left = color_at(texture, np.stack([0 * up + left_u, 0.05 + 0.9 * up], 1))
        right = color_at(texture, np.stack([0 * up + right_u, 0.95 - 0.9 * up], 1))
        apart = np.abs(left - right).mean()
        unrelated = max(np.abs(left - np.roll(right, shift, 0)).mean() for shift in (20, 37, 60))
        # A texel lies between the samples: edges of the pattern that cross there differ, the rest may not.
        assert apart < 0.35 * unrelated + 5


def test_horizontal_stripes_repeat_after_their_scale_and_are_level() -> None:
    vertices, faces, uvs = tube(0.0, 0.3)
    painted = fabric("horizontal stripes", 5, 0.06)
    cells = fabric_texels(painted, vertices, faces, uvs, SIZE)
    color = paint_texels(painted, cells)
    y = cells.position[:, 1]
    phase = np.mod(y, 0.06)
    spread = [color[np.abs(phase - low) < 0.001].std(0).max() for low in np.arange(0.003, 0.06, 0.006)]
    # Heights that hold no edge of a stripe are of one colour, all round and in every repeat.
    assert np.sort(spread)[6] < 0.04
    assert color.std(0).max() > 0.15


@settings(deadline=None, max_examples=60)
@given(st.floats(0.01, 0.2), st.floats(0.05, 0.9))
def test_a_stripe_covers_its_share(period: float, share: float) -> None:
    x = np.linspace(0, period * 40, 40001)
    assert band(x, period, share, period * 0.01).mean() == pytest.approx(share, abs=0.01)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**9), st.sampled_from(sorted(PATTERNS)))
def test_fabrics_survive_json_and_are_drawn_alike(seed: int, category: str) -> None:
    drawn = draw_fabric(np.random.default_rng(seed), category)
    assert Fabric.from_dict(json.loads(json.dumps(drawn.to_dict()))) == drawn
    assert draw_fabric(np.random.default_rng(seed), category) == drawn
    assert drawn.words and drawn.color_words in drawn.words
    assert 0.03 <= drawn.infrared <= 0.8 and 0 < drawn.gloss < 0.1


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10**9), st.sampled_from(["top", "coat", "dress", "bottom", "hat"]))
def test_painting_is_reproducible_and_an_albedo(seed: int, category: str) -> None:
    vertices, faces, uvs = tube()
    drawn = draw_fabric(np.random.default_rng(seed), category)
    own = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)
    first = paint_fabric(drawn, vertices, faces, uvs, own, 128)
    assert np.array_equal(first, paint_fabric(drawn, vertices, faces, uvs, own, 128))
    light = to_linear(first / 255)
    assert first.shape == (128, 128, 3) and light.min() >= 0.02 and light.max() <= 0.95


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**9))
def test_a_plain_garment_is_called_by_its_colour(seed: int) -> None:
    rng = np.random.default_rng(seed)
    color = draw_color(rng)
    vertices, faces, uvs = tube(rings=12, sides=48)
    plain = fabric("plain", seed % 1000, colors=[color, color, color], wear=float(rng.uniform(0, 0.3)))
    texture = paint_fabric(plain, vertices, faces, uvs, None, 128)
    assert name_of(np.median(texture.reshape(-1, 3), 0) / 255) == plain.color_words


def test_light_and_dark_of_the_own_texture_are_kept() -> None:
    vertices, faces, uvs = tube()
    own = np.full((SIZE, SIZE, 3), 128, np.uint8)
    own[: SIZE // 2] = 96
    painted = paint_fabric(
        fabric("plain", keep="detail", colors=[[0.6, 0.5, 0.4]] * 3), vertices, faces, uvs, own, SIZE
    ).astype(float)
    left = painted[:, 20:100]
    assert left[SIZE // 2 + 20 : -40].mean() > 1.15 * left[40 : SIZE // 2 - 20].mean()


def test_texels_know_their_place() -> None:
    vertices, faces, uvs = tube()
    cells = map_texels(vertices, faces, uvs, SIZE, legs=False)
    uv = (cells.bary[:, :, None] * uvs[cells.face]).sum(1)
    truth = np.stack([(cells.index % SIZE + 0.5) / SIZE, 1 - (cells.index // SIZE + 0.5) / SIZE], 1)
    assert np.abs(uv - truth).max() < 0.6 / SIZE
    assert np.percentile(np.abs(uv - truth), 99) < 1e-5
    assert (cells.region == TRUNK).all()
    # On an ellipse of half widths 0.17 and 0.11 a quarter is 0.2233 m long (complete elliptic integral).
    assert np.abs(cells.across).max() == pytest.approx(0.2233, rel=0.03)
    assert cells.image(cells.position).shape == (SIZE, SIZE, 3)


def test_islands_beyond_the_square_wrap_into_it() -> None:
    corners = np.array([[[0.1, 0.1], [0.6, 0.1], [0.1, 0.6]]], np.float32)
    index, face, bary = rasterize(corners, 64)
    moved, _, other = rasterize(corners + np.array([2, -1], np.float32), 64)
    assert np.array_equal(index, moved) and np.allclose(bary, other, atol=1e-4) and not face.any()
    assert len(index) == pytest.approx(0.125 * 64 * 64, rel=0.05)


def test_limbs_are_told_from_the_trunk() -> None:
    vertices, faces, uvs = tube(-0.5, 0.3)
    sleeve = vertices[:, [1, 0, 2]] * np.array([1, 0.3, 0.5], np.float32) + np.array([0.75, 0.413, 0], np.float32)
    assert (map_texels(sleeve, faces, uvs, 64).region == LEFT_ARM).all()
    narrow = vertices * np.array([0.3, 1, 0.5], np.float32) + np.array([0.111, -0.3, 0], np.float32)
    cells = map_texels(narrow, faces, uvs, 64)
    assert set(np.unique(cells.region)) == {TRUNK, LEFT_LEG}
    assert (map_texels(narrow, faces, uvs, 64, legs=False).region == TRUNK).all()


def test_the_hem_is_where_the_mesh_is_open() -> None:
    vertices, faces, _ = tube(0.0, 0.46, rings=24)
    distance = distance_to_hem(vertices, faces)
    y = vertices[:, 1]
    assert np.allclose(distance, np.minimum(y, 0.46 - y), atol=1e-3)


def test_a_print_on_the_chest_is_on_the_chest_alone() -> None:
    vertices, faces, uvs = tube(-0.1, 0.45)
    art = {"kind": "circle", "text": "", "back": False, "right_m": 0.0, "up_m": 0.25, "size_m": 0.2}
    art |= {"color": [0.9, 0.1, 0.1], "second": [0.9, 0.1, 0.1]}
    cells = map_texels(vertices, faces, uvs, SIZE, legs=False)
    red = paint_texels(fabric("plain", artwork=[art]), cells)
    red = (red[:, 0] > 0.6) & (red[:, 1] < 0.3)
    assert red.any() and (cells.position[red, 2] > 0).all()
    away = np.hypot(cells.across[red], cells.position[red, 1] - 0.25)
    assert away.max() < 0.1 and away.max() > 0.08


def test_oklab_agrees_with_cielab_on_grey_and_returns() -> None:
    grey = lab2rgb(np.array([[[50.0, 0, 0]]]))[0, 0]
    assert np.abs(to_oklab(grey)[1:]).max() < 1e-3
    colors = np.array(list(NAMED.values())) / 255
    assert np.allclose(from_oklab(to_oklab(colors)), colors, atol=2e-3)
    assert np.allclose(to_srgb(to_linear(colors)), colors, atol=1e-4)
    assert all(name_of(np.array(color) / 255) == name for name, color in NAMED.items())


def test_a_kept_texture_is_called_by_what_covers_most_of_it() -> None:
    texture = np.zeros((40, 40, 3), np.uint8)
    texture[:] = NAMED["green"]
    texture[:12] = NAMED["red"]
    assert texture_words(texture) == "green"
    alpha = np.zeros((40, 40), np.uint8)
    alpha[:20] = 255
    assert texture_words(texture, alpha) == "red"
    assert texture_words(texture, np.zeros((40, 40), np.uint8)) == ""
