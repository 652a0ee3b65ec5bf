"""Which parts of the posed body meet which parts of a capture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from likeness.body.fit_observe import Evidence
from likeness.body.fit_points import BodyPoints, Posed, sole_vertices
from likeness.body.lbs import with_landmarks
from likeness.body.model import BodyModel
from scipy.spatial import cKDTree

# Normals that differ by a radian are as far apart as points at this distance (m).
BEND_M = 0.06
# Cosine between a normal and the line of sight below which a vertex lies on the outline.
RIM = 0.3
SURFACE_VERTICES, SPREAD_VERTICES = 3600, 700


@dataclass(frozen=True)
class Pairs:
    """Rows count within the body's points.

    surface (N,) vertex of each paired reading in `reading` (N,); front (F,), front_depth (F,): vertices that face the
    camera and the reading behind their pixel; edge (M,), edge_px (M, 2): rim vertices and the mask's edge.
    """

    surface: np.ndarray
    reading: np.ndarray
    front: np.ndarray
    front_depth: np.ndarray
    edge: np.ndarray
    edge_px: np.ndarray


class Matcher:
    """Pairs a posed body with one capture's evidence, again and again as the body moves."""

    def __init__(self, model: BodyModel, points: BodyPoints, evidence: Evidence) -> None:
        self.evidence = evidence
        self.surface_rows = np.searchsorted(points.vertices, spread_vertices(model, SURFACE_VERTICES))
        self.spread_rows = np.searchsorted(points.vertices, spread_vertices(model, SPREAD_VERTICES))

    def pair(self, posed: Posed, reach: float) -> Pairs:
        """Pairs at this pose; depth readings farther than `reach` metres from the body are left alone."""
        facing = (posed.normals * posed.vertices).sum(axis=1)
        surface, reading = self._surface(posed, facing, reach)
        front, front_depth = self._front(posed, facing)
        edge, edge_px = self._edge(posed, facing)
        return Pairs(surface, reading, front, front_depth, edge, edge_px)

    def _surface(self, posed: Posed, facing: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
        cloud, normals = self.evidence.cloud, self.evidence.normals
        rows = self.surface_rows[facing[self.surface_rows] < 0]
        if not self.evidence.has_depth or len(rows) == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        # Six dimensions: a place counts as near only if it also faces the same way.
        tree = cKDTree(np.concatenate([posed.vertices[rows], BEND_M * posed.normals[rows]], axis=1))
        _, nearest = tree.query(np.concatenate([cloud, BEND_M * normals], axis=1))
        found = rows[nearest]
        apart = np.linalg.norm(posed.vertices[found] - cloud, axis=1)
        agree = (posed.normals[found] * normals).sum(axis=1) > 0.3
        keep = np.flatnonzero((apart < reach) & agree)
        return found[keep], keep

    def _front(self, posed: Posed, facing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        depth = self.evidence.depth
        rows = self.spread_rows[facing[self.spread_rows] < 0]
        if depth is None:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        pixel = np.round(self.evidence.camera.project(posed.vertices[rows])).astype(int)
        height, width = depth.shape
        inside = ((pixel >= 0) & (pixel < [width, height])).all(axis=1)
        pixel = pixel.clip(0, [width - 1, height - 1])
        reading = np.where(inside, depth[pixel[:, 1], pixel[:, 0]], 0.0)
        keep = reading > 0
        return rows[keep], reading[keep]

    def _edge(self, posed: Posed, facing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        contour = self.evidence.contour
        rows = self.surface_rows
        sight = np.linalg.norm(posed.vertices[rows], axis=1)
        rows = rows[np.abs(facing[rows]) < RIM * sight]
        if len(contour) == 0 or len(rows) == 0:
            return np.zeros(0, np.int64), np.zeros((0, 2), np.float32)
        _, nearest = cKDTree(self.evidence.camera.project(posed.vertices[rows])).query(contour)
        return rows[nearest], contour


def fit_points(model: BodyModel) -> BodyPoints:
    """The vertices that fits look at: spread over the body, with those of soles and of BlazePose's points."""
    normals = vertex_normals(model.v_template, model.faces)
    spread = [spread_vertices(model, SURFACE_VERTICES), spread_vertices(model, SPREAD_VERTICES)]
    chosen = np.concatenate([*spread, sole_vertices(model, normals)])
    return BodyPoints(model, with_landmarks(model, chosen), normals)


def spread_vertices(model: BodyModel, count: int) -> np.ndarray:
    """About `count` vertices spread evenly over the body by area: sorted vertex numbers."""
    corners = model.v_template[model.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    share = np.bincount(model.faces.ravel(), np.repeat(area, 3), minlength=len(model.v_template))
    # Systematic sampling along the vertex order: even, and the same every time.
    ends = np.cumsum(share / share.sum() * count)
    return np.flatnonzero(np.diff(np.floor(ends), prepend=0.0) > 0)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Outward unit normals (V, 3) float32 of a mesh, weighted by area."""
    corners = vertices[faces]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack(
        [np.bincount(faces.ravel(), np.repeat(face[:, axis], 3), minlength=len(vertices)) for axis in range(3)], axis=1
    )
    return (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)).astype(np.float32)
