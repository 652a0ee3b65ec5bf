"""Environments are made once, repaired when half made, left alone when current; other folders are never touched."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import setup_venv as venv
from setup_checks import SetupError

PYTHON = [sys.executable]


@pytest.fixture(scope="module")
def real_venv(tmp_path_factory) -> Path:
    """An environment without pip: enough to start an interpreter, made in a moment."""
    folder = tmp_path_factory.mktemp("venv") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def test_stamp_decides_what_is_current(real_venv):
    assert not venv.is_current(real_venv, "recipe", ())
    venv.write_stamp(real_venv, "recipe", ["engine", "dev"], backend="cpu")
    assert venv.is_current(real_venv, "recipe", ["dev"])
    assert venv.read_stamp(real_venv)["backend"] == "cpu"
    assert not venv.is_current(real_venv, "another recipe", ["dev"])
    assert not venv.is_current(real_venv, "recipe", ["smpl"])
    (real_venv / venv.STAMP).write_text("{broken")
    assert not venv.is_current(real_venv, "recipe", ())


def test_stamp_without_interpreter_is_not_current(tmp_path):
    venv.write_stamp(tmp_path, "recipe", [])
    assert not venv.is_current(tmp_path, "recipe", ())


def test_digest_separates_its_parts():
    assert venv.digest(["ab", "c"]) != venv.digest(["a", "bc"])
    assert venv.digest(["ab", b"c"]) == venv.digest([b"ab", "c"])


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    keep = tmp_path / "photos" / "me.jpg"
    keep.parent.mkdir()
    keep.write_bytes(b"x")
    with pytest.raises(SetupError, match="no Python environment"):
        venv.make_venv(keep.parent, PYTHON)
    assert keep.exists()


def test_a_broken_environment_is_made_anew(tmp_path):
    folder = tmp_path / "env"
    folder.mkdir()
    (folder / "pyvenv.cfg").write_text("home = nowhere\n")
    (folder / "rest of an old one").touch()
    venv.make_venv(folder, PYTHON)
    assert not (folder / "rest of an old one").exists()
    done = subprocess.run([str(venv.venv_python(folder)), "-m", "pip", "--version"], capture_output=True, text=True)
    assert done.returncode == 0
    assert str(folder) in done.stdout


def test_a_package_cut_off_in_the_middle_is_installed_again(tmp_path):
    whole, half = tmp_path / "whole-1.dist-info", tmp_path / "half-2.dist-info"
    for entry in (whole, half):
        entry.mkdir()
        (entry / "METADATA").touch()
    (whole / "RECORD").touch()
    assert venv.incomplete_distributions(tmp_path) == [half]


def test_environments_see_their_own_packages_alone(tmp_path, monkeypatch, real_venv):
    (tmp_path / "leaked.py").write_text("value = 1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = [str(venv.venv_python(real_venv)), "-c", "import leaked"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert subprocess.run(command, capture_output=True, env=venv.clean_environ()).returncode == 1


def test_pip_settings_of_the_machine_survive():
    kept = venv.clean_environ(
        {"PIP_FIND_LINKS": "/wheels", "PYTHONPATH": "/x", "HTTPS_PROXY": "p", "VIRTUAL_ENV": "/v"}
    )
    assert kept["PIP_FIND_LINKS"] == "/wheels"
    assert kept["HTTPS_PROXY"] == "p"
    assert not {"PYTHONPATH", "VIRTUAL_ENV"} & set(kept)


def test_two_set_ups_of_one_folder_exclude_each_other(tmp_path):
    folder = tmp_path / "env"
    with venv.exclusive(folder), pytest.raises(SetupError, match="Another set-up"), venv.exclusive(folder):
        raise AssertionError("both had it")
    with venv.exclusive(folder):
        pass


def test_installer_output_is_followed_and_logged(real_venv):
    code = "print('Collecting numpy'); print('Installing collected packages: a, b, c')"
    told: list[str] = []
    venv.run_installer([sys.executable, "-c", code], real_venv, "x", told.append)
    assert "looking for numpy" in told
    assert told[-1] == "unpacking 3 packages"
    assert "Collecting numpy" in (real_venv / "likeness-setup.log").read_text("utf-8")


def test_a_failing_installer_is_a_sentence(real_venv):
    code = "print('ERROR: [Errno 28] No space left on device'); raise SystemExit(1)"
    with pytest.raises(SetupError) as error:
        venv.run_installer([sys.executable, "-c", code], real_venv, "PyTorch", lambda _: None)
    assert error.value.code == "environment.disk"
    assert "PyTorch" in error.value.message


def test_an_installer_that_hangs_is_stopped(real_venv):
    code = "import time; print('Collecting x', flush=True); time.sleep(60)"
    with pytest.raises(SetupError, match="stopped"):
        venv.run_installer([sys.executable, "-c", code], real_venv, "x", lambda _: None, timeout_s=1.5)


def test_progress_for_the_panel_is_json_and_never_runs_back():
    stream, now = io.StringIO(), [0.0]
    progress = venv.Progress("engine", {"a": 1, "b": 3}, as_json=True, stream=stream, every_s=1.0, clock=lambda: now[0])
    for stage, fraction in (("a", 0.0), ("a", 0.5), ("a", 0.2), ("b", 0.0), ("b", 0.9)):
        now[0] += 2.0
        progress.report(stage, fraction, "x")
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    fractions = [event["fraction"] for event in events]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(0.925)
    assert events[-1]["elapsed_s"] == 10.0
    assert events[0]["stages"] == ["a", "b"]


def test_progress_for_people_is_not_a_flood():
    stream = io.StringIO()
    progress = venv.Progress("engine", {"a": 1}, stream=stream, every_s=3.0, clock=lambda: 1.0)
    for _ in range(100):
        progress.report("a", 0.2, "working")
    assert stream.getvalue().count("\n") == 1


def test_progress_of_an_installer_is_what_it_has_written(tmp_path):
    stream, now = io.StringIO(), [0.0]
    progress = venv.Progress("engine", {"torch": 1}, as_json=True, stream=stream, every_s=1.0, clock=lambda: now[0])
    (tmp_path / "before").write_bytes(bytes(500))
    tell = venv.size_teller(progress, "torch", tmp_path, 1000)
    (tmp_path / "lib").mkdir()
    for written in (250, 750, 5000):
        (tmp_path / "lib" / "x").write_bytes(bytes(written))
        now[0] += 2.0
        tell("unpacking")
    assert [json.loads(line)["fraction"] for line in stream.getvalue().splitlines()] == [0.25, 0.75, 0.99]
    assert venv.size_bytes(tmp_path / "nowhere") == 0
