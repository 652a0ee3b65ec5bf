"""Make the clips that ship: engine/likeness/core/clips/*.npz, from raw motion in SMPL's joint order.

    python install/make/make_clips.py RAW_MOTION_FOLDER engine/likeness/core/clips

A raw clip holds `poses` (T, 24, 3), `trans` (T, 3) pelvis positions and `rest_offsets` (24, 3) of its performer. Joint
rotations carry over as they are, because both skeletons rest in the same T pose; the path of the pelvis is scaled to
the default body's legs and set so that its soles stand on y = 0. `trans` is the pelvis position minus the rest pelvis,
as SMPL means it; the default body rests with its pelvis at the origin.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from likeness.body.model import BodyModel, load_default
from likeness.core.frames import axis_angle, rodrigues
from likeness.core.motion import MotionClip, write_clip
from likeness.core.skinning import joint_transforms, skin
from scipy.ndimage import gaussian_filter1d

#: Clips that ship, and how they meet the floor: 'step' keeps a sole on the floor in every frame, 'flight' lets both
#: feet leave it, so the whole clip is only shifted.
CLIPS = {
    "idle_a": "step",
    "walk_02_01": "step",
    "walk_07_01": "step",
    "walk_slow_07_04": "step",
    "walk_brisk_07_12": "step",
    "run_02_03": "flight",
    "jump_balance_02_04": "flight",
    "jump_turn_01_01": "flight",
    "wave": "step",
    "squat": "step",
    "sit": "step",
    "reach": "step",
    "turn": "step",
    "punch_02_05": "step",
    "sword_02_08": "step",
    "wash_02_10a": "step",
    "bend_scoop_02_06b": "step",
    "dance_05_18": "step",
    "dribble_turn_06_10": "step",
    "shoot_06_15": "flight",
    "tpose_apose": "step",
}
MAX_STEP_DEG = 45.0


def largest_step_deg(poses: np.ndarray) -> float:
    """The largest rotation of any joint between two frames, degrees. poses: (T, J, 3) axis-angle."""
    turn = rodrigues(poses.astype(np.float64))
    between = np.swapaxes(turn[:-1], -1, -2) @ turn[1:]
    return float(np.degrees(np.linalg.norm(axis_angle(between), axis=-1)).max())


def sole_heights(model: BodyModel, poses: np.ndarray, trans: np.ndarray) -> np.ndarray:
    """Height of the lowest vertex of both feet in every frame, metres: (T, 24, 3), (T, 3) -> (T,)."""
    feet = np.flatnonzero(np.isin(np.array(model.part_names)[model.parts], ["left_foot", "right_foot"]))
    feet = feet[model.v_template[feet, 1] < model.v_template[:, 1].min() + 0.05]
    index, weight = model.sparse_weights()
    out = []
    for pose, shift in zip(poses, trans, strict=True):
        moves = joint_transforms(rodrigues(pose.astype(np.float64)), model.joints_template, model.parents)
        out.append(skin(model.v_template[feet], index[feet], weight[feet], moves)[:, 1].min() + shift[1])
    return np.array(out)


def leg_length(offsets: np.ndarray) -> float:
    """(24, 3) bone offsets -> hip to ankle, metres."""
    return float(np.linalg.norm(offsets[4]) + np.linalg.norm(offsets[7]))


def convert(model: BodyModel, path: Path, floor: str, entry: dict) -> MotionClip:
    """One raw clip for the default body."""
    with np.load(path, allow_pickle=False) as raw:
        poses, pelvis, offsets, fps = (np.asarray(raw[k]) for k in ("poses", "trans", "rest_offsets", "fps"))
    if largest_step_deg(poses) > MAX_STEP_DEG:
        raise SystemExit(f"{path.name}: a joint turns more than {MAX_STEP_DEG} degrees between two frames")
    own = model.joints_template - model.joints_template[np.maximum(model.parents, 0)]
    trans = pelvis.astype(np.float64) * (leg_length(own) / leg_length(offsets))
    height = sole_heights(model, poses, trans)
    if floor == "step":
        # A filtered floor keeps contact without passing every tremor of a heel on to the head.
        trans[:, 1] -= gaussian_filter1d(height, 1.2, mode="nearest")
    else:
        trans[:, 1] -= np.percentile(height, 5)
    trans -= model.joints_template[0]
    return MotionClip(
        poses=np.round(poses, 4).astype(np.float32),
        trans=np.round(trans, 4).astype(np.float32),
        fps=float(fps),
        up="Y",
        name=path.stem,
        source=entry["source"],
        licence=entry["licence"],
    )


def main() -> int:
    """Convert every listed clip and write their index."""
    parser = argparse.ArgumentParser(description="Make the clips that ship.")
    parser.add_argument("raw", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    entries = {e["name"]: e for e in json.loads((options.raw / "index.json").read_text())}
    model = load_default()
    index = []
    for name, floor in CLIPS.items():
        clip = convert(model, options.raw / f"{name}.npz", floor, entries[name])
        write_clip(options.out / f"{name}.npz", clip)
        heights = sole_heights(model, clip.poses, clip.trans)
        index.append(
            {
                "name": name,
                "frames": len(clip),
                "fps": clip.fps,
                "description": entries[name]["description"],
                "source": clip.source,
                "licence": clip.licence,
            }
        )
        sys.stderr.write(f"{name}: soles {heights.min() * 1000:.0f} to {heights.max() * 1000:.0f} mm\n")
    (options.out / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
