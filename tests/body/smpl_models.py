"""Small random bodies in the layouts of SMPL, SMPL-H and SMPL-X, and what skinning does to them, written out."""

from __future__ import annotations

import igl
import numpy as np
import torch
from likeness.body.model import load_default

SMPL = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
_FINGERS = tuple(p for k in range(5) for p in (-1, 3 * k, 3 * k + 1))


def _hands(first: int) -> tuple[int, ...]:
    return tuple(wrist if p < 0 else first + 15 * side + p for side, wrist in enumerate((20, 21)) for p in _FINGERS)


#: Joint count -> each joint's parent.
PARENTS = {24: SMPL, 52: (*SMPL[:22], *_hands(22)), 55: (*SMPL[:22], 15, 15, 15, *_hands(25))}


def random_model(joints: int, random: np.random.Generator, count: int = 200, shapes: int = 10) -> dict[str, np.ndarray]:
    """The arrays of a model's file, float64, under SMPL's names; its surface is a crumpled sphere 1.7 m tall."""
    points = random.normal(size=(count, 3))
    points *= np.array([0.8, 0.85, 0.15]) / np.linalg.norm(points, axis=1, keepdims=True)
    points[0], points[1] = (0, 0.85, 0), (0, -0.85, 0)
    rows = np.exp(4 * random.normal(size=(joints, count)))
    weights = np.exp(3 * random.normal(size=(count, joints)))
    parents = np.array(PARENTS[joints], np.int64)
    parents[0] = 4294967295
    corners = random.integers(0, count, (2 * count, 3))
    # Wound so that each face looks away from the middle.
    a, b, c = points[corners].transpose(1, 0, 2)
    corners[(a * np.cross(b, c)).sum(1) < 0] = corners[(a * np.cross(b, c)).sum(1) < 0][:, ::-1]
    model = {
        "v_template": points,
        "f": corners.astype(np.uint32),
        "shapedirs": 0.03 * random.normal(size=(count, 3, shapes)),
        "posedirs": 0.01 * random.normal(size=(count, 3, 9 * (joints - 1))),
        "J_regressor": rows / rows.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([parents, np.arange(joints)]).astype(np.uint32),
    }
    if joints > 24:
        for side in "lr":
            model[f"hands_mean{side}"] = 0.2 * random.normal(size=45)
            model[f"hands_components{side}"] = random.normal(size=(45, 45))
    return model


def posed(model: dict[str, np.ndarray], betas: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equations 2 to 10 of SMPL's paper, one transform of 4 x 4 at a time: vertices (V, 3) and joints (J, 3)."""
    shaped = model["v_template"] + model["shapedirs"] @ betas
    rest = model["J_regressor"] @ shaped
    turns = torch.linalg.matrix_exp(torch.tensor([[[0, -z, y], [z, 0, -x], [-y, x, 0]] for x, y, z in pose])).numpy()
    shaped = shaped + model["posedirs"] @ (turns[1:] - np.eye(3)).reshape(-1)
    world = []
    for joint, parent in enumerate(PARENTS[len(rest)]):
        step = np.eye(4)
        step[:3, :3] = turns[joint]
        step[:3, 3] = rest[joint] - (rest[parent] if parent >= 0 else 0)
        world.append(world[parent] @ step if parent >= 0 else step)
    back = np.tile(np.eye(4), (len(rest), 1, 1))
    back[:, :3, 3] = -rest
    moves = np.einsum("vj,jab->vab", model["weights"], np.array(world) @ back)
    out = np.einsum("vab,vb->va", moves, np.concatenate([shaped, np.ones((len(shaped), 1))], 1))
    return out[:, :3], np.array(world)[:, :3, 3]


def person_model(faces: int = 4000, seed: int = 0) -> dict[str, np.ndarray]:
    """The arrays of a file of SMPL's layout that is a person: the body that ships on another topology.

    Fewer faces, vertices in no order, 10 shape directions, the pelvis off the origin, and no UVs.
    """
    body = load_default("smpl", betas=10)
    vertices, triangles, _, born = igl.decimate(body.v_template.astype(float), body.faces.astype(np.int64), faces)
    _, face, near = igl.point_mesh_squared_distance(body.v_template.astype(float), vertices, triangles)
    corners = triangles[np.ravel(face)]
    shares = np.asarray(igl.barycentric_coordinates(near, *(vertices[corners[:, k]] for k in range(3))))
    regressor = np.zeros((len(body.parents), len(vertices)))
    for k in range(3):
        np.add.at(regressor.T, corners[:, k], shares[:, k : k + 1] * body.joint_regressor().T)
    weights = body.weights[born].astype(float)
    order = np.random.default_rng(seed).permutation(len(vertices))
    parents = np.where(body.parents < 0, 4294967295, body.parents.astype(np.int64))
    return {
        "v_template": (vertices + [0.0, -0.22, 0.03])[order],
        "f": np.argsort(order)[triangles].astype(np.uint32),
        "shapedirs": body.shapedirs[born][order],
        "posedirs": body.correctives.dense(len(body.v_template), len(body.parents))[born][order],
        "J_regressor": (regressor / regressor.sum(1, keepdims=True))[:, order],
        "weights": (weights / weights.sum(1, keepdims=True))[order],
        "kintree_table": np.stack([parents, np.arange(len(parents))]),
    }
