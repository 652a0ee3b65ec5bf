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
# Index, middle, pinky, ring and thumb of a left hand that does nothing, three joints each from the knuckle out:
# axis-angle relative to the flat hand of the T pose, radians.
_LEFT = np.array(
    [
        [0.026, 0.095, -0.240], [0.046, 0.016, -0.451], [0.025, 0.009, -0.243],
        [-0.051, 0.025, -0.345], [-0.044, 0.020, -0.556], [-0.025, 0.011, -0.313],
        [-0.158, -0.098, -0.392], [-0.226, 0.019, -0.548], [-0.120, 0.010, -0.290],
        [-0.121, -0.037, -0.403], [-0.152, 0.022, -0.609], [-0.084, 0.012, -0.339],
        [0.209, 0.038, 0.076], [0.088, 0.180, 0.061], [0.102, 0.210, 0.071],
    ],
    np.float32,
)  # fmt: skip
#: (30, 3) f32 axis-angle of SMPL-H's finger joints, left hand first: what fits assume, since pictures of whole people
#: show no fingers.
RELAXED_FINGERS = np.concatenate([_LEFT, _LEFT * np.array([1, -1, -1], np.float32)])


def beyond_body(joints: int) -> np.ndarray:
    """(joints - 22, 3) f32: how the joints after the body's stand in a layout of so many joints at rest or relaxed.

    SMPL's two hands (24) stay straight, SMPL-H's fingers (52) relax; so do the last thirty of SMPL-X (55).
    """
    rest = np.zeros((joints - BODY_JOINTS, 3), np.float32)
    if len(rest) >= len(RELAXED_FINGERS):
        rest[-len(RELAXED_FINGERS) :] = RELAXED_FINGERS
    return rest


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
    relaxed = RELAXED_FINGERS.reshape(2, _HAND_JOINTS, 3).astype(np.float64)
    out = np.broadcast_to(relaxed, (*hands.shape[:-1], _HAND_JOINTS, 3)).copy()
    turns = rodrigues(hands.astype(np.float64))[..., None, :, :]
    out[..., ::3, :] = axis_angle(turns @ rodrigues(relaxed[:, ::3]))
    return out.reshape(*hands.shape[:-2], 2 * _HAND_JOINTS, 3)


def _hands_of(fingers: np.ndarray) -> np.ndarray:
    """(..., 30, 3) -> the two hands' turns (..., 2, 3), as the middle fingers' knuckles show them."""
    knuckles = fingers.reshape(*fingers.shape[:-2], 2, _HAND_JOINTS, 3)[..., _MIDDLE_KNUCKLE, :].astype(np.float64)
    relaxed = RELAXED_FINGERS.reshape(2, _HAND_JOINTS, 3)[:, _MIDDLE_KNUCKLE].astype(np.float64)
    return axis_angle(rodrigues(knuckles) @ np.swapaxes(rodrigues(relaxed), -1, -2))
