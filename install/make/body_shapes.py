"""The shape space of the default body, learned from sampled people."""

from __future__ import annotations

from dataclasses import dataclass

import body_joints as bj
import numpy as np
from body_people import Bodies

JOINT_SHARE = 0.3
#: Vertices that a joint of the regressor is read off, and the noise of a vertex (metres) that it allows for.
SUPPORT, REGRESSOR_NOISE = 600, 0.004


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


def best_betas(space: ShapeSpace, vertices: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Least-squares betas (S, K) of people's surfaces (S, V, 3) by area (V,), from the surface alone."""
    basis = space.directions.reshape(-1, space.directions.shape[-1])
    weight = np.repeat(np.sqrt(area), 3)
    target = (vertices - space.mean).reshape(len(vertices), -1)
    return np.linalg.lstsq(basis * weight[:, None], (target * weight).T, rcond=None)[0].T


def held_out_errors(space: ShapeSpace, people: Bodies, area: np.ndarray) -> dict[str, float]:
    """How well unseen people are reached, millimetres; the joints follow from the betas that fit the surface."""
    betas = best_betas(space, people.vertices, area)
    vertices = space.mean + np.einsum("vck,sk->svc", space.directions, betas, optimize=True)
    miss = np.linalg.norm(vertices - people.vertices, axis=2)
    joints = space.joints + np.einsum("jck,sk->sjc", space.joint_directions, betas)
    joint_miss = np.linalg.norm(joints - people.joints, axis=2)
    return {
        "vertex_mean_mm": float((miss * area).sum() / area.sum() / len(miss) * 1000),
        "vertex_95_mm": float(np.percentile(miss, 95) * 1000),
        "vertex_worst_mm": float(miss.max() * 1000),
        "joint_mean_mm": float(joint_miss.mean() * 1000),
        "joint_worst_mm": float(joint_miss.max() * 1000),
        "largest_beta": float(np.abs(betas).max()),
    }


def cut_to(space: ShapeSpace, count: int) -> ShapeSpace:
    """The first `count` components alone."""
    return ShapeSpace(
        space.mean,
        space.directions[..., :count],
        space.joints,
        space.joint_directions[..., :count],
        space.explained[:count],
    )


def settled_space(space: ShapeSpace) -> ShapeSpace:
    """The space with knees and elbows where the skin bends (`settle_joints`)."""
    joints, directions = bj.settle_joints(space.joints), bj.settle_joints(space.joint_directions)
    return ShapeSpace(space.mean, space.directions, joints, directions, space.explained)


def settled(bodies: Bodies) -> Bodies:
    """The people with knees and elbows where the skin bends (`settle_joints`)."""
    return Bodies(bodies.vertices, np.moveaxis(bj.settle_joints(np.moveaxis(bodies.joints, 0, -1)), -1, 0))


def spread_around(points: np.ndarray, centre: np.ndarray, count: int) -> np.ndarray:
    """`count` vertices (points (V, 3)) around a place (3,), evenly spread; the nearest ones where there are few."""
    distance = np.linalg.norm(points - centre, axis=1)
    pool = np.flatnonzero(distance < 3 * np.sort(distance)[:20].mean() + 0.03)
    if len(pool) <= count:
        return np.sort(np.argsort(distance)[:count])
    chosen = [int(distance[pool].argmin())]
    gap = np.linalg.norm(points[pool] - points[pool[chosen[0]]], axis=1)
    while len(chosen) < count:
        chosen.append(int(gap.argmax()))
        gap = np.minimum(gap, np.linalg.norm(points[pool] - points[pool[chosen[-1]]], axis=1))
    return np.sort(pool[chosen])


def fit_regressor(space: ShapeSpace, people: Bodies) -> tuple[np.ndarray, np.ndarray]:
    """Joints as blends of vertices: (J, SUPPORT) vertices and weights, for joints and people that are settled.

    Exact over the shape space (of cut_to's size), and beyond it as right as possible on the sampled people, whose
    vertices may be REGRESSOR_NOISE off. Weights that are all positive cannot do it: the joints do not move with the
    fat that covers them (the best ones miss by 48 mm).
    """
    vertices = np.empty((len(space.joints), SUPPORT), np.int64)
    values = np.empty((len(space.joints), SUPPORT))
    count = space.directions.shape[-1]
    for joint, centre in enumerate(space.joints):
        near = spread_around(space.mean, centre, SUPPORT)
        exact = np.concatenate(
            [np.ones((1, SUPPORT)), (space.mean[near] - centre).T, space.directions[near].reshape(SUPPORT, -1).T]
        )
        wanted = np.concatenate([[1.0], np.zeros(3), space.joint_directions[joint].reshape(3 * count)])
        rows = np.moveaxis(people.vertices[:, near] - people.joints[:, joint, None], 1, -1).reshape(-1, SUPPORT)
        cost = rows.T @ rows + len(rows) * REGRESSOR_NOISE**2 * np.eye(SUPPORT)
        # The cheapest weights w'Cw that fulfil the equations, in the frame where the cost is the plain norm.
        lower = np.linalg.cholesky(cost)
        turned = np.linalg.solve(lower, exact.T)
        values[joint] = np.linalg.solve(lower.T, np.linalg.lstsq(turned.T, wanted, rcond=1e-10)[0])
        vertices[joint] = near
    return vertices, values


def regressor_errors(vertices: np.ndarray, values: np.ndarray, people: Bodies) -> dict[str, float]:
    """What the regressor misses on people with settled joints, millimetres."""
    found = np.stack([np.einsum("n,snc->sc", w, people.vertices[:, v]) for v, w in zip(vertices, values)], 1)
    miss = np.linalg.norm(found - people.joints, axis=2) * 1000
    return {"regressor_mean_mm": float(miss.mean()), "regressor_worst_mm": float(miss.max())}
