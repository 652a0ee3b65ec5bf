"""Captures in every form: what is written is what is read."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.capture import read_capture
from likeness.capture.distortion import Distortion
from likeness.capture.record3d import unpacked_bytes
from likeness.core.errors import LikenessError
from PIL import Image


def body_depth(capture, figure):
    """Readings that survive cleaning, and the true depth there."""
    kept = capture.depth > 0
    return capture.depth[kept], figure.depth[kept]


def test_folder_is_read_to_the_millimetre(figure, tmp_path, nobody):
    capture = read_capture(figure.write(tmp_path / "person"), finder=nobody)
    found, truth = body_depth(capture, figure)
    assert np.abs(found - truth).max() <= 0.00051
    assert found.size > 0.95 * figure.mask.sum()
    assert np.array_equal(capture.color, figure.color)
    assert capture.camera == figure.camera and capture.camera_known and capture.kind == "rgbd"
    assert capture.name == "person" and capture.mask_source == "depth"
    assert not capture.mask[~figure.mask].any()
    assert 1.65 < np.ptp(capture.points()[:, 1]) < 1.75
    assert np.array_equal(capture.up, np.array([0, -1, 0], np.float32))


@settings(max_examples=12, deadline=None)
@given(
    width=st.integers(96, 200), height=st.integers(160, 260), unit_m=st.sampled_from([0.001, 0.0002, 0.00025, 0.0005]),
    order=st.sampled_from([">u2", "<u2", "<i4", ">f4", "<f8"]), fortran=st.booleans(),
)  # fmt: skip
def test_any_size_unit_and_byte_order_comes_back(tmp_path_factory, new_figure, width, height, unit_m, order, fortran):
    folder = tmp_path_factory.mktemp("any")
    figure = new_figure(width, height, focal=1.05 * height)
    raw = figure.raw(unit_m).astype(order)
    figure.write(folder, unit_m=unit_m)
    np.save(folder / "depth.npy", np.asfortranarray(raw) if fortran else raw)
    from_png = read_capture(folder)
    from_npy = read_capture(folder / "color.png", folder / "depth.npy", folder / "intrinsics.json")
    np.savez_compressed(
        folder / "all.npz", color=figure.color, depth=raw, intrinsics=figure.camera.matrix, depth_scale=unit_m
    )
    from_npz = read_capture(folder / "all.npz")
    found, truth = body_depth(from_png, figure)
    assert np.abs(found - truth).max() <= 0.51 * unit_m + 1e-6
    assert np.array_equal(from_png.depth, from_npy.depth) and np.array_equal(from_png.depth, from_npz.depth)
    assert np.array_equal(from_png.mask, from_npz.mask) and from_npz.camera == figure.camera


@settings(max_examples=25, deadline=None)
@given(
    fx=st.floats(50, 3000), fy=st.floats(50, 3000), cx=st.floats(0, 63), cy=st.floats(0, 47),
    seed=st.integers(0, 99), size=st.tuples(st.integers(16, 200), st.integers(16, 200)),
)  # fmt: skip
def test_backprojection_and_projection_are_inverse(fx, fy, cx, cy, seed, size):
    from likeness.core.camera import Camera

    camera = Camera(fx, fy, cx, cy, 64, 48)
    depth = np.random.default_rng(seed).uniform(0.3, 9.0, (48, 64)).astype(np.float32)
    pixels = camera.project(camera.backproject(depth).astype(np.float64))
    v, u = np.mgrid[0:48, 0:64]
    assert np.abs(pixels - np.stack([u, v], -1)).max() < 1e-3
    # A pixel's outer edges stay the picture's outer edges at any other size.
    other = camera.scaled(*size)
    assert np.isclose((other.cx + 0.5) / size[0], (cx + 0.5) / 64) and np.isclose(other.fx / size[0], fx / 64)


def as_tiff(raw, path):
    Image.fromarray(raw).save(path)


def as_float_tiff(raw, path):
    Image.fromarray((raw / 1000.0).astype(np.float32)).save(path)


def as_exr(raw, path):
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"Z": (raw / 1000.0).astype(np.float32)}) as handle:
        handle.write(str(path))


@pytest.mark.parametrize(
    ("name", "write", "unit"),
    [("depth.tif", as_tiff, None), ("depth.tiff", as_float_tiff, "m"), ("depth.exr", as_exr, "m")],
)
def test_other_depth_formats(figure, tmp_path, name, write, unit):
    folder = figure.write(tmp_path / "a")
    expected = read_capture(folder)
    write(figure.raw().astype(np.uint16), tmp_path / name)
    found = read_capture(folder / "color.png", tmp_path / name, folder / "intrinsics.json", unit=unit)
    assert np.abs(found.depth - expected.depth).max() < 1e-5


def intrinsics_forms(c):
    size = {"width": c.width, "height": c.height}
    return {
        "ours": {"fx": c.fx, "fy": c.fy, "cx": c.cx, "cy": c.cy, **size, "depth_unit": "millimetre"},
        "open3d": {"intrinsic_matrix": [c.fx, 0, 0, 0, c.fy, 0, c.cx, c.cy, 1], **size, "depth_scale": 1000.0},
        "rows": {"K": [[c.fx, 0, c.cx], [0, c.fy, c.cy], [0, 0, 1]], **size, "depth_scale_to_m": 0.001},
        "flat rows": {"camera_matrix": [c.fx, 0, c.cx, 0, c.fy, c.cy, 0, 0, 1], **size, "depth_unit": "mm"},
        "realsense": {
            "fx": c.fx, "fy": c.fy, "ppx": c.cx, "ppy": c.cy, **size, "model": "distortion.brown_conrady",
            "coeffs": [0, 0, 0, 0, 0], "depth_scale": 0.001,
        },
        "azure": {
            "color_camera": {"fx": c.fx, "fy": c.fy, "cx": c.cx, "cy": c.cy, "k1": 0, "k2": 0, "codx": 0, **size},
            "depth_unit": "millimeters",
        },
        "nested": {"intrinsics": {"fx": c.fx, "fy": c.fy, "cx": c.cx, "cy": c.cy, **size}, "depth_unit": "Millimetres"},
        "strings": {"fx": str(c.fx), "fy": f"{c.fy}", "cx": str(c.cx), "cy": str(c.cy), "depth_unit": "mm"},
    }  # fmt: skip


@pytest.mark.parametrize("form", ["ours", "open3d", "rows", "flat rows", "realsense", "azure", "nested", "strings"])
def test_calibrations_of_every_maker(figure, tmp_path, form):
    folder = figure.write(tmp_path / "a")
    (folder / "intrinsics.json").write_text(json.dumps(intrinsics_forms(figure.camera)[form]))
    capture = read_capture(folder)
    assert np.allclose(capture.camera.matrix, figure.camera.matrix)
    assert 2.0 < np.median(capture.points()[:, 2]) < 2.2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_calibrations_as_editors_save_them(figure, tmp_path, encoding):
    folder = figure.write(tmp_path / "a")
    text = (folder / "intrinsics.json").read_text()
    (folder / "intrinsics.json").write_bytes(text.encode(encoding))
    assert read_capture(folder).camera == figure.camera


def test_matrix_text_files(figure, tmp_path):
    folder = figure.write(tmp_path / "a")
    c = figure.camera
    wide = np.eye(4)
    wide[:3, :3] = c.matrix
    for name, matrix in (("k3.txt", c.matrix), ("k4.txt", wide), ("k.csv", c.matrix)):
        np.savetxt(tmp_path / name, matrix, delimiter="," if name.endswith("csv") else " ")
        capture = read_capture(folder / "color.png", folder / "depth.png", tmp_path / name)
        assert np.allclose(capture.camera.matrix, c.matrix)
        assert any("millimetres are assumed" in w for w in capture.warnings)


BAD_INTRINSICS = {
    "nan": ({"fx": float("nan")}, "fx"),
    "infinite": ({"cy": float("inf")}, "cy"),
    "zero": ({"fy": 0}, "fy"),
    "negative": ({"fx": -300.0}, "fx"),
    "true": ({"fx": True}, "fx"),
    "words": ({"fx": "about 300"}, "about 300"),
    "huge": ({"fx": 10**400}, "fx"),
    "missing": ({"cy": None}, "cy"),
    "outside": ({"cx": 5000.0}, "outside"),
    "normalised": ({"fx": 0.9, "fy": 1.1, "cx": 0.5, "cy": 0.5}, "fx"),
    "half a size": ({"width": 240.5}, "width"),
    "other aspect": ({"width": 1920, "height": 1080, "cx": 960, "cy": 540}, "1920 x 1080"),
    "fisheye": ({"coeffs": [0.1, 0.1, 0, 0], "model": "kannala_brandt4"}, "fisheye"),
}


@pytest.mark.parametrize("case", BAD_INTRINSICS)
def test_wrong_intrinsics_are_named(figure, tmp_path, case):
    change, named = BAD_INTRINSICS[case]
    folder = figure.write(tmp_path / "a", **change)
    with pytest.raises(LikenessError) as caught:
        read_capture(folder)
    assert caught.value.code == "capture.intrinsics"
    assert "intrinsics.json" in caught.value.message and named in caught.value.message


def test_contradicting_units_are_refused_and_overruled(figure, tmp_path):
    folder = figure.write(tmp_path / "a", depth_unit="m")
    with pytest.raises(LikenessError) as caught:
        read_capture(folder)
    assert caught.value.code == "capture.depth_unit"
    fixed = figure.write(tmp_path / "b", depth_scale=None, depth_unit="m")
    with pytest.raises(LikenessError, match=r"wrong|away"):
        read_capture(fixed)
    assert 2.0 < np.median(read_capture(fixed, unit="mm").points()[:, 2]) < 2.2


@pytest.mark.parametrize(
    ("true_unit_m", "stated", "offered"),
    [(1e-4, "mm", "0.1mm"), (2e-4, "mm", "1/5000m"), (0.001, "0.1mm", "mm"), (0.01, "mm", "cm"), (0.001, "cm", "mm")],
)
def test_a_wrong_unit_is_noticed_and_the_right_one_offered(figure, tmp_path, true_unit_m, stated, offered):
    folder = figure.write(tmp_path / "a", unit_m=true_unit_m, depth_scale=None, depth_unit=stated)
    with pytest.raises(LikenessError) as caught:
        read_capture(folder)
    assert caught.value.code == "capture.depth_unit" and f'"{offered}"' in caught.value.hint
    assert 1.6 < np.ptp(read_capture(folder, unit=offered).points()[:, 1]) < 1.8


def test_impossible_units_are_refused(figure, tmp_path):
    folder = figure.write(tmp_path / "a")
    for unit in ("furlong", "nan", 0.0, -1.0, True, "1e9"):
        with pytest.raises(LikenessError) as caught:
            read_capture(folder, unit=unit)
        assert caught.value.code == "capture.depth_unit"


def test_other_sizes_of_colour_keep_colour_whole(figure, new_figure, tmp_path):
    large = new_figure(720, 960, focal=3 * figure.camera.fx)
    folder = figure.write(tmp_path / "a")
    Image.fromarray(large.color).save(folder / "color.png")
    capture = read_capture(folder)
    assert np.array_equal(capture.color, large.color)
    assert capture.depth.shape == (960, 720)
    assert np.allclose(capture.camera.matrix, figure.camera.scaled(720, 960).matrix)
    both = (capture.depth > 0) & large.mask
    error = np.abs(capture.depth - large.depth)[both]
    assert np.median(error) < 0.002 and np.percentile(error, 95) < 0.02
    overlap = (capture.mask & large.mask).sum() / (capture.mask | large.mask).sum()
    assert overlap > 0.97
    assert any("240 x 320" in w and "720 x 960" in w for w in capture.warnings)


def test_sizes_that_do_not_match_are_refused(figure, tmp_path):
    folder = figure.write(tmp_path / "a")
    Image.fromarray(np.ascontiguousarray(np.rot90(figure.color))).save(folder / "color.png")
    with pytest.raises(LikenessError) as caught:
        read_capture(folder)
    assert caught.value.code == "capture.size"
    assert "240 x 320" in caught.value.message and "320 x 240" in caught.value.message and "turn" in caught.value.hint


def test_distortion_is_removed(figure, new_figure, tmp_path):
    """The distorted pictures are made with the formula of OpenCV's documentation, written out here."""
    c = figure.camera
    k1, k2, p1, p2 = -0.20, 0.05, 0.002, -0.001
    v, u = np.mgrid[0 : c.height, 0 : c.width].astype(float)
    x, y = (u - c.cx) / c.fx, (v - c.cy) / c.fy
    xs, ys = x.copy(), y.copy()
    for _ in range(50):
        r2 = xs**2 + ys**2
        radial = 1 + k1 * r2 + k2 * r2**2
        xs = (x - 2 * p1 * xs * ys - p2 * (r2 + 2 * xs**2)) / radial
        ys = (y - p1 * (r2 + 2 * ys**2) - 2 * p2 * xs * ys) / radial
    col = np.clip(np.rint(xs * c.fx + c.cx), 0, c.width - 1).astype(int)
    row = np.clip(np.rint(ys * c.fy + c.cy), 0, c.height - 1).astype(int)
    bent = replace(figure, color=figure.color[row, col], depth=figure.depth[row, col], mask=figure.mask[row, col])
    plain = read_capture(bent.write(tmp_path / "bent", with_mask=True))
    straight = read_capture(bent.write(tmp_path / "bent", with_mask=True, distortion=[k1, k2, p1, p2, 0.0]))
    assert overlap(straight.mask, figure.mask) > 0.97 > overlap(plain.mask, figure.mask)
    both = (straight.depth > 0) & figure.mask
    assert np.median(np.abs(straight.depth - figure.depth)[both]) < 0.003
    assert any("distortion" in w for w in straight.warnings)


def test_the_distortion_model_is_opencvs():
    """By hand for x = 0.5, y = -0.25: r2 = 0.3125."""
    model = Distortion((0.1, -0.02, 0.01, -0.03, 0.004, 0.05, 0.0, 0.0))
    radial = (1 + 0.1 * 0.3125 - 0.02 * 0.3125**2 + 0.004 * 0.3125**3) / (1 + 0.05 * 0.3125)
    x = 0.5 * radial + 2 * 0.01 * (0.5 * -0.25) - 0.03 * (0.3125 + 2 * 0.25)
    y = -0.25 * radial + 0.01 * (0.3125 + 2 * 0.0625) + 2 * -0.03 * (0.5 * -0.25)
    found = model.distort(np.array([0.5]), np.array([-0.25]))
    assert np.allclose(found, [[x], [y]])
    inverse = replace(model, inverse=True)
    there = inverse.distort(np.array([0.3]), np.array([0.1]))
    assert np.allclose(inverse.polynomial(*there), [[0.3], [0.1]], atol=1e-6)


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


def r3d(figure, depth_bytes: bytes) -> bytes:
    """A Record3D archive of two frames, laid out as the app writes it."""
    c, stream = figure.camera, io.BytesIO()
    picture = io.BytesIO()
    Image.fromarray(figure.color).save(picture, "JPEG", quality=97)
    meta = {
        "w": c.width, "h": c.height, "dw": c.width, "dh": c.height, "fps": 60,
        "K": [c.fx, 0, 0, 0, c.fy, 0, c.cx, c.cy, 1],
    }  # fmt: skip
    with zipfile.ZipFile(stream, "w") as handle:
        handle.writestr("metadata", json.dumps(meta))
        for i in range(2):
            handle.writestr(f"rgbd/{i}.jpg", picture.getvalue())
            handle.writestr(f"rgbd/{i}.depth", depth_bytes)
            handle.writestr(f"rgbd/{i}.conf", b"")
    return stream.getvalue()


def test_record3d_archives(figure, tmp_path):
    (tmp_path / "a.r3d").write_bytes(r3d(figure, figure.depth.astype("<f4").tobytes()))
    capture = read_capture(tmp_path / "a.r3d")
    found, truth = body_depth(capture, figure)
    assert np.abs(found - truth).max() < 1e-6 and found.size > 0.95 * figure.mask.sum()
    assert np.allclose(capture.camera.matrix, figure.camera.matrix)
    assert any("2 frames" in w for w in capture.warnings)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_record3d_archives_packed_with_lzfse(figure, tmp_path, noise):
    lzfse = pytest.importorskip("lzfse")
    rng = np.random.default_rng(0)
    values = np.where(figure.mask, figure.depth + noise * rng.random(figure.depth.shape), 0).astype("<f4")
    packed = lzfse.compress(values.tobytes())
    assert packed[:3] == b"bvx" and unpacked_bytes(packed) == values.nbytes
    assert unpacked_bytes(packed[:-9]) == -1
    (tmp_path / "a.r3d").write_bytes(r3d(figure, packed))
    capture = read_capture(tmp_path / "a.r3d")
    kept = capture.depth > 0
    assert kept.sum() > 0.9 * figure.mask.sum() and np.array_equal(capture.depth[kept], values[kept])


def test_recordings_take_the_first_frame_and_its_partner(figure, tmp_path):
    source = figure.write(tmp_path / "one")
    recording = tmp_path / "recording"
    for folder in ("rgb", "depth"):
        (recording / folder).mkdir(parents=True)
    for stamp in ("10.05", "10.09"):
        (recording / "rgb" / f"{stamp}.png").write_bytes((source / "color.png").read_bytes())
    blank = np.zeros((320, 240), np.uint16)
    Image.fromarray(blank).save(recording / "depth" / "9.90.png")
    (recording / "depth" / "10.06.png").write_bytes((source / "depth.png").read_bytes())
    (recording / "camera_intrinsic.json").write_text((source / "intrinsics.json").read_text())
    capture = read_capture(recording)
    assert np.array_equal(capture.depth, read_capture(source).depth)
    assert any("2 frames" in w for w in capture.warnings)


def test_recordings_of_tum_count_five_thousand_a_metre(figure, tmp_path):
    source = figure.write(tmp_path / "one", unit_m=1 / 5000)
    for folder, name in (("rgb", "color.png"), ("depth", "depth.png")):
        (tmp_path / "tum" / folder).mkdir(parents=True)
        (tmp_path / "tum" / folder / "1.0.png").write_bytes((source / name).read_bytes())
    (tmp_path / "tum" / "rgb.txt").write_text("# timestamp filename\n1.0 rgb/1.0.png\n")
    capture = read_capture(tmp_path / "tum")
    assert 2.0 < np.median(capture.points()[:, 2]) < 2.2


def test_what_is_no_capture_is_said(figure, tmp_path):
    folder = figure.write(tmp_path / "a")
    with pytest.raises(LikenessError) as caught:
        read_capture(folder / "color.png")
    assert caught.value.code == "capture.form" and "depth" in caught.value.message
    (folder / "depth.png").unlink()
    with pytest.raises(LikenessError, match="depth") as caught:
        read_capture(folder)
    assert caught.value.code == "capture.form"
    np.savez(tmp_path / "no_depth.npz", color=figure.color)
    with pytest.raises(LikenessError, match="depth") as caught:
        read_capture(tmp_path / "no_depth.npz")
    assert caught.value.code == "capture.form"


def test_meta_json_never_leads_out_of_its_folder(figure, tmp_path):
    folder = figure.write(tmp_path / "a")
    (tmp_path / "secret.png").write_bytes((folder / "depth.png").read_bytes())
    (folder / "depth.png").unlink()
    data = json.loads((folder / "intrinsics.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**data, "depth": "../secret.png"}))
    (folder / "intrinsics.json").unlink()
    with pytest.raises(LikenessError) as caught:
        read_capture(folder)
    assert caught.value.code == "capture.form"


def test_without_intrinsics_a_camera_is_assumed_and_said(figure, tmp_path):
    folder = figure.write(tmp_path / "a")
    capture = read_capture(folder / "color.png", folder / "depth.png")
    assert not capture.camera_known and capture.camera.fx == pytest.approx(1.2 * 320)
    assert any("without intrinsics" in w for w in capture.warnings)
    told = read_capture(folder / "color.png", folder / "depth.png", focal_px=352.0)
    assert told.camera_known and told.camera == figure.camera
    assert not any("intrinsics" in w for w in told.warnings)
    with pytest.raises(LikenessError) as caught:
        read_capture(folder, focal_px=3.0)
    assert caught.value.code == "input.focal" and "color.png" in caught.value.message


def test_the_hash_follows_the_content(figure, tmp_path):
    one = read_capture(figure.write(tmp_path / "a"))
    same = read_capture(figure.write(tmp_path / "b"))
    other = read_capture(figure.write(tmp_path / "c", with_mask=True))
    assert one.source_sha256 == same.source_sha256 != other.source_sha256 and len(one.source_sha256) == 64
