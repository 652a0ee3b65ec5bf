"""From a capture to a closed mesh in seconds: naive inflation, and the two-layer network, with or without a body."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from likeness.body.model import BodyModel
from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.fit import Fit
from likeness.core.surface import CapturedSurface
from likeness.core.tensors import read_tensors
from likeness.surface.layers.crop import JUMP_M, Crop, border_distance, filled, make_crop
from likeness.surface.layers.features import LEAST_M, Pictures, both_layers, features, fill
from likeness.surface.layers.inflation import thickness
from likeness.surface.layers.mesh import slab
from likeness.surface.layers.network import LayerNetwork, NetworkSettings
from likeness.surface.layers.spans import (
    BodyHits,
    Gap,
    body_hits,
    either,
    fit_surface,
    gap_by_body,
    gap_by_jumps,
    grown,
)
from likeness.surface.layers.volume import STEP_M, volume
from likeness.surface.view import View, make_view
from likeness.surface.weights import load_weights

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "anim" / "two_layer.safetensors"
# Noise of a sensor is finer than this, folds of cloth are not; readings farther than AGREED_M from the network's
# front lie beside a jump, where a mean would round the edge.
CALM_M, AGREED_M = 0.006, 0.02
# Cells along the cube about a person in which ANIM's surface is found: the volume's steps are as long as those cells.
RESOLUTION = 384
SIDE_M = RESOLUTION * STEP_M
# With a body the back stands too far off by this much: in the median of 48 views of the val split with fitted bodies by
# 3.5 mm, with disturbed true ones by 3.6. Of 0, 2 and 4 mm the last is best on 12 captures (docs/anim.md).
FAR_IN_M = 0.004
# Where rays meet a fitted bare body, for any camera with the capture's eye and axes.
Body = Callable[[Camera], BodyHits]


@dataclass(frozen=True)
class Layers:
    """Both layers on a window's pixels. front, back (H, W) f64 m along the axis, 0 off the mask; mask, measured bool:
    the front was read there, not guessed; camera of the window."""

    front: NDArray[np.float64]
    back: NDArray[np.float64]
    mask: NDArray[np.bool_]
    measured: NDArray[np.bool_]
    camera: Camera

    def thinned(self, pixel_m: float) -> Layers:
        """Every n-th pixel, so that they are about pixel_m wide at the person; the same where they are already."""
        # Of readings alone (see free_space) most pixels of the mask may have none.
        known = self.front[self.mask & (self.front > 0)]
        if not len(known):
            return self
        step = max(1, round(pixel_m * self.camera.fx / float(np.median(known))))
        c = self.camera
        keep = (slice(step // 2, None, step),) * 2
        mask = self.mask[keep]
        offset = step // 2
        camera = Camera(
            c.fx / step, c.fy / step, (c.cx - offset) / step, (c.cy - offset) / step, mask.shape[1], mask.shape[0]
        )
        return Layers(self.front[keep], self.back[keep], mask, self.measured[keep], camera)

    def drawn_in(self, by_m: float) -> Layers:
        """The back nearer to the camera, as far as it stays behind the front."""
        nearer = np.maximum(self.back - by_m, np.minimum(self.back, self.front + LEAST_M))
        return replace(self, back=np.where(self.mask, nearer, self.back))


@dataclass(frozen=True)
class Decoded:
    """The network's last features (C, h, w) f32; feature j covers pixels fold j .. fold j + fold - 1 of camera."""

    features: torch.Tensor
    camera: Camera
    fold: int


def inflate(capture: Capture) -> CapturedSurface:
    """Naive inflation: the measured front, and a back from the outline's layers by a Poisson equation; closed.

    Raises LikenessError("capture.no_depth").
    """
    view = _view(capture)
    assert view.depth is not None
    front = filled(view.depth.depth, view.mask).astype(np.float64)
    # The back repeats the front's shape, but not its noise.
    back = _smoothed(front, view.mask) + thickness(view.depth.depth, view.mask, view.camera.fx)
    back = np.maximum(back, front + LEAST_M)
    return slab(front, back, view.mask, (view.depth.depth > 0).astype(float), view.camera, JUMP_M)


def predict_layers(
    capture: Capture,
    fit: Fit | None = None,
    weights: Path = WEIGHTS,
    *,
    form: Literal["volume", "slab"] = "volume",
    resolution: int = RESOLUTION,
    device: str = "cpu",
    model: BodyModel | None = None,
) -> CapturedSurface:
    """The two-layer network's surface, closed, camera space, metres.

    form: 'volume' opens the air between limbs; 'slab' joins front and back everywhere, at the picture's resolution.
    resolution: of the volume, cells along SIDE_M, as ANIM counts them along its cube.
    fit: the capture's fitted body, if there is one; model: its body model where that is not the one that ships.
    Raises LikenessError("capture.no_depth"), ("input.weights").
    """
    body = None if fit is None else body_of(fit, model)
    layers = guess_layers(capture, body, load_network(Path(weights), device))[0]
    if form == "slab":
        return slab(layers.front, layers.back, layers.mask, layers.measured.astype(float), layers.camera)
    step_m = SIDE_M / resolution
    layers = layers.thinned(step_m)
    seen = layers.measured.astype(float)
    return volume(layers.front, layers.back, gaps(layers, body), layers.mask, seen, layers.camera, step_m)


def body_of(fit: Fit, model: BodyModel | None = None) -> Body:
    """The fitted bare body; see `fit_surface`."""
    vertices, faces = fit_surface(fit, model)
    return lambda camera: body_hits(vertices, faces, camera)


def gaps(layers: Layers, body: Body | None) -> Gap:
    """Air between limbs: the fitted body's where there is one and it agrees, else what jumps of the front tell."""
    tube = thickness(layers.front, layers.mask, layers.camera.fx).astype(np.float64)
    told = gap_by_jumps(layers.front, layers.back, layers.mask, tube, layers.camera)
    if body is not None:
        told = either(gap_by_body(layers.front, layers.back, body(layers.camera)), told)
    return grown(told, layers.front, layers.back, layers.mask, tube)


def guess_layers(capture: Capture, body: Body | None, network: LayerNetwork) -> tuple[Layers, Decoded]:
    """Both layers at the capture's working resolution, and what the network knew; see `predict_layers`.

    With a body the back is drawn in by FAR_IN_M.
    """
    view = _view(capture)
    assert view.depth is not None and capture.depth is not None
    crop = make_crop(
        np.where(capture.valid, capture.depth, 0), capture.mask, capture.camera, pixel_m=network.settings.pixel_m
    )
    hits = None if body is None else body(crop.camera)
    device = next(network.parameters()).device
    pictures = crop_pictures(crop, None if hits is None else (hits.first, hits.last), device)
    with torch.no_grad():
        decoded = network.decoded(features(pictures))
        layers = _with_mirror(pictures, both_layers(pictures, network.residuals(decoded)), network)
        layers = (_front_by_body(pictures, layers[0]), layers[1])
        near, far = (fill(layer, pictures.mask)[0].cpu().double().numpy() + crop.distance_m for layer in layers)
    near, far = (_enlarged(layer, crop.camera, view.camera) for layer in (near, far))
    measured = view.mask & (view.depth.depth > 0)
    front = _completed(_calmed(view.depth.depth, measured, near, view.camera), measured, near)
    back = np.maximum(far, front + LEAST_M)
    found = Layers(np.where(view.mask, front, 0), np.where(view.mask, back, 0), view.mask, measured, view.camera)
    return found if body is None else found.drawn_in(FAR_IN_M), Decoded(decoded[0], crop.camera, network.settings.fold)


def crop_pictures(crop: Crop, body: tuple[NDArray, NDArray] | None, device: torch.device | str = "cpu") -> Pictures:
    """A crop as a batch of one, holes filled. body: first and last hit (H, W) m, 0 = none, of the fitted body."""

    def tensor(values: NDArray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values))[None].to(device)

    first, last = body if body is not None else (np.zeros(crop.mask.shape), np.zeros(crop.mask.shape))
    c = crop.camera
    return Pictures(
        front=tensor(np.where(crop.front > 0, crop.front - crop.distance_m, 0).astype(np.float32)),
        known=tensor(crop.front > 0),
        mask=tensor(crop.mask),
        thickness=tensor(thickness(crop.front, crop.mask, c.fx)),
        border=tensor(border_distance(crop.mask)),
        body_first=tensor((first - crop.distance_m).astype(np.float32)),
        body_last=tensor((last - crop.distance_m).astype(np.float32)),
        body=tensor((first > 0) & (last > 0)),
        camera=tensor(np.array([c.fx, c.fy, c.cx, c.cy], np.float32)),
        distance=torch.tensor([crop.distance_m], dtype=torch.float32, device=device),
    ).filled()


@lru_cache(maxsize=2)
def load_network(weights: Path, device: str = "cpu") -> LayerNetwork:
    """The network of a weights file, ready to predict. Raises LikenessError("input.weights")."""
    _, metadata = read_tensors(weights)
    try:
        settings = NetworkSettings.from_dict(json.loads(metadata["network"]))
    except (KeyError, ValueError, TypeError) as error:
        raise LikenessError(
            "input.weights", f"{weights.name}: these are no weights of a two-layer network.", "Install Likeness again."
        ) from error
    network = LayerNetwork(settings)
    load_weights(weights, network)
    return network.to(device).eval()


def _view(capture: Capture) -> View:
    if capture.depth is None or not capture.valid.any():
        raise LikenessError(
            "capture.no_depth",
            f"{capture.name}: nothing of the person was measured, and this method needs depth.",
            "Take a capture with depth, or another method.",
        )
    return make_view(capture)


def _enlarged(layer: NDArray[np.float64], crop: Camera, window: Camera) -> NDArray[np.float64]:
    """A layer (h, w) of the crop on the window's pixels (H, W); same eye and axes, so this is an affine map.

    A cubic B-spline that smooths instead of passing through the samples: no facets and no ringing at jumps.
    """
    scale = (crop.fy / window.fy, crop.fx / window.fx)
    offset = (crop.cy - window.cy * scale[0], crop.cx - window.cx * scale[1])
    return ndimage.affine_transform(
        layer, np.array(scale), offset, (window.height, window.width), order=3, mode="nearest", prefilter=False
    )


def _with_mirror(
    pictures: Pictures, layers: tuple[torch.Tensor, torch.Tensor], network: LayerNetwork
) -> tuple[torch.Tensor, torch.Tensor]:
    """Layers averaged with those of the mirrored picture: people have no preferred hand, the network's errors do."""
    mirrored = pictures.flipped(torch.ones(len(pictures.mask), dtype=torch.bool, device=pictures.mask.device))
    other = both_layers(mirrored, network(features(mirrored)))
    return (layers[0] + other[0].flip(-1)) / 2, (layers[1] + other[1].flip(-1)) / 2


def _front_by_body(pictures: Pictures, front: torch.Tensor) -> torch.Tensor:
    """Where nothing was measured and the guess is far off the body, the body knows which limb it is."""
    lost = pictures.body & pictures.mask & ~pictures.known & ((front - pictures.body_first).abs() > JUMP_M)
    return torch.where(lost, pictures.body_first, front)


def _calmed(depth: NDArray, measured: NDArray[np.bool_], guessed: NDArray, camera: Camera) -> NDArray[np.float64]:
    """Measured depth (H, W) with what it has over the network's front smoothed over CALM_M; raw where they disagree."""
    off = depth - guessed
    same = (measured & (np.abs(off) < AGREED_M)).astype(float)
    sigma = CALM_M * camera.fx / max(float(np.median(depth[measured])), 1e-6)
    weight = ndimage.gaussian_filter(same, sigma)
    mean = ndimage.gaussian_filter(off * same, sigma) / np.maximum(weight, 1e-6)
    return np.where(same > 0, guessed + mean, depth)


def _completed(depth: NDArray, measured: NDArray[np.bool_], guessed: NDArray) -> NDArray[np.float64]:
    """The measured depth, and where there is none the guess, moved so that both meet without a step."""
    known = torch.from_numpy(measured)[None]
    off = torch.from_numpy(np.where(measured, depth - guessed, 0.0))[None]
    step = ndimage.gaussian_filter(fill(off.float(), known)[0].numpy(), 2.0)
    return np.where(measured, depth, guessed + np.clip(step, -JUMP_M / 2, JUMP_M / 2))


def _smoothed(front: NDArray[np.float64], mask: NDArray[np.bool_], sigma_px: float = 4.0) -> NDArray[np.float64]:
    """The front without its noise, but where a mean would mix limbs."""
    weight = ndimage.gaussian_filter(mask.astype(float), sigma_px)
    mean = ndimage.gaussian_filter(np.where(mask, front, 0.0), sigma_px) / np.maximum(weight, 1e-6)
    return np.where(np.abs(mean - front) < JUMP_M / 4, mean, front)
