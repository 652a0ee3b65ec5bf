"""The last centimetres of the fit: small turns and shifts of whole limbs, told apart from the thickness of cloth."""

from __future__ import annotations

import numpy as np

from .correspond import Wishes

# Standard deviations that balance the terms below; a fit is off by about this much before the drape begins.
DATA_M = 0.01
TURN_RAD = 0.15
SHIFT_M = 0.02
JOINT_GAP_M = 0.003
BEND_RAD = 0.06
THICK_M = 0.02
THICK_STEP_M = 0.008
THICK_STIFF_M = 0.001


class BoneCorrection:
    """Moves the skin of a skeleton by small rigid motions of its bones and one thickness a bone.

    A front 2 cm before the body may mean thick cloth or a body 2 cm too far away. Here both are unknowns at once: the
    outline on both sides of a limb tells them apart, which a displacement field alone cannot.
    """

    def __init__(self, weights: np.ndarray, joints: np.ndarray, parents: np.ndarray, stiff: np.ndarray) -> None:
        """weights (V, J) rows sum to 1, joints (J, 3) posed, metres; stiff (J,) bool: bare bones (hands, head)."""
        self._weights, self._joints, self._parents, self._stiff = weights, joints, np.asarray(parents), stiff
        # Sparse rows: four bones a vertex carry practically all.
        self._top = np.argsort(-weights, axis=1, kind="stable")[:, :4]
        top = np.take_along_axis(weights, self._top, axis=1)
        self._share = top / top.sum(axis=1, keepdims=True)

    def solve(self, vertices: np.ndarray, normals: np.ndarray, area: np.ndarray, wishes: list[Wishes]) -> np.ndarray:
        """Displacement (V, 3) of (V, 3) vertices that follows the wishes (each along its own normal) as bones can."""
        bones = len(self._joints)
        system, right = self._prior()
        for wish in wishes:
            used = np.flatnonzero(wish.weight > 1e-3)
            if not len(used):
                continue
            rows = self._rows(vertices[used], normals[used], used, wish.normal[used])
            value = np.sum(wish.normal[used] * wish.move[used], axis=1)
            # One independent measurement for each square centimetre, not for each vertex: fingers are dense.
            weight = wish.weight[used] * np.minimum(area[used] / 1e-4, 1.0) / DATA_M**2
            system += rows.T @ (rows * weight[:, None])
            right += rows.T @ (weight * value)
        x = np.linalg.solve(system, right).reshape(bones, 7)
        return self._apply(vertices, normals, x)

    def _rows(self, vertices: np.ndarray, normals: np.ndarray, used: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """(N, 7 J) derivative of the displacement along `direction` by turn, shift and thickness of each bone."""
        rows = np.zeros((len(used), len(self._joints), 7))
        index = np.arange(len(used))
        for k in range(self._top.shape[1]):
            bone, share = self._top[used, k], self._share[used, k, None]
            arm = vertices - self._joints[bone]
            rows[index, bone, 0:3] += share * np.cross(arm, direction)
            rows[index, bone, 3:6] += share * direction
            rows[index, bone, 6] += share[:, 0] * np.sum(normals * direction, axis=1)
        return rows.reshape(len(used), -1)

    def _apply(self, vertices: np.ndarray, normals: np.ndarray, x: np.ndarray) -> np.ndarray:
        out = np.zeros_like(vertices)
        for k in range(self._top.shape[1]):
            bone, share = self._top[:, k], self._share[:, k, None]
            turn, shift, thick = x[bone, 0:3], x[bone, 3:6], x[bone, 6:7]
            out += share * (np.cross(turn, vertices - self._joints[bone]) + shift + thick * normals)
        return out

    def _prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Normal equations of: small turns, shifts, thicknesses; joints stay closed; neighbours move alike."""
        bones = len(self._joints)
        system = np.zeros((7 * bones, 7 * bones))
        sigma = np.tile([TURN_RAD] * 3 + [SHIFT_M] * 3 + [THICK_M], bones).reshape(bones, 7)
        sigma[self._stiff, 6] = THICK_STIFF_M
        system[np.diag_indices(7 * bones)] = sigma.ravel() ** -2
        for bone, parent in enumerate(self._parents):
            if parent < 0:
                continue
            rows = np.zeros((7, bones, 7))
            # A bone turns about its own joint: the joint moves by its shift alone, but by the parent's turn and shift.
            arm = self._joints[bone] - self._joints[parent]
            rows[0:3, bone, 3:6] = np.eye(3) / JOINT_GAP_M
            rows[0:3, parent, 3:6] = -np.eye(3) / JOINT_GAP_M
            rows[0:3, parent, 0:3] = _cross_matrix(arm) / JOINT_GAP_M
            rows[3:6, bone, 0:3] = np.eye(3) / BEND_RAD
            rows[3:6, parent, 0:3] = -np.eye(3) / BEND_RAD
            rows[6, bone, 6], rows[6, parent, 6] = 1 / THICK_STEP_M, -1 / THICK_STEP_M
            flat = rows.reshape(7, -1)
            if self._stiff[bone] or self._stiff[parent]:
                flat = flat[:6]
            system += flat.T @ flat
        return system, np.zeros(7 * bones)


def _cross_matrix(arm: np.ndarray) -> np.ndarray:
    """(3, 3) M with M @ turn = -(turn x arm)."""
    x, y, z = arm
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
