"""What the synthetic people cost and what they are: speed, loose clothing, skin that pokes through, the pack's size.

python benchmarks/synthesis.py [--people 12] [--views 8] [--workers 2]

Speed counts whole people through the command line (dressing, posing, surface, points, pictures, sensors, files), once
with cloth that follows the skeleton (what the target of 2 views a second speaks of) and once with simulated cloth.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from likeness.synthesis.pack import load_pack
from likeness.synthesis.sample import Settings, make_dressed, make_posed
from likeness.synthesis.untangle import poke_share
from likeness.synthesis.views import draw_view
from record import ROOT, keep

LOOSE_SHARE = 0.5
POKE_VIEWS = 4


def speed(people: int, views: int, workers: int, cloth: str) -> dict[str, float | str]:
    """Seconds of whole runs of `likeness synthesize`, starting of processes included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "likeness", "synthesize", "--out", folder, "--count", str(people)]
        command += ["--views", str(views), "--workers", str(workers), "--cloth", cloth, "--sensor", "all"]
        begun = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.monotonic() - begun
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return {
        "what": f"{people} people x {views} views, cloth {cloth}, {workers} processes",
        "seconds": seconds,
        "views/s": people * views / seconds,
        "MB a view": size / 1e6 / (people * views),
    }


def people_as_they_are(count: int, seed: int) -> dict[str, float | str]:
    """Shares over `count` posed people: skin poking through cloth, loose clothing, children."""
    pack = load_pack()
    settings = Settings(seed=seed)
    pokes, loose, rng = [], [], np.random.default_rng(seed)
    for index in range(count):
        dressed = make_dressed(pack, settings, index)
        cloth = [layer for layer in dressed.layers if layer.kind == "cloth"]
        loose.append(any((layer.slack > LOOSE_SHARE).mean() > 0.1 for layer in cloth))
        posed, _ = make_posed(pack, settings, index)
        pokes.append(poke_share(posed, [draw_view(posed, rng, 256, whole=True) for _ in range(POKE_VIEWS)]))
    return {
        "people": count,
        "skin poking through, mean % of visible pixels": 100 * float(np.mean(pokes)),
        "worst person %": 100 * float(np.max(pokes)),
        "people over 0.5 %": f"{np.mean(np.array(pokes) > 0.005):.0%}",
        "in loose clothes": f"{np.mean(loose):.0%}",
    }


def main() -> None:
    """Print and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--looked-at", type=int, default=24, help="people whose clothes are examined")
    options = parser.parse_args()
    torch.set_num_threads(1)
    # What a person costs once is shared by its views, so both counts are told.
    counts = ((options.people, options.views), (max(options.people // 3, options.workers), 3 * options.views))
    rows = [speed(people, views, options.workers, "skin") for people, views in counts]
    rows.append(speed(options.people, options.views, options.workers, "hang"))
    facts = people_as_they_are(options.looked_at, seed=9)
    folder = ROOT / "engine" / "likeness" / "weights" / "people"
    pack = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
    keep("synthesis", rows, **facts, **{"people pack, MB": round(pack, 2)})


if __name__ == "__main__":
    main()
