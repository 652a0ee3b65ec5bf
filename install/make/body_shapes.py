"""The shape space of the default body, learned from sampled people."""

from __future__ import annotations

from dataclasses import dataclass

import body_joints as bj
import numpy as np
from body_people import Bodies

JOINT_SHARE = 0.3


def vertex_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3), (F, 3) -> (V,) a third of the area of the triangles around every vertex, m2."""
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    out = np.zeros(len(vertices))
    np.add.at(out, faces.reshape(-1), np.repeat(area / 3, 3))
    return out


@dataclass
class ShapeSpace:
    """mean (V, 3), directions (V, 3, K), joints (52, 3), joint_directions (52, 3, K); betas ~ N(0, 1)."""

    mean: np.ndarray
    directions: np.ndarray
    joints: np.ndarray
    joint_directions: np.ndarray
    explained: np.ndarray


def learn_shapes(people: Bodies, faces: np.ndarray, count: int) -> ShapeSpace:
    """Principal components by area, not by vertex, so that the dense face and hands do not outvote the body.

    SMPL's 24 joints take part with JOINT_SHARE of the surface's say, so that limb lengths win over fine relief.
    """
    mean, joint_mean = people.vertices.mean(0), people.joints.mean(0)
    area = vertex_areas(mean, faces)
    surface = (people.vertices - mean).reshape(len(people.vertices), -1)
    joints = (people.joints - joint_mean).reshape(len(surface), -1)
    main = joints.reshape(len(surface), -1, 3)[:, bj.SMPLH_OF_SMPL].reshape(len(surface), -1)
    weight = np.concatenate([np.repeat(area / area.sum(), 3), np.full(main.shape[1], JOINT_SHARE / len(bj.SMPL_NAMES))])
    seen = np.concatenate([surface, main], 1) * np.sqrt(weight)
    left, size, _ = np.linalg.svd(seen, full_matrices=False)
    betas = left[:, :count] * np.sqrt(len(surface))
    directions = (betas.T @ surface / len(surface)).reshape(count, -1, 3)
    joint_directions = (betas.T @ joints / len(surface)).reshape(count, -1, 3)
    # Signs that an artist can remember: taller for the first, and bulkier for the others.
    for k in range(count):
        height = np.ptp((mean + directions[k])[:, 1]) - np.ptp(mean[:, 1])
        bulk = (directions[k] * [1, 0, 1] * np.sign(mean) * area[:, None]).sum()
        if (height if k == 0 else bulk) < 0:
            directions[k] *= -1
            joint_directions[k] *= -1
    explained = (size**2 / (size**2).sum())[:count]
    return ShapeSpace(mean, np.moveaxis(directions, 0, -1), joint_mean, np.moveaxis(joint_directions, 0, -1), explained)


def held_out_errors(space: ShapeSpace, people: Bodies, area: np.ndarray) -> dict[str, float]:
    """How well unseen people are reached, millimetres."""
    basis = space.directions.reshape(-1, space.directions.shape[-1])
    weight = np.repeat(np.sqrt(area), 3)
    target = (people.vertices - space.mean).reshape(len(people.vertices), -1)
    betas = np.linalg.lstsq(basis * weight[:, None], (target * weight).T, rcond=None)[0]
    miss = np.linalg.norm((target - (basis @ betas).T).reshape(len(target), -1, 3), axis=2)
    joints = space.joints + np.einsum("jck,ks->sjc", space.joint_directions, betas)
    joint_miss = np.linalg.norm(joints - people.joints, axis=2)
    return {
        "vertex_mean_mm": float((miss * area).sum() / area.sum() / len(miss) * 1000),
        "vertex_95_mm": float(np.percentile(miss, 95) * 1000),
        "vertex_worst_mm": float(miss.max() * 1000),
        "joint_mean_mm": float(joint_miss.mean() * 1000),
        "joint_worst_mm": float(joint_miss.max() * 1000),
        "largest_beta": float(np.abs(betas).max()),
    }
