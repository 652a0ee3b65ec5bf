"""A reader of pickles that runs nothing: for the body models that artists have as .pkl.

It interprets the opcodes itself. A name in the file is looked up in a short list and becomes a marker; calling a marker
makes NumPy arrays, SciPy sparse matrices and plain values out of checked numbers, and nothing else can be called.
Whatever is not on the lists here is refused, so a pickle can do no more than waste the bytes that it has.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable
from enum import Enum
from typing import Any

from likeness.body.pickle_values import Budget, Kind, Name, Refused, build, call, make_new, plain

MAX_BYTES = 1 << 30
MAX_STEPS = 2_000_000
MAX_STACK = 20_000
MAX_MEMO = 1 << 20
MAX_PROTOCOL = 5
_MAX_DIGITS = 64

_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_SPARSE = {
    f"{module}.{name}_{form}": Kind(f"sparse_{name}")
    for name in ("csc", "csr", "coo")
    for form in ("matrix", "array")
    for module in (f"scipy.sparse.{name}", f"scipy.sparse._{name}", "scipy.sparse")
}
#: All that a file may name.
_NAMES: dict[str, Kind] = {
    **{f"{module}._reconstruct": Kind.RECONSTRUCT for module in _MULTIARRAY},
    **{f"{module}.scalar": Kind.SCALAR for module in _MULTIARRAY},
    **{f"{module}._frombuffer": Kind.FROM_BUFFER for module in _NUMERIC},
    "numpy.ndarray": Kind.NDARRAY,
    "numpy.dtype": Kind.DTYPE,
    **_SPARSE,
    "chumpy.ch.Ch": Kind.CHUMPY,
    "chumpy.reordering.Select": Kind.CHUMPY,
    "_codecs.encode": Kind.ENCODE,
    **{f"{module}._reconstructor": Kind.RECONSTRUCTOR for module in ("copy_reg", "copyreg")},
    **{f"{module}.object": Kind.OBJECT for module in ("__builtin__", "builtins")},
    **{f"{module}.set": Kind.SET for module in ("__builtin__", "builtins")},
    **{f"{module}.bytes": Kind.BYTES for module in ("__builtin__", "builtins")},
}


class _Sign(Enum):
    MARK = 0


def read_pickle(data: bytes) -> dict[str, Any]:
    """The dictionary that a pickle (protocol 0 to 5) holds.

    Values are numbers, strings, bytes, lists, tuples, sets and dicts of such, NumPy arrays (read-only, of numbers; an
    array of objects becomes a list) and SciPy sparse matrices. chumpy's arrays become NumPy's. Strings of Python 2 are
    read as Latin-1. Arrays inside lists and dicts are left unmade. Raises LikenessError("body.unsafe_file") for
    anything else and for a damaged file.
    """
    if len(data) > MAX_BYTES:
        raise Refused(f"it is larger than {MAX_BYTES >> 20} MB")
    try:
        machine = _Machine(data)
        return plain(machine.run(), machine.budget)
    except Refused:
        raise
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, struct.error, AttributeError) as error:
        raise Refused("it is damaged") from error


class _Machine:
    """One run over a pickle's opcodes. stack: values and marks. memo: values by number."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.budget = Budget(8 * len(data) + (1 << 24))

    def run(self) -> Any:
        for _ in range(MAX_STEPS):
            code = self.take(1)
            if code == b".":
                if len(self.stack) != 1 or self.at != len(self.data):
                    raise Refused("it does not end where it should")
                return self.pop()
            step = _STEPS.get(code)
            if step is None:
                raise Refused(f"it uses the pickle instruction {code!r}")
            step(self)
            if len(self.stack) > MAX_STACK:
                raise Refused("it nests too deep")
        raise Refused("it has too many instructions")

    # Reading.

    def take(self, count: int) -> bytes:
        if count < 0 or count > len(self.data) - self.at:
            raise Refused("it is cut short")
        start, self.at = self.at, self.at + count
        return self.data[start : self.at]

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def line(self, limit: int = 256) -> bytes:
        end = self.data.find(b"\n", self.at, self.at + limit)
        if end < 0:
            raise Refused("a line of it does not end")
        start, self.at = self.at, end + 1
        return self.data[start:end]

    # The stack.

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _Sign.MARK:
            raise Refused("it takes a value that is not there")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise Refused("it adds to something that takes nothing")
        return self.stack[-1]

    def since_mark(self) -> list[Any]:
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _Sign.MARK:
                items = self.stack[place + 1 :]
                del self.stack[place:]
                return items
        raise Refused("a mark is missing")

    def remember(self, key: int) -> None:
        if not 0 <= key < MAX_MEMO or not self.stack or self.stack[-1] is _Sign.MARK:
            raise Refused("it remembers something impossible")
        self.memo[key] = self.stack[-1]

    def recall(self, key: int) -> None:
        if key not in self.memo:
            raise Refused("it recalls something it never had")
        self.push(self.memo[key])


def _constant(value: Any) -> Callable[[_Machine], None]:
    return lambda m: m.push(value)


def _fresh(kind: type) -> Callable[[_Machine], None]:
    return lambda m: m.push(kind())


def _integer(form: str) -> Callable[[_Machine], None]:
    return lambda m: m.push(m.number(form))


def _bytes(form: str) -> Callable[[_Machine], None]:
    return lambda m: m.push(m.take(m.number(form)))


def _text(form: str, encoding: str) -> Callable[[_Machine], None]:
    errors = "surrogatepass" if encoding == "utf-8" else "strict"
    return lambda m: m.push(m.take(m.number(form)).decode(encoding, errors))


def _recall(form: str) -> Callable[[_Machine], None]:
    return lambda m: m.recall(m.number(form))


def _remember(form: str) -> Callable[[_Machine], None]:
    return lambda m: m.remember(m.number(form))


def _tuple(count: int) -> Callable[[_Machine], None]:
    return lambda m: m.push(tuple([m.pop() for _ in range(count)][::-1]))


def _digits(text: bytes) -> int:
    if not re.fullmatch(rb"[+-]?\d{1,%d}" % _MAX_DIGITS, text):
        raise Refused("a number of it is none")
    return int(text)


def _int_line(m: _Machine) -> None:
    text = m.line()
    # Protocol 0 of Python 2 writes True and False so.
    m.push({b"00": False, b"01": True}[text] if text in (b"00", b"01") else _digits(text))


def _float_line(m: _Machine) -> None:
    m.push(float(m.line(limit=_MAX_DIGITS).decode("ascii")))


def _long(form: str) -> Callable[[_Machine], None]:
    def step(m: _Machine) -> None:
        count = m.number(form)
        if not 0 <= count <= _MAX_DIGITS:
            raise Refused("a number of it is too long")
        m.push(int.from_bytes(m.take(count), "little", signed=True))

    return step


def _string_line(m: _Machine) -> None:
    text = m.line(limit=MAX_BYTES)
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise Refused("a string of it has no quotes")
    m.push(codecs.escape_decode(text[1:-1])[0].decode("latin-1"))


def _unicode_line(m: _Machine) -> None:
    m.push(m.line(limit=MAX_BYTES).decode("raw-unicode-escape"))


def _protocol(m: _Machine) -> None:
    if m.number("<B") > MAX_PROTOCOL:
        raise Refused("its pickle protocol is unknown")


def _frame(m: _Machine) -> None:
    if m.number("<Q") > len(m.data) - m.at:
        raise Refused("it is cut short")


def _look_up(module: Any, name: Any) -> Name:
    full = f"{module}.{name}"
    # A dot in the second part would be an attribute of an attribute.
    if type(module) is not str or type(name) is not str or "." in name or full not in _NAMES:
        raise Refused(f"it names {full[:80]!r}, which is no array")
    return Name(_NAMES[full], select=full.endswith(".Select"))


def _global(m: _Machine) -> None:
    module, name = m.line().decode("ascii"), m.line().decode("ascii")
    m.push(_look_up(module, name))


def _stack_global(m: _Machine) -> None:
    name, module = m.pop(), m.pop()
    m.push(_look_up(module, name))


def _reduce(m: _Machine) -> None:
    arguments, function = m.pop(), m.pop()
    m.push(call(function, arguments, m.budget))


def _new_object(m: _Machine) -> None:
    arguments, name = m.pop(), m.pop()
    m.push(make_new(name, arguments))


def _build(m: _Machine) -> None:
    state, target = m.pop(), m.pop()
    m.push(build(target, state, m.budget))


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise Refused("a key of it has no value")
    return {_scalar(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _scalar(value: Any) -> Any:
    """Only flat values may be hashed: the hash of nested tuples can take forever."""
    if type(value) not in (str, bytes, int, float, bool, type(None)):
        raise Refused("a key of it is no plain value")
    return value


def _set_item(m: _Machine) -> None:
    items = [m.pop(), m.pop()][::-1]
    m.top(dict).update(_pairs(items))


def _set_items(m: _Machine) -> None:
    items = m.since_mark()
    m.top(dict).update(_pairs(items))


def _append(m: _Machine) -> None:
    item = m.pop()
    m.top(list).append(item)


def _appends(m: _Machine) -> None:
    items = m.since_mark()
    m.top(list).extend(items)


def _add_items(m: _Machine) -> None:
    items = [_scalar(item) for item in m.since_mark()]
    m.top(set).update(items)


def _pop(m: _Machine) -> None:
    if not m.stack:
        raise Refused("it takes a value that is not there")
    m.stack.pop()


def _duplicate(m: _Machine) -> None:
    m.push(m.pop())
    m.push(m.stack[-1])


_STEPS: dict[bytes, Callable[[_Machine], None]] = {
    b"(": _constant(_Sign.MARK),
    b"0": _pop,
    b"1": lambda m: m.since_mark().clear(),
    b"2": _duplicate,
    b"F": _float_line,
    b"G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    b"I": _int_line,
    b"J": _integer("<i"),
    b"K": _integer("<B"),
    b"M": _integer("<H"),
    b"L": lambda m: m.push(_digits(m.line().removesuffix(b"L"))),
    b"\x8a": _long("<B"),
    b"\x8b": _long("<i"),
    b"N": _constant(None),
    b"\x88": _constant(True),
    b"\x89": _constant(False),
    b"S": _string_line,
    b"T": _text("<i", "latin-1"),
    b"U": _text("<B", "latin-1"),
    b"V": _unicode_line,
    b"X": _text("<I", "utf-8"),
    b"\x8c": _text("<B", "utf-8"),
    b"\x8d": _text("<Q", "utf-8"),
    b"B": _bytes("<I"),
    b"C": _bytes("<B"),
    b"\x8e": _bytes("<Q"),
    b"\x96": _bytes("<Q"),
    b"a": _append,
    b"e": _appends,
    b"d": lambda m: m.push(_pairs(m.since_mark())),
    b"}": _fresh(dict),
    b"s": _set_item,
    b"u": _set_items,
    b"l": lambda m: m.push(m.since_mark()),
    b"]": _fresh(list),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b")": _constant(()),
    b"\x85": _tuple(1),
    b"\x86": _tuple(2),
    b"\x87": _tuple(3),
    b"\x8f": _fresh(set),
    b"\x90": _add_items,
    b"\x91": lambda m: m.push(frozenset(_scalar(item) for item in m.since_mark())),
    b"g": lambda m: m.recall(_digits(m.line())),
    b"h": _recall("<B"),
    b"j": _recall("<I"),
    b"p": lambda m: m.remember(_digits(m.line())),
    b"q": _remember("<B"),
    b"r": _remember("<I"),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"c": _global,
    b"\x93": _stack_global,
    b"R": _reduce,
    b"\x81": _new_object,
    b"b": _build,
    b"\x80": _protocol,
    b"\x95": _frame,
}
