"""Limbs of a pose by where their ends are: two-bone inverse kinematics on the default body's T pose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from likeness.core.frames import axis_angle, rodrigues
from likeness.synthesis.figure import Floats

Vector = NDArray[np.float64]

_BODY = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
_HANDS = tuple(parent for wrist, start in ((20, 22), (21, 37)) for f in range(5) for parent in
               (wrist, start + 3 * f, start + 3 * f + 1))  # fmt: skip
#: Parent of each of SMPL-H's 52 joints, -1 for the root.
PARENTS = np.array(_BODY + _HANDS)
#: Joint that a left-right mirror image takes the place of.
MIRROR = np.array([0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20]
                  + list(range(37, 52)) + list(range(22, 37)))  # fmt: skip

_FLEX_LIMIT = np.radians(150.0)
_PRONATION_DEG, _WRIST_TWIST_DEG, _WRIST_BEND_DEG = 85.0, 30.0, 45.0


def unit(vector: NDArray) -> Vector:
    """A vector (3,) at length 1."""
    vector = np.asarray(vector, float)
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def mirrored(pose: NDArray) -> Floats:
    """The mirror image (52, 3) of an axis-angle pose (52, 3): left and right swapped."""
    return (np.asarray(pose)[MIRROR] * (1, -1, -1)).astype(np.float32)


def world_rotations(local: NDArray) -> NDArray:
    """Local rotations (52, 3, 3) accumulated from the root."""
    world = local.copy()
    for joint in range(1, len(local)):
        world[joint] = world[PARENTS[joint]] @ local[joint]
    return world


def euler(x_deg: float = 0.0, y_deg: float = 0.0, z_deg: float = 0.0) -> NDArray:
    """A rotation (3, 3) about the fixed axes X, then Y, then Z of the parent."""
    x, y, z = (rodrigues(np.radians(angle) * np.eye(3)[k]) for k, angle in enumerate((x_deg, y_deg, z_deg)))
    return z @ y @ x


def clamped_twist(angle: float, limit_deg: float) -> float:
    """An angle in radians kept within +-limit."""
    return float(np.clip(angle, -np.radians(limit_deg), np.radians(limit_deg)))


class Skeleton:
    """A pose in the making: local rotations (52, 3, 3) on rest joints (52, 3), the pelvis at a place of its own."""

    def __init__(self, joints: NDArray) -> None:
        self.joints = np.asarray(joints, float)
        self.local = np.tile(np.eye(3), (52, 1, 1))
        self.pelvis = np.zeros(3)

    def turn(self, joint: int, x_deg: float = 0.0, y_deg: float = 0.0, z_deg: float = 0.0) -> None:
        """Set a joint's rotation by angles about its parent's axes."""
        self.local[joint] = euler(x_deg, y_deg, z_deg)

    def world(self, count: int = 52) -> tuple[NDArray, NDArray]:
        """World rotations (count, 3, 3) and places (count, 3) of the first joints; 22 leave out the fingers."""
        turned = world_rotations(self.local[:count])
        places = np.zeros((count, 3))
        places[0] = self.pelvis
        for joint in range(1, count):
            parent = PARENTS[joint]
            places[joint] = places[parent] + turned[parent] @ (self.joints[joint] - self.joints[parent])
        return turned, places

    def place(self, joint: int, offset: NDArray) -> Vector:
        """World place of a point given by its rest-frame offset (3,) from a joint."""
        turned, places = self.world(22 if joint < 22 else 52)
        return places[joint] + turned[joint] @ np.asarray(offset, float)

    def pose(self) -> Floats:
        """(52, 3) axis-angle."""
        return axis_angle(self.local).astype(np.float32)

    def reach(self, chain: tuple[int, int, int], target: NDArray, pole: NDArray) -> None:
        """Turn the first two joints of a chain so that the third arrives at `target`, the middle one towards `pole`.

        target (3,) world, drawn in to what the limb reaches; pole (3,) a direction.
        """
        root, middle, end = chain
        turned, places = self.world(22)
        upper, lower = self.joints[middle] - self.joints[root], self.joints[end] - self.joints[middle]
        a, b = float(np.linalg.norm(upper)), float(np.linalg.norm(lower))
        to = np.asarray(target, float) - places[root]
        shortest = float(np.sqrt(a * a + b * b + 2 * a * b * np.cos(_FLEX_LIMIT)))
        distance = float(np.clip(np.linalg.norm(to), shortest, 0.999 * (a + b)))
        to = unit(to)
        side = unit(np.asarray(pole, float) - (np.asarray(pole, float) @ to) * to)
        cosine = (a * a + distance * distance - b * b) / (2 * a * distance)
        first = cosine * to + np.sqrt(max(0.0, 1 - cosine * cosine)) * side
        second = unit(distance * to - a * first)
        hinge = unit(np.cross(first, second))
        rest_first = unit(upper)
        rest_hinge = self._hinge(root)
        rest = np.stack([rest_first, rest_hinge, np.cross(rest_first, rest_hinge)], 1)
        posed = np.stack([first, hinge, np.cross(first, hinge)], 1)
        self.local[root] = turned[PARENTS[root]].T @ posed @ rest.T
        flex = np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second)
        self.local[middle] = rodrigues(rest_hinge * flex)

    def lay_hand(self, side: int, palm: NDArray, along: NDArray | None = None) -> None:
        """Turn forearm and wrist so that the palm looks to `palm` (3,) the hand points `along` (3,), if they can."""
        elbow, wrist = 18 + side, 20 + side
        turned, _ = self.world(22)
        axis = unit(self.joints[wrist] - self.joints[elbow])
        wanted = turned[elbow].T @ np.asarray(palm, float)
        wanted = wanted - (wanted @ axis) * axis
        if np.linalg.norm(wanted) > 1e-3:
            down = np.array([0.0, -1.0, 0.0])
            angle = float(np.arctan2(np.cross(down, unit(wanted)) @ axis, down @ unit(wanted)))
            fore = clamped_twist(angle * 0.7, _PRONATION_DEG)
            self.local[elbow] = self.local[elbow] @ rodrigues(axis * fore)
            self.local[wrist] = rodrigues(axis * clamped_twist(angle - fore, _WRIST_TWIST_DEG))
        if along is not None:
            turned, _ = self.world(22)
            goal = turned[elbow].T @ unit(along)
            now = self.local[wrist] @ axis
            bend = np.cross(now, goal)
            angle = float(np.arctan2(np.linalg.norm(bend), now @ goal))
            self.local[wrist] = rodrigues(unit(bend) * clamped_twist(angle, _WRIST_BEND_DEG)) @ self.local[wrist]

    def level_foot(self, side: int, heading_deg: float, pitch_deg: float = 0.0) -> None:
        """Turn an ankle so that the sole is level, its toes out by `heading_deg`; a positive pitch lowers them."""
        turned, _ = self.world(22)
        shin = turned[4 + side]
        heading = np.degrees(np.arctan2(turned[0][0, 2], turned[0][2, 2])) + (
            heading_deg if side == 0 else -heading_deg
        )
        goal = shin.T @ euler(pitch_deg, heading, 0.0)
        bent = axis_angle(goal)
        angle = float(np.linalg.norm(bent))
        self.local[7 + side] = rodrigues(bent * min(1.0, np.radians(55.0) / max(angle, 1e-9)))

    @staticmethod
    def _hinge(root: int) -> Vector:
        """The axis at rest about which the limb below a hip or shoulder flexes."""
        return {1: np.array([1.0, 0, 0]), 2: np.array([1.0, 0, 0]), 16: np.array([0, -1.0, 0])}.get(
            root, np.array([0, 1.0, 0])
        )
