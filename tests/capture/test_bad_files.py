"""Hostile and damaged files: one sentence each, exit code 3, little memory, nothing executed."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.capture import inspect, read_capture, read_photo
from likeness.capture.people import PeopleFinder
from likeness.core.errors import EXIT_INPUT, LikenessError
from PIL import Image

SHARED = Path(os.environ.get("LIKENESS_SHARED", Path(__file__).resolve().parents[3] / "shared"))
INDEX = SHARED / "data" / "test" / "bad" / "index.json"
ENTRIES = json.loads(INDEX.read_text(encoding="utf-8"))["entries"] if INDEX.is_file() else []


def assert_sentence(error: LikenessError, *names: str) -> None:
    """A refusal that an artist can act upon."""
    assert error.exit_code == EXIT_INPUT, error.code
    assert any(name in error.message for name in names), error.message
    assert error.message.endswith(".") and error.hint.endswith(".") and len(error.hint) > 10
    assert "\n" not in error.message + error.hint and "Traceback" not in error.message and "Error" not in error.message
    assert len(error.message) < 260


def role(name: str) -> str:
    """Which part of a capture a hostile file plays."""
    if name.endswith(".r3d") or name == "pickle_payload.npz":
        return "capture"
    if "intrinsics" in name:
        return "intrinsics"
    if "mask" in name:
        return "mask"
    return "depth" if "depth" in name or name.endswith((".npy", ".pkl", ".ply")) else "color"


def read_entry(bad: Path, entry: dict) -> object:
    """Read a hostile file in its role, with sound partners for every other role."""
    name = entry["file"].split("/readme")[0]
    part = role(name)
    if part == "capture":
        return read_capture(bad / name)
    parts = {
        k: bad / "good" / f"{k}.{'json' if k == 'intrinsics' else 'png'}" for k in ("color", "depth", "intrinsics")
    }
    for partner in entry.get("read_together_with", []):
        if role(partner) != part:
            parts[role(partner)] = bad / partner
    parts[part] = bad / name
    if "no_person" in name or "one_by_one" in name:
        parts.pop("intrinsics")
    return read_capture(parts.pop("color"), **parts)


@pytest.mark.parametrize("entry", ENTRIES, ids=[e["file"] for e in ENTRIES])
def test_every_hostile_file_has_its_verdict(shared, entry, tmp_path, monkeypatch):
    monkeypatch.setenv("LIKENESS_BAD_TOUCH", str(tmp_path / "touched"))
    verdict = entry["verdict"]
    try:
        capture = read_entry(shared / "data" / "test" / "bad", entry)
    except LikenessError as error:
        assert "refuse" in verdict, error.message
        names = [Path(n).name for n in (entry["file"].split("/readme")[0], *entry.get("read_together_with", []))]
        assert_sentence(error, *names)
    else:
        assert verdict.startswith("accept") or "or" in verdict.split(), "should have been refused"
        assert np.isfinite(capture.depth).all() and 1.5 < np.ptp(capture.points()[:, 1]) < 1.8
        if verdict == "accept with a warning" or "say so" in entry["verdict"]:
            assert any(Path(entry["file"]).name in w for w in capture.warnings)
    assert not (tmp_path / "touched").exists(), "a pickle was executed"


def test_accepted_oddities_carry_the_same_picture(shared):
    bad = shared / "data" / "test" / "bad"
    good = {"depth": bad / "good/depth.png", "intrinsics": bad / "good/intrinsics.json"}
    sound = read_capture(bad / "good/color.png", **good)
    for name, tolerance in (("exif_rotated.jpg", 6), ("cmyk.jpg", 12), ("rgb16.png", 0), ("palette.png", 30)):
        odd = read_capture(bad / name, **good)
        inside = np.abs(odd.color.astype(int) - sound.color)[sound.mask]
        assert inside.mean() <= tolerance, name
    grey = read_capture(bad / "grey.jpg", **good).color
    assert np.ptp(grey.astype(int), axis=2).max() == 0
    for name in ("depth_big_endian.npy", "depth_fortran_hw1.npy"):
        odd = read_capture(bad / "good/color.png", bad / name, good["intrinsics"])
        assert np.array_equal(odd.depth, sound.depth), name
    for name in ("mask_0_and_1.png", "mask_1bit.png"):
        odd = read_capture(bad / "good/color.png", **good, mask=bad / name)
        exact = read_capture(bad / "good/color.png", **good, mask=bad / "good/mask.png")
        assert np.array_equal(odd.mask, exact.mask), name
    clear = read_capture(bad / "rgba_hidden_magenta.png", **good)
    magenta = (clear.color[..., 0] > 200) & (clear.color[..., 1] < 60) & (clear.color[..., 2] > 200)
    assert clear.mask_source == "alpha" and not magenta.any()
    named = read_capture(bad / "name with spaces é.png", **good)
    assert named.name == "name with spaces é.png"


# Hostile files made here, so that the suite means something without the shared ones.


def png_header(width: int, height: int, *, bits: int = 8, color: int = 2, rows: bytes = b"\0" * 64) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def npy_header(shape: str, kind: str = "<f4") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


class Bomb:
    def __reduce__(self):
        return eval, ("__import__('os').mkdir(__import__('os').environ['LIKENESS_TEST_BOMB'])",)


def pickled_array() -> bytes:
    stream, box = io.BytesIO(), np.empty(1, object)
    box[0] = Bomb()
    np.save(stream, box, allow_pickle=True)
    return stream.getvalue()


DEPTHS = {
    "empty.png": (b"", "input.empty"),
    "claims.png": (png_header(50000, 50000, bits=16, color=0), "input.too_large"),
    "cut.png": (png_header(240, 320, bits=16, color=0), "input.damaged"),
    "claims.npy": (npy_header("(100000, 100000)") + b"\0" * 64, "input.damaged"),
    "negative.npy": (npy_header("(-4, -4)") + b"\0" * 64, "input.damaged"),
    "void.npy": (npy_header("(320, 240)", "|V4") + b"\0" * (320 * 240 * 4), "input.array_type"),
    "header.npy": (b"\x93NUMPY\x01\x00\xff\xff{", "input.damaged"),
    "version.npy": (b"\x93NUMPY\x09\x00" + b"\0" * 64, "input.damaged"),
    "objects.npy": (pickled_array(), "input.python_objects"),
    "pickle.npy": (pickle.dumps([1]), "capture.depth_kind"),
    "cloud.ply": (b"ply\nformat ascii 1.0\nelement vertex 999999999\n", "capture.depth_kind"),
    "page.png": (b"<html><body>Sign in</body></html>", "capture.depth_kind"),
    "noise.exr": (b"\x76\x2f\x31\x01" + os.urandom(64), "input.damaged"),
    "noise.tif": (b"II*\x00" + b"\xff" * 64, "input.damaged"),
    "broken.npz": (b"PK\x03\x04" + b"\0" * 40, "input.damaged"),
}


@pytest.mark.parametrize("name", DEPTHS)
def test_hostile_depth_is_refused(figure, tmp_path, monkeypatch, name):
    monkeypatch.setenv("LIKENESS_TEST_BOMB", str(tmp_path / "bomb"))
    folder = figure.write(tmp_path / "capture")
    data, code = DEPTHS[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(LikenessError) as caught:
        read_capture(folder / "color.png", tmp_path / name, folder / "intrinsics.json")
    assert caught.value.code == code
    assert_sentence(caught.value, name)
    assert not (tmp_path / "bomb").exists()


COLORS = {
    "empty.jpg": (b"", "input.empty"),
    "claims.png": (png_header(60000, 60000), "input.too_large"),
    "tiny.png": (png_header(8, 8), "input.too_small"),
    "page.jpg": (b"\n <!DOCTYPE html><html>404</html>", "input.not_a_picture"),
    "words.png": (b"not a picture\n" * 9, "input.not_a_picture"),
    "stub.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40, "input.damaged"),
    "stub.webp": (b"RIFF\x40\0\0\0WEBPVP8 " + b"\0" * 60, "input.damaged"),
    "noise.jpg": (b"\xff\xd8\xff\xe0" + bytes(range(256)), "input.damaged"),
    "noise.bin": (bytes(range(255, -1, -1)), "input.not_a_picture"),
}


@pytest.mark.parametrize("name", COLORS)
def test_hostile_photo_is_refused(tmp_path, nobody, name):
    data, code = COLORS[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(LikenessError) as caught:
        read_photo(tmp_path / name, finder=nobody)
    assert caught.value.code == code
    assert_sentence(caught.value, name)


def test_paths_that_are_no_files(tmp_path, nobody, figure):
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    cases = {
        "missing.png": "input.missing",
        "pipe.png": "input.special" if hasattr(os, "mkfifo") else "input.missing",
        "folder.png": "input.folder",
        "missing.png/below.png": "input.missing",
        "x" * 400 + ".png": "input.unreadable",
    }
    for name, code in cases.items():
        with pytest.raises(LikenessError) as caught:
            read_photo(tmp_path / name, finder=nobody)
        assert caught.value.code == code, name
        assert caught.value.exit_code == EXIT_INPUT
    folder = figure.write(tmp_path / "capture")
    for part in ("color", "depth", "mask", "intrinsics"):
        with pytest.raises(LikenessError) as caught:
            paths = {
                "depth": folder / "depth.png",
                "intrinsics": folder / "intrinsics.json",
                part: tmp_path / "none.png",
            }
            read_capture(paths.pop("color", folder / "color.png"), **paths)
        assert caught.value.code == "input.missing" and "none.png" in caught.value.message


def test_file_without_permission(tmp_path, nobody, figure, monkeypatch):
    folder = figure.write(tmp_path / "capture")

    def denied(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    # Whoever runs this may be root, whom no file mode stops.
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(LikenessError) as caught:
        read_capture(folder, finder=nobody)
    assert caught.value.code == "input.unreadable" and "Permission denied" in caught.value.message


def archive(members: dict[str, bytes], **modes: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as handle:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system, info.external_attr = 3, modes.get(name, 0o100644) << 16
            handle.writestr(info, data)
    return stream.getvalue()


def jpeg(color: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(color).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def r3d_members(figure) -> dict[str, bytes]:
    c = figure.camera
    meta = {"w": c.width, "h": c.height, "dw": c.width, "dh": c.height, "K": [c.fx, 0, 0, 0, c.fy, 0, c.cx, c.cy, 1]}
    return {
        "metadata": json.dumps(meta).encode(),
        "rgbd/0.jpg": jpeg(figure.color),
        "rgbd/0.depth": figure.depth.astype("<f4").tobytes(),
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"../../escaped.txt": b"x"}, "input.archive"),
        ({"/escaped.txt": b"x"}, "input.archive"),
        ({"..\\escaped.txt": b"x"}, "input.archive"),
        ({"C:/escaped.txt": b"x"}, "input.archive"),
        ({"metadata": b"{"}, "capture.intrinsics"),
        ({"metadata": b'{"w": 1e5, "h": 1e5, "dw": 1e5, "dh": 1e5}'}, "input.too_large"),
        ({"rgbd/0.depth": b"\0" * (8 << 20)}, "input.archive"),
        ({"rgbd/0.depth": b"\0" * 64}, "input.damaged"),
        ({"rgbd/0.depth": b"bvx2" + b"\xff" * 64}, "input.damaged"),
        ({"rgbd/0.depth": b"bvxn" + struct.pack("<II", 2**31, 8) + b"\0" * 8 + b"bvx$"}, "input.damaged"),
        ({"rgbd/0.jpg": b""}, "input.not_a_picture"),
    ],
)
def test_hostile_r3d_is_refused(figure, tmp_path, change, code):
    (tmp_path / "a.r3d").write_bytes(archive({**r3d_members(figure), **change}))
    with pytest.raises(LikenessError) as caught:
        read_capture(tmp_path / "a.r3d")
    assert caught.value.code == code
    assert_sentence(caught.value, "a.r3d")
    assert not list(tmp_path.parent.glob("**/escaped.txt"))


def test_links_in_archives_are_refused(figure, tmp_path):
    members = {**r3d_members(figure), "rgbd": b"/"}
    (tmp_path / "a.r3d").write_bytes(archive(members, rgbd=0o120777))
    with pytest.raises(LikenessError, match="link") as caught:
        read_capture(tmp_path / "a.r3d")
    assert caught.value.code == "input.archive"


def npz_bomb(megabytes: int) -> bytes:
    """A well-formed array of zeros that unpacks to a thousand times its size."""
    info, stream = zipfile.ZipInfo("depth.npy"), io.BytesIO()
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(stream, "w") as handle, handle.open(info, "w", force_zip64=True) as member:
        member.write(npy_header(f"({megabytes}, 1000000)", "|u1"))
        for _ in range(megabytes):
            member.write(bytes(10**6))
    return stream.getvalue()


@pytest.mark.parametrize("name", ["claims.png", "bomb.png", "claims.npy", "bomb.npz"])
def test_claims_and_bombs_take_no_memory(figure, tmp_path, nobody, name):
    folder = figure.write(tmp_path / "capture")
    data = {
        "claims.png": lambda: png_header(60000, 60000, bits=16, color=0),
        "bomb.png": lambda: png_header(12000, 12000, bits=1, color=0, rows=bytes(12000 * 1501)),
        "claims.npy": lambda: npy_header("(1000000, 1000000)") + bytes(64),
        "bomb.npz": lambda: npz_bomb(600),
    }[name]()
    (tmp_path / name).write_bytes(data)
    del data
    tracemalloc.start()
    try:
        for read in (
            lambda: read_capture(folder / "color.png", tmp_path / name, folder / "intrinsics.json", finder=nobody),
            lambda: read_capture(tmp_path / name, folder / "depth.png", folder / "intrinsics.json", finder=nobody),
        ):
            with pytest.raises(LikenessError) as caught:
                read()
            assert_sentence(caught.value, name)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["color", "depth", "intrinsics", "npz", "tiff"]))
def test_a_damaged_file_is_read_or_refused_in_a_sentence(damaged_parts, nobody_at_all, seed, kind):
    """Cut, overwritten and lengthened at random: no other exception, and no half picture without one."""
    folder, parts = damaged_parts
    rng = np.random.default_rng(seed)
    data = bytearray(parts[kind])
    for _ in range(int(rng.integers(1, 6))):
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
    if rng.random() < 0.3:
        del data[int(rng.integers(len(data))) :]
    path = folder / f"damaged.{'npz' if kind == 'npz' else 'bin'}"
    path.write_bytes(bytes(data) or b"x")
    arguments = {"path": folder / "color.png", "depth": folder / "depth.png", "intrinsics": folder / "intrinsics.json"}
    role_of = {"color": "path", "tiff": "depth", "npz": "path"}
    arguments = {"path": path} if kind == "npz" else {**arguments, role_of.get(kind, kind): path}
    try:
        capture = read_capture(**arguments, finder=nobody_at_all)
    except LikenessError as error:
        assert error.exit_code == EXIT_INPUT and error.message and error.hint
    else:
        assert np.isfinite(capture.depth).all() and capture.mask.any()


@pytest.fixture(scope="module")
def nobody_at_all():
    return PeopleFinder(lambda color: [], lambda color, person: np.zeros(color.shape[:2], np.float32))


@pytest.fixture(scope="module")
def damaged_parts(tmp_path_factory, new_figure):
    folder = tmp_path_factory.mktemp("damaged")
    small = new_figure(96, 128)
    small.write(folder)
    np.savez_compressed(folder / "a.npz", color=small.color, depth=small.depth, intrinsics=small.camera.matrix)
    Image.fromarray(small.raw().astype(np.uint16)).save(folder / "depth.tif")
    files = {
        "color": "color.png",
        "depth": "depth.png",
        "intrinsics": "intrinsics.json",
        "npz": "a.npz",
        "tiff": "depth.tif",
    }
    return folder, {kind: (folder / name).read_bytes() for kind, name in files.items()}


def test_inspect_refuses_like_the_readers(tmp_path, nobody):
    (tmp_path / "words.png").write_bytes(b"words " * 30)
    with pytest.raises(LikenessError) as caught:
        inspect(tmp_path / "words.png", finder=nobody)
    assert caught.value.code == "input.not_a_picture"
