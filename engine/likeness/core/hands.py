"""Poses of 24 (SMPL), 52 (SMPL-H) and 55 joints (SMPL-X) turned into one another: the families differ in hands alone.

The first 22 joints are the same. Then SMPL has one joint a hand, SMPL-H fifteen (index, middle, pinky, ring, thumb,
from the knuckle out), and SMPL-X puts jaw and eyes before those fifteen.
"""

from __future__ import annotations

import numpy as np

from .frames import axis_angle, rodrigues

BODY_JOINTS = 22
#: The layouts that are known, by how many joints they have.
LAYOUTS = (24, 52, 55)
_HAND_JOINTS = 15
_MIDDLE_KNUCKLE = 3
#: (15, 3) axis-angle of a left hand that does nothing, radians, relative to the flat hand of the T pose.
RELAXED_LEFT = np.array(
    [
        [0.03, 0.10, -0.24], [0.05, 0.02, -0.45], [0.02, 0.01, -0.24],
        [-0.05, 0.03, -0.34], [-0.04, 0.02, -0.56], [-0.02, 0.01, -0.31],
        [-0.16, -0.10, -0.39], [-0.23, 0.02, -0.55], [-0.12, 0.01, -0.29],
        [-0.12, -0.04, -0.40], [-0.15, 0.02, -0.61], [-0.08, 0.01, -0.34],
        [0.21, 0.04, 0.08], [0.09, 0.18, 0.06], [0.10, 0.21, 0.07],
    ]
)  # fmt: skip
#: (2, 15, 3): the left hand and its mirror image.
RELAXED = np.stack([RELAXED_LEFT, RELAXED_LEFT * [1.0, -1.0, -1.0]])


def with_joints(pose: np.ndarray, count: int) -> np.ndarray:
    """Poses (..., J, 3) axis-angle, radians -> (..., count, 3) of the same dtype, J and count each one of LAYOUTS.

    24 -> 52: the fingers are relaxed, and the hand's turn goes to each finger's knuckle, as SMPL's hand turns all
    fingers. 52 -> 24 takes it back, so that 24 -> 52 -> 24 is the same pose; what fingers did beyond that is lost.
    SMPL-X's jaw and eyes rest. Raises ValueError for other counts.
    """
    pose = np.asarray(pose)
    have = pose.shape[-2]
    if have not in LAYOUTS or count not in LAYOUTS:
        raise ValueError(f"a pose of {have} joints cannot become one of {count}")
    if have == count:
        return pose
    body = pose[..., :BODY_JOINTS, :]
    if have == 24:
        fingers = _fingers_of(pose[..., BODY_JOINTS:, :])
    else:
        fingers = pose[..., have - 2 * _HAND_JOINTS :, :]
    if count == 24:
        return np.concatenate([body, _hands_of(fingers)], axis=-2).astype(pose.dtype)
    face = np.zeros((*pose.shape[:-2], count - 2 * _HAND_JOINTS - BODY_JOINTS, 3), pose.dtype)
    return np.concatenate([body, face, fingers], axis=-2).astype(pose.dtype)


def _fingers_of(hands: np.ndarray) -> np.ndarray:
    """Turns of the two hands (..., 2, 3) -> (..., 30, 3)."""
    out = np.broadcast_to(RELAXED, (*hands.shape[:-1], _HAND_JOINTS, 3)).copy()
    turns = rodrigues(hands.astype(np.float64))[..., None, :, :]
    out[..., ::3, :] = axis_angle(turns @ rodrigues(RELAXED[:, ::3]))
    return out.reshape(*hands.shape[:-2], 2 * _HAND_JOINTS, 3)


def _hands_of(fingers: np.ndarray) -> np.ndarray:
    """(..., 30, 3) -> the two hands' turns (..., 2, 3), as the middle fingers' knuckles show them."""
    knuckles = fingers.reshape(*fingers.shape[:-2], 2, _HAND_JOINTS, 3)[..., _MIDDLE_KNUCKLE, :].astype(np.float64)
    return axis_angle(rodrigues(knuckles) @ np.swapaxes(rodrigues(RELAXED[:, _MIDDLE_KNUCKLE]), -1, -2))
