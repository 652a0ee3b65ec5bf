"""From an RGB-D capture to ANIM's surface: inputs, one look, the zero level."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from likeness.body.model import BodyModel
from likeness.core.capture import Capture
from likeness.core.fit import Fit
from likeness.core.progress import Report, part, quiet
from likeness.core.surface import CapturedSurface
from likeness.core.tensors import read_tensors
from likeness.surface.layers.spans import body_hits, fit_surface
from likeness.surface.weights import load_weights

from .bound import free_space
from .config import AnimConfig
from .extract import Field, extract
from .extract_clean import NEAR_M
from .extract_hull import Silhouette, box_of
from .guess import RayGrid, guess_of
from .inputs import AnimInputs, back_project, inputs_of
from .network import CHUNK, AnimNet, AnimState

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "anim" / "anim.safetensors"
# A vertex counts as measured that lies this near to its reading; fading to guessed at three times that.
SEEN_M = 0.008
_SEEDS = 20_000
# See `corrected`.
HELD_M, LIMIT_M, COARSE, SMOOTH_NODES = 0.02, 0.03, 4, 1.0
# A guess comes from the body and its layers: a shoe whose ankle was lost belongs to it.
GUESSED_M = 0.15
# Grid of the two-layer guess.
GRID_M = 0.006


def load_anim(path: Path) -> AnimNet:
    """A network from a weights file, ready to answer. Raises LikenessError("input.weights", "weights.config")."""
    _, metadata = read_tensors(path)
    net = AnimNet(AnimConfig.from_dict(json.loads(metadata["config"])))
    load_weights(path, net)
    return net.eval()


def look(net: AnimNet, capture: Capture, body: tuple[NDArray, NDArray] | None = None, device: str = "cpu") -> AnimState:
    """What a network sees in a capture. body: vertices (V, 3) in camera space and faces (F, 3) of the fitted body.

    Raises LikenessError("capture.no_depth").
    """
    at = None if body is None else partial(body_hits, *body)
    hits = None
    if at is not None and net.config.body:
        found = at(capture.camera)
        hits = (found.first, found.last)
    inputs, camera = inputs_of(capture, net.config, hits)
    if net.layers is not None:
        inputs = replace(inputs, guess=(guess_of(capture, at, net.layers, camera, GRID_M),))
    with torch.no_grad():
        return net.to(device).encode(inputs.to(device))


def predict_anim(
    capture: Capture,
    net: AnimNet,
    body: tuple[NDArray, NDArray] | None = None,
    *,
    resolution: int = 256,
    device: str = "cpu",
    lipschitz: float = 1.5,
    bound: bool = True,
    smooth: float = SMOOTH_NODES,
    limit_m: float = LIMIT_M,
    report: Report = quiet,
) -> CapturedSurface:
    """The closed surface of a capture in its camera space, metres, outward faces; `seen` 1 where measured.

    body: the fitted body, see `look`. resolution: cells along the cube about the person, see `extract`. lipschitz: how
    steep the field gets. bound: nothing stands in observed free space, see `free_space`. smooth, limit_m: see
    `corrected`. Raises LikenessError("capture.no_depth", "surface.empty", "surface.formless").
    """
    report(0.0, "Looking at the capture")
    state = look(net, capture, body, device)
    box = box_of(capture, state.inputs.centre[0].cpu().numpy(), net.config.side_m)
    field = state.sdf if net.layers is None else corrected(state, smooth, limit_m)
    field = bounded(field, free_space(capture).to(device)) if bound else field
    found = extract(
        field,
        box,
        resolution,
        lipschitz=lipschitz,
        seeds=cloud(state.inputs, _SEEDS),
        near=Silhouette(capture.mask, capture.camera),
        near_m=NEAR_M if net.layers is None else GUESSED_M,
        device=device,
        report=part(report, 0.3, 1.0),
    )
    return CapturedSurface(found.vertices, found.faces, seen(state, found.vertices))


def predict_fitted(
    capture: Capture,
    fit: Fit | None = None,
    weights: Path = WEIGHTS,
    *,
    resolution: int = 256,
    device: str = "cpu",
    model: BodyModel | None = None,
) -> CapturedSurface:
    """As `layers.predict.predict_layers`, with ANIM: the closed surface of a capture and, if there is one, its fit.

    Raises LikenessError("capture.no_depth", "input.weights", "surface.empty", "surface.formless").
    """
    body = None if fit is None else fit_surface(fit, model)
    return predict_anim(capture, _loaded(weights), body, resolution=resolution, device=device)


_loaded = lru_cache(maxsize=2)(load_anim)


def bounded(field: Field, free: RayGrid) -> Field:
    """A field that is outside wherever free space was observed."""
    return lambda points: torch.maximum(field(points), free.at(points))


def corrected(state: AnimState, smooth: float = SMOOTH_NODES, limit_m: float = LIMIT_M) -> Field:
    """The field of a network on a guess: the guess, moved by what the network says of it as a smooth whole.

    Asked point by point, the network repeats the pixels of its pictures on the skin and sets blobs where it is not sure
    (seen on people of the val split). The guess has the detail; what it lacks is where limbs and backs lie. So the
    network is asked on every COARSE-th node near the guess, its answer held within limit_m, less and less towards the
    readings (HELD_M), and blurred over `smooth` nodes.
    """
    assert state.inputs.guess is not None
    solid = state.inputs.guess[0].solid
    coarse = solid.thinned(COARSE)
    near = coarse.values.float().abs() < limit_m + solid.step_m * COARSE
    points = coarse.nodes()[near]
    with torch.no_grad():
        parts = []
        for part in points.split(CHUNK):
            features, surface = state.query(part[None])
            off = state.net.head(features, surface) - state.net.head.start(surface)
            parts.append(off[0].clamp(-limit_m, limit_m) * (state.reading(part).abs() / HELD_M).clamp(max=1.0))
    moved = torch.zeros_like(coarse.values, dtype=torch.float32)
    moved[near] = torch.cat(parts)
    total, weight = (ndimage.gaussian_filter(x.float().cpu().numpy(), smooth) for x in (moved, near))
    mean = torch.from_numpy((total / np.maximum(weight, 1e-3)).astype(np.float32)).to(points.device)
    shift = replace(coarse, values=mean)
    return lambda points: state.net.head.start(solid.at(points)) + shift.at(points)


def cloud(inputs: AnimInputs, most: int) -> NDArray[np.float32]:
    """At most `most` measured points (N, 3) of a batch of one, evenly drawn."""
    known = inputs.depth[0, 0] > 0
    points = back_project(inputs.depth, inputs.intrinsics)[0].permute(1, 2, 0)[known]
    return points[:: max(1, -(-len(points) // most))].cpu().numpy()


def seen(state: AnimState, vertices: NDArray) -> NDArray[np.float32]:
    """(V,) 1 where a vertex lies on its pixel's reading, 0 where it is a guess, between at the rim."""
    points = torch.from_numpy(np.ascontiguousarray(vertices, np.float32)).to(state.inputs.depth.device)
    with torch.no_grad():
        away = state.reading(points).abs()
    return (1.5 - away / (2 * SEEN_M)).clamp(0, 1).cpu().numpy()
