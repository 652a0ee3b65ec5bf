# SPDX-License-Identifier: Apache-2.0
"""Every check and test with one summary: lint, types, the engine's tests, and the tests inside each Blender.

Blender's module may crash or hang while its process ends, so its tests run one file a process, with a time limit, and
are judged by the JUnit file that pytest wrote.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import setup_venv as venv

GLTF_VALIDATOR = "gltf-validator@2.0.0-dev.3.10"
ENGINE_LIMIT_S = 1500
BLENDER_LIMIT_S = 420


@dataclass
class Outcome:
    """What one part of the run came to: counts, and a line for each failure and skip."""

    name: str
    passed: int = 0
    failures: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)
    seconds: float = 0.0


#: Packages that are only oracles for tests, brought by an extra when a variable asks: smplx is under a non-commercial
#: licence; spconv's build for the CPU would overwrite the one for graphics cards, and has wheels for Linux alone.
OPT_INS = {"LIKENESS_TEST_SMPLX": "smpl", "LIKENESS_TEST_SPCONV": "spconv"}


def opt_ins(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Extras of the test environment that are asked for (LIKENESS_TEST_SMPLX=1, LIKENESS_TEST_SPCONV=1)."""
    return tuple(extra for name, extra in OPT_INS.items() if environ.get(name, "") not in ("", "0"))


def read_junit(path: Path, name: str) -> Outcome:
    """Counts, failures and skip reasons of a JUnit file. A missing or broken file is a failure."""
    outcome = Outcome(name)
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        outcome.failures.append(f"{name}: no result was written, the process ended before the tests did")
        return outcome
    for case in cases:
        title = f"{case.get('classname', '')}::{case.get('name', '')}".strip(":")
        broken = case.find("failure") if case.find("failure") is not None else case.find("error")
        skipped = case.find("skipped")
        if broken is not None:
            reason = (broken.get("message") or "").splitlines() or ["no message"]
            outcome.failures.append(f"{name}: {title}: {reason[0][:200]}")
        elif skipped is not None:
            outcome.skips.append(f"{name}: {title}: {skipped.get('message') or 'no reason given'}")
        else:
            outcome.passed += 1
    return outcome


def judge(path: Path, name: str, code: int | None) -> Outcome:
    """`read_junit`, and a failure where the process ended badly although no test says so (code None: out of time)."""
    outcome = read_junit(path, name)
    if code is None:
        outcome.failures.append(f"{name}: stopped, it ran past its time limit")
    elif code not in (0, 1) and not outcome.failures:
        outcome.failures.append(f"{name}: ended with exit code {code}")
    elif not outcome.failures and not outcome.passed and not outcome.skips:
        outcome.failures.append(f"{name}: ran no test")
    return outcome


def check(name: str, command: Sequence[str], root: Path) -> Outcome:
    """Run a linter; its output is shown when it complains."""
    start = time.monotonic()
    done = subprocess.run(
        list(command), cwd=root, env=venv.clean_environ(), capture_output=True, text=True, check=False
    )
    outcome = Outcome(name, passed=int(done.returncode == 0), seconds=time.monotonic() - start)
    if done.returncode != 0:
        print(done.stdout + done.stderr, flush=True)
        last = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["no output"]
        outcome.failures.append(f"{name}: {last[0]}")
    return outcome


def test_environ(root: Path, python: Path, archive: Path) -> dict[str, str]:
    """The tests' environment: one thread a process (two run side by side), no network look-ups, where things lie."""
    environ = venv.clean_environ()
    environ.update(
        OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", LIKENESS_ZIP=str(archive), LIKENESS_ENGINE_PYTHON=str(python)
    )
    validator = gltf_validator(root)
    if validator:
        environ["LIKENESS_GLTF_VALIDATOR"] = str(validator.parent)
    return environ


def gltf_validator(root: Path) -> Path | None:
    """Folder of Khronos' glTF validator, installed once by npm; None (said aloud) where there is no Node."""
    folder = root / "build" / "node"
    package = folder / "node_modules" / "gltf-validator"
    if package.is_dir():
        return package
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        print("[test] no Node.js here: the tests with the Khronos glTF validator will skip", flush=True)
        return None
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), GLTF_VALIDATOR]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=180, check=False
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode != 0:
        print("[test] npm could not install the glTF validator: its tests will skip", flush=True)
        return None
    return package


def _run_limited(
    command: Sequence[str], root: Path, environ: Mapping[str, str], limit_s: float, log: Path | None
) -> int | None:
    """Exit code, or None when the time limit stopped it. With a log the output goes there, else to the terminal."""
    with open(log or os.devnull, "wb") as handle:
        target = handle if log else None
        process = subprocess.Popen(
            list(command),
            cwd=root,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=subprocess.STDOUT if log else None,
            start_new_session=sys.platform != "win32",
        )
        try:
            return process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a test process and, where the system can, whatever it had started."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def engine_tests(root: Path, python: Path, environ: Mapping[str, str]) -> Outcome:
    """pytest over everything but tests/blender, two processes side by side."""
    report = root / "build" / "test" / "engine.xml"
    report.unlink(missing_ok=True)
    start = time.monotonic()
    command = [
        str(python),
        "-m",
        "pytest",
        "tests",
        "-q",
        "-n",
        "2",
        "--dist",
        "loadfile",
        "--durations=12",
        f"--junitxml={report}",
    ]
    code = _run_limited(command, root, environ, ENGINE_LIMIT_S, None)
    outcome = judge(report, "engine", code)
    outcome.seconds = time.monotonic() - start
    return outcome


def blender_tests(root: Path, name: str, python: Path, file: Path, environ: Mapping[str, str]) -> Outcome:
    """One test file in one Blender. The output is shown only when something failed."""
    label = f"{name} {file.stem}"
    stem = label.lower().replace(" ", "-")
    report, log = (root / "build" / "test" / f"{stem}{suffix}" for suffix in (".xml", ".log"))
    report.unlink(missing_ok=True)
    start = time.monotonic()
    command = [str(python), "-m", "pytest", str(file), "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    code = _run_limited(command, root, environ, BLENDER_LIMIT_S, log)
    outcome = judge(report, label, code)
    outcome.seconds = time.monotonic() - start
    if outcome.failures:
        print(f"---- {label} ----\n{log.read_text('utf-8', 'replace')[-6000:]}", flush=True)
    print(f"[test] {label}: {outcome.passed} passed in {outcome.seconds:.0f} s", flush=True)
    return outcome


def summarize(outcomes: Sequence[Outcome]) -> int:
    """Print the summary, last the one plain line with the counts. Returns the exit code: 1 when anything failed."""
    print("\n======== summary ========")
    for outcome in outcomes:
        counts = f"{outcome.passed} passed, {len(outcome.failures)} failed, {len(outcome.skips)} skipped"
        print(f"{outcome.name}: {counts} in {outcome.seconds:.0f} s")
    skips = [line for outcome in outcomes for line in outcome.skips]
    failures = [line for outcome in outcomes for line in outcome.failures]
    for line in skips:
        print(f"SKIPPED {line}")
    for line in failures:
        print(f"FAILED {line}")
    passed = sum(outcome.passed for outcome in outcomes)
    print(f"{passed} passed, {len(failures)} failed, {len(skips)} skipped", flush=True)
    return 1 if failures else 0


def run(root: Path, python: Path, blenders: Mapping[str, Path], archive: Path, only: str | None = None) -> int:
    """Run everything, or one part of it (`lint`, `engine`, `blender`). Returns the exit code."""
    (root / "build" / "test").mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    if only in (None, "lint"):
        outcomes.append(check("ruff", [str(python), "-m", "ruff", "check", "."], root))
        outcomes.append(check("mypy", [str(python), "-m", "mypy"], root))
    environ = test_environ(root, python, archive)
    if only in (None, "engine"):
        outcomes.append(engine_tests(root, python, environ))
    if only in (None, "blender"):
        files = sorted((root / "tests" / "blender").glob("test_*.py"))
        jobs = [(name, path, file) for file in files for name, path in blenders.items()]
        with ThreadPoolExecutor(max_workers=2) as pool:
            started = [pool.submit(blender_tests, root, *job, environ) for job in jobs]
        outcomes += [one.result() for one in started]
    return summarize(outcomes)
