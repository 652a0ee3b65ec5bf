# SPDX-License-Identifier: Apache-2.0
"""The demonstration: the sample capture becomes an avatar, and the avatar walks and renders in Blender."""

from __future__ import annotations

import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import setup_venv as venv
from setup_checks import GB, SetupError, check_disk

BLENDER_LIMIT_S = 1800
#: demo_blender.py marks its own lines, since Blender prints a good deal of its own.
MARK = "[demo] "


@dataclass(frozen=True)
class DemoSettings:
    """What is made: name of the avatar, frames of the video, and which clip it walks by."""

    name: str = "sample"
    frames: int = 60
    clip: str = "walk_02_01"
    capture: str = "samples/capture"
    width_px: int = 540
    height_px: int = 720


def run(root: Path, python: Path, blender: Path, archive: Path, settings: DemoSettings) -> int:
    """Make the avatar, let it walk, print where everything lies. Returns the exit code. Raises SetupError."""
    capture = root / settings.capture
    if not capture.is_dir():
        raise SetupError("environment.sample", f"The sample {capture} is missing: check the checkout out again.")
    out = root / "build" / "demo"
    check_disk(out, int(0.3 * GB), "The demo")
    out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    avatar = out / f"{settings.name}.avatar"
    code = _reconstruct(root, python, capture, avatar)
    if code != 0:
        return code
    made = time.monotonic()
    print(f"[demo] avatar made in {made - start:.0f} s; now Blender", flush=True)
    _walk(root, blender, archive, avatar, out, settings)
    print(f"[demo] rendered in {time.monotonic() - made:.0f} s{_peak()}")
    print(f"avatar  {avatar}")
    print(f"blend   {out / (settings.name + '.blend')}")
    print(f"frames  {out / 'frames'}")
    print(f"video   {out / (settings.name + '.mp4')}", flush=True)
    return 0


def _reconstruct(root: Path, python: Path, capture: Path, avatar: Path) -> int:
    command = [str(python), "-m", "likeness", "reconstruct", str(capture), "--method", "draped", "--out", str(avatar)]
    return subprocess.run(command, cwd=root, env=venv.clean_environ(), stdin=subprocess.DEVNULL, check=False).returncode


def _walk(root: Path, blender: Path, archive: Path, avatar: Path, out: Path, settings: DemoSettings) -> None:
    log = out / "blender.log"
    script = root / "install" / "demo_blender.py"
    command = [str(blender), str(script), str(archive), str(avatar), str(out), settings.clip]
    command += [str(number) for number in (settings.frames, settings.width_px, settings.height_px)]
    with tempfile.TemporaryDirectory(prefix="likeness-demo-") as user:
        # A user folder of its own, so that the demo neither reads nor changes the artist's Blender.
        environ = {**venv.clean_environ(), "BLENDER_USER_RESOURCES": user}
        code = follow(command, environ, log, BLENDER_LIMIT_S, print)
    wanted = [
        out / f"{settings.name}.blend",
        out / f"{settings.name}.mp4",
        out / "frames" / f"{settings.frames:04d}.png",
    ]
    missing = [path.name for path in wanted if not path.is_file()]
    if code is None:
        raise SetupError("environment.blender", f"Blender did not finish in time (details in {log}).")
    if code != 0 or missing:
        what = f"wrote no {missing[0]}" if missing else f"ended with exit code {code}"
        raise SetupError("environment.blender", f"Blender {what} (details in {log}).")


def follow(
    command: list[str], environ: dict[str, str], log: Path, limit_s: float, show: Callable[[str], None]
) -> int | None:
    """Run `command`; everything goes to `log`, lines that bear our mark also to `show`. None: out of time."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=environ,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=venv.pump, args=(process.stdout, lines), daemon=True).start()
    deadline = time.monotonic() + limit_s
    try:
        with open(log, "w", encoding="utf-8") as handle:
            while True:
                line = lines.get(timeout=max(deadline - time.monotonic(), 0.01))
                if line is None:
                    return process.wait(timeout=30)
                handle.write(line)
                if line.startswith(MARK):
                    show(line.rstrip())
    except (queue.Empty, subprocess.TimeoutExpired):
        return None
    finally:
        process.kill()
        process.wait()


def _peak() -> str:
    """The largest memory of any child so far, where the system tells."""
    if sys.platform == "win32":
        return ""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return f", peak memory {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / GB:.1f} GB"
