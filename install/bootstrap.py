# SPDX-License-Identifier: Apache-2.0
"""One command from a fresh checkout to a walking avatar, or to a tested one. Needs Python 3.11 and git, nothing else.

    python3 install/bootstrap.py demo        install what is missing, make the sample's avatar walk, print where it is
    python3 install/bootstrap.py test        install what is missing, run every check and test
    python3 install/bootstrap.py engine      only the engine's environment (.venv)
    python3 install/bootstrap.py blender     only the environments with bpy (.venv-blender, .venv-blender42)
    python3 install/bootstrap.py extension   only the zip for Blender (dist/likeness-X.zip)
    python3 install/bootstrap.py doctor      say what is there and what is missing

PyTorch comes in the build that suits the machine; LIKENESS_TORCH_BACKEND=cpu (or auto) overrules that.
Exit codes: 0 done, 1 a test failed, 2 wrong use, 4 the machine lacks something (one sentence says what), 5 stopped.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

if sys.version_info < (3, 11):  # noqa: UP036 (that older Python reads this)
    sys.stderr.write(
        "Likeness needs Python 3.11, 3.12 or 3.13 and this is Python {}.{}: run the same command with one of them, for "
        "example python3.11.\n".format(*sys.version_info[:2])
    )
    sys.exit(4)

import blender_env  # noqa: E402  (an older Python must read the sentence above first)
import engine_env  # noqa: E402
import extension  # noqa: E402
import setup_venv as venv  # noqa: E402
from setup_checks import (  # noqa: E402
    BPY_PYTHON,
    ENGINE_PYTHONS,
    EXIT_ENVIRONMENT,
    SetupError,
    can_load,
    check_disk,
    check_libraries,
    find_python,
)

ENGINE = ROOT / ".venv"
#: Environment variable: `cpu` or `auto` instead of what the graphics driver suggests.
BACKEND_WISH = "LIKENESS_TORCH_BACKEND"
REQUIREMENTS = ROOT / "install" / "requirements-blender.txt"


def ensure_engine(extras: tuple[str, ...]) -> Path:
    """Make `.venv` hold the engine, editable, with these extras. Returns its interpreter."""
    recipe = engine_env.EngineRecipe(
        requirement=ROOT,
        extras=extras,
        constraints=ROOT / "install" / "constraints.txt",
        editable=True,
        backend=engine_env.choose_backend(sys.platform, engine_env.has_nvidia(), os.environ.get(BACKEND_WISH, "")),
        hashed=(ROOT / "pyproject.toml", ROOT / "engine" / "likeness" / "__init__.py"),
    )
    progress = venv.Progress("engine", engine_env.STAGES)
    python = find_python(ENGINE_PYTHONS, "The engine")
    if not engine_env.ensure_engine(ENGINE, recipe, python, progress):
        print(f"[engine] up to date: {ENGINE}", flush=True)
    return venv.venv_python(ENGINE)


def ensure_blender(*which: blender_env.BlenderEnv) -> None:
    """Make the environments that stand for these Blenders."""
    for one in which:
        progress = venv.Progress(one.name, blender_env.STAGES)
        if not blender_env.ensure_blender(ROOT, one, REQUIREMENTS, progress):
            print(f"[{one.name}] up to date: {ROOT / one.folder}", flush=True)


def preflight(*which: blender_env.BlenderEnv) -> None:
    """Find what the machine lacks for all that is still to be made, before the first minute is spent on any of it."""
    need = 0 if venv.read_stamp(ENGINE) else engine_env.NEED_BYTES["cpu"]
    find_python(ENGINE_PYTHONS, "The engine")
    for one in which:
        if not venv.read_stamp(ROOT / one.folder):
            check_libraries(one.libraries, one.name)
            find_python([BPY_PYTHON], f"The bpy wheel that stands for {one.name}")
            need += blender_env.NEED_BYTES
    check_disk(ROOT, need, "The installation")


def run_demo(options: argparse.Namespace) -> int:
    """Install, make the avatar of the sample, let it walk in Blender, print the paths."""
    import demo

    preflight(blender_env.BPY50)
    python = ensure_engine(("engine", "build"))
    ensure_blender(blender_env.BPY50)
    archive = extension.build_extension(ROOT, python)
    blender = blender_env.blender_python(ROOT, blender_env.BPY50)
    return demo.run(ROOT, python, blender, archive, demo.DemoSettings(frames=options.frames, name=options.name))


def run_tests(options: argparse.Namespace) -> int:
    """Install, then lint, types, the engine's tests, and the tests inside Blender, with one summary at the end."""
    import testrun

    preflight(blender_env.BPY50, blender_env.BPY42)
    python = ensure_engine(("engine", "build", "dev", *testrun.opt_ins()))
    ensure_blender(blender_env.BPY50, blender_env.BPY42)
    archive = extension.build_extension(ROOT, python)
    blenders = {one.name: blender_env.blender_python(ROOT, one) for one in (blender_env.BPY42, blender_env.BPY50)}
    return testrun.run(ROOT, python, blenders, archive, only=options.only)


def run_engine(options: argparse.Namespace) -> int:
    """Only the engine."""
    ensure_engine(("engine", "build", *options.extra))
    return 0


def run_blender(_options: argparse.Namespace) -> int:
    """Only the Blender environments."""
    ensure_blender(blender_env.BPY50, blender_env.BPY42)
    return 0


def run_extension(_options: argparse.Namespace) -> int:
    """Only the zip."""
    print(extension.build_extension(ROOT, ensure_engine(("engine", "build"))))
    return 0


def run_doctor(_options: argparse.Namespace) -> int:
    """Say what is installed, what is missing and what to do about it. Ends with 4 when something is missing."""
    findings: list[tuple[bool, str]] = []
    for wanted, what in ((ENGINE_PYTHONS, "the engine"), ([BPY_PYTHON], "bpy")):
        try:
            findings.append((True, f"Python for {what}: {' '.join(find_python(wanted, what))}"))
        except SetupError as error:
            findings.append((False, error.message))
    complete = bool(venv.read_stamp(ENGINE))
    state = "complete" if complete else "missing, run `python3 install/bootstrap.py engine`"
    findings.append((complete, f"engine environment {ENGINE}: {state}"))
    for one in (blender_env.BPY50, blender_env.BPY42):
        complete = bool(venv.read_stamp(ROOT / one.folder))
        state = "complete" if complete else "missing, run `python3 install/bootstrap.py blender`"
        findings.append((complete, f"{one.name} environment {ROOT / one.folder}: {state}"))
        missing = [p for name, p in one.libraries.items() if sys.platform.startswith("linux") and not can_load(name)]
        if missing:
            findings.append((False, f"{one.name} lacks system libraries: run `apt-get install {' '.join(missing)}`"))
    driver = "NVIDIA driver found, CUDA build of PyTorch" if engine_env.has_nvidia() else "CPU build of PyTorch"
    findings.append((True, f"compute: {driver}"))
    for good, text in findings:
        print(("ok       " if good else "missing  ") + text)
    return 0 if all(good for good, _ in findings) else EXIT_ENVIRONMENT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Install, show and test Likeness.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="make the sample's avatar walk and render it")
    demo.add_argument("--frames", type=int, default=60, help="frames of the video (default 60)")
    demo.add_argument("--name", default="sample", help="name of the avatar (default sample)")
    demo.set_defaults(run=run_demo)
    test = commands.add_parser("test", help="run every check and test")
    test.add_argument("--only", choices=("lint", "engine", "blender"), help="run one part of it")
    test.set_defaults(run=run_tests)
    engine = commands.add_parser("engine", help="make the engine's environment")
    engine.add_argument("--extra", action="append", default=[], help="further extras: cuda, dev, farm, make, smpl")
    engine.set_defaults(run=run_engine)
    commands.add_parser("blender", help="make the environments with bpy").set_defaults(run=run_blender)
    commands.add_parser("extension", help="build the zip for Blender").set_defaults(run=run_extension)
    commands.add_parser("doctor", help="say what is missing").set_defaults(run=run_doctor)
    return parser


def main() -> int:
    """Entry point; turns what a machine lacks into one sentence."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, engine_env.stop)
    try:
        return int(options.run(options))
    except SetupError as error:
        print(error.message, file=sys.stderr)
        return EXIT_ENVIRONMENT
    except OSError as error:
        print(f"It could not go on: {error.strerror or error} ({error.filename}).", file=sys.stderr)
        return EXIT_ENVIRONMENT
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return engine_env.EXIT_STOPPED


if __name__ == "__main__":
    sys.exit(main())
