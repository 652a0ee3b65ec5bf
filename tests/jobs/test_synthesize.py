"""`likeness synthesize` from the outside."""

from __future__ import annotations

import json
import threading

import pytest
from likeness.cli import main
from likeness.core.errors import LikenessError
from likeness.jobs.synthesize_job import SynthesizeOptions, run_synthesize_job, sensor_names
from likeness.synthesis.sample import Settings

SMALL = ["--size", "96", "--views", "1", "--points", "500", "--cloth", "skin"]


def test_people_arrive_and_are_not_made_twice(tmp_path, capsys):
    out = tmp_path / "people"
    assert main(["synthesize", "--out", str(out), "--count", "2", *SMALL, "--workers", "2", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1] == {"event": "done", "people": 2, "folder": str(out)}
    assert {p.name for p in out.iterdir()} == {"000000", "000001"}
    stamps = {p: p.stat().st_mtime_ns for p in out.iterdir()}
    assert main(["synthesize", "--out", str(out), "--count", "2", *SMALL]) == 0
    assert stamps == {p: p.stat().st_mtime_ns for p in out.iterdir()}


def test_several_processes_make_what_one_makes(tmp_path):
    settings = Settings(size=64, views=1, points=200, cloth="skin")
    for name, workers in (("one", 1), ("two", 2)):
        run_synthesize_job(SynthesizeOptions(tmp_path / name, settings, 2, workers=workers), lambda event: None)
    for file in ("person.json", "00/color.jpg", "00/depth.png"):
        assert (tmp_path / "one" / "000001" / file).read_bytes() == (tmp_path / "two" / "000001" / file).read_bytes()


def test_a_cancelled_job_leaves_whole_people_alone(tmp_path):
    stop = threading.Event()
    settings = Settings(size=64, views=1, points=200, cloth="skin")

    def emit(event):
        if event["fraction"] > 0:
            stop.set()

    with pytest.raises(LikenessError, match="cancelled"):
        run_synthesize_job(SynthesizeOptions(tmp_path, settings, 5), emit, stop)
    assert [p.name for p in tmp_path.iterdir()] == ["000000"]


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--sensor", "sonar"], "no sensor model sonar", 2),
        (["--count", "0"], "--count 0 is out of range", 2),
        (["--size", "9"], "--size 9 is out of range", 2),
        (["--workers", "999"], "--workers 999 is out of range", 2),
        (["--avatars", "2"], "--avatars 2.0 is out of range", 2),
        (["--pack", "/nowhere"], "pack", 4),
    ],
)
def test_wrong_words_are_answered_with_a_sentence(tmp_path, capsys, arguments, words, code):
    assert main(["synthesize", "--out", str(tmp_path / "x"), *arguments]) == code
    assert words in capsys.readouterr().err


def test_all_sensors_have_one_word():
    assert "kinect_v2" in sensor_names("all") and sensor_names("ideal, phone_lidar") == ("ideal", "phone_lidar")
