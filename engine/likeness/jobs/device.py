"""Which processor does the work."""

from __future__ import annotations

from ..core.errors import LikenessError


def available_devices() -> list[str]:
    """Usable torch devices, best first; always ends with 'cpu'."""
    import torch

    found = []
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def resolve_device(name: str) -> str:
    """'auto' or a device's name -> a device that exists here. Raises LikenessError("environment.device")."""
    devices = available_devices()
    if name == "auto":
        return devices[0]
    if name not in devices:
        raise LikenessError(
            "environment.device",
            f"The device {name} is not usable on this machine.",
            f"Choose one of: auto, {', '.join(devices)}.",
        )
    return name
