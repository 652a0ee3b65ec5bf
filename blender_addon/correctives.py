# SPDX-License-Identifier: GPL-3.0-or-later
"""Pose correctives as shape keys that the bones drive: what skinning loses at bent joints comes back in Blender too.

An avatar's correctives are linear in the nine entries of each joint's rotation matrix (SMPL, equation 9), which are
quadratic in its quaternion. Nine keys a joint would be exact and slow, as Blender visits every vertex for every key;
people do not turn a knee in nine ways, so a joint gets as many keys as its usual turns need (principal components of
what it does). The drivers are plain formulas, which Blender evaluates with automatic scripts switched off.
"""

from dataclasses import dataclass

import bpy
import numpy as np

from .armature import rest_axes
from .coordinates import BLENDER_FROM_ENGINE, to_blender
from .core.avatar import Avatar
from .core.frames import rodrigues

#: Vertices may be off by this much in one of twenty usual turns of a joint, the worst vertex of the joint counting.
TOLERANCE_M = 0.004
#: Usual turns about X, Y and Z of the rest pose (engine axes), standard deviations in degrees; joints by their word.
TURNS_DEG = {
    "hip": (50, 20, 25),
    "knee": (60, 10, 10),
    "elbow": (25, 60, 25),
    "shoulder": (35, 35, 50),
    "collar": (12, 12, 15),
    "spine": (15, 15, 12),
    "thumb": (20, 25, 20),
    "index": (10, 10, 40),
    "middle": (10, 10, 40),
    "ring": (10, 10, 40),
    "pinky": (10, 10, 40),
}
OTHER_TURNS_DEG = (20, 20, 20)
_SAMPLES = 512
#: The products of a quaternion's numbers that a driver adds up, and the entries of (R - I), row by row, made of them.
_PRODUCTS = ("x*x", "y*y", "z*z", "x*y", "x*z", "y*z", "w*x", "w*y", "w*z")
_ENTRIES = 2.0 * np.array(
    [
        [0, -1, -1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0, -1], [0, 0, 0, 0, 1, 0, 0, 1, 0],
        [0, 0, 0, 1, 0, 0, 0, 0, 1], [-1, 0, -1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, -1, 0, 0],
        [0, 0, 0, 0, 1, 0, 0, -1, 0], [0, 0, 0, 0, 0, 1, 1, 0, 0], [-1, -1, 0, 0, 0, 0, 0, 0, 0],
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Component:
    """One key of a joint. vertices (N,), offsets (N, 3) metres in engine axes, moved by features @ reading.

    reading: (9,), so that the value is never beyond 1; features: (R - I) row by row, engine axes.
    """

    vertices: np.ndarray
    offsets: np.ndarray
    reading: np.ndarray


def usual_features(name: str) -> np.ndarray:
    """(_SAMPLES, 9) features of a joint's usual turns."""
    degrees = next((turns for word, turns in TURNS_DEG.items() if word in name), OTHER_TURNS_DEG)
    steps = np.random.default_rng(0).normal(size=(_SAMPLES, 3)).clip(-2, 2)
    return (rodrigues(steps * np.radians(degrees)) - np.eye(3)).reshape(-1, 9)


def components(name: str, vertices: np.ndarray, directions: np.ndarray, tolerance_m: float) -> list[Component]:
    """As few keys as keep the offsets of a joint's usual turns within the tolerance.

    vertices (N,), directions (N, 3, 9): the joint's rows of the avatar's correctives.
    """
    rows, features = directions.reshape(-1, 9).astype(np.float64), usual_features(name)
    axes, power, _ = np.linalg.svd(features.T @ features / len(features))
    spread = np.sqrt(np.maximum(power, 1e-9))
    moves, sizes, mixes = np.linalg.svd(rows @ (axes * spread), full_matrices=False)
    readings = mixes / spread @ axes.T
    left = rows.copy()
    out: list[Component] = []
    for move, size, reading in zip((moves * sizes).T, sizes, readings, strict=True):
        off = np.linalg.norm((left @ features.T).reshape(-1, 3, len(features)), axis=1).max(0)
        if size < 1e-9 or np.percentile(off, 95) <= tolerance_m:
            break
        left = left - np.outer(move, reading)
        # No rotation is further from the identity than that, and Blender cuts values off at 10.
        reach = 2.0 * np.sqrt(2.0) * np.linalg.norm(reading)
        out.append(Component(vertices, move.reshape(-1, 3) * reach, reading / reach))
    return out


def formula(reading: np.ndarray, axes: np.ndarray) -> str:
    """A component's value as a driver's expression of the bone's quaternion w, x, y, z.

    axes: (3, 3) rest axes of the bone in the armature's. The bone turns by axes^-1 R axes where the joint turns by R.
    """
    frame = BLENDER_FROM_ENGINE.T @ axes
    factors = reading @ np.kron(frame, frame) @ _ENTRIES
    return "".join(f"{factor:+.5f}*{product}" for factor, product in zip(factors, _PRODUCTS, strict=True))


def add_keys(body: bpy.types.Object, rig: bpy.types.Object, avatar: Avatar, tolerance_m: float = TOLERANCE_M) -> int:
    """Give the avatar's mesh object its driven shape keys. Returns how many; none where it has no correctives."""
    rows = avatar.correctives
    if rows is None or not len(rows.vertices):
        return 0
    found: list[tuple[str, str, Component]] = []
    axes = rest_axes(rig)
    for joint, name in enumerate(avatar.joint_names):
        own = rows.joints == joint
        if own.any():
            parts = components(name, rows.vertices[own], rows.directions[own], tolerance_m)
            found += [(name, formula(part.reading, axes[joint]), part) for part in parts]
    if not found:
        return 0
    body.shape_key_add(name="Basis", from_mix=False)
    rest = to_blender(avatar.vertices.astype(np.float32))
    numbers: dict[str, int] = {}
    for name, expression, part in found:
        numbers[name] = numbers.get(name, 0) + 1
        key = body.shape_key_add(name=f"{name} {numbers[name]}", from_mix=False)
        key.slider_min, key.slider_max = -1.0, 1.0
        moved = rest.copy()
        moved[part.vertices] += to_blender(part.offsets).astype(np.float32)
        key.data.foreach_set("co", moved.ravel())
        _drive(key, rig, name, expression)
    body.active_shape_key_index = 0
    return len(found)


def _drive(key: bpy.types.ShapeKey, rig: bpy.types.Object, bone: str, expression: str) -> None:
    driver = key.driver_add("value").driver
    driver.type = "SCRIPTED"
    for number in "WXYZ":
        variable = driver.variables.new()
        variable.name, variable.type = number.lower(), "TRANSFORMS"
        target = variable.targets[0]
        target.id, target.bone_target = rig, bone
        target.transform_type, target.rotation_mode = f"ROT_{number}", "QUATERNION"
        target.transform_space = "LOCAL_SPACE"
    driver.expression = expression
    if not driver.is_simple_expression:
        raise ValueError(f"Blender would need Python for {expression}")
