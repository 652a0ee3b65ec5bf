"""Hands in a picture: 21 points of each, read with MediaPipe's hand networks in windows that the body's points give.

Windows follow MediaPipe's holistic graph: around the middle knuckle as wrist, index and pinky show it, then as the
recrop network says, then as the points themselves say. Points are in the picture's full resolution, in the order of
MediaPipe and OpenPose: wrist, then thumb, index, middle, ring, pinky, four each from the palm out.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from likeness.body.blazepose import Picture, Region, interpreter, run_network
from scipy import ndimage

POINTS = 21
#: Of BlazePose's points: wrist, pinky, index and thumb of the left and the right hand.
BODY_POINTS = ((15, 17, 19, 21), (16, 18, 20, 22))
RECROP_SIDE, HAND_SIDE = 256, 224
# MediaPipe's: of the first window about the body's points, of the window about the hand's own points, and how far
# windows move towards the fingertips, in their sides.
FIRST_SCALE, OWN_SCALE, AHEAD = 5.4, 2.0, 0.1
# The hand's points that lie in its palm or next to it, of which the window is made; joints that show its direction.
_PALM = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
_INDEX, _MIDDLE, _RING = 6, 10, 14
# A smaller hand says nothing of its fingers; a doubtful one says wrong things.
LEAST_PX, LEAST_PRESENCE, LEAST_RIGHT_SIDE = 24.0, 0.6, 0.3
# Shares of the points that must lie in the picture and on the person.
LEAST_INSIDE, LEAST_ON_PERSON = 0.85, 0.6
# Of a hand's side: how far its wrist may lie from the body's, and hands nearer to one another are one hand.
FAR_FROM_WRIST, SAME_HAND = 0.7, 0.25
LEAST_WRIST_TRUST = 0.25


@dataclass(frozen=True)
class HandReading:
    """One hand as the network sees it.

    points (21, 2) px; world (21, 3) m in the axes of a camera that looks at the hand (x right, y down, z away), the
    hand's middle at the origin; presence 0..1; left 0..1, how much it looks like a left hand; side px, of the square
    window; size px, the longer side of the points' box.
    """

    points: np.ndarray
    world: np.ndarray
    presence: float
    left: float
    side: float

    @property
    def size(self) -> float:
        """Pixels, the longer side of the box around the points."""
        return float(np.ptp(self.points, axis=0).max())


class HandNetworks:
    """The two networks: where exactly a hand is, and its points."""

    def __init__(self) -> None:
        self._recrop = interpreter("hand_recrop.tflite")
        self._points = interpreter("hand_landmark_lite.tflite")

    def window(self, picture: Picture, rough: Region) -> Region:
        """The window of the hand that lies in a rough one."""
        (values,) = run_network(self._recrop, picture.crop(rough, RECROP_SIDE))
        middle, end = rough.to_image(values.reshape(2, 2) / RECROP_SIDE)
        # Its second point lies on the side of the wrist.
        return _moved(Region(middle, 2 * float(np.hypot(*(middle - end))), _angle(end, middle)))

    def read(self, picture: Picture, region: Region) -> HandReading:
        """The hand that fills a window."""
        flat, presence, right, world = run_network(self._points, picture.crop(region, HAND_SIDE))
        points = region.to_image(flat.reshape(POINTS, 3)[:, :2].astype(np.float64) / HAND_SIDE)
        space = world.reshape(POINTS, 3).astype(np.float64)
        space[:, :2] = space[:, :2] @ region.axes().T
        # MediaPipe labels this number for mirrored pictures; in others it is high for right hands.
        return HandReading(points, space, _number(presence), 1 - _number(right), region.side)


@functools.cache
def hand_networks() -> HandNetworks:
    """The two networks, loaded once a process."""
    return HandNetworks()


def rough_window(uv: np.ndarray) -> Region:
    """Where a hand is, from its wrist, pinky and index (3, 2) px among the body's points."""
    wrist, pinky, index = np.asarray(uv, np.float64)
    middle = (2 * index + pinky) / 3
    return Region(middle, max(FIRST_SCALE * float(np.hypot(*(middle - wrist))), 4.0), _angle(wrist, middle))


def own_window(points: np.ndarray) -> Region:
    """The window of a hand whose points (21, 2) px are known."""
    ahead = (0.5 * (points[_INDEX] + points[_RING]) + points[_MIDDLE]) / 2
    angle = _angle(points[0], ahead)
    axes = Region(np.zeros(2), 1.0, angle).axes()
    turned = points[list(_PALM)] @ axes
    low, high = turned.min(axis=0), turned.max(axis=0)
    return _moved(Region(axes @ ((low + high) / 2), OWN_SCALE * float((high - low).max()), angle))


def read_hands(color: np.ndarray, mask: np.ndarray, uv: np.ndarray, trust: np.ndarray) -> list[HandReading | None]:
    """The left and the right hand of a person, None for those that are too small, cut off, hidden or doubtful.

    color (H, W, 3) u8. mask (H, W) bool of the person. uv (33, 2) px, trust (33,) 0..1: BlazePose's points.
    """
    picture = Picture(color)
    found = [_read_hand(picture, mask, uv, trust, side) for side in (0, 1)]
    left, right = found
    if left is not None and right is not None:
        apart = float(np.linalg.norm(left.points - right.points, axis=1).mean())
        if apart < SAME_HAND * max(left.size, right.size):
            weaker = int(left.presence * left.left < right.presence * (1 - right.left))
            found[1 - weaker] = None
    return found


def _read_hand(picture: Picture, mask: np.ndarray, uv: np.ndarray, trust: np.ndarray, side: int) -> HandReading | None:
    wrist, pinky, index, _ = BODY_POINTS[side]
    if trust[wrist] < LEAST_WRIST_TRUST or max(trust[pinky], trust[index]) < LEAST_WRIST_TRUST:
        return None
    rough = rough_window(uv[[wrist, pinky, index]])
    if rough.side < LEAST_PX:
        return None
    networks = hand_networks()
    first = networks.read(picture, networks.window(picture, rough))
    if first.presence < LEAST_PRESENCE:
        return None
    again = networks.read(picture, own_window(first.points))
    best = again if again.presence >= first.presence - 0.05 else first
    return best if usable(best, side, uv[wrist], mask) else None


def usable(hand: HandReading, side: int, wrist: np.ndarray, mask: np.ndarray) -> bool:
    """Whether a reading is of the left (0) or right (1) hand of the person under the mask, whose wrist (2,) px lies
    there, and large and sure enough to pose fingers by."""
    size = hand.size
    belongs = hand.left if side == 0 else 1 - hand.left
    if size < LEAST_PX or hand.presence < LEAST_PRESENCE or belongs < LEAST_RIGHT_SIDE:
        return False
    height, width = mask.shape
    columns, rows = np.round(hand.points).astype(int).T
    inside = (columns >= 0) & (rows >= 0) & (columns < width) & (rows < height)
    if inside.mean() < LEAST_INSIDE or np.linalg.norm(hand.points[0] - wrist) > FAR_FROM_WRIST * size:
        return False
    # Masks lose fingers, so a little beside it counts as on the person.
    low = np.maximum(np.stack([columns, rows]).min(axis=1) - 2, 0)
    near = mask[low[1] : rows.max() + 3, low[0] : columns.max() + 3]
    near = ndimage.binary_dilation(near, iterations=max(1, round(0.06 * size)))
    on = near[rows[inside] - low[1], columns[inside] - low[0]]
    return bool(on.mean() >= LEAST_ON_PERSON)


def _moved(region: Region) -> Region:
    """The window a little farther towards the fingertips."""
    return Region(region.center - region.axes()[:, 1] * AHEAD * region.side, max(region.side, 4.0), region.angle)


def _angle(start: np.ndarray, end: np.ndarray) -> float:
    """Turn of a window in which the way from start to end goes up."""
    angle = np.pi / 2 - np.arctan2(start[1] - end[1], end[0] - start[0])
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def _number(tensor: Any) -> float:
    return float(np.asarray(tensor).reshape(-1)[0])
