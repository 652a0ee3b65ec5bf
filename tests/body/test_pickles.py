"""The restricted pickle reader: reads what pickle itself writes, refuses hostile files and runs none of them."""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from likeness.body.pickles import read_pickle
from likeness.core.errors import LikenessError

RANDOM = np.random.default_rng(0)


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.made = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.made


def named(module: str, name: str) -> bytes:
    """A look-up by opcodes, whatever pickle would think of it."""
    return b"".join(b"\x8c" + bytes([len(part.encode())]) + part.encode() for part in (module, name)) + b"\x93"


def table(value: bytes, protocol: int = 4) -> bytes:
    """A pickle of {"v_template": value} for a value in opcodes."""
    return b"\x80" + bytes([protocol]) + b"}\x8c\x0av_template" + value + b"s."


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


SHELL = "touch {flag}"
RECONSTRUCT, NDARRAY, DTYPE = (
    named("numpy.core.multiarray", "_reconstruct"),
    named("numpy", "ndarray"),
    named("numpy", "dtype"),
)
EMPTY = RECONSTRUCT + NDARRAY + b"K\x00\x85C\x01b\x87R"
CSC = named("scipy.sparse.csc", "csc_matrix") + b")\x81"
CH = named("chumpy.ch", "Ch") + b")\x81"


def dtype(code: str, state: bytes = b"") -> bytes:
    return DTYPE + text(code) + b"\x89\x88\x87R" + state


def array(shape: bytes, code: str = "f8", data: bytes = b"C\x08\0\0\0\0\0\0\0\0") -> bytes:
    """An array as NumPy pickles it: `shape`, and `data` in opcodes."""
    return EMPTY + b"(K\x01" + shape + dtype(code) + b"\x89" + data + b"tb"


def laughs(depth: int) -> bytes:
    """Each level holds the one below ten times."""
    out = b"]\x94"
    for level in range(depth):
        out += b"0(" + (b"h" + bytes([level])) * 10 + b"t\x94"
    return out


def nested_keys(depth: int) -> bytes:
    return b"}(" + b")" + b"2\x86" * depth + b"K\x01u"


def npy_with_pickle() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Calls(print, "x")], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def inst(module: bytes, name: bytes, argument: bytes) -> bytes:
    return b"(" + argument + b"i" + module + b"\n" + name + b"\n"


CALL_SHELL = text(SHELL) + b"\x85R"
HOSTILE: dict[str, bytes] = {
    "os.system": table(named("os", "system") + CALL_SHELL),
    "posix.system": table(named("posix", "system") + CALL_SHELL),
    "subprocess": table(named("subprocess", "Popen") + text("touch") + text("{flag}") + b"\x86\x85R"),
    "eval": table(named("builtins", "eval") + text("open('{flag}','w')") + b"\x85R"),
    "exec of python 2": b"(dS'v_template'\nc__builtin__\neval\n(S\"open('{flag}','w')\"\ntRs.",
    "open": table(named("builtins", "open") + text("{flag}") + text("w") + b"\x86R"),
    "io.open": table(named("io", "open") + text("{flag}") + text("w") + b"\x86R"),
    "getattr chain": table(named("builtins", "getattr") + named("numpy", "ndarray") + text("__class__") + b"\x86R"),
    "__import__": table(named("builtins", "__import__") + text("os") + b"\x85R"),
    "importlib": table(named("importlib", "import_module") + text("os") + b"\x85R"),
    "nested reduce": table(RECONSTRUCT + NDARRAY + named("os", "system") + CALL_SHELL + b"C\x01b\x87R"),
    "functools.partial": table(named("functools", "partial") + named("os", "system") + CALL_SHELL),
    "operator.attrgetter": table(named("operator", "attrgetter") + text("system") + b"\x85R"),
    "types.FunctionType": table(named("types", "FunctionType") + b")R"),
    "codecs.decode": table(named("_codecs", "decode") + text("aa") + text("hex") + b"\x86R"),
    "another codec": table(named("_codecs", "encode") + text("a" * 9) + text("zip") + b"\x86R"),
    "a codec's errors": table(named("_codecs", "encode") + text("a") + text("latin1") + text("strict") + b"\x87R"),
    "dotted name": table(named("numpy", "testing.runstring") + CALL_SHELL),
    "dotted dunder": table(named("numpy.core.multiarray", "_reconstruct.__globals__")),
    "numpy.testing": table(named("numpy.testing", "rundocs") + text("{flag}") + b"\x85R"),
    "numpy.f2py": table(named("numpy.f2py.diagnose", "run_command") + CALL_SHELL),
    "numpy.load": table(named("numpy", "load") + text("{flag}") + b"\x85R"),
    "numpy.fromfile": table(named("numpy", "fromfile") + text("/etc/passwd") + b"\x85R"),
    "numpy.distutils": table(named("numpy.distutils.exec_command", "exec_command") + CALL_SHELL),
    "scipy's loader": table(named("scipy.sparse", "load_npz") + text("{flag}") + b"\x85R"),
    "look-alike module": table(named("numpу", "ndarray")),
    "look-alike in ascii": b"\x80\x02}U\x01acnump\xc3\xbd\nndarray\ns.",
    "space in a module": table(named("numpy ", "ndarray")),
    "inst": b"(dS'a'\n" + inst(b"os", b"system", b"S'touch {flag}'\n") + b"s.",
    "inst of an allowed name": b"(dS'a'\n" + inst(b"chumpy.ch", b"Ch", b"") + b"s.",
    "obj": table(b"(" + named("os", "system") + text(SHELL) + b"o"),
    "ext1": table(b"\x82\x01"),
    "ext2": table(b"\x83\x01\x00"),
    "ext4": table(b"\x84\x01\x00\x00\x00"),
    "persistent id": b"(dS'a'\nPos\ns.",
    "binary persistent id": table(text("os") + b"Q"),
    "newobj_ex": table(NDARRAY + b")}\x92"),
    "newobj of an array": table(NDARRAY + b"K\x05\x85\x85\x81"),
    "newobj with arguments": table(named("scipy.sparse.csc", "csc_matrix") + b"K\x05K\x05\x86\x85\x81"),
    "next buffer": table(b"\x97", 5),
    "read-only buffer": table(b"C\x00\x98", 5),
    "an allowed class is called": table(NDARRAY + b"K\x05\x85\x85R"),
    "chumpy is called": table(named("chumpy.ch", "Ch") + b"K\x05\x85R"),
    "build on a class": table(NDARRAY + b"}\x8c\x05shapeK\x01sb"),
    "build on a dict": table(b"}}\x8c\x08__dict__}sb"),
    "build with slots": table(CH + b"}}\x8c\x01xK\x01s\x86b"),
    "__setstate__ of a class": table(CH + b"}\x8c\x0c__setstate__" + named("os", "system") + b"sb"),
    "__class__ of a class": table(CH + b"}\x8c\x09__class__" + NDARRAY + b"sb"),
    "__reduce__ in a sparse state": table(CSC + b"}\x8c\x0a__reduce__" + named("builtins", "eval") + b"sb"),
    "a state twice": table(array(b"K\x01\x85") + b"(K\x01K\x01\x85" + dtype("f8") + b"\x89C\x00tb"),
    "chumpy in itself": table(CH + b"\x94}\x8c\x01xh\x00sb"),
    "chumpy without numbers": table(CH + b"}\x8c\x01yK\x01sb"),
    "name as value": table(NDARRAY),
    "an array's name in an array of objects": table(array(b"K\x01\x85", "O", b"]" + NDARRAY + b"a")),
    "a global in an array of objects": table(array(b"K\x01\x85", "O8", b"]" + named("os", "system") + b"a")),
    "array of pointers": table(array(b"K\x01\x85", "O8")),
    "structured dtype": table(DTYPE + b"]\x8c\x01a\x8c\x01O\x86a\x85R"),
    "structured state": table(dtype("V8", b"(K\x03\x8c\x01|N\x8c\x01a\x85}K\x08K\x01K\x10tb") + b"0K\x01"),
    "fields in a state": table(dtype("f8", b"(K\x03\x8c\x01|N\x8c\x01a\x85\x85}K\x08K\x01K\x10tb")),
    "date dtype": table(array(b"K\x01\x85", "M8[ns]")),
    "dtype of code": table(array(b"K\x01\x85", "f8,O")),
    "gigantic shape": table(array(b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86")),
    "gigantic empty shape": table(array(b"K\x00\x8a\x09" + b"\xff" * 8 + b"\x00\x86", data=b"C\x00")),
    "shape longer than its bytes": table(array(b"M\xff\xff\x85")),
    "negative shape": table(array(b"J\xff\xff\xff\xff\x85")),
    "two negative lengths": table(array(b"J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86")),
    "many axes": table(array(b"(" + b"K\x01" * 40 + b"t")),
    "reconstruct with a shape": table(RECONSTRUCT + NDARRAY + b"J\xff\xff\xff\x7f\x85C\x01b\x87R"),
    "reconstruct of a matrix": table(RECONSTRUCT + named("numpy", "matrix") + b"K\x00\x85C\x01b\x87R"),
    "reconstructor with a base": table(
        named("copyreg", "_reconstructor") + named("chumpy.ch", "Ch") + NDARRAY + b"N\x87R"
    ),
    "reconstructor of object": table(
        named("copyreg", "_reconstructor") + named("builtins", "object") + named("builtins", "object") + b"N\x87R"
    ),
    "negative length of bytes": table(b"T\xff\xff\xff\xff"),
    "negative length of an integer": table(b"\x8b\xff\xff\xff\xff"),
    "gigantic bytes": table(b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"),
    "gigantic frame": b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f" + b"}.",
    "gigantic integer": table(b"\x8b\x00\x00\x10\x00" + b"\x01" * (1 << 20)),
    "gigantic digits": b"(dS'a'\nL" + b"9" * 100_000 + b"L\ns.",
    "gigantic memo": b"\x80\x02}r\xff\xff\xff\xff.",
    "negative memo": b"(dp-1\n.",
    "recalls what is not there": table(b"h\x07"),
    "deep lists": table(b"(" * 100_000 + b"l" * 100_000),
    "deep lists without marks": table(b"]" + b"\x85" * 100_000),
    "a list in itself, deep": table(b"]\x94" + b"\x85" * 200),
    "nested keys": nested_keys(60) + b".",
    "nested members": table(named("builtins", "set") + b"](" + b")" + b"2\x86" * 60 + b"e\x85R"),
    "truncated": table(array(b"K\x01\x85"))[:-9],
    "empty": b"",
    "no stop": b"\x80\x04}",
    "two pickles": b"\x80\x04}.\x80\x04}.",
    "stack left over": b"\x80\x04}}.",
    "stop at a mark": b"\x80\x04(.",
    "protocol of tomorrow": b"\x80\x63}.",
    "a list at the top": b"\x80\x04].",
    "not a pickle": b"\x89PNG\r\n\x1a\n" + bytes(50),
    "an .npy with a pickle inside": npy_with_pickle(),
    "set from a string": table(named("builtins", "set") + text("abc") + b"\x85R"),
    "bytes of a length": table(named("builtins", "bytes") + b"J\xff\xff\xff\x7f\x85R"),
    "sparse that points outside": table(
        CSC + b"}(" + text("_shape") + b"K\x02K\x02\x86" + text("data") + array(b"K\x01\x85")
        + text("indices") + array(b"K\x01\x85", "i8", b"C\x08\x09\0\0\0\0\0\0\0")
        + text("indptr") + array(b"K\x03\x85", "i8", b"C\x18" + struct.pack("<3q", 0, 1, 1)) + b"ub"
    ),
    "gigantic sparse": table(
        CSC + b"}(" + text("_shape") + b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86" + text("data") + array(b"K\x01\x85")
        + text("indices") + array(b"K\x01\x85", "i8") + text("indptr") + array(b"K\x01\x85", "i8") + b"ub"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused_and_none_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # As long as the placeholder, so that the lengths in the file stay true.
    data = HOSTILE[name].replace(b"{flag}", b"flagXX")
    with pytest.raises(LikenessError) as caught:
        read_pickle(data)
    assert caught.value.code == "body.unsafe_file"
    assert list(tmp_path.iterdir()) == []


def test_the_set_is_large_and_its_attacks_are_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(HOSTILE) >= 30
    monkeypatch.chdir(tmp_path)
    for name in ("os.system", "eval", "exec of python 2", "inst", "obj"):
        pickle.loads(HOSTILE[name].replace(b"{flag}", b"flagXX"))  # noqa: S301  (our own)
        assert (tmp_path / "flagXX").exists(), name
        (tmp_path / "flagXX").unlink()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "made",
    [
        Calls(eval, "open('flag', 'w')"),
        Calls(np.load, "flag", None, True),
        Calls(np.ndarray, (1 << 40,)),
        Calls(np.dtype, [("a", "O")]),
        Calls(getattr, np.ndarray, "tofile"),
        np.array([Calls(eval, "open('flag', 'w')")], dtype=object),
        {1: Calls(print, "x")},
        np.zeros(2, [("a", "f4")]),
        slice(1, 2),
        print,
        range(3),
    ],
    ids=["eval", "load", "huge", "object dtype", "method", "objects", "dict", "record", "slice", "builtin", "range"],
)
def test_what_pickle_writes_of_anything_else_is_refused(
    made: Any, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LikenessError) as caught:
        read_pickle(pickle.dumps({"v_template": made}, protocol))
    assert caught.value.code == "body.unsafe_file"
    assert list(tmp_path.iterdir()) == []


def test_shared_values_do_not_multiply() -> None:
    # Ten to the power of twenty items for who copies them; read as they are shared, they are few.
    assert len(read_pickle(table(laughs(20)))["v_template"]) == 10
    # One long string, as the numbers of a thousand arrays.
    long = 1 << 18
    many = text("\0" * long) + b"\x940" + b"(" + array(b"J\x00\x80\x00\x00\x85", data=b"h\x00") * 300 + b"l"
    with pytest.raises(LikenessError, match="more than its size"):
        read_pickle(table(many))


@pytest.mark.parametrize("protocol", range(6))
def test_reads_what_pickle_writes(protocol: int) -> None:
    values = {
        "plain": RANDOM.normal(size=(5, 3)),
        "fortran": np.asfortranarray(RANDOM.integers(0, 9, (4, 3)).astype(np.uint32)),
        "big end": np.arange(3, dtype=">f4"),
        "none": np.zeros((0, 3)),
        "scalar": np.float64(3),
        **{form: scipy.sparse.random(5, 7, 0.5, form, rng=1) for form in ("csc", "csr", "coo")},
        "sparse array": scipy.sparse.csc_array(scipy.sparse.random(5, 7, 0.5, "csc", rng=1)),
        "objects": np.array({"head": 15}, dtype=object),
    }
    simple = {"style": "lbs", "é": b"\xff\0", "empty": b"", "set": {1, 2}, "long": 2**70, "yes": True, "no": None}
    read = read_pickle(pickle.dumps({**values, **simple, "shared": values["plain"]}, protocol))
    for name, value in values.items():
        if scipy.sparse.issparse(value):
            assert np.array_equal(read[name].toarray(), value.toarray())
        elif name == "objects":
            assert read[name] == [{"head": 15}]
        else:
            assert np.array_equal(read[name], value) and read[name].dtype == value.dtype
    assert {key: read[key] for key in simple} == simple
    assert np.array_equal(read["shared"], values["plain"])


def test_reads_python_2_with_chumpy() -> None:
    numbers, raw = np.arange(6.0), "".join(map(chr, np.arange(6.0).tobytes()))
    held = EMPTY + b"(K\x01K\x06\x85" + dtype("f8", b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb")
    held += b"\x89U" + bytes([48]) + raw.encode("latin-1") + b"tb"
    whole = CH + b"}(U\x01x" + held + b"U\x0b_dirty_vars" + named("__builtin__", "set") + b"]\x85RU\x04_itrNub"
    chosen = array(b"K\x03\x85", "i8", b"C\x18" + struct.pack("<3q", 4, 0, 5))
    select = named("chumpy.reordering", "Select") + b")\x81}(U\x01a" + whole + b"U\x04idxs" + chosen
    select += b"U\x0fpreferred_shapeK\x03K\x01\x86ub"
    read = read_pickle(b"\x80\x02}(U\x01a" + whole + b"U\x01b" + select + b"u.")
    assert np.array_equal(read["a"], numbers)
    assert read["b"].tolist() == [[4.0], [0.0], [5.0]]
    outside = b"\x80\x02}U\x01b" + select.replace(struct.pack("<q", 4), struct.pack("<q", 6)) + b"s."
    with pytest.raises(LikenessError, match="not there"):
        read_pickle(outside)


GOOD = pickle.dumps({"a": np.arange(4.0), "s": scipy.sparse.eye(3, format="csc"), "t": ("x", 1, [2.5])}, 2)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.integers(0, len(GOOD)))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(place: int, byte: int, end: int) -> None:
    for data in (GOOD[:place] + bytes([byte]) + GOOD[place + 1 :], GOOD[:end], GOOD[:end] + bytes([byte]) + GOOD[end:]):
        try:
            assert isinstance(read_pickle(data), dict)
        except LikenessError as error:
            assert error.code == "body.unsafe_file"
