"""The Set Up Engine button, with a stand-in for the script that installs."""

import sys
import time
from pathlib import Path

import bpy
import pytest

SCRIPT = """
import json, sys, time
mode = {mode!r}
def say(**event):
    print(json.dumps(event), flush=True)
print("a line for people", flush=True)
say(event="progress", stage="torch", stages=["checks", "torch"], fraction=0.5, message="30 of 64 packages")
target = sys.argv[sys.argv.index("--target") + 1]
if mode == "stop":
    time.sleep(60)
if mode == "fails":
    say(event="failed", code="environment.disk", message="The engine needs 2.6 GB of free disk space.")
    sys.exit(4)
if mode == "crash":
    sys.exit("Traceback: no module named venv")
import os, pathlib
folder = pathlib.Path(target, "bin")
folder.mkdir(parents=True)
(folder / "python").write_text("")
pathlib.Path(target, "likeness-setup.json").write_text("{{}}")
say(event="done", python=str(folder / "python"), version="9.9")
"""


@pytest.fixture
def setup(scene, addon, tmp_path, monkeypatch):
    """setup(MODE) prepares an extension folder whose script behaves so; the button then runs it."""
    runtime, engine_setup = addon("runtime"), addon("engine_setup")
    operators = addon("operators_job")
    prefs = addon("preferences").preferences()
    runtime.session = addon("session").Session()
    prefs.engine_python, prefs.engine_folder = "", str(tmp_path / "engine-env")
    prefs.wheelhouse = str(tmp_path)

    def prepare(mode: str):
        folder = tmp_path / "extension"
        (folder / "engine").mkdir(parents=True)
        (folder / "engine" / "engine_env.py").write_text(SCRIPT.format(mode=mode))
        (folder / "engine" / "likeness-9.9-py3-none-any.whl").write_text("")
        monkeypatch.setattr(operators, "INSTALLED_FOLDER", folder)
        return runtime

    prepare.plan = engine_setup.SetupPlan
    yield prepare
    runtime.close()
    prefs.engine_python = prefs.wheelhouse = ""


def pump(runtime, until, limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not until():
        assert time.monotonic() < end
        runtime.tick()
        time.sleep(0.01)


def test_engine_is_found_after_the_set_up(setup, addon):
    runtime = setup("good")
    assert addon("preferences").engine_python() is None
    bpy.ops.likeness.setup_engine()
    pump(runtime, lambda: runtime.setup is None or runtime.setup.fraction == 0.5)
    pump(runtime, lambda: runtime.setup is None)
    assert runtime.session.failure is None and "ready" in runtime.session.notice
    assert Path(addon("preferences").engine_python()).name == "python"


@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [("fails", "environment.disk", "2.6 GB"), ("crash", "engine.setup", "unexpectedly")],
)
def test_failed_set_up_is_told(setup, addon, mode, code, words):
    runtime = setup(mode)
    bpy.ops.likeness.setup_engine()
    pump(runtime, lambda: runtime.session.failure is not None)
    assert runtime.session.failure.code == code and words in runtime.session.failure.message
    assert runtime.setup is None and addon("preferences").engine_python() is None
    bpy.ops.likeness.try_again()
    assert runtime.setup is not None and runtime.session.failure is None


def test_set_up_can_be_stopped(setup):
    runtime = setup("stop")
    bpy.ops.likeness.setup_engine()
    pump(runtime, lambda: runtime.setup.fraction == 0.5)
    process = runtime.setup._child._process
    with pytest.raises(RuntimeError, match="being set up already"):
        bpy.ops.likeness.setup_engine()
    bpy.ops.likeness.cancel()
    pump(runtime, lambda: runtime.setup is None)
    assert runtime.session.failure is None and process.poll() is not None


def test_offline_blender_downloads_nothing(setup, addon):
    setup("good")
    addon("preferences").preferences().wheelhouse = ""
    with pytest.raises(RuntimeError, match="stay offline"):
        bpy.ops.likeness.setup_engine()


def test_the_zip_brings_what_the_set_up_needs(setup, addon):
    """The real files of the built extension, as the button would start them."""
    plan = setup.plan.from_extension(addon("package").INSTALLED_FOLDER, sys.executable, Path("/x"), None)
    command = plan.command()
    assert command[command.index("--target") + 1] == "/x" and plan.wheel.stat().st_size > 100_000
    for name in ("setup_checks.py", "setup_venv.py", "constraints.txt"):
        assert (plan.script.parent / name).is_file()
