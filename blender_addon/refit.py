# SPDX-License-Identifier: GPL-3.0-or-later
"""Posing an avatar over its capture's picture: the capture's camera in the scene, and poses to and from fits.

Everything is relative to the armature's own space, in which `world_from_capture` puts the capture; so the artist may
move the whole avatar about, and the camera, which is its child, goes with it.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from . import motion
from .armature import joint_names, set_pose
from .coordinates import BLENDER_FROM_ENGINE, to_engine
from .core.avatar import Avatar
from .core.camera import Camera
from .core.errors import LikenessError
from .core.files import read_json
from .core.fit import LIMBS, Fit
from .core.fit_file import FIT_FILE, read_fit
from .core.frames import axis_angle, rigid, rodrigues

#: Custom property of the capture's camera object.
CAMERA_KEY = "likeness_capture_camera"
#: The picture that an avatar folder keeps of its capture.
PICTURE = Path("previews") / "capture.jpg"
#: Under this a limb is called unsure: half of such limbs are more than 10 cm off (core.fit.usually_off).
UNSURE = 0.2
#: How much of the picture lies over the avatar.
_PICTURE_ALPHA = 0.5
_SENSOR_MM = 36.0
#: Blender's cameras look along -Z with Y up.
_CV_FROM_CAMERA = np.diag([1.0, -1.0, -1.0])
_LIMB_WORDS = {
    "head": ("neck", "head", "jaw", "eye"),
    "torso": ("pelvis", "spine", "collar"),
    "leg": ("hip", "knee", "ankle", "foot"),
    "hand": ("wrist", "hand", "thumb", "index", "middle", "ring", "pinky"),
}


def unsure_limbs(confidence: dict[str, float]) -> list[str]:
    """The limbs that are unsure, in the panel's order."""
    return [limb for limb in LIMBS if confidence.get(limb, 1.0) < UNSURE]


def limb_of(joint: str) -> str:
    """The limb (of core.fit.LIMBS) that a joint of SMPL's families belongs to."""
    side, _, word = joint.partition("_")
    for limb, words in _LIMB_WORDS.items():
        if any(w in joint for w in words):
            return limb if limb in LIMBS else f"{side}_{limb}"
    return f"{side}_arm" if word else "torso"


def captured_fit(rig: bpy.types.Object, avatar: Avatar) -> Fit:
    """The rig's pose of now as a fit of its avatar's capture: where a new fit begins."""
    bpy.context.view_layer.update()
    bones = [rig.pose.bones[name] for name in joint_names(rig)]
    turns = np.array([_turn(bone) for bone in bones])
    turns = BLENDER_FROM_ENGINE.T @ turns @ BLENDER_FROM_ENGINE
    tree = motion.parents(rig)
    local = np.array([t if p < 0 else turns[p].T @ t for t, p in zip(turns, tree, strict=True)])
    turn, shift = avatar.world_from_capture[:3, :3], avatar.world_from_capture[:3, 3]
    local[0] = turn.T @ local[0]
    pelvis = to_engine(np.array(bones[0].head[:], np.float64))
    translation = turn.T @ (pelvis - shift) - avatar.rest_joints[0].astype(np.float64)
    pose = axis_angle(local).astype(np.float32)
    return replace(avatar.capture, pose=pose, translation=translation.astype(np.float32))


def _turn(bone: bpy.types.PoseBone) -> np.ndarray:
    """(3, 3) rotation of a bone from its rest to now, armature axes, whatever constraints or scales do."""
    now = bone.matrix.to_quaternion().to_matrix()
    rest = bone.bone.matrix_local.to_quaternion().to_matrix()
    return np.array(now @ rest.transposed(), np.float64)


def write_start(path: Path, rig: bpy.types.Object, avatar: Avatar) -> Path:
    """Write the rig's pose as a fit's JSON. Returns the path."""
    data = {"body_model": dict(avatar.body_model), **captured_fit(rig, avatar).to_dict()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def read_outcome(folder: Path) -> tuple[Fit, np.ndarray]:
    """A finished fit and the rest joints (J, 3) of its shape. Raises LikenessError("body.fit")."""
    fit = read_fit(folder).fit
    data: dict[str, Any] = read_json(folder / FIT_FILE, "body.fit")
    try:
        joints = np.asarray(data["rest_joints"], np.float64).reshape(-1, 3)
    except (KeyError, TypeError, ValueError) as error:
        raise LikenessError("body.fit", f"{folder.name}: says no rest joints.", "Refit once more.") from error
    return fit, joints


def pose_by_fit(rig: bpy.types.Object, avatar: Avatar, fit: Fit, rest_joints: np.ndarray) -> None:
    """Pose the rig as a fit of its avatar's capture says, whose shape has these rest joints (J, 3)."""
    fit = fit.with_joints(len(joint_names(rig)))
    turn, shift = avatar.world_from_capture[:3, :3], avatar.world_from_capture[:3, 3]
    pose = fit.pose.astype(np.float64).copy()
    pose[0] = axis_angle(turn @ rodrigues(pose[0]))
    trans = turn @ (rest_joints[0] + fit.translation) + shift - avatar.rest_joints[0]
    set_pose(rig, pose, trans)


def capture_camera(
    context: bpy.types.Context, rig: bpy.types.Object, avatar: Avatar, picture: Path
) -> bpy.types.Object:
    """The capture's camera as the scene's, with the picture over what it sees; the scene gets the picture's shape."""
    camera = next((child for child in rig.children if child.get(CAMERA_KEY)), None)
    if camera is None:
        lens = bpy.data.cameras.new(f"{rig.name} Capture")
        camera = bpy.data.objects.new(lens.name, lens)
        camera[CAMERA_KEY] = True
        (rig.users_collection[0] if rig.users_collection else context.scene.collection).objects.link(camera)
        camera.parent = rig
    capture = rigid(BLENDER_FROM_ENGINE, np.zeros(3)) @ avatar.world_from_capture
    camera.matrix_parent_inverse = Matrix()
    camera.matrix_basis = Matrix((capture @ rigid(_CV_FROM_CAMERA, np.zeros(3))).tolist())
    _set_lens(camera.data, context.scene.render, avatar.capture.camera)
    _set_picture(camera.data, picture)
    context.scene.camera = camera
    return camera


def _set_lens(lens: bpy.types.Camera, render: bpy.types.RenderSettings, camera: Camera) -> None:
    """Focal length and principal point; the scene's render size becomes the picture's."""
    render.resolution_x, render.resolution_y = camera.width, camera.height
    render.pixel_aspect_x = max(1.0, camera.fy / camera.fx)
    render.pixel_aspect_y = max(1.0, camera.fx / camera.fy)
    across = camera.width * render.pixel_aspect_x
    down = camera.height * render.pixel_aspect_y
    longer = max(across, down)
    lens.sensor_fit, lens.sensor_width = "AUTO", _SENSOR_MM
    lens.lens = camera.fx * render.pixel_aspect_x * _SENSOR_MM / longer
    # Integer pixel coordinates are pixel centres, so the picture's middle lies at (width - 1) / 2.
    lens.shift_x = ((camera.width - 1) / 2 - camera.cx) * render.pixel_aspect_x / longer
    lens.shift_y = (camera.cy - (camera.height - 1) / 2) * render.pixel_aspect_y / longer
    lens.clip_start, lens.clip_end = 0.05, max(lens.clip_end, 100.0)


def _set_picture(lens: bpy.types.Camera, picture: Path) -> None:
    lens.background_images.clear()
    shown = lens.background_images.new()
    shown.image = bpy.data.images.load(str(picture), check_existing=True)
    shown.alpha, shown.display_depth, shown.frame_method = _PICTURE_ALPHA, "FRONT", "STRETCH"
    lens.show_background_images = True
