"""The floor that people stand on: where it lies before the camera, which way is up, and soles flat upon it.

A photo says neither how far the camera looks down nor how high it is held; feet that carry somebody, the height at
which people hold cameras, and where the body's middle is over its feet say it together. So the floor is unknown too,
three numbers of State.floor: radians that `up` turns by about the horizontal across the sight and about the optical
axis, and the camera's metres above the floor. What the camera measured stays, within what it may be wrong by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from likeness.body.fit_observe import Evidence
from likeness.body.fit_points import FLOOR, Posed, State, left_jacobian
from likeness.body.fit_system import System
from likeness.core.frames import rodrigues

# Metres by which the soles of feet that stand may be off the floor (shoes, heels), and the square at which a sole's
# point counts as lifted; below the floor there is nothing, so points there are let go much later.
SOLE_SIGMA_M, LIFTED, SUNK = 0.015, 4.0, 40.0
# Metres above the floor at which cameras are held, chest to eyes of whoever stands behind them, and their spread.
CAMERA_HEIGHT_M, CAMERA_HEIGHT_SIGMA_M = 1.35, 0.35
# Radians by which a camera looks up or down, and by which it is turned about its axis.
LOOK_SIGMA, ROLL_SIGMA = 0.17, 0.03
# Metres by which the body's middle may be before or behind its feet.
BALANCE_SIGMA_M = 0.06
_ANKLES_AND_TOES = [7, 8, 10, 11]
# BlazePose's heel and toes of each foot: how well a foot is seen.
_SEEN = ([29, 31], [30, 32])


def upright(evidence: Evidence, state: State) -> np.ndarray:
    """(3,) f64 unit vector away from the floor, camera space."""
    turn = rodrigues(state.floor[:2] @ _axes(evidence))
    return np.asarray(turn @ evidence.up.astype(np.float64))


def floored(evidence: Evidence, posed: Posed) -> State:
    """The state with its floor under the lowest sole."""
    heights = _soles(posed) @ upright(evidence, posed.state)
    floor = posed.state.floor.copy()
    floor[2] = -float(heights.min())
    return replace(posed.state, floor=floor)


def add_floor(system: System, evidence: Evidence, posed: Posed, weight: float) -> None:
    """Soles lie on the floor, unless they are clearly lifted; nothing is below it."""
    up, turning = _up_and_slope(evidence, posed.state)
    soles = _soles(posed)
    away = (soles @ up + posed.state.floor[2]) / SOLE_SIGMA_M
    seen = np.repeat([evidence.trust[rows].mean() for rows in _SEEN], 3)

    def slope(chosen: np.ndarray) -> Callable[[], np.ndarray]:
        def jacobian() -> np.ndarray:
            rows = posed.points.sole_rows[chosen]
            out = posed.rows(rows, np.broadcast_to(up, (len(rows), 3))).astype(np.float64)
            out[:, FLOOR] = np.column_stack([soles[chosen] @ turning, np.ones(len(rows))])
            return out / SOLE_SIGMA_M

        return jacobian

    for chosen, limit in ((np.flatnonzero(away >= 0), LIFTED), (np.flatnonzero(away < 0), SUNK)):
        system.add(slope(chosen), away[chosen], weight * seen[chosen], limit)


def add_camera_prior(system: System, state: State, weight: float) -> None:
    """How cameras are held."""
    usual = np.array([0.0, 0.0, CAMERA_HEIGHT_M])
    sigma = np.array([LOOK_SIGMA, ROLL_SIGMA, CAMERA_HEIGHT_SIGMA_M])
    system.add_some(FLOOR, np.diag(1 / sigma), (state.floor - usual) / sigma, weight)


def add_balance(system: System, evidence: Evidence, posed: Posed, rows: np.ndarray, weight: float) -> None:
    """The body's middle is over the feet that carry it, as far as a picture does not show it.

    rows: points spread over the body. A body that falls sideways in the picture is running or jumping and is let go.
    """
    up, turning = _up_and_slope(evidence, posed.state)
    feet = posed.places[_ANKLES_AND_TOES]
    carry = np.exp(-(feet @ up - (feet @ up).min()) / 0.06)
    carry /= carry.sum()
    apart = posed.vertices[rows].astype(np.float64).mean(axis=0) - carry @ feet
    offset = apart - up * (apart @ up)
    steady = np.exp(-np.square(offset[0] / 0.15))
    ahead = np.array([0.0, 0.0, 1.0]) - up * up[2]

    def jacobian() -> np.ndarray:
        middle = posed.rows(rows, np.broadcast_to(ahead / len(rows), (len(rows), 3))).sum(axis=0)
        carried = np.einsum("f,c,fcp->p", carry, ahead, posed.joint_jacobian[_ANKLES_AND_TOES])
        slope = middle.astype(np.float64) - carried
        slope[FLOOR][:2] -= turning[2] * (apart @ up) + up[2] * (apart @ turning)
        return slope[None] / BALANCE_SIGMA_M

    system.add(jacobian, np.array([offset[2] / BALANCE_SIGMA_M]), weight * steady, 6.0)


def _axes(evidence: Evidence) -> np.ndarray:
    """(2, 3): the horizontal across the sight, and the optical axis."""
    sight = np.array([0.0, 0.0, 1.0])
    across = np.cross(sight, evidence.up.astype(np.float64))
    length = float(np.linalg.norm(across))
    return np.stack([across / length if length > 1e-6 else np.array([1.0, 0.0, 0.0]), sight])


def _up_and_slope(evidence: Evidence, state: State) -> tuple[np.ndarray, np.ndarray]:
    """`up` (3,) and its derivative (3, 2) by the two turns."""
    up, axes = upright(evidence, state), _axes(evidence)
    vectors = left_jacobian((state.floor[:2] @ axes)[None])[0] @ axes.T
    return up, np.cross(vectors.T, up).T


def _soles(posed: Posed) -> np.ndarray:
    return posed.vertices[posed.points.sole_rows].astype(np.float64)
