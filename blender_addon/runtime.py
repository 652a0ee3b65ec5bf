# SPDX-License-Identifier: GPL-3.0-or-later
"""The one session of this Blender, and what moves it: tick(), called by a timer, or by a loop without a window."""

import atexit
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy

from . import importer, pictures, refit
from .core.avatar import read_avatar
from .core.errors import LikenessError
from .engine_setup import EngineSetup
from .session import Session

log = logging.getLogger(__name__)

#: Often enough for a bar that moves, seldom enough to cost nothing (a tick without news takes microseconds).
_INTERVAL_S = 0.15
_IDLE_INTERVAL_S = 1.0

session = Session()
setup: EngineSetup | None = None
_drawn_version = -1


def start_setup(new: EngineSetup, again: Callable[[], None]) -> None:
    """Follow a set-up of the engine. again: starts it once more, for Try Again after a failure."""
    global setup
    setup = new
    session.dismiss()
    session.retry = again
    watch()


def tick() -> bool:
    """Move everything on, bring in avatars that have arrived, redraw. Returns whether something is still under way."""
    global setup
    session.tick()
    if setup is not None:
        setup.tick()
        session.version += 1
        if setup.finished:
            done, setup = setup, None
            if done.failure is not None:
                session.fail(done.failure, session.retry)
            elif done.python:
                session.notice = "The engine is ready. Choose a photo or capture."
    if session.arrivals:
        _bring_in()
    pictures.follow(session.facts, session.job.preview if session.job else None)
    _redraw()
    return session.busy or setup is not None


def _bring_in() -> None:
    """Import the first avatar that waits, as one undo step; while the artist's hands are full it goes on waiting."""
    with _window():
        waiting = _hands_full(any_mode=session.arrivals[0].is_fit)
        if waiting:
            if session.notice != waiting:
                session.notice = waiting
                session.version += 1
            return
        arrival = session.arrivals.pop(0)
        session.notice = ""
        session.version += 1
        if arrival.is_fit:
            _take_fit(arrival.folder)
            return
        try:
            rig = importer.import_avatar(arrival.folder, arrival.job, arrival.request)
        except LikenessError as error:
            session.fail(error, session.retry)
            return
        session.forget()
        _show_colours()
        log.info("%s was brought in from %s", rig.name, arrival.folder)
        bpy.ops.ed.undo_push(message=f"Likeness: {rig.name}")


def _take_fit(folder: Path) -> None:
    """Pose the avatar that was refitted, as one undo step; its overlay is shown in the panel."""
    rig = next((o for o in bpy.data.objects if o.get(importer.REFIT_KEY) == str(folder)), None)
    if rig is None or not importer.is_avatar(rig):
        session.notice = f"The new fit is in {folder.name}; its avatar is not in this file any more."
        return
    try:
        fit, joints = refit.read_outcome(folder)
        refit.pose_by_fit(rig, read_avatar(Path(rig[importer.FOLDER_KEY])), fit, joints)
    except LikenessError as error:
        session.fail(error, session.retry)
        return
    rig[importer.FIT_KEY], rig[importer.CONFIDENCE_KEY] = str(folder), dict(fit.confidence)
    pictures.load(folder / "overlay.png")
    session.notice = "Refitted. If the body fits, make the avatar again."
    bpy.ops.ed.undo_push(message=f"Likeness: Refit {rig.name}")


def _hands_full(*, any_mode: bool = False) -> str:
    """Why this is no moment to add objects; empty when it is one. any_mode: nothing is added, only posed.

    Bones are made in Edit Mode, and Blender may crash when data appears under a running render or transformation.
    """
    if bpy.context.mode != "OBJECT" and not any_mode:
        return "The avatar is finished. Go back to Object Mode (Tab) to bring it in."
    if bpy.app.is_job_running("RENDER"):
        return "The avatar is finished. It comes in when the render is done."
    if any(len(window.modal_operators) for window in bpy.context.window_manager.windows):
        return "The avatar is finished. It comes in when you have finished what you are doing."
    return ""


def _show_colours() -> None:
    """Solid views that show materials' plain colours show textures instead: an avatar in grey says little."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D" and area.spaces.active.shading.color_type == "MATERIAL":
                shading = area.spaces.active.shading
                # The solid view's highlights make clothes look like leather.
                shading.color_type, shading.show_specular_highlight = "TEXTURE", False


@contextlib.contextmanager
def _window() -> Iterator[None]:
    """A timer has no window of its own; the main one gives it the scene that the artist sees."""
    windows = bpy.context.window_manager.windows
    if bpy.context.window is None and len(windows):
        with bpy.context.temp_override(window=windows[0]):
            yield
    else:
        yield


def _redraw() -> None:
    """Redraw the sidebars, when something has changed."""
    global _drawn_version
    if session.version == _drawn_version:
        return
    _drawn_version = session.version
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


def _timer() -> float | None:
    """The timer's function. An exception would silently remove the timer, so a defect becomes a shown error."""
    try:
        busy = tick()
    except Exception as error:
        log.exception("the pump failed")
        session.fail(LikenessError("defect.addon", f"The extension has a defect: {error}.", "Please report this."))
        busy = False
    alive = session.client is not None and session.client.alive
    return _INTERVAL_S if busy else _IDLE_INTERVAL_S if alive else None


def watch() -> None:
    """Have tick() called from now on."""
    if not bpy.app.background and not bpy.app.timers.is_registered(_timer):
        bpy.app.timers.register(_timer, persistent=True)


def wait(limit_s: float) -> None:
    """For scripts without a window: tick until nothing is under way. Raises LikenessError of what failed."""
    end = time.monotonic() + limit_s
    while tick():
        if time.monotonic() > end:
            raise LikenessError("engine.silent", f"Nothing was finished within {limit_s:.0f} s.", "Wait longer.")
        time.sleep(0.02)
    if session.failure is not None:
        raise session.failure


def close() -> None:
    """End every process that this Blender has started."""
    global setup
    session.close()
    if setup is not None:
        setup.close()
        setup = None


def register() -> None:
    """Make sure that no process outlives Blender."""
    atexit.register(close)


def unregister() -> None:
    """End everything and start afresh when the extension is enabled again."""
    global session
    atexit.unregister(close)
    if bpy.app.timers.is_registered(_timer):
        bpy.app.timers.unregister(_timer)
    close()
    pictures.clear()
    session = Session()
