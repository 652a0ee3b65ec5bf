"""Pose one hand by its 21 points: Gauss-Newton over the wrist's turn, 21 angles of the fingers and the hand's place.

Everything is seen by a camera that looks straight at the hand, so that what the hand network says of space, which
knows nothing of the rest of the picture, is in the same axes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from likeness.body.hand_skeleton import ANGLES, BENDS, FINGERS, HandSkeleton
from likeness.core.frames import rodrigues

# Unknowns: a turn of the wrist about the camera's axes, the fingers' angles, the wrist's place.
TURN, FINGER, PLACE = slice(0, 3), slice(3, 3 + ANGLES), slice(3 + ANGLES, 6 + ANGLES)
COUNT = 6 + ANGLES
# Metres by which the network's points usually miss joints across and along the line of sight, and depth readings the
# joints below them; squares beyond the limits are outliers.
ACROSS_M, ALONG_M, READING_M = 0.005, 0.012, 0.012
# What the network says along the line of sight is tilted as a whole: it takes fingers to point at the camera by this
# slope more than they do, and tilts vary by so much (rendered people of the val split).
TILT, TILT_SIGMA = -0.25, 0.4
LIMIT, READING_LIMIT = 9.0, 4.0
# A joint lies so deep under the skin that the sensor sees.
UNDER_SKIN_M = 0.008
# How far the hand's distance may differ from the body's wrist (sigma of its logarithm).
DISTANCE_SIGMA = 0.08
# Degrees. Angles of a hand that does nothing, how far others are from it, and between what fingers can move.
_SPREADS = (-5.0, -0.75, 6.5, 3.0, 10.0)
USUAL = np.radians([14, 26, 14, 20, 32, 18, 24, 34, 18, 24, 36, 20, 4, 12, 14, *_SPREADS, 0])
CLOSED = np.radians([*(65, 85, 50) * 4, 8, 30, 35, -6, -1, 7, 4, 20, 0])
SIGMA = np.radians([*(35, 40, 30) * 4, 15, 25, 25, 8, 6, 8, 6, 15, 12])
LOWEST = np.radians([*(-25, -5, -10) * 4, -25, -15, -20, -18, -12, -20, -12, -25, -25])
HIGHEST = np.radians([*(90, 110, 80) * 4, 35, 60, 80, 18, 12, 24, 14, 50, 25])
# The outer two joints bend together, and so do neighbouring fingers.
OUTER_SHARE, OUTER_SIGMA, NEIGHBOUR_SIGMA = 0.6, np.radians(15), np.radians(35)
# The wrist: how far it bends and how far forearm and wrist together twist, against the T pose.
BEND_SIGMA, BEND_LIMIT, TWIST_SIGMA, TWIST_LIMIT = np.radians((30, 75, 50, 130))
SOFT = np.radians(5)
STEPS, ENOUGH = 30, 1e-4


@dataclass(frozen=True)
class HandTarget:
    """What is known of a hand, in the axes of a camera that looks at it.

    across (21, 2): x / z and y / z of its points, shown (21,) their weights. along (21,): their depth but for an
    offset, m, along_root (M, 21): see `along_root`. readings (21,): depth of the skin at the points, m, 0 where there
    is none. distance: m, of the body's wrist. forearm (3, 3): camera_from_rest of the forearm. twist: radians by which
    the elbow's turn already twists it.
    """

    across: np.ndarray
    along: np.ndarray
    shown: np.ndarray
    along_root: np.ndarray
    readings: np.ndarray
    distance: float
    forearm: np.ndarray
    twist: float = 0.0


@dataclass(frozen=True)
class HandPose:
    """turn (3, 3): camera_from_rest of the wrist; angles (ANGLES,) radians; place (3,) of the wrist, m; energy; miss:
    median distance (m) of the points across the line of sight."""

    turn: np.ndarray
    angles: np.ndarray
    place: np.ndarray
    energy: float = np.inf
    miss: float = np.inf


def fit_hand(hand: HandSkeleton, target: HandTarget, starts: list[np.ndarray]) -> HandPose:
    """The pose of the lowest energy that is found from any of the wrist's turns `starts` (3, 3)."""
    # Seen from its edge, an open finger is easily taken for a closed one, and nothing leads from one to the other.
    found = [
        _descend(hand, target, HandPose(turn, fingers.copy(), placed(hand, target, turn)))
        for turn in starts
        for fingers in (USUAL, CLOSED)
    ]
    return min(found, key=lambda pose: pose.energy)


def placed(hand: HandSkeleton, target: HandTarget, turn: np.ndarray) -> np.ndarray:
    """(3,) m: where the wrist is if the hand, resting and turned so, is as far away as the body says."""
    points = hand.points(hand.turns(USUAL)) @ turn.T
    weight = np.maximum(target.shown, 1e-6)
    middle = np.average(points[:, :2] - target.across * target.distance, axis=0, weights=weight)
    return np.array([*-middle, target.distance])


def along_root(across_m: np.ndarray) -> np.ndarray:
    """(21, 21) that whitens errors of the points' depth: each its own, one offset, one tilt for all.

    across_m (21, 2): m, the points across the line of sight.
    """
    middle = across_m - across_m.mean(axis=0)
    spread = ALONG_M**2 * np.eye(len(middle)) + TILT_SIGMA**2 * middle @ middle.T + 1.0
    return np.asarray(np.linalg.cholesky(np.linalg.inv(spread)).T)


def untilted(across_m: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Depth (21,) m as the network says it without its usual tilt."""
    ahead = across_m[9] - across_m[0]
    return along - TILT * (across_m - across_m.mean(axis=0)) @ ahead / max(float(np.linalg.norm(ahead)), 1e-9)


def palm_turn(hand: HandSkeleton, points: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) that brings the resting palm closest to a hand's points (21, 3) of any size (Kabsch)."""
    palm = [0, 1, 5, 9, 13, 17]
    rest = hand.points(hand.turns(USUAL))[palm]
    share = weight[palm, None] / weight[palm].sum()
    a, b = rest - (share * rest).sum(axis=0), points[palm] - (share * points[palm]).sum(axis=0)
    u, _, vt = np.linalg.svd((share * b).T @ a)
    return np.asarray(u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt)


def twist_of(turns: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Radians (...,) by which rotations (..., 3, 3) turn about a unit axis (3,), in (-pi, pi]."""
    wedge = np.stack(
        [turns[..., 2, 1] - turns[..., 1, 2], turns[..., 0, 2] - turns[..., 2, 0], turns[..., 1, 0] - turns[..., 0, 1]],
        axis=-1,
    )
    return np.asarray(2 * np.arctan2(wedge @ axis, 1 + np.trace(turns, axis1=-2, axis2=-1)))


def _descend(hand: HandSkeleton, target: HandTarget, pose: HandPose) -> HandPose:
    """Levenberg-Marquardt from one pose."""
    damping = 0.1
    values, slope = _linear(hand, target, pose)
    energy = float(values @ values)
    scale = np.concatenate([np.full(3, 0.3), np.full(ANGLES, 0.4), np.full(3, 0.05)]) ** -2
    for _ in range(STEPS):
        step = -np.linalg.solve(slope.T @ slope + damping * np.diag(scale), slope.T @ values)
        moved = _moved(pose, step)
        new = _residuals(hand, target, pose, step[None])[0]
        gain = energy - float(new @ new)
        if gain > 0:
            pose, damping = moved, max(damping / 5, 1e-4)
            values, slope = _linear(hand, target, pose)
            energy = float(values @ values)
            if gain < ENOUGH * (1 + energy):
                break
        else:
            damping *= 8
            if damping > 1e6:
                break
    points = hand.points(hand.turns(pose.angles)) @ pose.turn.T + pose.place
    miss = np.linalg.norm(points[:, :2] / points[:, 2:] - target.across, axis=1)[target.shown > 0]
    return replace(pose, energy=energy, miss=float(np.median(miss)) * target.distance if len(miss) else np.inf)


def _linear(hand: HandSkeleton, target: HandTarget, pose: HandPose) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (M,) and their slope (M, COUNT) by differences: all changed poses are one batch."""
    size = 1e-5
    both = _residuals(hand, target, pose, np.concatenate([np.zeros((1, COUNT)), size * np.eye(COUNT)]))
    return both[0], ((both[1:] - both[0]) / size).T


def _moved(pose: HandPose, step: np.ndarray) -> HandPose:
    return HandPose(rodrigues(step[TURN]) @ pose.turn, pose.angles + step[FINGER], pose.place + step[PLACE])


def _residuals(hand: HandSkeleton, target: HandTarget, pose: HandPose, steps: np.ndarray) -> np.ndarray:
    """Steps (N, COUNT) -> what they leave (N, M), dimensionless, its squares are the energy."""
    turn = rodrigues(steps[:, TURN]) @ pose.turn
    angles = pose.angles + steps[:, FINGER]
    place = pose.place + steps[:, PLACE]
    points = hand.points(hand.turns(angles)) @ np.swapaxes(turn, 1, 2) + place[:, None]
    depth = np.maximum(points[..., 2], 0.05)
    across = (points[..., :2] / depth[..., None] - target.across) * target.distance / ACROSS_M
    along = (depth - target.along) @ target.along_root.T
    reading = np.where(target.readings > 0, depth - UNDER_SKIN_M - target.readings, 0.0) / READING_M
    far = np.log(np.maximum(place[:, 2], 0.05) / target.distance) / DISTANCE_SIGMA
    parts = [
        (_robust(across, LIMIT) * np.sqrt(target.shown)[:, None]).reshape(len(steps), -1),
        along,
        # A finger may hide behind another one, and no reading lies far behind the skin.
        np.where(reading > 0, _robust(reading[..., None], READING_LIMIT)[..., 0], reading),
        far[:, None],
        _usual(angles),
        _wrist(hand, target, turn),
    ]
    return np.concatenate(parts, axis=1)


def _usual(angles: np.ndarray) -> np.ndarray:
    """What angles (N, ANGLES) cost by themselves: (N, M)."""
    bends = angles[:, BENDS].reshape(len(angles), 5, 3)
    fingers = bends[:, [FINGERS.index(f) for f in ("index", "middle", "ring", "pinky")]]
    return np.concatenate(
        [
            (angles - USUAL) / SIGMA,
            (np.maximum(angles - HIGHEST, 0) + np.minimum(angles - LOWEST, 0)) / SOFT,
            (fingers[:, :, 2] - OUTER_SHARE * fingers[:, :, 1]) / OUTER_SIGMA,
            ((fingers[:, 1:, :2] - fingers[:, :-1, :2]) / NEIGHBOUR_SIGMA).reshape(len(angles), -1),
        ],
        axis=1,
    )


def _wrist(hand: HandSkeleton, target: HandTarget, turn: np.ndarray) -> np.ndarray:
    """What turns (N, 3, 3) of the wrist cost against the forearm: (N, 5)."""
    local = target.forearm.T @ turn
    end = local @ hand.forearm
    sideways = end - (end @ hand.forearm)[:, None] * hand.forearm
    length = np.linalg.norm(sideways, axis=1, keepdims=True)
    bent = np.arctan2(length[:, 0], end @ hand.forearm)
    bend = sideways / np.maximum(length, 1e-9) * bent[:, None]
    twist = twist_of(local, hand.forearm) + target.twist
    over = np.maximum(np.abs(twist) - TWIST_LIMIT, 0.0)
    return np.column_stack(
        [bend / BEND_SIGMA, np.maximum(bent - BEND_LIMIT, 0.0) / SOFT, twist / TWIST_SIGMA, over / SOFT]
    )


def _robust(residual: np.ndarray, limit: float) -> np.ndarray:
    """Residuals (..., D) whose squares s count as s / (1 + s / limit) (Geman and McClure)."""
    squared = (residual * residual).sum(axis=-1, keepdims=True)
    return residual / np.sqrt(1 + squared / limit)
