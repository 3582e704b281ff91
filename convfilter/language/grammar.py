"""Turn a pipeline's text into calls that remember their columns; no layer is known here."""

import math
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from convfilter.errors import PipelineError, shorten

LONGEST = 999_999  # characters of one text; 10,000 printed layers take a third of it
DEEPEST = 40  # brackets in brackets
MOST_REPEATED = 10_000  # layers that one line of a printed model stands for
EXACT = 19  # characters: a whole number as long may be past 64 bits, and PyTorch takes it only as a float

_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_TOKEN = re.compile(
    rf"""(?: (?:\A|\n)[ \t]*(?:>>>|\.\.\.)(?=\s)  # the prompts of Python's documentation
      | \s | \#[^\n]* )*+
      (?: (?P<mark>[()\[\],=|:])
      | (?P<number>[+-]?(?:{_NUMBER}|inf\b)(?:\s*/\s*{_NUMBER})?)
      | (?P<keyword>[^\W\d]\w*(?:\.[^\W\d]\w*)*)\s*=
      | (?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
      | (?P<string>'[^'\n]*'|"[^"\n]*")
      | (?P<file>@(?:"[^"\n]*"|'[^'\n]*'|[^\s|,()\[\]]*))
      | (?P<end>\Z)
      | (?P<wrong>.) )""",
    re.VERBOSE | re.DOTALL,
)
_LABEL = re.compile(r"\([\w.-]+\):")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".webp", ".pgm", ".ppm", ".pnm")
_QUOTES, _DASHES, _BARS = "“”„‟‘’‚‛«»‹›´′″＇＂", "‐‑‒–—―−－", "¦│┃∣❘｜ǀ"  # which programs put for ' " - |
_CONSTANTS = {"True": True, "False": False, "None": None}
_CLOSING = {"(": ")", "[": "]"}
_IN_ORDER = ("Sequential", "AlexNet", "VGG")  # printed modules whose parts are known to run one after the other


class Constant(NamedTuple):
    """A number, string, ``True``, ``False`` or ``None``."""

    value: object
    start: int
    end: int


class Items(NamedTuple):
    """A tuple or a list of values."""

    items: tuple
    start: int
    end: int


class File(NamedTuple):
    """``@path``: the text stands in a file."""

    path: str
    start: int
    end: int


class Argument(NamedTuple):
    """One argument of a call; ``name`` is None for a positional one."""

    name: str | None
    value: object
    start: int
    end: int


class Call(NamedTuple):
    """A name, with its arguments where ``called`` says there were parentheses.

    ``path`` is its name inside a model, as PyTorch's ``named_modules`` gives it, such as ``features.0``; None outside.
    ``printed`` says that the model is written as PyTorch prints it, which leaves some arguments out.
    """

    name: str
    arguments: tuple[Argument, ...]
    called: bool
    start: int
    end: int
    name_end: int
    path: str | None = None
    printed: bool = False


class Printed(NamedTuple):
    """A module as PyTorch prints it: its parts in order, each with its label."""

    name: str
    parts: tuple[tuple[str, "Call | Printed"], ...]
    start: int
    end: int
    name_end: int


def read(text: str, *, file: str | None = None) -> Iterator[Call | File]:
    """Yield the calls (and files) that the text joins by ``|``, each with where it starts and ends in the text.

    A model as PyTorch prints it, ``Sequential((0): Conv2d(...) (1): ReLU())``, gives its layers in order; so do
    ``Sequential(Conv2d(...), ReLU())`` and ``Sequential(OrderedDict([("conv1", Conv2d(...)), ...]))``; an empty one is
    ``Identity()``. Other printed modules are refused: their ``forward()`` may do more than run their parts. ``nn.``
    before a name, and ``>>> m =`` before a line, are passed over.

    Raises:
        PipelineError: the text is no pipeline; says what was expected, and where.

    >>> [(call.name, call.start, call.end) for call in read("edge | MaxPool2d(2)")]
    [('edge', 0, 4), ('MaxPool2d', 7, 19)]
    >>> [(call.path, call.name) for call in read("Sequential((conv): Conv2d(1, 2, 3) (1-2): 2 x ReLU())")]
    [('conv', 'Conv2d'), ('1', 'ReLU'), ('2', 'ReLU')]
    """
    return _Reader(text, file).pipeline()


def read_value(text: str) -> Constant | Items | Call | File:
    """Return the one value that the text writes, such as ``gaussian(5)`` or ``[[1, 2]]``.

    >>> read_value("1/4").value
    0.25
    """
    reader = _Reader(text, None)
    value = reader.value("a value")
    if reader.kind != "end":
        raise reader.error(f"expected nothing more after the value, not {reader.shown()}")
    return value


class _Reader:
    """A recursive descent over the tokens.

    ``word``, ``start`` and ``end`` are the token it stands at, and ``kind`` is a mark such as ``(`` itself, else
    number, keyword (a name and its ``=``), name, string, file or end. ``after`` is where the token before ended: how
    far a call's text reaches.
    """

    def __init__(self, text: str, file: str | None) -> None:
        self.text, self.file, self.depth, self.end = text, file, 0, 0
        if len(text) > LONGEST:
            raise self.error(f"the pipeline is longer than {LONGEST:,} characters; split it", 0, 1)
        self.tokens = _TOKEN.finditer(text)
        self.advance()

    def error(self, reason: str, start: int | None = None, end: int | None = None) -> PipelineError:
        start = self.start if start is None else start
        return PipelineError(reason, self.text, start, self.end if end is None else end, file=self.file)

    def advance(self) -> None:
        self.after = self.end
        token = next(self.tokens)
        kind = token.lastgroup
        self.word = word = token[kind]
        self.start, self.end = token.span(kind)
        self.kind = word if kind == "mark" else kind
        if kind == "wrong":
            self.reject()

    def reject(self) -> None:
        if self.word in "'\"":
            raise self.error(f"this string is not closed; expected another {self.word}", end=len(self.text))
        raise self.error(f"{shorten(repr(self.word))} has no place in a pipeline; {self.advise()}")

    def advise(self) -> str:
        """What to do about a character that has no place here."""
        word, before, after = self.word, self.text[: self.start], self.text[self.end :]
        if word == "`":
            return "write ' or \" instead"
        if word in _QUOTES:
            return "it is a typographic quote; write ' or \" instead"
        if word in _BARS:
            return "it only looks like the | that joins layers"
        if word in _DASHES:
            return "it is a typographic dash; write - instead"
        plain = unicodedata.normalize("NFKC", word)
        if plain != word and plain.isascii() and plain.isprintable():
            return f"it is a full-width character; write {plain} instead"
        if not word.isprintable():
            return "it cannot be seen; delete it"
        if word in "xX×" and before[-1:].isdigit():
            return "write a pair, such as (3, 3)"
        if word == "-" and re.match(r"-[a-z]", after):
            return "arguments stand in parentheses, such as blur(sigma=2)"
        if word == "-" and before[-1:].isalnum() and (following := re.match(r"\w+", after)):
            [name] = re.findall(r"\w+\Z", before)
            return f"in names write _, as in {shorten(f'{name}_{following[0]}')}"
        if word in "~/." and not before.strip():
            return "a pipeline in a file is written @FILE, such as @blocks.txt"
        if word == "{":
            return "arguments stand in parentheses ( )"
        if word in "+*/%^" or (word == "-" and self.depth):
            return "nothing is computed here but fractions such as 1/9"
        return "arguments are separated by commas" if self.depth else "layers are joined by '|'"

    def shown(self) -> str:
        return "the end" if self.kind == "end" else repr(shorten(self.word, 30))

    def skip(self, mark: str) -> bool:
        if self.kind == mark:
            self.advance()
            return True
        return False

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error(f"brackets are nested more than {DEEPEST} deep")

    def pipeline(self) -> Iterator[Call | File]:
        if self.kind == "end":
            raise self.error("the pipeline is empty; write layers joined by '|', such as edge | ReLU")
        expected = "a layer, such as ReLU"
        while True:
            stages = self.stage(expected)
            if self.kind not in ("|", "end"):
                raise self.error(f"expected '|' or the end, not {self.shown()} ({self.hint()})")
            yield from stages
            if not self.skip("|"):
                return
            expected = "a layer after '|'"
            if self.kind == "end":
                raise self.error(f"expected {expected}, not the end (leave the last '|' off)")

    def hint(self) -> str:
        if self.kind in ("number", "string", ":", "["):
            return "a layer's arguments stand in parentheses"
        if self.kind in (")", "]"):
            return "nothing has been opened that it closes"
        if self.kind == "(":
            return "leave it out: the picture is passed on by itself"
        if self.kind == "name" and self.word.lower().endswith(PICTURES):
            return "the picture stands after the pipeline, as a word of its own"
        return "layers are joined by '|'"

    def stage(self, expected: str) -> list[Call | File]:
        if self.kind == "file":
            return [self.file_name()]
        if self.kind == "keyword":  # m = nn.Conv2d(...), as the documentation writes it
            self.advance()
            expected = "a layer after '='"
        return list(self.flatten(self.call(expected)))

    def flatten(self, node: "Call | Printed", path: str | None = None, printed: bool = False) -> Iterator[Call]:
        """The layers of a container, in order, with their names in it; any other call is a layer."""
        parts = _parts(node)
        if not parts:
            node = node if parts is None else node._replace(name="Identity", arguments=())
            yield node._replace(path=path, printed=printed)
            return
        if node.name not in _IN_ORDER:
            raise self.error(
                f"{shorten(node.name)}: a printed module shows its parts, and not what its forward() does with them (a "
                f"skip connection, say); if they run one after the other, write Sequential in place of its name",
                node.start,
                node.name_end,
            )
        for label, part in parts:
            yield from self.flatten(part, label if path is None else f"{path}.{label}", isinstance(node, Printed))

    def call(self, expected: str) -> "Call | Printed":
        if self.kind != "name":
            hint = " (leave off the quotes around it)" if self.kind == "string" else ""
            hint = " (write layers joined by '|', without brackets around them)" if self.kind == "[" else hint
            raise self.error(f"expected {expected}, not {self.shown()}{hint}")
        name, start, name_end = self.word.removeprefix("torch.").removeprefix("nn."), self.start, self.end
        self.advance()
        if self.kind != "(":
            return Call(name, (), False, start, name_end, name_end)
        opened = self.start
        self.deeper()
        self.advance()
        if self.label():
            parts = tuple(self.printed())
            self.close(opened)
            return Printed(name, parts, start, self.after, name_end)
        arguments = tuple(self.arguments())
        self.close(opened)
        return Call(name, arguments, True, start, self.after, name_end)

    def label(self) -> re.Match | None:
        return _LABEL.match(self.text, self.start) if self.kind == "(" else None

    def printed(self) -> Iterator[tuple[str, "Call | Printed"]]:
        """The inside of a printed model: ``(0): Conv2d(...)``, ``(pool): MaxPool2d(...)``, ``(1-3): 3 x ReLU()``."""
        while label := self.label():
            start, name = self.start, label[0][1:-2]
            self.tokens = _TOKEN.finditer(self.text, label.end())
            self.advance()
            labels = [name]
            if self.kind == "number":
                labels = self.repeated(name, start)
            part = self.call("a layer after ':'")
            for each in labels:
                yield each, part

    def repeated(self, label: str, start: int) -> list[str]:
        """The labels that ``(1-3): 3 x`` stands for."""
        first, _, last = label.partition("-")
        count = int(self.word) if self.word.isdigit() and len(self.word) < EXACT else 0
        self.advance()
        if self.kind != "name" or self.word != "x":
            raise self.error(f"expected a layer after ':', as PyTorch prints it, not {self.shown()}")
        if not (first.isdigit() and last.isdigit() and len(last) < EXACT and int(last) - int(first) + 1 == count):
            raise self.error(f"({shorten(label)}): {count} x: the labels are not those of {count} layers", start)
        if count > MOST_REPEATED:
            raise self.error(f"at most {MOST_REPEATED:,} layers can be repeated, not {count:,}", start)
        self.advance()
        return [str(number) for number in range(int(first), int(last) + 1)]

    def arguments(self):
        while self.kind != ")":
            start, name, expected = self.start, None, "an argument or ')'"
            if self.kind == "keyword":
                name, expected = self.word, "a value after '='"
                self.advance()
            yield Argument(name, self.value(expected), start, self.after)
            if self.kind != ",":
                break
            self.advance()
            if self.kind == ",":
                raise self.error("expected an argument between the two commas")

    def close(self, opened: int) -> None:
        mark = _CLOSING[self.text[opened]]
        if self.kind == "end":
            raise self.error(f"this '{self.text[opened]}' is not closed; expected '{mark}'", opened, opened + 1)
        if self.kind != mark:
            hint = " (an argument's name and value are joined by =)" if self.kind == ":" else ""
            if self.kind == "name" and re.fullmatch(r"[xX]\d+", self.word):
                hint = " (a pair is written in parentheses, such as (3, 3))"
            raise self.error(f"expected ',' or '{mark}', not {self.shown()}{hint}")
        self.depth -= 1
        self.advance()

    def value(self, expected: str):
        kind, word, start, end = self.kind, self.word, self.start, self.end
        if kind == "number":
            value = int(word) if word.isdigit() and len(word) < EXACT else self.number()
        elif kind == "string":
            value = word[1:-1]
        elif kind == "name":
            if word not in _CONSTANTS:
                return self.call(expected)
            value = _CONSTANTS[word]
        elif kind == "(" or kind == "[":
            return self.items()
        elif kind == "file":
            return self.file_name()
        else:
            raise self.error(f"expected {expected}, not {self.shown()}")
        self.advance()
        return Constant(value, start, end)

    def items(self):
        opened, mark = self.start, _CLOSING[self.word]
        self.deeper()
        self.advance()
        items, comma = [], False
        while self.kind != mark:
            items.append(self.value(f"a value or '{mark}'"))
            comma = self.skip(",")
            if not comma:
                break
            if self.kind == ",":
                raise self.error("expected a value between the two commas")
        self.close(opened)
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
        if bottom and _number(bottom) == 0:
            raise self.error("this fraction divides by zero")
        value = _number(top) / _number(bottom) if bottom else _number(top)
        if abs(value) == math.inf and "inf" not in self.word:
            raise self.error("this number is too large")
        return value


def _number(word: str) -> int | float:
    return float(word) if len(word) >= EXACT or set(word) & set(".eEif") else int(word)


def _parts(node: Call | Printed) -> list[tuple[str, Call | Printed]] | None:
    """The labelled parts of a module that holds others; None where it is a layer."""
    if isinstance(node, Printed):
        return list(node.parts)
    values = [argument.value for argument in node.arguments]
    if node.name != "Sequential" or any(argument.name is not None for argument in node.arguments):
        return None
    if len(values) == 1 and isinstance(values[0], Call) and values[0].name.split(".")[-1] == "OrderedDict":
        return _named_parts(values[0])
    if all(isinstance(value, Call | Printed) for value in values):
        return [(str(number), value) for number, value in enumerate(values)]
    return None


def _named_parts(call: Call) -> list[tuple[str, Call | Printed]] | None:
    """The parts of ``OrderedDict([("conv1", Conv2d(...)), ...])``; None where it is something else."""
    if len(call.arguments) != 1 or not isinstance(call.arguments[0].value, Items):
        return None
    parts = []
    for pair in call.arguments[0].value.items:
        if not (
            isinstance(pair, Items)
            and len(pair.items) == 2
            and isinstance(pair.items[0], Constant)
            and isinstance(pair.items[0].value, str)
            and isinstance(pair.items[1], Call | Printed)
        ):
            return None
        parts.append((pair.items[0].value, pair.items[1]))
    return parts
