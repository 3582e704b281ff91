"""Read a pickle as PyTorch writes it, and make nothing of it but dictionaries, lists, numbers, texts and tensors.

A pickle is a little program for a machine with a stack. Here that machine knows no function but those that stand in a
table below, which only put tensors' numbers together; whatever else a pickle names is an error, before anything of it
could be looked up. ``torch.load(weights_only=True)`` works alike, but loads PyTorch first and all numbers at once.
"""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass

from convfilter.errors import shorten
from convfilter.weights.tensors import WeightsError

LONGEST = 10_000_000  # bytes of the pickles, without tensors' numbers
STEPS = 1_000_000  # of the machine: 40,000 tensors

DTYPES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32",
    "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}  # fmt: skip
NAMED = {f"torch.{dtype}": dtype for dtype in (*DTYPES.values(), "uint16", "uint32", "uint64")} | {
    f"torch.{dtype}": dtype for dtype in ("float8_e4m3fn", "float8_e5m2")
}
STORAGES = {f"torch.{name}Storage": dtype for name, dtype in DTYPES.items()} | {"torch.storage.UntypedStorage": None}
PLAIN = {  # what else a file of weights may name: it is carried along, and never made
    "collections.Counter", "collections.defaultdict", "torch.device", "torch.serialization._get_layout",
    "_codecs.encode", "builtins.bytearray", "builtins.set", "builtins.complex",
    "__builtin__.bytearray", "__builtin__.set", "__builtin__.complex",
}  # fmt: skip
PUSH = {
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "LONG", "INT", "BINFLOAT", "FLOAT", "BINUNICODE", "UNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING", "STRING", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
BIG = 1 << 60  # whole numbers from here on may hash alike, so that a dictionary of them would take for ever


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers in a file, of which tensors show some: ``key`` says which, and ``count`` how many there are.

    ``dtype`` is None where it holds bytes, and the tensor says of what type it is.
    """

    key: str
    dtype: str | None
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A tensor as a pickle writes it: a storage, and which of its numbers it shows."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple
    dtype: str


class Other:
    """Something that is no tensor, number or text, and is not looked at."""


OTHER = Other()
_MARK = object()


class NeedsCodeError(WeightsError):
    """A pickle names something that only Python itself could make, by running code; ``name`` is that."""

    def __init__(self, name: str) -> None:
        super().__init__(f"needs {shorten(name, 80)}, and nothing that a file names is run here")
        self.name = name


@dataclass(frozen=True, slots=True)
class _Global:
    name: str


def read_pickle(file: io.BytesIO, storages: dict[str, Storage] | None = None) -> object:
    """Return what the next pickle of a file means: dictionaries, lists, tuples, plain values, Views, and OTHER.

    The file then stands behind it. ``storages`` gets all that it names.

    Raises:
        WeightsError: it is damaged, or too long. NeedsCodeError: it is more than tensors and plain values.

    >>> import pickle
    >>> read_pickle(io.BytesIO(pickle.dumps({"epoch": 3, "loss": [0.5]})))
    {'epoch': 3, 'loss': [0.5]}
    >>> read_pickle(io.BytesIO(pickle.dumps(print)))
    Traceback (most recent call last):
    convfilter.weights.pickles.NeedsCodeError: needs builtins.print, and nothing that a file names is run here
    """
    try:
        return _Machine({} if storages is None else storages).run(file)
    except WeightsError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise WeightsError("its pickle is damaged") from None


class _Machine:
    def __init__(self, storages: dict[str, Storage]) -> None:
        self.stack: list = []
        self.memo: dict[int, object] = {}
        self.storages = storages

    def run(self, file: io.BytesIO) -> object:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if step == STEPS:
                raise WeightsError(f"its pickle has more than {STEPS:,} steps, which no network needs")
            if opcode.name == "STOP":
                return self.stack.pop()
            self.do(opcode.name, argument)
        raise WeightsError("its pickle has no end; the file was cut off")

    def do(self, name: str, argument) -> None:
        stack = self.stack
        if name in PUSH:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif name == "MARK":
            stack.append(_MARK)
        elif name not in ("PROTO", "FRAME"):
            self.build(name, argument)

    def build(self, name: str, argument) -> None:
        """The steps that make something of what lies on the stack."""
        stack = self.stack
        match name:
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_SET":
                stack.append(OTHER)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple([stack.pop() for _ in range(int(name[-1]))][::-1]))
            case "TUPLE":
                stack.append(tuple(self.marked()))
            case "LIST":
                stack.append(self.marked())
            case "FROZENSET":
                self.marked()
                stack.append(OTHER)
            case "DICT":
                items = self.marked()
                stack.append(_dict(zip(items[::2], items[1::2], strict=True)))
            case "APPEND":
                _extend(stack[-2], [stack.pop()])
            case "APPENDS" | "ADDITEMS":
                items = self.marked()
                _extend(stack[-1], items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _update(stack[-1], [(key, value)])
            case "SETITEMS":
                items = self.marked()
                _update(stack[-1], zip(items[::2], items[1::2], strict=True))
            case "GLOBAL":
                stack.append(_find(argument.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                of, module = stack.pop(), stack.pop()
                stack.append(_find(module + "." + of))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(_call(function, arguments))
            case "NEWOBJ":
                arguments, made = stack.pop(), stack.pop()
                stack.append(_call(made, arguments))
            case "BUILD":  # what else an object remembers, such as a state dict's versions
                stack.pop()
            case "BINPERSID":
                storage = _storage(stack.pop())
                self.storages[storage.key] = storage
                stack.append(storage)
            case "POP":
                stack.pop()
            case "POP_MARK":
                self.marked()
            case _:
                raise WeightsError(f"its pickle has a step {name}, which PyTorch never writes")

    def marked(self) -> list:
        """Take what lies above the last mark off the stack, and the mark."""
        items = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]


def _find(name: str) -> _Global:
    if any(name in known for known in (CALLS, NAMED, PLAIN, STORAGES)):
        return _Global(name)
    raise NeedsCodeError(name)


def _call(function: object, arguments: tuple) -> object:
    if not isinstance(function, _Global) or not isinstance(arguments, tuple):
        raise WeightsError("its pickle calls what is no function; the file is damaged")
    return CALLS[function.name](*arguments) if function.name in CALLS else OTHER


def _storage(identity: object) -> Storage:
    kind, of, key, _, count, *view = identity
    known = kind == "storage" and isinstance(key, str) and type(count) is int and 0 <= count < BIG
    if not known or view not in ([], [None]):
        raise WeightsError("its pickle names a storage as no PyTorch since 0.4 does")
    return Storage(key, STORAGES[of.name], count)


def _tensor(storage: Storage, offset, shape, strides, *rest, dtype: str | None = None) -> View:
    if not isinstance(storage, Storage) or type(offset) is not int or len(shape) != len(strides):
        raise WeightsError("its pickle puts a tensor together from what is none; the file is damaged")
    if any(type(step) is not int for step in strides):
        raise WeightsError("a tensor has strides that are no whole numbers; the file is damaged")
    dtype = dtype or storage.dtype
    if dtype is None:
        raise WeightsError("holds a tensor of a type that is not known")
    return View(storage, offset, tuple(shape), tuple(strides), dtype)


def _typed_tensor(storage: Storage, offset, shape, strides, grad, hooks, dtype, *rest) -> View:
    return _tensor(storage, offset, shape, strides, dtype=NAMED[dtype.name])  # its storage is one of bytes


def _subclass(function, kind, arguments, *state) -> object:
    return _call(function, arguments)


def _ordered(pairs=()) -> dict:
    return _dict([tuple(pair) for pair in pairs])


def _first(value, *rest) -> object:
    return value


CALLS: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch.nn.parameter.Parameter": _first,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "torch.Size": tuple,
}


def _dict(pairs) -> dict:
    made: dict = {}
    _update(made, pairs)
    return made


def _update(target: object, pairs) -> None:
    if target is OTHER:
        return
    if not isinstance(target, dict):
        raise WeightsError("its pickle puts keys into what is no dictionary; the file is damaged")
    for key, value in pairs:
        if not isinstance(key, str) and (type(key) is not int or abs(key) > BIG):
            raise WeightsError("has a dictionary whose keys are neither names nor numbers")
        target[key] = value


def _extend(target: object, items: list) -> None:
    if target is OTHER:
        return
    if not isinstance(target, list):
        raise WeightsError("its pickle puts items into what is no list; the file is damaged")
    target += items
