# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that mend a body's fit: pose over the picture, refit, make the avatar again with that body."""

import json
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty

from . import importer, motion, refit, runtime
from .core.avatar import read_avatar
from .core.errors import LikenessError
from .core.fit import LIMBS, usually_off
from .core.fit_file import SUFFIX
from .operator_base import LikenessOperator
from .operators_avatar import wanted_avatar
from .preferences import absolute, engine_log, preferences, require_engine
from .session import free_output

_WAIT_S = 600.0
#: What a request for an avatar says that a request for its fit does not.
_NOT_FOR_FITS = ("capture", "photos", "method", "preset", "name", "body")


def request_of(rig: bpy.types.Object) -> dict[str, Any]:
    """{"method", "params"} that the avatar was made with; empty where this .blend does not know."""
    try:
        stored = json.loads(str(rig.get(importer.REQUEST_KEY, "{}")))
    except ValueError:
        return {}
    return stored if isinstance(stored, dict) and isinstance(stored.get("params"), dict) else {}


def source_of(rig: bpy.types.Object) -> Path | None:
    """The photo or capture that the avatar was made from, where it is known and still there."""
    params = request_of(rig).get("params", {})
    photos = params.get("photos") or [None]
    path = params.get("capture") or (photos[0] if isinstance(photos, list) else None)
    return Path(path) if isinstance(path, str) and Path(path).exists() else None


class LIKENESS_OT_pose_over_picture(LikenessOperator, bpy.types.Operator):
    """Look through the capture's camera at the avatar as it was captured, the picture over it, to pose it by hand.
    The scene's render size becomes the picture's"""

    bl_idname = "likeness.pose_over_picture"
    bl_label = "Pose over Picture"
    bl_options = {"REGISTER", "UNDO"}

    def run(self, context: bpy.types.Context) -> None:
        """Captured or refitted pose, camera, picture, Pose Mode."""
        rig = wanted_avatar(context)
        folder = Path(rig[importer.FOLDER_KEY])
        avatar = read_avatar(folder)
        picture = folder / refit.PICTURE
        if not picture.is_file():
            raise LikenessError(
                "avatar.picture", f"{folder.name} keeps no picture of its capture.", "Make the avatar again."
            )
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        place = motion.pelvis_place(rig)
        motion.release(rig)
        motion.set_captured_pose(rig, avatar)
        motion.settle(rig, place, 0.0)
        fitted = rig.get(importer.FIT_KEY)
        if fitted and Path(str(fitted)).is_dir():
            refit.pose_by_fit(rig, avatar, *refit.read_outcome(Path(str(fitted))))
        refit.capture_camera(context, rig, avatar, picture)
        context.view_layer.objects.active = rig
        rig.select_set(True)
        bpy.ops.object.mode_set(mode="POSE")
        if context.space_data is not None and context.space_data.type == "VIEW_3D":
            context.space_data.region_3d.view_perspective = "CAMERA"


class LIKENESS_OT_refit(LikenessOperator, bpy.types.Operator):
    """Fit the body to the capture anew, beginning with the pose that the avatar has now; takes seconds"""

    bl_idname = "likeness.refit"
    bl_label = "Refit"

    filepath: StringProperty(
        name="Capture",
        description="The photo or capture, where it has moved",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    filter_image: BoolProperty(default=True, options={"HIDDEN"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})
    wait: BoolProperty(name="Wait", description="For scripts: return when it is done", options={"SKIP_SAVE", "HIDDEN"})
    wait_s: FloatProperty(name="At most", description="Seconds", default=_WAIT_S, min=1.0, options={"HIDDEN"})

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Only while nothing runs."""
        return runtime.session.job is None

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask for the capture where it is not known any more."""
        rig = importer.find_avatar(context)
        if rig is None or self.filepath or source_of(rig) is not None:
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def run(self, context: bpy.types.Context) -> None:
        """Write the pose as a start and send the engine off."""
        rig = wanted_avatar(context)
        source = absolute(self.filepath) if self.filepath else source_of(rig)
        if source is None or not source.exists():
            raise LikenessError(
                "usage.capture", f"The capture of {rig.name} is not where it was.", "Choose its file once more."
            )
        engine = runtime.session.engine(require_engine(context), engine_log())
        avatar = read_avatar(Path(rig[importer.FOLDER_KEY]))
        start = refit.write_start(Path(bpy.app.tempdir) / "likeness_start.json", rig, avatar)
        params = {k: v for k, v in request_of(rig).get("params", {}).items() if k not in _NOT_FOR_FITS}
        params |= {"input": str(source), "body": str(start)}
        out = free_output(absolute(preferences(context).output_folder), rig.name, SUFFIX)
        rig[importer.REFIT_KEY] = str(out)
        runtime.session.retry = lambda: bpy.ops.likeness.refit(filepath=str(source))
        runtime.session.create("fit", params, out, engine)
        runtime.watch()
        if self.wait:
            runtime.wait(self.wait_s)


class LIKENESS_OT_remake_avatar(LikenessOperator, bpy.types.Operator):
    """Make the avatar again from its capture, with the body as it was refitted; the old avatar stays"""

    bl_idname = "likeness.remake_avatar"
    bl_label = "Make Avatar Again"

    wait: BoolProperty(name="Wait", description="For scripts: return when it is done", options={"SKIP_SAVE", "HIDDEN"})
    wait_s: FloatProperty(name="At most", description="Seconds", default=3600.0, min=1.0, options={"HIDDEN"})

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Only while nothing runs."""
        return runtime.session.job is None

    def run(self, context: bpy.types.Context) -> None:
        """Start the job that the avatar came from once more."""
        rig = wanted_avatar(context)
        fit, request = rig.get(importer.FIT_KEY), request_of(rig)
        if not fit or not Path(str(fit)).is_dir():
            raise LikenessError("usage.fit", f"{rig.name} was not refitted yet.", "Press Refit first.")
        if not request or source_of(rig) is None:
            raise LikenessError(
                "usage.capture", f"The capture of {rig.name} is not where it was.", "Choose it and create the avatar."
            )
        engine = runtime.session.engine(require_engine(context), engine_log())
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        params = request["params"] | {"body": str(fit)}
        out = free_output(absolute(preferences(context).output_folder), str(params.get("name") or rig.name))
        runtime.session.retry = bpy.ops.likeness.remake_avatar
        runtime.session.create(str(request.get("method", "reconstruct")), params, out, engine)
        runtime.watch()
        if self.wait:
            runtime.wait(self.wait_s)


class LIKENESS_OT_select_limb(LikenessOperator, bpy.types.Operator):
    """Select the bones of this limb"""

    bl_idname = "likeness.select_limb"
    bl_label = "Select Limb"
    bl_options = {"REGISTER", "UNDO"}

    limb: EnumProperty(name="Limb", items=[(limb, limb.replace("_", " ").capitalize(), "") for limb in LIMBS])

    @classmethod
    def description(cls, context: bpy.types.Context, properties: Any) -> str:
        """How sure the fit is of this limb, and what to do about it."""
        rig = importer.find_avatar(context)
        confidence = dict(rig.get(importer.CONFIDENCE_KEY, {})) if rig is not None else {}
        sure = confidence.get(properties.limb)
        if sure is None:
            return "Select the bones of this limb"
        doubtful = properties.limb in refit.unsure_limbs(confidence)
        advice = ". Pose it over the picture, then Refit" if doubtful else ""
        cm = 100 * usually_off(sure)
        return f"Limbs that look like this one are usually {cm:.0f} cm off{advice}. Click to select its bones"

    def run(self, context: bpy.types.Context) -> None:
        """Pose Mode with these bones selected."""
        rig = wanted_avatar(context)
        if context.mode != "POSE":
            if context.mode != "OBJECT":
                bpy.ops.object.mode_set(mode="OBJECT")
            context.view_layer.objects.active = rig
            rig.select_set(True)
            bpy.ops.object.mode_set(mode="POSE")
        for bone in rig.pose.bones:
            holder = bone if hasattr(bone, "select") else bone.bone  # Blender 5 moved it
            holder.select = refit.limb_of(bone.name) == self.limb


CLASSES = (LIKENESS_OT_pose_over_picture, LIKENESS_OT_refit, LIKENESS_OT_remake_avatar, LIKENESS_OT_select_limb)
