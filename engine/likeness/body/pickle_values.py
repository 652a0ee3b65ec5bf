"""What the names in a body model's pickle may become: arrays, sparse matrices, plain values. See pickles.py."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import scipy.sparse
from likeness.core.errors import LikenessError

MAX_ELEMENTS = 1 << 28
_MAX_AXES = 8
_MAX_DEPTH = 64
_MAX_WRAPS = 4
_NUMBERS = re.compile(r"[<>|=]?(f[248]|i[1248]|u[1248]|b1|[SU]\d{1,4})")


class Refused(LikenessError):
    """A pickle that holds more than a body's numbers."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "body.unsafe_file",
            f"This file is not a plain body model: {why}.",
            "Download the body model again from where it is published.",
        )


class Kind(Enum):
    """What a file may name."""

    RECONSTRUCT = "reconstruct"
    SCALAR = "scalar"
    FROM_BUFFER = "from_buffer"
    NDARRAY = "ndarray"
    DTYPE = "dtype"
    SPARSE_CSC = "sparse_csc"
    SPARSE_CSR = "sparse_csr"
    SPARSE_COO = "sparse_coo"
    CHUMPY = "chumpy"
    ENCODE = "encode"
    RECONSTRUCTOR = "reconstructor"
    OBJECT = "object"
    SET = "set"
    BYTES = "bytes"


_SPARSE = {Kind.SPARSE_CSC: "csc", Kind.SPARSE_CSR: "csr", Kind.SPARSE_COO: "coo"}


@dataclass(frozen=True)
class Name:
    """A name of the file: a marker, never the thing. select: chumpy's Select, a choice of another array's elements."""

    kind: Kind
    select: bool = False


@dataclass
class Dtype:
    """An array's number format: `f8` and the like, `O` for objects; its byte order comes with its state."""

    code: str
    order: str = "="

    def numpy(self) -> np.dtype:
        if self.code == "O":
            raise Refused("it has numbers that are objects")
        order: Any = self.order
        return np.dtype(self.code).newbyteorder(order)


@dataclass
class Array:
    """An array whose state may still come. value: (…) array, or a list for one of objects."""

    value: np.ndarray | list[Any] | None = None


@dataclass
class Sparse:
    """A SciPy sparse matrix whose state may still come."""

    layout: str
    state: dict[str, Any] | None = None


@dataclass
class Chumpy:
    """chumpy's array wrapper: `x` in its state holds the numbers; a Select has them in `a`, chosen by `idxs`."""

    select: bool
    state: dict[str, Any] | None = None


@dataclass
class Budget:
    """How many bytes may be copied out of a file, so that what it shares cannot multiply."""

    left: int

    def spend(self, count: int) -> None:
        """Raises Refused when the file has used up what it may."""
        self.left -= count
        if self.left < 0:
            raise Refused("it unpacks to far more than its size")


def _exactly(arguments: Any, *types: type | tuple[type, ...]) -> tuple[Any, ...]:
    if type(arguments) is not tuple or len(arguments) != len(types):
        raise Refused("it calls something wrongly")
    for value, kind in zip(arguments, types, strict=True):
        if type(value) not in (kind if isinstance(kind, tuple) else (kind,)):
            raise Refused("it calls something wrongly")
    return arguments


def _is(value: Any, kind: Kind) -> bool:
    return isinstance(value, Name) and value.kind is kind


def call(function: Any, arguments: Any, budget: Budget) -> Any:
    """REDUCE: what calling a name of the file makes."""
    if not isinstance(function, Name) or function.kind not in _CALLS:
        raise Refused("it calls something that makes no array")
    return _CALLS[function.kind](arguments, budget)


def _reconstruct(arguments: Any, budget: Budget) -> Array:
    subtype, shape, _ = _exactly(arguments, Name, tuple, (str, bytes))
    if not _is(subtype, Kind.NDARRAY) or shape != (0,):
        raise Refused("it makes an array of another kind")
    return Array()


def _dtype(arguments: Any, budget: Budget) -> Dtype:
    code = arguments[0] if type(arguments) is tuple and arguments else None
    flags = (bool, int)
    code, *_ = _exactly(arguments, str, *[flags] * (len(arguments) - 1))
    if len(arguments) > 3:
        raise Refused("it calls something wrongly")
    if re.fullmatch(r"\|?O[48]?", code):
        return Dtype("O")
    if not _NUMBERS.fullmatch(code):
        raise Refused(f"it has numbers of the unknown kind {code[:20]!r}")
    return Dtype(code.lstrip("<>|="), code[0] if code[0] in "<>" else "=")


def _scalar(arguments: Any, budget: Budget) -> Any:
    dtype, raw = _exactly(arguments, Dtype, (str, bytes))
    return _numbers(_raw(raw, budget), dtype, (1,))[0]


def _from_buffer(arguments: Any, budget: Budget) -> Array:
    raw, dtype, shape, order = _exactly(arguments, bytes, Dtype, tuple, str)
    if order not in ("C", "F"):
        raise Refused("it calls something wrongly")
    return Array(_numbers(raw, dtype, shape, order))


def _encode(arguments: Any, budget: Budget) -> bytes:
    text, encoding = _exactly(arguments, str, str)
    if encoding not in ("latin1", "latin-1"):
        raise Refused("it has bytes in another encoding")
    budget.spend(len(text))
    return bytes(text, "latin-1")


def _reconstructor(arguments: Any, budget: Budget) -> Sparse | Chumpy:
    name, base, state = _exactly(arguments, Name, Name, type(None))
    if not _is(base, Kind.OBJECT) or state is not None:
        raise Refused("it makes an object of another kind")
    return make_new(name, ())


def _set(arguments: Any, budget: Budget) -> set[Any]:
    (items,) = _exactly(arguments, (list, tuple))
    if any(type(item) not in (str, bytes, int, float, bool) for item in items):
        raise Refused("a set of it holds no plain values")
    return set(items)


def _no_bytes(arguments: Any, budget: Budget) -> bytes:
    _exactly(arguments)
    return b""


_CALLS = {
    Kind.RECONSTRUCT: _reconstruct,
    Kind.DTYPE: _dtype,
    Kind.SCALAR: _scalar,
    Kind.FROM_BUFFER: _from_buffer,
    Kind.ENCODE: _encode,
    Kind.RECONSTRUCTOR: _reconstructor,
    Kind.SET: _set,
    Kind.BYTES: _no_bytes,
}


def make_new(name: Any, arguments: Any) -> Sparse | Chumpy:
    """NEWOBJ: an object whose state comes later."""
    _exactly(arguments)
    if isinstance(name, Name) and name.kind in _SPARSE:
        return Sparse(_SPARSE[name.kind])
    if _is(name, Kind.CHUMPY):
        return Chumpy(name.select)
    raise Refused("it makes an object of another kind")


def build(target: Any, state: Any, budget: Budget) -> Any:
    """BUILD: give an object its state, once."""
    if type(target) is Dtype:
        _order_dtype(target, state)
    elif type(target) is Array and target.value is None:
        target.value = _array_state(state, budget)
    elif type(target) in (Sparse, Chumpy) and target.state is None and type(state) is dict:
        target.state = state
    else:
        raise Refused("it gives a state to something that has none")
    return target


def _order_dtype(dtype: Dtype, state: Any) -> None:
    """(version, byte order, three Nones, size, alignment, flags)."""
    if type(state) is not tuple or len(state) not in (7, 8) or state[1] not in ("<", ">", "|", "="):
        raise Refused("its numbers have an unknown format")
    if any(part is not None for part in state[2:5]):
        raise Refused("its numbers are structures")
    dtype.order = "=" if state[1] == "|" else state[1]


def _array_state(state: Any, budget: Budget) -> np.ndarray | list[Any]:
    if type(state) is tuple and len(state) == 5:
        state = state[1:]
    shape, dtype, fortran, raw = _exactly(state, tuple, Dtype, (bool, int), (str, bytes, list))
    if dtype.code == "O":
        if type(raw) is not list or len(raw) != _size(shape):
            raise Refused("an array of objects has another length than it says")
        return raw
    return _numbers(_raw(raw, budget), dtype, shape, "F" if fortran else "C")


def _raw(data: Any, budget: Budget) -> bytes:
    if type(data) is bytes:
        return data
    if type(data) is not str:
        raise Refused("an array of it has no bytes")
    budget.spend(len(data))
    return data.encode("latin-1")


def _size(shape: tuple[Any, ...]) -> int:
    if len(shape) > _MAX_AXES or any(type(n) is not int or not 0 <= n <= MAX_ELEMENTS for n in shape):
        raise Refused("an array of it has an impossible shape")
    count = math.prod(shape)
    if count > MAX_ELEMENTS:
        raise Refused("an array of it is too large")
    return count


def _numbers(raw: bytes, dtype: Dtype, shape: tuple[Any, ...], order: str = "C") -> np.ndarray:
    count, form = _size(shape), dtype.numpy()
    if form.itemsize == 0 or count * form.itemsize != len(raw):
        raise Refused("an array of it has another length than it says")
    return np.frombuffer(raw, form, count).reshape(shape, order="F" if order == "F" else "C")


def plain(value: Any, budget: Budget) -> dict[str, Any]:
    """The dictionary at a pickle's top with its arrays made."""
    if type(value) is not dict or not all(type(key) is str for key in value):
        raise Refused("it holds no table of named arrays")
    _only_data(value)
    maker = _Maker(budget, {})
    return {key: maker.made(item, _MAX_WRAPS) for key, item in value.items()}


def _only_data(value: Any) -> None:
    """Look at everything that can be reached, each thing once, however often it is shared."""
    seen, level = {id(value)}, [value]
    for _ in range(_MAX_DEPTH):
        below = []
        for item in level:
            if type(item) is Name or type(item) is Dtype:
                raise Refused("a name is left over in it")
            for child in _children(item):
                if id(child) not in seen:
                    seen.add(id(child))
                    below.append(child)
        if not below:
            return
        level = below
    raise Refused("it nests too deep")


def _children(item: Any) -> list[Any]:
    if type(item) is dict:
        return list(item.values())
    if type(item) in (list, tuple):
        return list(item)
    if type(item) in (Sparse, Chumpy):
        return [item.state]
    return item.value if type(item) is Array and type(item.value) is list else []


@dataclass
class _Maker:
    """Makes the numbers of objects; what is shared is made once."""

    budget: Budget
    known: dict[int, Any]

    def made(self, item: Any, depth: int) -> Any:
        if type(item) is tuple and any(type(part) is Array for part in item):
            return tuple(self.made(part, depth) for part in item)
        if type(item) not in (Array, Sparse, Chumpy):
            return item
        if depth == 0:
            raise Refused("its arrays are wrapped in each other")
        if id(item) not in self.known:
            self.known[id(item)] = self._make(item, depth - 1)
        return self.known[id(item)]

    def _make(self, item: Array | Sparse | Chumpy, depth: int) -> Any:
        inner = item.value if isinstance(item, Array) else item.state
        if inner is None:
            raise Refused("an object of it is empty")
        if isinstance(item, Array):
            return inner
        state = {key: self.made(part, depth) for key, part in item.state.items()}  # type: ignore[union-attr]
        if isinstance(item, Sparse):
            return _make_sparse(item.layout, state, self.budget)
        return _make_chumpy(item.select, state, self.budget)


def _make_chumpy(select: bool, state: dict[str, Any], budget: Budget) -> np.ndarray:
    if not select:
        return _array_in(state, "x", "fiub")
    source, chosen = _array_in(state, "a", "fiub").ravel(), _array_in(state, "idxs", "iu").ravel()
    if not _within(chosen, len(source)):
        raise Refused("it chooses elements that are not there")
    shape = state.get("preferred_shape") or (len(chosen),)
    if type(shape) is not tuple or _size(shape) != len(chosen):
        raise Refused("an array of it has an impossible shape")
    budget.spend(len(chosen) * source.itemsize)
    return source[chosen].reshape(shape)


def _array_in(state: dict[str, Any], key: str, kinds: str, axes: int | None = None) -> np.ndarray:
    array = state.get(key)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds or (axes and array.ndim != axes):
        raise Refused(f"the numbers {key!r} of an object of it are missing")
    return array


def _make_sparse(layout: str, state: dict[str, Any], budget: Budget) -> Any:
    shape = state.get("_shape", state.get("shape"))
    if type(shape) is not tuple or len(shape) != 2:
        raise Refused("a sparse matrix of it has no shape")
    rows, columns = shape
    _size(shape)
    budget.spend(8 * (rows + columns))
    data = _array_in(state, "data", "fiub", 1)
    if layout == "coo":
        row, column = state.get("coords") or (state.get("row"), state.get("col"))
        row, column = (_array_in({"at": part}, "at", "iu", 1).astype(np.int64) for part in (row, column))
    else:
        pointer = _array_in(state, "indptr", "iu", 1).astype(np.int64)
        inner = _array_in(state, "indices", "iu", 1).astype(np.int64)
        outer = _unfolded(pointer, columns if layout == "csc" else rows, len(inner))
        row, column = (inner, outer) if layout == "csc" else (outer, inner)
    if not len(row) == len(column) == len(data) or not (_within(row, rows) and _within(column, columns)):
        raise Refused("a sparse matrix of it points outside")
    budget.spend(24 * len(data))
    native = data.astype(data.dtype.newbyteorder("="))
    return scipy.sparse.coo_matrix((native, (row, column)), shape=shape).tocsr()


def _unfolded(pointer: np.ndarray, lines: int, entries: int) -> np.ndarray:
    """(lines + 1,) where each line starts -> (entries,) line of every entry."""
    steps = np.diff(pointer)
    if len(pointer) != lines + 1 or pointer[0] != 0 or pointer[-1] != entries or (steps < 0).any():
        raise Refused("a sparse matrix of it points outside")
    return np.repeat(np.arange(lines), steps)


def _within(index: np.ndarray, count: int) -> bool:
    return not len(index) or (int(index.min()) >= 0 and int(index.max()) < count)
