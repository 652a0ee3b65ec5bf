"""Pieces of clothing as triangle meshes at rest, and the pack's items fitted to a person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from likeness.synthesis.archive import Arrays
from likeness.synthesis.figure import Bytes, Floats, Ints, Shorts, vertex_normals
from likeness.synthesis.pack import Pack, fit_item
from likeness.synthesis.skeleton import RestBody, binding_of, dense_weights, strongest_four
from likeness.synthesis.subdivision import catmull_clark, split_quads

# A mesh of so many vertices is fine enough as it is.
FINE = 6000


@dataclass(frozen=True)
class Piece:
    """A triangle mesh at rest. vertices (V, 3) m; faces (F, 3); corner_uvs (F, 3, 2); skin_joints, skin_weights (V, 4);
    slack (V,) 0..1 as in `Layer`."""

    vertices: Floats
    faces: Ints
    corner_uvs: Floats
    skin_joints: Shorts
    skin_weights: Floats
    slack: Floats

    @property
    def normals(self) -> Floats:
        """Unit vertex normals (V, 3)."""
        return vertex_normals(self.vertices, self.faces)

    def moved(self, vertices: NDArray) -> Piece:
        """The same piece with other vertices."""
        return replace(self, vertices=np.asarray(vertices, np.float32))

    def with_slack(self, slack: NDArray) -> Piece:
        """The same piece with other slack (V,)."""
        return replace(self, slack=np.clip(slack, 0, 1).astype(np.float32))

    def only(self, faces: NDArray[np.bool_]) -> Piece:
        """The faces (F,) bool that stay, without unused vertices."""
        kept = self.faces[faces]
        used = np.zeros(len(self.vertices), bool)
        used[kept] = True
        compact = np.cumsum(used) - 1
        return Piece(
            self.vertices[used],
            compact[kept].astype(np.int32),
            self.corner_uvs[faces],
            self.skin_joints[used],
            self.skin_weights[used],
            self.slack[used],
        )


def joined(pieces: Iterable[Piece]) -> Piece:
    """Several pieces as one."""
    pieces = tuple(pieces)
    starts = np.cumsum([0, *(len(p.vertices) for p in pieces)])
    return Piece(
        np.concatenate([p.vertices for p in pieces]),
        np.concatenate([p.faces + start for p, start in zip(pieces, starts, strict=False)]).astype(np.int32),
        np.concatenate([p.corner_uvs for p in pieces]),
        np.concatenate([p.skin_joints for p in pieces]),
        np.concatenate([p.skin_weights for p in pieces]),
        np.concatenate([p.slack for p in pieces]),
    )


@dataclass(frozen=True)
class Pattern:
    """What of an item is the same for everybody.

    refine (V', V): sparse map from the item's vertices to the drawn ones. shares (V, 3) f32 and ref (V, 3): how each
    vertex hangs on hm08. offset (V, 3) dm with scale_ref (3, 2) and scale_div (3,).
    """

    ref: NDArray[np.int64]
    shares: Floats
    offset: Floats
    scale_ref: NDArray[np.int64]
    scale_div: Floats
    refine: sparse.csr_matrix
    faces: Ints
    corner_uvs: Floats
    skin_joints: Shorts
    skin_weights: Floats
    color: Bytes
    alpha: Bytes | None

    def fitted(self, a_pose: Floats, rest: RestBody) -> Piece:
        """The item on a person whose hm08 vertices (19158, 3) in the A pose are given."""
        at = self.scale_ref
        size = np.array([abs(a_pose[at[a, 0], a] - a_pose[at[a, 1], a]) * 10 / self.scale_div[a] for a in range(3)])
        bound = np.einsum("nk,nkc->nc", self.shares, a_pose[self.ref]) + 0.1 * self.offset * size
        vertices = rest.to_rest(self.refine @ bound, self.skin_joints, self.skin_weights)
        slack = np.zeros(len(vertices), np.float32)
        return Piece(vertices, self.faces, self.corner_uvs, self.skin_joints, self.skin_weights, slack)


@lru_cache(maxsize=160)
def pattern(pack: Pack, item_id: str, texture: str | None = None, parts: str = "all", refined: bool = True) -> Pattern:
    """An item prepared for fitting. parts: 'all', or 'upper' / 'lower' of a full suit."""
    item = pack.item(item_id, texture)
    arrays = item.arrays
    if parts != "all":
        chosen = _half(pack, arrays, parts)[arrays["faces"][:, 0]]
        arrays = {**arrays, "faces": arrays["faces"][chosen], "face_uv": arrays["face_uv"][chosen]}
    return _pattern(pack, arrays, item.color, item.alpha, refined)


def skin_pattern(pack: Pack, vertices: NDArray[np.bool_]) -> Pattern:
    """The skin's faces all of whose vertices (19158,) bool are chosen, refined, as an item."""
    base = pack.base
    quads = base["faces"]
    mine = (quads < int(base["body_vert_count"])).all(1) & vertices[quads].all(1)
    return _on_base(pack, mine)


@lru_cache(maxsize=2)
def tights(pack: Pack) -> Pattern:
    """hm08's own tights, a smooth closed suit from the wrists and the neck to the toes, as an item."""
    names = [str(name) for name in pack.base["group_names"]]
    return _on_base(pack, pack.base["face_group"] == names.index("helper-tights"))


def _on_base(pack: Pack, mine: NDArray[np.bool_]) -> Pattern:
    """Some faces (Q,) bool of the base mesh itself, refined, as an item."""
    base = pack.base
    used, compact = np.unique(base["faces"][mine], return_inverse=True)
    arrays = {
        "faces": compact.reshape(-1, 4),
        "face_uv": base["face_uv"][mine],
        "uvs": base["uvs"],
        "ref": np.repeat(used[:, None], 3, 1),
        "weight": np.tile(np.array([1.0, 0, 0], np.float32), (len(used), 1)),
        "offset": np.zeros((len(used), 3), np.float32),
        "scale_ref": np.zeros((3, 2), np.int64),
        "scale_div": np.ones(3, np.float32),
    }
    return _pattern(pack, arrays, np.full((2, 2, 3), 128, np.uint8), None, True)


def _pattern(pack: Pack, arrays: Arrays, color: Bytes, alpha: Bytes | None, refined: bool) -> Pattern:
    quads, uvs, count = arrays["faces"], arrays["uvs"][arrays["face_uv"]].astype(np.float32), len(arrays["ref"])
    if refined and count < FINE:
        fine = catmull_clark(quads, uvs, count)
        (faces, corner_uvs), refine = fine.triangles(), fine.matrix
    else:
        (faces, corner_uvs), refine = split_quads(quads, uvs), sparse.identity(count, format="csr", dtype=np.float32)
    used, compact = np.unique(faces, return_inverse=True)
    refine = refine[used].tocsr()
    binding = binding_of(pack)
    shares = np.abs(arrays["weight"]) + 1e-9
    shares = shares / shares.sum(1, keepdims=True)
    body = dense_weights(binding.skin_joints, binding.skin_weights)
    coarse = np.einsum("nk,nkj->nj", shares, body[arrays["ref"]])
    joints, weights = strongest_four(np.asarray(refine @ coarse))
    return Pattern(
        arrays["ref"].astype(np.int64),
        arrays["weight"].astype(np.float32),
        arrays["offset"].astype(np.float32),
        arrays["scale_ref"].astype(np.int64),
        arrays["scale_div"].astype(np.float32),
        refine,
        compact.reshape(-1, 3).astype(np.int32),
        corner_uvs,
        joints,
        weights,
        color,
        alpha,
    )


def _half(pack: Pack, arrays: Arrays, parts: str) -> NDArray[np.bool_]:
    """Vertices (V,) of a suit's upper or lower garment: connected shells, told apart by where they end."""
    quads, count = arrays["faces"], len(arrays["ref"])
    edges = np.concatenate([quads[:, [i, (i + 1) % 4]] for i in range(4)])
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    shells, label = connected_components(graph, directed=False)
    height = fit_item(arrays, pack.base["verts"])[:, 1]
    upper = np.array([height[label == shell].max() > 0.3 for shell in range(shells)])
    return upper[label] if parts == "upper" else ~upper[label]


@lru_cache(maxsize=160)
def separable(pack: Pack, item_id: str) -> bool:
    """Whether a full suit consists of an upper and a lower garment that are not sewn together."""
    arrays = pack.item(item_id).arrays
    upper, lower = (_half(pack, arrays, parts) for parts in ("upper", "lower"))
    height = fit_item(arrays, pack.base["verts"])[:, 1]
    return bool(upper.any() and lower.any() and height[upper].min() > -0.3 and height[lower].min() < -0.05)
