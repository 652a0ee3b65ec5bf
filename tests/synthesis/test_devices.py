"""Nothing on the way to a picture is made on a CPU by default: a graphics card could not take it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from likeness.synthesis import sample
from likeness.synthesis.depth_sensors import SENSORS
from likeness.synthesis.light import light_scene
from likeness.synthesis.outer import sides_in_sight
from likeness.synthesis.places import KINDS, draw_place
from likeness.synthesis.sample import Setting, seen_from
from likeness.synthesis.scene import Scene
from likeness.synthesis.views import draw_view
from torch.overrides import TorchFunctionMode

from .figures import layer, posed

MAKERS = (
    torch.tensor, torch.zeros, torch.ones, torch.full, torch.empty, torch.arange, torch.linspace, torch.eye,
    torch.rand, torch.randn, torch.randint, torch.scalar_tensor,
)  # fmt: skip


class Named(TorchFunctionMode):
    """Complains about tensors that are made without a word on where."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        assert func not in MAKERS or (kwargs or {}).get("device") is not None, f"{func.__name__} without a device"
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def stage() -> Scene:
    body = trimesh.creation.icosphere(2, 0.4).apply_translation((0, 1.0, 0))
    holes = np.full((8, 8), 255, np.uint8)
    holes[::2] = 0
    veil = layer(trimesh.creation.icosphere(2, 0.45).apply_translation((0, 1.0, 0)), kind="hair", alpha=holes)
    person = posed(layer(body, kind="skin"), veil)
    with Named():
        scene = Scene(person)
        sides_in_sight(scene)
    return scene


def test_unnamed_devices_are_found() -> None:
    with Named(), pytest.raises(AssertionError, match="zeros without a device"):
        torch.zeros(3)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_say_where_their_tensors_are(stage: Scene, kind: str) -> None:
    person = posed(layer(trimesh.creation.icosphere(2, 0.4).apply_translation((0, 1.0, 0))))
    rng = np.random.default_rng(4)
    place = draw_place(rng, kind)
    names = list(SENSORS)[list(KINDS).index(kind) :: len(KINDS)]
    with Named():
        here = Setting(stage, person, "", place, light_scene(stage, place))
        for name in names:
            seen = seen_from(here, draw_view(person, rng, 48), name, SENSORS[name], "cpu", rng)
            assert isinstance(seen, sample.ViewSample)
