"""Poses from elsewhere: SMPL's parameters as other tools write them, and one frame of an AMASS file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import LikenessError
from .files import read_npz
from .frames import axis_angle, rodrigues
from .hands import BODY_JOINTS, LAYOUTS, beyond_body, with_joints

_POSES = ("pose", "poses", "full_pose", "smpl_pose", "pred_pose", "thetas", "theta")
_HANDS = ("left_hand_pose", "right_hand_pose")
_ROOTS = ("global_orient", "root_orient", "global_rot")
_PLACES = ("global_t", "trans", "transl", "translation", "cam_t", "pred_cam_t", "camera_translation")
_FOCALS = ("focal_l", "focal_length", "focal_px", "focal")
_SHAPES = ("shape", "betas", "pred_shape", "shapes")
_RATES = ("mocap_framerate", "mocap_frame_rate", "up")
#: How many numbers a frame of joints may have, with and without the root.
_FRAME_SIZES = tuple(3 * joints for joints in (21, BODY_JOINTS, 23, *LAYOUTS))
_HAND_SIZE = 45
_MAX_BYTES = 1 << 28
#: SMPL's template has its pelvis about here, so its translations lead from there; ours has it elsewhere.
SMPL_PELVIS_M = np.array([-0.002, -0.224, 0.028], np.float32)
#: A root that leaves the body's up direction within 60 degrees of the picture's up is in camera axes.
_UPRIGHT_COSINE = 0.5


@dataclass(frozen=True)
class GivenPose:
    """A body's pose without a shape that means anything to our body.

    pose: (J, 3) f32 axis-angle, J 24, 52 or 55; pose[0] is in camera axes where root_known, else nothing is known of
    it. pelvis: (3,) f32 metres in camera space where the file says it; only as good as the file's camera. focal_px: of
    the file's own camera. betas: (K,) f32, numbers that mean something to SMPL's own body alone.
    """

    pose: np.ndarray
    root_known: bool
    pelvis: np.ndarray | None = None
    focal_px: float | None = None
    betas: np.ndarray | None = None


def _refuse(path: Path, what: str) -> LikenessError:
    return LikenessError(
        "body.parameters",
        f"{path.name}: {what}.",
        "Give SMPL parameters (`pose`, `global_orient` and `body_pose`), or one frame of an AMASS file.",
    )


def read_given_pose(path: Path) -> GivenPose:
    """Read an .npz with SMPL's, SMPL-H's or SMPL-X's parameters of one person in one picture.

    The pose is `pose` or `poses` (24, 52 or 55 joints, axis-angle or rotation matrices), or `global_orient`,
    `body_pose` and perhaps hands. A translation (`global_t`, `trans`, ...) says where it stands; weak perspective
    cameras say that of a crop which the file does not name, so they are not read. Files with a frame rate or an up
    axis are AMASS's: their root is in a world of its own, so it is not known. Raises LikenessError("body.parameters").
    """
    path = Path(path)
    names = (*_POSES, "body_pose", *_HANDS, *_ROOTS, *_PLACES, *_FOCALS, *_SHAPES, *_RATES)
    data = read_npz(path, "body.parameters", limit=_MAX_BYTES, only=names)
    try:
        pose = _pose(data)
        pelvis = _pelvis(data)
        focal = _numbers(data, _FOCALS)
        shape = _numbers(data, _SHAPES)
        if focal is not None and not (1 <= len(focal) <= 2 and focal.min() > 1 and focal.max() < 1e6):
            raise ValueError("its focal length is not usable")
    except (TypeError, ValueError, OverflowError) as error:
        raise _refuse(path, str(error)) from error
    up = rodrigues(pose[0].astype(np.float64)) @ np.array([0.0, 1.0, 0.0])
    in_camera = not any(key in data for key in _RATES) and -up[1] > _UPRIGHT_COSINE
    return GivenPose(
        pose=pose,
        root_known=bool(in_camera),
        pelvis=pelvis if in_camera else None,
        focal_px=None if focal is None or not in_camera else float(focal.mean()),
        betas=None if shape is None else shape.astype(np.float32),
    )


def _pose(data: dict[str, np.ndarray]) -> np.ndarray:
    """(J, 3) f32 axis-angle of the one frame that the arrays hold."""
    whole = next((data[key] for key in _POSES if key in data), None)
    root = next((data[key] for key in _ROOTS if key in data), None)
    if whole is None and "body_pose" in data and root is not None:
        # Hands of fewer numbers are coefficients of a basis that the file does not bring.
        hands = [data[key] for key in _HANDS if key in data and data[key].size == _HAND_SIZE]
        parts = [root, data["body_pose"], *(hands if len(hands) == 2 else [])]
        pose = np.concatenate([_turns(part) for part in parts])
    elif whole is not None:
        pose = _turns(whole)
    else:
        raise ValueError("it holds no pose of SMPL's")
    if len(pose) == BODY_JOINTS:
        pose = np.concatenate([pose, beyond_body(52)])
    if len(pose) not in LAYOUTS:
        raise ValueError(f"it poses {len(pose)} joints, which is none of SMPL's families")
    return with_joints(pose, 52 if len(pose) == 55 else len(pose)).astype(np.float32)


def _turns(values: np.ndarray) -> np.ndarray:
    """Rotations of one frame, axis-angle or matrices -> (N, 3) float64."""
    values = _real(values)
    if values.size == 0 or values.size % 3:
        raise ValueError(f"its pose has the shape {values.shape}")
    if values.ndim >= 3 and values.shape[-2:] == (3, 3) and values.shape != (1, 3, 3):
        matrices = values.reshape(-1, 3, 3)
        if np.abs(matrices @ np.swapaxes(matrices, 1, 2) - np.eye(3)).max() > 1e-2 or np.linalg.det(matrices).min() < 0:
            raise ValueError("its matrices are no rotations")
        return np.asarray(axis_angle(matrices))
    frames = values.shape[0] if values.ndim > 1 and values.size // values.shape[0] in _FRAME_SIZES else 1
    if frames > 1:
        raise ValueError(f"it holds {frames} frames, and a fit is of one")
    if np.abs(values).max() > 100:
        raise ValueError("its pose is not in radians")
    return values.reshape(-1, 3)


def _pelvis(data: dict[str, np.ndarray]) -> np.ndarray | None:
    place = _numbers(data, _PLACES)
    if place is None or len(place) != 3 or place[2] <= 0.05:
        return None
    return (place + SMPL_PELVIS_M).astype(np.float32)


def _numbers(data: dict[str, np.ndarray], keys: tuple[str, ...]) -> np.ndarray | None:
    """The first of these arrays as a flat float64 one."""
    return next((_real(data[key]).reshape(-1) for key in keys if key in data), None)


def _real(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "fiu":
        raise ValueError("an array holds no numbers")
    out = values.astype(np.float64)
    if out.size > 1_000_000 or not np.isfinite(out).all():
        raise ValueError("an array holds numbers that are not usable")
    return out
