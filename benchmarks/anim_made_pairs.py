"""Pairs of scan and frame as an owner of a sensor would have them, made by the simulator from people to learn from.

    python benchmarks/anim_made_pairs.py --cache FOLDER --out PAIRS [--sensor realsense_d435_hd] [--people 8]
                                         [--views front,behind]

For the row "ANIM fine-tuned" (anim_rows.py) and to try `likeness train anim --finetune PAIRS`: a sensor that training
did not draw. The layout is that of docs/people.md, Own scans; the scan is the true outer surface, in the world, without
a texture.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from anim_set import DEPTH_SCALE_M, Case, Plan, cases
from likeness.core.files import write_json

VOXEL_M = 0.01


def write_pair(case: Case, out: Path) -> None:
    """One capture and its truth as a pair's folder."""
    person = case.folder.parent.parent
    home = out / f"{person.name}_{case.view}"
    home.mkdir(parents=True, exist_ok=True)
    for name in ("color.png", "depth.png", "mask.png"):
        shutil.copyfile(case.folder / name, home / name)
    lens = json.loads((case.folder / "intrinsics.json").read_text("utf-8"))
    view = json.loads((case.folder.parent / "view.json").read_text("utf-8"))
    write_json(home / "camera_from_scan.json", {"matrix": view["camera_from_world"]})
    kept = np.load(person / "truth.npz")
    corners = [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in kept["vertices"]]
    triangles = [f"f {a} {b} {c}" for a, b, c in kept["faces"] + 1]
    (home / "scan.obj").write_text("\n".join([*corners, *triangles]) + "\n", "utf-8")
    # Last: a folder without it is no pair.
    write_json(
        home / "intrinsics.json", {k: lens[k] for k in ("fx", "fy", "cx", "cy")} | {"depth_unit_m": DEPTH_SCALE_M}
    )


def main() -> None:
    """Write what is not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words = lambda text: tuple(part for part in text.split(",") if part)  # noqa: E731
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sensor", default="realsense_d435_hd")
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--views", type=words, default=("front", "behind"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    plan = Plan(options.cache, "train", 100, options.people, options.views, (options.sensor,), voxel_m=VOXEL_M)
    for case in cases(plan):
        if not (options.out / f"{case.person:06d}_{case.view}" / "intrinsics.json").is_file():
            write_pair(case, options.out)
            print(f"person {case.person}, {case.view}", flush=True)


if __name__ == "__main__":
    main()
