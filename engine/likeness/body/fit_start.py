"""A first guess of pose and place straight from BlazePose's points: the minimisation starts in the right valley."""

from __future__ import annotations

import numpy as np
from likeness.body.fit_observe import Evidence
from likeness.body.fit_terms import upright_world
from likeness.body.pose_prior import PosePrior
from likeness.core.frames import axis_angle, rodrigues

# (upper joint, lower joint, end, SMPL upper joint, SMPL lower joint, rest direction, hinge's sign along Z).
LIMBS = (
    (11, 13, 15, 16, 18, np.array([1.0, 0.0, 0.0]), 1.0),
    (12, 14, 16, 17, 19, np.array([-1.0, 0.0, 0.0]), 1.0),
    (23, 25, 27, 1, 4, np.array([0.0, -1.0, 0.0]), -1.0),
    (24, 26, 28, 2, 5, np.array([0.0, -1.0, 0.0]), -1.0),
)
# BlazePose's points below elbows and hips.
ARM_POINTS, LEG_POINTS = range(13, 23), range(25, 33)
# How strongly a limb's usual twist pulls against the bend that is seen (sine of the bend angle it equals).
TWIST_HOLD = 0.25


def root_orientation(evidence: Evidence) -> np.ndarray:
    """camera_from_rest rotation (3, 3) of the trunk from BlazePose's world points."""
    world = upright_world(evidence)
    up = _unit(world[[11, 12]].mean(axis=0) - world[[23, 24]].mean(axis=0))
    left = (world[11] - world[12]) + (world[23] - world[24])
    left = _unit(left - up * float(left @ up))
    return np.stack([left, up, np.cross(left, up)], axis=1)


def limb_pose(evidence: Evidence, root: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Pose (24, 3) whose limbs and head point as BlazePose's world points do; what was not seen stays as in `usual`.

    root: camera_from_rest (3, 3). usual: (24, 3) axis-angle. Elbows and knees are hinges, so the twist of upper arms
    and thighs follows from where the forearm and shin go.
    """
    world = upright_world(evidence) @ root
    pose = usual.astype(np.float64).copy()
    for first, middle, last, upper, lower, rest, hinge in LIMBS:
        if min(evidence.trust[[first, middle]]) < 0.3:
            continue
        along = _unit(world[middle] - world[first])
        before = rodrigues(pose[upper])
        usual_side = hinge * _across(before[:, 2], along)
        side, angle = usual_side, 0.15
        if evidence.trust[last] >= 0.3:
            bone = _unit(world[last] - world[middle])
            angle = float(np.arccos(np.clip(along @ bone, -1.0, 1.0)))
            side = _unit((bone - along * float(bone @ along)) + TWIST_HOLD * usual_side)
            side = _across(side, along)
        pose[upper] = axis_angle(_frame(along, rest, hinge * side))
        pose[lower] = axis_angle(rodrigues(angle * np.cross(rest, np.array([0.0, 0.0, hinge]))))
    if min(evidence.trust[[0, 7, 8]]) > 0.3:
        _turn_head(pose, world)
    return pose.astype(np.float32)


def place(evidence: Evidence, points: np.ndarray) -> np.ndarray:
    """Translation (3,) m that best carries BlazePose's points on the body (33, 3) to where they are in the picture.

    Linear least squares; where there is depth, the distance comes from the readings.
    """
    camera = evidence.camera
    # The trunk's and legs' points stay where they are whatever the arms do.
    use = np.array([0, 11, 12, 23, 24, 25, 26, 27, 28])
    weight = np.sqrt(evidence.trust[use] + 1e-3)
    rows, values = [], []
    for axis, (focal, center) in enumerate(((camera.fx, camera.cx), (camera.fy, camera.cy))):
        offset = evidence.uv[use, axis] - center
        row = np.zeros((len(use), 3))
        row[:, axis], row[:, 2] = focal, -offset
        rows.append(row * weight[:, None])
        values.append((offset * points[use, 2] - focal * points[use, axis]) * weight)
    system, right = np.concatenate(rows), np.concatenate(values)
    if evidence.has_depth:
        depth = float(np.median(evidence.cloud[:, 2])) + 0.08
        system = np.concatenate([system, [[0.0, 0.0, 1e6]]])
        right = np.concatenate([right, [1e6 * depth]])
    found = np.linalg.lstsq(system, right, rcond=None)[0]
    found[2] = max(found[2], 0.3)
    return found


def _turn_head(pose: np.ndarray, world: np.ndarray) -> None:
    """Share the head's turn, as ears and nose show it, between neck and head."""
    left = _unit(world[7] - world[8])
    ahead = _across(world[0] - world[[7, 8]].mean(axis=0), left)
    # The nose lies below the ears' line as seen from the head's own frame.
    turn = np.stack([left, np.cross(ahead, left), ahead], axis=1) @ rodrigues(np.array([-0.2, 0.0, 0.0]))
    half = 0.5 * axis_angle(turn)
    if np.linalg.norm(half) < 0.8:
        pose[12] = pose[15] = half


def _frame(along: np.ndarray, rest: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) that takes `rest` to `along` and the Z axis to `front`."""
    z = np.array([0.0, 0.0, 1.0])
    source = np.stack([rest, z, np.cross(rest, z)], axis=1)
    return np.stack([along, front, np.cross(along, front)], axis=1) @ source.T


def _across(vector: np.ndarray, along: np.ndarray) -> np.ndarray:
    return _unit(vector - along * float(vector @ along))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def readings(evidence: Evidence) -> list[tuple[str, Evidence]]:
    """What the landmarks may mean, by name, the likeliest first."""
    return [
        ("seen", evidence),
        ("swapped", evidence.exchanged(range(33), flipped=True)),
        ("legs swapped", evidence.exchanged(LEG_POINTS, flipped=False)),
        ("arms swapped", evidence.exchanged(ARM_POINTS, flipped=False)),
    ]


def usual_limbs(prior: PosePrior) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """(joints, poses (N, joints, 3)) of the arms and of the legs: what people usually do with them."""
    out = []
    for mixture in prior.mixtures:
        if max(mixture.joints) > 15 or mixture.joints[0] in (1, 2):
            poses = (mixture.means * mixture.mirror).numpy().reshape(len(mixture.means), -1, 3)
            out.append((mixture.joints, poses.astype(np.float64)))
    return out
