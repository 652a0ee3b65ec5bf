"""Filters of pictures in torch."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional


def gaussian(image: torch.Tensor, sigma: float, reach_sigmas: float = 2.5) -> torch.Tensor:
    """A Gaussian blur of (1, C, H, W) by `sigma` pixels, edges repeated, cut off at `reach_sigmas`."""
    reach = max(1, int(np.ceil(reach_sigmas * sigma)))
    reach = min(reach, image.shape[2] - 1, image.shape[3] - 1)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps = taps / taps.sum()
    # Sums of shifted pictures: for few channels several times as fast as a convolution.
    for axis, margins in ((3, (reach, reach, 0, 0)), (2, (0, 0, reach, reach))):
        padded = functional.pad(image, margins, mode="replicate")
        length = image.shape[axis]
        total = padded.narrow(axis, 0, length) * float(taps[0])
        for k in range(1, 2 * reach + 1):
            total.add_(padded.narrow(axis, k, length), alpha=float(taps[k]))
        image = total
    return image
