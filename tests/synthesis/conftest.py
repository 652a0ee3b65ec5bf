"""The wardrobe of raw material, where the checkout has one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from likeness.synthesis.wardrobe import CC0, Wardrobe


@pytest.fixture(scope="session")
def wardrobe_folder() -> Path:
    shared = Path(os.environ.get("LIKENESS_SHARED", Path(__file__).parents[3] / "shared"))
    folder = shared / "data" / "train"
    if not (folder / "assets.json").is_file():
        pytest.skip("no raw material: set LIKENESS_SHARED to the folder that holds data/train")
    return folder


@pytest.fixture(scope="session")
def wardrobe(wardrobe_folder: Path) -> Wardrobe:
    return Wardrobe(wardrobe_folder, frozenset([CC0]))
