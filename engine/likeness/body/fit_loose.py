"""Readings that lie on skirts, bags and wide coats: they say little of the body, and fits follow them astray."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from likeness.body.depth_pose import DepthPose
from likeness.body.fit_observe import Evidence
from likeness.body.fit_points import BodyPoints, Posed
from scipy.spatial import cKDTree

# Metres off the body that a network reads off depth, and the network's sigmas beyond, where what was seen is no longer
# taken for the body and its usual clothes.
LOOSE_M, LOOSE_SIGMAS = 0.02, 0.5
# Where less than this share would remain, the network saw another body than there is.
LEAST_KEPT = 0.25


def without_loose(evidence: Evidence, posed: Posed, seen: DepthPose) -> Evidence:
    """The evidence without readings and edges that stand farther off the body than clothes and doubt explain.

    posed: the body that the network sees, seen: with its doubt. All of it where nearly nothing would remain.
    """
    off, reach = _distances(evidence.cloud, posed.vertices), _reach(posed, seen)
    keep = off[0] < reach[off[1]]
    if keep.sum() < LEAST_KEPT * len(keep):
        return evidence
    camera = evidence.camera
    metres = np.maximum(posed.vertices[:, 2], 0.05) / (0.5 * (camera.fx + camera.fy))
    beside = _distances(evidence.contour, camera.project(posed.vertices).astype(np.float32))
    near = beside[0] * metres[beside[1]] < reach[beside[1]]
    return replace(evidence, cloud=evidence.cloud[keep], normals=evidence.normals[keep], contour=evidence.contour[near])


def retold(evidence: Evidence, whole: Evidence, posed: Posed, seen: DepthPose) -> Evidence:
    """Landmarks of the one, readings and edges of the other without_loose ones."""
    kept = without_loose(whole, posed, seen)
    return replace(evidence, cloud=kept.cloud, normals=kept.normals, contour=kept.contour)


def _distances(points: np.ndarray, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance (N,) of each point from the nearest vertex, and which that is (N,)."""
    distance, nearest = cKDTree(vertices).query(points)
    return np.atleast_1d(distance), np.atleast_1d(nearest)


def _reach(posed: Posed, seen: DepthPose) -> np.ndarray:
    """(V,) metres off each vertex that clothes and the network's doubt of the bones there explain."""
    count = len(seen.sigma_m)
    doubt = np.sqrt(3.0) * seen.sigma_m + np.linalg.norm(posed.places[:count] - seen.joints, axis=1)
    return LOOSE_M + LOOSE_SIGMAS * _along_bones(posed.points, doubt)


def _along_bones(points: BodyPoints, values: np.ndarray) -> np.ndarray:
    """(V,) of values (J,) at joints: a vertex hangs on the bones' both ends, the greater counts; fingers on wrists."""
    whole = np.zeros(len(points.parents))
    for joint, parent in enumerate(points.parents):
        whole[joint] = values[joint] if joint < len(values) else whole[parent]
    ends = whole.copy()
    for joint, parent in enumerate(points.parents[1:], start=1):
        ends[parent] = max(ends[parent], whole[joint])
    return points.weights @ ends
