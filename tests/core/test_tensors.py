"""Weights files: the safetensors package is the oracle."""

from __future__ import annotations

import json

import numpy as np
import pytest
from likeness.core.errors import LikenessError
from likeness.core.tensors import read_tensors, write_tensors

RNG = np.random.default_rng(3)
ARRAYS = {
    "a": RNG.normal(size=(3, 5)).astype(np.float32),
    "b": np.arange(7, dtype=np.int64),
    "c": np.array(2.5, np.float32),
    "d": np.array([True, False]),
    "e": RNG.normal(size=(2, 0, 3)).astype(np.float16),
    "f": np.array([3, 250], np.uint8),
}


def test_the_package_reads_what_we_write(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    write_tensors(tmp_path / "w.safetensors", ARRAYS, {"steps": "7"})
    found = numpy.load_file(tmp_path / "w.safetensors")
    assert set(found) == set(ARRAYS)
    for name, values in ARRAYS.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def test_we_read_what_the_package_writes(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file(ARRAYS, tmp_path / "w.safetensors", {"who": "they"})
    found, metadata = read_tensors(tmp_path / "w.safetensors")
    assert metadata == {"who": "they"}
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(found[name], values)


def test_bfloat16_rounds_as_torch_does(tmp_path):
    torch = pytest.importorskip("torch")
    values = np.concatenate([RNG.normal(size=2000) * 10.0 ** RNG.integers(-30, 30, 2000), [0, -0.0, np.inf, -np.inf]])
    values = values.astype(np.float32)
    write_tensors(tmp_path / "w.safetensors", {"x": values, "n": np.array([np.nan], np.float32)}, bfloat16=True)
    found, _ = read_tensors(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(found["x"], torch.from_numpy(values).bfloat16().float().numpy())
    assert np.isnan(found["n"][0])
    package = pytest.importorskip("safetensors.torch").load_file(tmp_path / "w.safetensors")
    assert package["x"].dtype == torch.bfloat16


def test_two_writings_are_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_tensors(tmp_path / name, ARRAYS)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def header(**entry):
    text = json.dumps({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **entry}}).encode()
    return len(text).to_bytes(8, "little") + text + b"\0" * 8


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", header(shape=[3]), header(data_offsets=[0, 80]),
        header(shape=[-1, -2]), header(dtype="OBJECT"), header(data_offsets=[8, 0]),
    ],
)  # fmt: skip
def test_damaged_files_are_refused_in_a_sentence(tmp_path, data):
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(LikenessError) as caught:
        read_tensors(path)
    assert caught.value.code == "input.weights"
