"""`likeness render`: an avatar's pictures without Blender."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..asset.views import View, camera_view, captured_view, clip_views, render_views
from ..core.avatar import Avatar, read_avatar
from ..core.errors import LikenessError
from ..core.files import output_error
from ..core.motion import find_clip
from .progress import Emit, Tracker


@dataclass(frozen=True)
class RenderOptions:
    """What to render.

    orbit: degrees, one picture each. camera: a camera file. motion: a clip's name or file, frames: (first, end) of it.
    size: (width, height) pixels; the capture's by default, 1024 x 1024 for a clip. representation: 'mesh' or 'field'.
    """

    avatar: Path
    out: Path
    orbit: tuple[float, ...] | None = None
    camera: Path | None = None
    motion: str | None = None
    frames: tuple[int | None, int | None] | None = None
    size: tuple[int, int] | None = None
    lit: bool = False
    representation: str = "mesh"


def run_render_job(options: RenderOptions, emit: Emit, cancel: threading.Event | None = None) -> list[Path]:
    """Write 0000.png, 0001.png, ... in the order asked; returns their paths.

    Raises LikenessError("avatar.*", "motion.*", "usage.*", "output.unwritable", "job.cancelled").
    """
    if options.representation == "field":
        raise LikenessError(
            "avatar.no_field", f"{options.avatar.name}: holds no neural field.", "Render it with --as mesh."
        )
    if options.motion is not None and (options.camera is not None or options.orbit is not None):
        raise LikenessError(
            "usage.views", "--motion brings its own camera.", "Leave --camera and --orbit out, or --motion."
        )
    avatar = read_avatar(options.avatar.expanduser())
    out = options.out.expanduser()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(out, error) from error
    views, count = _views(avatar, options)
    tracker = Tracker({"render": 0.8 * count}, emit, cancel)
    with tracker.stage("render") as report:
        return render_views(avatar, views, out, count=count, lit=options.lit, report=report)


def _views(avatar: Avatar, options: RenderOptions) -> tuple[Iterable[View], int]:
    if options.motion is not None:
        clip = find_clip(options.motion)
        start, stop = options.frames or (None, None)
        frames = range(len(clip))[slice(start, stop)]
        return clip_views(avatar, clip, frames, options.size or (1024, 1024)), len(frames)
    if options.camera is not None:
        return [camera_view(avatar, options.camera.expanduser(), options.size)], 1
    degrees = options.orbit or (0.0,)
    return (captured_view(avatar, d, options.size) for d in degrees), len(degrees)
