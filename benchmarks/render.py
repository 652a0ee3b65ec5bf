"""How long `likeness render` takes for 8 views of 1024 x 1024, reading the avatar included.

    python benchmarks/render.py [AVATAR] [--lit] [--keep FOLDER]

Without an avatar, one is made of the shipped sample (not timed). Prints a table and keeps the figures in
benchmarks/results/render.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import ROOT, keep

VIEWS = 8
SIDE_PX = 1024
CHILD = """
import resource, sys, time
start = time.perf_counter()
from likeness.asset.views import captured_view, render_views
from likeness.core.avatar import read_avatar
from pathlib import Path
avatar = read_avatar(Path(sys.argv[1]))
loaded = time.perf_counter()
views = (captured_view(avatar, 360.0 * k / {views}, ({side}, {side})) for k in range({views}))
render_views(avatar, views, Path(sys.argv[2]), count={views}, lit=sys.argv[3] == "lit")
print(loaded - start, time.perf_counter() - start, len(avatar.faces),
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def make_avatar(folder: Path) -> Path:
    """An avatar folder from the shipped RGB-D sample."""
    sample = ROOT / "samples" / "capture"
    path = folder / "sample.avatar"
    subprocess.run([sys.executable, "-m", "likeness", "reconstruct", str(sample), "--out", str(path)], check=True)
    return path


def measure(avatar: Path, folder: Path, lit: bool) -> dict[str, float | int | str]:
    """Time a fresh process: what an artist waits for."""
    script = CHILD.format(views=VIEWS, side=SIDE_PX)
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script, str(avatar), str(folder), "lit" if lit else "plain"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    wall = time.perf_counter() - start
    load, total, faces, memory = done.stdout.split()
    return {
        "views": VIEWS,
        "size_px": SIDE_PX,
        "lit": str(lit).lower(),
        "faces": int(faces),
        "load_s": round(float(load), 2),
        "render_s": round(float(total) - float(load), 2),
        "wall_s": round(wall, 2),
        "peak_rss_gib": round(float(memory), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("avatar", type=Path, nargs="?")
    parser.add_argument("--lit", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for the pictures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        avatar = arguments.avatar or make_avatar(Path(temporary))
        pictures = arguments.keep or Path(temporary) / "pictures"
        pictures.mkdir(parents=True, exist_ok=True)
        figures = measure(avatar, pictures, arguments.lit)
    keep("render", [figures])


if __name__ == "__main__":
    main()
