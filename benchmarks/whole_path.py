"""Real captures and photos from file to rendered walk, unattended, each through the command line as an artist runs it.

    python benchmarks/whole_path.py --data DIR [--pictures DIR] [--only TEXT]

DIR holds rgbd/ and photos/ (real people: for figures only, never shipped). One row an input: exit codes, seconds and
peak memory of making the avatar, distance of measured points to the seen side, overlap of outline and mask.
Keeps the figures in benchmarks/results/whole_path.json; pictures (as captured from four sides, and a walk) go to
--pictures, which must lie outside the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from captures import CAPTURES
from PIL import Image
from record import ROOT, keep

#: Ten photos chosen for variety before any was tried.
PHOTOS = (
    "photos/elicit_fashion/fs0000_m394/gt_image.png",
    "photos/elicit_fashion/fs2804_m394/gt_image.png",
    "photos/elicit_fashion/fs3903_m394/gt_image.png",
    "photos/elicit_fashion/fs4235_m394/gt_image.png",
    "photos/elicit_fashion/fs4486_m394/gt_image.png",
    "photos/sith/010.png",
    "photos/pifu/ryota.png",
    "photos/pifuhd/test.png",
    "photos/lhm/000057.png",
    "photos/pshuman/pexels-zdmit-6780091.png",
)
WALK = ("--motion", "walk_02_01", "--frames", "0:60")
SHOWN_STEPS = (6, 20, 34, 48)


def likeness(*arguments: str) -> tuple[int, float, float, str]:
    """Run one command; returns exit code, seconds, peak memory in GB, last line of standard error."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "likeness", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = process.stderr.read().strip().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, time.perf_counter() - start, usage.ru_maxrss / 2**20, said[-1] if said else ""


def walk_path(source: Path, command: str, folder: Path) -> dict[str, Any]:
    """From file to rendered walk; one row of the table."""
    avatar = folder / "x.avatar"
    made, seconds, memory, said = likeness(command, str(source), "--out", str(avatar))
    row: dict[str, Any] = {"input": "/".join(source.parts[-3:]), "exit": made, "walk": None, "s": round(seconds, 1)}
    row |= {"GB": round(memory, 2)}
    if made != 0:
        return row | {"median_mm": None, "p95_mm": None, "iou": None, "said": said}
    quality = json.loads((avatar / "avatar.json").read_text())["quality"]
    likeness("render", str(avatar), "--orbit", "0,90,180,270", "--out", str(folder / "orbit"))
    row["walk"] = likeness("render", str(avatar), *WALK, "--size", "400x600", "--out", str(folder / "walk"))[0]
    figures = {"median_mm": "depth_median_mm", "p95_mm": "depth_p95_mm", "iou": "silhouette_iou"}
    return row | {key: quality.get(name) for key, name in figures.items()} | {"said": ""}


def sheet(folder: Path, path: Path) -> None:
    """Overlay, four sides and four steps, side by side."""
    steps = [folder / "walk" / f"{k:04d}.png" for k in SHOWN_STEPS]
    files = [folder / "x.avatar" / "previews" / "overlay.png", *sorted((folder / "orbit").glob("*.png")), *steps]
    panels = []
    for index, file in enumerate(files):
        image = Image.open(file).convert("RGBA")
        box = image.getbbox() if index else None
        cut = image.crop(box) if box else image
        panel = Image.new("RGBA", cut.size, (214, 218, 222, 255))
        panel.alpha_composite(cut)
        panels.append(panel.convert("RGB").resize((max(1, cut.width * 640 // cut.height), 640)))
    out = Image.new("RGB", (sum(p.width for p in panels), 640))
    left = 0
    for panel in panels:
        out.paste(panel, (left, 0))
        left += panel.width
    out.thumbnail((2000, 640))
    out.save(path)


def main() -> int:
    """Run every input; exit code 1 where one did not reach its rendered walk."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "test")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--only", default="", help="only inputs whose name holds this text; the figures are not kept")
    arguments = parser.parse_args()
    rows = []
    inputs = [(c, "reconstruct") for c in CAPTURES] + [(p, "elicit") for p in PHOTOS]
    for name, command in inputs:
        if arguments.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            row = walk_path(arguments.data / name, command, Path(folder))
            print(row, file=sys.stderr, flush=True)
            if arguments.pictures and row["walk"] == 0:
                arguments.pictures.mkdir(parents=True, exist_ok=True)
                place = arguments.pictures / (name.replace("/", "_").removesuffix(".png") + ".png")
                sheet(Path(folder), place)
        rows.append(row)
    arrived = sum(row["walk"] == 0 for row in rows)
    if arguments.only:
        return 0
    keep("whole_path", rows, arrived=f"{arrived} of {len(rows)}")
    return 0 if arrived == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
