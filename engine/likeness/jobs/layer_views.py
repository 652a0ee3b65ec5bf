"""Stored views of people as batches: read, mixed, disturbed and mirrored, each batch a function of its number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from likeness.core.files import read_npz
from likeness.jobs.layer_samples import NOTHING, STEP_M
from likeness.surface.layers.features import Pictures, fill
from likeness.surface.layers.losses import Truth

DROPPED_BODIES = 0.2
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
        arrays = {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}
        # Torch indexes no u16.
        arrays["thickness"] = arrays["thickness"].astype(np.int32)
        self.tensors = {name: torch.from_numpy(values).to(self.device) for name, values in arrays.items()}

    def __len__(self) -> int:
        return len(self.tensors["mask"])

    def take(self, index: Tensor) -> tuple[Pictures, Truth]:
        """The views of an index (B,) i64 as they were stored, holes filled."""
        t = {name: values[index] for name, values in self.tensors.items()}
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
        chosen = np.random.default_rng((seed, step, rank))
        index = torch.from_numpy(chosen.integers(len(self), size=size)).to(self.device)
        generator = torch.Generator(self.device).manual_seed(int(chosen.integers(2**62)))
        pictures, truth = self.take(index)
        pictures = disturbed_reading(pictures, generator)
        dropped = torch.rand(size, generator=generator, device=self.device) < DROPPED_BODIES
        which = torch.rand(size, generator=generator, device=self.device) < 0.5
        pictures = pictures.without_body(dropped).flipped(which)
        return pictures, Truth(*(torch.where(which[:, None, None], x.flip(-1), x)
                                 for x in (truth.first, truth.last, truth.hit)))  # fmt: skip


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
