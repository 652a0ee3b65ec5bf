"""Cut cloth along smooth lines, find its borders and grow new cloth from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from likeness.synthesis.figure import Floats, Ints
from likeness.synthesis.pieces import Piece

# A vertex nearer to the cut than this share of an edge moves onto it, so that no slivers arise.
SNAP = 0.25
# Fields are lengths in metres or of their size: what is less than this is rounding.
ON_LINE = 1e-8


def clip(piece: Piece, field: NDArray) -> Piece:
    """The part of a piece where field (V,) >= 0; the new border lies on the field's zero line."""
    if (field >= 0).all():
        return piece
    field = np.where(np.abs(field) < ON_LINE, 0.0, np.asarray(field, np.float64))
    piece, field = _snapped(piece, field)
    sign = np.sign(field)[piece.faces]
    whole = (sign.min(1) >= 0) & (sign.max(1) > 0)
    parts = [_Part(piece.faces[whole], piece.corner_uvs[whole])]
    fresh = _Fresh(piece, field)
    # One corner outside: the rest is a quad, or a triangle where another corner lies on the line.
    for outside in range(3):
        a, b, c = outside, (outside + 1) % 3, (outside + 2) % 3
        one = (sign[:, a] < 0) & (sign[:, b] >= 0) & (sign[:, c] >= 0) & (np.maximum(sign[:, b], sign[:, c]) > 0)
        parts.extend(fresh.quad(np.flatnonzero(one & (sign[:, b] > 0) & (sign[:, c] > 0)), a, b, c))
        parts.extend(fresh.beside_line(np.flatnonzero(one & ((sign[:, b] == 0) | (sign[:, c] == 0))), a, b, c, sign))
        two = (sign[:, a] > 0) & (sign[:, b] < 0) & (sign[:, c] < 0)
        parts.extend(fresh.corner(np.flatnonzero(two), a, b, c))
    grown = fresh.grown(piece)
    faces = np.concatenate([part.faces for part in parts]).astype(np.int32)
    uvs = np.concatenate([part.uvs for part in parts]).astype(np.float32)
    every = Piece(grown.vertices, faces, uvs, grown.skin_joints, grown.skin_weights, grown.slack)
    return every.only(np.ones(len(faces), bool))


class _Part:
    def __init__(self, faces: NDArray, uvs: NDArray) -> None:
        self.faces, self.uvs = faces, uvs


class _Fresh:
    """Vertices that a cut adds, one for each crossed edge."""

    def __init__(self, piece: Piece, field: NDArray) -> None:
        self.piece, self.field, self.count = piece, field, len(field)
        edges = np.sort(np.concatenate([piece.faces[:, [0, 1]], piece.faces[:, [1, 2]], piece.faces[:, [2, 0]]]), 1)
        crossed = edges[field[edges[:, 0]] * field[edges[:, 1]] < 0].astype(np.int64)
        self.keys = np.unique(crossed[:, 0] * self.count + crossed[:, 1])

    def _split(self, face: NDArray, a: int, b: int) -> tuple[NDArray, NDArray]:
        """New vertices on the edge a-b of faces, and their UVs."""
        start, end = (self.piece.faces[face, k].astype(np.int64) for k in (a, b))
        key = np.minimum(start, end) * self.count + np.maximum(start, end)
        share = (self.field[start] / (self.field[start] - self.field[end]))[:, None]
        uv = self.piece.corner_uvs[face, a] * (1 - share) + self.piece.corner_uvs[face, b] * share
        return self.count + np.searchsorted(self.keys, key), uv

    def quad(self, face: NDArray, a: int, b: int, c: int) -> list[_Part]:
        """Corner a is cut off."""
        ab, ab_uv = self._split(face, a, b)
        ca, ca_uv = self._split(face, c, a)
        vb, vc = self.piece.faces[face, b], self.piece.faces[face, c]
        ub, uc = self.piece.corner_uvs[face, b], self.piece.corner_uvs[face, c]
        return [
            _Part(np.stack([ab, vb, vc], 1), np.stack([ab_uv, ub, uc], 1)),
            _Part(np.stack([ab, vc, ca], 1), np.stack([ab_uv, uc, ca_uv], 1)),
        ]

    def beside_line(self, face: NDArray, a: int, b: int, c: int, sign: NDArray) -> list[_Part]:
        """Corner a is cut off and one other lies on the line."""
        found = []
        for on, inside in ((b, c), (c, b)):
            mine = face[sign[face, on] == 0]
            new, uv = self._split(mine, inside, a)
            faces, uvs = self.piece.faces[mine].astype(np.int64), self.piece.corner_uvs[mine].copy()
            faces[:, a], uvs[:, a] = new, uv
            found.append(_Part(faces, uvs))
        return found

    def corner(self, face: NDArray, a: int, b: int, c: int) -> list[_Part]:
        """Only corner a stays."""
        ab, ab_uv = self._split(face, a, b)
        ac, ac_uv = self._split(face, a, c)
        return [
            _Part(
                np.stack([self.piece.faces[face, a], ab, ac], 1),
                np.stack([self.piece.corner_uvs[face, a], ab_uv, ac_uv], 1),
            )
        ]

    def grown(self, piece: Piece) -> Piece:
        """The piece with the new vertices appended."""
        start, end = self.keys // self.count, self.keys % self.count
        share = (self.field[start] / (self.field[start] - self.field[end])).astype(np.float32)
        nearer = np.where(share < 0.5, start, end)
        mixed = share[:, None]

        def blended(values: Floats) -> Floats:
            return values[start] * (1 - mixed) + values[end] * mixed

        slack = piece.slack[start] * (1 - share) + piece.slack[end] * share
        return Piece(
            np.concatenate([piece.vertices, blended(piece.vertices)]).astype(np.float32),
            piece.faces,
            piece.corner_uvs,
            np.concatenate([piece.skin_joints, piece.skin_joints[nearer]]),
            np.concatenate([piece.skin_weights, piece.skin_weights[nearer]]),
            np.concatenate([piece.slack, slack]).astype(np.float32),
        )


def _snapped(piece: Piece, field: NDArray) -> tuple[Piece, NDArray]:
    """Vertices close to the line moved onto it."""
    faces = piece.faces
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    start, end = edges[:, 0], edges[:, 1]
    crossed = field[start] * field[end] < 0
    start, end = start[crossed], end[crossed]
    share = field[start] / (field[start] - field[end])
    near = share < SNAP
    start, end, share = start[near], end[near], share[near]
    order = np.lexsort((end, -share, start))
    start, end, share = start[order], end[order], share[order]
    vertices = piece.vertices.copy()
    # The last write of each vertex wins: the nearest crossing.
    vertices[start] = piece.vertices[start] + share[:, None].astype(np.float32) * (
        piece.vertices[end] - piece.vertices[start]
    )
    field = field.copy()
    field[start] = 0
    return piece.moved(vertices), field


def border_edges(faces: Ints) -> Ints:
    """Directed edges (E, 2) of faces (F, 3) that no other face shares."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    low, high = np.sort(edges, 1).T
    key = low.astype(np.int64) * (int(faces.max()) + 1) + high
    _, inverse, count = np.unique(key, return_inverse=True, return_counts=True)
    return edges[count[inverse.reshape(-1)] == 1]


def border_loops(faces: Ints) -> list[NDArray[np.int64]]:
    """Closed borders as vertex loops, in the direction of their faces, longest first."""
    following = {int(a): int(b) for a, b in border_edges(faces)}
    loops = []
    while following:
        start = next(iter(following))
        loop = [start]
        here = following.pop(start)
        while here != start and here in following:
            loop.append(here)
            here = following.pop(here)
        if here == start and len(loop) > 2:
            loops.append(np.array(loop))
    return sorted(loops, key=len, reverse=True)


def grow(piece: Piece, loop: NDArray[np.int64], rows: Sequence[NDArray]) -> Piece:
    """Cloth grown from a border: rows of positions (n, 3) for its n vertices, nearest first; UVs are left at zero."""
    if not len(rows):
        return piece
    count, size = len(piece.vertices), len(loop)
    ring = np.concatenate([loop, *(count + k * size + np.arange(size) for k in range(len(rows)))])
    fresh = _strip_faces(ring.reshape(len(rows) + 1, size))
    repeat = np.tile(loop, len(rows))
    return Piece(
        np.concatenate([piece.vertices, *rows]).astype(np.float32),
        np.concatenate([piece.faces, fresh]).astype(np.int32),
        np.concatenate([piece.corner_uvs, np.zeros((len(fresh), 3, 2), np.float32)]),
        np.concatenate([piece.skin_joints, piece.skin_joints[repeat]]),
        np.concatenate([piece.skin_weights, piece.skin_weights[repeat]]),
        np.concatenate([piece.slack, piece.slack[repeat]]),
    )


def flap(piece: Piece, loop: NDArray[np.int64], rows: Sequence[NDArray]) -> Piece:
    """Cloth folded back over a border: as `grow` from copies of the border in the first row, facing the other way."""
    size = len(loop)
    repeat = np.tile(loop, len(rows))
    faces = _strip_faces(np.arange(size * len(rows)).reshape(len(rows), size))[:, ::-1]
    return Piece(
        np.concatenate(rows).astype(np.float32),
        faces.astype(np.int32),
        np.zeros((len(faces), 3, 2), np.float32),
        piece.skin_joints[repeat],
        piece.skin_weights[repeat],
        piece.slack[repeat],
    )


def _strip_faces(rings: NDArray) -> NDArray:
    """Triangles between rings (R, n) of vertices, each closed; the first runs along the faces it continues."""
    right = np.roll(rings, -1, 1)
    first = np.stack([right[:-1], rings[:-1], rings[1:]], 2).reshape(-1, 3)
    second = np.stack([right[:-1], rings[1:], right[1:]], 2).reshape(-1, 3)
    return np.concatenate([first, second])
