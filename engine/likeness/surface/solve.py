"""Smooth fields on a triangle mesh: data where there is some, bending and stretching energy everywhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import robust_laplacian
import scipy.sparse as sparse
from scipy.sparse.linalg import splu


class SmoothField:
    """Finds the smoothest field that still follows weighted targets.

    Energy, per component of a field f with targets t, integrated over the surface (area a_i of a vertex):
        sum a_i w_i (f_i - t_i)^2 + length^4 * |Laplacian f|^2 + stretch^2 * |gradient f|^2
    Integrals make `length` and `stretch` metres that mean the same on dense fingers and coarse thighs: details of
    the targets smaller than about `length` are smoothed away where w is 1.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        """vertices (V, 3) metres, faces (F, 3): a connected manifold mesh."""
        laplacian, mass = robust_laplacian.mesh_laplacian(
            np.ascontiguousarray(vertices, np.float64), np.ascontiguousarray(faces, np.int64)
        )
        area = np.asarray(mass.diagonal())
        # Slivers between eyelids have next to no area, and one over it ruins the factorization.
        self.area = np.maximum(area, 1e-3 * np.median(area))
        self._laplacian = laplacian.tocsr()

    def solve(
        self,
        targets: np.ndarray,
        weights: np.ndarray,
        length: np.ndarray | float,
        stretch: float = 0.0,
    ) -> np.ndarray:
        """targets (V, K), ignored where weights (V,) >= 0 are 0; length (V,) or one, metres -> (V, K) f64."""
        factor = self._factor(weights, length, stretch)
        right = (self.area * weights)[:, None] * targets
        return factor(np.ascontiguousarray(right, np.float64))

    def low_pass(self, length: float) -> Callable[[np.ndarray], np.ndarray]:
        """The filter (V, K) -> (V, K) that keeps what is larger than about `length` metres; cheap to apply again."""
        factor = self._factor(np.ones(len(self.area)), length, 0.0)
        return lambda values: factor(np.ascontiguousarray(self.area[:, None] * values, np.float64))

    def _factor(
        self, weights: np.ndarray, length: np.ndarray | float, stretch: float
    ) -> Callable[[np.ndarray], np.ndarray]:
        length = np.broadcast_to(np.asarray(length, np.float64), self.area.shape)
        bend = self._laplacian.T @ sparse.diags(length**4 / self.area) @ self._laplacian
        # 1e-6: without any target the field is zero, not undefined.
        system = bend + stretch**2 * self._laplacian + sparse.diags(self.area * (weights + 1e-6))
        factor = splu(
            system.tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        return factor.solve
