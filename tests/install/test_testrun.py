"""The test command counts right: what failed, what skipped and why, and what never came to an end."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import demo
import pytest
import testrun

ROOT = Path(__file__).resolve().parents[2]
JUNIT = """<testsuites><testsuite>
<testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure message="assert 1 == 2&#10;more"/></testcase>
<testcase classname="a" name="broken"><error message="fixture"/></testcase>
<testcase classname="a" name="left"><skipped message="shared/ is absent"/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def report(tmp_path) -> Path:
    path = tmp_path / "r.xml"
    path.write_text(JUNIT)
    return path


def test_counts_and_reasons(report):
    outcome = testrun.read_junit(report, "engine")
    assert outcome.passed == 1
    assert outcome.failures == ["engine: a::bad: assert 1 == 2", "engine: a::broken: fixture"]
    assert outcome.skips == ["engine: a::left: shared/ is absent"]


def test_a_missing_result_is_a_failure(tmp_path):
    assert testrun.judge(tmp_path / "none.xml", "x", 0).failures
    (tmp_path / "cut.xml").write_text("<testsuites><testsuite>")
    assert testrun.judge(tmp_path / "cut.xml", "x", 0).failures


@pytest.mark.parametrize(("code", "failed"), [(0, 0), (1, 0), (-11, 1), (139, 1), (5, 1), (None, 1)])
def test_a_process_that_ends_badly_is_a_failure_even_if_all_tests_passed(tmp_path, code, failed):
    path = tmp_path / "r.xml"
    path.write_text('<testsuite><testcase classname="a" name="good"/></testsuite>')
    assert len(testrun.judge(path, "x", code).failures) == failed


def test_no_test_at_all_is_a_failure(tmp_path):
    path = tmp_path / "r.xml"
    path.write_text("<testsuite/>")
    assert testrun.judge(path, "x", 0).failures == ["x: ran no test"]


def test_the_last_line_is_the_count(report, capsys):
    good = testrun.Outcome("lint", passed=2)
    assert testrun.summarize([good, testrun.read_junit(report, "engine")]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "3 passed, 2 failed, 1 skipped"
    assert "SKIPPED engine: a::left: shared/ is absent" in printed
    assert testrun.summarize([good]) == 0


def test_a_test_process_that_hangs_is_killed(tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]
    assert testrun._run_limited(command, tmp_path, {}, 1.5, log) is None
    assert log.read_text().strip() == "here"


def test_oracles_are_opt_ins():
    assert testrun.opt_ins({}) == ()
    assert testrun.opt_ins({"LIKENESS_TEST_SMPLX": "0"}) == ()
    assert testrun.opt_ins({"LIKENESS_TEST_SMPLX": "1"}) == ("smpl",)
    assert testrun.opt_ins({"LIKENESS_TEST_SMPLX": "1", "LIKENESS_TEST_SPCONV": "1"}) == ("smpl", "spconv")


def test_demo_shows_marked_lines_and_keeps_the_rest_in_the_log(tmp_path):
    code = "print('Fra:1 noise'); print('[demo] frame 1 of 2'); raise SystemExit(3)"
    shown: list[str] = []
    assert demo.follow([sys.executable, "-c", code], {}, tmp_path / "log", 30, shown.append) == 3
    assert shown == ["[demo] frame 1 of 2"]
    assert "noise" in (tmp_path / "log").read_text()


def test_demo_does_not_wait_for_ever(tmp_path):
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert demo.follow(command, {}, tmp_path / "log", 1.0, print) is None


def bootstrap(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "install" / "bootstrap.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_bootstrap_says_what_it_can_do():
    done = bootstrap("--help")
    assert done.returncode == 0
    assert {"demo", "test", "engine", "extension", "doctor"} <= set(done.stdout.split())
    assert bootstrap("juggle").returncode == 2


def test_bootstrap_can_be_read_by_an_old_python():
    """Its first lines refuse an old Python in a sentence, so an old Python must be able to compile the file."""
    import ast

    source = (ROOT / "install" / "bootstrap.py").read_text("utf-8")
    ast.parse(source, feature_version=(3, 7))
    head = source.split("import blender_env")[0]
    old = head.replace("sys.version_info < (3, 11)", "True")
    done = subprocess.run([sys.executable, "-c", old.replace("__file__", "'x'")], capture_output=True, text=True)
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "3.11" in done.stderr


@pytest.mark.parametrize(
    ("lacking", "word"), [("disk", "4.2 GB"), ("library", "apt-get install libgl1"), ("python", "Python 3.11")]
)
def test_what_is_missing_is_said_before_anything_is_made(tmp_path, monkeypatch, lacking, word):
    """A machine that lacks something for Blender hears of it before the engine's download begins."""
    import blender_env
    import bootstrap as program
    import setup_checks

    monkeypatch.setattr(program, "ROOT", tmp_path)
    monkeypatch.setattr(program, "ENGINE", tmp_path / ".venv")
    free = 1_000_000_000 if lacking == "disk" else 100_000_000_000
    usage = namedtuple("usage", "free")(free)
    monkeypatch.setattr(program, "check_disk", lambda *asked: setup_checks.check_disk(*asked, lambda _: usage))
    there = lambda name: lacking != "library" or name != "libGL.so.1"  # noqa: E731
    monkeypatch.setattr(program, "check_libraries", lambda *a: setup_checks.check_libraries(*a, "linux", there))
    monkeypatch.setattr("shutil.which", lambda _: None)
    version = (3, 13, 0) if lacking == "python" else (3, 11, 7)
    monkeypatch.setattr(program, "find_python", lambda *a: setup_checks.find_python(*a, version))
    with pytest.raises(setup_checks.SetupError, match=word):
        program.preflight(blender_env.BPY50)
    assert list(tmp_path.iterdir()) == []


def test_ci_runs_the_test_command_of_the_readme():
    text = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "python3 install/bootstrap.py test" in text
    assert all(f"{name}=1" in text for name in testrun.OPT_INS)
