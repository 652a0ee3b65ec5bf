"""What the fit believes of BlazePose, in closed form."""

import numpy as np
import pytest
from likeness.body.fit_observe import straightened
from likeness.body.fit_system import System


def bent(degrees: float) -> np.ndarray:
    """World points of straight legs whose knees are bent forward."""
    world = np.zeros((33, 3), np.float32)
    for hip, knee, ankle in ((23, 25, 27), (24, 26, 28)):
        half = np.radians(degrees) / 2
        world[knee] = world[hip] + 0.4 * np.array([0, np.cos(half), -np.sin(half)])
        world[ankle] = world[knee] + 0.4 * np.array([0, np.cos(half), np.sin(half)])
    return world


def bend_of(world: np.ndarray) -> float:
    thigh, shin = world[25] - world[23], world[27] - world[25]
    cosine = thigh @ shin / np.linalg.norm(thigh) / np.linalg.norm(shin)
    return float(np.degrees(np.arccos(min(cosine, 1.0))))


@pytest.mark.parametrize(
    ("read", "least", "most"), [(0, 0, 0.3), (18, 0, 0.3), (26, 5, 22), (34, 33.9, 34.1), (90, 89.9, 90.1)]
)
def test_knees_that_blazepose_bends_stand_straight(read, least, most):
    world = bent(read)
    straight = straightened(world)
    assert least <= bend_of(straight) <= most
    np.testing.assert_array_equal(straight[[23, 27, 24, 28]], world[[23, 27, 24, 28]])


def test_terms_without_readings_add_nothing():
    """A body that lies wholly inside the mask has no overflow to differentiate."""
    system = System(10)
    system.add(lambda: pytest.fail("nothing to differentiate"), np.zeros(0), np.zeros(0), 25.0)
    assert system.energy == 0 and not system.hessian.any() and not system.gradient.any()
