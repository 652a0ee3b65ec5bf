# SPDX-License-Identifier: GPL-3.0-or-later
"""The tab "Likeness" in the 3D view's sidebar. Drawing reads state and changes nothing."""

from pathlib import Path

import bpy

from . import runtime
from .importer import find_avatar
from .panel_avatar import draw_avatar
from .panel_input import draw_chosen, draw_ready
from .pictures import icon, thumbnails
from .preferences import engine_python, preferences
from .wrapping import paragraph

#: Errors that a new set-up of the engine mends.
_ENGINE_FAULTS = ("engine.missing", "engine.protocol", "engine.start", "engine.garbage", "environment.package")


class LIKENESS_PT_main(bpy.types.Panel):
    """One column in the order of work; one main button in each state"""

    bl_label = "Likeness"
    bl_idname = "LIKENESS_PT_main"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Likeness"

    def draw(self, context: bpy.types.Context) -> None:
        """Choose the state and draw it."""
        session, layout = runtime.session, self.layout
        if session.failure is not None:
            draw_failure(layout, context)
        elif session.job is not None or runtime.setup is not None:
            draw_running(layout, context)
        elif engine_python(context) is None:
            draw_no_engine(layout, context)
        elif session.source is not None:
            draw_chosen(layout, context)
        else:
            draw_ready(layout, context)
        if session.notice and session.failure is None:
            row = layout.row()
            paragraph(row, context, session.notice, icon="INFO", reserve_pt=26)
            row.operator("likeness.dismiss", text="", icon="X", emboss=False)
        rig = find_avatar(context)
        if rig is not None and session.job is None:
            layout.separator()
            draw_avatar(layout, context, rig)


def draw_no_engine(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """State 1: say what is missing, how much it is, where it goes; one button."""
    prefs = preferences(context)
    paragraph(layout, context, "The engine that builds avatars is not set up yet.")
    offline = not bpy.app.online_access and not prefs.wheelhouse
    if offline:
        paragraph(
            layout, context, "Blender is set to stay offline. Allow it to go online for the download:", icon="INFO"
        )
        layout.prop(context.preferences.system, "use_online_access", text="Allow Online Access")
    else:
        what = "Install it from the folder of wheels" if prefs.wheelhouse else "Download about 1.9 GB"
        paragraph(layout, context, f"{what} to {prefs.engine_folder}")
    row = layout.row()
    row.scale_y = 1.4
    row.enabled = not offline
    row.operator("likeness.setup_engine", icon="IMPORT")
    header, body = layout.panel("LIKENESS_other_ways", default_closed=True)
    header.label(text="Other ways")
    if body is not None:
        body.use_property_split = False
        paragraph(body, context, "A Python that has the engine already:")
        body.prop(prefs, "engine_python", text="")
        paragraph(body, context, "No network: a folder of wheels to install from:")
        body.prop(prefs, "wheelhouse", text="")
        body.prop(prefs, "engine_folder", text="To")


def draw_running(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """State 4: picture, stage, share, remaining time, Cancel."""
    job, setup = runtime.session.job, runtime.setup
    if setup is not None:
        stopping, fraction, left = setup.stopping, setup.fraction, ""
        detail = f"{setup.stage}: {setup.message}".strip(": ")
        title = "Engine"
    else:
        assert job is not None
        stopping, fraction, left = job.cancelling_since is not None, job.fraction, remaining_text(job.remaining_s)
        number = job.stages.index(job.stage) + 1 if job.stage in job.stages else 0
        title = job.stage.capitalize() or "Starting"
        detail = " · ".join(filter(None, (f"{number} of {len(job.stages)}" if number else "", job.message)))
        draw_picture(layout, job.preview or first_thumbnail())
    layout.progress(factor=fraction, text=f"{title}  {fraction * 100:.0f} %" + (f"  {left}" if left else ""))
    if detail:
        paragraph(layout, context, detail)
    row = layout.row()
    row.scale_y = 1.4
    row.enabled = not stopping
    row.operator("likeness.cancel", text="Stopping…" if stopping else "Cancel", icon="CANCEL")
    paragraph(layout, context, "You can go on working.")


def first_thumbnail() -> Path | None:
    """The person cut out of the input, until the job has a picture of its own."""
    found = dict(thumbnails(runtime.session.facts))
    return found.get("cutout", found.get("color"))


def draw_picture(layout: bpy.types.UILayout, path: Path | None) -> None:
    """A picture of the width of the panel, when it is loaded."""
    number = icon(path)
    if number:
        layout.template_icon(icon_value=number, scale=7.0)


def remaining_text(seconds: float | None) -> str:
    """125 -> '2:05 left'; nothing while it is unknown."""
    if seconds is None or not 0 <= seconds < 360_000:
        return ""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} left"


def draw_failure(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """State 6: what is wrong, what to do, and the next step as a button."""
    failure = runtime.session.failure
    assert failure is not None
    box = layout.box()
    paragraph(box, context, failure.message, icon="ERROR", reserve_pt=8)
    if failure.hint:
        paragraph(box, context, failure.hint, icon="BLANK1", reserve_pt=8)
    family, retry = failure.code.split(".", 1)[0], runtime.session.retry is not None
    row = layout.row()
    row.scale_y = 1.4
    if failure.code in _ENGINE_FAULTS:
        row.operator("likeness.setup_engine", icon="IMPORT")
    elif family in ("capture", "photo", "input"):
        row.operator("likeness.choose", text="Choose Another", icon="FILEBROWSER")
    elif retry:
        row.operator("likeness.try_again", icon="FILE_REFRESH")
        retry = False
    row = layout.row()
    if retry:
        row.operator("likeness.try_again", icon="FILE_REFRESH")
    row.operator("likeness.dismiss", icon="X")
    layout.operator("likeness.open_log", icon="TEXT")


class LIKENESS_PT_engine(bpy.types.Panel):
    """What the engine runs on"""

    bl_label = "Engine"
    bl_idname = "LIKENESS_PT_engine"
    bl_parent_id = "LIKENESS_PT_main"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Likeness"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only when there is an engine to speak of."""
        return engine_python(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        """Version, device, memory; where results go."""
        client = runtime.session.client
        if client is not None and client.ready:
            facts = client.facts
            devices = ", ".join(str(d).upper() for d in facts.get("devices") or ["cpu"])
            self.layout.label(text=f"{devices} · ready", icon="CHECKMARK")
            self.layout.label(text=f"Version {facts.get('engine', '?')}, {facts.get('memory_gb', '?')} GB memory")
        elif client is not None and client.alive:
            self.layout.label(text="Starting…", icon="SORTTIME")
        else:
            self.layout.label(text="Starts when it is needed", icon="CHECKMARK")
        self.layout.label(text="Avatars are stored in")
        self.layout.prop(preferences(context), "output_folder", text="")
        self.layout.operator("likeness.open_log", icon="TEXT")


CLASSES = (LIKENESS_PT_main, LIKENESS_PT_engine)
