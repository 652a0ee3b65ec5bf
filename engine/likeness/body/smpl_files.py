"""SMPL, SMPL-H and SMPL-X from the artist's own files (.pkl and .npz), as bodies like the one that ships.

The files' licence forbids commercial use, and the body says so. Their frame is kept: metres, Y up, facing +Z, a T pose,
the pelvis joint near but not at the origin.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from likeness.body.model import BodyModel, HandSpace, load_default
from likeness.body.pickles import MAX_BYTES, read_pickle
from likeness.core.correctives import DenseCorrectives
from likeness.core.errors import LikenessError
from likeness.core.files import output_error, read_npz, sha256, write_bytes
from scipy.spatial import cKDTree

LICENCE = "SMPL model licence: non-commercial research only"
#: Changes when converted files must be made anew.
_CONVERSION = 1
_KEYS = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
_HAND_KEYS = ("hands_meanl", "hands_meanr", "hands_componentsl", "hands_componentsr")
_UV_KEYS = ("vt", "ft")
_MAX_VERTICES = 100_000
_MAX_SHAPES = 1000
_STATURE = (1.2, 2.2)
_FACE = ("jaw", "left_eye", "right_eye")
#: SMPL-X's shape directions come before its expressions: 300 in full files, 10 in short ones.
_EXPRESSION_START = {True: 300, False: 10}
_FULL_SMPLX = 400


@dataclass(frozen=True)
class _Layout:
    """A family of models: its name, joint names and parents."""

    name: str
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]


def _layouts() -> dict[int, _Layout]:
    """Joint count -> layout. SMPL's and SMPL-H's joints are those of the body that ships."""
    smpl, smplh = load_default("smpl"), load_default("smplh")
    names, hands = smplh.joint_names[:22], smplh.joint_names[22:]
    parents = [int(p) for p in smplh.parents]
    head = names.index("head")
    # The face's three joints stand between the body and the hands.
    fingers = [p if p < 22 else p + len(_FACE) for p in parents[22:]]
    smplx = _Layout("SMPL-X", (*names, *_FACE, *hands), (*parents[:22], head, head, head, *fingers))
    known = [
        _Layout("SMPL", smpl.joint_names, tuple(int(p) for p in smpl.parents)),
        _Layout("SMPL-H", smplh.joint_names, tuple(parents)),
        smplx,
    ]
    return {len(layout.parents): layout for layout in known}


def read_smpl(path: Path, cache: Path | None = None, *, betas: int = 20, expressions: int = 0) -> BodyModel:
    """Read a body model of the artist's: SMPL (24 joints), SMPL-H (52) or SMPL-X (55), .pkl or .npz, of any gender.

    cache: a folder of ours where the checked figures are kept by the file's SHA-256, so that it is converted once; it
    is made if need be. betas: how many shape numbers to know. expressions: how many of SMPL-X's expressions follow
    them in the shape vector.

    What such files lack is made from the body that ships, laid over the file's body by its joints: parts, landmark
    vertices and BlazePose's points are those of the nearest vertices. `mirror` pairs only vertices that mirror each
    other and is the identity elsewhere; `corner_uvs` are zero unless the file has some; `quads` is 0.

    Raises LikenessError: body.unsafe_file for a pickle with more than numbers in it, body.unreadable for a file that
    cannot be read or is none of these models, output.unwritable for the cache.
    """
    path = Path(path)
    data = _bytes(path)
    kept = None if cache is None else Path(cache) / f"{sha256(data)}-{_CONVERSION}.npz"
    figures = None if kept is None else _from_cache(kept)
    if figures is None:
        figures = _figures(_raw(path, data), path.name)
        if kept is not None:
            _keep(kept, figures)
    return _body(figures, path, betas, expressions)


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _wrong(path.name, f"it is larger than {MAX_BYTES >> 20} MB")
        return path.read_bytes()
    except OSError as error:
        raise LikenessError(
            "body.unreadable", f"{path.name}: cannot be read ({error.strerror}).", "Check the file."
        ) from error


def _wrong(name: str, why: str) -> LikenessError:
    return LikenessError(
        "body.unreadable",
        f"{name}: this is not an SMPL, SMPL-H or SMPL-X body ({why}).",
        "Choose the .pkl or .npz file of the model as its makers publish it.",
    )


def _raw(path: Path, data: bytes) -> dict[str, Any]:
    if not data.startswith(b"PK"):
        return read_pickle(data)
    # What else SMPL-X's files hold are pickles, which nobody needs.
    return read_npz(path, "body.unreadable", limit=2 * MAX_BYTES, only=(*_KEYS, *_HAND_KEYS, *_UV_KEYS))


def _from_cache(kept: Path) -> dict[str, np.ndarray] | None:
    """The figures kept before; None when there are none or they were damaged, and are to be made anew."""
    if not kept.is_file():
        return None
    try:
        return _figures(read_npz(kept, "body.unreadable", limit=2 * MAX_BYTES), kept.name)
    except LikenessError:
        return None


def _keep(kept: Path, figures: dict[str, np.ndarray]) -> None:
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(kept.parent, error) from error
    buffer = io.BytesIO()
    np.savez(buffer, **figures)  # type: ignore[arg-type]
    write_bytes(kept, buffer.getvalue())


def _figures(raw: dict[str, Any], name: str) -> dict[str, np.ndarray]:
    """A file's content -> its checked arrays under SMPL's names, f32 and i32, faces outward, the root's parent -1."""
    missing = [key for key in _KEYS if key not in raw]
    if missing:
        raise _wrong(name, f"it has no {missing[0]}")
    try:
        out = {key: _floats(raw[key]) for key in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights")}
        out |= {"f": _integers(raw["f"]), "kintree_table": _integers(raw["kintree_table"])}
        _check_shapes(out)
        _check_figures(out)
        out |= _hands(raw) | _uvs(raw, len(out["f"]))
    except (ValueError, TypeError) as error:
        raise _wrong(name, str(error)) from error
    return out


def _floats(value: Any) -> np.ndarray:
    if scipy.sparse.issparse(value):
        if value.shape[0] * value.shape[1] > 60 * _MAX_VERTICES:
            raise ValueError("a matrix is too large")
        value = value.toarray()
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        raise ValueError("an array has no numbers")
    if not np.isfinite(value).all() or np.abs(value).max(initial=0) > 1e4:
        raise ValueError("an array has numbers that are not finite")
    return np.ascontiguousarray(value, np.float32)


def _integers(value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu":
        raise ValueError("an array has no whole numbers")
    # SMPL writes the root's parent as the largest unsigned number of 32 bits.
    wide = value.astype(np.int64)
    wide[wide == 0xFFFFFFFF] = -1
    if np.abs(wide).max(initial=0) > _MAX_VERTICES * 4:
        raise ValueError("an index is out of range")
    return wide.astype(np.int32)


def _check_shapes(out: dict[str, np.ndarray]) -> None:
    count, joints = len(out["v_template"]), out["kintree_table"].shape[-1]
    if joints not in _layouts():
        raise ValueError(f"it has {joints} joints")
    if not 0 < count <= _MAX_VERTICES:
        raise ValueError(f"it has {count} vertices")
    shapes = out["shapedirs"].shape[-1]
    if not 0 < shapes <= _MAX_SHAPES:
        raise ValueError(f"it has {shapes} shape directions")
    expected = {
        "v_template": (count, 3),
        "shapedirs": (count, 3, shapes),
        "posedirs": (count, 3, 9 * (joints - 1)),
        "J_regressor": (joints, count),
        "weights": (count, joints),
        "kintree_table": (2, joints),
        "f": (len(out["f"]), 3),
    }
    for key, shape in expected.items():
        if out[key].shape != shape:
            raise ValueError(f"{key} has the shape {out[key].shape}, not {shape}")


def _check_figures(out: dict[str, np.ndarray]) -> None:
    """Check what the numbers say; turns the faces outward."""
    parents, numbers = out["kintree_table"]
    if not np.array_equal(numbers, np.arange(len(numbers))) or tuple(parents) != _layouts()[len(parents)].parents:
        raise ValueError("its joints are not in SMPL's order")
    weights, regressor = out["weights"], out["J_regressor"]
    if weights.min() < -1e-4 or np.abs(weights.sum(1, dtype=np.float64) - 1).max() > 1e-3:
        raise ValueError("its skinning weights do not sum to 1")
    if np.abs(regressor.sum(1, dtype=np.float64) - 1).max() > 1e-2:
        raise ValueError("its joint regressor does not sum to 1")
    stature = float(np.ptp(out["v_template"][:, 1]))
    if not _STATURE[0] <= stature <= _STATURE[1] or stature < np.ptp(out["v_template"][:, 2]):
        raise ValueError(f"it is {stature:.3g} m tall, so it is not an upright body in metres")
    faces = out["f"]
    if not len(faces) or faces.min() < 0 or faces.max() >= len(out["v_template"]):
        raise ValueError("a face has a vertex that does not exist")
    corners = out["v_template"][faces].astype(np.float64)
    if np.einsum("fc,fc->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) < 0:
        out["f"] = np.ascontiguousarray(faces[:, ::-1])


def _hands(raw: dict[str, Any]) -> dict[str, np.ndarray]:
    if any(key not in raw for key in _HAND_KEYS):
        return {}
    out = {key: _floats(raw[key]) for key in _HAND_KEYS}
    count = len(out["hands_componentsl"])
    expected = ((45,), (45,), (count, 45), (count, 45))
    if any(out[key].shape != shape for key, shape in zip(_HAND_KEYS, expected, strict=True)):
        raise ValueError("its hand poses have an unknown shape")
    return out


def _uvs(raw: dict[str, Any], faces: int) -> dict[str, np.ndarray]:
    if any(key not in raw for key in _UV_KEYS):
        return {}
    places, corners = _floats(raw["vt"]), _integers(raw["ft"])
    if places.ndim != 2 or places.shape[1] != 2 or corners.shape != (faces, 3):
        return {}
    if corners.min() < 0 or corners.max() >= len(places):
        raise ValueError("a face has a texture corner that does not exist")
    return {"vt": places, "ft": corners}


def _body(figures: dict[str, np.ndarray], path: Path, betas: int, expressions: int) -> BodyModel:
    """Checked arrays -> the body."""
    layout = _layouts()[figures["weights"].shape[1]]
    template, weights = figures["v_template"], figures["weights"]
    regressor = figures["J_regressor"].astype(np.float64)
    shapes = figures["shapedirs"][:, :, _shape_columns(layout, figures["shapedirs"].shape[2], betas, expressions)]
    joints = regressor @ template
    joint_shapes = (regressor @ shapes.reshape(len(template), -1)).reshape(len(joints), 3, -1)
    over = _overlay(template, joints, layout)
    has_uvs = "vt" in figures
    return BodyModel(
        name=f"{layout.name} {_gender(path)}".strip(),
        licence=LICENCE,
        v_template=template,
        faces=figures["f"],
        quads=0,
        shapedirs=np.ascontiguousarray(shapes),
        joints_template=joints.astype(np.float32),
        joint_shapedirs=joint_shapes.astype(np.float32),
        weights=weights,
        parents=np.array(layout.parents, np.int32),
        joint_names=layout.joint_names,
        corner_uvs=figures["vt"][figures["ft"]] if has_uvs else np.zeros((len(figures["f"]), 3, 2), np.float32),
        mirror=_mirror(template),
        regressor=figures["J_regressor"],
        correctives=DenseCorrectives(_posedirs(figures["posedirs"])),
        hand_space=_hand_space(figures),
        **over,
    )


def _shape_columns(layout: _Layout, count: int, betas: int, expressions: int) -> list[int]:
    start = _EXPRESSION_START[count >= _FULL_SMPLX] if layout.name == "SMPL-X" else count
    shape = range(min(betas, start, count))
    face = range(start, min(start + expressions, count))
    return [*shape, *face]


def _gender(path: Path) -> str:
    """As the file or its folder is called: the files themselves do not say."""
    for text in (path.stem, path.parent.name):
        words = re.split(r"[^a-z]+", text.lower())
        for gender in ("female", "male", "neutral"):
            if any(word == gender[0] or word.endswith(gender) for word in words):
                return gender
    return ""


def _posedirs(posedirs: np.ndarray) -> np.ndarray:
    """(V, 3, 9 (J - 1)) as files have them -> (9 (J - 1), 3 V)."""
    return np.ascontiguousarray(posedirs.reshape(-1, posedirs.shape[2]).T)


def _hand_space(figures: dict[str, np.ndarray]) -> HandSpace | None:
    if _HAND_KEYS[0] not in figures:
        return None
    return HandSpace(
        mean=np.stack([figures["hands_meanl"], figures["hands_meanr"]]),
        components=np.stack([figures["hands_componentsl"], figures["hands_componentsr"]]),
    )


def _mirror(template: np.ndarray) -> np.ndarray:
    """(V,) each vertex's partner across x = 0 where the two are each other's nearest, itself elsewhere."""
    _, nearest = cKDTree(template).query(template * np.array([-1, 1, 1], np.float32))
    own = np.arange(len(template))
    return np.where(nearest[nearest] == own, nearest, own).astype(np.int32)


def _overlay(template: np.ndarray, joints: np.ndarray, layout: _Layout) -> dict[str, Any]:
    """Parts, landmarks and BlazePose's points from the body that ships, laid over this one by its joints."""
    ours = load_default("smpl" if layout.name == "SMPL" else "smplh")
    same = np.array([layout.joint_names.index(name) for name in ours.joint_names])
    scale = np.ptp(template[:, 1]) / np.ptp(ours.v_template[:, 1])
    laid = scale * ours.v_template + ours.weights @ (joints[same] - scale * ours.joints_template)
    nearest = cKDTree(template).query(laid)[1]
    joint, vertex = ours.blazepose.T
    return {
        "parts": ours.parts[cKDTree(laid).query(template)[1]],
        "part_names": ours.part_names,
        "landmark_vertices": {name: int(nearest[at]) for name, at in ours.landmark_vertices.items()},
        "blazepose": np.stack(
            [np.where(joint < 0, -1, same[joint]), np.where(vertex < 0, -1, nearest[vertex])], 1
        ).astype(np.int32),
        "blazepose_lean_joint": same[ours.blazepose_lean_joint].astype(np.int32),
        "blazepose_lean": ours.blazepose_lean,
    }
