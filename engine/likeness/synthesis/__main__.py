"""Command line: python -m likeness.synthesis --data DIR --out DIR --count N."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from likeness.core.errors import LikenessError
from likeness.synthesis.captures import render_rgbd, write_capture, write_truth
from likeness.synthesis.person import make_person
from likeness.synthesis.posing import clip_pose, relaxed_pose
from likeness.synthesis.sensors import AZURE_KINECT, IDEAL
from likeness.synthesis.wardrobe import CC0, Recipe, Wardrobe

CALM_CLIPS = ("idle_a", "wave", "walk_02_01", "walk_07_01", "reach", "turn", "punch_02_05")


def draw_person(wardrobe: Wardrobe, index: int, seed: int) -> tuple[Recipe, np.ndarray, float]:
    """Recipe, pose (24, 3) and yaw in degrees of the index-th person: every third pose comes from a motion clip."""
    rng = np.random.default_rng((seed, index))
    recipes = wardrobe.recipes
    recipe = recipes[(index * 7 + int(rng.integers(2))) % len(recipes)]
    recipe = replace(recipe, macro={**recipe.macro, "height": float(rng.uniform(0.4, 0.6))})
    yaw = float((0, 30, 90, 180)[index % 4] + rng.uniform(-6, 6))
    if index % 3 == 2:
        clip = CALM_CLIPS[int(rng.integers(len(CALM_CLIPS)))]
        return recipe, clip_pose(wardrobe.folder / "motion" / f"{clip}.npz", float(rng.random())), yaw
    return recipe, relaxed_pose(rng, float(rng.uniform(18, 40))), yaw


def main(arguments: list[str] | None = None) -> int:
    """Write `count` captures with truth.npz under --out; returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m likeness.synthesis", description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="wardrobe folder with assets.json")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=8, help="rays a pixel")
    parser.add_argument("--sensor", choices=("azure", "ideal"), default="azure")
    parser.add_argument("--background", action="store_true", help="keep floor and walls in the depth")
    options = parser.parse_args(arguments)
    try:
        wardrobe = Wardrobe(options.data, frozenset([CC0]))
        sensor = AZURE_KINECT if options.sensor == "azure" else IDEAL
        for index in range(options.count):
            recipe, pose, yaw = draw_person(wardrobe, index, options.seed)
            person = make_person(recipe, wardrobe, pose, yaw_deg=yaw)
            capture = render_rgbd(
                person, sensor=sensor, samples=options.samples, seed=options.seed + index, background=options.background
            )
            folder = options.out / f"{index:03d}"
            write_capture(folder, capture)
            write_truth(folder / "truth.npz", capture)
    except LikenessError as error:
        sys.stderr.write(f"{error.message} {error.hint}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
