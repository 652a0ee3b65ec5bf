"""Meshes in an order that packs well: faces in fans, vertices and UVs numbered as the faces first use them."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
#: Per-vertex and per-face arrays of an avatar that follow the new order.
BY_VERTEX = ("vertices", "skin_bones", "skin_weights", "seen", "mirrored")
BY_FACE = ("material",)


def in_fans(triangles: Integers) -> tuple[Integers, Integers]:
    """Triangles (F, 3) as fans round one vertex after the other, each turned so that the fan's centre comes first.

    Where it can be, a triangle's second corner is the third of the one before. Also the old numbers (F,) of the new."""
    ring: list[list[tuple[int, int, int]]] = [[] for _ in range(int(triangles.max()) + 1)]
    for face, corners in enumerate(triangles.tolist()):
        for turn in range(3):
            ring[corners[turn]].append((corners[(turn + 1) % 3], corners[(turn + 2) % 3], face))
    done = [False] * len(triangles)
    centre = [False] * len(ring)
    walked: list[tuple[int, int, int, int]] = []
    for start in triangles[:, 0].tolist():
        waiting = deque([start])
        while waiting:
            vertex = waiting.popleft()
            if centre[vertex]:
                continue
            centre[vertex] = True
            begin = len(walked)
            _walk_round(vertex, [spoke for spoke in ring[vertex] if not done[spoke[2]]], walked)
            for _, second, third, face in walked[begin:]:
                done[face] = True
                waiting.extend((second, third))
    table = np.array(walked)
    return table[:, :3], table[:, 3]


def _walk_round(vertex: int, left: list[tuple[int, int, int]], walked: list[tuple[int, int, int, int]]) -> None:
    """Append the spokes (second corner, third corner, face) left of a vertex to the walk, neighbours in turn."""
    tip = walked[-1][2] if walked else -1
    while left:
        spoke = next((s for s in left if s[0] == tip), None)
        if spoke is None:
            ends = {s[1] for s in left}
            spoke = next((s for s in left if s[0] not in ends), left[0])
        left.remove(spoke)
        tip = spoke[1]
        walked.append((vertex, *spoke))


def by_first_use(index: Integers) -> tuple[Integers, Integers]:
    """The same index with numbers in order of their first use, and the old numbers of the new."""
    old, first, inverse = np.unique(index, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place[inverse].reshape(index.shape), old[order]


def packed_mesh(arrays: dict[str, NDArray]) -> dict[str, NDArray]:
    """An avatar's arrays in packing order; instead of its faces `first`, `second`, `third` (F,) and `uv_vertex` (U,).

    `third` is the third corner as number of a UV, `second` the second corner minus the third of the face before, and
    every UV belongs to one vertex, `uv_vertex`."""
    pairs = np.stack([arrays["triangle_uv"].ravel(), arrays["triangles"].ravel()], 1).astype(np.int64)
    corner, inverse = np.unique(pairs, axis=0, return_inverse=True)
    faces, face_order = in_fans(inverse.reshape(-1, 3))
    faces, used = by_first_use(faces)
    uv_vertex, vertex_order = by_first_use(corner[used, 1])
    found = dict(arrays)
    del found["triangles"], found["triangle_uv"]
    found |= {key: arrays[key][vertex_order] for key in BY_VERTEX} | {key: arrays[key][face_order] for key in BY_FACE}
    found |= {"uvs": arrays["uvs"][corner[used, 0]], "uv_vertex": uv_vertex.astype(np.int32)}
    columns = faces.astype(np.int32).T
    return found | {"first": columns[0], "second": columns[1] - np.append(0, columns[2, :-1]), "third": columns[2]}
