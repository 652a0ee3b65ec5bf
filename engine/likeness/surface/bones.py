"""The last centimetres of the fit: small turns and shifts of whole limbs, told apart from the thickness of cloth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from likeness.core.frames import rodrigues

from .correspond import Wishes

# Measurements a kind that enter the equations: 168 unknowns need no more, and every one costs 168 numbers.
MAX_ROWS = 5000
# Standard deviations that balance the terms below; a fit is off by about this much before the drape begins.
DATA_M = 0.01
TURN_RAD = 0.15
SHIFT_M = 0.02
JOINT_GAP_M = 0.003
BEND_RAD = 0.06
# Few pixels show how far fingers and toes are bent, and what they show is mostly the edge of a shoe.
BEND_SMALL_RAD = 0.015
THICK_M = 0.02
THICK_STEP_M = 0.008
THICK_BARE_M = 0.001


class BoneCorrection:
    """Moves the skin of a skeleton by small rigid motions of its bones and one thickness a bone.

    A front 2 cm before the body may mean thick cloth or a body 2 cm too far away. Here both are unknowns at once: the
    outline on both sides of a limb tells them apart, which a displacement field alone cannot.
    """

    def __init__(
        self,
        vertices: np.ndarray,
        normals: np.ndarray,
        weights: np.ndarray,
        joints: np.ndarray,
        parents: np.ndarray,
        names: Sequence[str],
    ) -> None:
        """vertices, normals (V, 3) and joints (J, 3) posed, metres; weights (V, J) rows sum to 1; names of joints."""
        self._base, self._normals, self._joints = vertices, normals, joints
        self._top = np.argsort(-weights, axis=1, kind="stable")[:, :4]
        top = np.take_along_axis(weights, self._top, axis=1)
        self._share = top / top.sum(axis=1, keepdims=True)
        self._precision = _prior(joints, np.asarray(parents), names)
        self._motion = np.zeros((len(joints), 7))

    def follow(self, area: np.ndarray, wishes: list[Wishes]) -> np.ndarray:
        """Take one step towards the wishes (each along its own normal); area (V,) m2. Returns the vertices (V, 3)."""
        vertices = self.moved()
        # The prior holds the whole motion, not each step: else many steps would wander off.
        system, right = self._precision.copy(), -self._precision @ self._motion.ravel()
        for wish in wishes:
            used = np.flatnonzero(wish.weight > 1e-3)
            if not len(used):
                continue
            thinning = -(-len(used) // MAX_ROWS)
            used = used[::thinning]
            rows = self._rows(vertices[used], used, wish.normal[used])
            value = np.sum(wish.normal[used] * wish.move[used], axis=1)
            # One independent measurement for each square centimetre, not for each vertex: fingers are dense.
            weight = wish.weight[used] * np.minimum(area[used] / 1e-4, 1.0) * thinning / DATA_M**2
            system += rows.T @ (rows * weight[:, None])
            right += rows.T @ (weight * value)
        self._motion = self._motion + np.linalg.solve(system, right).reshape(-1, 7)
        return self.moved()

    def moved(self) -> np.ndarray:
        """(V, 3) vertices under the motion found so far, with its thickness."""
        turns, out = rodrigues(self._motion[:, 0:3]), np.zeros_like(self._base)
        for k in range(self._top.shape[1]):
            bone, share = self._top[:, k], self._share[:, k, None]
            arm = np.einsum("vab,vb->va", turns[bone], self._base - self._joints[bone])
            place = self._joints[bone] + self._motion[bone, 3:6]
            out += share * (arm + place + self._motion[bone, 6:7] * self._normals)
        return out

    def thickness(self) -> np.ndarray:
        """(V,) metres of cloth found so far."""
        return np.sum(self._share * self._motion[self._top, 6], axis=1)

    def _rows(self, vertices: np.ndarray, used: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """(N, 7 J) derivative of the displacement along `direction` by turn, shift and thickness of each bone."""
        rows = np.zeros((len(used), len(self._joints), 7))
        index = np.arange(len(used))
        centres = self._joints + self._motion[:, 3:6]
        along = np.sum(self._normals[used] * direction, axis=1)
        for k in range(self._top.shape[1]):
            bone, share = self._top[used, k], self._share[used, k, None]
            rows[index, bone, 0:3] += share * np.cross(vertices - centres[bone], direction)
            rows[index, bone, 3:6] += share * direction
            rows[index, bone, 6] += share[:, 0] * along
        return rows.reshape(len(used), -1)


def _prior(joints: np.ndarray, parents: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(7 J, 7 J) precision of: small turns, shifts, thicknesses; joints stay closed; neighbours move alike."""
    bones = len(joints)
    bare = np.array([n.endswith(("wrist", "hand")) or n == "head" for n in names])
    small = np.array([n.endswith(("hand", "foot")) for n in names])
    system = np.zeros((7 * bones, 7 * bones))
    sigma = np.tile([TURN_RAD] * 3 + [SHIFT_M] * 3 + [THICK_M], (bones, 1))
    sigma[bare, 6] = THICK_BARE_M
    system[np.diag_indices(7 * bones)] = sigma.ravel() ** -2
    for bone, parent in enumerate(parents):
        if parent < 0:
            continue
        rows = np.zeros((7, bones, 7))
        # A bone turns about its own joint: the joint moves by its shift alone, but by the parent's turn and shift.
        rows[0:3, bone, 3:6] = np.eye(3) / JOINT_GAP_M
        rows[0:3, parent, 3:6] = -np.eye(3) / JOINT_GAP_M
        rows[0:3, parent, 0:3] = _cross_matrix(joints[bone] - joints[parent]) / JOINT_GAP_M
        bend = BEND_SMALL_RAD if small[bone] else BEND_RAD
        rows[3:6, bone, 0:3] = np.eye(3) / bend
        rows[3:6, parent, 0:3] = -np.eye(3) / bend
        if not (bare[bone] or bare[parent]):
            rows[6, bone, 6], rows[6, parent, 6] = 1 / THICK_STEP_M, -1 / THICK_STEP_M
        flat = rows.reshape(7, -1)
        system += flat.T @ flat
    return system


def _cross_matrix(arm: np.ndarray) -> np.ndarray:
    """(3, 3) M with M @ turn = -(turn x arm)."""
    x, y, z = arm
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
