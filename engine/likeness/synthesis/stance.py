"""A dressed person put into a pose: skinned, its cloth hung, laid over the body, and set down on the floor."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from likeness.body.model import BodyModel, load_default
from likeness.core.frames import rodrigues
from likeness.core.skinning import joint_transforms, posed_joints
from likeness.synthesis.figure import Dressed, Floats, Layer, Posed
from likeness.synthesis.hang import KEYS, Surface, hang, hangs, strongest_joint
from likeness.synthesis.limbs import PARENTS
from likeness.synthesis.poses import Pose
from likeness.synthesis.untangle import untangled

Cloth = Literal["hang", "skin"]


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
    runs. model: the body whose vertices `dressed.body` has, the default body unless given.
    """
    model = load_default(layout="smplh") if model is None else model
    pose = np.asarray(pose.pose if isinstance(pose, Pose) else pose, np.float32).reshape(52, 3)
    moves = pose_transforms(pose, dressed.joints)
    vertices = [skinned_layer(layer, moves) for layer in dressed.layers]
    index, weight = model.sparse_weights(4)
    body = skinned(dressed.body, index, weight, moves)
    if cloth == "hang":
        hung = _hung(dressed, pose, model, rng, device)
        vertices = [hung.get(number, plain) for number, plain in enumerate(vertices)]
    vertices = untangled(dressed.layers, vertices, body, model.faces, strongest_joint(index, weight))
    joints = posed_joints(moves, dressed.joints).astype(np.float32)
    on_floor = [number for number, layer in enumerate(dressed.layers) if layer.kind in ("skin", "shoe")]
    lowest = min(float(vertices[number][:, 1].min()) for number in on_floor)
    shift = np.array([-joints[0, 0], -lowest, -joints[0, 2]], np.float32)
    return Posed(
        dressed,
        tuple(layer.moved(moved + shift) for layer, moved in zip(dressed.layers, vertices, strict=True)),
        pose,
        (joints[0] + shift).astype(np.float32),
        joints + shift,
        body + shift,
    )


def _hung(dressed: Dressed, pose: Floats, model: BodyModel, rng: np.random.Generator, device: str) -> dict[int, Floats]:
    """Vertices of every layer that hangs, by its number."""
    chosen = [number for number, layer in enumerate(dressed.layers) if hangs(layer)]
    if not chosen:
        return {}
    ways = [pose_transforms(pose * share, dressed.joints) for share in np.linspace(0, 1, KEYS + 1)]
    index, weight = model.sparse_weights(4)
    body = np.stack([skinned(dressed.body, index, weight, moves) for moves in ways])
    inner = [Surface(body, model.faces, strongest_joint(index, weight))]
    floors = body[:, :, 1].min(1)
    out: dict[int, Floats] = {}
    for number in sorted(chosen, key=lambda n: dressed.layers[n].order):
        layer = dressed.layers[number]
        goals = np.stack([skinned_layer(layer, moves) for moves in ways])
        frames = hang(layer, goals, inner, floors, rng, device)
        settled = np.concatenate([frames[:-2], frames[-1:]])
        inner.append(Surface(settled, layer.faces, strongest_joint(layer.skin_joints, layer.skin_weights)))
        out[number] = frames[-1]
    return out


def pose_transforms(pose: NDArray, joints: NDArray) -> Floats:
    """Posed-from-rest transforms (52, 4, 4) of rest joints (52, 3); the pelvis stays where it is."""
    return joint_transforms(rodrigues(np.asarray(pose, np.float64)), np.asarray(joints, np.float64), PARENTS).astype(
        np.float32
    )


def skinned(vertices: Floats, index: NDArray, weight: Floats, moves: Floats) -> Floats:
    """Linear blend skinning: vertices (V, 3), joints and weights (V, K) of each, transforms (J, 4, 4) -> (V, 3)."""
    rows = moves[:, :3].reshape(len(moves), 12)
    blended = weight[:, :1] * rows[index[:, 0]]
    for k in range(1, index.shape[1]):
        blended += weight[:, k : k + 1] * rows[index[:, k]]
    blended = blended.reshape(-1, 3, 4)
    out: Floats = np.matmul(blended[:, :, :3], vertices[:, :, None])[:, :, 0] + blended[:, :, 3]
    return out


def skinned_layer(layer: Layer, moves: Floats) -> Floats:
    """A layer's vertices (V, 3) moved by the skeleton alone."""
    return skinned(layer.vertices, layer.skin_joints, layer.skin_weights, moves)
