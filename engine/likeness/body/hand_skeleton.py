"""Hands as anatomy moves them: which joints a finger has, the axes about which it bends, and what angles make of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from likeness.body.model import BodyModel, product_body
from likeness.core.frames import axis_angle, rodrigues
from numpy.typing import NDArray

#: The first joint of each hand in SMPL-H's layout; then index, middle, pinky, ring, thumb with three joints each.
HAND_STARTS = (22, 37)
ELBOWS, WRISTS = (18, 19), (20, 21)
FINGERS = ("index", "middle", "pinky", "ring", "thumb")
#: How many angles pose a hand: the bends of fifteen joints, five that spread the fingers (the thumb's: opposes it),
#: one that leads the thumb away from the palm.
ANGLES = 21
BENDS, SPREADS, THUMB_AWAY = slice(0, 15), slice(15, 20), 20
THUMB = FINGERS.index("thumb")
#: By what share of the palm's length points of detectors lie beside joints: along the hand, out of the palm, to the
#: thumb's side. Medians over rendered people of the val split: the wrist is seen at the palm's heel, knuckles at the
#: bones' heads.
POINT_SHIFTS = {
    0: (0.11, 0.0, 0.0), 1: (-0.05, 0.12, 0.0), 5: (-0.10, 0.0, -0.06), 9: (-0.09, 0.0, 0.0),
    13: (-0.08, 0.0, 0.0), 17: (-0.05, 0.0, 0.04),
}  # fmt: skip
#: Fingers in the order of MediaPipe's and OpenPose's points.
_POINT_FINGERS = tuple(FINGERS.index(f) for f in ("thumb", "index", "middle", "ring", "pinky"))


def finger_joints(side: int, finger: str) -> range:
    """The three joints of a finger of the left (0) or right (1) hand, from the knuckle out."""
    start = HAND_STARTS[side] + 3 * FINGERS.index(finger)
    return range(start, start + 3)


def palm_normal(joints: NDArray, side: int) -> NDArray:
    """Unit vector (3,) out of the palm at rest, from rest joints (52, 3)."""
    index, pinky, middle = (joints[finger_joints(side, f)[0]] for f in ("index", "pinky", "middle"))
    along, across = middle - joints[WRISTS[side]], index - pinky
    normal = np.cross(along, across) * (1 if side == 0 else -1)
    return normal / np.linalg.norm(normal)


def flexion_axes(joints: NDArray) -> NDArray[np.float64]:
    """Unit axes (30, 3) in the rest frame about which a positive angle bends each finger joint towards the palm.

    joints: (52, 3) at rest. Fingers hinge about the knuckle line; the thumb closes over the palm.
    """
    axes = np.zeros((30, 3))
    for side in (0, 1):
        palm = palm_normal(joints, side)
        for finger in FINGERS:
            first, second, third = (joints[k] for k in finger_joints(side, finger))
            towards = palm
            if finger == "thumb":
                towards = joints[finger_joints(side, "ring")[0]] + 0.03 * palm - second
            for joint, along in zip(
                finger_joints(side, finger), (second - first, third - second, third - second), strict=True
            ):
                axis = np.cross(along, towards)
                axes[joint - 22] = axis / np.linalg.norm(axis)
    return axes


@dataclass(frozen=True)
class HandSkeleton:
    """A hand at rest and the axes of its angles; float64, metres, the rest frame's axes, the wrist at the origin.

    side: 0 left, 1 right. joints (16, 3): the wrist, then FINGERS' fifteen. tips (5, 3): ends of FINGERS.
    bend (15, 3), spread (5, 3), away (3,): unit axes. forearm (3,): unit, from the elbow to the wrist. palm (3,): unit,
    out of the palm.
    """

    side: int
    joints: np.ndarray
    tips: np.ndarray
    bend: np.ndarray
    spread: np.ndarray
    away: np.ndarray
    forearm: np.ndarray
    palm: np.ndarray

    @classmethod
    def of(cls, model: BodyModel, betas: np.ndarray, side: int) -> HandSkeleton:
        """The hand of a body; of one without fingers (24 joints) the default body's."""
        if len(model.parents) == 24:
            model, betas = product_body(), np.zeros(0)
        vertices, joints = (points.astype(np.float64) for points in model.rest(betas))
        joints = np.concatenate([joints[:22], joints[-30:]])
        names = [f"{('left', 'right')[side]}_{finger}_tip" for finger in FINGERS]
        return cls.of_joints(joints, side, vertices[[model.landmark_vertices[name] for name in names]])

    @classmethod
    def of_joints(cls, joints: np.ndarray, side: int, tips: np.ndarray | None = None) -> HandSkeleton:
        """From rest joints (52, 3) and fingertips (5, 3); without tips, fingers end in their last joints."""
        joints = np.asarray(joints, np.float64)
        wrist, palm = joints[WRISTS[side]], palm_normal(joints, side)
        own = joints[HAND_STARTS[side] : HAND_STARTS[side] + 15]
        # Spreading turns the index to the thumb's side and the pinky away from it, about the palm's normal.
        sign = 1 - 2 * side
        along = wrist - own[0]
        spread = np.repeat(palm[None] * sign, 5, axis=0)
        spread[THUMB] = -sign * along / np.linalg.norm(along)
        bend = flexion_axes(joints)[15 * side : 15 * side + 15]
        away = np.cross(own[3 * THUMB + 1] - own[3 * THUMB], bend[3 * THUMB])
        forearm = wrist - joints[ELBOWS[side]]
        return cls(
            side=side,
            joints=np.concatenate([np.zeros((1, 3)), own - wrist]),
            tips=own[2::3] - wrist if tips is None else np.asarray(tips, np.float64) - wrist,
            bend=bend,
            spread=spread,
            away=away / np.linalg.norm(away) * sign,
            forearm=forearm / np.linalg.norm(forearm),
            palm=palm,
        )

    def turns(self, angles: np.ndarray) -> np.ndarray:
        """Angles (..., ANGLES) in radians -> parent-relative rotations (..., 15, 3, 3) of the finger joints."""
        angles = np.asarray(angles, np.float64)
        out = rodrigues(self.bend * angles[..., BENDS, None])
        aside = rodrigues(self.spread * angles[..., SPREADS, None])
        aside[..., THUMB, :, :] = aside[..., THUMB, :, :] @ rodrigues(self.away * angles[..., THUMB_AWAY, None])
        out[..., ::3, :, :] = aside @ out[..., ::3, :, :]
        return out

    def pose(self, angles: np.ndarray) -> np.ndarray:
        """Angles (ANGLES,) -> axis-angle (15, 3) f32 of the finger joints."""
        return axis_angle(self.turns(angles)).astype(np.float32)

    def points(self, turns: np.ndarray) -> np.ndarray:
        """Rotations (..., 15, 3, 3) of the finger joints -> the hand's 21 points (..., 21, 3) from the wrist joint, in
        the order and at the places of MediaPipe and OpenPose, as the wrist's own turn finds them."""
        out = np.zeros((*turns.shape[:-3], 21, 3))
        for place, finger in enumerate(_POINT_FINGERS):
            chain = np.concatenate([self.joints[1 + 3 * finger : 4 + 3 * finger], self.tips[finger][None]])
            turn = np.broadcast_to(np.eye(3), (*turns.shape[:-3], 3, 3))
            at = np.broadcast_to(chain[0], (*turns.shape[:-3], 3))
            for k in range(4):
                out[..., 1 + 4 * place + k, :] = at
                if k < 3:
                    turn = turn @ turns[..., 3 * finger + k, :, :]
                    at = at + turn @ (chain[k + 1] - chain[k])
        return self._as_detected(out)

    def _as_detected(self, points: np.ndarray) -> np.ndarray:
        """Joints (..., 21, 3) moved to where detectors have learnt to see them."""
        along = self.joints[1 + 3 * FINGERS.index("middle")]
        length = np.linalg.norm(along)
        along = along / length
        frame = np.stack([along, self.palm, np.cross(self.palm, along) * (2 * self.side - 1)])
        points[..., list(POINT_SHIFTS), :] += np.array(list(POINT_SHIFTS.values())) * length @ frame
        return points
