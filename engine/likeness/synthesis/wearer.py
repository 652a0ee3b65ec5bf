"""A person to dress: its body at rest, the heights that garments go by, and how far a point lies off the skin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from likeness.synthesis.envelope import Envelope, envelope
from likeness.synthesis.figure import Floats, Ints, vertex_normals
from likeness.synthesis.pack import Pack
from likeness.synthesis.skeleton import RestBody, rest_body
from likeness.synthesis.subdivision import split_quads


@dataclass(frozen=True)
class Measures:
    """Heights (y) and places of a body at rest, metres; size is 1 for a stature of about 1.7 m."""

    size: float
    sole: float
    ankle: float
    knee: float
    crotch: float
    hip: float
    waist: float
    armpit: float
    neck: float
    neck_z: float
    shoulder_x: float
    elbow_x: float
    wrist_x: float
    crown: float


@dataclass(frozen=True)
class Wearer:
    """a_pose (19158, 3) hm08 in its own pose; rest: the same person at rest; worn: points (N, 3) of inner garments,
    which the envelope clears."""

    pack: Pack
    a_pose: Floats
    rest: RestBody
    worn: tuple[Floats, ...] = ()

    @classmethod
    def of(cls, pack: Pack, macro: dict[str, float], local: dict[str, float], people: str = "adults") -> Wearer:
        """The person of these sliders; people: whose shape space gives the betas, 'adults' or 'children'."""
        a_pose = pack.shape(macro, local)
        return cls(pack, a_pose, rest_body(pack, a_pose, people))

    @cached_property
    def skin_count(self) -> int:
        """How many of hm08's vertices are skin."""
        return int(self.pack.base["body_vert_count"])

    @cached_property
    def skin(self) -> Floats:
        """Skin vertices (13380, 3) at rest."""
        return self.rest.vertices[: self.skin_count]

    @cached_property
    def skin_faces(self) -> Ints:
        """Triangles (F, 3) of the whole skin."""
        quads = self.pack.base["faces"]
        quads = quads[(quads < self.skin_count).all(1)]
        return split_quads(quads, np.zeros((*quads.shape, 2), np.float32))[0]

    @cached_property
    def skin_normals(self) -> Floats:
        """Unit normals (13380, 3)."""
        return vertex_normals(self.skin, self.skin_faces)

    @cached_property
    def envelope(self) -> Envelope:
        """Convex outline of trunk and legs."""
        return envelope(self.rest, self.skin_count, self.worn)

    @cached_property
    def _samples(self) -> tuple[cKDTree, Floats, Floats]:
        # Face centres too: edges of 2 cm are too wide for vertices alone.
        faces = self.skin_faces[::2]
        points = np.concatenate([self.skin, self.skin[faces].mean(1)])
        normals = np.concatenate([self.skin_normals, self.skin_normals[faces].mean(1)])
        return cKDTree(points), points, normals

    def off_skin(self, points: NDArray) -> tuple[Floats, Floats]:
        """Signed distance (N,) along the nearest skin normal, and that normal (N, 3), of points (N, 3)."""
        tree, at, normals = self._samples
        near = tree.query(points)[1]
        return ((points - at[near]) * normals[near]).sum(1).astype(np.float32), normals[near]

    @cached_property
    def measures(self) -> Measures:
        """Where garments begin and end."""
        joints = self.rest.joints
        skin = self.skin
        middle = skin[(np.abs(skin[:, 0]) < 0.004) & (skin[:, 1] < joints[3, 1])]
        crotch = float(middle[:, 1].min())
        size = float(joints[12, 1] - joints[7, 1]) / 1.33
        return Measures(
            size,
            float(skin[:, 1].min()),
            float(joints[7, 1]),
            float(joints[4, 1]),
            crotch,
            float(joints[1, 1]),
            float(joints[3, 1]),
            float(joints[16, 1]) - 0.075 * size,
            float(joints[12, 1]),
            float(joints[12, 2]),
            float(joints[16, 0]),
            float(joints[18, 0]),
            float(joints[20, 0]),
            float(skin[:, 1].max()),
        )
