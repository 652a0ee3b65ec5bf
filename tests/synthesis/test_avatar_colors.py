"""Finishing the colour of avatars, on a made-up person: a drum in a striped shirt with a ball for a head."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "install" / "make"))
import avatar_colors
import avatar_fill
import avatar_texels

ROWS, COLUMNS = 16, 24
RED, WHITE, SKIN, HAIR = (170, 40, 40), (225, 225, 225), (205, 150, 125), (40, 30, 25)


def tube(low: float, high: float, radius: np.ndarray, corner: tuple[float, float]) -> tuple[np.ndarray, ...]:
    """Vertices, triangles, uvs and corner UVs of a tube about the Y axis, its seam at the back; a quarter of the UV
    square from `corner`. Angle 0 looks to +Z."""
    turn, row = np.meshgrid(np.linspace(-np.pi, np.pi, COLUMNS + 1), np.linspace(0, 1, ROWS + 1))
    uvs = np.stack([corner[0] + 0.45 * (turn + np.pi) / (2 * np.pi), corner[1] + 0.45 * row], -1).reshape(-1, 2)
    width = np.repeat(radius, COLUMNS)
    around = turn[:, :-1].ravel()
    height = low + (high - low) * row[:, :-1].ravel()
    vertices = np.stack([width * np.sin(around), height, width * np.cos(around)], -1)
    a = np.arange(ROWS)[:, None] * COLUMNS + np.arange(COLUMNS)
    b = np.arange(ROWS)[:, None] * COLUMNS + (np.arange(COLUMNS) + 1) % COLUMNS
    triangles = np.stack([a, b, b + COLUMNS, a, b + COLUMNS, a + COLUMNS], -1).reshape(-1, 3)
    c = np.arange(ROWS)[:, None] * (COLUMNS + 1) + np.arange(COLUMNS)
    corners = np.stack([c, c + 1, c + COLUMNS + 2, c, c + COLUMNS + 2, c + COLUMNS + 1], -1).reshape(-1, 3)
    return vertices, triangles, uvs, corners


def striped(height: np.ndarray) -> np.ndarray:
    """Whether a height falls into a white stripe of 6 cm."""
    return np.mod(height, 0.12) < 0.06


@pytest.fixture(scope="module")
def person() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The arrays of an avatar and its atlas; what lies behind is green, which no seen texel is."""
    trunk = tube(0.95, 1.5, np.full(ROWS + 1, 0.17), (0.02, 0.02))
    head = tube(1.5, 1.8, 0.04 + 0.05 * np.sin(np.linspace(0.4, 2.7, ROWS + 1)), (0.52, 0.02))
    count = len(trunk[0])
    vertices = np.concatenate([trunk[0], head[0]])
    angle = np.arctan2(vertices[:, 0], vertices[:, 2])
    seen, mirrored = (angle > -1.0) & (angle < 1.3), (angle < -0.9) & (angle > -1.3)
    bone = np.repeat([1, 2], [count, len(head[0])])
    uvs = np.concatenate([trunk[2], head[2]])
    avatar = {
        "vertices": vertices,
        "triangles": np.concatenate([trunk[1], head[1] + count]),
        "uvs": uvs * 65535,
        "triangle_uv": np.concatenate([trunk[3], head[3] + len(trunk[2])]),
        "material": np.repeat([0, 1], [len(trunk[1]), len(head[1])]),
        "material_names": np.array(["body", "head"]),
        "bone_smplh52": np.array([0, 6, 15]),
        "skin_bones": np.stack([bone, bone, bone, bone], 1),
        "skin_weights": np.tile([255, 0, 0, 0], (len(vertices), 1)),
        "seen": seen.astype(np.uint8),
        "mirrored": (mirrored & ~seen).astype(np.uint8),
        "joints52": np.tile([0.0, 0.9, 0.0], (52, 1)),
    }
    size = avatar_texels.SIZE
    row, column = np.mgrid[:size, :size]
    u, v = (column + 0.5) / size, 1 - (row + 0.5) / size
    left = u < 0.5
    turn = (np.where(left, u - 0.02, u - 0.52) / 0.45 * 2 - 1) * np.pi
    share = (v - 0.02) / 0.45
    atlas = np.where(striped(0.95 + 0.55 * share)[..., None], WHITE, RED)
    face = np.where((share > 0.62)[..., None], HAIR, SKIN)
    atlas = np.where(left[..., None], atlas, face)
    atlas[np.abs(turn) > 1.32] = (0, 160, 0)
    return avatar, atlas.astype(np.uint8)


@pytest.fixture(scope="module")
def finished(person: tuple[dict[str, np.ndarray], np.ndarray]) -> tuple[avatar_texels.Texels, np.ndarray, np.ndarray]:
    """The texels of the finished person, the atlas and what of it is known."""
    new, known = avatar_colors.finish(*person, 0, caption="man, striped shirt, dark hair")
    return texels(person[0], new), new, known


def texels(avatar: dict[str, np.ndarray], atlas: np.ndarray) -> avatar_texels.Texels:
    return avatar_texels.gather(avatar, atlas)


def test_the_back_carries_the_stripes_of_the_front(finished: tuple[avatar_texels.Texels, ...]) -> None:
    found = finished[0]
    back = (found.position[:, 2] < -0.05) & (found.position[:, 1] < 1.45)
    away = np.abs(np.mod(found.position[:, 1], 0.06) - 0.03) < 0.02
    bright = found.lab[:, 0] > 70
    assert (bright == striped(found.position[:, 1]))[back & away].mean() > 0.97
    assert (found.lab[back, 1] > -5).all()


def test_hair_closes_over_the_back_and_skin_stays_below(finished: tuple[avatar_texels.Texels, ...]) -> None:
    found = finished[0]
    behind = (found.group == avatar_texels.NAMES.index("head")) & (found.position[:, 2] < -0.03)
    hair, skin = rgb2lab(np.array([HAIR, SKIN]) / 255.0)
    high, low = behind & (found.position[:, 1] > 1.70), behind & (found.position[:, 1] < 1.57)
    assert np.linalg.norm(found.lab[high].mean(0) - hair) < 8
    assert np.linalg.norm(found.lab[low].mean(0) - skin) < 12


def test_a_bald_head_is_skin_all_round(person: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    avatar, atlas = person
    new, _ = avatar_colors.finish(avatar, atlas, 0, caption="man, striped shirt, bald")
    found = texels(avatar, new)
    behind = (found.group == avatar_texels.NAMES.index("head")) & (found.position[:, 2] < -0.03)
    skin = rgb2lab(np.array([SKIN]) / 255.0)[0]
    assert np.linalg.norm(np.median(found.lab[behind], 0) - skin) < 12


def test_known_is_what_was_seen_and_mirrored_texels_are_kept(
    finished: tuple[avatar_texels.Texels, np.ndarray, np.ndarray],
) -> None:
    found, _, known = finished
    angle = np.arctan2(found.position[:, 0], found.position[:, 2])
    mask = known[found.row, found.column]
    assert mask[(angle > -0.75) & (angle < 1.0)].all() and not mask[(angle < -1.0) | (angle > 1.3)].any()
    assert known.sum() == mask.sum()
    flat = (found.mirrored) & (found.position[:, 1] < 1.5)
    away = np.abs(np.mod(found.position[:, 1], 0.06) - 0.03) < 0.02
    assert ((found.lab[:, 0] > 70) == striped(found.position[:, 1]))[flat & away].all()


def test_the_same_seed_gives_the_same_atlas(
    person: tuple[dict[str, np.ndarray], np.ndarray], finished: tuple[avatar_texels.Texels, np.ndarray, np.ndarray]
) -> None:
    again, _ = avatar_colors.finish(*person, 0, caption="man, striped shirt, dark hair")
    assert (again == finished[1]).all()


def test_light_from_above_is_taken_out_of_one_cloth() -> None:
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((4000, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    lab = np.zeros((4000, 3))
    lab[:, 0] = 60 * np.exp(0.25 * normal[:, 1]) * np.exp(rng.normal(0, 0.02, 4000))
    flat = avatar_colors._without_light(lab, normal, np.zeros(4000, int), np.ones(4000, bool))
    assert flat[:, 0].std() < 0.4 * lab[:, 0].std()
    assert abs(np.corrcoef(flat[:, 0], normal[:, 1])[0, 1]) < np.corrcoef(lab[:, 0], normal[:, 1])[0, 1]


def test_texels_lie_where_their_triangles_say() -> None:
    uv = np.array([[[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]]])
    triangle, bary = avatar_texels.rasterize(uv, np.array([0]), 64)
    row, column = np.nonzero(triangle == 0)
    place = (bary[row, column][:, :, None] * uv[0]).sum(1)
    assert np.abs(place[:, 0] * 64 - 0.5 - column).max() < 1e-9
    assert np.abs((1 - place[:, 1]) * 64 - 0.5 - row).max() < 1e-9
    assert len(row) == pytest.approx(0.5 * 0.8 * 0.8 * 64 * 64, rel=0.07)


def test_folded_places_stay_in_reach_and_run_on() -> None:
    angle = np.linspace(-np.pi, np.pi, 1001)
    reach, inner, facing = np.full(1001, 1.4), np.full(1001, 0.3), np.full(1001, 0.9)
    near, right = np.abs(angle) < 1.4, angle > 0
    folded, tiled = avatar_fill._folded(angle, reach, inner), avatar_fill._tiled(angle, reach, inner, facing)
    for out in (folded, tiled):
        assert (out[near] == angle[near]).all() and (np.abs(out) <= 1.4).all()
        assert (np.abs(out[~near]) >= 0.3 - 1e-12).all()
        assert np.abs(np.diff(out[~near & right])).max() < 0.01
    assert np.abs(np.diff(folded[right])).max() < 0.01
    # A print keeps its scale: every step behind is as long as the step in front that it copies.
    assert np.median(np.abs(np.diff(tiled[~near & right]))) == pytest.approx(angle[1] - angle[0])
    assert np.abs(tiled[~near]).max() <= 0.9 + 1e-12


def test_islands_are_padded(person: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    found = texels(*person)
    blue = rgb2lab(np.array([[[0.2, 0.2, 0.8]]]))[0, 0]
    padded = avatar_texels.write(found, np.tile(blue, (len(found.row), 1)))
    rgb = lab2rgb(blue[None, None])[0, 0] * 255
    corner = found.row.min() - avatar_texels.PAD_PX + 1
    assert np.abs(padded[corner, int(np.median(found.column))] - rgb).max() < 2
