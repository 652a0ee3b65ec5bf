"""Stored views of people as batches: read, mixed, disturbed and mirrored, each batch a function of its number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from likeness.core.files import read_npz
from likeness.jobs.layer_samples import NOTHING, STEP_M
from likeness.surface.layers.crop import MARGIN_PX, MULTIPLE
from likeness.surface.layers.features import Pictures, fill
from likeness.surface.layers.losses import Truth

DROPPED_BODIES = 0.2
# A view with a fitted body is drawn as often as so many others: bodies are fitted in use, and few views have them.
FITTED_TIMES = 4
# A batch's views come from this share of all, ordered by size.
ALIKE = 16
_MAX_SHARD_BYTES = 1 << 30
_DEPTHS = ("front", "clean", "last", "body_first", "body_last")


class LayerViews:
    """The views of one split in a folder of shards, in memory. length: how many.

    Raises ValueError where there are none.
    """

    def __init__(self, folder: Path, split: str, device: str = "cpu") -> None:
        shards = [read_npz(path, limit=_MAX_SHARD_BYTES) for path in sorted(Path(folder).glob(f"{split}_*.npz"))]
        shards = [shard for shard in shards if shard]
        if not shards:
            raise ValueError(f"{folder} holds no views of the split {split}")
        self.device = torch.device(device)
        # Shards made before bodies were fitted do not say so.
        shards = [{"fitted": np.zeros(len(shard["mask"]), bool), **shard} for shard in shards]
        arrays = {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}
        # Torch indexes no u16.
        arrays["thickness"] = arrays["thickness"].astype(np.int32)
        self.tensors = {name: torch.from_numpy(values).to(self.device) for name, values in arrays.items()}
        self._first, self._needed = boxes(arrays["mask"])
        #: Views from narrow to wide: neighbours share a window.
        self.by_size = np.lexsort(self._needed.T)
        self._drawn = np.repeat(self.by_size, np.where(arrays["fitted"][self.by_size], FITTED_TIMES, 1))

    def __len__(self) -> int:
        return len(self.tensors["mask"])

    def take(self, chosen: NDArray[np.int64]) -> tuple[Pictures, Truth]:
        """Views (B,) as they were stored, holes filled, cut to the smallest window that holds each person.

        Small windows cost less, and captures come cut like this too.
        """
        t = self._windows(chosen)
        depth = {name: t[name].float() * STEP_M for name in _DEPTHS}
        there = {name: t[name] != NOTHING for name in _DEPTHS}
        pictures = Pictures(
            front=torch.where(there["front"], depth["front"], 0.0),
            known=there["front"],
            mask=t["mask"],
            thickness=t["thickness"].float() * STEP_M,
            border=t["border"].float(),
            body_first=depth["body_first"],
            body_last=depth["body_last"],
            body=there["body_first"],
            camera=t["camera"],
            distance=t["distance"],
        )
        return pictures.filled(), Truth(depth["clean"], depth["last"], there["clean"] & there["last"])

    def batch(self, size: int, seed: int, step: int, rank: int = 0) -> tuple[Pictures, Truth]:
        """A random batch, disturbed, mirrored, a fifth of it without bodies; the same for the same numbers."""
        rng = np.random.default_rng((seed, step, rank))
        reach = max(size, len(self._drawn) // ALIKE)
        near = int(rng.integers(len(self._drawn))) + rng.integers(-reach, reach + 1, size)
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        pictures, truth = self.take(self._drawn[np.clip(near, 0, len(self._drawn) - 1)])
        pictures = disturbed_reading(pictures, generator)
        dropped = torch.rand(size, generator=generator, device=self.device) < DROPPED_BODIES
        which = torch.rand(size, generator=generator, device=self.device) < 0.5
        pictures = pictures.without_body(dropped).flipped(which)
        return pictures, Truth(*(torch.where(which[:, None, None], x.flip(-1), x)
                                 for x in (truth.first, truth.last, truth.hit)))  # fmt: skip

    def _windows(self, chosen: NDArray[np.int64]) -> dict[str, Tensor]:
        """Stored tensors of views, pictures cut to a window, cameras following."""
        size = self._needed[chosen].max(0)
        limit = np.array(self.tensors["mask"].shape[1:]) - size
        start = np.clip(self._first[chosen] - (size - self._needed[chosen]) // 2, 0, limit)
        index = torch.from_numpy(chosen).to(self.device)
        out = {}
        for name, values in self.tensors.items():
            if values.ndim < 3:
                out[name] = values[index]
                continue
            parts = [values[i, r : r + size[0], c : c + size[1]] for i, (r, c) in zip(chosen, start, strict=True)]
            out[name] = torch.stack(parts)
        moved = torch.from_numpy(start[:, ::-1].astype(np.float32).copy()).to(self.device)
        out["camera"] = torch.cat([out["camera"][:, :2], out["camera"][:, 2:] - moved], 1)
        return out


def boxes(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row and column (N, 2) of the windows that hold masks (N, H, W) with a margin, and their sizes (N, 2)."""
    first, needed = [], []
    for axis in (2, 1):
        line = np.asarray(mask.any(axis))
        low = line.argmax(1)
        high = line.shape[1] - line[:, ::-1].argmax(1)
        size = -(-(high - low + 2 * MARGIN_PX) // MULTIPLE) * MULTIPLE
        size = np.minimum(size, line.shape[1])
        first.append(np.clip((low + high - size) // 2, 0, line.shape[1] - size))
        needed.append(size)
    return np.stack(first, 1), np.stack(needed, 1)


def disturbed_reading(pictures: Pictures, generator: torch.Generator) -> Pictures:
    """More noise, offsets, lost borders and holes than the sensor had; thickness and outline stay."""
    shape, device = pictures.mask.shape, pictures.mask.device

    def draw(*size: int) -> Tensor:
        return torch.rand(size, generator=generator, device=device)

    def smooth(cells: int) -> Tensor:
        coarse = torch.randn((shape[0], 1, shape[1] // cells, shape[2] // cells), generator=generator, device=device)
        return functional.interpolate(coarse, size=shape[1:], mode="bilinear", align_corners=False)[:, 0]

    def each(low: float, high: float) -> Tensor:
        return low + (high - low) * draw(shape[0])[:, None, None]

    noise = torch.randn(shape, generator=generator, device=device) * each(0, 0.002) + smooth(16) * each(0, 0.003)
    front = pictures.front + noise * pictures.known
    # Borders go where a slow random picture says so, and holes open inside on some samples.
    rim = pictures.border <= each(0, 3.0) * (smooth(16) > 0.3)
    holes = (smooth(8) > 1.9) & (draw(shape[0])[:, None, None] < 0.4)
    known = pictures.known & ~rim & ~holes
    front = torch.where(pictures.mask, fill(front, known & pictures.mask), 0.0)
    return replace(pictures, front=front, known=known)
