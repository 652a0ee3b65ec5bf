"""The avatar folder (`NAME.avatar/`), version 1: the only thing that engine and Blender share."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .correctives import Correctives
from .errors import LikenessError
from .files import new_folder, read_json, read_npz, sha256
from .fit import Fit

FORMAT_VERSION = 1
#: Additions that older readers may ignore: 1 brought the vertices' `confidence`.
FORMAT_MINOR = 1
METHODS = ("anim", "elicit", "layers", "draped", "rigged")
SUFFIX = ".avatar"
#: What the numbers of `confidence` mean. Guessed: nothing was seen there. Seen: the colour was, the place was not
#: measured. Measured: depth was read there.
CONFIDENCE_NAMES = ("guessed", "seen", "measured")
GUESSED, SEEN, MEASURED = range(3)


@dataclass(frozen=True)
class Avatar:
    """A textured, skinned person in the rest pose.

    vertices (V, 3) f32, faces (F, 3) i32, corner_uvs (F, 3, 2) f32 (V up), skin_joints (V, 4) u16,
    skin_weights (V, 4) f32 with rows that sum to 1, seen (V,) f32 0..1, body_part (V,) u8.
    rest_joints (J, 3) f32, parents (J,) with -1 for the root, joint_names in the same order.
    textures: file name -> PNG bytes. capture: the fitted pose in the capture; world_from_capture (4, 4) puts the
    capture's camera space upright on the floor. correctives: pose correctives of the vertices, or None; directions are
    kept in half precision. extra: further files by relative path (GLB, surface, previews).
    confidence (V,) u8: how each vertex is known, index into CONFIDENCE_NAMES; None in avatars of earlier versions.
    """

    name: str
    method: str
    body_model: dict[str, str]
    betas: np.ndarray
    joint_names: tuple[str, ...]
    parents: np.ndarray
    rest_joints: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray
    corner_uvs: np.ndarray
    skin_joints: np.ndarray
    skin_weights: np.ndarray
    seen: np.ndarray
    body_part: np.ndarray
    textures: dict[str, bytes]
    capture: Fit
    world_from_capture: np.ndarray
    part_names: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    licences: list[dict[str, str]] = field(default_factory=list)
    correctives: Correctives | None = None
    confidence: np.ndarray | None = None
    extra: dict[str, bytes] = field(default_factory=dict)


def write_avatar(path: Path, avatar: Avatar) -> Path:
    """Write the folder whole or not at all; an existing one is replaced atomically. Returns its path."""
    path = Path(path)
    files = _encode(avatar)
    with new_folder(path) as folder:
        for name, data in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    return path


def _encode(avatar: Avatar) -> dict[str, bytes]:
    """All files of the folder; `avatar.json` last, since it holds the hashes of the others."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "vertices": avatar.vertices.astype(np.float32),
        "faces": avatar.faces.astype(np.int32),
        "corner_uvs": avatar.corner_uvs.astype(np.float32),
        "skin_joints": avatar.skin_joints.astype(np.uint16),
        "skin_weights": avatar.skin_weights.astype(np.float32),
        "seen": avatar.seen.astype(np.float32),
        "body_part": avatar.body_part.astype(np.uint8),
    }
    if avatar.confidence is not None:
        arrays["confidence"] = avatar.confidence.astype(np.uint8)
    np.savez_compressed(buffer, **arrays)
    capture = avatar.capture.to_dict()
    capture["world_from_capture"] = np.asarray(avatar.world_from_capture, np.float64).round(7).tolist()
    files = {"mesh.npz": buffer.getvalue(), "capture.json": (json.dumps(capture, indent=1) + "\n").encode()}
    if avatar.correctives is not None:
        files["shapes.npz"] = _encode_shapes(avatar.correctives)
    files |= {f"textures/{name}": data for name, data in avatar.textures.items()}
    files |= avatar.extra
    head = {
        "format_version": FORMAT_VERSION,
        "format_minor": FORMAT_MINOR,
        "name": avatar.name,
        "method": avatar.method,
        "body_model": avatar.body_model,
        "betas": np.asarray(avatar.betas, np.float64).round(7).tolist(),
        "joint_names": list(avatar.joint_names),
        "parents": [int(p) for p in avatar.parents],
        "rest_joints": np.asarray(avatar.rest_joints, np.float64).round(7).tolist(),
        "part_names": list(avatar.part_names),
        "confidence_names": list(CONFIDENCE_NAMES),
        "files": {name: sha256(data) for name, data in sorted(files.items())},
        "provenance": avatar.provenance,
        "quality": avatar.quality,
        "licences": avatar.licences,
    }
    files["avatar.json"] = (json.dumps(head, indent=1, ensure_ascii=False) + "\n").encode()
    return files


def _encode_shapes(correctives: Correctives) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        corrective_vertices=correctives.vertices.astype(np.int32),
        corrective_joints=correctives.joints.astype(np.uint16),
        corrective_directions=correctives.directions.astype(np.float16),
    )
    return buffer.getvalue()


def _refuse(path: Path, what: str, hint: str = "Make the avatar again, or choose another folder.") -> LikenessError:
    return LikenessError("avatar.unreadable", f"{path.name}: {what}.", hint)


def read_head(path: Path) -> dict[str, Any]:
    """`avatar.json` of a folder, its version checked. Raises LikenessError("avatar.unreadable" or "avatar.version")."""
    path = Path(path)
    if not (path / "avatar.json").is_file():
        raise _refuse(path, "holds no avatar.json, so it is no avatar folder", "Choose one that ends in .avatar.")
    head = read_json(path / "avatar.json", "avatar.unreadable")
    if not isinstance(head, dict) or not isinstance(head.get("format_version"), int):
        raise _refuse(path, "its avatar.json states no format version")
    if head["format_version"] != FORMAT_VERSION:
        raise LikenessError(
            "avatar.version",
            f"{path.name}: has format {head['format_version']}, and this Likeness reads format {FORMAT_VERSION}.",
            "Update Likeness, or make the avatar again.",
        )
    return head


def read_avatar(path: Path, *, verify: bool = False) -> Avatar:
    """Read an avatar folder. With verify, every file's hash is compared. Raises LikenessError("avatar.*")."""
    path = Path(path)
    head = read_head(path)
    try:
        listed = {str(k): str(v) for k, v in head["files"].items()}
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in listed):
            raise _refuse(path, "it names files outside itself")
        if verify:
            _verify(path, listed)
        mesh = read_npz(path / "mesh.npz", "avatar.unreadable")
        capture = read_json(path / "capture.json", "avatar.unreadable")
        textures = {n.split("/", 1)[1]: (path / n).read_bytes() for n in listed if n.startswith("textures/")}
        arrays: dict[str, Any] = {name: mesh[name] for name in _MESH_ARRAYS}
        avatar = Avatar(
            name=str(head["name"]),
            method=str(head["method"]),
            body_model={str(k): str(v) for k, v in head["body_model"].items()},
            betas=np.asarray(head["betas"], np.float32),
            joint_names=tuple(str(n) for n in head["joint_names"]),
            parents=np.asarray(head["parents"], np.int32),
            rest_joints=np.asarray(head["rest_joints"], np.float32),
            textures=textures,
            capture=Fit.from_dict(capture),
            world_from_capture=np.asarray(capture["world_from_capture"], np.float64).reshape(4, 4),
            part_names=tuple(str(n) for n in head.get("part_names", ())),
            provenance=dict(head["provenance"]),
            quality=dict(head["quality"]),
            licences=list(head["licences"]),
            correctives=_read_shapes(path) if "shapes.npz" in listed else None,
            confidence=mesh.get("confidence"),
            **arrays,
        )
    except OSError as error:
        raise _refuse(path, f"a file in it cannot be read ({error})") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _refuse(path, f"it lacks or garbles {error}") from error
    _check(path, avatar)
    return avatar


_MESH_ARRAYS = ("vertices", "faces", "corner_uvs", "skin_joints", "skin_weights", "seen", "body_part")

_SHAPES = {"corrective_vertices": (1, "iu"), "corrective_joints": (1, "iu"), "corrective_directions": (3, "f")}

_INDICES = ("faces", "skin_joints", "body_part", "parents", "confidence")


def _read_shapes(path: Path) -> Correctives | None:
    """The pose correctives of `shapes.npz`, None where it holds none."""
    data = read_npz(path / "shapes.npz", "avatar.unreadable")
    if not data.keys() & _SHAPES.keys():
        return None
    for name, (axes, kind) in _SHAPES.items():
        if data[name].ndim != axes or data[name].dtype.kind not in kind:
            raise _refuse(path, f"its {name} are stored as {data[name].dtype} {data[name].shape}")
    directions = data["corrective_directions"].astype(np.float32)
    if directions.shape != (*data["corrective_vertices"].shape, 3, 9) or len(directions) != len(
        data["corrective_joints"]
    ):
        raise _refuse(path, "its pose correctives have different lengths")
    return Correctives(
        data["corrective_vertices"].astype(np.int32), data["corrective_joints"].astype(np.int32), directions
    )


def _verify(path: Path, listed: dict[str, str]) -> None:
    for name, digest in listed.items():
        if sha256((path / name).read_bytes()) != digest:
            raise _refuse(path, f"{name} was changed or damaged since it was written")


def _check(path: Path, avatar: Avatar) -> None:
    """Shapes and ranges: everything that a reader would otherwise index blindly."""
    vertices, faces, joints = len(avatar.vertices), len(avatar.faces), len(avatar.joint_names)
    shapes = {
        "vertices": (vertices, 3),
        "faces": (faces, 3),
        "corner_uvs": (faces, 3, 2),
        "skin_joints": (vertices, 4),
        "skin_weights": (vertices, 4),
        "seen": (vertices,),
        "body_part": (vertices,),
        "rest_joints": (joints, 3),
        "parents": (joints,),
    }
    if avatar.confidence is not None:
        shapes["confidence"] = (vertices,)
    for name, shape in shapes.items():
        array = getattr(avatar, name)
        if array.shape != shape:
            raise _refuse(path, f"its {name} have the shape {array.shape} and not {shape}")
        if array.dtype.kind not in ("iu" if name in _INDICES else "f"):
            raise _refuse(path, f"its {name} are stored as {array.dtype}")
    if faces and (avatar.faces.min() < 0 or avatar.faces.max() >= vertices):
        raise _refuse(path, "its faces name vertices that do not exist")
    if vertices and avatar.skin_joints.max() >= joints:
        raise _refuse(path, "its weights name joints that do not exist")
    if vertices and avatar.confidence is not None and not 0 <= avatar.confidence.max() < len(CONFIDENCE_NAMES):
        raise _refuse(path, "its confidence names a class that does not exist")
    if any(not -1 <= int(p) < j for j, p in enumerate(avatar.parents)):
        raise _refuse(path, "its joints are not in order from the root")
    numbers = [avatar.vertices, avatar.skin_weights, avatar.rest_joints, avatar.corner_uvs]
    if (bend := avatar.correctives) is not None:
        numbers.append(bend.directions)
        for name, index, count in (("vertices", bend.vertices, vertices), ("joints", bend.joints, joints)):
            if len(index) and not 0 <= index.min() <= index.max() < count:
                raise _refuse(path, f"its pose correctives name {name} that do not exist")
    if not all(np.isfinite(array).all() for array in numbers):
        raise _refuse(path, "it holds numbers that are not finite")
    if vertices and np.abs(avatar.skin_weights.sum(1) - 1).max() > 1e-4:
        raise _refuse(path, "its skin weights do not sum to one")
