"""The panel's side of a job, against engines that behave and engines that do not."""

import os
import stat
import sys
import time
from pathlib import Path

import bpy
import pytest

FAKE = Path(__file__).with_name("fake_engine.py")


@pytest.fixture
def engine(scene, addon, tmp_path, mannequin_folder, monkeypatch):
    """engine(MODE): the extension, set to an engine of that behaviour, with short limits and a capture to choose."""
    runtime, preferences = addon("runtime"), addon("preferences")
    limits = addon("engine_client").Limits(hello_s=10.0, silence_s=2.0, cancel_s=0.5, grace_s=0.5)
    (tmp_path / "sub").mkdir()
    capture = tmp_path / "sub" / "anna"
    capture.mkdir()

    def prepare(mode: str, **other_limits: float):
        wrapper = tmp_path / f"engine_{mode}"
        wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" {mode} "{mannequin_folder}" "$@"\n')
        wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
        from dataclasses import replace

        runtime.session = addon("session").Session(limits=replace(limits, **other_limits))
        preferences.preferences().engine_python = str(wrapper)
        preferences.preferences().output_folder = str(tmp_path / "out")
        runtime.session.source = capture
        return runtime.session

    prepare.capture = capture
    yield prepare
    runtime.close()
    preferences.preferences().engine_python = ""


def pump(addon, until, limit_s: float = 15.0) -> None:
    """Call tick() as the timer would, until a condition holds."""
    runtime, end = addon("runtime"), time.monotonic() + limit_s
    while not until():
        assert time.monotonic() < end, f"waited too long; {runtime.session}"
        runtime.tick()
        time.sleep(0.005)


def process_of(session):
    """The engine's process (kept by the test after the session has let it go)."""
    return session.client._child._process


def blocks() -> dict[str, int]:
    return {
        kind: len(getattr(bpy.data, kind)) for kind in ("objects", "meshes", "armatures", "materials", "collections")
    }


def test_choose_create_and_the_avatar_is_there(engine, addon, tmp_path):
    session = engine("good")
    bpy.ops.likeness.choose(filepath=str(engine.capture), wait=True)
    assert session.facts["stature_m"] == 1.76 and session.facts["params"]["path"] == str(engine.capture)
    bpy.ops.likeness.create_avatar(wait=True)
    rig = bpy.context.object
    assert rig["likeness_job"] == "job-1" and Path(rig["likeness_avatar"]) == tmp_path / "out" / "anna.avatar"
    assert session.job is None and session.source is None and session.failure is None
    bpy.ops.likeness.choose(filepath=str(engine.capture), wait=True)
    bpy.ops.likeness.create_avatar(wait=True)
    assert (tmp_path / "out" / "anna-002.avatar").is_dir() and bpy.context.object.name == "Box.001"


def test_what_arrives_is_drawn(engine, addon):
    """The pump redraws when the count of changes has changed: answers and progress must count."""
    session = engine("cancellable")
    bpy.ops.likeness.choose(filepath=str(engine.capture))
    before = session.version
    pump(addon, lambda: session.facts is not None)
    assert session.version > before
    bpy.ops.likeness.create_avatar()
    pump(addon, lambda: session.job.fraction > 0)
    before = session.version
    pump(addon, lambda: session.job.fraction > 0.3)
    assert session.version > before


def test_settings_reach_the_engine(engine, addon, scene, tmp_path):
    session = engine("good")
    scene.likeness.unit, scene.likeness.person, scene.likeness.mask = "mm", 2, str(tmp_path / "mask.png")
    bpy.ops.likeness.choose(filepath=str(engine.capture), wait=True)
    sent = session.facts["params"]
    assert (sent["unit"], sent["person"], sent["mask"]) == ("mm", 2, str(tmp_path / "mask.png"))


def test_another_picture_chosen_by_hand_forgets_the_mask(engine, scene, tmp_path):
    session = engine("good")
    scene.likeness.mask, scene.likeness.person, scene.likeness.preset = str(tmp_path / "mask.png"), 1, "best"
    bpy.ops.likeness.choose(filepath=str(engine.capture), by_hand=True)
    assert scene.likeness.person == 1, "the same input keeps its settings"
    other = tmp_path / "other.png"
    other.write_text("x")
    bpy.ops.likeness.choose(filepath=str(other), by_hand=True)
    assert session.source == other
    assert (scene.likeness.mask, scene.likeness.person, scene.likeness.preset) == ("", 0, "best")


def test_progress_is_followed(engine, addon):
    session = engine("cancellable")
    bpy.ops.likeness.create_avatar()
    pump(addon, lambda: session.job.fraction > 0.3)
    assert session.job.stages == ("read", "body", "write") and session.job.stage == "body"
    assert session.job.remaining_s == 65.0
    with pytest.raises(RuntimeError):
        bpy.ops.likeness.create_avatar()


def test_cancel_is_quick_and_changes_nothing(engine, addon):
    session = engine("cancellable")
    before = blocks()
    bpy.ops.likeness.create_avatar()
    pump(addon, lambda: session.job.fraction > 0)
    bpy.ops.likeness.cancel()
    pump(addon, lambda: session.job is None, 2.0)
    assert session.failure is None and "Cancelled" in session.notice and blocks() == before
    assert session.client.alive, "an engine that obeys is kept for the next job"
    bpy.ops.likeness.create_avatar()
    pump(addon, lambda: session.job.fraction > 0)


def test_engine_that_does_not_obey_is_ended(engine, addon):
    session = engine("stubborn")
    bpy.ops.likeness.create_avatar()
    pump(addon, lambda: session.job.id)
    process = process_of(session)
    bpy.ops.likeness.cancel()
    pump(addon, lambda: session.job is None)
    assert session.failure is None and "Cancelled" in session.notice
    while addon("runtime").tick():  # the timer goes on as long as tick() says that something is under way
        time.sleep(0.01)
    assert process.poll() is not None


FAILURES = {
    "dead": ("engine.died", "did not start"),
    "deaf": ("engine.silent", "did not start in time"),
    "garbage": ("engine.garbage", "no message"),
    "long_line": ("engine.garbage", "no message"),
    "old": ("engine.protocol", "protocol 0"),
    "newer": ("engine.protocol", "protocol 2"),
    "refuses": ("engine.protocol", "Too old"),
    "killed": ("engine.died", "stopped by the system"),
    "crash": ("engine.died", "exit code 70"),
    "garbage_later": ("engine.garbage", "no message"),
    "mute": ("engine.silent", "said nothing"),
    "job_fails": ("capture.empty_mask", "selects nothing"),
    "lies": ("avatar.unreadable", "anna.avatar"),
}


@pytest.mark.parametrize("mode", FAILURES)
def test_failure_is_one_sentence_and_leaves_the_scene_alone(engine, addon, mode):
    session = engine(mode, **({"hello_s": 0.5} if mode == "deaf" else {"silence_s": 0.5} if mode == "mute" else {}))
    before = blocks()
    bpy.ops.likeness.create_avatar()
    process = process_of(session)
    pump(addon, lambda: session.failure is not None)
    code, words = FAILURES[mode]
    assert session.failure.code == code and words in session.failure.message and session.failure.hint
    assert session.job is None and blocks() == before
    if code.startswith("engine."):
        pump(addon, lambda: process.poll() is not None)
    # The next try starts a new engine where the old one is gone.
    session.dismiss()
    bpy.ops.likeness.try_again()
    assert session.job is not None and session.client.alive


def test_inspection_failure_is_shown(engine, addon):
    session = engine("inspect_fails")
    with pytest.raises(RuntimeError, match="nobody can be found"):
        bpy.ops.likeness.choose(filepath=str(engine.capture), wait=True)
    assert session.failure.code == "capture.no_person" and not session.inspecting


def test_wrong_types_do_no_harm(engine, addon):
    session = engine("wrong_types")
    bpy.ops.likeness.create_avatar(wait=True)
    assert session.failure is None and bpy.data.objects["Box"]


def test_flood_of_messages_never_holds_blender_up(engine, addon):
    """20,000 messages: a tick keeps to its budget, none is lost."""
    session = engine("flood")
    bpy.ops.likeness.create_avatar()
    session.tick(0.0)
    assert session.job.fraction == 0.0, "no budget, no work"
    pump(addon, lambda: session.job is None, 30.0)
    assert bpy.data.objects["Box"]


def test_missing_engine_and_missing_file_are_told(engine, addon, tmp_path):
    session = engine("good")
    addon("preferences").preferences().engine_python = str(tmp_path / "nothing")
    with pytest.raises(RuntimeError, match="cannot be started"):
        bpy.ops.likeness.create_avatar()
    addon("preferences").preferences().engine_python = ""
    addon("preferences").preferences().engine_folder = str(tmp_path / "nowhere")
    with pytest.raises(RuntimeError, match="not set up yet"):
        bpy.ops.likeness.create_avatar()
    with pytest.raises(RuntimeError, match="no such file"):
        bpy.ops.likeness.choose(filepath=str(tmp_path / "missing.png"))
    assert session.job is None


def test_file_inside_a_capture_means_the_capture(engine, addon):
    session = engine("good")
    for name in ("color.png", "depth.png", "intrinsics.json", "anna.png"):
        (engine.capture / name).write_text("x")
    bpy.ops.likeness.choose(filepath=str(engine.capture / "color.png"), wait=True)
    assert session.source == engine.capture
    bpy.ops.likeness.choose(filepath=str(engine.capture / "anna.png"), wait=True)
    assert session.source == engine.capture / "anna.png"


def test_closing_leaves_no_orphan(engine, addon):
    """Also when the engine neither watches its input nor obeys SIGTERM."""
    session = engine("ignores_eof")
    bpy.ops.likeness.choose(filepath=str(engine.capture), wait=True)
    process = process_of(session)
    addon("runtime").close()
    assert process.poll() is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_silence_before_a_job_is_not_held_against_it(engine, addon):
    """An engine that had nothing to do had nothing to say."""
    session = engine("cancellable", silence_s=0.5)
    bpy.ops.likeness.choose(filepath=str(engine.capture), wait=True)
    time.sleep(0.7)
    bpy.ops.likeness.create_avatar()
    pump(addon, lambda: session.failure or session.job.fraction > 0)
    assert session.failure is None


def test_engine_without_work_leaves_and_comes_back(engine, addon):
    session = engine("good", idle_s=0.3)
    bpy.ops.likeness.choose(filepath=str(engine.capture), wait=True)
    process = process_of(session)
    pump(addon, lambda: process.poll() is not None)
    assert process.returncode == 0 and session.failure is None, "it left because its input was closed"
    bpy.ops.likeness.create_avatar(wait=True)
    assert bpy.data.objects["Box"]


def test_child_sees_nothing_of_blenders_python(engine, addon, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    environment = addon("child").clean_environment()
    assert "PYTHONPATH" not in environment and "PYTHONHOME" not in environment
    assert environment["PYTHONNOUSERSITE"] == "1"
    assert addon("engine_client").engine_command("python")[1] == "-I"


def test_arrival_waits_for_object_mode(engine, addon):
    """An avatar does not throw the artist out of Edit Mode; it comes when they leave."""
    session = engine("good")
    mesh = bpy.data.objects.new("Work", bpy.data.meshes.new("Work"))
    bpy.context.scene.collection.objects.link(mesh)
    bpy.context.view_layer.objects.active = mesh
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.likeness.create_avatar()
    pump(addon, lambda: session.arrivals and "Object Mode" in session.notice)
    assert bpy.context.mode == "EDIT_MESH" and "Box" not in bpy.data.objects
    bpy.ops.object.mode_set(mode="OBJECT")
    pump(addon, lambda: not session.arrivals)
    assert bpy.data.objects["Box"]
