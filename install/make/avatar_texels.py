"""The texels of a rigged avatar's atlas as points of its surface, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from skimage.color import lab2rgb, rgb2lab

Array = NDArray[Any]
SIZE = 512
PAD_PX = 8
# Seen texels that a piece needs to be coloured from itself.
ENOUGH = 150
# Groups of SMPL-H joints that are coloured together.
GROUPS = {
    "torso": (0, 3, 6, 9, 12, 13, 14),
    "head": (15,),
    "left_leg": (1, 4),
    "right_leg": (2, 5),
    "left_foot": (7, 10),
    "right_foot": (8, 11),
    "left_arm": (16, 18),
    "right_arm": (17, 19),
    "left_hand": (20, *range(22, 37)),
    "right_hand": (21, *range(37, 52)),
}
NAMES = tuple(GROUPS)


@dataclass
class Texels:
    """Every covered texel of an atlas, N of them.

    row, column (N,); triangle (N,); position, normal (N, 3) in the bind pose; group (N,) index in NAMES; component (N,)
    piece of the mesh; known, mirrored (N,) bool; lab (N, 3) colour.
    """

    row: Array
    column: Array
    triangle: Array
    position: Array
    normal: Array
    group: Array
    component: Array
    known: Array
    mirrored: Array
    lab: Array


@dataclass
class Work:
    """What a fill reads and writes: lab (N, 3) without light, labels (N,) of cloth, out (N, 3) the result; fixed (N,)
    bool stays as it is, sources (N,) bool may be copied from; patterned: the person wears a print that goes round."""

    texels: Texels
    lab: Array
    labels: Array
    out: Array
    fixed: Array
    sources: Array
    patterned: bool


def gather(avatar: dict[str, Array], atlas: Array) -> Texels:
    vertices = np.asarray(avatar["vertices"], float)
    triangles = avatar["triangles"].astype(int)
    uv = avatar["uvs"].astype(float)[avatar["triangle_uv"].astype(int)] / 65535
    seen = avatar["seen"].astype(bool)[triangles].all(1)
    mirrored = (avatar["seen"].astype(bool) | avatar["mirrored"].astype(bool))[triangles].all(1)
    # Seen triangles are drawn last, so that they keep a texel that two share.
    triangle, bary = rasterize(uv, np.argsort(seen.astype(int), kind="stable"), SIZE)
    row, column = np.nonzero(triangle >= 0)
    t, b = triangle[row, column], bary[row, column]
    corner = triangles[t]
    joint = avatar["bone_smplh52"].astype(int)[avatar["skin_bones"].astype(int)]
    weight = avatar["skin_weights"].astype(float)
    group_of = np.zeros(52, int)
    for index, joints in enumerate(GROUPS.values()):
        group_of[list(joints)] = index
    votes = np.zeros((len(vertices), len(NAMES)))
    for k in range(4):
        np.add.at(votes, (np.arange(len(vertices)), group_of[joint[:, k]]), weight[:, k])
    group = (votes[corner] * b[..., None]).sum(1).argmax(1)
    # Tails of coats hang on the pelvis but belong to what covers the legs.
    place = (vertices[corner] * b[..., None]).sum(1)
    low = (group == NAMES.index("torso")) & (place[:, 1] < avatar["joints52"][1, 1] - 0.03)
    group[low] = np.where(place[low, 0] > 0, NAMES.index("left_leg"), NAMES.index("right_leg"))
    # So do hems of trousers that move with the feet.
    for side in ("left", "right"):
        hem = (group == NAMES.index(f"{side}_foot")) & (place[:, 1] > avatar["joints52"][7:9, 1].mean() + 0.01)
        group[hem] = NAMES.index(f"{side}_leg")
    # A head's neck hangs on the torso's bones, but it is skin and hair like the rest of the head.
    head = (np.array([str(n) for n in avatar["material_names"]]) == "head")[avatar["material"].astype(int)[t]]
    group[head] = NAMES.index("head")
    normal = (_normals(vertices, triangles)[corner] * b[..., None]).sum(1)
    return Texels(
        row,
        column,
        t,
        place,
        normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9),
        group,
        pieces(triangles, len(vertices))[corner[:, 0]],
        seen[t],
        mirrored[t] & ~seen[t],
        rgb2lab(atlas[row, column][None] / 255.0)[0],
    )


def rasterize(uv: Array, order: Array, size: int) -> tuple[Array, Array]:
    """Triangle (size, size) i32, -1 = none, and barycentric coordinates (size, size, 3) of every texel; of triangles
    that overlap the last in `order` wins. uv: (F, 3, 2) in 0..1, V up."""
    triangle = np.full((size, size), -1, np.int32)
    bary = np.zeros((size, size, 3))
    place = np.stack([uv[..., 0] * size - 0.5, (1 - uv[..., 1]) * size - 0.5], -1)
    for index in order:
        a, b, c = place[index]
        low = np.maximum(np.floor(place[index].min(0)).astype(int), 0)
        high = np.minimum(np.ceil(place[index].max(0)).astype(int), size - 1)
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
        area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
        if abs(area) < 1e-9 or not x.size:
            continue
        v = ((x - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (y - a[1])) / area
        w = ((b[0] - a[0]) * (y - a[1]) - (x - a[0]) * (b[1] - a[1])) / area
        u = 1 - v - w
        inside = (u >= -1e-6) & (v >= -1e-6) & (w >= -1e-6)
        triangle[y[inside], x[inside]] = index
        bary[y[inside], x[inside]] = np.stack([u, v, w], -1)[inside]
    return triangle, bary


def pieces(triangles: Array, count: int) -> Array:
    """Connected piece (count,) of every vertex."""
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
    graph = sparse.coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return sparse.csgraph.connected_components(graph, directed=False)[1]


def _normals(vertices: Array, triangles: Array) -> Array:
    corner = vertices[triangles]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, triangles[:, k], face)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def write(texels: Texels, lab: Array) -> Array:
    """The atlas with new texels and islands padded by PAD_PX; what lies farther off keeps a plain mean."""
    covered = np.zeros((SIZE, SIZE), bool)
    covered[texels.row, texels.column] = True
    rgb = np.zeros((SIZE, SIZE, 3))
    rgb[texels.row, texels.column] = lab2rgb(np.clip(lab, (0, -90, -90), (100, 90, 90))[None])[0]
    distance, near = ndimage.distance_transform_edt(~covered, return_indices=True)
    rgb = rgb[near[0], near[1]]
    far = distance > PAD_PX
    rgb[far] = rgb[covered].mean(0)
    return (np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8)


def mask(texels: Texels, known: Array) -> Array:
    out = np.zeros((SIZE, SIZE), bool)
    out[texels.row[known], texels.column[known]] = True
    return out
