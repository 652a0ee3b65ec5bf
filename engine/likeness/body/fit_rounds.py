"""How a fit goes from far to near: in rounds, each with its reach and weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Round:
    """One stretch of the second half: steps, how far readings may lie from the body (m), their noise (m), and the
    weights of landmarks, prior and shape."""

    steps: int
    reach: float
    blur: float
    landmark: float
    prior: float
    shape: float


DEPTH_LOOK = (Round(4, 0.25, 0.03, 1.0, 1.0, 2.0), Round(4, 0.20, 0.02, 0.8, 0.8, 1.0))
DEPTH_ROUNDS = (
    Round(6, 0.15, 0.015, 0.7, 0.7, 1.0),
    Round(6, 0.12, 0.01, 0.5, 0.5, 1.0),
    Round(8, 0.10, 0.006, 0.4, 0.4, 1.0),
)
PHOTO_LOOK = (Round(4, 0.2, 0.02, 1.0, 1.0, 2.0),)
PHOTO_ROUNDS = (
    Round(5, 0.2, 0.02, 1.0, 1.0, 2.0),
    Round(5, 0.2, 0.02, 1.0, 0.8, 1.5),
    Round(8, 0.2, 0.02, 1.0, 0.7, 1.5),
)
