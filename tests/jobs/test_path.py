"""The whole path on our own sample: files to avatar, through the command line and through the protocol."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh
from likeness.core.avatar import read_avatar
from likeness.core.skinning import joint_transforms, skin
from PIL import Image
from scipy.spatial.transform import Rotation

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "samples" / "capture"
PHOTO = ROOT / "samples" / "photo.jpg"

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("path")]


def likeness(*arguments, **options):
    """Run the command line; returns the finished process."""
    command = [sys.executable, "-m", "likeness", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, **options)


@pytest.fixture(scope="module")
def avatar(tmp_path_factory):
    out = tmp_path_factory.mktemp("path") / "Sample.avatar"
    run = likeness("reconstruct", SAMPLE, "--out", out, "--preset", "preview", "--json")
    assert run.returncode == 0, run.stderr
    events = [json.loads(line) for line in run.stdout.splitlines()]
    return out, events


def test_capture_becomes_an_avatar_and_nothing_else(avatar):
    out, events = avatar
    assert [p.name for p in out.parent.iterdir()] == ["Sample.avatar"]
    assert events[-1] == {"event": "done", "avatar": str(out)}
    shares = [e["fraction"] for e in events[:-1]]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert events[0]["stage"] == "read"
    whole = read_avatar(out, verify=True)
    assert whole.method == "layers" and whole.name == "Sample" and len(whole.joint_names) == 52
    assert str(ROOT) not in (out / "avatar.json").read_text(), "a path of this machine in the provenance"
    assert {"avatar.glb", "capture_surface.ply", "previews/front.png", "previews/overlay.png"} <= set(
        json.loads((out / "avatar.json").read_text())["files"]
    )


def test_posed_avatar_is_the_captured_surface(avatar):
    whole = read_avatar(avatar[0])
    surface = trimesh.load(avatar[0] / "capture_surface.ply", process=False)
    turns = Rotation.from_rotvec(whole.capture.pose.astype(float)).as_matrix()
    transforms = joint_transforms(turns, whole.rest_joints.astype(float), whole.parents)
    rest = whole.vertices + whole.correctives.offsets(turns, len(whole.vertices))
    posed = skin(rest.astype(float), whole.skin_joints, whole.skin_weights.astype(float), transforms)
    distance = np.linalg.norm(posed + whole.capture.translation - surface.vertices, axis=1)
    assert np.median(distance) < 1e-3 and np.percentile(distance, 95) < 5e-3


def test_each_vertex_tells_how_it_is_known(avatar):
    """About half of a person turns away from the camera; nearly all of what the camera saw was measured too."""
    whole = read_avatar(avatar[0])
    guessed, seen, measured = np.bincount(whole.confidence, minlength=3) / len(whole.vertices)
    assert 0.4 < guessed < 0.8 and measured > 0.2 and seen < 0.15
    assert (whole.confidence[whole.seen > 0.6] == 2).all()


def test_quality_holds_on_the_sample(avatar):
    quality = read_avatar(avatar[0]).quality
    assert quality["depth_median_mm"] < 3 and quality["depth_p95_mm"] < 12 and quality["silhouette_iou"] > 0.95


def test_person_stands_upright_on_the_floor(avatar):
    whole = read_avatar(avatar[0])
    surface = trimesh.load(avatar[0] / "capture_surface.ply", process=False)
    world = trimesh.transform_points(surface.vertices, whole.world_from_capture)
    assert abs(world[:, 1].min()) < 0.02
    assert 1.5 < world[:, 1].max() < 2.0
    assert np.ptp(world[:, 1]) > 2 * np.ptp(world[:, 2])


def test_renders_as_captured_match_the_photo(avatar, tmp_path):
    run = likeness("render", avatar[0], "--as-captured", "--orbit", "0,180", "--out", tmp_path / "r")
    assert run.returncode == 0, run.stderr
    front = np.asarray(Image.open(tmp_path / "r" / "0000.png"))
    photo = np.asarray(Image.open(next(SAMPLE.glob("color.*"))).convert("RGB"))
    assert front.shape == (*photo.shape[:2], 4)
    solid = front[..., 3] == 255
    assert np.abs(front[solid][:, :3].astype(int) - photo[solid]).mean() < 8
    back = np.asarray(Image.open(tmp_path / "r" / "0001.png"))
    assert 0.8 < (back[..., 3] > 0).sum() / solid.sum() < 1.25


def test_renders_along_a_clip(avatar, tmp_path):
    size = ("--size", "160x240")
    run = likeness("render", avatar[0], "--motion", "walk_02_01", "--frames", "10:13", *size, "--out", tmp_path / "w")
    assert run.returncode == 0, run.stderr
    pictures = [np.asarray(Image.open(p)) for p in sorted((tmp_path / "w").iterdir())]
    assert [p.shape for p in pictures] == [(240, 160, 4)] * 3
    assert (pictures[0] != pictures[2]).any() and all((p[..., 3] > 0).mean() > 0.01 for p in pictures)


def test_photo_becomes_an_avatar(tmp_path):
    run = likeness("elicit", PHOTO, "--out", tmp_path / "Photo", "--preset", "preview")
    assert run.returncode == 0, run.stderr
    whole = read_avatar(tmp_path / "Photo.avatar", verify=True)
    assert whole.quality["silhouette_iou"] > 0.9
    assert "Fitting the body" in run.stderr


def test_a_fit_made_alone_is_the_body_of_an_avatar(avatar, tmp_path):
    run = likeness("fit", SAMPLE, "--out", tmp_path / "anna", "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == {"event": "done", "fit": str(tmp_path / "anna.fit")}
    run = likeness("fit", SAMPLE, "--out", tmp_path / "again.json", "--body", tmp_path / "anna")
    assert run.returncode == 0 and "confidence" in json.loads((tmp_path / "again.json").read_text())
    run = likeness("reconstruct", SAMPLE, "--out", tmp_path / "A", "--body", tmp_path / "none")
    assert run.returncode == 3 and "none" in run.stderr and not (tmp_path / "A.avatar.job").exists()


def test_killed_engine_leaves_nothing_half_written_and_resumes(tmp_path):
    out, job = tmp_path / "Sample.avatar", tmp_path / "Sample.avatar.job"
    command = [sys.executable, "-m", "likeness", "reconstruct", str(SAMPLE), "--out", str(out), "--preset", "preview"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(job.glob("checkpoint/*-body.npz")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    process.kill()
    process.wait()
    assert not out.exists()
    stored = {p.name: p.read_bytes() for p in job.glob("checkpoint/*-body.npz")}
    run = likeness("reconstruct", SAMPLE, "--out", out, "--preset", "preview", "--resume", "--job", job)
    assert run.returncode == 0, run.stderr
    fit = json.loads(np.load(next(iter(job.glob("checkpoint/*-body.npz"))))["fit"].tobytes())
    first = np.load(io.BytesIO(next(iter(stored.values()))))["fit"].tobytes()
    assert fit == json.loads(first), "the body was fitted again instead of resumed"
    assert Path((job / "result").read_text().strip()) == out.resolve()
    read_avatar(out, verify=True)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_interrupt_cancels_with_its_exit_code(tmp_path):
    out = tmp_path / "Sample.avatar"
    command = [sys.executable, "-m", "likeness", "reconstruct", str(SAMPLE), "--out", str(out), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        if json.loads(line)["stage"] == "body":
            process.send_signal(signal.SIGINT)
            break
    rest = [json.loads(line) for line in process.stdout]
    assert process.wait(120) == 5
    assert rest[-1]["code"] == "job.cancelled" and rest[-1]["hint"]
    assert not out.exists()


BAD = [
    ("missing", lambda d: ("reconstruct", d / "nothing"), 3),
    ("empty", lambda d: ("elicit", _file(d / "empty.png", b"")), 3),
    ("text", lambda d: ("elicit", _file(d / "text.jpg", b"hello")), 3),
    ("nobody", lambda d: ("elicit", _grey(d / "grey.png")), 3),
    ("sizes", lambda d: ("reconstruct", _capture(d, depth=(50, 40))), 3),
    ("intrinsics", lambda d: ("reconstruct", _capture(d, intrinsics={"fx": -1})), 3),
    ("mask", lambda d: ("reconstruct", _capture(d), "--mask", _grey(d / "mask.png", 0, size=(576, 1024))), 3),
    ("method", lambda d: ("reconstruct", _capture(d), "--method", "elicit"), 2),
    ("preset", lambda d: ("reconstruct", _capture(d), "--preset", "huge"), 2),
    ("person", lambda d: ("reconstruct", _capture(d), "--person", "0"), 2),
    ("device", lambda d: ("reconstruct", _capture(d), "--device", "mps" if sys.platform != "darwin" else "cuda"), 4),
    ("place", lambda d: ("reconstruct", _capture(d), "--out", _file(d / "file", b"") / "x.avatar"), 4),
]


def _file(path, data):
    path.write_bytes(data)
    return path


def _grey(path, value=128, size=(320, 480)):
    Image.new("L", size, value).save(path)
    return path


def _capture(folder, depth=None, intrinsics=None):
    target = folder / "capture"
    shutil.copytree(SAMPLE, target)
    if depth is not None:
        Image.fromarray(np.full(depth, 2000, np.uint16)).save(target / "depth.png")
    if intrinsics is not None:
        known = json.loads((target / "intrinsics.json").read_text())
        (target / "intrinsics.json").write_text(json.dumps(known | intrinsics))
    return target


@pytest.mark.parametrize(("name", "make", "exit_code"), BAD, ids=[b[0] for b in BAD])
def test_bad_input_is_a_sentence_and_leaves_nothing(tmp_path, name, make, exit_code):
    (tmp_path / "in").mkdir()
    arguments = make(tmp_path / "in")
    if "--out" not in arguments:
        arguments = (*arguments, "--out", tmp_path / "out" / "x.avatar")
    run = likeness(*arguments)
    assert run.returncode == exit_code, run.stderr
    assert "Traceback" not in run.stderr
    said = [line for line in run.stderr.splitlines() if line and not line[0].isdigit()]
    assert len(said) >= 2, said
    left = list((tmp_path / "out").rglob("*")) if (tmp_path / "out").exists() else []
    assert left == []
