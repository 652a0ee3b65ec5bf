"""Where each texel of a garment lies on the garment at rest, and cloth coordinates in metres there.

Patterns that are functions of these coordinates run on over the seams of the UV layout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

TRUNK, LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG = range(5)
# Joints of SMPL-H that place the limbs.
_LEFT_HIP, _NECK, _LEFT_SHOULDER, _LEFT_ELBOW, _LEFT_KNEE, _LEFT_ANKLE, _LEFT_WRIST = 1, 12, 16, 18, 4, 7, 20
_BIN_M = 0.02


@dataclass(frozen=True)
class Landmarks:
    """Heights and widths (metres, pelvis joint at the origin) that divide a garment at rest into its pieces."""

    shoulder_x: float = 0.175
    shoulder_y: float = 0.413
    elbow_x: float = 0.418
    wrist_x: float = 0.664
    hip_y: float = -0.044
    knee_y: float = -0.459
    ankle_y: float = -0.855
    neck_y: float = 0.51

    @classmethod
    def from_joints(cls, joints: NDArray) -> Landmarks:
        """Of rest joints (>= 22, 3) in SMPL's order."""
        return cls(
            float(joints[_LEFT_SHOULDER, 0]),
            float(joints[_LEFT_SHOULDER, 1]),
            float(joints[_LEFT_ELBOW, 0]),
            float(joints[_LEFT_WRIST, 0]),
            float(joints[_LEFT_HIP, 1]),
            float(joints[_LEFT_KNEE, 1]),
            float(joints[_LEFT_ANKLE, 1]),
            float(joints[_NECK, 1]),
        )

    @property
    def scale(self) -> float:
        """Size against the average adult, from shoulder to ankle."""
        return (self.shoulder_y - self.ankle_y) / 1.268


@dataclass(frozen=True)
class TexelMap:
    """Every covered texel of a garment. N texels, T faces.

    size: texels a side. index (N,) i32: row * size + column. face (N,) i32. bary (N, 3) f32. position (N, 3) f32
    metres at rest. region (N,) u8. across (N,) f32: metres around the trunk or limb from the middle of its front, the
    same on the back as on the front so that both match at the sides; along (N,) f32: metres along it, growing upwards
    on the trunk and towards the shoulder on arms. turn (N,) f32: angle -pi..pi around the axis, 0 in front (on arms:
    on top). edge_m (N,) f32: distance to the nearest hem. piece (N,) i32: the connected piece, 0 is the highest one.
    fill (size * size,) i32: for every texel the nearest covered one, as an index into N.
    """

    size: int
    index: Ints
    face: Ints
    bary: Floats
    position: Floats
    region: NDArray[np.uint8]
    across: Floats
    along: Floats
    turn: Floats
    edge_m: Floats
    piece: Ints
    fill: Ints
    landmarks: Landmarks

    def image(self, values: NDArray) -> NDArray:
        """Values (N, C) as a picture (size, size, C), the gutters filled with the nearest texel's."""
        return values[self.fill].reshape(self.size, self.size, -1)


def map_texels(
    vertices: Floats,
    faces: Ints,
    corner_uvs: Floats,
    size: int = 512,
    *,
    legs: bool = True,
    joints: NDArray | None = None,
) -> TexelMap:
    """Lay a garment's surface out on its texture.

    vertices (V, 3) f32 metres at rest in T pose, pelvis joint at the origin; faces (F, 3); corner_uvs (F, 3, 2), V up,
    wrapped into 0..1. legs: divide below the crotch into two legs (trousers), or not (skirts, coats).
    """
    landmarks = Landmarks() if joints is None else Landmarks.from_joints(joints)
    index, face, bary = rasterize(corner_uvs, size)
    corner = faces[face]
    position = np.zeros((len(index), 3), np.float32)
    for k in range(3):
        position += bary[:, k : k + 1] * vertices[corner[:, k]]
    vertex_region = _regions(vertices, landmarks, legs)
    region = _regions(position, landmarks, legs)
    across, along, turn = _cloth_coordinates(position, region, vertices, vertex_region, landmarks)
    edge = distance_to_hem(vertices, faces)
    piece = _pieces(vertices, faces)
    return TexelMap(
        size,
        index,
        face,
        bary,
        position,
        region,
        across,
        along,
        turn,
        (bary * edge[corner]).sum(1).astype(np.float32),
        piece[faces[face, 0]],
        _nearest(index, size),
        landmarks,
    )


def rasterize(corner_uvs: Floats, size: int) -> tuple[Ints, Ints, Floats]:
    """Texels under triangles (F, 3, 2): flat index (N,), face (N,), barycentric coordinates (N, 3).

    A texel belongs to the triangle that holds its centre; where islands overlap, to the last of them. Slivers that hold
    no centre get the texel under their middle if nobody else has it.
    """
    shift = np.floor(corner_uvs.mean(1, keepdims=True) + 1e-9)
    uv = (corner_uvs - shift) * np.array([1, -1]) + np.array([0, 1])
    corner = uv * size - 0.5
    low = np.ceil(corner.min(1) - 1e-6).astype(np.int32)
    extent = np.maximum(np.floor(corner.max(1) + 1e-6).astype(np.int32) - low + 1, 0)
    counts = extent[:, 0] * extent[:, 1]
    face = np.repeat(np.arange(len(corner), dtype=np.int32), counts)
    offset = np.arange(len(face), dtype=np.int32) - np.repeat((np.cumsum(counts) - counts).astype(np.int32), counts)
    row, column = np.divmod(offset, np.repeat(np.maximum(extent[:, 0], 1), counts))
    second, third = _shares(corner, low, counts, column, row)
    inside = np.flatnonzero((second > -1e-4) & (third > -1e-4) & (second + third < 1.0001))
    face, second, third = face[inside], second[inside], third[inside]
    x, y = low[face, 0] + column[inside], low[face, 1] + row[inside]
    middle = np.floor(corner.mean(1) + 0.5).astype(np.int64)
    # The middles come first, so that a texel that some triangle truly covers is overwritten by it.
    index = np.concatenate([(middle[:, 1] % size) * size + middle[:, 0] % size, (y % size) * size + x % size])
    owner = np.full(size * size, -1, np.int32)
    owner[index] = np.arange(len(index), dtype=np.int32)
    texels = np.flatnonzero(owner >= 0)
    chosen = owner[texels]
    third_part = np.full(len(corner), 1 / 3, np.float32)
    found = np.concatenate([np.arange(len(corner), dtype=np.int32), face])[chosen]
    v, w = np.concatenate([third_part, second])[chosen], np.concatenate([third_part, third])[chosen]
    return texels.astype(np.int32), found, np.stack([1 - v - w, v, w], 1)


def _shares(
    corner: NDArray, low: Ints, counts: Ints, column: Ints, row: Ints
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Barycentric shares of the second and third corner at texels `column`, `row` of each face's bounding box."""
    (ax, ay), (bx, by), (cx, cy) = (corner[:, k].T for k in range(3))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    # A face without area covers nothing: its shares are kept outside.
    inverse = np.where(np.abs(area) > 1e-9, 1 / np.where(np.abs(area) > 1e-9, area, 1), 0)
    x0, y0 = low[:, 0] - ax, low[:, 1] - ay
    found = []
    for along_x, along_y in (((cy - ay) * inverse, (ax - cx) * inverse), ((ay - by) * inverse, (bx - ax) * inverse)):
        start = np.where(inverse == 0, -1, along_x * x0 + along_y * y0).astype(np.float32)
        value = np.repeat(start, counts)
        value += np.repeat(along_x.astype(np.float32), counts) * column
        value += np.repeat(along_y.astype(np.float32), counts) * row
        found.append(value)
    return found[0], found[1]


def distance_to_hem(vertices: Floats, faces: Ints) -> Floats:
    """Distance (V,) f32 m of each vertex to the nearest open edge of the mesh; 9 where nothing is open."""
    from scipy.spatial import cKDTree

    start, end = faces.ravel(), np.roll(faces, -1, 1).ravel()
    key = np.minimum(start, end).astype(np.int64) * len(vertices) + np.maximum(start, end)
    key, count = np.unique(key, return_counts=True)
    rim = np.unique(np.concatenate([key[count == 1] // len(vertices), key[count == 1] % len(vertices)]))
    if not len(rim):
        return np.full(len(vertices), 9, np.float32)
    distance, _ = cKDTree(vertices[rim]).query(vertices, distance_upper_bound=0.3)
    return np.minimum(distance, 9).astype(np.float32)


def _pieces(vertices: Floats, faces: Ints) -> Ints:
    """Connected piece of each vertex, numbered from the highest down."""
    graph = coo_matrix((np.ones(2 * len(faces), bool), (faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel())))
    graph.resize((len(vertices), len(vertices)))
    count, label = connected_components(graph, directed=False)
    height = np.bincount(label, vertices[:, 1], count) / np.maximum(np.bincount(label, minlength=count), 1)
    rank = np.empty(count, np.int32)
    rank[np.argsort(-height)] = np.arange(count)
    return rank[label]


def _regions(points: Floats, marks: Landmarks, legs: bool) -> NDArray[np.uint8]:
    """Trunk, arm or leg of points (N, 3): arms end at the armhole, a plane that leans towards the neck."""
    x, y = points[:, 0], points[:, 1]
    scale = marks.scale
    armhole = marks.shoulder_x - 0.01 * scale - 0.12 * (y - marks.shoulder_y)
    arm = (np.abs(x) > armhole) & (y > marks.shoulder_y - 0.17 * scale)
    region = np.where(arm, np.where(x > 0, LEFT_ARM, RIGHT_ARM), TRUNK)
    if legs:
        crotch = marks.hip_y - 0.055 * scale
        region = np.where((y < crotch) & ~arm, np.where(x > 0, LEFT_LEG, RIGHT_LEG), region)
    return region.astype(np.uint8)


def _cloth_coordinates(
    position: Floats, region: NDArray, vertices: Floats, vertex_region: NDArray, marks: Landmarks
) -> tuple[Floats, Floats, Floats]:
    count = len(position)
    across, along, turn = (np.zeros(count, np.float32) for _ in range(3))
    for limb in np.unique(region):
        mine, own = region == limb, vertex_region == limb
        arm = limb in (LEFT_ARM, RIGHT_ARM)
        # (axis of the limb, axis that turns to the side, axis that is its front)
        axis, side, front = (0, 2, 1) if arm else (1, 0, 2)
        shape = (
            _Tube.around(vertices[own], axis, side, front) if own.any() else _Tube.around(vertices, axis, side, front)
        )
        points = position[mine]
        across[mine], turn[mine] = shape.around_it(points)
        along[mine] = marks.shoulder_x - np.abs(points[:, 0]) if arm else points[:, 1]
    return across, along, turn


@dataclass(frozen=True)
class _Tube:
    """A limb or trunk as ellipses around an axis: for each step along it the centre (B, 2) and half widths (B, 2)."""

    axis: int
    side: int
    front: int
    start: float
    centre: Floats
    half: Floats

    @classmethod
    def around(cls, points: Floats, axis: int, side: int, front: int) -> _Tube:
        start = float(points[:, axis].min())
        bins = ((points[:, axis] - start) / _BIN_M).astype(int)
        # One more, so that every step has a following one.
        count = int(bins.max()) + 2
        low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
        for column, at in enumerate((side, front)):
            np.minimum.at(low[:, column], bins, points[:, at])
            np.maximum.at(high[:, column], bins, points[:, at])
        filled = np.isfinite(low[:, 0])
        steps = np.arange(count)
        centre, half = np.empty((count, 2), np.float32), np.empty((count, 2), np.float32)
        for column in range(2):
            least, most = low[filled, column], high[filled, column]
            middle = np.interp(steps, steps[filled], (least + most) / 2)
            width = np.interp(steps, steps[filled], (most - least) / 2)
            centre[:, column] = gaussian_filter1d(middle, 2.5, mode="nearest")
            half[:, column] = np.maximum(gaussian_filter1d(width, 2.5, mode="nearest"), 0.02)
        return cls(axis, side, front, start, centre, half)

    def around_it(self, points: Floats) -> tuple[Floats, Floats]:
        """Arc length (N,) from the middle of the front or back, its sign that of the side; angle (N,), 0 in front."""
        step = np.clip((points[:, self.axis] - self.start) / _BIN_M - 0.5, 0, len(self.centre) - 1.001)
        low = step.astype(np.int32)
        share = (step - low).astype(np.float32)[:, None]
        centre, half = (a[low] + (a[low + 1] - a[low]) * share for a in (self.centre, self.half))
        away = (points[:, [self.side, self.front]] - centre) / half
        turn = np.arctan2(away[:, 0], away[:, 1])
        folded = np.abs(turn)
        folded = np.minimum(folded, np.float32(np.pi) - folded)
        # Simpson's rule for the arc of an ellipse, the half angle's cosine from the whole one's.
        cosine = np.cos(folded)
        a2, b2 = half[:, 0] ** 2, half[:, 1] ** 2
        middle = np.sqrt(np.maximum(a2 * (1 + cosine) + b2 * (1 - cosine), 0) / 2)
        speed = (half[:, 0] + 4 * middle + np.sqrt(a2 * cosine**2 + b2 * (1 - cosine**2))) / 6
        return (np.sign(turn) * folded * speed).astype(np.float32), turn.astype(np.float32)


def _nearest(index: Ints, size: int) -> Ints:
    """For every texel the position in `index` of the nearest covered texel."""
    from scipy.ndimage import distance_transform_edt

    covered = np.zeros(size * size, bool)
    covered[index] = True
    rows, columns = distance_transform_edt(
        ~covered.reshape(size, size), return_distances=False, return_indices=True
    ).reshape(2, -1)
    rank = np.cumsum(covered) - 1
    return rank[rows * size + columns].astype(np.int32)
