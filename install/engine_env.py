# SPDX-License-Identifier: Apache-2.0
"""Make the engine's own Python environment: from a checkout (bootstrap) or from the wheel in the extension's zip.

    python engine_env.py --target FOLDER --wheel likeness-X-py3-none-any.whl [--wheelhouse DIR] [--json]

Standard library only. With --json every line on standard output is one object: {"event": "progress", "stage",
"stages", "fraction" 0..1 over all, "message", "elapsed_s"}, at the end {"event": "done", "python"} or {"event":
"failed", "code", "message"}. Exit codes: 0 done, 4 the machine lacks something, 5 stopped.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import setup_venv as venv
from setup_checks import (
    ENGINE_PYTHONS,
    EXIT_ENVIRONMENT,
    GB,
    SetupError,
    check_disk,
    check_writable,
    explain_install_failure,
    find_python,
    version_text,
)

EXIT_STOPPED = 5
#: Stages and their measured shares of the time.
STAGES = {"checks": 0.01, "environment": 0.05, "tools": 0.03, "torch": 0.4, "packages": 0.45, "verify": 0.06}

#: Kept equal to pyproject.toml's pins by a test. They are here because torch is installed in a step of its own.
TORCH = ("torch==2.13.0", "torchvision==0.28.0")
BUILD_TOOL = "setuptools==84.2.1"
UV = "uv==0.13.8"

NEED_BYTES = {"cpu": int(2.6 * GB), "auto": 8 * GB}
#: How much a step adds to the environment, measured; only the progress bar depends on it.
TOOLS_BYTES, PACKAGES_BYTES = 9_000_000, 780_000_000
TORCH_BYTES = {"cpu": 740_000_000, "auto": 5 * GB}
#: With fewer packages than this the big downloads are still to come.
HALF_INSTALLED = 30


@dataclass(frozen=True)
class EngineRecipe:
    """What goes into an engine environment.

    requirement: what pip is given for Likeness itself (a wheel's path, or a checkout's root with editable=True).
    extras: names of pyproject's extras. hashed: file contents that make the environment stale when they change.
    constraints: file of transitive pins. wheelhouse: folder of wheels to use instead of any index.
    backend: 'cpu' or 'auto' (uv chooses by the graphics card).
    """

    requirement: Path
    extras: tuple[str, ...]
    constraints: Path
    editable: bool = False
    wheelhouse: Path | None = None
    backend: str = "cpu"
    hashed: tuple[Path, ...] = ()

    def fingerprint(self, python: str) -> str:
        """Hash of everything that decides what is installed, extras apart."""
        files = (self.constraints, *self.hashed)
        return venv.digest([python, self.backend, *TORCH, *(path.read_bytes() for path in files)])


def has_nvidia(
    which: Callable[[str], str | None] = shutil.which, exists: Callable[[str], bool] = os.path.exists
) -> bool:
    """Whether an NVIDIA driver is present. The driver decides, not the card: without it CUDA builds cannot run."""
    return bool(which("nvidia-smi")) or exists("/proc/driver/nvidia/version")


def choose_backend(platform: str, nvidia: bool, wish: str = "") -> str:
    """'auto' (uv picks the CUDA build) where an NVIDIA driver is, else 'cpu', unless the user wishes otherwise.

    macOS has one build, which also holds Metal: 'cpu' means just that there.
    """
    if wish in ("cpu", "auto"):
        return wish
    return "auto" if nvidia and platform != "darwin" else "cpu"


def torch_attempts(platform: str, backend: str, python: Path, wheelhouse: Path | None) -> list[list[str]]:
    """Commands that install torch, the best first; each next one is the fallback of those before it.

    A pinned build that pip finds on this machine (PIP_FIND_LINKS, a wheelhouse) is taken for the CPU before any network
    is asked. On Linux PyPI's own build brings gigabytes of CUDA, so the CPU index comes first there, through uv.
    """
    pip = [str(python), "-m", "pip", "install", "--progress-bar", "off"]
    if wheelhouse:
        return [[*pip, "--no-index", "--find-links", str(wheelhouse), *TORCH]]
    uv = [str(python), "-m", "uv", "pip", "install", "--python", str(python), "--color", "never"]
    plain = [*pip, *TORCH]
    if backend == "auto":
        return [[*uv, "--torch-backend=auto", *TORCH], plain]
    if not platform.startswith("linux"):
        return [plain]
    return [[*pip, "--no-index", "--no-deps", TORCH[0]], [*uv, "--torch-backend=cpu", *TORCH], plain]


def ensure_engine(target: Path, recipe: EngineRecipe, python: Sequence[str], progress: venv.Progress) -> bool:
    """Make `target` an environment that holds what `recipe` says. Returns False when nothing was to do.

    Raises SetupError. Whatever stops it, the same call goes on where it stopped.
    """
    version = version_text(sys.version_info[:2]) if list(python) == [sys.executable] else " ".join(python)
    fingerprint = recipe.fingerprint(version)
    if venv.is_current(target, fingerprint, recipe.extras):
        return False
    with venv.exclusive(target):
        held = venv.read_stamp(target)
        recipe = replace(recipe, extras=tuple(sorted({*recipe.extras, *held.get("extras", ())})))
        other_backend = held.get("backend", recipe.backend) != recipe.backend
        progress.report("checks", 0.0, "disk and Python")
        check_writable(target)
        if venv.installed_count(target) < HALF_INSTALLED:
            check_disk(target, NEED_BYTES[recipe.backend], "The engine")
        progress.report("environment", 0.0, f"making {target}")
        venv.make_venv(target, python)
        _install_tools(target, recipe, progress)
        _install_torch(target, recipe, progress, again=other_backend)
        _install_packages(target, recipe, progress)
        _verify(target, progress)
        venv.write_stamp(target, fingerprint, recipe.extras, backend=recipe.backend)
    return True


def _pip(target: Path, recipe: EngineRecipe, *arguments: str) -> list[str]:
    command = [str(venv.venv_python(target)), "-m", "pip", "install", "--progress-bar", "off", *arguments]
    if recipe.wheelhouse:
        command += ["--no-index", "--find-links", str(recipe.wheelhouse)]
    return command


def _install_tools(target: Path, recipe: EngineRecipe, progress: venv.Progress) -> None:
    progress.report("tools", 0.0, BUILD_TOOL)
    command = _pip(target, recipe, BUILD_TOOL)
    venv.run_installer(command, target, BUILD_TOOL, venv.size_teller(progress, "tools", target, TOOLS_BYTES))


def _install_torch(target: Path, recipe: EngineRecipe, progress: venv.Progress, again: bool) -> None:
    python = venv.venv_python(target)
    progress.report("torch", 0.0, f"{TORCH[0]}, backend {recipe.backend}")
    tell = venv.size_teller(progress, "torch", target, TORCH_BYTES[recipe.backend])
    if again:
        names = [pin.split("==")[0] for pin in TORCH]
        remove = [str(python), "-m", "pip", "uninstall", "--yes", *names]
        venv.run_installer(remove, target, "another build of PyTorch", tell)
    if _installed(python, "torch") == TORCH[0].split("==")[1]:
        return
    attempts = torch_attempts(sys.platform, recipe.backend, python, recipe.wheelhouse)
    for number, command in enumerate(attempts):
        try:
            if "uv" in command:
                install_uv = _pip(target, recipe, UV)
                venv.run_installer(install_uv, target, UV, tell)
            quick = {"UV_HTTP_TIMEOUT": "60", "UV_HTTP_RETRIES": "2"}
            venv.run_installer(command, target, "PyTorch", tell, quick)
            return
        except SetupError as error:
            if error.code == "environment.disk" or number == len(attempts) - 1:
                raise
            progress.report("torch", 1.0, "not available that way, trying the next one")


def _installed(python: Path, package: str) -> str:
    """Version of a package in the environment without its local part ('2.13.0' of '2.13.0+cpu'), '' when absent."""
    code = f"import importlib.metadata as m; print(m.version('{package}').split('+')[0])"
    done = subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, env=venv.clean_environ(), check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _install_packages(target: Path, recipe: EngineRecipe, progress: venv.Progress) -> None:
    what = f"{recipe.requirement}[{','.join(recipe.extras)}]" if recipe.extras else str(recipe.requirement)
    source = ["--no-build-isolation", "--editable", what] if recipe.editable else [what]
    command = _pip(target, recipe, "--constraint", str(recipe.constraints), *source)
    progress.report("packages", 0.0, "asking the package index")
    tell = venv.size_teller(progress, "packages", target, PACKAGES_BYTES)
    venv.run_installer(command, target, "the engine's packages", tell)


def _verify(target: Path, progress: venv.Progress) -> None:
    python = str(venv.venv_python(target))
    progress.report("verify", 0.0, "pip check, first import of torch")
    code = "import numpy, torch, likeness, trimesh; print(likeness.__version__, torch.__version__)"
    for command in ([python, "-m", "pip", "check"], [python, "-c", code]):
        done = subprocess.run(
            command, capture_output=True, text=True, env=venv.clean_environ(), cwd=target, check=False
        )
        if done.returncode != 0:
            raise explain_install_failure(done.stdout + done.stderr, "the engine")
    progress.report("verify", 1.0, f"engine and torch {done.stdout.strip()}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Make the environment that the Likeness engine runs in.")
    parser.add_argument("--target", type=Path, required=True, help="folder of the environment")
    parser.add_argument("--wheel", type=Path, required=True, help="the engine's wheel")
    parser.add_argument("--constraints", type=Path, default=Path(__file__).with_name("constraints.txt"))
    parser.add_argument("--wheelhouse", type=Path, help="folder of wheels to use instead of the network")
    parser.add_argument("--backend", choices=("cpu", "auto"), default="", help="torch build (by the machine)")
    parser.add_argument("--extra", action="append", default=[], help="further extras: cuda, smpl, farm")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def stop(_number: int, _frame: FrameType | None) -> None:
    """Signal handler: unwind, so that no installer is left running."""
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; the panel's "Set up engine" button runs it."""
    options = _parser().parse_args(arguments)
    for name in ("SIGTERM", "SIGBREAK"):  # Windows has the second one, and the panel's Cancel sends it there
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stop)
    target = options.target.expanduser().absolute()
    progress = venv.Progress("engine", STAGES, as_json=options.json, every_s=2.0 if options.json else 5.0)
    try:
        recipe = EngineRecipe(
            requirement=options.wheel.expanduser().absolute(),
            extras=("engine", *options.extra),
            constraints=options.constraints,
            wheelhouse=options.wheelhouse,
            backend=choose_backend(sys.platform, has_nvidia(), options.backend),
            hashed=(options.wheel,),
        )
        ensure_engine(target, recipe, find_python(ENGINE_PYTHONS, "The engine"), progress)
    except SetupError as error:
        progress.event("failed", code=error.code, message=error.message)
        print(error.message, file=sys.stderr)
        return EXIT_ENVIRONMENT
    except KeyboardInterrupt:
        progress.event("failed", code="job.cancelled", message="The set-up was stopped.")
        return EXIT_STOPPED
    except OSError as error:
        message = f"The set-up could not go on: {error.strerror or error} ({error.filename or target})."
        progress.event("failed", code="environment.files", message=message)
        print(message, file=sys.stderr)
        return EXIT_ENVIRONMENT
    progress.event("done", python=str(venv.venv_python(target)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
