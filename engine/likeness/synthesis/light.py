"""Light on a posed person."""

from __future__ import annotations

from likeness.synthesis.scene import Scene

__all__ = ["Scene"]
