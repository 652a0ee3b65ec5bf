"""Remake samples/: a simulated RGB-D capture of one synthetic person and a photo of another.

python install/make/make_samples.py [--out samples]
Both wear items of the people pack under CC0-1.0 alone, so that the samples are CC0 too.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from likeness.core.camera import Camera
from likeness.synthesis.depth_sensors import SENSORS, simulate
from likeness.synthesis.dress import dress
from likeness.synthesis.figure import Posed
from likeness.synthesis.pack import Pack, load_pack
from likeness.synthesis.picture import develop, render
from likeness.synthesis.places import place_of
from likeness.synthesis.poses import natural_pose
from likeness.synthesis.recipes import Recipe, draw_recipe
from likeness.synthesis.scene import Scene
from likeness.synthesis.stance import pose_person
from likeness.synthesis.view import Frame, View, look_at
from PIL import Image

CC0 = "CC0-1.0"
FOCAL_35_MM = 40
DEPTH_SCALE_M = 0.001
PORTRAIT = Camera(1250.0, 1250.0, 359.5, 639.5, 720, 1280)
SUPERSAMPLE = 4


@dataclass(frozen=True)
class Sitting:
    """Who stands where: seeds of the person and of the pose, a place by kind and seed, the camera's azimuth."""

    person: int
    pose: int
    place: tuple[str, int]
    yaw_deg: float


CAPTURED = Sitting(person=130, pose=9, place=("room", 3), yaw_deg=-12.0)
PHOTOGRAPHED = Sitting(person=171, pose=11, place=("street", 9), yaw_deg=0.0)


def recipe_of(pack: Pack, sitting: Sitting) -> Recipe:
    """The person of a sitting. Raises ValueError where an item is not under CC0."""
    recipe = draw_recipe(pack, np.random.default_rng((8, sitting.person)), "train")
    other = {item for item in recipe.items if pack.assets[item].licence != CC0}
    if other:
        raise ValueError(f"not CC0: {sorted(other)}")
    return recipe


def posed_person(pack: Pack, sitting: Sitting) -> Posed:
    """The dressed person in the pose."""
    rng = np.random.default_rng((8, 1, sitting.pose))
    return pose_person(dress(recipe_of(pack, sitting), pack), natural_pose(rng), rng)


def view_of(camera: Camera, yaw_deg: float, distance_m: float, height_m: float = 1.2, aim_m: float = 0.92) -> View:
    """A camera at the height of a chest that looks a little down."""
    yaw = np.radians(yaw_deg)
    eye = np.array([distance_m * np.sin(yaw), height_m, distance_m * np.cos(yaw)])
    return look_at(camera, eye, np.array([0.0, aim_m, 0.0]))


def photo_camera() -> Camera:
    """FOCAL_35_MM on 24 x 36 mm, portrait; EXIF's focal length is defined over the picture's diagonal."""
    width, height = 900, 1200
    focal = float(FOCAL_35_MM / np.hypot(24, 36) * np.hypot(width, height))
    return Camera(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)


def picture(posed: Posed, sitting: Sitting, view: View, seed: int) -> tuple[np.ndarray, Frame, Scene]:
    """The developed picture (H, W, 3) u8, its frame and scene."""
    scene, place = Scene(posed), place_of(*sitting.place)
    frame = render(scene, view, place, supersample=SUPERSAMPLE)
    color = develop(frame.color, place.exposure, generator=torch.Generator().manual_seed(seed))
    return color.numpy(), frame, scene


def write_capture(folder: Path, pack: Pack, sitting: Sitting) -> Posed:
    """color.jpg, depth.png in millimetres with the room cut away, mask.png, intrinsics.json."""
    posed, view = posed_person(pack, sitting), view_of(PORTRAIT, sitting.yaw_deg, 2.4)
    color, frame, scene = picture(posed, sitting, view, 1)
    place = place_of(*sitting.place)
    reading = simulate(
        lambda seen: render(scene, seen, place, outputs="geometry"),
        view,
        SENSORS["azure_kinect"],
        torch.Generator().manual_seed(8),
        frame=frame,
    )
    outline = frame.mask.numpy()
    near = reading.depth.numpy() < frame.depth[frame.mask].max().item() + 0.2
    depth = np.where(outline & near, reading.depth.numpy(), 0)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(color).save(folder / "color.jpg", quality=92, subsampling=0, optimize=True)
    Image.fromarray(np.round(depth / DEPTH_SCALE_M).astype(np.uint16)).save(folder / "depth.png", optimize=True)
    Image.fromarray(outline.astype(np.uint8) * 255).convert("1").save(folder / "mask.png", optimize=True)
    record = {**view.camera.to_dict(), "depth_scale": DEPTH_SCALE_M}
    (folder / "intrinsics.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return posed


def write_photo(path: Path, pack: Pack, sitting: Sitting) -> Posed:
    """A JPEG with the camera's 35 mm focal length in EXIF, as telephones do."""
    posed = posed_person(pack, sitting)
    color, _, _ = picture(posed, sitting, view_of(photo_camera(), sitting.yaw_deg, 2.9, aim_m=0.86), 2)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = FOCAL_35_MM
    Image.fromarray(color).save(path, quality=90, subsampling=0, optimize=True, exif=exif)
    return posed


def facts(pack: Pack, sitting: Sitting, posed: Posed) -> dict[str, Any]:
    """What made_of.json says of one person."""
    heights = np.concatenate([layer.vertices[:, 1] for layer in posed.layers])
    return {
        "caption": posed.dressed.caption,
        "height_m": round(float(np.ptp(heights)), 3),
        "licences": {item: pack.assets[item].licence for item in sorted(recipe_of(pack, sitting).items)},
    }


def main() -> None:
    """Remake the samples and their record of what they were made of."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "samples")
    options = parser.parse_args()
    pack = load_pack()
    captured = write_capture(options.out / "capture", pack, CAPTURED)
    photographed = write_photo(options.out / "photo.jpg", pack, PHOTOGRAPHED)
    record = {
        "script": "install/make/make_samples.py",
        "capture": facts(pack, CAPTURED, captured),
        "photo": facts(pack, PHOTOGRAPHED, photographed),
    }
    (options.out / "made_of.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
