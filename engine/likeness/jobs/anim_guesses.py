"""The two-layer network's guesses of stored views, made once: ANIM with explicit_back learns on top of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from likeness.core.camera import Camera
from likeness.core.capture import Capture
from likeness.core.files import read_npz, write_bytes
from likeness.surface.anim.crop import nearest
from likeness.surface.anim.guess import Guess, RayGrid, guess_of
from likeness.surface.layers.network import LayerNetwork
from likeness.surface.layers.spans import BodyHits

# Grid of the guessed surface: coarser than in use, as hundreds of views are kept.
GRID_M = 0.01


@dataclass(frozen=True)
class Stored:
    """A view as its file has it: depth (S, S) m, mask (S, S), hits (4, S, S) m of the fitted body in the order of
    BodyHits, all zeros without one, and the camera."""

    depth: NDArray
    mask: NDArray[np.bool_]
    hits: NDArray
    camera: Camera

    def turned(self, turned: bool) -> Stored:
        """Left and right exchanged, or not."""
        if not turned:
            return self
        c = self.camera
        camera = Camera(c.fx, c.fy, c.width - 1 - c.cx, c.cy, c.width, c.height)
        return Stored(self.depth[:, ::-1], self.mask[:, ::-1], self.hits[..., ::-1], camera)

    def capture(self) -> Capture:
        """What a user would have."""
        depth = np.ascontiguousarray(np.where(self.mask, self.depth, 0), np.float32)
        color = np.zeros((*depth.shape, 3), np.uint8)
        return Capture(color, np.ascontiguousarray(self.mask), depth, self.camera, True, "stored view", "", "file")

    def body(self, camera: Camera) -> BodyHits:
        """Hits on the pixels of a camera with the same eye and axes."""
        return BodyHits(*(nearest(hit, self.camera, camera).astype(float) for hit in self.hits))


# A stored view and the camera of ANIM's picture -> what the two-layer network says.
Guesser = Callable[[Stored, Camera], Guess]


class Guesses:
    """Makes guesses with a frozen network and keeps them: in memory, and in a folder of the run for its next slice."""

    def __init__(self, network: LayerNetwork, folder: Path, grid_m: float = GRID_M) -> None:
        self.network, self.folder, self.grid_m = network, folder, grid_m
        self._kept: dict[tuple[int, ...], Guess] = {}

    def __call__(self, view: Stored, picture: Camera) -> Guess:
        """A guess that is not kept."""
        body = view.body if view.hits.any() else None
        return guess_of(view.capture(), body, self.network, picture, self.grid_m)

    def keeping(self, key: tuple[int, ...]) -> Guesser:
        """Guesses under a key: made at the first call."""

        def guess(view: Stored, picture: Camera) -> Guess:
            if key not in self._kept:
                path = self.folder / ("_".join(map(str, key)) + ".npz")
                if not path.exists():
                    write_guess(path, self(view, picture))
                self._kept[key] = read_guess(path)
            return self._kept[key]

        return guess


def write_guess(path: Path, guess: Guess) -> None:
    """To a file, whole or not at all; features rounded to half precision."""
    stream = BytesIO()
    np.savez(
        stream,
        maps=guess.maps.numpy(),
        solid=guess.solid.values.numpy(),
        intrinsics=guess.solid.intrinsics.numpy(),
        depths=np.array([guess.solid.first_m, guess.solid.step_m]),
        features=guess.features.numpy().astype(np.float16),
        feature_intrinsics=guess.feature_intrinsics.numpy(),
        fold=guess.fold,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, stream.getvalue())


def read_guess(path: Path) -> Guess:
    """What `write_guess` wrote."""
    kept = read_npz(path)
    tensors = {name: torch.from_numpy(kept[name]) for name in ("maps", "solid", "intrinsics", "features")}
    solid = RayGrid(tensors["solid"], tensors["intrinsics"], *(float(n) for n in kept["depths"]))
    place = torch.from_numpy(kept["feature_intrinsics"])
    return Guess(tensors["maps"], solid, tensors["features"], place, int(kept["fold"]))
