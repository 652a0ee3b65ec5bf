"""Pose correctives: what linear blend skinning loses at a bent joint, given back as offsets of the rest vertices.

As in SMPL the offsets are linear in the joints' rotation matrices minus the identity, but each joint moves only the
skin around it, so the directions are kept as rows: one a vertex and joint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Correctives:
    """Rows of directions. vertices, joints: (M,) i32, which vertex moves with which joint's rotation (never the root).

    directions: (M, 3, 9) f32 metres a unit of the rotation feature (R - I, row by row).
    """

    vertices: np.ndarray
    joints: np.ndarray
    directions: np.ndarray

    def offsets(self, rotations: np.ndarray, count: int) -> np.ndarray:
        """Local rotations (J, 3, 3) -> offsets (count, 3) of the rest vertices, metres."""
        features = (rotations - np.eye(3)).reshape(len(rotations), 9).astype(self.directions.dtype)
        moved = np.einsum("mcf,mf->mc", self.directions, features[self.joints])
        return np.stack([np.bincount(self.vertices, moved[:, axis], count) for axis in range(3)], 1)

    def dense(self, count: int, joints: int) -> np.ndarray:
        """SMPL's `posedirs`: (count, 3, 9 (joints - 1)) f32."""
        out = np.zeros((count, joints - 1, 3, 9), np.float32)
        np.add.at(out, (self.vertices, self.joints - 1), self.directions)
        return np.moveaxis(out, 1, 2).reshape(count, 3, -1)

    def mirrored(self, vertex_mirror: np.ndarray, joint_mirror: np.ndarray) -> Correctives:
        """The directions of the mirror image across x = 0, for the (V,) and (J,) left-right permutations."""
        flip = np.array([-1.0, 1, 1], np.float32)
        turned = np.outer(flip, flip).reshape(9)
        directions = self.directions * flip[:, None] * turned
        return Correctives(vertex_mirror[self.vertices], joint_mirror[self.joints].astype(np.int32), directions)

    def both_sides(self, vertex_mirror: np.ndarray, joint_mirror: np.ndarray) -> Correctives:
        """Rows of the left and the middle joints -> those of all joints."""
        left = joint_mirror[self.joints] != self.joints
        other = Correctives(self.vertices[left], self.joints[left], self.directions[left])
        other = other.mirrored(vertex_mirror, joint_mirror)
        return Correctives(
            np.concatenate([self.vertices, other.vertices]),
            np.concatenate([self.joints, other.joints]),
            np.concatenate([self.directions, other.directions]),
        )

    def renamed(self, joint_of: np.ndarray) -> Correctives:
        """The rows for another layout: (J,) new number of every joint, -1 for one that goes."""
        joints = joint_of[self.joints]
        kept = joints >= 0
        return Correctives(self.vertices[kept], joints[kept].astype(np.int32), self.directions[kept])

    def scaled(self, factor: float) -> Correctives:
        """The rows for a body `factor` times as large."""
        return replace(self, directions=(self.directions * np.float32(factor)))

    def of_vertices(self, chosen: np.ndarray) -> Correctives:
        """The rows of the (N,) `chosen` vertices, which are numbered anew in that order."""
        place = np.full(max(int(self.vertices.max(initial=0)), int(chosen.max(initial=0))) + 1, -1, np.int32)
        place[chosen] = np.arange(len(chosen))
        kept = place[self.vertices] >= 0
        return Correctives(place[self.vertices[kept]], self.joints[kept], self.directions[kept])

    def carried(self, corners: np.ndarray, shares: np.ndarray) -> Correctives:
        """The rows of a surface whose vertices are blends of these: corners (N, 3) indices, shares (N, 3)."""
        order = np.argsort(self.vertices, kind="stable")
        start = np.searchsorted(self.vertices[order], corners)
        count = np.searchsorted(self.vertices[order], corners, side="right") - start
        count = np.where(shares > 0, count, 0).reshape(-1)
        pair = np.repeat(np.arange(len(count)), count)
        row = order[np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count) + start.reshape(-1)[pair]]
        vertex, joint = pair // corners.shape[1], self.joints[row]
        moved = self.directions[row] * shares.reshape(-1)[pair, None, None].astype(np.float32)
        # Corners that move with the same joint become one row.
        by = np.lexsort((joint, vertex))
        vertex, joint = vertex[by], joint[by]
        first = np.flatnonzero(np.r_[True, (np.diff(vertex) != 0) | (np.diff(joint) != 0)][: len(vertex)])
        total = np.add.reduceat(moved[by], first, axis=0) if len(first) else moved
        return Correctives(vertex[first].astype(np.int32), joint[first].astype(np.int32), total)

    def above(self, least_m: float) -> Correctives:
        """The rows with an entry over `least_m` metres."""
        kept = np.abs(self.directions).max(axis=(1, 2), initial=0.0) > least_m
        return Correctives(self.vertices[kept], self.joints[kept], self.directions[kept])


@dataclass(frozen=True)
class DenseCorrectives:
    """SMPL's own correctives, where every joint but the root moves every vertex.

    posedirs: (9 (J - 1), 3 V) f32 metres a unit of the rotation features; each row holds x, y and z of every vertex.
    """

    posedirs: np.ndarray

    def offsets(self, rotations: np.ndarray, count: int) -> np.ndarray:
        """Local rotations (J, 3, 3) -> offsets (count, 3) of the rest vertices, metres."""
        features = (rotations[1:] - np.eye(3)).reshape(-1).astype(self.posedirs.dtype)
        return (features @ self.posedirs).reshape(count, 3)

    def dense(self, count: int, joints: int) -> np.ndarray:
        """SMPL's `posedirs`: (count, 3, 9 (joints - 1)) f32."""
        return np.ascontiguousarray(self.posedirs.T).reshape(count, 3, 9 * (joints - 1))

    def renamed(self, joint_of: np.ndarray) -> DenseCorrectives:
        """The same for another layout: (J,) new number of every joint, -1 for one that goes."""
        joints = joint_of[1:]
        blocks = self.posedirs.reshape(len(joints), 9, -1)
        out = np.zeros((int(joints.max()), *blocks.shape[1:]), self.posedirs.dtype)
        np.add.at(out, joints[joints >= 0] - 1, blocks[joints >= 0])
        return DenseCorrectives(out.reshape(-1, blocks.shape[2]))

    def scaled(self, factor: float) -> DenseCorrectives:
        """The same for a body `factor` times as large."""
        return DenseCorrectives(self.posedirs * np.float32(factor))

    def rows(self) -> Correctives:
        """The same as rows, one for every vertex and joint."""
        joints, count = len(self.posedirs) // 9, self.posedirs.shape[1] // 3
        directions = self.posedirs.reshape(joints, 9, count, 3).transpose(0, 2, 3, 1).reshape(-1, 3, 9)
        joint, vertex = np.divmod(np.arange(joints * count, dtype=np.int32), count)
        return Correctives(vertex, joint + 1, directions)


#: What a body without correctives has.
NO_CORRECTIVES = Correctives(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 3, 9), np.float32))
