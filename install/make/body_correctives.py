"""Pose correctives of the default body: linear offsets that make linear blend skinning look like a better one.

The better one is skinning with optimised centres of rotation (Le and Hodgins 2016) about the A pose in which the body
was modelled: every vertex turns about a centre of its own on the limb's axis, so bent limbs keep their thickness and
twisted ones do not wring. It needs no data but the body itself. Under a raised arm it creases where linear blending
spreads a web, so the shoulders take half of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import body_joints as bj
import numpy as np
from body_people import Sculptor
from body_shapes import ShapeSpace
from likeness.core.correctives import Correctives
from likeness.core.frames import rodrigues
from likeness.core.skinning import joint_transforms
from scipy.spatial.transform import Rotation

POSES, SEED = 360, 7
#: How alike two places' weights must be to share a centre of rotation (the paper's sigma).
ALIKE = 0.1
#: How much of the better skinning the middle of a shoulder takes.
AT_SHOULDERS = 0.5
#: Ridge of the fit, in units of a pose's mean squared feature; rows that move less than SMALLEST metres are left out.
RIDGE, SMALLEST = 1e-3, 2e-4
#: Joints that swell: turned by a right angle, and the thickest that still looks right (metres); more makes a knob.
SWELLING = {
    "left_hip": ((-np.pi / 2, 0, 0), 0.006),
    "left_knee": ((np.pi / 2, 0, 0), 0.004),
    "left_elbow": ((0, -np.pi / 2, 0), 0.003),
}
#: How far joints turn, radians about x (left), y (up), z (ahead) of the T pose: (lowest, highest) each, left side.
REACH = {
    "hip": ((-2.1, 0.6), (-0.7, 0.7), (-0.4, 0.9)),
    "knee": ((0.0, 2.3), (-0.15, 0.15), (-0.1, 0.1)),
    "ankle": ((-0.6, 0.8), (-0.4, 0.4), (-0.4, 0.4)),
    "foot": ((-0.8, 0.4), (0, 0), (0, 0)),
    "spine1": ((-0.3, 0.5), (-0.3, 0.3), (-0.3, 0.3)),
    "spine2": ((-0.3, 0.5), (-0.3, 0.3), (-0.3, 0.3)),
    "spine3": ((-0.3, 0.4), (-0.3, 0.3), (-0.3, 0.3)),
    "neck": ((-0.5, 0.5), (-0.6, 0.6), (-0.4, 0.4)),
    "head": ((-0.5, 0.5), (-0.6, 0.6), (-0.4, 0.4)),
    "collar": ((-0.2, 0.2), (-0.4, 0.4), (-0.2, 0.5)),
    "shoulder": ((-1.0, 1.0), (-1.8, 0.5), (-1.5, 1.1)),
    "elbow": ((-0.7, 0.7), (-2.3, 0.0), (-0.15, 0.15)),
    "wrist": ((-1.2, 1.2), (-0.5, 0.5), (-1.2, 1.2)),
    "1": ((-0.2, 0.2), (-0.3, 0.3), (-1.5, 0.3)),
    "2": ((0, 0), (0, 0), (-1.7, 0.1)),
    "3": ((0, 0), (0, 0), (-1.3, 0.1)),
    "thumb": ((-0.5, 0.5), (-0.8, 0.4), (-0.8, 0.4)),
}


@dataclass(frozen=True)
class Rig:
    """One body to skin. vertices (V, 3) T pose, joints (52, 3), weights (V, 52), faces; turns (52, 3, 3) A to T."""

    vertices: np.ndarray
    joints: np.ndarray
    weights: np.ndarray
    faces: np.ndarray
    mirror: np.ndarray
    turns: np.ndarray

    def to_a_pose(self) -> np.ndarray:
        """(52, 4, 4) transforms from the T pose to the A pose."""
        back = np.swapaxes(self.turns, 1, 2)
        parents = bj.SMPLH_PARENTS
        local = np.where((parents < 0)[:, None, None], back, np.swapaxes(back[parents], 1, 2) @ back)
        return joint_transforms(local, self.joints, parents)

    def blended(self, moves: np.ndarray) -> np.ndarray:
        """(52, 4, 4) -> (V, 3, 4) linearly blended transforms."""
        return np.einsum("vj,jab->vab", self.weights, moves[:, :3], optimize=True)


def applied(transforms: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(V, 3, 4) on (V, 3)."""
    return np.einsum("vab,vb->va", transforms[:, :, :3], points) + transforms[:, :, 3]


def centres_of_rotation(points: np.ndarray, faces: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Every vertex's centre of rotation (V, 3): the mean of the surface whose weights are like its own."""
    corners, shares = points[faces], weights[faces].mean(1)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    middle = corners.mean(1)
    total, mass = np.zeros_like(points), np.zeros(len(points))
    bent = weights > 1e-4
    for j in range(weights.shape[1]):
        for k in range(j):
            rows = np.flatnonzero(bent[:, j] & bent[:, k])
            spots = np.flatnonzero((shares[:, j] > 1e-4) & (shares[:, k] > 1e-4))
            if not len(rows) or not len(spots):
                continue
            a, b = weights[rows][:, [j]], weights[rows][:, [k]]
            c, d = shares[spots, j], shares[spots, k]
            like = a * b * c * d * np.exp(-((a * d - b * c) ** 2) / ALIKE**2) * area[spots]
            total[rows] += like @ middle[spots]
            mass[rows] += like.sum(1)
    return np.where(mass[:, None] > 0, total / np.maximum(mass, 1e-300)[:, None], points)


def about_centres(rig: Rig, points: np.ndarray, centres: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Skin points (V, 3) with joint transforms (52, 4, 4): each turns by its blended rotation about its centre."""
    turns = Rotation.from_matrix(moves[:, :3, :3]).as_quat()
    main = turns[rig.weights.argmax(1)]
    same = np.where(main @ turns.T < 0, -1.0, 1.0)
    mixed = np.einsum("vj,vj,jq->vq", rig.weights, same, turns, optimize=True)
    rotations = Rotation.from_quat(mixed).as_matrix()
    return np.einsum("vab,vb->va", rotations, points - centres) + applied(rig.blended(moves), centres)


def reach_of(name: str) -> np.ndarray:
    """(3, 2) lowest and highest turn of a left or middle joint about x, y, z; nothing for the pelvis."""
    stem = name.removeprefix("left_")
    if stem.startswith("thumb"):
        return np.array(REACH["thumb"])
    if stem[-1] in "123" and not stem.startswith("spine"):
        return np.array(REACH[stem[-1]])
    return np.array(REACH.get(stem, ((0, 0), (0, 0), (0, 0))), float)


def sample_poses(rng: np.random.Generator, count: int) -> np.ndarray:
    """Local rotations (2 count, 52, 3, 3): poses over the joints' whole reach, and their mirror images."""
    swap = bj.joint_mirror(bj.SMPLH_NAMES)
    pose = np.zeros((count, len(swap), 3))
    for joint, name in enumerate(bj.SMPLH_NAMES):
        right = name.startswith("right")
        low, high = reach_of(bj.SMPLH_NAMES[swap[joint]] if right else name).T
        pose[:, joint] = rng.uniform(low, high, (count, 3)) * ([1, -1, -1] if right else [1, 1, 1])
    return rodrigues(np.concatenate([pose, pose[:, swap] * [1, -1, -1]]))


def joints_between(weights: np.ndarray) -> list[tuple[int, ...]]:
    """For every vertex the joints whose turn bends the skin there: those between the bones that pull at it."""
    paths = []
    for joint in range(len(bj.SMPLH_PARENTS)):
        path = [joint]
        while bj.SMPLH_PARENTS[path[-1]] >= 0:
            path.append(int(bj.SMPLH_PARENTS[path[-1]]))
        paths.append(set(path))
    out = []
    for row in weights:
        pulling = [paths[j] for j in np.flatnonzero(row > 0.01)]
        out.append(tuple(sorted(set.union(*pulling) - set.intersection(*pulling))))
    return out


def share_of_better(weights: np.ndarray) -> np.ndarray:
    """(V, 52) -> (V,) how much of the better skinning each vertex takes: all but between trunk and arm."""
    share = np.ones(len(weights))
    for arm in ([16, 18, 20, *range(22, 37)], [17, 19, 21, *range(37, 52)]):
        inside = weights[:, arm].sum(1)
        share -= (1 - AT_SHOULDERS) * 4 * inside * (1 - inside)
    return share


def wanted_offsets(rig: Rig, rotations: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Offsets (N, len(rows), 3) of rest vertices with which linear blending gives the better skinning in N poses."""
    to_a = rig.to_a_pose()
    modelled = applied(rig.blended(to_a), rig.vertices)
    centres = centres_of_rotation(modelled, rig.faces, rig.weights)
    part = Rig(rig.vertices[rows], rig.joints, rig.weights[rows], rig.faces, rig.mirror, rig.turns)
    out, share = np.empty((len(rotations), len(rows), 3)), share_of_better(part.weights)[:, None]
    for i, local in enumerate(rotations):
        moves = joint_transforms(local, rig.joints, bj.SMPLH_PARENTS)
        linear = part.blended(moves)
        miss = about_centres(part, modelled[rows], centres[rows], moves @ np.linalg.inv(to_a))
        miss = (miss - applied(linear, part.vertices)) * share
        turn = linear[:, :, :3]
        back = np.swapaxes(turn, 1, 2)
        # Where blending flattens the skin completely no offset helps; the small term keeps it finite there.
        out[i] = np.linalg.solve(back @ turn + 0.02 * np.eye(3), back @ miss[..., None])[..., 0]
    return out


def fit_correctives(rig: Rig, rotations: np.ndarray) -> Correctives:
    """Directions of the left and the middle joints."""
    rows = np.flatnonzero(rig.vertices[:, 0] > -1e-6)
    wanted = wanted_offsets(rig, rotations, rows)
    features = (rotations - np.eye(3)).reshape(len(rotations), -1, 9)
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, between in enumerate(joints_between(rig.weights[rows])):
        if between:
            groups.setdefault(between, []).append(row)
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for between, members in groups.items():
        inputs = features[:, between].reshape(len(features), -1)
        square = inputs.T @ inputs
        ridge = RIDGE * len(inputs) * np.eye(len(square))
        found = np.linalg.solve(square + ridge, inputs.T @ wanted[:, members].reshape(len(inputs), -1))
        found = found.reshape(len(between), 9, len(members), 3)
        for joint, directions in zip(between, found, strict=True):
            moved = np.einsum("nf,fmc->nmc", features[:, joint], directions)
            kept = np.sqrt((moved**2).sum(2).mean(0)) > SMALLEST
            vertices = rows[np.array(members)[kept]]
            parts.append((vertices, np.full(len(vertices), joint), directions[:, kept].transpose(1, 2, 0)))
    half = Correctives(*(np.concatenate([p[i] for p in parts]) for i in range(3)))
    return _left_and_middle(half, rig.mirror)


def _left_and_middle(half: Correctives, mirror: np.ndarray) -> Correctives:
    """Rows of the left half's vertices -> rows of the left and the middle joints, on both halves' vertices."""
    swap = bj.joint_mirror(bj.SMPLH_NAMES)
    image = half.mirrored(mirror, swap)
    central = (mirror[half.vertices] == half.vertices) & (swap[half.joints] == half.joints)
    directions = half.directions.copy()
    directions[central] = (directions[central] + image.directions[central]) / 2
    off_middle = mirror[half.vertices] != half.vertices
    vertices = np.concatenate([half.vertices, image.vertices[off_middle]])
    joints = np.concatenate([half.joints, image.joints[off_middle]])
    directions = np.concatenate([directions, image.directions[off_middle]])
    kept = swap[joints] >= joints
    return Correctives(vertices[kept], joints[kept], directions[kept])


def below(joint: int) -> list[int]:
    """A joint and all that hang on it."""
    out = [joint]
    for other in range(joint + 1, len(bj.SMPLH_PARENTS)):
        if bj.SMPLH_PARENTS[other] in out:
            out.append(other)
    return out


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """What a closed surface encloses, cubic metres."""
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    return float((np.cross(a, b) * c).sum() / 6)


def outward(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3) of the vertices."""
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    out = np.stack([np.bincount(faces.reshape(-1), np.repeat(across[:, i], 3), len(vertices)) for i in range(3)], 1)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def swelling(rig: Rig, fitted: Correctives) -> Correctives:
    """Rows that give back the volume which a joint at a right angle still loses; it grows with 1 - cos of the angle.

    The better skinning keeps every cross-section but shortens the limb's axis inside the bend.
    """
    normals, parts = outward(rig.vertices, rig.faces), []
    whole = volume(rig.vertices, rig.faces)
    for name, (turn, thickest) in SWELLING.items():
        joint = bj.SMPLH_NAMES.index(name)
        lower = rig.weights[:, below(joint)].sum(1)
        bump = normals * (4 * lower * (1 - lower))[:, None]
        pose = np.zeros((len(bj.SMPLH_NAMES), 3))
        pose[joint] = turn
        local = rodrigues(pose)
        linear = rig.blended(joint_transforms(local, rig.joints, bj.SMPLH_PARENTS))
        bent = rig.vertices + fitted.offsets(local, len(rig.vertices))
        now, more = (volume(applied(linear, bent + extra * bump), rig.faces) for extra in (0.0, 0.001))
        thickness = min((whole - now) / (more - now) * 0.001, thickest)
        rows = np.flatnonzero(np.linalg.norm(bump, axis=1) * thickness > SMALLEST)
        # 1 - cos is (3 - trace) / 2, and the feature's trace is that of R - I.
        directions = -thickness / 2 * bump[rows][:, :, None] * np.eye(3).reshape(9)
        parts.append(Correctives(rows, np.full(len(rows), joint), directions))
    rows = (fitted, *parts)
    return Correctives(
        np.concatenate([r.vertices for r in rows]),
        np.concatenate([r.joints for r in rows]),
        np.concatenate([r.directions for r in rows]),
    )


def mean_rig(sculptor: Sculptor, space: ShapeSpace) -> Rig:
    """The mean body with settled joints, and the turns of an average person."""
    turns = sculptor.turns({"gender": 0.5}, {})[bj.SMPL_OF_SMPLH]
    skin = sculptor.skin
    return Rig(space.mean, space.joints, sculptor.finger_weights, skin.faces, skin.mirror, turns)


def body_correctives(sculptor: Sculptor, space: ShapeSpace) -> Correctives:
    """Correctives of the mean body: rows of the left and the middle joints."""
    rig = mean_rig(sculptor, space)
    return swelling(rig, fit_correctives(rig, sample_poses(np.random.default_rng(SEED), POSES // 2)))


def corrective_arrays(fitted: Correctives) -> dict:
    """The file's arrays: rows with eight bits a number and a scale a row."""
    scale = (np.abs(fitted.directions).max((1, 2)) / 127).astype(np.float16).astype(np.float64)
    return {
        "corrective_vertices": fitted.vertices.astype(np.uint16),
        "corrective_joints": fitted.joints.astype(np.uint8),
        "corrective_values": np.clip(np.rint(fitted.directions / scale[:, None, None]), -127, 127).astype(np.int8),
        "corrective_scales": scale.astype(np.float16),
    }
