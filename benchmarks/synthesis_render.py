"""How long the renderer takes for synthetic people: what is prepared once a person, and each picture.

    python benchmarks/synthesis_render.py [--people 4] [--views 8] [--size 512] [--device cpu] [--keep FOLDER]

Full figures in drawn places, seen by drawn cameras. Prints a table of processor time in milliseconds (on a graphics
card: elapsed time) and keeps the figures in benchmarks/results/synthesis_render.json (..._cuda.json on such a card).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from likeness.synthesis.floor import floor_shade
from likeness.synthesis.light import Scene, light_scene
from likeness.synthesis.pack import load_pack
from likeness.synthesis.picture import develop, render, render_many, see
from likeness.synthesis.places import draw_place
from likeness.synthesis.sample import Settings, make_posed
from likeness.synthesis.views import draw_view
from PIL import Image
from record import keep

SETTINGS = Settings(seed=77, cloth="skin")
STEPS = {
    "scene": "person: soup, textures, normals",
    "transport": "person: what the surface hides",
    "floor": "person: what the floor sees",
    "light": "place: light on vertices, shadow map",
    "place": "view: backdrop and its depth",
    "raster": "view: triangles at pixel centres",
    "raster_fine": "view: triangles at 2 x 2 samples, all",
    "geometry": "view: depth, normals, labels",
    "picture": "view: all outputs, light given, no place",
    "whole": "view: all outputs, light and place included",
    "develop": "view: camera response",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep", type=Path, help="folder for the pictures")
    arguments = parser.parse_args()
    spent: dict[str, list[float]] = {step: [] for step in STEPS}
    for number in range(arguments.people):
        _measure_person(number, arguments, spent)
    rows = [
        {"step": STEPS[step], "median_ms": round(statistics.median(times), 1), "worst_ms": round(max(times), 1)}
        for step, times in spent.items()
    ]
    together = _views_together(arguments)
    name = "synthesis_render" if arguments.device == "cpu" else f"synthesis_render_{arguments.device.split(':')[0]}"
    keep(name, rows, size_px=arguments.size, threads=torch.get_num_threads(), device=arguments.device,
         views_per_s_geometry_and_light=together)  # fmt: skip


def _measure_person(number: int, arguments: argparse.Namespace, spent: dict[str, list[float]]) -> None:
    """Add the times of one person and its views to `spent`."""
    rng = np.random.default_rng((77, number))
    posed = make_posed(load_pack(), SETTINGS, number)
    clock = _clock(arguments.device)

    def timed(step: str, work: Callable[[], object]) -> object:
        start = clock()
        result = work()
        spent[step].append((clock() - start) * 1e3)
        return result

    scene = timed("scene", lambda: Scene(posed, arguments.device))
    assert isinstance(scene, Scene)
    timed("transport", lambda: scene.transport)
    timed("floor", lambda: (scene.floor_transport, scene.floor_clearance, scene.mean_albedo))
    for view_number in range(arguments.views):
        view, place = draw_view(posed, rng, arguments.size), draw_place(rng)
        light = timed("light", lambda place=place: light_scene(scene, place))
        floor_shade(scene, light)
        timed("place", lambda place=place, view=view: place.look(view, device=arguments.device))
        timed("raster", lambda view=view: see(scene, [view]))
        timed("raster_fine", lambda view=view: see(scene, [view], 2))
        timed("geometry", lambda view=view: render(scene, view, outputs="geometry"))
        timed("picture", lambda view=view, light=light: render(scene, view, light=light))
        frame = timed("whole", lambda view=view, place=place: render(scene, view, place))
        color = timed("develop", lambda frame=frame, place=place: develop(frame.color, place.exposure))
        if arguments.keep is not None:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            Image.fromarray(color.cpu().numpy()).save(arguments.keep / f"{number:02d}_{view_number:02d}.png")


def _views_together(arguments: argparse.Namespace) -> float:
    """Views a second when one person's are drawn together, in light that is known, before black."""
    posed = make_posed(load_pack(), SETTINGS, 0)
    rng = np.random.default_rng(5)
    scene, views = Scene(posed, arguments.device), [draw_view(posed, rng, arguments.size) for _ in range(8)]
    light = light_scene(scene, None)
    clock = _clock(arguments.device)
    render_many(scene, views, light=light)
    start = clock()
    render_many(scene, views, light=light)
    return round(len(views) / (clock() - start), 2)


def _clock(device: str) -> Callable[[], float]:
    """Processor seconds on the CPU; elapsed seconds, all work done, on a graphics card."""
    if device == "cpu":
        return time.process_time

    def finished() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return finished


if __name__ == "__main__":
    main()
