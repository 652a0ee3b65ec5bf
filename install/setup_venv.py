# SPDX-License-Identifier: Apache-2.0
"""Virtual environments that are made once, repaired when half made, and left alone when nothing has changed.

Standard library only: this file also travels in the extension's zip, where Blender's own Python runs it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from setup_checks import SetupError, explain_install_failure

STAMP = "likeness-setup.json"
POLL_S = 0.5

#: Variables that would make an environment's Python look outside the environment.
_LEAKS = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "__PYVENV_LAUNCHER__",
)


@dataclass
class Progress:
    """Says how far a set-up has come: a line for people, or one JSON object a line for the panel.

    stages: each stage's name and its share of the whole time.
    """

    title: str
    stages: Mapping[str, float]
    as_json: bool = False
    stream: IO[str] = field(default_factory=lambda: sys.stdout)
    every_s: float = 5.0
    clock: Callable[[], float] = time.monotonic
    _start: float = 0.0
    _last: float = -1e9
    _stage: str = ""
    _highest: float = 0.0

    def __post_init__(self) -> None:
        self._start = self.clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the set-up began."""
        return self.clock() - self._start

    def due(self, stage: str) -> bool:
        """Whether a report would be shown now: a new stage at once, an old one now and then."""
        return stage != self._stage or self.clock() - self._last >= self.every_s

    def report(self, stage: str, fraction: float, message: str) -> None:
        """Tell where `stage` stands (`fraction` of it, 0..1). The whole's share never runs back."""
        if fraction < 1.0 and not self.due(stage):
            return
        self._stage, self._last = stage, self.clock()
        names = list(self.stages)
        number, count = names.index(stage), len(names)
        before = sum(self.stages[name] for name in names[:number])
        whole = (before + fraction * self.stages[stage]) / sum(self.stages.values())
        self._highest = max(self._highest, whole)
        if self.as_json:
            self.event(
                "progress",
                stage=stage,
                stages=names,
                fraction=round(self._highest, 4),
                message=message,
                elapsed_s=round(self.elapsed_s, 1),
            )
        else:
            self._line(f"[{self.title} {number + 1}/{count}] {stage}: {message} ({self.elapsed_s:.0f} s)")

    def event(self, kind: str, **values: object) -> None:
        """Write one JSON line; without `as_json` nothing, since people have their own lines."""
        if self.as_json:
            self._line(json.dumps({"event": kind, **values}))

    def _line(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()


def venv_python(folder: Path, platform: str = sys.platform) -> Path:
    """Path of the interpreter inside the environment `folder`."""
    return folder / "Scripts" / "python.exe" if platform == "win32" else folder / "bin" / "python"


def site_packages(folder: Path) -> Path | None:
    """The environment's package folder, or None while there is none."""
    found = [*folder.glob("lib/python3*/site-packages"), *folder.glob("Lib/site-packages")]
    return found[0] if found else None


def clean_environ(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """A copy of the process's environment in which an environment's Python sees its own packages only.

    pip's and uv's own settings (index, proxy, certificates) stay: they are how this machine reaches packages.
    """
    source = os.environ if base is None else base
    kept = {key: value for key, value in source.items() if key not in _LEAKS}
    kept.update(PYTHONNOUSERSITE="1", PYTHONUTF8="1", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    return kept


def digest(parts: Iterable[str | bytes]) -> str:
    """One hash over all `parts`, in order."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()


def read_stamp(folder: Path) -> dict:
    """What the environment was completed with; empty when it never was, or when the note is unreadable."""
    try:
        stamp = json.loads((folder / STAMP).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def is_current(folder: Path, recipe: str, extras: Iterable[str]) -> bool:
    """Whether the environment was completed by this very recipe and holds at least `extras`."""
    stamp = read_stamp(folder)
    return (
        stamp.get("recipe") == recipe and set(extras) <= set(stamp.get("extras", ())) and venv_python(folder).exists()
    )


def write_stamp(folder: Path, recipe: str, extras: Iterable[str], **notes: str) -> None:
    """Note, as the very last step, that the environment is complete."""
    temporary = folder / (STAMP + ".new")
    temporary.write_text(json.dumps({"recipe": recipe, "extras": sorted(extras), **notes}), "utf-8")
    temporary.replace(folder / STAMP)


def incomplete_distributions(packages: Path) -> list[Path]:
    """Metadata folders without RECORD: pip writes that file last, so these packages were cut off in the middle."""
    return [entry for entry in sorted(packages.glob("*.dist-info")) if not (entry / "RECORD").is_file()]


def installed_count(folder: Path) -> int:
    """How many packages the environment holds."""
    packages = site_packages(folder)
    return len(list(packages.glob("*.dist-info"))) if packages else 0


def size_bytes(folder: Path) -> int:
    """Size of all files below `folder`; those that vanish meanwhile (an installer moves its own) count nothing."""
    total, waiting = 0, [str(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def size_teller(progress: Progress, stage: str, folder: Path, expected_bytes: int) -> Callable[[str], None]:
    """For run_installer: reports `stage` by how much the environment has grown, since installers do not say."""
    start = size_bytes(folder)

    def tell(line: str) -> None:
        if progress.due(stage):
            grown = size_bytes(folder) - start
            share = min(max(grown / expected_bytes, 0.0), 0.99)
            progress.report(stage, share, f"{line}, {grown / 1e6:.0f} of about {expected_bytes / 1e6:.0f} MB")

    return tell


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the environment for this process alone. Raises SetupError `environment.busy` when another one has it.

    The system drops the lock with the process, so a killed set-up leaves nothing to clean up.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(folder.name + ".lock"), "a+b") as handle:
        try:
            if sys.platform == "win32":
                import msvcrt

                handle.seek(0)
                msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SetupError(
                "environment.busy", f"Another set-up of {folder} is running: wait until it has ended."
            ) from None
        yield


def make_venv(folder: Path, python: Sequence[str]) -> None:
    """Make the environment, or make it anew when its interpreter or its pip do not start.

    Raises SetupError `environment.folder` when `folder` holds something else, so that nobody's files are removed.
    """
    (folder / STAMP).unlink(missing_ok=True)
    if folder.exists():
        if not (folder / "pyvenv.cfg").is_file() and any(folder.iterdir()):
            raise SetupError(
                "environment.folder", f"The folder {folder} is no Python environment: move it away or choose another."
            )
        if _starts(folder):
            _drop_incomplete(folder)
            return
        shutil.rmtree(folder)
    made = subprocess.run(
        [*python, "-m", "venv", str(folder)], capture_output=True, text=True, env=clean_environ(), check=False
    )
    if made.returncode != 0:
        raise explain_install_failure(made.stdout + made.stderr, f"the environment {folder}")


def _starts(folder: Path) -> bool:
    command = [str(venv_python(folder)), "-c", "import pip, sys; sys.exit(sys.prefix == sys.base_prefix)"]
    try:
        return (
            subprocess.run(command, capture_output=True, env=clean_environ(), timeout=60, check=False).returncode == 0
        )
    except (OSError, subprocess.SubprocessError):
        return False


def _drop_incomplete(folder: Path) -> None:
    packages = site_packages(folder)
    for entry in incomplete_distributions(packages) if packages else []:
        shutil.rmtree(entry)


def in_words(line: str, before: str = "") -> str:
    """What an installer's line means to the person who waits; `before` where it means nothing to them."""
    words = line.split()
    if line.startswith("Collecting") and len(words) > 1:
        return f"looking for {words[1]}"
    if line.startswith("Downloading") and len(words) > 1:
        size = line[line.rfind("(") :] if line.rstrip().endswith(")") else ""
        return f"fetching {words[1].rsplit('/', 1)[-1].split('-')[0]} {size}".strip()
    if line.startswith("Installing collected packages"):
        count = line.count(",") + 1
        return f"unpacking {count} package{'s' if count > 1 else ''}"
    return before


def run_installer(
    command: Sequence[str],
    folder: Path,
    what: str,
    tell: Callable[[str], None],
    extra_environ: Mapping[str, str] | None = None,
    timeout_s: float = 3600.0,
) -> None:
    """Run pip or uv, calling tell(what it does) at least twice a second.

    All output goes to `likeness-setup.log` in the environment. Raises SetupError in one sentence when it fails.
    """
    log = folder / "likeness-setup.log"
    environ = {**clean_environ(), **(extra_environ or {})}
    process = subprocess.Popen(
        list(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=environ,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=pump, args=(process.stdout, lines), daemon=True).start()
    output: list[str] = []
    try:
        _follow(process, lines, output, tell, timeout_s)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        with open(log, "a", encoding="utf-8") as handle:
            handle.write(f"$ {' '.join(command)}\n{''.join(output)}\n")
    if process.returncode != 0:
        raise explain_install_failure("".join(output), what, log)


def pump(source: IO[str] | None, lines: queue.Queue[str | None]) -> None:
    """Body of a reader thread: every line of `source`, then None, goes into the queue."""
    for line in source or ():
        lines.put(line)
    lines.put(None)


def _follow(
    process: subprocess.Popen[str],
    lines: queue.Queue[str | None],
    output: list[str],
    tell: Callable[[str], None],
    timeout_s: float,
) -> None:
    deadline = time.monotonic() + timeout_s
    newest = "starting"
    while time.monotonic() < deadline:
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=POLL_S)
            if line is None:
                process.wait(timeout=30)
                return
            output.append(line)
            newest = in_words(line.strip(), newest)
        tell(newest)
    raise SetupError("environment.network", f"The installer was stopped after {timeout_s / 60:.0f} minutes.")
