"""The table of surfaces from one RGB-D image: every method on the same people, views and sensors, against the truth.

    python benchmarks/anim.py --cache FOLDER [--split test] [--people 12] [--sensors ideal,azure_kinect]
                              [--views front,turned,behind,tilted] [--rows depth,draped] [--redo draped] [--points N]

Quick: `--split val --people 4 --points 20000`. People, fits and figures are kept in the cache, so that a new row costs
only itself; --redo measures rows anew (after a change, or with `--weights two_layer=FILE` or `anim=FILE`, which take
the place of those that ship), --refit fits bodies anew. `--weights NAME=FILE` adds a row of another ANIM network; the
rows of the published comparison are trained and measured by `anim_rows.py`.
Columns: `likeness.surface.evaluation.scores`.
The test split is for reporting only. Keeps the figures in benchmarks/results/anim_SPLIT.json, with --name in another.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anim_set import VIEWS, Case, Plan, cases, model_of
from anim_statistics import claimed, difference, interval, person_means
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.files import write_json
from likeness.core.fit import Fit
from likeness.core.surface import CapturedSurface
from likeness.surface.anim.network import AnimNet
from likeness.surface.anim.predict import WEIGHTS as ANIM_WEIGHTS
from likeness.surface.anim.predict import load_anim, predict_anim, predict_fitted
from likeness.surface.draped import drape
from likeness.surface.evaluation.depth_sheet import depth_sheet
from likeness.surface.evaluation.scores import Truth, scores
from likeness.surface.layers.predict import WEIGHTS, fit_surface, inflate, predict_layers
from record import keep, print_table

Surface = tuple[np.ndarray, np.ndarray]
Method = Callable[[Capture, Fit | None], Surface]
Figures = dict[tuple[str, int, str, str], dict[str, float]]

# What is printed; the file holds every column.
SHOWN = (
    "chamfer", "read_p2s", "seen_p2s", "seen_complete", "unseen_p2s", "unseen_complete", "normals_seen",
    "normals_unseen", "normals_unseen_plain", "normals_4view", "filled_pct", "iou", "f10", "watertight", "genus",
    "handles_off", "terrace", "seconds",
)  # fmt: skip
# Names of weights that take the place of a file that ships.
SHIPPED = ("two_layer", "anim")
# ANIM's published Chamfer over that of these rows, RenderPeople and THuman2.0 (anim.md, section 6c).
PUBLISHED = {
    "PIFu+VFE+normals": (0.93, 0.99), "IF-Net+HR+normals": (0.96, 0.85), "PIFu+D+normals": (0.59, 0.21),
    "PIFu+D": (0.45, 0.21),
}  # fmt: skip


def needed(fit: Fit | None) -> Fit:
    """The fit, or a refusal where there is none."""
    if fit is None:
        raise LikenessError("body.fit", "There is no body fit.", "Fit a body first.")
    return fit


def mesh_of(surface: CapturedSurface) -> Surface:
    """Its arrays."""
    return surface.vertices, surface.faces


def body(capture: Capture, fit: Fit | None) -> Surface:
    """The bare fitted body."""
    fit = needed(fit)
    model = model_of(fit)
    return model.posed(fit.betas, fit.pose, fit.translation)[0], model.faces


def draped(capture: Capture, fit: Fit | None) -> Surface:
    """The fitted body, draped."""
    fit = needed(fit)
    return mesh_of(drape(capture, model_of(fit), fit))


def led(capture: Capture, fit: Fit | None, guess: CapturedSurface) -> Surface:
    """The fitted body, draped, its far side led by a network's surface: what avatars are made of."""
    fit = needed(fit)
    return mesh_of(drape(capture, model_of(fit), fit, guess=guess))


def methods(weights: dict[str, Path]) -> dict[str, Method]:
    """All rows; a new one is a line here. weights: two_layer and anim replace files that ship; any other name is a row
    of its own, an ANIM network."""
    two_layer, anim = weights.get("two_layer", WEIGHTS), weights.get("anim", ANIM_WEIGHTS)
    return {
        "depth": lambda capture, fit: depth_sheet(capture),
        "body": body,
        "inflation": lambda capture, fit: mesh_of(inflate(capture)),
        "draped": draped,
        "draped_layers": lambda capture, fit: led(capture, fit, predict_layers(capture, needed(fit), two_layer)),
        "draped_anim": lambda capture, fit: led(capture, fit, predict_fitted(capture, needed(fit), anim)),
        "anim": lambda capture, fit: mesh_of(predict_fitted(capture, fit, anim)),
        "layers": lambda capture, fit: mesh_of(predict_layers(capture, None, two_layer)),
        "layers_body": lambda capture, fit: mesh_of(predict_layers(capture, needed(fit), two_layer)),
        "layers_slab": lambda capture, fit: mesh_of(predict_layers(capture, None, two_layer, form="slab")),
        "layers_body_slab": lambda capture, fit: mesh_of(predict_layers(capture, needed(fit), two_layer, form="slab")),
        **{name: networked(load_anim(path)) for name, path in weights.items() if name not in SHIPPED},
    }


def networked(net: AnimNet, resolution: int = 256, bound: bool = True) -> Method:
    """ANIM or one of its variants, with the body where the network takes one and the capture has a fit."""

    def method(capture: Capture, fit: Fit | None) -> Surface:
        body = None if fit is None else fit_surface(fit)
        return mesh_of(predict_anim(capture, net, body, resolution=resolution, bound=bound))

    return method


@dataclass(frozen=True)
class Scoring:
    """points: over each surface. fits: 'fitted' or 'true' bodies; rows in `bodiless` are given none, and none has to be
    fitted for them. redo: rows to measure anew. form: see `scores`."""

    points: int = 100_000
    fits: str = "fitted"
    redo: tuple[str, ...] = ()
    bodiless: frozenset[str] = frozenset()
    form: bool = True

    @property
    def mark(self) -> str:
        """Of the files of figures."""
        return f"{self.fits}-{self.points}" + ("" if self.form else "-formless")


def measured(plan: Plan, known: dict[str, Method], rows: list[str], scoring: Scoring) -> Iterator[Figures]:
    """All figures so far, after each person."""
    found: Figures = {}
    person = -1
    for case in cases(plan):
        if case.person != person and found:
            yield found
        person = case.person
        truth: Truth | None = None
        for row in rows:
            kept = case.folder / "scores" / f"{row}-{scoring.mark}.json"
            if not kept.is_file() or row in scoring.redo:
                truth = truth or case.truth(scoring.points)
                kept.parent.mkdir(exist_ok=True)
                fits = "none" if row in scoring.bodiless else scoring.fits
                write_json(kept, one(known[row], case, truth, fits, scoring.form))
            figures = json.loads(kept.read_text("utf-8"))
            if "refused" not in figures:
                found[row, case.person, case.view, case.sensor] = figures
            else:
                print(f"{row} refused person {case.person} {case.view} {case.sensor}: {figures['refused']}")
    yield found


def one(method: Method, case: Case, truth: Truth, fits: str, form: bool) -> dict[str, Any]:
    """The figures of one method on one capture, or why it gave none. fits: 'fitted', 'true' or 'none'."""
    start = time.perf_counter()
    try:
        fit = None if fits == "none" else case.true_fit if fits == "true" else case.fit
        start = time.perf_counter()
        vertices, faces = method(case.capture, fit)
    except LikenessError as error:
        return {"refused": error.code}
    seconds = time.perf_counter() - start
    if not len(faces):
        return {"refused": "empty"}
    return {**scores(vertices, faces, truth, form=form), "seconds": seconds}


def table(found: Figures, rows: list[str], sensor: str, views: tuple[str, ...]) -> list[dict[str, Any]]:
    """A line a method: means over people of means over `views`; every figure carries its interval in `NAME_95`."""
    lines = []
    for row in rows:
        mine = {key: value for key, value in found.items() if key[0] == row and key[3] == sensor and key[2] in views}
        if not mine:
            continue
        line: dict[str, Any] = {"sensor": sensor, "views": "+".join(views), "row": row, "n": len(mine)}
        for column in next(iter(mine.values())):
            means = person_means((key[1], value.get(column, float("nan"))) for key, value in mine.items())
            values = np.array(list(means.values()))
            line[column] = round(float(values.mean()), 4) if len(values) else None
            line[f"{column}_95"] = [round(limit, 4) for limit in interval(values)] if len(values) > 2 else None
        lines.append(line)
    return lines


def orders(found: Figures, rows: list[str], sensor: str, against: str | None = None) -> list[dict[str, Any]]:
    """For each pair of rows and shown column the paired difference, its interval and whether an order is claimed.

    against: a row; only pairs with it, it second."""
    out = []
    for number, first in enumerate(rows):
        for second in rows[number + 1 :] if against is None else [against] if first != against else []:
            for column in SHOWN:
                ours, theirs = (_means(found, row, sensor, column) for row in (first, second))
                if ours.keys() & theirs.keys():
                    gap = [round(value, 4) if np.isfinite(value) else None for value in difference(ours, theirs)]
                    line = {"sensor": sensor, "first": first, "order": claimed(ours, theirs), "second": second}
                    out.append({**line, "column": column, "difference": gap[0], "difference_95": gap[1:]})
    return out


def _means(found: Figures, row: str, sensor: str, column: str) -> dict[int, float]:
    mine = (
        (key[1], value.get(column, float("nan"))) for key, value in found.items() if (key[0], key[3]) == (row, sensor)
    )
    return person_means(mine)


def ratios(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Our Chamfer of the row ANIM over that of the baselines beside the published ratios."""
    by_row = {line["row"]: line["chamfer"] for line in lines}
    return [
        {"row": row, "ours": round(by_row["ANIM"] / by_row[row], 3), "RenderPeople": there[0], "THuman2.0": there[1]}
        for row, there in PUBLISHED.items()
        if "ANIM" in by_row and row in by_row
    ]


def show(
    found: Figures, plan: Plan, rows: list[str], against: str | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Print the table; return its lines and the claimed orders, see `orders`."""
    lines: list[dict[str, Any]] = []
    claims: list[dict[str, Any]] = []
    for sensor in plan.sensors:
        whole = table(found, rows, sensor, plan.views)
        for views in [(view,) for view in plan.views]:
            lines += table(found, rows, sensor, views)
        lines += whole
        print(f"\n{sensor}, all views, cm and degrees")
        print_table([{key: line.get(key) for key in ("row", "n", *SHOWN)} for line in whole])
        print_table(ratios(whole))
        mine = orders(found, rows, sensor, against)
        claims += mine
        for first, second in sorted({(c["first"], c["second"]) for c in mine}):
            pair = [c for c in mine if (c["first"], c["second"]) == (first, second) and c["order"] != "~"]
            words = [f"{c['column']} {c['order']}" for c in pair]
            print(f"{first} against {second}: {', '.join(words) or 'no order may be claimed'}")
    return lines, claims


def weights_file(text: str) -> tuple[str, Path]:
    """NAME=FILE of the command line."""
    name, _, path = text.partition("=")
    return name, Path(path)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words = lambda text: tuple(part for part in text.split(",") if part)  # noqa: E731
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--views", type=words, default=tuple(VIEWS))
    parser.add_argument("--sensors", type=words, default=("ideal", "azure_kinect"))
    parser.add_argument("--rows", type=words, default=tuple(methods({})))
    parser.add_argument("--redo", type=words, default=())
    parser.add_argument("--fits", default="fitted", choices=("fitted", "true"))
    parser.add_argument("--weights", type=weights_file, action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--refit", action="store_true")
    parser.add_argument("--name", default="", help="of the file of figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    plan = Plan(
        options.cache, options.split, options.seed, options.people, options.views, options.sensors, options.size
    )
    if options.refit:
        for kept in plan.folder.glob("*/*/*/fit.json"):
            kept.unlink()
    rows = [*options.rows, *(name for name, _ in options.weights if name not in (*SHIPPED, *options.rows))]
    scoring = Scoring(options.points, options.fits, options.redo)
    for found in measured(plan, methods(dict(options.weights)), rows, scoring):
        # After every person: the run is long.
        lines, claims = show(found, plan, rows)
    summary = {"people": plan.people, "fits": options.fits, "points": options.points}
    with contextlib.redirect_stdout(io.StringIO()):
        # It was printed, and the file holds every column.
        keep(options.name or f"anim_{plan.split}", [], **summary, table=lines, orders=claims)


if __name__ == "__main__":
    main()
