"""Gauss-Newton with Levenberg's damping on robust squares: the one solver of all body fits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from likeness.body.fit_points import State, step_scale

# No unknown moves farther in one step than this many times its usual step.
LONGEST_STEP = 1.5


class System:
    """The normal equations of a sum of robust squares about one state, and that sum.

    hessian (P, P), gradient (P,) f64; energy: sum of halves of the (robust) squares. energy_only: derivatives are
    neither asked for nor kept.
    """

    def __init__(self, betas: int, *, energy_only: bool = False) -> None:
        self.energy_only = energy_only
        self.scale = step_scale(betas)
        self.hessian = np.zeros((len(self.scale), len(self.scale)))
        self.gradient = np.zeros(len(self.scale))
        self.energy = 0.0

    def add(
        self,
        derivative: Callable[[], np.ndarray],
        residual: np.ndarray,
        weight: np.ndarray | float = 1.0,
        limit: float | None = None,
    ) -> None:
        """Add dimensionless residuals (M,) or (M, D) with derivative() (M, P) or (M, D, P) and weight (M,).

        limit: Geman and McClure's: each of the M squares, summed over D, counts as s / (1 + s / limit).
        """
        if not residual.size:
            return
        if residual.ndim == 1:
            residual = residual[:, None]
        squared = (residual * residual).sum(axis=1)
        share = np.ones_like(squared) if limit is None else 1 / (1 + squared / limit)
        weight = np.broadcast_to(np.asarray(weight, squared.dtype), squared.shape)
        self.energy += 0.5 * float((weight * share * squared).sum())
        if self.energy_only:
            return
        root = np.sqrt(weight) * share
        jacobian = derivative().reshape(*residual.shape, len(self.scale))
        rows = (jacobian * root[:, None, None]).reshape(-1, len(self.scale))
        values = (residual * root[:, None]).reshape(-1)
        self.hessian += rows.T @ rows
        self.gradient += rows.T @ values

    def add_some(self, columns: np.ndarray | slice, jacobian: np.ndarray, residual: np.ndarray, weight: float) -> None:
        """Add residuals (M,) that depend on some unknowns alone, jacobian (M, C)."""

        def full() -> np.ndarray:
            rows = np.zeros((len(residual), len(self.scale)))
            rows[:, columns] = jacobian
            return rows

        self.add(full, residual, weight)

    def step(self, damping: float, fixed: np.ndarray | None = None) -> np.ndarray:
        """(P,) the damped step downhill; unknowns in `fixed` (P,) bool stay."""
        hessian = self.hessian + np.diag(damping / self.scale**2 + 1e-9)
        free = np.ones(len(self.scale), bool) if fixed is None else ~fixed
        out = np.zeros(len(self.scale))
        out[free] = -np.linalg.solve(hessian[np.ix_(free, free)], self.gradient[free])
        return out * min(1.0, LONGEST_STEP / max(float(np.abs(out / self.scale).max()), 1e-9))


def minimise(
    build: Callable[[State, bool], System],
    state: State,
    steps: int,
    tick: Callable[[], None],
    fixed: np.ndarray | None = None,
    damping: float = 1.0,
) -> tuple[State, float]:
    """Levenberg-Marquardt: only steps that lower the energy are taken. Returns the state and its energy.

    build: state, energy_only -> system there.
    """
    system = build(state, False)
    for _ in range(steps):
        tick()
        moved = state.moved(system.step(damping, fixed))
        gain = system.energy - build(moved, True).energy
        if gain > 0:
            state, system, damping = moved, build(moved, False), max(damping / 4, 1e-3)
            if gain < 1e-3 * (1 + system.energy):
                break
        else:
            damping *= 6
            if damping > 1e5:
                break
    return state, system.energy
