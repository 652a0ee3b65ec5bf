"""Which region of the body each vertex belongs to, softly, from its skin weights and the names of the joints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Regions that usually wear one thing each: sleeves end at hands, trousers at feet.
REGIONS = (
    "head",
    "torso",
    "left_arm",
    "right_arm",
    "left_hand",
    "right_hand",
    "left_leg",
    "right_leg",
    "left_foot",
    "right_foot",
)
#: The region on the other side, itself for head and torso.
MIRRORED = (0, 1, 3, 2, 5, 4, 7, 6, 9, 8)

#: Regions that do not tell left from right.
PAIRED = ("head", "torso", "arm", "hand", "leg", "foot")
_PAIR = np.array([next(i for i, word in enumerate(PAIRED) if word in name) for name in REGIONS])

_WORDS = (
    ("head", ("neck", "head", "jaw", "eye")),
    ("arm", ("shoulder", "elbow")),
    ("hand", ("wrist", "hand", "thumb", "index", "middle", "ring", "pinky")),
    ("leg", ("hip", "knee")),
    ("foot", ("ankle", "foot")),
)


def region_of_joint(joint_names: Sequence[str]) -> np.ndarray:
    """(J,) index into REGIONS of each SMPL-named joint; spine, collars and pelvis are torso."""
    out = np.full(len(joint_names), REGIONS.index("torso"), np.int64)
    for joint, name in enumerate(joint_names):
        for region, words in _WORDS:
            if any(word in name for word in words):
                side = "left_" if name.startswith("left") else "right_"
                out[joint] = REGIONS.index(region if region == "head" else side + region)
                break
    return out


def finger_joints(joint_names: Sequence[str]) -> list[int]:
    """The joints beyond the wrists: SMPL's hands, or all fingers."""
    hands = (REGIONS.index("left_hand"), REGIONS.index("right_hand"))
    regions = region_of_joint(joint_names)
    return [j for j, n in enumerate(joint_names) if regions[j] in hands and not n.endswith("wrist")]


def region_weights(skin_joints: np.ndarray, skin_weights: np.ndarray, joint_names: Sequence[str]) -> np.ndarray:
    """skin_joints, skin_weights (V, 4) -> (V, 10) f32 share of each vertex in each of REGIONS; rows sum to 1."""
    region = region_of_joint(joint_names)
    out = np.zeros((len(skin_joints), len(REGIONS)), np.float32)
    rows = np.arange(len(skin_joints))
    for k in range(skin_joints.shape[1]):
        np.add.at(out, (rows, region[skin_joints[:, k]]), skin_weights[:, k])
    return out


def paired(regions: np.ndarray) -> np.ndarray:
    """Shares (V, 10) in REGIONS -> (V, 6) f32 in PAIRED: left and right together."""
    return np.stack([regions[:, index == _PAIR].sum(1) for index in range(len(PAIRED))], 1).astype(np.float32)


def joint_share(skin_joints: np.ndarray, skin_weights: np.ndarray, joints: Sequence[int]) -> np.ndarray:
    """(V,) f32 weight of these joints at each vertex."""
    return np.where(np.isin(skin_joints, list(joints)), skin_weights, 0).sum(1).astype(np.float32)
