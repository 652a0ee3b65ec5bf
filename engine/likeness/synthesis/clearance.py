"""Whether a pose passes through itself: capsules around the bones of the default body, and arms moved clear of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from likeness.core.frames import axis_angle, rodrigues
from likeness.synthesis.figure import Floats
from likeness.synthesis.limbs import PARENTS, world_rotations

# (joint it moves with, offsets in the rest frame of its two ends, radius): flattened trunks are made of several.
_ARM_R, _FORE_R, _THIGH_R, _SHIN_R = 0.042, 0.033, 0.068, 0.047


def _capsules(joints: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Joint (C,), ends (C, 2, 3) relative to that joint, radius (C,) and group (C,): arms 1, 2; legs 3, 4; trunk 0."""
    rows: list[tuple[int, NDArray, NDArray, float, int]] = []

    def bone(joint: int, tip: int, radius: float, group: int, start: float = 0.0, end: float = 1.0) -> None:
        along = joints[tip] - joints[joint]
        rows.append((joint, start * along, end * along, radius, group))

    for side in (0, 1):
        sign = 1.0 - 2 * side
        bone(16 + side, 18 + side, _ARM_R, 1 + side, 0.35)
        bone(18 + side, 20 + side, _FORE_R, 1 + side)
        bone(20 + side, (25, 40)[side], 0.026, 1 + side, 0.2)
        bone((25, 40)[side], (27, 42)[side], 0.016, 1 + side)
        bone(1 + side, 4 + side, _THIGH_R, 3 + side, 0.12)
        bone(4 + side, 7 + side, _SHIN_R, 3 + side)
        bone(7 + side, 10 + side, 0.036, 3 + side)
        rows.append((0, np.array([sign * 0.07, -0.04, 0.02]), np.array([sign * 0.06, 0.08, 0.03]), 0.095, 0))
        rows.append((3, np.array([sign * 0.055, 0.0, 0.03]), np.array([sign * 0.055, 0.1, 0.04]), 0.085, 0))
        rows.append((9, np.array([sign * 0.075, -0.09, 0.06]), np.array([sign * 0.09, 0.06, 0.06]), 0.085, 0))
    rows.append((12, np.zeros(3), joints[15] - joints[12], 0.052, 0))
    rows.append((15, np.array([0.0, 0.06, 0.035]), np.array([0.0, 0.11, 0.03]), 0.088, 0))
    joint, first, second, radius, group = zip(*rows, strict=True)
    return np.array(joint), np.stack([np.stack(first), np.stack(second)], 1), np.array(radius), np.array(group)


def _segments_apart(p: NDArray, q: NDArray) -> tuple[NDArray, NDArray]:
    """Closest distance (N,) between segments p and q, each (N, 2, 3), and the unit direction (N, 3) from q to p."""
    u, v, w = p[:, 1] - p[:, 0], q[:, 1] - q[:, 0], p[:, 0] - q[:, 0]
    a, b, c = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
    d, e = (u * w).sum(1), (v * w).sum(1)
    a, c = np.maximum(a, 1e-12), np.maximum(c, 1e-12)
    s = np.clip((b * e - c * d) / np.maximum(a * c - b * b, 1e-12), 0, 1)
    # Two alternations reach the closest pair of two segments well within a millimetre.
    for _ in range(3):
        t = np.clip((b * s + e) / c, 0, 1)
        s = np.clip((b * t - d) / a, 0, 1)
    gap = w + s[:, None] * u - t[:, None] * v
    length = np.linalg.norm(gap, axis=1)
    return length, gap / np.maximum(length, 1e-9)[:, None]


def _placed(pose: NDArray, joints: NDArray) -> tuple[NDArray, NDArray]:
    turned = world_rotations(rodrigues(np.asarray(pose, float)))
    places = np.zeros((len(joints), 3))
    for joint in range(1, len(joints)):
        places[joint] = places[PARENTS[joint]] + turned[PARENTS[joint]] @ (joints[joint] - joints[PARENTS[joint]])
    return turned, places


class Clearance:
    """The capsules of one skeleton; answers for many poses."""

    def __init__(self, joints: NDArray) -> None:
        self.joints = np.asarray(joints, float)
        self.joint, self.ends, self.radius, self.group = _capsules(self.joints)
        first, second = np.triu_indices(len(self.joint), 1)
        apart = self.group[first] != self.group[second]
        # A thigh and its own hip always meet.
        thigh = np.isin(self.joint, (1, 2))
        low_trunk = np.isin(self.joint, (0, 3))
        meet = (thigh[first] & low_trunk[second]) | (thigh[second] & low_trunk[first])
        thighs = thigh[first] & thigh[second]
        self.pairs = np.stack([first, second], 1)[apart & ~meet & ~thighs]

    def overlaps(self, pose: NDArray) -> tuple[NDArray, NDArray]:
        """How deep (P,) each of `pairs` overlaps, negative when apart; the direction (P, 3) from second to first."""
        turned, places = _placed(pose, self.joints)
        ends = places[self.joint][:, None] + np.einsum("cij,cej->cei", turned[self.joint], self.ends)
        first, second = self.pairs.T
        distance, way = _segments_apart(ends[first], ends[second])
        return self.radius[first] + self.radius[second] - distance, way


_CACHE: dict[bytes, Clearance] = {}


def _clearance(joints: NDArray) -> Clearance:
    key = np.asarray(joints, np.float32).tobytes()
    if key not in _CACHE:
        _CACHE.clear()
        _CACHE[key] = Clearance(joints)
    return _CACHE[key]


def deepest_overlap(pose: NDArray, joints: NDArray) -> float:
    """How deep in metres the capsules of a pose (52, 3) on rest joints (52, 3) sink into each other; 0 when apart."""
    return max(0.0, float(_clearance(joints).overlaps(pose)[0].max()))


def relaxed(pose: Floats, joints: NDArray, allowed_m: float = 0.012, rounds: int = 12) -> Floats:
    """The pose with arms and legs turned in their first joint until nothing sinks in by more than `allowed_m`.

    pose (52, 3), joints (52, 3) at rest. What cannot be freed in `rounds` steps stays as it is then.
    """
    clear = _clearance(joints)
    pose = np.array(pose, np.float32)
    roots = {1: 16, 2: 17, 3: 1, 4: 2}
    for _ in range(rounds):
        depth, way = clear.overlaps(pose)
        worst = int(np.argmax(depth))
        if depth[worst] <= allowed_m:
            break
        turned, places = _placed(pose, joints)
        first, second = (int(k) for k in clear.pairs[worst])
        moved = [(first, way[worst]), (second, -way[worst])]
        # Arms give way before legs do, and the trunk never does.
        movable = [m for m in moved if clear.group[m[0]] in (1, 2)] or [m for m in moved if clear.group[m[0]] > 0]
        for capsule, direction in movable:
            root = roots[int(clear.group[capsule])]
            middle = places[clear.joint[capsule]] + turned[clear.joint[capsule]] @ clear.ends[capsule].mean(0)
            arm = middle - places[root]
            axis = np.cross(arm, direction)
            push = (depth[worst] - 0.5 * allowed_m) / len(movable)
            step = axis / max(float(arm @ arm), 0.02) * push
            parent = turned[PARENTS[root]]
            world = rodrigues(step) @ turned[root]
            pose[root] = axis_angle(parent.T @ world)
    return pose
