# SPDX-License-Identifier: Apache-2.0
"""What can be missing on a machine, found before anything is installed and said in one sentence each.

Standard library only: this file also travels in the extension's zip, where Blender's own Python runs it.
Every check takes what it looks at as an argument, so that tests can show it a machine that lacks it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

EXIT_ENVIRONMENT = 4
GB = 1_000_000_000

ENGINE_PYTHONS = ((3, 11), (3, 12), (3, 13))
BPY_PYTHON = (3, 11)

#: Shared libraries that bpy links but no wheel brings, and the Debian package of each.
BPY_LIBRARIES: Mapping[str, str] = {
    "libGL.so.1": "libgl1",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libXrender.so.1": "libxrender1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libuuid.so.1": "libuuid1",
    "libstdc++.so.6": "libstdc++6",
}
BPY42_LIBRARIES: Mapping[str, str] = {**BPY_LIBRARIES, "libXxf86vm.so.1": "libxxf86vm1", "libgomp.so.1": "libgomp1"}


class SetupError(Exception):
    """The machine lacks something. `code` is stable, the text is one sentence for the person who sits there."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def existing_parent(path: Path) -> Path:
    """The nearest folder above `path` (or `path` itself) that exists: the one whose disk will fill."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def check_disk(folder: Path, need_bytes: int, what: str, usage: Callable = shutil.disk_usage) -> None:
    """Raises SetupError `environment.disk` when the disk of `folder` has less than `need_bytes` free."""
    free = usage(existing_parent(folder)).free
    if free < need_bytes:
        raise SetupError(
            "environment.disk",
            f"{what} needs {need_bytes / GB:.1f} GB of free disk space at {folder} and only {free / GB:.1f} GB are "
            "left: free some and run again.",
        )


def check_writable(folder: Path) -> None:
    """Raises SetupError `environment.read_only` when nothing can be made in the folder that `folder` will lie in."""
    parent = existing_parent(folder)
    probe = parent / ".likeness-write-probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        raise SetupError(
            "environment.read_only",
            f"The folder {parent} cannot be written to: choose another one or change its permissions.",
        ) from None


def version_text(version: tuple[int, ...]) -> str:
    """(3, 11) -> '3.11'."""
    return ".".join(str(part) for part in version[:2])


def check_python(version: tuple[int, ...], allowed: Sequence[tuple[int, int]], what: str, bits: int = 64) -> None:
    """Raises SetupError `environment.python` when `version` is none of `allowed`, or the interpreter is 32-bit."""
    names = " or ".join(version_text(entry) for entry in allowed)
    if tuple(version[:2]) not in allowed:
        raise SetupError(
            "environment.python",
            f"{what} needs Python {names} and this is Python {version_text(version)}: install one of them and run "
            "the same command with it.",
        )
    if bits != 64:
        raise SetupError("environment.python", f"{what} needs a 64-bit Python {names} and this one is {bits}-bit.")


def check_venv_modules(version: tuple[int, ...], find: Callable = importlib.util.find_spec) -> None:
    """Raises SetupError `environment.venv` when Python came without `venv` or `ensurepip`, as Debian's does."""
    for module in ("venv", "ensurepip"):
        if find(module) is None:
            raise SetupError(
                "environment.venv",
                f"This Python lacks the module `{module}`: install the package python{version_text(version)}-venv "
                "(Debian, Ubuntu) or a Python from python.org.",
            )


def can_load(name: str) -> bool:
    """Whether the dynamic linker finds the shared library `name`."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def check_libraries(
    libraries: Mapping[str, str], what: str, platform: str = sys.platform, loads: Callable[[str], bool] = can_load
) -> None:
    """Raises SetupError `environment.library` naming the Debian packages of all libraries that are missing.

    Windows and macOS bring theirs with the system, so only Linux is looked at.
    """
    if not platform.startswith("linux"):
        return
    missing = [(name, package) for name, package in libraries.items() if not loads(name)]
    if missing:
        packages = " ".join(package for _, package in missing)
        raise SetupError(
            "environment.library",
            f"{what} needs the system library {missing[0][0]}{' and others' if len(missing) > 1 else ''}: "
            f"run `apt-get install {packages}` (Debian's names).",
        )


_NETWORK = re.compile(
    r"NewConnectionError|ConnectTimeout|ConnectionError|Temporary failure in name resolution|Name or service not known"
    r"|getaddrinfo failed|Network is unreachable|Read timed out|ReadTimeoutError|ProxyError|SSLError|CERTIFICATE_VERIFY"
    r"|Could not fetch URL|HTTP error \d{3}|HTTPError|error sending request|dns error"
    r"|Connection refused|Connection reset",
    re.IGNORECASE,
)
_DISK = re.compile(r"No space left on device|Errno 28|not enough space on the disk|disk quota exceeded", re.IGNORECASE)
_NO_MATCH = re.compile(r"No matching distribution found for (\S+)")
_DENIED = re.compile(r"(?:Permission denied|Access is denied)", re.IGNORECASE)
_LIBRARY = re.compile(r"ImportError: (lib[\w.+-]+\.so[\w.]*): cannot open shared object file")


def explain_install_failure(output: str, what: str, log: Path | None = None) -> SetupError:
    """The sentence for what an installer printed before it failed. The newest kind of trouble is not always last,
    so the causes are tried from the surest sign to the vaguest."""
    where = f" (details in {log})" if log else ""
    if _DISK.search(output):
        message = f"The disk filled up while installing {what}: free some space and run again{where}."
        return SetupError("environment.disk", message)
    library = _LIBRARY.search(output)
    if library:
        name = library.group(1)
        package = {**BPY42_LIBRARIES}.get(name)
        hint = f"run `apt-get install {package}`" if package else "install the package that holds it"
        subject = what[:1].upper() + what[1:]
        return SetupError("environment.library", f"{subject} needs the system library {name}: {hint}{where}.")
    if _NETWORK.search(output):
        return SetupError(
            "environment.network",
            f"The package index could not be reached while installing {what}: check the network or proxy and run "
            f"again, it goes on where it stopped{where}.",
        )
    missing = _NO_MATCH.search(output)
    if missing:
        return SetupError(
            "environment.package",
            f"No build of {missing.group(1)} for this Python and system was found while installing {what}: check the "
            f"package index that pip is set up with{where}.",
        )
    if _DENIED.search(output):
        return SetupError("environment.read_only", f"Installing {what} was not allowed to write its files{where}.")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    last = (errors or lines or ["no output"])[-1]
    return SetupError("environment.package", f"Installing {what} failed with `{last[:200]}`{where}.")


def interpreter_version(command: Sequence[str]) -> tuple[int, int] | None:
    """(major, minor) of the Python that `command` starts, or None when it does not start."""
    probe = [*command, "-c", "import sys, venv, ensurepip; print(*sys.version_info[:2])"]
    try:
        answer = subprocess.run(probe, capture_output=True, text=True, timeout=20, check=True).stdout.split()
        return int(answer[0]), int(answer[1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def find_python(
    allowed: Iterable[tuple[int, int]],
    what: str,
    current: tuple[int, ...] = sys.version_info[:2],
    version_of: Callable[[Sequence[str]], tuple[int, int] | None] = interpreter_version,
) -> list[str]:
    """Command of a Python of one of the `allowed` versions with venv: this one when it fits, else one that is
    installed beside it. Raises SetupError `environment.python` or `environment.venv`."""
    wanted = tuple(allowed)
    if tuple(current[:2]) in wanted:
        check_python(current, wanted, what, bits=64 if sys.maxsize > 2**32 else 32)
        check_venv_modules(current)
        return [sys.executable]
    for version in wanted:
        text = version_text(version)
        candidates = [["py", f"-{text}"]] if sys.platform == "win32" else [[f"python{text}"]]
        for command in candidates:
            if shutil.which(command[0]) and version_of(command) == version:
                return command
    check_python(current, wanted, what)
    raise AssertionError("check_python raises for a version that is not wanted")
