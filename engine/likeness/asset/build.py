"""Captured surface to avatar: skin weights, unposing, texture, GLB, previews."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import trimesh

from .. import __version__
from ..body.model import BodyModel
from ..core.avatar import GUESSED, MEASURED, METHODS, SEEN, Avatar
from ..core.capture import Capture
from ..core.correctives import Correctives, DenseCorrectives
from ..core.errors import LikenessError
from ..core.fit import Fit
from ..core.frames import rodrigues
from ..core.motion import MotionClip, list_clips, read_clip
from ..core.progress import Report, part, quiet
from ..core.skinning import joint_transforms, skin, strongest
from ..core.surface import CapturedSurface
from .bake import Baked, bake
from .far import far_side
from .fill import RestBody
from .geometry import vertex_normals
from .glb import write_glb
from .hands import joints_in_surface
from .layout import complete
from .limbs import finger_joints, joint_share, region_weights
from .previews import with_previews
from .texture import encode_png
from .unpose import unpose

TEXTURE_PX = 2048
_GLB_CLIP = "walk_02_01"
_GLB_SECONDS = 4.0
_CROTCH_BELOW_HIP_M = 0.10
#: Of a share from 0 to 1.
_SURE = 0.5
_STANDING_SHARE = 0.95
_MOST_TILT = np.deg2rad(25.0)
#: Pose correctives that move less than this at a right angle cost more than they show; SMPL's own spread each joint's
#: over the whole body.
_LEAST_CORRECTIVE_M, _LEAST_DENSE_M = 2e-4, 1e-3


@dataclass
class _Stopwatch:
    """Seconds a stage, for the provenance."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a with-block under this name."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)


def build_avatar(
    surface: CapturedSurface,
    capture: Capture,
    model: BodyModel,
    fit: Fit,
    *,
    name: str,
    method: str,
    settings: Mapping[str, Any],
    report: Report = quiet,
) -> Avatar:
    """Make the avatar of a captured surface.

    surface: in the capture's camera space, metres. fit: the body in that capture. settings: resolved settings, kept in
    the provenance; `texture_px` is the texture's side. The avatar's extra files are
    capture_surface.ply, avatar.glb and previews/*.png. Raises LikenessError("body.*", "usage.method") and what
    `report` raises.
    """
    if method not in METHODS:
        raise LikenessError("usage.method", f"There is no method {method}.", f"Choose one of: {', '.join(METHODS)}.")
    watch = _Stopwatch()
    size = int(settings.get("texture_px", TEXTURE_PX))
    with watch.stage("unpose"):
        report(0.02, "Taking the surface out of its pose")
        surface = complete(surface, model, fit)
        skinned = unposed(surface, model, fit)
    with watch.stage("bake"):
        body = rest_body(skinned, surface, model, fit)
        assert surface.corner_uvs is not None
        painting = part(report, 0.1, 0.75)
        far = far_side(capture, model, fit)
        baked = bake(capture, surface.vertices, surface.corner_uvs, body, far=far, size=size, report=painting)
    avatar = Avatar(
        name=name,
        method=method,
        body_model={"id": model.name, "licence": model.licence},
        betas=np.asarray(fit.betas, np.float32),
        joint_names=tuple(model.joint_names),
        parents=np.asarray(model.parents, np.int32),
        rest_joints=skinned.rest_joints,
        vertices=skinned.vertices,
        faces=surface.faces.astype(np.int32),
        corner_uvs=surface.corner_uvs.astype(np.float32),
        skin_joints=skinned.skin_joints,
        skin_weights=skinned.skin_weights,
        seen=np.clip(surface.seen, 0, 1).astype(np.float32),
        body_part=np.asarray(surface.body_part, np.uint8),
        part_names=tuple(model.part_names),
        textures={"albedo.png": encode_png(baked.image)},
        capture=fit,
        world_from_capture=world_from_capture(capture, model, fit, surface.vertices),
        quality={**skinned.figures, **baked.figures, "confidence": dict(fit.confidence), **fit.residuals},
        licences=_licences(model),
        correctives=skinned.correctives,
        confidence=confidence(surface.seen, baked.visible, capture.depth is not None),
        extra={"capture_surface.ply": surface_ply(surface, baked)},
    )
    with watch.stage("glb"):
        report(0.8, "Writing the GLB")
        avatar = replace(avatar, extra={**avatar.extra, "avatar.glb": write_glb(avatar, showcase_clip())})
    with watch.stage("previews"):
        avatar = with_previews(avatar, report=part(report, 0.88, 1.0))
    report(1.0, "Avatar built")
    return replace(avatar, provenance=_provenance(capture, settings, watch))


def confidence(seen: np.ndarray, visible: np.ndarray, depth: bool) -> np.ndarray:
    """(V,) u8 of core.avatar's classes. seen (V,): as CapturedSurface has it; visible (V,): the picture shows it."""
    measured = (seen > _SURE) & depth
    return np.where(measured, MEASURED, np.where((visible > _SURE) | (seen > _SURE), SEEN, GUESSED)).astype(np.uint8)


@dataclass(frozen=True)
class Skinned:
    """The unposed surface with its rig: see Avatar for shapes."""

    vertices: np.ndarray
    skin_joints: np.ndarray
    skin_weights: np.ndarray
    rest_joints: np.ndarray
    correctives: Correctives | None
    figures: dict[str, float]


def unposed(surface: CapturedSurface, model: BodyModel, fit: Fit) -> Skinned:
    """Four influences a vertex, rest joints in the surface, pose correctives, and the surface in the rest pose."""
    assert surface.skin_weights is not None
    joints = joints_in_surface(surface, model, fit)
    index, weight = strongest(surface.skin_weights, 4)
    turns = rodrigues(np.asarray(fit.pose, np.float64))
    transforms = joint_transforms(turns, joints, model.parents)
    translation = np.asarray(fit.translation, np.float64)
    bend = surface_correctives(surface, model)
    offsets = np.zeros(surface.vertices.shape) if bend is None else bend.offsets(turns, len(surface.vertices))
    rest, figures = unpose(
        surface.vertices, surface.faces, index, weight, transforms, translation, surface.rest_body, offsets
    )
    again = skin(rest.astype(np.float64) + offsets, index, weight, transforms) + translation
    error_mm = 1000 * np.linalg.norm(again - surface.vertices, axis=1)
    figures["repose_error_median_mm"] = float(np.median(error_mm))
    figures["repose_error_p95_mm"] = float(np.percentile(error_mm, 95))
    return Skinned(rest, index, weight, joints.astype(np.float32), bend, figures)


def surface_correctives(surface: CapturedSurface, model: BodyModel) -> Correctives | None:
    """The body's pose correctives on a surface that knows where it lies on the body; None where the body has none."""
    if model.correctives is None:
        return None
    assert surface.body_corners is not None and surface.body_shares is not None
    rows = model.correctives
    if isinstance(rows, DenseCorrectives):
        rows = rows.rows().above(_LEAST_DENSE_M)
    carried = rows.carried(surface.body_corners, surface.body_shares).above(_LEAST_CORRECTIVE_M)
    # As the avatar's file keeps them, so that unposing and posing agree.
    return replace(carried, directions=carried.directions.astype(np.float16).astype(np.float32))


def rest_body(skinned: Skinned, surface: CapturedSurface, model: BodyModel, fit: Fit) -> RestBody:
    """What the filler of unseen colours knows: where head and hands are."""
    names = list(model.joint_names)
    index, weight = skinned.skin_joints, skinned.skin_weights
    shape, _ = model.rest(fit.betas)
    positions = (surface.rest_body if surface.rest_body is not None else skinned.vertices).astype(np.float64)
    return RestBody(
        positions=positions,
        faces=surface.faces,
        regions=region_weights(index, weight, names),
        hands=joint_share(index, weight, finger_joints(names)),
        skull=joint_share(index, weight, [names.index("head")]),
        cheeks=_cheeks(positions, model, fit),
        chin=skinned.rest_joints[names.index("head")].astype(np.float64),
        crown=shape[model.landmark_vertices["crown"]].astype(np.float64),
        crotch=float(skinned.rest_joints[names.index("left_hip"), 1]) - _CROTCH_BELOW_HIP_M,
    )


def _cheeks(places: np.ndarray, model: BodyModel, fit: Fit) -> np.ndarray:
    """(V,) f32: 1 around the mouth and under the eyes, where a face shows skin, whatever hair or hat does."""
    shape, _ = model.rest(fit.betas)
    nose, eye, mouth = (shape[model.landmark_vertices[n]] for n in ("nose", "left_eye", "left_mouth"))
    low, high = mouth[1] - (nose[1] - mouth[1]), nose[1] + 0.6 * (eye[1] - nose[1])
    front = places[:, 2] > eye[2] - 0.03
    return (front & (places[:, 1] > low) & (places[:, 1] < high)).astype(np.float32)


def world_from_capture(capture: Capture, model: BodyModel, fit: Fit, vertices: np.ndarray) -> np.ndarray:
    """(4, 4): the capture's camera space put upright, the lowest point at y = 0 under the pelvis, the camera on +Z."""
    up = upwards(capture, model, fit)
    back = np.array([0.0, 0.0, -1.0])
    back = back - (back @ up) * up
    if np.linalg.norm(back) < 1e-6:
        back = np.array([0.0, 1.0, 0.0]) - up[1] * up
    back /= np.linalg.norm(back)
    out = np.eye(4)
    out[:3, :3] = np.stack([np.cross(up, back), up, back])
    pelvis = out[:3, :3] @ (model.rest(fit.betas)[1][0] + np.asarray(fit.translation, np.float64))
    floor = (vertices.astype(np.float64) @ up).min()
    out[:3, 3] = (-pelvis[0], -floor, -pelvis[2])
    return out


def upwards(capture: Capture, model: BodyModel, fit: Fit) -> np.ndarray:
    """(3,) float64 unit vector in camera space away from the floor.

    A fit that found the floor knows best, then a capture that measured it. Else the camera may have been tilted:
    somebody who stands on straight legs has the head above the ankles, and that line is believed where it is near the
    picture's vertical.
    """
    if fit.up is not None:
        return np.asarray(fit.up, np.float64) / np.linalg.norm(fit.up)
    up = np.asarray(capture.up, np.float64)
    up = up / np.linalg.norm(up)
    if not np.array_equal(up, (0.0, -1.0, 0.0)):
        return up
    joints = dict(zip(model.joint_names, model.posed(fit.betas, fit.pose, fit.translation)[1], strict=True))
    ankles = 0.5 * (joints["left_ankle"] + joints["right_ankle"]).astype(np.float64)
    standing = joints["head"] - ankles
    tall = float(np.linalg.norm(standing))
    rest = dict(zip(model.joint_names, model.rest(fit.betas)[1], strict=True))
    full = float(np.linalg.norm(rest["head"] - 0.5 * (rest["left_ankle"] + rest["right_ankle"])))
    straight = tall > _STANDING_SHARE * full and standing @ up > np.cos(_MOST_TILT) * tall
    return standing / tall if straight else up


def surface_ply(surface: CapturedSurface, baked: Baked) -> bytes:
    """The surface as captured, binary PLY: camera space, metres, with normals, colours and its faces."""
    mesh = trimesh.Trimesh(
        surface.vertices,
        surface.faces,
        vertex_normals=vertex_normals(surface.vertices, surface.faces),
        vertex_colors=np.column_stack([baked.vertex_colors, np.full(len(surface.vertices), 255, np.uint8)]),
        process=False,
    )
    return bytes(mesh.export(file_type="ply", encoding="binary_little_endian", vertex_normal=True))


def showcase_clip() -> MotionClip | None:
    """The shipped walk, its first seconds; None where no clip ships."""
    shipped = list_clips()
    walks = [n for n in shipped if n == _GLB_CLIP] or [n for n in shipped if n.startswith("walk")]
    if not walks:
        return None
    clip = read_clip(shipped[walks[0]])
    frames = max(2, int(_GLB_SECONDS * clip.fps))
    return replace(clip, poses=clip.poses[:frames], trans=clip.trans[:frames])


def _licences(model: BodyModel) -> list[dict[str, str]]:
    return [
        {
            "files": "mesh.npz (rig, weights, topology), shapes.npz, avatar.glb",
            "licence": model.licence,
            "origin": model.name,
        },
        {"files": "textures/*, previews/*, capture_surface.ply", "licence": "the artist's own", "origin": "capture"},
    ]


def _provenance(capture: Capture, settings: Mapping[str, Any], watch: _Stopwatch) -> dict[str, Any]:
    return {
        "engine_version": __version__,
        "settings": dict(settings),
        "seed": settings.get("seed", 0),
        "seconds": watch.seconds,
        "input_sha256": capture.source_sha256,
        "input_kind": capture.kind,
        "mask_source": capture.mask_source,
        "camera_known": capture.camera_known,
    }
