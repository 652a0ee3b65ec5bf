"""From an RGB-D capture to ANIM's surface: inputs, one look, the zero level."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
from .extract_hull import Silhouette, box_of
from .guess import RayGrid, guess_of
from .inputs import AnimInputs, back_project, inputs_of
from .network import AnimNet, AnimState

# A vertex counts as measured that lies this near to its reading; fading to guessed at three times that.
SEEN_M = 0.008
_SEEDS = 20_000
# See `held`.
HELD_M = 0.02
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
    hold: bool = True,
    report: Report = quiet,
) -> CapturedSurface:
    """The closed surface of a capture in its camera space, metres, outward faces; `seen` 1 where measured.

    body: the fitted body, see `look`. resolution: cells along the cube about the person, see `extract`. lipschitz: how
    steep the field gets. bound: nothing stands in observed free space, see `free_space`. hold: keep to what was
    measured, see `held`. Raises LikenessError("capture.no_depth", "surface.empty", "surface.formless").
    """
    report(0.0, "Looking at the capture")
    state = look(net, capture, body, device)
    box = box_of(capture, state.inputs.centre[0].cpu().numpy(), net.config.side_m)
    field = held(state) if hold and net.layers is not None else state.sdf
    field = bounded(field, free_space(capture).to(device)) if bound else field
    found = extract(
        field,
        box,
        resolution,
        lipschitz=lipschitz,
        seeds=cloud(state.inputs, _SEEDS),
        near=Silhouette(capture.mask, capture.camera),
        device=device,
        report=part(report, 0.3, 1.0),
    )
    return CapturedSurface(found.vertices, found.faces, seen(state, found.vertices))


def predict_fitted(
    capture: Capture, fit: Fit | None, weights: Path, *, resolution: int = 256, device: str = "cpu"
) -> CapturedSurface:
    """As `layers.predict.predict_layers`, with ANIM: the closed surface of a capture and, if there is one, its fit.

    Raises LikenessError("capture.no_depth", "input.weights", "surface.empty", "surface.formless").
    """
    body = None if fit is None else fit_surface(fit)
    return predict_anim(capture, _loaded(weights), body, resolution=resolution, device=device)


_loaded = lru_cache(maxsize=2)(load_anim)


def bounded(field: Field, free: RayGrid) -> Field:
    """A field that is outside wherever free space was observed."""
    return lambda points: torch.maximum(field(points), free.at(points))


def held(state: AnimState) -> Field:
    """The field of a network on a guess, kept to the guess within HELD_M of the readings: there it is the measured
    depth at full resolution without its noise, finer than any picture that the network sees."""

    def field(points: Tensor) -> Tensor:
        with torch.no_grad():
            features, surface = state.query(points[None])
            told, start = state.net.head(features, surface)[0], state.net.head.start(surface)[0]
            return torch.lerp(start, told, (state.reading(points).abs() / HELD_M).clamp(max=1.0))

    return field


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
