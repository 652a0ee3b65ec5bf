"""A synthetic avatar: one box a joint, random shape and weights. No body model, no engine."""

import struct
import zlib
from pathlib import Path

import numpy as np

NAMES = [
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
]
PARENTS = np.array([-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21])
# Offsets from the parent in a T pose, metres, engine axes (Y up, facing +Z, left hand at +X).
OFFSETS = np.array(
    [
        [0, 0.93, 0], [0.09, -0.08, 0], [-0.09, -0.08, 0], [0, 0.11, -0.02],
        [0.02, -0.38, 0], [-0.02, -0.38, 0], [0, 0.13, 0.01], [0, -0.40, -0.03],
        [0, -0.40, -0.03], [0, 0.06, 0.01], [0.02, -0.05, 0.12], [-0.02, -0.05, 0.12],
        [0, 0.21, -0.03], [0.08, 0.12, -0.02], [-0.08, 0.12, -0.02], [0, 0.09, 0.05],
        [0.10, 0.04, 0], [-0.10, 0.04, 0], [0.26, -0.01, -0.01], [-0.26, -0.01, -0.01],
        [0.25, 0.01, 0], [-0.25, 0.01, 0], [0.08, -0.01, 0], [-0.08, -0.01, 0],
    ]
)  # fmt: skip
#: SMPL-H: fifteen joints a hand instead of one.
HANDS = [
    f"{s}_{f}{k}" for s in ("left", "right") for f in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2, 3)
]
FINE_NAMES = [*NAMES[:22], *HANDS]
FINE_PARENTS = np.array([*PARENTS[:22], *(20 + (j >= 15) if j % 3 == 0 else 21 + j for j in range(30))])
_KNUCKLES = np.array([[0.09, 0, 0.03], [0.095, 0, 0.01], [0.08, -0.01, -0.03], [0.09, 0, -0.01], [0.03, -0.01, 0.03]])
_LEFT_FINGERS = np.concatenate(
    [
        [knuckle, step, 0.7 * step]
        for knuckle, step in zip(
            _KNUCKLES, [np.array([0.03, -0.004, 0])] * 4 + [np.array([0.03, -0.01, 0.02])], strict=True
        )
    ]
)
FINE_OFFSETS = np.concatenate([OFFSETS[:22], _LEFT_FINGERS, _LEFT_FINGERS * [-1, 1, 1]])
_BOX = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
_SIDES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ]
)  # fmt: skip


def png(width: int, height: int, rgb: np.ndarray) -> bytes:
    """(H, W, 3) u8 as a PNG file, by the standard library."""
    rows = b"".join(b"\0" + rgb[y].tobytes() for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def joints(rng: np.random.Generator, fingers: bool = False) -> np.ndarray:
    """(24 or 52, 3) rest joints of a random person: every limb up to 15 % longer or shorter, and a little crooked."""
    usual, parents = (FINE_OFFSETS, FINE_PARENTS) if fingers else (OFFSETS, PARENTS)
    crooked = np.where(np.arange(len(usual)) < 22, 0.004, 0.001)[:, None]
    offsets = usual * rng.uniform(0.85, 1.15, (len(usual), 1)) + rng.normal(0, 1, usual.shape) * crooked
    out = np.zeros(usual.shape)
    for joint, parent in enumerate(parents):
        out[joint] = offsets[joint] + (out[parent] if parent >= 0 else 0)
    return out.astype(np.float32)


def write_mannequin(path: Path, addon, seed: int = 0, lowered_m=(0, 0, 0), fingers: bool = False, **changes) -> Path:
    """Write the avatar folder with the add-on's own copy of the core. changes: fields of Avatar."""
    names, parents = (FINE_NAMES, FINE_PARENTS) if fingers else (NAMES, PARENTS)
    count = len(names)
    avatar_module, fit, camera = addon("core.avatar"), addon("core.fit"), addon("core.camera")
    rng = np.random.default_rng(seed)
    rest = joints(rng, fingers) - np.asarray(lowered_m, np.float32)
    boxes = [j + _BOX * 0.045 for j in rest]
    boxes[10] = boxes[10] - [0, 0.0, 0.03]
    vertices = np.concatenate(boxes).astype(np.float32)
    faces = np.concatenate([_SIDES + 8 * j for j in range(count)]).astype(np.int32)
    skin_joints = np.stack([rng.permutation(count)[:4] for _ in vertices]).astype(np.uint16)
    skin_joints[:, 0] = np.repeat(np.arange(count), 8)
    weights = rng.dirichlet([8, 1, 0.5, 0.2], len(vertices)).astype(np.float32)
    colours = rng.integers(60, 255, (8, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    fields = {
        "name": "Box",
        "method": "draped",
        "body_model": {"id": "mannequin", "licence": "CC0-1.0"},
        "betas": np.zeros(10, np.float32),
        "joint_names": tuple(names),
        "parents": parents.astype(np.int32),
        "rest_joints": rest,
        "vertices": vertices,
        "faces": faces,
        "corner_uvs": rng.uniform(0, 1, (len(faces), 3, 2)).astype(np.float32),
        "skin_joints": skin_joints,
        "skin_weights": weights / weights.sum(1, keepdims=True),
        "seen": rng.uniform(0, 1, len(vertices)).astype(np.float32),
        "confidence": rng.integers(0, 3, len(vertices)).astype(np.uint8),
        "body_part": np.repeat(np.arange(count), 8).astype(np.uint8),
        "textures": {"albedo.png": png(64, 64, colours)},
        "capture": fit.Fit(
            pose=rng.normal(0, 0.2, (count, 3)).astype(np.float32),
            betas=np.zeros(10, np.float32),
            translation=np.array([0.1, 0.2, 2.5], np.float32),
            camera=camera.Camera(500, 500, 320, 240, 640, 480),
            confidence={
                "head": 0.9,
                "torso": 0.95,
                "left_arm": 0.1,
                "right_arm": 0.9,
                "left_leg": 0.8,
                "right_leg": 0.8,
            },
        ),
        "world_from_capture": np.array([[1, 0, 0, 0], [0, -1, 0, 1.3], [0, 0, -1, 2.6], [0, 0, 0, 1.0]]),
        "licences": [{"part": "body", "licence": "CC0-1.0"}],
    }
    return avatar_module.write_avatar(path, avatar_module.Avatar(**(fields | changes)))
