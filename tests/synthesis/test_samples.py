"""The shipped samples: small, licensed, readable, and what their script makes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from likeness.synthesis.render import View, render_color, render_depth
from likeness.synthesis.wardrobe import Wardrobe, recipe_items
from PIL import Image

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_samples", ROOT / "install" / "make" / "make_samples.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX), np.float32)


def test_samples_stay_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) < 3_000_000


def test_capture_is_a_registered_pair_of_a_person() -> None:
    intrinsics = json.loads((SAMPLES / "capture" / "intrinsics.json").read_text(encoding="utf-8"))
    color = Image.open(SAMPLES / "capture" / "color.jpg")
    depth = np.asarray(Image.open(SAMPLES / "capture" / "depth.png"))
    assert color.size == (intrinsics["width"], intrinsics["height"]) == depth.shape[::-1]
    assert depth.dtype == np.uint16 and intrinsics["depth_scale"] == 0.001
    seen = depth[depth > 0]
    assert 0.1 < len(seen) / depth.size < 0.4
    assert seen.min() > 1800 and seen.max() < 3000


def test_photo_tells_its_focal_length(script: ModuleType) -> None:
    photo = Image.open(SAMPLES / "photo.jpg")
    assert photo.getexif().get_ifd(0x8769)[0xA405] == script.FOCAL_35_MM
    assert photo.height > photo.width


def test_samples_are_made_of_cc0_items_alone(script: ModuleType, wardrobe_folder: Path) -> None:
    record = json.loads((SAMPLES / "made_of.json").read_text(encoding="utf-8"))
    used = {item for recipe in (script.CAPTURED, script.PHOTOGRAPHED) for item in recipe_items(recipe)}
    assert set(record["licences"]) == used
    assets = json.loads((wardrobe_folder / "assets.json").read_text(encoding="utf-8"))
    licences = {asset["id"]: asset["licence"] for asset in assets}
    assert {licences[item] for item in used} == {"CC0-1.0"}


def test_the_script_makes_the_capture_s_depth(script: ModuleType, wardrobe: Wardrobe) -> None:
    person, view = script.capture_scene(wardrobe)
    intrinsics = json.loads((SAMPLES / "capture" / "intrinsics.json").read_text(encoding="utf-8"))
    assert {k: intrinsics[k] for k in view.camera.to_dict()} == view.camera.to_dict()
    clean = render_depth(person, view)
    read = np.asarray(Image.open(SAMPLES / "capture" / "depth.png")) * np.float32(0.001)
    both = clean.person & (read > 0)
    # Holes and eroded edges cost some of the outline; nothing lies outside it.
    assert both.sum() > 0.9 * clean.person.sum() and both.sum() == (read > 0).sum()
    mask = np.asarray(Image.open(SAMPLES / "capture" / "mask.png"))
    assert (mask != clean.person).mean() < 1e-4  # another processor's rounding may move single pixels
    assert np.median(np.abs(read - clean.depth)[both]) < 0.008  # bias, wiggle and noise of the sensor together


@pytest.mark.parametrize("which", ["capture/color.jpg", "photo.jpg"])
def test_the_script_makes_the_pictures(script: ModuleType, wardrobe: Wardrobe, which: str) -> None:
    photo = which == "photo.jpg"
    person, view = (script.photo_scene if photo else script.capture_scene)(wardrobe)
    shipped = np.asarray(Image.open(SAMPLES / which))
    width, height = view.camera.width // 4, view.camera.height // 4
    room = {"room": script.PHOTO_ROOM, "lighting": script.PHOTO_LIGHT} if photo else {}
    again = render_color(person, View(view.camera.scaled(width, height), view.camera_from_world), samples=4, **room)
    # Grain apart, which blocks of 9 pixels average out.
    error = np.abs(small(again, width // 3, height // 3) - small(shipped, width // 3, height // 3))
    assert error.mean() < 4 and np.percentile(error, 99) < 40
