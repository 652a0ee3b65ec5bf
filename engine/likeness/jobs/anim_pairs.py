"""Scans with aligned frames of a real RGB-D camera, as poses to learn from: the paper's ANIM-Real step on one's own."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from likeness.capture.cleaning import clean_depth
from likeness.core.errors import LikenessError
from likeness.core.files import write_bytes
from likeness.jobs.anim_samples import BODY, depth_steps, point_arrays
from likeness.surface.anim.crop import averaged, crop_camera, nearest
from likeness.synthesis.outer import outer_surface
from likeness.synthesis.picture import render
from likeness.synthesis.points import draw_points
from likeness.synthesis.scans import Pair, find_pairs, read_pair, scan_layer
from likeness.synthesis.scene import Scene

POINTS, VOXEL_M = 24_000, 0.006
# One in so many pairs is kept to look at.
VAL_EVERY = 10


def pair_arrays(pair: Pair, image: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """One pair as `pose_arrays` stores a pose with one view; no body (its hits are all 0), colours are the texture's.

    Raises LikenessError("input.scan") where the camera has no reading on the scan.
    """
    posed = scan_layer(pair.scan)
    scene = Scene(posed)
    camera = pair.view.camera
    frame = render(scene, pair.view, outputs="geometry")
    clean = np.where(frame.mask.numpy(), frame.depth.numpy(), 0).astype(np.float32)
    mask = clean > 0 if pair.mask is None else pair.mask
    depth, _ = clean_depth(pair.depth, mask, (camera.fx + camera.fy) / 2)
    if not (depth > 0).any():
        raise LikenessError(
            "input.scan",
            f"{pair.scan.name}: the camera has no reading where the scan is.",
            "Check that scan and frame are aligned, and the unit of the depth.",
        )
    crop = crop_camera(mask, camera, image)
    points = draw_points(outer_surface(posed, scene, VOXEL_M), np.random.default_rng(seed), POINTS)
    middle = pair.scan.vertices.mean(0)
    nothing = np.zeros((1, image, image), np.uint16)
    return point_arrays(points, middle) | {
        "color": np.round(averaged(pair.color, camera, crop)).astype(np.uint8)[None],
        "depth": depth_steps(nearest(depth, camera, crop))[None],
        "clean": depth_steps(nearest(clean, camera, crop))[None],
        **dict.fromkeys(BODY, nothing),
        "mask": nearest(mask, camera, crop)[None],
        "camera": np.array([[crop.fx, crop.fy, crop.cx, crop.cy]], np.float64),
        "camera_from_world": pair.view.camera_from_world[None],
        "gross": np.zeros(1, bool),
    }


def write_pairs(folder: Path, out: Path, image: int, log: Callable[[str], None]) -> int:
    """Bring all pairs below `folder` that are not there yet into a folder of poses; how many there are.

    Every tenth goes to 'val'. A pair that cannot be used is told and left out; LikenessError("input.scan") where there
    is none.
    """
    out.mkdir(parents=True, exist_ok=True)
    homes = find_pairs(folder)
    good = 0
    for number, home in enumerate(homes):
        split = "val" if number % VAL_EVERY == VAL_EVERY - 1 else "train"
        path = out / f"{split}_{number:06d}_0.npz"
        if not path.exists():
            try:
                arrays = pair_arrays(read_pair(home), image, number)
            except LikenessError as error:
                log(f"{home.name} is left out: {error}")
                continue
            stream = BytesIO()
            np.savez_compressed(stream, **cast(dict[str, Any], arrays))
            write_bytes(path, stream.getvalue())
        good += 1
    if not good:
        raise LikenessError("input.scan", f"{folder.name} holds no usable pair.", "See 'Own scans' in docs/people.md.")
    return good
