"""Remake samples/: a simulated RGB-D capture of one synthetic person and a photo of another.

python install/make/make_samples.py --data DIR [--out samples] [--samples 96]
DIR is a wardrobe folder (assets.json, body/, garments/, ...). Only its items under CC0-1.0 are used.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from likeness.core.camera import Camera
from likeness.synthesis.captures import PORTRAIT, render_rgbd, write_capture
from likeness.synthesis.person import SyntheticPerson, make_person
from likeness.synthesis.posing import relaxed_pose
from likeness.synthesis.render import View, render_color, standing_view
from likeness.synthesis.room import Room
from likeness.synthesis.shading import Lighting
from likeness.synthesis.wardrobe import CC0, Recipe, Wardrobe, recipe_items
from PIL import Image

SEED = 8
FOCAL_35_MM = 40
_AVERAGE = {"age": 0.5, "muscle": 0.55, "weight": 0.45, "height": 0.5, "proportions": 0.6}
CAPTURED = Recipe(
    "sample_capture",
    {**_AVERAGE, "gender": 1.0, "african": 0.8, "asian": 0.1, "caucasian": 0.1, "height": 0.46},
    "young_african_male",
    ("male_casualsuit05", "shoes01"),
    "short04",
    brows=(18, 13, 11),
)
PHOTOGRAPHED = Recipe(
    "sample_photo",
    {**_AVERAGE, "gender": 0.0, "african": 0.05, "asian": 0.15, "caucasian": 0.8, "height": 0.56},
    "young_caucasian_female_b",
    ("female_sportsuit01", "shoes02"),
    "ponytail01",
    eyes="green_eye",
    brows=(52, 36, 26),
    dye={"female_sportsuit01": (2, 0, 1)},
)
PHOTO_ROOM = Room(
    back_m=2.0,
    side_m=2.1,
    wall=(0.60, 0.54, 0.44),
    lower_wall=(0.60, 0.54, 0.44),
    floor=(0.24, 0.235, 0.23),
    plank_m=0.6,
    rail=False,
    picture=(0.72, 1.2, 1.32, 2.0),
)
PHOTO_LIGHT = replace(Lighting(), corner=(-2.2, 1.0, 2.6), edge_a=(1.6, 0.0, 1.2))


def capture_scene(wardrobe: Wardrobe) -> tuple[SyntheticPerson, View]:
    """The person of samples/capture, turned a little from the camera, and the camera."""
    pose = relaxed_pose(np.random.default_rng(SEED), 24.0)
    return make_person(CAPTURED, wardrobe, pose, yaw_deg=12.0), standing_view(PORTRAIT)


def photo_scene(wardrobe: Wardrobe) -> tuple[SyntheticPerson, View]:
    """The person of samples/photo.jpg and the camera: FOCAL_35_MM on 24 x 36 mm, portrait."""
    width, height = 900, 1200
    # EXIF's 35 mm focal length is defined over the picture's diagonal.
    focal = FOCAL_35_MM / np.hypot(24, 36) * np.hypot(width, height)
    camera = Camera(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)
    pose = relaxed_pose(np.random.default_rng(SEED + 1), 26.0)
    return make_person(PHOTOGRAPHED, wardrobe, pose, yaw_deg=-8.0), standing_view(camera, distance_m=2.9, aim_m=0.86)


def write_photo(path: Path, person: SyntheticPerson, view: View, samples: int) -> None:
    """Write a JPEG with the camera's 35 mm focal length in EXIF, as telephones do."""
    color = render_color(person, view, samples=samples, seed=SEED + 1, room=PHOTO_ROOM, lighting=PHOTO_LIGHT)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = FOCAL_35_MM
    Image.fromarray(color).save(path, quality=90, subsampling=0, optimize=True, exif=exif)


def main() -> None:
    """Remake the samples and their record of what they were made of."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "samples")
    parser.add_argument("--samples", type=int, default=64, help="rays a pixel")
    options = parser.parse_args()
    wardrobe = Wardrobe(options.data, frozenset([CC0]))
    person, view = capture_scene(wardrobe)
    capture = render_rgbd(person, view, samples=options.samples, seed=SEED)
    write_capture(options.out / "capture", capture, jpeg_quality=92, outline=True)
    write_photo(options.out / "photo.jpg", *photo_scene(wardrobe), options.samples)
    items = {item: wardrobe.assets[item]["licence"] for r in (CAPTURED, PHOTOGRAPHED) for item in recipe_items(r)}
    record = {
        "script": "install/make/make_samples.py",
        "seed": SEED,
        "rays_a_pixel": options.samples,
        "licences": dict(sorted(items.items())),
        "people_height_m": {"capture": _height(person), "photo": _height(photo_scene(wardrobe)[0])},
    }
    (options.out / "made_of.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _height(person: SyntheticPerson) -> float:
    return round(float(np.ptp(person.vertices[:, 1])), 3)


if __name__ == "__main__":
    main()
