"""The names of tensors: wrappers opened, what training puts before a name taken off, and the names near to one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from convfilter.weights.pickles import View
from convfilter.weights.tensors import Tensor, WeightsError

Keys = tuple[str | int, ...]

WRAPPERS = ("state_dict", "model", "state_dict_ema", "model_ema")  # what training programs save a network under
COMPILED, PARALLEL = "_orig_mod.", "module."  # what torch.compile and DataParallel put before the names
MOST = 100_000  # tensors of a file
DEEPEST = 20  # dictionaries inside each other, whose names are joined by dots
LONGEST = 1_000  # characters of a name
NEAR = 3  # names that are listed for a wrong one
COMPARED = 2_000  # names that one is compared with: more would take seconds


@dataclass(frozen=True)
class Found:
    """Tensors with the keys that lead to them in a wrapper, which was ``opened``, and what was ``left_out`` of it.

    A tensor's name is its keys, joined by dots.
    """

    tensors: tuple[tuple[Keys, View | Tensor], ...]
    opened: Keys = ()
    left_out: tuple[str, ...] = ()


def open_wrappers(content: object) -> Found:
    """Return the tensors of a pickle's content, named as a state dict names them.

    Of several wrappers the first of WRAPPERS is opened. A dictionary in a dictionary gives names joined by dots.

    Raises:
        WeightsError: there is no tensor, or there are too many, or too long names.
    """
    opened, left_out = [], []
    while isinstance(content, dict) and len(opened) < DEEPEST:
        wrapper = next((key for key in WRAPPERS if isinstance(content.get(key), dict) and _holds(content[key])), None)
        if wrapper is None:
            break
        left_out += [str(key) for key in content if key != wrapper]
        opened.append(wrapper)
        content = content[wrapper]
    tensors = tuple(_walk(content))
    if not tensors:
        raise WeightsError("holds no tensor")
    return Found(tensors, tuple(opened), tuple(left_out))


def _holds(content: dict) -> bool:
    return next(_walk(content), None) is not None


def _walk(content: object) -> Iterator[tuple[Keys, View]]:
    """Each tensor with its keys; each container is gone through once, or a file could make it go on for ever."""
    seen, count = set(), 0
    waiting: list[tuple[Keys, object]] = [((), content)]
    while waiting:
        keys, value = waiting.pop()
        if isinstance(value, View):
            count += 1
            if count > MOST or sum(len(str(key)) + 1 for key in keys) > LONGEST:
                raise WeightsError(f"holds more than {MOST:,} tensors, or names of more than {LONGEST:,} characters")
            yield keys, value
        elif isinstance(value, dict | list | tuple) and id(value) not in seen and len(keys) < DEEPEST:
            seen.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += reversed([((*keys, key), item) for key, item in items])


def shorten_names(names: Iterable[str]) -> dict[str, str]:
    """Return each name as the network itself has it, without what torch.compile and DataParallel have put before it.

    Raises:
        WeightsError: two would get one name.

    >>> shorten_names(["module._orig_mod.0.weight", "module._orig_mod.0.bias"])
    {'module._orig_mod.0.weight': '0.weight', 'module._orig_mod.0.bias': '0.bias'}
    """
    short = {name: name.replace(COMPILED, "") for name in names}
    while short and all(name.startswith(PARALLEL) for name in short.values()):
        short = {name: shown.removeprefix(PARALLEL) for name, shown in short.items()}
    if len(set(short.values())) < len(short):
        raise WeightsError(f"holds two tensors of one name, once {COMPILED} and {PARALLEL} are left off")
    return short


def near(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names nearest to one, at most three: those with the same last part come first.

    >>> near("conv1.weigth", ["bn1.weight", "conv1.bias", "conv1.weight"])
    ['conv1.weight', 'bn1.weight', 'conv1.bias']
    """
    known = list(known)
    last = name.rpartition(".")[2]
    alike = [key for key in known if key.rpartition(".")[2] == last][:COMPARED]
    found = get_close_matches(name[:200], alike, n=NEAR, cutoff=0.3)
    found += [key for key in get_close_matches(name[:200], known[:COMPARED], n=NEAR, cutoff=0.5) if key not in found]
    return (found or known)[:NEAR]
