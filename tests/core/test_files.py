"""Nothing half-written, no header believed."""

import io
import os
import zipfile

import numpy as np
import pytest
from likeness.core.errors import LikenessError
from likeness.core.files import new_folder, read_json, read_npz, write_json


def test_folder_appears_only_when_complete(tmp_path):
    target = tmp_path / "a.avatar"
    with pytest.raises(RuntimeError), new_folder(target) as folder:
        (folder / "x").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with new_folder(target) as folder:
        (folder / "x").write_text("one")
        assert not target.exists()
    with new_folder(target) as folder:
        (folder / "x").write_text("two")
    assert (target / "x").read_text() == "two"
    assert list(tmp_path.iterdir()) == [target]


def test_failed_replacement_keeps_the_old_folder(tmp_path):
    target = tmp_path / "a.avatar"
    with new_folder(target) as folder:
        (folder / "x").write_text("one")
    with pytest.raises(RuntimeError), new_folder(target) as folder:
        raise RuntimeError
    assert (target / "x").read_text() == "one"


def test_place_below_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LikenessError) as caught, new_folder(tmp_path / "file" / "a.avatar"):
        pass
    assert caught.value.code == "output.unwritable"
    assert caught.value.exit_code == 4
    assert "file" in caught.value.message and caught.value.hint


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes into read-only folders")
def test_read_only_place_is_one_sentence(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(LikenessError, match="may not be written"), new_folder(tmp_path / "a.avatar"):
        pass


def _npz(tmp_path, **members):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name + ".npy", data)
    return path


def _npy(array, shape=None):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": array.dtype.str, "fortran_order": False, "shape": shape or array.shape}
    )
    return buffer.getvalue() + array.tobytes()


@pytest.mark.parametrize("dtype", ["<f4", ">u2", "<i8"])
def test_npz_equals_numpy(tmp_path, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    np.savez(tmp_path / "x.npz", a=array, f=np.asfortranarray(array))
    mine = read_npz(tmp_path / "x.npz")
    np.testing.assert_array_equal(mine["a"], array)
    np.testing.assert_array_equal(mine["f"], array)


def test_npz_whose_header_lies_is_refused_before_allocation(tmp_path):
    path = _npz(tmp_path, a=_npy(np.zeros(4, np.float64), shape=(1 << 40,)))
    with pytest.raises(LikenessError, match=r"x\.npz"):
        read_npz(path)


def test_npz_with_a_pickle_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.array([{"a": 1}], object))
    with pytest.raises(LikenessError, match=r"x\.npz"):
        read_npz(tmp_path / "x.npz")


def test_npz_bomb_is_refused(tmp_path):
    path = _npz(tmp_path, a=_npy(np.zeros(200_000, np.uint8)))
    with pytest.raises(LikenessError):
        read_npz(path, limit=100_000)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04garbage", b"not a zip", b"PK\x05\x06" + bytes(10)])
def test_npz_of_garbage_is_refused(tmp_path, data):
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(LikenessError, match=r"x\.npz"):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe{}", b"[" * 100_000])
def test_json_of_garbage_is_refused(tmp_path, data):
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(LikenessError, match=r"x\.json"):
        read_json(tmp_path / "x.json")


def test_json_round_trip_with_bom(tmp_path):
    write_json(tmp_path / "x.json", {"é": [1, 2.5, None]})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    (tmp_path / "bom.json").write_text(text, encoding="utf-8-sig")
    assert read_json(tmp_path / "bom.json") == {"é": [1, 2.5, None]}
