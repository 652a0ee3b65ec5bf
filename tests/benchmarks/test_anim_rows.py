"""The comparison's driver: rows that exist, ratios as published, made pairs as an owner's."""

from __future__ import annotations

import numpy as np
import pytest
from anim import PUBLISHED, SHOWN, orders, ratios
from anim_made_pairs import write_pair
from anim_rows import all_rows, folder_of
from anim_set import DEPTH_SCALE_M, Case
from likeness.core.files import write_json
from likeness.surface.anim.config import ROWS, variants
from likeness.synthesis.scans import find_pairs, read_pair
from PIL import Image


def test_every_row_is_a_variant_with_a_place_of_its_own(tmp_path):
    rows = all_rows()
    assert set(PUBLISHED) < set(rows) and {row.variant for row in rows.values()} <= set(variants(ROWS))
    assert {row.after or "ANIM" for row in rows.values()} | {"ANIM"} <= set(rows)
    trained = [folder_of(tmp_path, name) for name, row in rows.items() if not row.weights_of]
    assert len(set(trained)) == len(trained)


def test_ratios_and_orders_are_those_of_the_row_anim():
    lines = [{"row": "ANIM", "chamfer": 1.0}, {"row": "PIFu+D", "chamfer": 4.0}, {"row": "other", "chamfer": 2.0}]
    assert ratios(lines) == [{"row": "PIFu+D", "ours": 0.25, "RenderPeople": 0.45, "THuman2.0": 0.21}]
    found = {
        (row, person, "front", "ideal"): dict.fromkeys(SHOWN, value + 0.01 * person)
        for row, value in (("PIFu+D", 4.0), ("ANIM", 1.0), ("other", 2.0))
        for person in range(4)
    }
    told = [line for line in orders(found, ["PIFu+D", "ANIM", "other"], "ideal", "ANIM") if line["column"] == "chamfer"]
    assert [(line["first"], line["second"], line["order"]) for line in told] == [
        ("PIFu+D", "ANIM", ">"),
        ("other", "ANIM", ">"),
    ]
    assert told[0]["difference"] == pytest.approx(3.0)


def test_a_made_pair_is_read_as_an_owners(tmp_path):
    """Its scan, seen by its camera, lies where the truth lies in camera space."""
    folder = tmp_path / "000003" / "front" / "ideal"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    vertices = rng.uniform(-0.5, 0.5, (30, 3)) * (0.6, 1.8, 0.4) + (1.0, 0.9, -2.0)
    np.savez(tmp_path / "000003" / "truth.npz", vertices=vertices, faces=np.arange(30).reshape(-1, 3))
    turn = np.array([[0.0, 0, 1, 0.3], [0, -1, 0, 1.0], [1, 0, 0, 2.5], [0, 0, 0, 1]])
    write_json(folder.parent / "view.json", {"camera_from_world": turn.tolist()})
    write_json(folder / "intrinsics.json", {"fx": 9.0, "fy": 8.0, "cx": 3.5, "cy": 2.5, "width": 8, "height": 6})
    depth = rng.integers(10_000, 30_000, (6, 8)).astype(np.uint16)
    Image.fromarray(depth).save(folder / "depth.png")
    for name, shape in (("color", (6, 8, 3)), ("mask", (6, 8))):
        Image.fromarray(np.full(shape, 255, np.uint8)).save(folder / f"{name}.png")
    write_pair(Case(3, "front", "ideal", folder), tmp_path / "pairs")
    pair = read_pair(find_pairs(tmp_path / "pairs")[0])
    assert np.allclose(pair.view.to_camera(pair.scan.vertices), vertices @ turn[:3, :3].T + turn[:3, 3], atol=2e-4)
    assert np.allclose(pair.depth, depth * DEPTH_SCALE_M) and pair.mask.all() and pair.view.camera.fx == 9.0
