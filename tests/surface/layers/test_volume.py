"""Volumes between layers against boxes, and air between limbs against two tubes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("embreex")

from likeness.core.camera import Camera
from likeness.surface.layers.inflation import thickness
from likeness.surface.layers.spans import BodyHits, Gap, gap_by_body, gap_by_jumps
from likeness.surface.layers.volume import volume

CAMERA = Camera(300.0, 300.0, 39.5, 59.5, 80, 120)
SHAPE = (120, 80)
CLOSED = Gap(np.zeros(SHAPE), np.zeros(SHAPE), np.zeros(SHAPE, bool))


def enclosed(surface):
    a, b, c = (surface.vertices[surface.faces[:, k]].astype(float) for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def is_closed(surface):
    e = np.concatenate([surface.faces[:, [0, 1]], surface.faces[:, [1, 2]], surface.faces[:, [2, 0]]]).astype(np.int64)
    return np.array_equal(np.sort(e[:, 0] << 32 | e[:, 1]), np.sort(e[:, 1] << 32 | e[:, 0]))


def limbs():
    """A tube of 5 cm radius 30 cm before a slab of 10 cm, 2 m away: mask, front, back."""
    mask = np.zeros(SHAPE, bool)
    mask[10:110, 10:70] = True
    columns = np.mgrid[: SHAPE[0], : SHAPE[1]][1]
    x = (columns - 39.5) / 300 * 2.0
    arm = mask & (np.abs(x) < 0.05)
    tube = np.sqrt(np.maximum(0.05**2 - x**2, 0))
    front = np.where(arm, 2.0 - tube, 2.3) * mask
    return mask, front, np.full(SHAPE, 2.4) * mask, arm, 2 * tube


def test_a_box_has_its_volume_with_and_without_air_in_it():
    mask = np.zeros(SHAPE, bool)
    mask[10:110, 10:70] = True
    front, back = np.full(SHAPE, 2.0), np.full(SHAPE, 2.3)
    made = volume(front, back, CLOSED, mask, np.ones(SHAPE), CAMERA)
    slope = (100 / 300) * (60 / 300)
    want = slope * (2.3**3 - 2.0**3) / 3
    assert is_closed(made)
    assert enclosed(made) == pytest.approx(want, rel=0.02)
    at_front = made.seen > 0
    assert np.abs(made.vertices[at_front, 2] - 2.0).max() < 0.006
    hollow = Gap(np.full(SHAPE, 2.1), np.full(SHAPE, 2.2), mask)
    two = volume(front, back, hollow, mask, np.ones(SHAPE), CAMERA)
    assert is_closed(two)
    assert enclosed(two) == pytest.approx(want - slope * (2.2**3 - 2.1**3) / 3, rel=0.02)


def test_a_limb_before_another_is_freed_by_its_outline():
    mask, front, back, arm, tube = limbs()
    found = gap_by_jumps(front, back, mask, thickness(front, mask, 300.0), CAMERA)
    middle = np.zeros(SHAPE, bool)
    middle[30:90] = True
    core = arm & middle & (tube > 0.06)
    assert found.open[core].mean() > 0.9
    assert not found.open[~arm].any()
    assert np.abs(found.start - front - tube)[core & found.open].max() < 0.02
    assert np.abs(found.stop - 2.3)[core & found.open].max() < 0.01
    made = volume(front, back, found, mask, np.ones(SHAPE), CAMERA)
    assert is_closed(made)
    # Nothing of the 20 cm of air behind the limb is filled.
    behind = (np.abs(made.vertices[:, 0]) < 0.03) & (np.abs(made.vertices[:, 1]) < 0.15)
    assert not (behind & (np.abs(made.vertices[:, 2] - 2.17) < 0.08)).any()


def test_a_body_opens_air_only_where_it_agrees_with_the_layers():
    mask, front, back, arm, tube = limbs()
    nothing = np.zeros(SHAPE)
    leaves, enters = np.where(arm, front + tube, 0), np.where(arm, 2.3, 0)
    first, last = np.where(mask, front, 0), np.where(mask, back, 0)
    right = gap_by_body(
        front,
        back,
        BodyHits(first + 0.03, leaves + 0.03, enters - 0.02, last - 0.02),
    )
    assert right.open[arm & (tube > 0.02)].mean() > 0.9
    # Moved to where the layers are, less the cloth.
    assert np.abs(right.start - front - np.maximum(tube + 0.01, 0.03))[right.open].max() < 1e-6
    assert np.abs(right.stop - 2.29)[right.open].max() < 1e-6
    for wrong in (BodyHits(first + 0.2, leaves + 0.2, enters, last), BodyHits(*[nothing] * 4)):
        assert not gap_by_body(front, back, wrong).open.any()
