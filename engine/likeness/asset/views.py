"""Where avatar and camera stand in a picture: as captured, orbited, from a camera file, or along a clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.avatar import Avatar
from ..core.camera import Camera
from ..core.errors import LikenessError
from ..core.files import read_json, write_bytes
from ..core.frames import rigid, rodrigues
from ..core.motion import MotionClip
from ..core.progress import Report, quiet
from ..core.skinning import joint_transforms, skin
from .render import TexturedMesh, render_mesh
from .texture import encode_png

_CLIP_FOV = np.deg2rad(28.0)
_CLIP_AZIMUTH = np.deg2rad(35.0)
_MARGIN = 0.06


@dataclass(frozen=True)
class View:
    """One picture to take: vertices (V, 3) f32 metres in a world, camera_from_world (4, 4), up (3,) in that world."""

    vertices: np.ndarray
    camera: Camera
    camera_from_world: np.ndarray
    up: np.ndarray


def pose_avatar(avatar: Avatar, pose: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Pose (J, 3) axis-angle and translation (3,) metres -> posed vertices (V, 3) f32 (SMPL's convention)."""
    rotations = rodrigues(np.asarray(pose, np.float64))
    vertices = avatar.vertices.astype(np.float64)
    if avatar.correctives is not None:
        vertices = vertices + avatar.correctives.offsets(rotations, len(vertices))
    transforms = joint_transforms(rotations, avatar.rest_joints.astype(np.float64), avatar.parents)
    posed = skin(vertices, avatar.skin_joints, avatar.skin_weights, transforms)
    return (posed + np.asarray(translation, np.float64)).astype(np.float32)


def captured_vertices(avatar: Avatar) -> np.ndarray:
    """(V, 3) f32 vertices in the capture's camera space, in the capture's pose."""
    return pose_avatar(avatar, avatar.capture.pose, avatar.capture.translation)


def orbit(pelvis: np.ndarray, degrees: float) -> np.ndarray:
    """(4, 4) camera_from_capture of the capture's camera turned about a vertical axis through `pelvis` (3,).

    The axis is parallel to the image's columns; positive angles move the camera to its own right.
    """
    turn = rodrigues(np.array([0.0, np.deg2rad(degrees), 0.0]))
    pelvis = np.asarray(pelvis, np.float64)
    return rigid(turn, pelvis - turn @ pelvis)


def fitted_pelvis(avatar: Avatar) -> np.ndarray:
    """(3,) float64 the pelvis joint of the fit in the capture's camera space, metres."""
    return avatar.rest_joints[0].astype(np.float64) + np.asarray(avatar.capture.translation, np.float64)


def resized(camera: Camera, size: tuple[int, int] | None) -> Camera:
    """The camera for a picture of (width, height) pixels: all of its own picture fits in, centred, undistorted."""
    if size is None or size == (camera.width, camera.height):
        return camera
    width, height = size
    scale = min(width / camera.width, height / camera.height)
    left, top = (width - camera.width * scale) / 2, (height - camera.height * scale) / 2
    return Camera(
        camera.fx * scale,
        camera.fy * scale,
        (camera.cx + 0.5) * scale - 0.5 + left,
        (camera.cy + 0.5) * scale - 0.5 + top,
        width,
        height,
    )


def captured_view(avatar: Avatar, orbit_deg: float = 0.0, size: tuple[int, int] | None = None) -> View:
    """The capture's pose and camera, the camera orbited; size: (width, height) pixels, the capture's by default."""
    camera_from_capture = orbit(fitted_pelvis(avatar), orbit_deg)
    camera = resized(avatar.capture.camera, size)
    return View(captured_vertices(avatar), camera, camera_from_capture, avatar.world_from_capture[1, :3])


def camera_view(avatar: Avatar, path: Path, size: tuple[int, int] | None = None) -> View:
    """The capture's pose seen by a camera file {fx, fy, cx, cy, width, height, camera_from_capture (4 x 4)}.

    Raises LikenessError("input.camera").
    """
    data: Any = read_json(Path(path), "input.camera")
    try:
        camera_from_capture = np.asarray(data["camera_from_capture"], np.float64).reshape(4, 4)
        rotation = camera_from_capture[:3, :3]
        if not np.isfinite(camera_from_capture).all() or np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3:
            raise ValueError("camera_from_capture is no rotation and translation")
    except (KeyError, TypeError, ValueError) as error:
        raise LikenessError(
            "input.camera",
            f"{Path(path).name}: cannot be used as a camera ({error}).",
            "Give fx, fy, cx, cy, width, height and camera_from_capture, a 4 x 4 matrix.",
        ) from error
    camera = resized(Camera.from_dict(data), size)
    return View(captured_vertices(avatar), camera, camera_from_capture, avatar.world_from_capture[1, :3])


def on_floor(avatar: Avatar, clip: MotionClip) -> MotionClip:
    """The clip for this avatar: Y up, its joints, standing at y = 0.

    A clip knows its performer's legs and not the avatar's, so the lowest point of all its frames becomes the floor.
    """
    clip = clip.upright(avatar.rest_joints[0]).with_joints(len(avatar.rest_joints))
    low = _sparse(avatar, 40)
    heights = [pose_avatar(low, p, t)[:, 1].min() for p, t in zip(clip.poses[::2], clip.trans[::2], strict=True)]
    trans = clip.trans.copy()
    trans[:, 1] -= np.float32(min(heights))
    return MotionClip(clip.poses, trans, clip.fps, "Y", clip.name, clip.source, clip.licence)


def _sparse(avatar: Avatar, stride: int) -> Avatar:
    """The avatar reduced to every n-th vertex and those of the soles, for bounds only."""
    low = avatar.vertices[:, 1] < avatar.vertices[:, 1].min() + 0.05
    keep = np.union1d(np.arange(0, len(avatar.vertices), stride), np.nonzero(low)[0][::4])
    fields = {k: getattr(avatar, k)[keep] for k in ("vertices", "skin_joints", "skin_weights", "seen", "body_part")}
    bend = None if avatar.correctives is None else avatar.correctives.of_vertices(keep)
    return replace(avatar, **fields, correctives=bend, faces=avatar.faces[:0], corner_uvs=avatar.corner_uvs[:0])


def framing_camera(
    points: np.ndarray, size: tuple[int, int], azimuth: float, fov: float = _CLIP_FOV
) -> tuple[Camera, np.ndarray]:
    """A level camera that sees all points.

    points: (N, 3) metres, Y up. azimuth: radians, 0 looks at the avatar's front (from +Z), positive from its left (+X).
    fov: radians across the shorter side. Returns the camera and camera_from_world (4, 4).
    """
    width, height = size
    focal = 0.5 * min(width, height) / np.tan(fov / 2)
    camera = Camera(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)
    back = np.array([np.sin(azimuth), 0.0, np.cos(azimuth)])
    rotation = np.stack([[back[2], 0.0, -back[0]], [0.0, -1.0, 0.0], -back])
    local = points.astype(np.float64) @ rotation.T
    reach = (1 - _MARGIN) * np.array([width, height]) / (2 * focal)
    # Each point asks for |x - cx| <= reach * (z + distance); the tightest pair of each axis gives centre and distance.
    ahead, behind = local[:, :2] - reach * local[:, 2:], local[:, :2] + reach * local[:, 2:]
    centre = 0.5 * (ahead.max(0) + behind.min(0))
    distance = float(((ahead.max(0) - behind.min(0)) / (2 * reach)).max())
    return camera, rigid(rotation, np.array([-centre[0], -centre[1], distance]))


def clip_views(
    avatar: Avatar, clip: MotionClip, frames: Sequence[int] | None = None, size: tuple[int, int] = (1024, 1024)
) -> Iterator[View]:
    """The views of a clip's frames: the avatar on the floor y = 0, one still three-quarter camera for the whole clip.

    Raises LikenessError("usage.frames") for frames that the clip does not have.
    """
    count = len(clip)
    chosen = list(range(count)) if frames is None else [int(f) for f in frames]
    if not chosen or min(chosen) < 0 or max(chosen) >= count:
        raise LikenessError(
            "usage.frames", f"The clip {clip.name} has the frames 0 to {count - 1}.", "Choose frames within it."
        )
    clip = on_floor(avatar, clip)
    low = _sparse(avatar, 15)
    sampled = np.unique(np.linspace(0, count - 1, min(count, 60)).astype(int))
    points = np.concatenate([pose_avatar(low, clip.poses[i], clip.trans[i]) for i in sampled])
    forward = rodrigues(clip.poses[sampled, 0].astype(np.float64))[:, :, 2].mean(0)
    camera, camera_from_world = framing_camera(points, size, np.arctan2(forward[0], forward[2]) + _CLIP_AZIMUTH)
    for index in chosen:
        vertices = pose_avatar(avatar, clip.poses[index], clip.trans[index])
        yield View(vertices, camera, camera_from_world, np.array([0.0, 1.0, 0.0]))


def render_views(
    avatar: Avatar, views: Iterable[View], folder: Path, *, count: int, lit: bool = False, report: Report = quiet
) -> list[Path]:
    """Write 0000.png, 0001.png, ... (RGBA, straight alpha) in the order of the views; returns their paths.

    count: how many views there are, for the progress. Raises LikenessError("output.unwritable").
    """
    mesh = TexturedMesh.of(avatar)
    paths: list[Path] = []
    for index, view in enumerate(views):
        report(index / max(count, 1), f"Picture {index + 1} of {count}")
        image = render_mesh(mesh, view.vertices, view.camera, view.camera_from_world, lit=lit, up=view.up)
        path = Path(folder) / f"{index:04d}.png"
        write_bytes(path, encode_png(image))
        paths.append(path)
    report(1.0, f"{len(paths)} pictures")
    return paths
