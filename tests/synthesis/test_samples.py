"""The shipped samples: small, licensed, readable, and what their script makes."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from likeness.synthesis.pack import load_pack
from likeness.synthesis.picture import render
from likeness.synthesis.scene import Scene
from PIL import Image

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_samples", ROOT / "install" / "make" / "make_samples.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_samples"] = module
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


def test_samples_are_made_of_cc0_items_alone(script: ModuleType) -> None:
    record = json.loads((SAMPLES / "made_of.json").read_text(encoding="utf-8"))
    pack = load_pack()
    for name, sitting in (("capture", script.CAPTURED), ("photo", script.PHOTOGRAPHED)):
        used = set(script.recipe_of(pack, sitting).items)
        assert set(record[name]["licences"]) == used
        assert {pack.assets[item].licence for item in used} == {script.CC0}


def test_the_script_makes_the_capture(script: ModuleType) -> None:
    """Outline and depth at a quarter of the size, and the picture but for its grain."""
    posed = script.posed_person(load_pack(), script.CAPTURED)
    view = script.view_of(script.PORTRAIT.scaled(180, 320), script.CAPTURED.yaw_deg, 2.4)
    frame = render(Scene(posed), view, outputs="geometry")
    mask = small(np.asarray(Image.open(SAMPLES / "capture" / "mask.png").convert("L")), 180, 320) / 255
    assert np.abs(mask - frame.mask.numpy()).mean() < 0.006
    read = np.asarray(Image.open(SAMPLES / "capture" / "depth.png"))[2::4, 2::4] * np.float32(0.001)
    both = frame.mask.numpy() & (read > 0)
    # Holes and eroded edges cost some of the outline.
    assert both.sum() > 0.9 * frame.mask.sum()
    assert np.median(np.abs(read - frame.depth.numpy())[both]) < 0.008


@pytest.mark.parametrize("which", ["capture/color.jpg", "photo.jpg"])
def test_the_script_makes_the_pictures(script: ModuleType, which: str) -> None:
    photo = which == "photo.jpg"
    sitting = script.PHOTOGRAPHED if photo else script.CAPTURED
    camera = (script.photo_camera() if photo else script.PORTRAIT).scaled(180, 240 if photo else 320)
    view = script.view_of(camera, sitting.yaw_deg, *((2.9, 1.2, 0.86) if photo else (2.4,)))
    again, _, _ = script.picture(script.posed_person(load_pack(), sitting), sitting, view, 2 if photo else 1)
    shipped = np.asarray(Image.open(SAMPLES / which))
    width, height = camera.width // 4, camera.height // 4
    error = np.abs(small(again, width, height) - small(shipped, width, height))
    assert error.mean() < 6 and np.percentile(error, 99) < 45
