"""The page's scripts as texts, with the curves of the elementwise layers, which stand with these."""

from importlib.resources import files

from convfilter.language.arguments import signature
from convfilter.layers.catalogue import LAYERS


def read_script(name: str) -> str:
    """Return one of this package's scripts; curves.js with CURVES, JavaScript functions by the layers' names.

    Each takes a value, the layer's arguments (and ``weight``, the module's weights, if it has some) and the channel.

    >>> "  LeakyReLU: (x, { weight, negative_slope, inplace }, c) => (x > 0 ? x : negative_slope * x)," in (
    ...     read_script("curves.js").splitlines()
    ... )
    True
    """
    text = files("convfilter.report").joinpath(name).read_text(encoding="utf-8")
    return f"{text}\n{_write_curves()}\n" if name == "curves.js" else text


def _write_curves() -> str:
    lines = []
    for name, entry in LAYERS.items():
        if entry.formula is not None:
            names = ", ".join(dict.fromkeys(["weight", *signature(entry.function).defaults]))
            lines.append(f"  {name}: (x, {{ {names} }}, c) => ({entry.formula}),")
    return "\n".join(["const CURVES = {", *lines, "};"])
