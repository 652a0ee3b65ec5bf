"""A dressed person put into a pose: skinned, its cloth hung, laid over the body, and set down on the floor."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from likeness.body.model import BodyModel, load_default
from likeness.core.frames import rodrigues
from likeness.synthesis.bending import Bending
from likeness.synthesis.figure import Dressed, Floats, Layer, Posed
from likeness.synthesis.hang import KEYS, Hung, Surface, grounds_under, hang, hangs, strongest_joint
from likeness.synthesis.poses import Pose
from likeness.synthesis.untangle import untangled

Cloth = Literal["hang", "skin"]
# Wrist -> the joint at the base of its middle finger, about which what the hand holds swings.
KNUCKLES = {20: 25, 21: 40}


def pose_person(
    dressed: Dressed,
    pose: Pose | NDArray,
    rng: np.random.Generator,
    *,
    cloth: Cloth = "hang",
    device: str = "cpu",
    model: BodyModel | None = None,
) -> Posed:
    """The person in a drawn pose or one of (52, 3) axis-angle, its lowest point at y = 0, its pelvis above the origin.

    cloth: 'hang' simulates what hangs (seconds), 'skin' moves all of it with the skeleton. device: where the simulation
    runs, and may cut the triangles of what hangs into four: `dressed` of the result has the same layers as it.
    model: the body whose vertices `dressed.body` has, the default body unless given. The posed body is what
    `BodyModel.posed` gives with correctives.
    """
    model = load_default(layout="smplh") if model is None else model
    seated = isinstance(pose, Pose) and pose.words.startswith("sitting")
    pose = np.asarray(pose.pose if isinstance(pose, Pose) else pose, np.float32).reshape(52, 3)
    bending = Bending(dressed, model)
    body, vertices = bending.moved(pose)
    joint = strongest_joint(bending.index, bending.weight)
    if cloth == "hang":
        layers = list(dressed.layers)
        for number, hung in _hung(bending, pose, model, rng, seated, device).items():
            layers[number], vertices[number] = hung.layer, hung.vertices
        dressed = replace(dressed, layers=tuple(layers))
    vertices = untangled(dressed.layers, vertices, body, model.faces, joint)
    joints = bending.joints(pose)
    vertices = [
        plumb(layer, moved, joints) if layer.kind == "bag" else moved
        for layer, moved in zip(dressed.layers, vertices, strict=True)
    ]
    on_floor = [v for layer, v in zip(dressed.layers, vertices, strict=True) if layer.kind in ("skin", "shoe")]
    lowest = min(float(v[:, 1].min()) for v in on_floor)
    shift = np.array([-joints[0, 0], -lowest, -joints[0, 2]], np.float32)
    return Posed(
        dressed,
        tuple(layer.moved(moved + shift) for layer, moved in zip(dressed.layers, vertices, strict=True)),
        pose,
        (joints[0] + shift).astype(np.float32),
        joints + shift,
        body + shift,
    )


def plumb(layer: Layer, vertices: Floats, joints: Floats) -> Floats:
    """Vertices (V, 3) of a bag that one hand alone holds, swung about its knuckles until it hangs; others unchanged."""
    strongest = np.unique(layer.skin_joints[layer.skin_weights > 0.01])
    if len(strongest) != 1 or int(strongest[0]) not in KNUCKLES:
        return vertices
    grip = joints[KNUCKLES[int(strongest[0])]]
    arm = vertices.mean(0) - grip
    turn = rotation_between(arm / max(float(np.linalg.norm(arm)), 1e-9), np.array([0.0, -1.0, 0.0]))
    return ((vertices - grip) @ turn.T + grip).astype(np.float32)


def rotation_between(start: NDArray, end: NDArray) -> NDArray:
    """The least rotation (3, 3) that takes unit vector `start` (3,) to unit vector `end` (3,)."""
    axis, cosine = np.cross(start, end), float(start @ end)
    if cosine < -1 + 1e-9:
        # Any axis across will do for half a turn.
        across = np.cross(start, np.eye(3)[int(np.argmin(np.abs(start)))])
        return rodrigues(np.pi * across / np.linalg.norm(across))
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


def _hung(
    bending: Bending, pose: Floats, model: BodyModel, rng: np.random.Generator, seated: bool, device: str
) -> dict[int, Hung]:
    """Every layer that hangs, by its number, after the body has moved from rest into the pose."""
    layers = bending.dressed.layers
    keys = [bending.moved(pose * share) for share in np.linspace(0, 1, KEYS + 1)]
    body = np.stack([key[0] for key in keys])
    joint = strongest_joint(bending.index, bending.weight)
    inner = [Surface(body, model.faces, joint)]
    inner += [_surface(layer, [key[1][n] for key in keys]) for n, layer in enumerate(layers) if layer.kind == "shoe"]
    grounds = grounds_under(body, joint, seated)
    out: dict[int, Hung] = {}
    for number in sorted(range(len(layers)), key=lambda n: layers[n].order):
        layer, goals = layers[number], np.stack([key[1][number] for key in keys])
        if not hangs(layer, goals):
            continue
        out[number] = hang(layer, goals, inner, grounds, rng, device)
        inner.append(_surface(layer, list(out[number].frames)))
    return out


def _surface(layer: Layer, frames: list[Floats]) -> Surface:
    return Surface(np.stack(frames), layer.faces, strongest_joint(layer.skin_joints, layer.skin_weights))
