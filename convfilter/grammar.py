"""Turn a pipeline's text into calls that remember their columns; no layer is known here."""

import re
from dataclasses import dataclass

from convfilter.errors import PipelineError, shorten

LONGEST = 999_999  # characters of one text; 10,000 printed layers take a third of it
DEEPEST = 40  # brackets in brackets

_TOKEN = re.compile(
    r"""(?:\s|\#[^\n]*)*+
      (?:(?P<number>[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf\b)(?:/(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)?)
      | (?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
      | (?P<string>'[^'\n]*'|"[^"\n]*")
      | (?P<file>@(?:"[^"\n]*"|'[^'\n]*'|[^\s|,()\[\]]*))
      | (?P<mark>>>>|\.\.\.|[()\[\],=|:])
      | (?P<end>\Z)
      | (?P<wrong>.))""",
    re.VERBOSE | re.DOTALL,
)
_CONSTANTS = {"True": True, "False": False, "None": None}


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, string, ``True``, ``False`` or ``None``."""

    value: object
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Items:
    """A tuple or a list of values."""

    items: tuple
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class File:
    """``@path``: the text stands in a file."""

    path: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call; ``name`` is None for a positional one."""

    name: str | None
    value: object
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Call:
    """A name, with its arguments where ``called`` says there were parentheses."""

    name: str
    arguments: tuple[Argument, ...]
    called: bool
    start: int
    end: int
    name_end: int


def read(text: str, *, file: str | None = None) -> list[Call | File]:
    """Return the calls (and files) that the text joins by ``|``, each with where it starts and ends in the text.

    A model as PyTorch prints it, ``Sequential((0): Conv2d(...) (1): ReLU())``, gives its layers in order; so does
    ``Sequential(Conv2d(...), ReLU())``. ``nn.`` before a name, and ``>>> m =`` before a line, are passed over.

    Raises:
        PipelineError: the text is no pipeline; says what was expected, and where.

    >>> [(call.name, call.start, call.end) for call in read("edge | MaxPool2d(2)")]
    [('edge', 0, 4), ('MaxPool2d', 7, 19)]
    """
    return _Reader(text, file).pipeline()


def read_value(text: str) -> Constant | Items | Call | File:
    """Return the one value that the text writes, such as ``gaussian(5)`` or ``[[1, 2]]``.

    >>> read_value("1/4").value
    0.25
    """
    reader = _Reader(text, None)
    value = reader.value()
    if reader.kind != "end":
        raise reader.error(f"expected nothing more after the value, not {reader.shown()}")
    return value


class _Reader:
    """A recursive descent over the tokens; ``kind``, ``word``, ``start`` and ``end`` are the token it stands at."""

    def __init__(self, text: str, file: str | None) -> None:
        self.text, self.file, self.depth, self.after = text, file, 0, 0
        if len(text) > LONGEST:
            raise self.error(f"the pipeline is longer than {LONGEST:,} characters; split it", 0, 1)
        self.tokens = _TOKEN.finditer(text)
        self.start = self.end = 0
        self.advance()

    def error(self, reason: str, start: int | None = None, end: int | None = None) -> PipelineError:
        start = self.start if start is None else start
        return PipelineError(reason, self.text, start, self.end if end is None else end, file=self.file)

    def advance(self) -> None:
        self.after = self.end  # where the last token ended: what a call's text reaches to
        token = next(self.tokens)
        self.kind = kind = token.lastgroup
        self.word = token[kind]
        self.start, self.end = token.span(kind)
        if kind == "wrong":
            self.reject()

    def reject(self) -> None:
        if self.word in "'\"":
            line_end = self.text.find("\n", self.start)
            end = len(self.text) if line_end < 0 else line_end
            raise self.error(f"this string is not closed; expected another {self.word}", self.start, end)
        raise self.error(f"{shorten(repr(self.word))} has no place in a pipeline")

    def shown(self) -> str:
        return "the end" if self.kind == "end" else repr(shorten(self.word, 30))

    def skip(self, mark: str) -> bool:
        found = self.kind == "mark" and self.word == mark
        if found:
            self.advance()
        return found

    def at(self, mark: str) -> bool:
        return self.kind == "mark" and self.word == mark

    def deeper(self, step: int) -> None:
        self.depth += step
        if self.depth > DEEPEST:
            raise self.error(f"brackets are nested more than {DEEPEST} deep")

    def pipeline(self) -> list[Call | File]:
        stages = self.stage("a layer")
        while self.skip("|"):
            stages += self.stage("a layer after '|'")
        if self.kind != "end":
            hint = " (layers are joined by '|')" if self.kind in ("name", "file") or self.at("(") else ""
            raise self.error(f"expected '|' or the end, not {self.shown()}{hint}")
        return stages

    def stage(self, expected: str) -> list[Call | File]:
        self.skip(">>>")
        if self.kind == "file":
            return [self.file_name()]
        if self.kind != "name":
            raise self.error(f"expected {expected}, not {self.shown()}")
        call = self.call()
        if not call.called and self.at("="):  # m = nn.Conv2d(...), as the documentation writes it
            self.advance()
            return self.stage("a layer after '='")
        return _flatten(call) if isinstance(call, Call) else call

    def call(self):
        name, start = self.word.removeprefix("torch.").removeprefix("nn."), self.start
        name_end = self.end
        self.advance()
        if not self.at("("):
            return Call(name, (), False, start, name_end, name_end)
        self.deeper(1)
        opened = self.start
        self.advance()
        if self.at("(") and self.is_label():
            name, arguments = "Sequential", tuple(self.printed())  # any module that prints its parts in order
        else:
            arguments = tuple(self.arguments())
        self.close(")", opened)
        self.deeper(-1)
        return Call(name, arguments, True, start, self.after, name_end)

    def is_label(self) -> bool:
        return re.compile(r"\(\s*[\w.-]+\s*\)\s*:").match(self.text, self.start) is not None

    def printed(self):
        """The inside of a printed model: ``(0): Conv2d(...)`` or ``(pool): MaxPool2d(...)``, one after the other."""
        while self.at("("):
            start = self.start
            while not self.skip(":"):
                self.advance()
            if self.kind != "name":
                raise self.error(f"expected a layer after ':', not {self.shown()}")
            yield Argument(None, self.call(), start, self.after)

    def arguments(self):
        while not self.at(")"):
            start, name = self.start, None
            value = self.value("an argument or ')'")
            if isinstance(value, Call) and not value.called and self.skip("="):
                name, value = value.name, self.value("a value after '='")
            yield Argument(name, value, start, self.after)
            if not self.skip(","):
                break
            if self.at(","):
                raise self.error("expected an argument between the two commas")

    def close(self, mark: str, opened: int) -> None:
        if self.kind == "end":
            raise self.error(f"this '{self.text[opened]}' is not closed; expected '{mark}'", opened, opened + 1)
        if not self.skip(mark):
            raise self.error(f"expected ',' or '{mark}', not {self.shown()}")

    def value(self, expected: str = "a value"):
        word, start, end = self.word, self.start, self.end
        if self.kind == "number":
            value = self.number()
            self.advance()
            return Constant(value, start, end)
        if self.kind == "string":
            self.advance()
            return Constant(word[1:-1], start, end)
        if self.kind == "file":
            return self.file_name()
        if self.kind == "name":
            if word in _CONSTANTS:
                self.advance()
                return Constant(_CONSTANTS[word], start, end)
            return self.call()
        if self.at("(") or self.at("["):
            return self.items()
        raise self.error(f"expected {expected}, not {self.shown()}")

    def items(self) -> Items:
        opened, mark = self.start, {"(": ")", "[": "]"}[self.word]
        self.deeper(1)
        self.advance()
        items, comma = [], False
        while not self.at(mark):
            items.append(self.value(f"a value or '{mark}'"))
            comma = self.skip(",")
            if not comma:
                break
            if self.at(","):
                raise self.error("expected a value between the two commas")
        self.close(mark, opened)
        self.deeper(-1)
        if mark == ")" and len(items) == 1 and not comma:
            return items[0]  # (2) is 2, as in Python
        return Items(tuple(items), opened, self.after)

    def file_name(self) -> File:
        path = self.word[1:]
        if path[:1] in ("'", '"'):
            path = path[1:-1]
        if not path or "\0" in path:
            raise self.error("expected a file's name after '@'")
        file = File(path, self.start, self.end)
        self.advance()
        return file

    def number(self) -> int | float:
        if len(self.word) > 100:
            raise self.error("this number has more than 100 characters")
        top, _, bottom = self.word.partition("/")
        value = _number(top)
        if bottom:
            if _number(bottom) == 0:
                raise self.error("this fraction divides by zero")
            value = value / _number(bottom)
        if abs(value) == float("inf") and "inf" not in self.word:
            raise self.error("this number is too large")
        return value


def _number(word: str) -> int | float:
    return float(word) if set(word) & set(".eEif") else int(word)


def _flatten(call: Call) -> list[Call | File]:
    """The layers of a container, in order; any other call is a layer."""
    if call.name != "Sequential" or not all(a.name is None and isinstance(a.value, Call) for a in call.arguments):
        return [call]
    return [layer for argument in call.arguments for layer in _flatten(argument.value)]
