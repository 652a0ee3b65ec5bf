# SPDX-License-Identifier: GPL-3.0-or-later
"""An avatar folder becomes a collection with a mesh, an armature and a material: all of it, or nothing."""

import json
from pathlib import Path

import bpy
import numpy as np

from .armature import build_armature
from .core.avatar import Avatar, read_avatar
from .core.errors import LikenessError
from .correctives import add_keys
from .mesh import add_vertex_groups, build_material, build_mesh

#: Custom property of the armature object that says where its avatar folder lies; it marks an object as ours.
FOLDER_KEY = "likeness_avatar"
JOB_KEY = "likeness_job"
METHOD_KEY = "likeness_method"
LICENCE_KEY = "likeness_licences"
CONFIDENCE_KEY = "likeness_confidence"
#: The request that the avatar was made with, so that it can be refitted; in the .blend alone, never in the folder.
REQUEST_KEY = "likeness_request"
#: The folder of a refit that is under way, and of the last one that was taken over.
REFIT_KEY = "likeness_refit"
FIT_KEY = "likeness_fit"


def import_avatar(folder: Path, job: str = "", request: str = "") -> bpy.types.Object:
    """Bring an avatar folder into the current scene and return its armature object, selected and active.

    request: what it was made with, as JSON, where that is known.

    Blender's own numbering keeps older avatars of that name: the second one is NAME.001.
    Raises LikenessError for a folder that cannot be used; the file then is as it was before.
    """
    avatar = read_avatar(folder)
    if bpy.context.mode != "OBJECT":
        raise LikenessError(
            "usage.mode",
            "An avatar can only be brought in in Object Mode.",
            "Press Tab to leave the mode, then try again.",
        )
    made: list[bpy.types.ID] = []
    try:
        rig = _build(avatar, Path(folder), job, made)
    except Exception:
        _remove(made)
        raise
    if request:
        rig[REQUEST_KEY] = request
    return rig


def _build(avatar: Avatar, folder: Path, job: str, made: list[bpy.types.ID]) -> bpy.types.Object:
    """Make all data blocks, listing them in `made` in the order in which they are to be removed again."""
    collection = bpy.data.collections.new(avatar.name)
    made.append(collection)
    name = collection.name
    rig = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    made[:0] = [rig, rig.data]
    mesh = build_mesh(f"{name} Mesh", avatar)
    body = bpy.data.objects.new(f"{name} Mesh", mesh)
    made[:0] = [body, mesh]
    albedo = folder / "textures" / "albedo.png"
    material = build_material(name, albedo if albedo.is_file() else None)
    made.append(material)
    mesh.materials.append(material)
    add_vertex_groups(body, avatar.joint_names, avatar.skin_joints, avatar.skin_weights)

    collection.objects.link(rig)
    collection.objects.link(body)
    bpy.context.scene.collection.children.link(collection)
    build_armature(rig, avatar.joint_names, np.asarray(avatar.parents), avatar.rest_joints)
    body.parent = rig
    modifier = body.modifiers.new("Armature", "ARMATURE")
    modifier.object = rig
    modifier.use_vertex_groups, modifier.use_bone_envelopes = True, False
    modifier.use_deform_preserve_volume = False  # SMPL blends matrices, not dual quaternions
    add_keys(body, rig, avatar)
    # SMPL's origin is near the pelvis; the object is lifted, the numbers inside stay SMPL's.
    rig.location.z = -min(0.0, float(avatar.vertices[:, 1].min(initial=0.0)))
    _label(rig, avatar, folder, job)
    for other in bpy.context.selected_objects:
        other.select_set(False)
    rig.select_set(True)
    bpy.context.view_layer.objects.active = rig
    return rig


def _label(rig: bpy.types.Object, avatar: Avatar, folder: Path, job: str) -> None:
    """Custom properties, so that the panel finds the folder, the job and the doubts again after saving."""
    rig[FOLDER_KEY] = str(folder.resolve())
    rig[JOB_KEY] = job
    rig[METHOD_KEY] = avatar.method
    rig[LICENCE_KEY] = json.dumps(avatar.licences, ensure_ascii=False)
    rig[CONFIDENCE_KEY] = dict(avatar.capture.confidence)


def _remove(made: list[bpy.types.ID]) -> None:
    """Take back what a failed import had made."""
    if bpy.context.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    bpy.data.batch_remove(made)


def is_avatar(candidate: bpy.types.Object | None) -> bool:
    """Whether the object is the armature of one of our avatars."""
    return candidate is not None and candidate.type == "ARMATURE" and FOLDER_KEY in candidate


def find_avatar(context: bpy.types.Context) -> bpy.types.Object | None:
    """The avatar that the artist means: the active object, its parent, or the only avatar of the scene."""
    active = context.object
    for candidate in (active, active.parent if active else None):
        if is_avatar(candidate):
            return candidate
    avatars = [o for o in context.scene.objects if is_avatar(o)]
    return avatars[0] if len(avatars) == 1 else None
