"""Colours of the unseen side of synthetic people against the truth: rules, colour network, both as shipped.

    python benchmarks/colors.py --cache FOLDER [--split test] [--people 12]

Surfaces are the product's drape on its own fit; all ways of painting share them. Truth is what each ray leaves last, in
the light that the camera sees on the same piece of clothing (`color_samples.far_side`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import record
import torch
from anim_set import Case, Plan, cases, model_of
from anim_statistics import difference, person_means
from likeness.asset.bake import bake
from likeness.asset.build import rest_body, unposed
from likeness.asset.far import far_side
from likeness.asset.layout import complete
from likeness.asset.limbs import PAIRED, paired
from likeness.asset.rays import RayScene
from likeness.asset.texture import bilinear
from likeness.core.surface import CapturedSurface
from likeness.jobs import color_samples
from likeness.surface.color.predict import WEIGHTS, load_color
from likeness.surface.draped import drape
from likeness.synthesis.development import draw_development
from likeness.synthesis.light import light_scene
from likeness.synthesis.pack import load_pack
from likeness.synthesis.picture import render
from likeness.synthesis.places import draw_place
from likeness.synthesis.sample import Settings, make_posed
from likeness.synthesis.scene import Scene
from likeness.synthesis.view import View
from scipy import ndimage
from skimage.color import deltaE_ciede2000, rgb2lab

VIEWS = ("front", "turned", "behind")
WAYS = ("rules", "network", "both")
PARTS = {"head": ("head",), "torso and arms": ("torso", "arm", "hand"), "legs": ("leg",), "feet": ("foot",)}
# Outlines of surface and truth are not the same: this far from the truth's nothing is compared.
RIM_PX = 4
_TEXTURE_PX = 64
# As the preview has it.
EDGE_M = 0.024


def truths(plan: Plan) -> None:
    """Colours of the far side beside each capture of a plan, where they are not kept yet."""
    for index in range(plan.people):
        folders = [plan.folder / f"{index:06d}" / name for name in plan.views]
        missing = [folder for folder in folders if not (folder / "far.npz").is_file()]
        if not missing:
            continue
        posed, _ = make_posed(load_pack(), Settings(seed=plan.seed, split=plan.split, size=plan.size), index)
        place = draw_place(np.random.default_rng((plan.seed, index, 0)))
        scene = Scene(posed)
        studio = color_samples.Studio(posed, scene, place, light_scene(scene, place))
        # As anim_set develops its pictures.
        development = draw_development(torch.Generator().manual_seed(index))
        for folder in missing:
            case = Case(index, folder.name, plan.sensors[0], folder / plan.sensors[0])
            pose = np.array(json.loads((folder / "view.json").read_text("utf-8"))["camera_from_world"])
            view = View(case.capture.camera, pose)
            frame = render(scene, view, light=studio.light)
            color, known = color_samples.far_side(studio, view, frame, development)
            inner = ndimage.binary_erosion(frame.mask.numpy(), iterations=RIM_PX)
            np.savez_compressed(folder / "far.npz", color=color, known=known & inner)


def surface_of(case: Case) -> CapturedSurface:
    """The product's surface of a case, kept beside it."""
    kept = case.folder / "surface.npz"
    fit = case.fit
    assert fit is not None
    if not kept.is_file():
        made = complete(drape(case.capture, model_of(fit), fit, edge_m=EDGE_M), model_of(fit), fit)
        arrays = {f.name: getattr(made, f.name) for f in fields(made)}
        np.savez_compressed(kept, **{name: values for name, values in arrays.items() if values is not None})
    return CapturedSurface(**np.load(kept))


def painted(case: Case, weights: Path) -> Iterator[tuple[str, str, float, float]]:
    """(way, part, CIE76, CIEDE2000) mean over the rays of one capture whose last surface is unseen; part 'all' too."""
    fit, capture, surface = case.fit, case.capture, surface_of(case)
    assert fit is not None and surface.corner_uvs is not None
    model = model_of(fit)
    body = rest_body(unposed(surface, model, fit), surface, model, fit)
    far = far_side(capture, model, fit, load_color(weights))
    truth = np.load(case.folder.parent / "far.npz")
    rows, columns = np.nonzero(truth["known"] & capture.mask)
    directions = capture.camera.rays()[rows, columns]
    beyond = 2 * float(surface.vertices[:, 2].max())
    hits = RayScene(surface.vertices, surface.faces).first_hits(directions * beyond, -directions)
    met = hits.face >= 0
    kinds = hits.interpolate(paired(body.regions)[body.faces]).argmax(1)
    told = bilinear(far.color, far.camera.project(directions))
    colors = {"network": told}
    for way, guess in (("rules", None), ("both", far)):
        baked = bake(capture, surface.vertices, surface.corner_uvs, body, far=guess, size=_TEXTURE_PX)
        colors[way] = hits.interpolate(baked.vertex_colors[body.faces].astype(np.float32))
        met &= hits.interpolate(baked.visible[body.faces][..., None])[:, 0] < 0.5
    wanted = rgb2lab(truth["color"][rows, columns] / 255)
    groups = {
        "all": met,
        **{part: met & np.isin(kinds, [PAIRED.index(n) for n in names]) for part, names in PARTS.items()},
    }
    for way, color in colors.items():
        found = rgb2lab(color / 255)
        old, new = np.linalg.norm(found - wanted, axis=1), deltaE_ciede2000(found, wanted)
        for part, where in groups.items():
            if where.sum() >= 30:
                yield way, part, float(old[where].mean()), float(new[where].mean())


def table(found: dict[tuple[str, str, str], list[tuple[int, float]]]) -> list[dict[str, object]]:
    """One row a view and part: means of CIEDE2000 over people, and both against the rules with its interval."""
    rows = []
    for view, part in dict.fromkeys((v, p) for v, p, _ in found):
        means = {way: person_means(found[view, part, way]) for way in WAYS}
        gap, low, high = difference(means["both"], means["rules"])
        row: dict[str, object] = {"view": view, "part": part, "people": len(means["rules"])}
        row |= {way: float(np.mean(list(means[way].values()))) for way in WAYS}
        rows.append(row | {"both - rules": gap, "low": low, "high": high})
    return rows


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--name", default="colors")
    given = parser.parse_args()
    plan = Plan(given.cache, given.split, given.seed, given.people, VIEWS, ("azure_kinect",))
    chosen = [case for case in cases(plan) if case.fit is not None]
    truths(plan)
    found: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for case in chosen:
        for way, part, _, new in painted(case, given.weights):
            for view in ("all", case.view):
                found.setdefault((view, part, way), []).append((case.person, new))
    record.keep(given.name, table(found), measure="CIEDE2000", split=given.split, captures=len(chosen))


if __name__ == "__main__":
    main()
