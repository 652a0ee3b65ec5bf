"""What a confidence says: centimetres, by Laplace's method and a calibrated power."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from likeness.body.fit_points import PLACE, unknowns
from likeness.body.fit_sure import LIMB_JOINTS, confidence, expected_off, limb_sigmas, spread_of
from likeness.body.fit_system import System
from likeness.core.fit import LIMBS, sure, usually_off

KINDS = st.sampled_from(["rgbd", "photo"])


def test_the_scale_is_what_the_guide_says():
    for off, confident in ((0.0, 1.0), (0.025, 0.8), (0.05, 0.5), (0.1, 0.2)):
        assert sure(off) == pytest.approx(confident) and usually_off(confident) == pytest.approx(off)


@given(st.floats(1e-4, 1.0), st.floats(1.01, 3.0), KINDS)
def test_more_spread_is_less_sure_and_can_be_read_back(sigma, more, kind):
    off = expected_off(sigma, kind)
    assert sure(expected_off(more * sigma, kind)) < sure(off)
    assert spread_of(usually_off(sure(off)), kind) == pytest.approx(sigma, rel=1e-3)


def moving_together() -> tuple[SimpleNamespace, System]:
    """A body whose joints only shift: known to 2 cm along each axis."""
    system = System(10)
    jacobian = np.zeros((52, 3, unknowns(10)))
    jacobian[:, :, PLACE] = np.eye(3)
    system.hessian[PLACE, PLACE] = np.eye(3) / 0.02**2
    return SimpleNamespace(joint_jacobian=jacobian), system


def test_an_open_place_makes_limbs_unsure_with_depth_and_not_in_a_photo():
    posed, system = moving_together()
    assert set(LIMB_JOINTS) == set(LIMBS) - {"left_hand", "right_hand"}
    for sigma in limb_sigmas(posed, system, about_pelvis=False).values():
        assert sigma == pytest.approx(0.02 * np.sqrt(3), rel=1e-3)
    assert max(limb_sigmas(posed, system, about_pelvis=True).values()) == 0
    assert max(confidence(posed, system, "rgbd").values()) < 0.6
    assert min(confidence(posed, system, "photo").values()) == 1
