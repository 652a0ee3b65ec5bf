"""Photographs of every make, and what inspect says about them and about captures."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
from likeness.capture import images, inspect, read_photo
from likeness.capture.files import Blob, kind_of
from likeness.capture.images import decode_picture
from likeness.core.errors import LikenessError
from PIL import Image, ImageCms

ORIENTATIONS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
                5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
                8: Image.Transpose.ROTATE_270}  # fmt: skip


def encoded(image: Image.Image, form: str, **options) -> Blob:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return Blob(f"photo.{form.lower()}", stream.getvalue(), kind_of(stream.getvalue()))


def exif(**tags) -> Image.Exif:
    data = Image.Exif()
    numbers = {"orientation": 0x0112}
    for key, value in tags.items():
        if key in numbers:
            data[numbers[key]] = value
    inner = data.get_ifd(0x8769)
    for key, number in (("focal35", 0xA405), ("width", 0xA002), ("height", 0xA003)):
        if key in tags:
            inner[number] = tags[key]
    return data


@pytest.mark.parametrize("orientation", [1, *ORIENTATIONS, 99])
def test_orientation_is_applied(figure, orientation):
    """Stored so that a viewer that obeys the tag shows the figure upright."""
    inverse = {6: ORIENTATIONS[6], 8: ORIENTATIONS[8]}.get(orientation, ORIENTATIONS.get(orientation))
    upright = Image.fromarray(figure.color)
    stored = upright if inverse is None else upright.transpose(inverse)
    picture = decode_picture(encoded(stored, "PNG", exif=exif(orientation=orientation)))
    assert np.array_equal(picture.color, figure.color)


def test_heic_pictures(figure):
    pillow_heif = pytest.importorskip("pillow_heif")
    for orientation in (1, 6):
        stored = Image.fromarray(figure.color)
        stored = stored.transpose(Image.Transpose.ROTATE_90) if orientation == 6 else stored
        stream = io.BytesIO()
        heif = pillow_heif.from_pillow(stored)
        heif.info["exif"] = exif(orientation=orientation, focal35=26).tobytes()
        heif.save(stream, quality=95)
        picture = decode_picture(Blob("a.heic", stream.getvalue(), kind_of(stream.getvalue())))
        assert picture.color.shape == figure.color.shape
        assert np.abs(picture.color.astype(int) - figure.color).mean() < 4
        assert picture.focal_px == pytest.approx(26 / math.hypot(36, 24) * math.hypot(240, 320), rel=1e-3)


def test_colours_of_every_mode(figure):
    rgb = Image.fromarray(figure.color)
    grey = np.asarray(rgb.convert("L"))
    for image, form in (
        (rgb.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
        (rgb.convert("RGBA"), "PNG"),
        (rgb, "TIFF"),
        (rgb, "BMP"),
        (rgb, "WEBP"),
        (rgb.convert("CMYK"), "TIFF"),
    ):
        picture = decode_picture(encoded(image, form, **({"lossless": True} if form == "WEBP" else {})))
        assert np.abs(picture.color.astype(int) - figure.color).max() <= 3, form
        assert picture.alpha is None
    for image in (rgb.convert("L"), rgb.convert("LA"), Image.fromarray(grey.astype(np.uint16) * 257)):
        picture = decode_picture(encoded(image, "PNG"))
        assert np.abs(picture.color.astype(int) - grey[..., None]).max() <= 1
    two = decode_picture(encoded(Image.fromarray(grey > 100), "PNG"))
    assert np.array_equal(two.color[..., 0], np.where(grey > 100, 255, 0))


def test_other_colour_spaces_become_srgb(figure):
    """A picture in linear light, tagged so, must come out as the sRGB picture that it shows."""
    srgb = figure.color.astype(np.float64) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tagged = decode_picture(encoded(Image.fromarray(figure.color), "PNG", icc_profile=profile))
    assert np.array_equal(tagged.color, figure.color)
    stored = Image.fromarray(np.rint(linear * 255).astype(np.uint8))
    found = decode_picture(encoded(stored, "PNG", icc_profile=linear_profile()))
    assert np.abs(found.color.astype(int) - figure.color).max() <= 6
    broken = decode_picture(encoded(Image.fromarray(figure.color), "PNG", icc_profile=b"no profile" * 20))
    assert np.array_equal(broken.color, figure.color)


def linear_profile() -> bytes:
    """sRGB's profile with its tone curves replaced by a gamma of 1 (ICC.1: an empty `curv` is the identity)."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(data[128:132], "big")
    for i in range(count):
        at = 132 + 12 * i
        name, offset = bytes(data[at : at + 4]), int.from_bytes(data[at + 4 : at + 8], "big")
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            data[offset : offset + 12] = b"curv" + b"\0" * 8
            data[at + 8 : at + 12] = (12).to_bytes(4, "big")
        if name == b"desc":
            text = bytes(data[offset : offset + int.from_bytes(data[at + 8 : at + 12], "big")])
            data[offset : offset + len(text)] = text.replace(b"s\0R\0G\0B", b"l\0i\0n\0e").replace(b"sRGB", b"line")
    return bytes(data)


def test_focal_length_from_exif(figure):
    diagonal = math.hypot(240, 320)
    photo = Image.fromarray(figure.color)
    for tags, expected in (
        ({"focal35": 26}, 26 / math.hypot(36, 24) * diagonal),
        ({"focal35": 26, "width": 3024, "height": 4032}, 26 / math.hypot(36, 24) * diagonal),
        ({"focal35": 26, "width": 4032, "height": 3024}, 26 / math.hypot(36, 24) * diagonal),
        ({"focal35": 26, "width": 4000, "height": 1000}, None),
        ({"focal35": 0}, None),
        ({}, None),
    ):
        found = decode_picture(encoded(photo, "JPEG", exif=exif(**tags))).focal_px
        assert found == (None if expected is None else pytest.approx(expected, rel=1e-6)), tags


def photo_file(figure, path, **options):
    Image.fromarray(figure.color).save(path, **options)
    return path


def test_a_photo_is_read_with_the_segmenter(figure, tmp_path, fake_finder):
    people = fake_finder(figure.mask)
    capture = read_photo(photo_file(figure, tmp_path / "a.png"), finder=people.finder())
    assert capture.kind == "photo" and capture.depth is None and capture.mask_source == "segmenter"
    assert np.array_equal(capture.mask, figure.mask) and people.calls == 1
    assert not capture.camera_known and capture.camera.fx == pytest.approx(1.2 * 320)
    assert (capture.camera.cx, capture.camera.cy) == (119.5, 159.5)


def test_the_focal_length_given_wins(figure, tmp_path, fake_finder):
    path = photo_file(figure, tmp_path / "a.jpg", exif=exif(focal35=26))
    finder = fake_finder(figure.mask).finder()
    assert read_photo(path, finder=finder).camera_known
    assert read_photo(path, focal_px=500.0, finder=finder).camera.fx == 500.0
    for wrong in (0.0, -5.0, float("nan"), 1e9):
        with pytest.raises(LikenessError) as caught:
            read_photo(path, focal_px=wrong, finder=finder)
        assert caught.value.code == "input.focal" and caught.value.exit_code == 3


def test_large_photos_are_shrunk_with_their_focal_length(figure, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_WORK_SIDE_PX", 800)
    large = np.kron(figure.color, np.ones((4, 4, 1), np.uint8))
    alpha = np.kron(np.where(figure.mask, 255, 0).astype(np.uint8), np.ones((4, 4), np.uint8))
    Image.fromarray(np.dstack([large, alpha])).save(tmp_path / "large.png")
    capture = read_photo(tmp_path / "large.png", focal_px=1200.0)
    assert capture.color.shape == (800, 600, 3)
    assert capture.camera.fx == pytest.approx(1200 * 600 / 960)
    assert any("960 x 1280" in w for w in capture.warnings)


def test_masks_and_people_of_photos(figure, tmp_path, fake_finder, nobody):
    path = photo_file(figure, tmp_path / "a.png")
    Image.fromarray(figure.mask).save(tmp_path / "mask.png")
    assert read_photo(path, mask=tmp_path / "mask.png", finder=nobody).mask_source == "file"
    with pytest.raises(LikenessError) as caught:
        read_photo(path, finder=nobody)
    assert caught.value.code == "capture.no_person"
    halves = figure.mask & (np.arange(240) < 120), figure.mask & (np.arange(240) >= 120)
    second = read_photo(path, person=1, finder=fake_finder(*halves).finder())
    assert np.array_equal(second.mask, halves[1]) and "Person 2 of 2." in second.warnings
    with pytest.raises(LikenessError) as caught:
        read_photo(path, person=5, finder=fake_finder(*halves).finder())
    assert caught.value.code == "capture.person" and "2" in caught.value.message


def test_inspect_describes_a_capture(figure, tmp_path, nobody):
    found = inspect(figure.write(tmp_path / "a"), thumbnails=tmp_path / "thumbs", finder=nobody)
    assert json.loads(json.dumps(found)) == found
    assert found["kind"] == "rgbd" and (found["width"], found["height"]) == (240, 320)
    assert found["stature_m"] == pytest.approx(1.7, abs=0.05) and found["distance_m"] == pytest.approx(2.1, abs=0.05)
    assert 1.9 < found["depth_range_m"][0] < found["depth_range_m"][1] < 2.3
    assert found["people"] == 1 and found["mask_source"] == "depth" and found["valid_share"] > 0.95
    assert found["camera"]["known"] is True and found["camera"]["fx"] == pytest.approx(352)
    assert set(found["thumbnails"]) == {"color", "cutout", "side"}
    cut = np.asarray(Image.open(found["thumbnails"]["cutout"]))
    assert cut.shape[2] == 4 and 0.2 < (cut[..., 3] > 0).mean() < 0.9
    side = np.asarray(Image.open(found["thumbnails"]["side"]))
    rows, cols = np.nonzero(side[..., 3])
    # From the side the ellipsoids' front is a strip: as tall as the person, some tenths of a metre deep.
    assert np.ptp(rows) > 220 and np.ptp(cols) < 60


def test_inspect_describes_a_photo(figure, tmp_path, fake_finder):
    path = photo_file(figure, tmp_path / "a.png")
    found = inspect(path, thumbnails=tmp_path / "thumbs", finder=fake_finder(figure.mask).finder())
    assert json.loads(json.dumps(found)) == found
    assert found["kind"] == "photo" and found["stature_m"] is None and set(found["thumbnails"]) == {"color", "cutout"}


def test_inspect_says_when_thumbnails_cannot_be_written(figure, tmp_path, nobody):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(LikenessError) as caught:
        inspect(figure.write(tmp_path / "a"), thumbnails=tmp_path / "taken", finder=nobody)
    assert caught.value.code == "output.unwritable" and caught.value.exit_code == 4
