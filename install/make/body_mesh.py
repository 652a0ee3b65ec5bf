"""The outer skin of MakeHuman's base mesh (hm08, CC0): mouth bag and eye sockets cut out, their rims closed.

Draping, inside tests and texture baking all need one closed surface without hidden pockets. The base mesh keeps the
mouth's lining and each eye socket as texture islands of their own, so the cuts follow its texture seams: the lips are
zipped and each eye gets a cap that lies on the eyeball.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

#: Where the rings of an eye's cap lie between the lid (0) and the middle of the eye (1).
CAP_STEPS = (0.3, 0.65)
#: Faces of the base mesh's texture islands that are cut out: the mouth's lining and the two eye sockets.
MOUTH_FACES, SOCKET_FACES = 398, 293


@dataclass(frozen=True)
class BaseMesh:
    """MakeHuman's base mesh, unshaped.

    points: (19158, 3) metres, Y up, +Z ahead. quads: (Q, 4) the skin's. quad_uv: (Q, 4) indices into uvs (T, 2), V up.
    eyeballs: vertices of the left and the right eyeball. markers: name of a joint cube -> its vertices.
    """

    points: np.ndarray
    quads: np.ndarray
    quad_uv: np.ndarray
    uvs: np.ndarray
    eyeballs: tuple[np.ndarray, np.ndarray]
    markers: dict[str, np.ndarray]


@dataclass(frozen=True)
class EyeCap:
    """How the vertices that close one eye follow the base mesh.

    rim: (R,) base vertices of the lid in order. ball: (B,) base vertices of the eyeball.
    """

    rim: np.ndarray
    ball: np.ndarray

    def vertices(self, base: np.ndarray) -> np.ndarray:
        """Rings from the lid to the middle of the eye, then the middle: (len(CAP_STEPS) * R + 1, 3) metres."""
        rim = base[self.rim]
        centre = base[self.ball].mean(0)
        radius = np.linalg.norm(base[self.ball] - centre, axis=1).mean()
        middle = rim.mean(0)
        middle = centre + (middle - centre) * (radius / np.linalg.norm(middle - centre))
        rings = []
        for step in CAP_STEPS:
            ring = rim + step * (middle - rim)
            outward = ring - centre
            distance = np.linalg.norm(outward, axis=1, keepdims=True)
            # Near the lid a cap that jumped onto the ball would fold, so it reaches the ball gradually.
            blend = min(1.0, step / 0.5)
            rings.append(centre + outward * (1 + blend * (radius / distance - 1)))
        return np.concatenate([*rings, middle[None]])


@dataclass(frozen=True)
class OuterSkin:
    """The kept part of the base mesh and the caps.

    used: (U,) base vertices that stay, in order; the caps' vertices follow them. faces: (F, 3) i32, quads first: the
    pair 2k, 2k + 1 is one quad for k < quads. uvs: (T, 2) and face_uv: (F, 3). mirror: (V,) left-right permutation.
    cap_source: (C,) base vertex whose skin weights a cap vertex takes. mouth_corners: (2,) outer vertices, left, right.
    """

    used: np.ndarray
    caps: tuple[EyeCap, EyeCap]
    cap_source: np.ndarray
    faces: np.ndarray
    quads: int
    uvs: np.ndarray
    face_uv: np.ndarray
    mirror: np.ndarray
    mouth_corners: np.ndarray

    def vertices(self, base: np.ndarray) -> np.ndarray:
        """Base mesh (19158, 3) -> outer skin (V, 3)."""
        return np.concatenate([base[self.used], self.caps[0].vertices(base), self.caps[1].vertices(base)])


def uv_islands(face_uv: np.ndarray, count: int) -> np.ndarray:
    """(F, 4) texture indices -> (F,) island of every face."""
    edges = np.concatenate([np.stack([face_uv[:, i], face_uv[:, (i + 1) % 4]], 1) for i in range(4)])
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1][face_uv[:, 0]]


def rim_of(faces: np.ndarray) -> np.ndarray:
    """The single boundary loop of a patch of quads, in order, starting anywhere."""
    edges = np.concatenate([np.stack([faces[:, i], faces[:, (i + 1) % 4]], 1) for i in range(4)])
    seen = Counter(tuple(sorted(edge)) for edge in edges.tolist())
    following = {a: b for a, b in edges.tolist() if seen[(min(a, b), max(a, b))] == 1}
    loop = [next(iter(following))]
    while len(loop) < len(following):
        loop.append(following[loop[-1]])
    if following[loop[-1]] != loop[0] or len(set(loop)) != len(loop):
        raise ValueError("the patch has more than one rim")
    return np.array(loop)


def mirror_of(points: np.ndarray) -> np.ndarray:
    """(N, 3) -> (N,) permutation that pairs every point with its mirror image across x = 0."""
    distance, pair = cKDTree(points).query(points * [-1, 1, 1])
    if distance.max() > 1e-5 or not (pair[pair] == np.arange(len(points))).all():
        raise ValueError("the mesh is not symmetric")
    return pair


def _split(quads: np.ndarray, mirror: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Cut (Q, 4) quads along the shorter diagonal, mirrored quads alike: (Q, 2, 3) corner numbers 0..3."""
    d02 = np.linalg.norm(points[quads[:, 0]] - points[quads[:, 2]], axis=1)
    d13 = np.linalg.norm(points[quads[:, 1]] - points[quads[:, 3]], axis=1)
    first = d02 <= d13
    where = {tuple(sorted(q)): i for i, q in enumerate(quads.tolist())}
    for i, q in enumerate(quads.tolist()):
        other = where[tuple(sorted(mirror[q].tolist()))]
        if other > i and abs(d02[i] - d13[i]) < 1e-6:
            cut = {q[0], q[2]} if first[i] else {q[1], q[3]}
            image = {int(mirror[c]) for c in cut}
            first[other] = image == {quads[other, 0], quads[other, 2]}
    return np.where(first[:, None, None], [[0, 1, 2], [0, 2, 3]], [[0, 1, 3], [1, 2, 3]])


def _zip(loop: np.ndarray, mirror: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Close the slit between two lips: (R,) rim -> (R - 2, 3) triangles with the rim's orientation, symmetric."""
    x = points[loop, 0]
    loop = np.roll(loop, -int(np.argmin(x)))
    x = points[loop, 0]
    turn = int(np.argmax(x))
    chains = [list(loop[: turn + 1]), list(loop[turn:]) + [loop[0]]]
    a, b = chains[0], chains[1][::-1]
    middle = [int(np.argmin(np.abs(points[c, 0]))) for c in (a, b)]
    out = []
    # One half from the corner to the middle, and its mirror image, so that both cheeks get the same triangles.
    i = j = 0
    while i < middle[0] or j < middle[1]:
        take_a = j == middle[1] or (i < middle[0] and points[a[i + 1], 0] <= points[b[j + 1], 0])
        if take_a:
            face = (a[i], a[i + 1], b[j])
            i += 1
        else:
            face = (a[i], b[j + 1], b[j])
            j += 1
        if len(set(face)) == 3:
            out.append(face)
    half = np.array(out)
    return np.concatenate([half, mirror[half][:, ::-1]])


def _cap_faces(rim: np.ndarray, first: int) -> np.ndarray:
    """Triangles between the rim (outer vertex numbers, in order) and cap vertices numbered from `first`."""
    count = len(rim)
    rings = [rim, *(np.arange(first + k * count, first + (k + 1) * count) for k in range(len(CAP_STEPS)))]
    out = []
    for outer, inner in pairwise(rings):
        next_outer, next_inner = np.roll(outer, -1), np.roll(inner, -1)
        out += [np.stack([outer, next_outer, next_inner], 1), np.stack([outer, next_inner, inner], 1)]
    middle = np.full(count, first + len(CAP_STEPS) * count)
    out.append(np.stack([rings[-1], np.roll(rings[-1], -1), middle], 1))
    return np.concatenate(out)


def _cap_uvs(uvs: np.ndarray, rim_uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Texture points for one cap inside the lid's hole: (T, 2), (R,) -> (T', 2) and the cap's (C,) indices."""
    rim = uvs[rim_uv]
    middle = rim.mean(0)
    new = np.concatenate([*(rim + step * (middle - rim) for step in CAP_STEPS), middle[None]])
    return np.concatenate([uvs, new]), np.arange(len(uvs), len(uvs) + len(new))


def build_outer_skin(base: BaseMesh) -> OuterSkin:
    """Cut the hidden linings out of the base mesh, close the rims, and split quads alike on both sides."""
    points, quads, quad_uv = base.points, base.quads, base.quad_uv
    island = uv_islands(quad_uv, len(base.uvs))
    patches = [np.flatnonzero(island == k) for k in np.unique(island)]
    mouth = next(p for p in patches if len(p) == MOUTH_FACES)
    sockets = sorted((p for p in patches if len(p) == SOCKET_FACES), key=lambda p: -points[quads[p], 0].mean())
    keep = np.setdiff1d(np.arange(len(quads)), np.concatenate([mouth, *sockets]))
    used = np.unique(quads[keep])
    mirror = np.arange(len(points))
    mirror[used] = used[mirror_of(points[used])]
    outer = np.full(len(points), -1)
    outer[used] = np.arange(len(used))

    left_rim = rim_of(quads[sockets[0]])
    rims = (left_rim, mirror[left_rim])
    caps = tuple(EyeCap(rim, ball) for rim, ball in zip(rims, base.eyeballs, strict=True))
    size = len(left_rim) * len(CAP_STEPS) + 1
    left_cap, right_cap = np.arange(size) + len(used), np.arange(size) + len(used) + size
    pairing = np.concatenate([outer[mirror[used]], right_cap, left_cap])

    cut = _split(quads[keep], mirror, points)
    skin = np.take_along_axis(quads[keep][:, None, :], cut, 2).reshape(-1, 3)
    skin_uv = np.take_along_axis(quad_uv[keep][:, None, :], cut, 2).reshape(-1, 3)
    lips = _zip(rim_of(quads[mouth]), mirror, points)
    left_faces = _cap_faces(outer[left_rim], len(used))
    closing = np.concatenate([outer[lips], left_faces, pairing[left_faces][:, ::-1]])

    head = max((p for p in patches if points[quads[p], 1].min() > 0.6), key=len)
    texture = np.full(len(used) + 2 * size, -1)
    texture[outer[quads[head]].reshape(-1)] = quad_uv[head].reshape(-1)
    uvs = base.uvs
    for rim, cap in zip(rims, (left_cap, right_cap), strict=True):
        uvs, texture[cap] = _cap_uvs(uvs, texture[outer[rim]])
    corner = [int(lips.reshape(-1)[pick(points[lips.reshape(-1), 0])]) for pick in (np.argmax, np.argmin)]
    source = [np.append(np.tile(rim, len(CAP_STEPS)), rim[0]) for rim in rims]
    return OuterSkin(
        used=used,
        caps=(caps[0], caps[1]),
        cap_source=np.concatenate(source),
        faces=np.concatenate([outer[skin], closing]).astype(np.int32),
        quads=len(keep),
        uvs=uvs,
        face_uv=np.concatenate([skin_uv, texture[closing]]),
        mirror=pairing,
        mouth_corners=outer[corner],
    )
