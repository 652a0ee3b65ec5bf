"""`likeness ...`: everything that the panel can do, without Blender (architecture, section 7)."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import __version__
from .cli_train import add_train
from .core.errors import EXIT_OK, EXIT_USAGE, LikenessError
from .terminal import Terminal

_METHOD_HELP = (
    "how the surface is found: auto (the best for the input), layers (with depth: a network guesses the far side), "
    "anim (with depth: ANIM guesses it in space, slower), draped (the far side is the fitted body's)"
)
_PRESET_HELP = (
    "how much work it is worth: the texture's side in pixels, and the cells along the person in which networks find "
    "the surface: preview (1024; 256), standard (2048; 384), best (4096; 512)"
)
_CAPTURE_HELP = "a folder, a container file (.npz), or a colour image with --depth and --intrinsics"


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Returns the exit code: 0 done, 2 wrong use, 3 bad input, 4 environment, 5 cancelled, 70 a defect.
    """
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:
        return EXIT_OK if stop.code in (0, None) else EXIT_USAGE
    level = logging.INFO if arguments.verbose else logging.CRITICAL
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(message)s")
    terminal = Terminal(as_json=getattr(arguments, "json", False))
    try:
        return int(arguments.run(arguments, terminal) or EXIT_OK)
    except KeyboardInterrupt:
        from .core.errors import cancelled

        return terminal.fail(cancelled())
    except BrokenPipeError:
        # Whoever read our output has gone (`likeness ... | head`); a second complaint helps nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_OK
    except Exception as error:  # noqa: BLE001 - the last line of defence: a sentence instead of a traceback
        from .jobs.defect import as_likeness_error

        return terminal.fail(as_likeness_error(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="likeness", description="Avatars of real people from one capture or photo.")
    parser.add_argument("--version", action="version", version=f"likeness {__version__}")
    parser.add_argument("--verbose", action="store_true", help="say more on standard error")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_avatar_command(commands, "reconstruct", "capture", _CAPTURE_HELP, "an avatar from one RGB-D capture")
    _add_avatar_command(commands, "elicit", "photos", "one picture of the whole person", "an avatar from one photo")
    _add_fit(commands)
    _add_inspect(commands)
    _add_render(commands)
    _add_synthesize(commands)
    add_train(commands)
    for name, run, text in (
        ("doctor", _doctor, "what is installed, what is missing, what to do about it"),
        ("serve", _serve, "speak the protocol on standard input and output (for Blender)"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--json", action="store_true", help="machine-readable output")
        command.set_defaults(run=run)
    return parser


def _add_input_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--depth", metavar="FILE", help="depth image or array that belongs to the colour image")
    command.add_argument("--intrinsics", metavar="FILE", help="JSON with fx, fy, cx, cy, width, height, depth_scale")
    command.add_argument("--mask", metavar="FILE", help="picture that is white on the person")
    command.add_argument("--unit", choices=("mm", "m", "cm", "dmm"), help="unit of the depth, where no file says it")
    command.add_argument("--focal", type=float, metavar="PX", help="focal length of a photo in pixels")
    command.add_argument("--person", type=int, default=1, metavar="N", help="which person, where there are several")
    command.add_argument("--json", action="store_true", help="machine-readable events on standard output")


def _add_job_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--body", metavar="FIT", help="use this body: a .fit folder, its JSON, or SMPL parameters (.npz)"
    )
    command.add_argument("--height", type=float, metavar="M", help="the person's height; photos show no size")
    command.add_argument("--keypoints", metavar="FILE", help="joints in the picture (own layout, OpenPose, COCO)")
    command.add_argument("--body-model", metavar="FILE", help="SMPL, SMPL-H or SMPL-X from its makers (.pkl, .npz)")
    command.add_argument("--preset", choices=("preview", "standard", "best"), default="standard", help=_PRESET_HELP)
    command.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--job", metavar="DIR", help="job folder (default: beside the result while it runs)")
    command.add_argument("--resume", action="store_true", help="go on from the last checkpoint where one fits")


def _add_avatar_command(commands: Any, name: str, target: str, target_help: str, text: str) -> None:
    command = commands.add_parser(name, help=text, description=text)
    command.add_argument("input", nargs="+" if target == "photos" else None, metavar=target.upper(), help=target_help)
    command.add_argument("--out", required=True, metavar="NAME.avatar", help="the avatar folder")
    command.add_argument("--method", default="auto", help=_METHOD_HELP)
    command.add_argument("--name", help="the avatar's name (default: that of the folder)")
    _add_input_options(command)
    _add_job_options(command)
    command.set_defaults(run=_make_avatar, target=target)


def _add_fit(commands: Any) -> None:
    text = "fit the body alone: parameters, camera, overlay pictures, confidence; --body FIT is where it begins"
    command = commands.add_parser("fit", help=text, description=text)
    command.add_argument("input", nargs="+", metavar="CAPTURE|PHOTO", help=_CAPTURE_HELP + ", or a photo")
    command.add_argument("--out", required=True, metavar="NAME.fit", help="the fit's folder")
    _add_input_options(command)
    _add_job_options(command)
    command.set_defaults(run=_fit)


def _add_inspect(commands: Any) -> None:
    text = "say what a capture or photo contains, before anything costs time"
    command = commands.add_parser("inspect", help=text, description=text)
    command.add_argument("input", metavar="CAPTURE|PHOTO", help=_CAPTURE_HELP + ", or a photo")
    _add_input_options(command)
    command.add_argument("--thumbnails", metavar="DIR", help="write small pictures there")
    command.set_defaults(run=_inspect)


def _add_render(commands: Any) -> None:
    text = "render an avatar without Blender, to 0000.png, 0001.png, ..."
    command = commands.add_parser("render", help=text, description=text)
    command.add_argument("avatar", metavar="AVATAR", help="an avatar folder")
    command.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures")
    command.add_argument("--as-captured", action="store_true", help="the capture's pose and camera (the default)")
    command.add_argument("--orbit", metavar="DEGREES", help="turn that camera about the person: 0,90,180,270")
    command.add_argument("--camera", metavar="FILE", help="camera JSON: fx ... height, camera_from_capture (4x4)")
    command.add_argument("--motion", metavar="CLIP", help="a shipped clip's name, or an AMASS .npz")
    command.add_argument("--frames", metavar="A:B", help="frames A to B-1 of the clip")
    command.add_argument("--size", metavar="WxH", help="size of the pictures (default: the capture's)")
    command.add_argument("--lit", action="store_true", help="light it (default: the baked colour as it is)")
    command.add_argument("--as", dest="representation", choices=("mesh", "field"), default="mesh")
    command.add_argument("--json", action="store_true", help="machine-readable events on standard output")
    command.set_defaults(run=_render)


def _add_synthesize(commands: Any) -> None:
    text = "make clothed synthetic people with pictures, depth and truth, to train and to measure on"
    command = commands.add_parser("synthesize", help=text, description=text)
    command.add_argument("--out", required=True, metavar="DIR", help="one folder a person is written there")
    command.add_argument("--count", type=int, default=8, metavar="N", help="how many people")
    command.add_argument("--first", type=int, default=0, metavar="I", help="number of the first one")
    command.add_argument("--views", type=int, default=4, metavar="N", help="pictures of each")
    command.add_argument("--size", type=int, default=512, metavar="PX", help="width and height of the pictures")
    command.add_argument("--split", choices=("train", "val", "test"), default="train")
    command.add_argument("--sensor", default="azure_kinect", metavar="NAMES", help="depth sensors to draw from, or all")
    command.add_argument("--cloth", choices=("hang", "skin"), default="hang", help="simulate loose cloth, or skin it")
    command.add_argument("--avatars", type=float, default=0.25, metavar="SHARE", help="share of artists' avatars")
    command.add_argument("--points", type=int, default=20_000, metavar="N", help="labelled points a person")
    command.add_argument("--surface", action="store_true", help="also the closed outer surface of each person")
    command.add_argument("--workers", type=int, default=1, metavar="N", help="processes")
    command.add_argument("--pack", metavar="DIR", help="another people pack than the one that ships")
    command.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--json", action="store_true", help="machine-readable events on standard output")
    command.set_defaults(run=_synthesize)


def _stopper() -> threading.Event:
    """An event that Ctrl-C and termination set, so that a job ends at a checkpoint."""
    event = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: event.set())
    return event


def _make_avatar(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from .jobs.request import avatar_request

    params = _job_params(arguments) | {"out": arguments.out, "method": arguments.method, "name": arguments.name}
    params[arguments.target] = arguments.input
    request = avatar_request(params)
    stop = _stopper()
    from .jobs.avatar_job import run_avatar_job

    path = run_avatar_job(request, terminal.progress, stop)
    return terminal.done({"avatar": str(path)})


def _job_params(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "depth": arguments.depth,
        "intrinsics": arguments.intrinsics,
        "mask": arguments.mask,
        "unit": arguments.unit,
        "focal_px": arguments.focal,
        "person": _person(arguments),
        "body": arguments.body,
        "height_m": arguments.height,
        "keypoints": arguments.keypoints,
        "body_model": arguments.body_model,
        "preset": arguments.preset,
        "device": arguments.device,
        "seed": arguments.seed,
        "job_dir": arguments.job,
    }


def _person(arguments: argparse.Namespace) -> int:
    if arguments.person < 1:
        raise LikenessError("usage.person", "--person counts from 1.", "Give 1 for the largest person.")
    return int(arguments.person) - 1


def _fit(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from .jobs.fit_job import fit_request, run_fit_job

    request = fit_request(_job_params(arguments) | {"out": arguments.out, "input": arguments.input})
    return terminal.done({"fit": str(run_fit_job(request, terminal.progress, _stopper()))})


def _inspect(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from .jobs.inspect_job import inspect_input

    facts = inspect_input(
        {
            "path": arguments.input,
            "depth": arguments.depth,
            "intrinsics": arguments.intrinsics,
            "mask": arguments.mask,
            "unit": arguments.unit,
            "focal_px": arguments.focal,
            "person": _person(arguments),
            "thumbnails_dir": arguments.thumbnails,
        }
    )
    return terminal.table(facts)


def _render(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from .jobs.render_job import RenderOptions, run_render_job

    options = RenderOptions(
        avatar=Path(arguments.avatar),
        out=Path(arguments.out),
        orbit=_numbers(arguments.orbit),
        camera=Path(arguments.camera) if arguments.camera else None,
        motion=arguments.motion,
        frames=_frame_range(arguments.frames),
        size=_size(arguments.size),
        lit=arguments.lit,
        representation=arguments.representation,
    )
    files = run_render_job(options, terminal.progress, _stopper())
    return terminal.done({"pictures": len(files), "folder": str(arguments.out)})


def _synthesize(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from .jobs.synthesize_job import SynthesizeOptions, run_synthesize_job, sensor_names
    from .synthesis.sample import Settings

    settings = Settings(
        seed=arguments.seed,
        split=arguments.split,
        size=arguments.size,
        views=arguments.views,
        points=arguments.points,
        sensors=sensor_names(arguments.sensor),
        cloth=arguments.cloth,
        avatars=arguments.avatars,
        mesh=arguments.surface,
        device=arguments.device,
    )
    options = SynthesizeOptions(
        out=Path(arguments.out),
        settings=settings,
        count=arguments.count,
        first=arguments.first,
        workers=arguments.workers,
        pack=Path(arguments.pack) if arguments.pack else None,
    )
    folders = run_synthesize_job(options, terminal.progress, _stopper())
    return terminal.done({"people": len(folders), "folder": str(arguments.out)})


def _parse(text: str | None, read: Callable[[str], Any], what: str) -> Any:
    if text is None:
        return None
    try:
        return read(text)
    except ValueError as error:
        raise LikenessError("usage.value", f"{text} is not {what}.", "See `likeness render --help`.") from error


def _numbers(text: str | None) -> tuple[float, ...] | None:
    return _parse(text, lambda t: tuple(float(x) for x in t.split(",")), "a list of degrees such as 0,90,180,270")


def _frame_range(text: str | None) -> tuple[int | None, int | None] | None:
    def read(t: str) -> tuple[int | None, int | None]:
        start, stop = t.split(":")
        return (int(start) if start else None, int(stop) if stop else None)

    return _parse(text, read, "a range of frames such as 0:48")


def _size(text: str | None) -> tuple[int, int] | None:
    def read(t: str) -> tuple[int, int]:
        width, height = (int(x) for x in t.lower().split("x"))
        if not (1 <= width <= 8192 and 1 <= height <= 8192):
            raise ValueError("size")
        return width, height

    return _parse(text, read, "a size such as 1024x1024 (8192 at most)")


def _doctor(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from .jobs.doctor import examine

    del arguments
    facts = examine()
    terminal.table(facts)
    return EXIT_OK if not facts["problems"] else 4


def _serve(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from .server import serve

    del arguments, terminal
    return serve()
