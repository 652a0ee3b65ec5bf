# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators around one job: choose an input, create the avatar, cancel, and what to do after an error."""

import sys
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, FloatProperty, StringProperty

from . import runtime
from .core.errors import LikenessError
from .engine_setup import EngineSetup, SetupPlan
from .operator_base import LikenessOperator
from .package import INSTALLED_FOLDER
from .preferences import absolute, engine_log, engine_python, preferences, require_engine, reset_reading, settings
from .session import avatar_name, capture_of, free_output
from .wrapping import paragraph

#: A script that waits gives up after this time; the panel has its own, shorter limits.
_WAIT_S = 3600.0


def _inspect_again() -> None:
    """Have the engine look at the chosen input (again), if there is an engine."""
    context, source = bpy.context, runtime.session.source
    if source is None:
        return
    python = engine_python(context)
    engine = runtime.session.engine(python, engine_log()) if python else None
    # Blender's temporary folder vanishes with it, and with it the pictures.
    params = input_params(context) | {"thumbnails_dir": str(Path(bpy.app.tempdir) / "likeness_thumbnails")}
    runtime.session.choose(source, params, engine)
    runtime.session.retry = _inspect_again
    runtime.watch()


def body_params(context: bpy.types.Context) -> dict[str, Any]:
    """The settings that say how the body is found; those left at their defaults are not sent."""
    chosen = settings(context)
    params: dict[str, Any] = {k: str(absolute(v)) for k in ("body", "keypoints") if (v := getattr(chosen, k))}
    if chosen.height_m > 0:
        params["height_m"] = float(chosen.height_m)
    if preferences(context).body_model:
        params["body_model"] = str(absolute(preferences(context).body_model))
    return params


def input_params(context: bpy.types.Context) -> dict[str, Any]:
    """The settings that say how an input is read; those left at their defaults are not sent."""
    chosen = settings(context)
    params: dict[str, Any] = {k: str(absolute(v)) for k in ("mask", "depth", "intrinsics") if (v := getattr(chosen, k))}
    if chosen.unit != "auto":
        params["unit"] = chosen.unit
    if chosen.focal_px > 0:
        params["focal_px"] = float(chosen.focal_px)
    if chosen.person:
        params["person"] = int(chosen.person)
    return params


def is_photo(source: Path, facts: dict[str, Any] | None, params: dict[str, Any]) -> bool:
    """Whether the input has no depth: as the engine found, else by its name."""
    if facts and isinstance(facts.get("kind"), str):
        return facts["kind"] == "photo"
    return source.suffix.lower() in (".jpg", ".jpeg", ".png", ".heic", ".webp") and "depth" not in params


def _create() -> None:
    """Start the job for the chosen input with the scene's settings."""
    context, session = bpy.context, runtime.session
    source = session.source
    if source is None:
        raise LikenessError("usage.input", "Nothing is chosen yet.", "Choose a photo or capture first.")
    engine = session.engine(require_engine(context), engine_log())
    params = input_params(context)
    photo = is_photo(source, session.facts, params)
    unused = ("unit", "depth", "intrinsics") if photo else ()
    params = {k: v for k, v in params.items() if k not in unused}
    params |= {"photos": [str(source)]} if photo else {"capture": str(source)}
    params |= body_params(context)
    chosen = settings(context)
    params |= {"method": "auto" if photo else chosen.method, "preset": chosen.preset, "name": avatar_name(source)}
    out = free_output(absolute(preferences(context).output_folder), avatar_name(source))
    session.retry = _create
    session.create("elicit" if photo else "reconstruct", params, out, engine)
    runtime.watch()


def start_setup() -> None:
    """Install the engine as the preferences say. Raises LikenessError where that cannot begin."""
    if runtime.setup is not None:
        raise LikenessError("engine.busy", "The engine is being set up already.", "Wait until it is done.")
    prefs = preferences()
    wheelhouse = absolute(prefs.wheelhouse) if prefs.wheelhouse else None
    if wheelhouse is None and not bpy.app.online_access:
        raise LikenessError(
            "environment.offline",
            "Blender is set to stay offline.",
            "Allow online access in Preferences > System, or choose a folder of wheels under Other Ways.",
        )
    plan = SetupPlan.from_extension(INSTALLED_FOLDER, sys.executable, absolute(prefs.engine_folder), wheelhouse)
    runtime.start_setup(EngineSetup(plan, engine_log().with_name("setup.log")), start_setup)


class LIKENESS_OT_choose(LikenessOperator, bpy.types.Operator):
    """Choose a photo, or a capture: a file with colour and depth, or a folder of them"""

    bl_idname = "likeness.choose"
    bl_label = "Photo or Capture…"

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    directory: StringProperty(subtype="DIR_PATH", options={"SKIP_SAVE", "HIDDEN"})
    filter_image: BoolProperty(default=True, options={"HIDDEN"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})
    filter_glob: StringProperty(default="*.png;*.jpg;*.jpeg;*.heic;*.webp;*.npz;*.r3d;*.json", options={"HIDDEN"})
    by_hand: BoolProperty(options={"SKIP_SAVE", "HIDDEN"})
    wait: BoolProperty(
        name="Wait", description="For scripts: return when the input was looked at", options={"SKIP_SAVE", "HIDDEN"}
    )

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Open the file browser; a file that was dropped is taken as it is."""
        self.by_hand = True
        if self.filepath:
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def draw(self, context: bpy.types.Context) -> None:
        """Beside the file browser."""
        paragraph(self.layout, context, "Pick a photo or a capture file, or open the folder of a capture and accept.")

    def run(self, context: bpy.types.Context) -> None:
        """Take the file, or the folder when no file in it was picked."""
        path = absolute(self.filepath or self.directory)
        if not path.exists() and self.directory and absolute(self.directory).is_dir():
            path = absolute(self.directory)
        if not (self.filepath or self.directory) or not path.exists():
            raise LikenessError(
                "input.missing", f"{path.name}: there is no such file or folder.", "Choose another one."
            )
        if runtime.session.job is not None:
            raise LikenessError("engine.busy", "An avatar is being made.", "Wait until it is done, or cancel it.")
        source = capture_of(path)
        if self.by_hand and source != runtime.session.source:
            reset_reading(context)  # a script sets them before it chooses, an artist after
        runtime.session.source = source
        _inspect_again()
        if self.wait:
            runtime.wait(_WAIT_S)


class LIKENESS_OT_inspect(LikenessOperator, bpy.types.Operator):
    """Look at the chosen input again, with the settings as they are now"""

    bl_idname = "likeness.inspect"
    bl_label = "Look Again"

    def run(self, context: bpy.types.Context) -> None:
        """Ask the engine."""
        require_engine(context)
        _inspect_again()


class LIKENESS_OT_forget(LikenessOperator, bpy.types.Operator):
    """Put the chosen input away"""

    bl_idname = "likeness.forget"
    bl_label = "Choose Another"

    def run(self, _context: bpy.types.Context) -> None:
        """Back to the start."""
        runtime.session.forget()
        runtime.session.dismiss()


class LIKENESS_OT_create_avatar(LikenessOperator, bpy.types.Operator):
    """Make the avatar of the chosen photo or capture. A fitted body is draped onto what was seen; with depth a
    network guesses the far side"""

    bl_idname = "likeness.create_avatar"
    bl_label = "Create Avatar"

    wait: BoolProperty(
        name="Wait", description="For scripts: return when the avatar is in the scene", options={"SKIP_SAVE", "HIDDEN"}
    )
    wait_s: FloatProperty(name="At most", description="Seconds", default=_WAIT_S, min=1.0, options={"HIDDEN"})

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """There is an input, and no job."""
        return runtime.session.source is not None and runtime.session.job is None

    def run(self, _context: bpy.types.Context) -> None:
        """Start the job; the avatar arrives later by itself, unless `wait` is set."""
        _create()
        if self.wait:
            runtime.wait(self.wait_s)


class LIKENESS_OT_cancel(LikenessOperator, bpy.types.Operator):
    """Stop the running job or set-up; what is finished so far is kept"""

    bl_idname = "likeness.cancel"
    bl_label = "Cancel"

    def run(self, _context: bpy.types.Context) -> None:
        """Cancel what runs."""
        if runtime.setup is not None:
            runtime.setup.stop()
        runtime.session.cancel()
        runtime.watch()


class LIKENESS_OT_try_again(LikenessOperator, bpy.types.Operator):
    """Do what has failed once more"""

    bl_idname = "likeness.try_again"
    bl_label = "Try Again"

    def run(self, _context: bpy.types.Context) -> None:
        """Repeat the last step; an error that comes at once is shown like one that comes later."""
        retry = runtime.session.retry
        runtime.session.dismiss()
        if retry is not None:
            retry()


class LIKENESS_OT_dismiss(LikenessOperator, bpy.types.Operator):
    """Put the message away"""

    bl_idname = "likeness.dismiss"
    bl_label = "Dismiss"

    def run(self, _context: bpy.types.Context) -> None:
        """Forget the error or notice."""
        runtime.session.dismiss()


class LIKENESS_OT_open_log(LikenessOperator, bpy.types.Operator):
    """Open the latest log, of the engine or of its set-up: it holds what a developer needs, and no pictures"""

    bl_idname = "likeness.open_log"
    bl_label = "Open Log"

    def run(self, _context: bpy.types.Context) -> None:
        """Hand the file to the system."""
        logs = sorted(engine_log().parent.glob("*.log"), key=lambda path: path.stat().st_mtime)
        if not logs:
            raise LikenessError("usage.log", "There is no log yet.", "It is written when the engine starts.")
        if bpy.ops.wm.path_open(filepath=str(logs[-1])) != {"FINISHED"}:
            raise LikenessError("environment.open", f"The log is at {logs[-1]}.", "Open it by hand.")


class LIKENESS_OT_setup_engine(LikenessOperator, bpy.types.Operator):
    """Download and install the engine (about 1.9 GB) into its own folder; Blender's Python is left alone"""

    bl_idname = "likeness.setup_engine"
    bl_label = "Set Up Engine"

    def run(self, _context: bpy.types.Context) -> None:
        """Start the set-up; the panel shows how far it is."""
        start_setup()


CLASSES = (
    LIKENESS_OT_choose,
    LIKENESS_OT_inspect,
    LIKENESS_OT_forget,
    LIKENESS_OT_create_avatar,
    LIKENESS_OT_cancel,
    LIKENESS_OT_try_again,
    LIKENESS_OT_dismiss,
    LIKENESS_OT_open_log,
    LIKENESS_OT_setup_engine,
)
