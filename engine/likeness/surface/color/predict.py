"""From a capture and its fitted body to the colours of the person's far side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch.nn import functional

from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.errors import LikenessError
from likeness.core.tensors import read_tensors
from likeness.surface.color.looks import Looks, carried, looks, reduced
from likeness.surface.color.network import ColorNetwork, mixed
from likeness.surface.evaluation.distance import barycentric
from likeness.surface.layers.crop import crop_camera
from likeness.surface.layers.network import NetworkSettings
from likeness.surface.view import Rays
from likeness.surface.weights import load_weights, save_weights

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "anim" / "color.safetensors"
# Colours are told on pixels so many times finer than the network's, and edges between kinds are this much harder.
FINER = 4
HARDER = 1.25
# Pixels whose colours are looked up together.
_AT_ONCE = 2048
# Of the picture, along each side of a pixel.
_SAMPLES = 4


@dataclass(frozen=True)
class FarSide:
    """Colours (H, W, 3) f32 sRGB 0..255 of what a camera's rays leave last; beyond the person carried on."""

    color: NDArray[np.float32]
    camera: Camera


def guess_far_side(
    capture: Capture, body: tuple[NDArray, NDArray], marks: NDArray, network: ColorNetwork | None = None
) -> FarSide:
    """The far side's colours as the network guesses them.

    body: the fitted body's vertices (V, 3) in camera space and faces; marks (V, MARKS): its `body_marks`. network: by
    default the one that ships. Raises LikenessError("input.weights").
    """
    network = network or load_color(WEIGHTS)
    distance = float(np.median(body[0][:, 2]))
    camera = crop_camera(capture.mask, distance, capture.camera, pixel_m=network.settings.pixel_m, size=None)
    seen = looks(*_picture(capture, camera), *body_hits(body, marks, camera))
    with torch.no_grad():
        color = _finer(network, seen)
    fine = camera.scaled(camera.width * FINER, camera.height * FINER)
    return FarSide(color, fine)


def _picture(capture: Capture, camera: Camera) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The person's colours (H, W, 3) u8 and mask (H, W) on a crop's pixels: means of what lies on the person."""
    scale = camera.fx / capture.camera.fx, camera.fy / capture.camera.fy
    # Pixel centres: the source's place of the crop's outer corner, and its size there.
    left = (-0.5 - camera.cx) / scale[0] + capture.camera.cx + 0.5
    top = (-0.5 - camera.cy) / scale[1] + capture.camera.cy + 0.5
    box = (left, top, left + camera.width / scale[0], top + camera.height / scale[1])
    padded, shift = _padded(capture, box)
    planes = [padded[..., 3], *(padded[..., c] * padded[..., 3] for c in range(3))]
    size = (_SAMPLES * camera.width, _SAMPLES * camera.height)
    inner = (box[0] + shift[0], box[1] + shift[1], box[2] + shift[0], box[3] + shift[1])
    share, *parts = [
        np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BOX, inner))
        for plane in planes
    ]
    color = np.stack(parts, -1) / np.maximum(share, 1e-6)[..., None]
    return reduced(color, share > 0.5, _SAMPLES)


def _padded(capture: Capture, box: tuple[float, float, float, float]) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Colour and mask (H, W, 4) of a picture that reaches as far as the box, and by how much it is moved (x, y)."""
    height, width = capture.mask.shape
    left, top = (max(0, int(np.ceil(-edge)) + 1) for edge in box[:2])
    right, bottom = (max(0, int(np.ceil(edge - end)) + 1) for edge, end in zip(box[2:], (width, height), strict=True))
    both = np.concatenate([capture.color, capture.mask[..., None]], -1).astype(np.float32)
    return np.pad(both, ((top, bottom), (left, right), (0, 0))), (left, top)


def body_hits(body: tuple[NDArray, NDArray], marks: NDArray, camera: Camera) -> tuple[NDArray, NDArray]:
    """Vertex values (V, C) of a body at the first and last hit of each ray, (H, W, C) f32, nan where there is none."""
    vertices, faces = body
    directions = camera.rays().reshape(-1, 3)
    scene = Rays(vertices, faces)
    far = 2 * float(vertices[:, 2].max())
    out = []
    for start, way in ((None, directions), (far * directions, -directions)):
        face, reach = scene.cast(way, start)
        points = (0 if start is None else start) + way * reach[:, None]
        values = np.full((len(face), marks.shape[1]), np.nan, np.float32)
        met = np.nonzero(face >= 0)[0]
        corners = faces[face[met]]
        share = barycentric(points[met], vertices[corners].astype(np.float64))
        values[met] = np.einsum("nk,nkc->nc", share, marks[corners])
        out.append(values.reshape(camera.height, camera.width, -1))
    return out[0], out[1]


def _finer(network: ColorNetwork, seen: Looks) -> NDArray[np.float32]:
    """The network's colours (FINER H, FINER W, 3) f32 0..255, with harder edges than it dares to draw."""
    far, near = network.vectors(seen)
    offered, colors = network.palette(seen, near, 0)
    # Beyond the outline nobody has taught it anything.
    inside = seen.mask[0].numpy()
    asked = torch.from_numpy(carried(far[0].permute(1, 2, 0).numpy(), inside)).permute(2, 0, 1)[None]
    size = (inside.shape[0] * FINER, inside.shape[1] * FINER)
    asked = functional.interpolate(asked, size=size, mode="bicubic")[0].flatten(1).T
    wanted = ndimage.binary_dilation(inside, iterations=2).repeat(FINER, 0).repeat(FINER, 1).ravel()
    out = np.zeros((len(wanted), 3), np.float32)
    out[wanted] = torch.cat([mixed(part, offered, colors, HARDER) for part in asked[wanted].split(_AT_ONCE)]).numpy()
    return 255 * carried(out.reshape(*size, 3), wanted.reshape(size)).clip(0, 1)


def save_color(path: Path, network: ColorNetwork, told: dict[str, str]) -> dict[str, str]:
    """Write weights, rounded to bfloat16; returns the metadata. Raises LikenessError("output.unwritable")."""
    metadata = {"network": json.dumps(network.settings.to_dict()), **told}
    save_weights(path, network, metadata)
    return metadata


@lru_cache(maxsize=2)
def load_color(weights: Path) -> ColorNetwork:
    """The network of a weights file, ready to guess. Raises LikenessError("input.weights")."""
    _, metadata = read_tensors(weights)
    try:
        network = ColorNetwork(NetworkSettings.from_dict(json.loads(metadata["network"])))
    except (KeyError, ValueError, TypeError) as error:
        raise LikenessError(
            "input.weights", f"{weights.name}: these are no weights of a colour network.", "Install Likeness again."
        ) from error
    load_weights(weights, network)
    return network.eval()
