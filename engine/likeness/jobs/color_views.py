"""Stored views with the colours of their far sides as batches, each a function of its number."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from likeness.core.files import read_npz
from likeness.jobs.layer_views import boxes
from likeness.surface.color.looks import PLACES, Looks, looks

# Colours of people are what they are, those of pictures less so: gain and gamma of each channel, spread of brightness.
GAIN, GAMMA = 0.15, 0.2
# Share of people whose channels are swapped: cloth has any colour, and what is alike stays alike.
SWAPPED = 0.35
# Marks of heads, hands and feet.
_DEAR = [PLACES + 0, PLACES + 3, PLACES + 5]
_MAX_SHARD_BYTES = 1 << 30


class ColorViews:
    """The views of one split in a folder of shards, in memory. Raises ValueError where there are none."""

    def __init__(self, folder: Path, split: str) -> None:
        shards = [read_npz(path, limit=_MAX_SHARD_BYTES) for path in sorted(Path(folder).glob(f"{split}_*.npz"))]
        if not shards:
            raise ValueError(f"{folder} holds no views of the split {split}")
        arrays = {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}
        self._first, self._needed = boxes(arrays["mask"])
        shown = [
            looks(*(arrays[name][i] for name in ("color", "mask", "first", "last"))) for i in range(len(arrays["mask"]))
        ]
        self._seen = {f.name: torch.cat([getattr(s, f.name) for s in shown]) for f in fields(Looks)}
        self._back = torch.from_numpy(arrays["back"].transpose(0, 3, 1, 2).copy())
        self._known = torch.from_numpy(arrays["known"] & arrays["mask"])

    def __len__(self) -> int:
        return len(self._known)

    def take(self, chosen: NDArray[np.int64]) -> tuple[Looks, Tensor, Tensor]:
        """Views (B,) cut to one window: what the network sees, the far side (B, 3, H, W) f32 sRGB 0..1, and where that
        is known inside the mask (B, H, W) bool."""
        size = self._needed[chosen].max(0)
        limit = np.array(self._known.shape[1:]) - size
        start = np.clip(self._first[chosen] - (size - self._needed[chosen]) // 2, 0, limit)

        def cut(values: Tensor) -> Tensor:
            parts = [values[i, ..., r : r + size[0], c : c + size[1]] for i, (r, c) in zip(chosen, start, strict=True)]
            return torch.stack(parts)

        seen = Looks(**{name: cut(values) for name, values in self._seen.items()})
        return seen, cut(self._back).float() / 255, cut(self._known)

    def batch(self, size: int, seed: int, step: int, rank: int = 0) -> tuple[Looks, Tensor, Tensor]:
        """A random batch, mirrored and in another light; the same for the same numbers."""
        rng = np.random.default_rng((seed, step, rank))
        seen, back, known = self.take(rng.integers(len(self), size=size))
        which = torch.from_numpy(rng.random(size) < 0.5)
        seen = seen.flipped(which)
        back = torch.where(which[:, None, None, None], back.flip(-1), back)
        known = torch.where(which[:, None, None], known.flip(-1), known)
        gain, gamma = (
            torch.from_numpy(
                np.exp(rng.normal(0, spread, (size, 1, 1, 1)) + rng.normal(0, spread / 3, (size, 3, 1, 1)))
            )
            for spread in (GAIN, GAMMA)
        )
        order = np.stack([rng.permutation(3) if rng.random() < SWAPPED else np.arange(3) for _ in range(size)])
        index = torch.from_numpy(order)[:, :, None, None]
        color, back = (
            ((gain * values.gather(1, index.expand_as(values))) ** gamma).float().clamp(0, 1)
            for values in (seen.color, back)
        )
        return seen.recolored(color), back, known


def dear(seen: Looks) -> Tensor:
    """(B, H, W) 0..1: heads, hands and feet on the far side."""
    return seen.last[:, _DEAR].sum(1).clamp(0, 1)
