"""The head: features of a point -> signed distance and, on the side, colour (paper: MLP with re-entering input)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SkipMlp(nn.Module):
    """An MLP whose input enters every hidden layer but the first again, as far as `skips` layers (PIFu, SuRS)."""

    def __init__(self, inputs: int, widths: tuple[int, ...], outputs: int, skips: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        before = inputs
        for number, width in enumerate(widths):
            again = inputs if 0 < number <= skips else 0
            self.layers.append(nn.Linear(before + again, width))
            before = width
        self.last = nn.Linear(before, outputs)
        self.skips = skips

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        now = x
        for number, layer in enumerate(self.layers):
            now = F.leaky_relu(layer(torch.cat([now, x], -1) if 0 < number <= self.skips else now), 0.05)
        return self.last(now)

    def macs(self) -> int:
        """Multiplications a query."""
        return sum(m.weight.numel() for m in self.modules() if isinstance(m, nn.Linear))


class Head(nn.Module):
    """Signed distance of points, metres, within +-truncation_m; with `color` albedo 0..1 too."""

    def __init__(
        self,
        inputs: int,
        widths: tuple[int, ...],
        truncation_m: float,
        *,
        residual: bool,
        color: bool,
        explicit: bool = False,
    ) -> None:
        super().__init__()
        self.truncation_m, self.residual, self.explicit = truncation_m, residual and not explicit, explicit
        self.mlp = SkipMlp(inputs, widths, 1 + self.residual)
        if explicit:
            # Untrained, the zero level is the surface that was guessed.
            nn.init.zeros_(self.mlp.last.weight)
            nn.init.zeros_(self.mlp.last.bias)
        self.color = SkipMlp(inputs, (64, 64), 3, skips=0) if color else None

    def forward(self, features: Tensor, surface: Tensor) -> Tensor:
        """Features (..., C), surface (...) -> (...). surface: the guessed signed distance with `explicit`, else the
        projective one times the cosine, 0 where unknown."""
        out = self.mlp(features).float()
        raw = out[..., 0]
        if self.explicit:
            raw = raw + self._raw(surface)
        if self.residual:
            raw = raw + torch.sigmoid(out[..., 1]) * self._raw(surface)
        return self.truncation_m * torch.tanh(raw)

    def start(self, surface: Tensor) -> Tensor:
        """What `forward` would say of a guessed signed distance (...) if it had learnt nothing."""
        return self.truncation_m * torch.tanh(self._raw(surface))

    def _raw(self, surface: Tensor) -> Tensor:
        return (surface / self.truncation_m).clamp(-2, 2)

    def colors(self, features: Tensor) -> Tensor:
        """(..., C) -> (..., 3) sRGB 0..1."""
        assert self.color is not None
        return torch.sigmoid(self.color(features).float())
