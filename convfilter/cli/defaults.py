"""Defaults of options: CONVFILTER_JOBS=4 in the environment, and below it the file of presets, in its table `defaults`.

What the command line says goes before both. A value is read by what reads it on the command line.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from convfilter.errors import ConvfilterError, UsageError, did_you_mean, escape, shorten
from convfilter.run.option_values import one_of, text, whole

PREFIX = "CONVFILTER_"
ON, OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def name_of(option: click.Option) -> str:
    """Return an option's name in the file: that of the command line, such as max-memory."""
    return max(option.opts, key=len).lstrip("-")


def variable_of(option: click.Option) -> str:
    """Return the name of the environment variable that holds an option's default, such as CONVFILTER_MAX_MEMORY."""
    return PREFIX + name_of(option).replace("-", "_").upper()


def find_in_environment(option: click.Option, environ: Mapping[str, str]) -> tuple[Any] | None:
    """Return an option's default in the environment, or None; of several patterns each has a line.

    Raises:
        UsageError: it is no value of this option; names the variable.
    """
    variable = variable_of(option)
    given = environ.get(variable, "")
    return (_read(option, given.splitlines() if option.multiple else given, variable),) if given else None


def read_table(options: Iterable[click.Option], table: Mapping[str, Any], shown: str) -> dict[str, Any]:
    """Return the defaults that a table holds, by the options' names; ``shown`` is the file as errors name it.

    Raises:
        UsageError: there is no such option, or it has no such value; names the file and the option.
    """
    known = {name_of(option): option for option in options}
    found = {}
    for key, value in table.items():
        name = key.replace("_", "-")
        if name not in known:
            hint = did_you_mean(name, known) or "; 'convfilter run --help' shows all"
            raise UsageError(f"{shown}: defaults: there is no option {shorten(key)!r} for it{hint}")
        found[name] = _read(known[name], value, f"{shown}: defaults: {name}")
    return found


def _read(option: click.Option, value: Any, place: str) -> Any:
    """Return a value as click may get it from the command line; UsageError names the place."""
    try:
        if option.is_flag:
            word = str(value).lower()
            if word not in (*ON, *OFF):
                raise ValueError(f"{str(value)!r} is not 1 or 0, true or false")
            return (word in ON) is not (option.flag_value is False)  # that of --no-metadata
        if option.multiple:
            given = value if isinstance(value, list) else [value]
            return tuple(option.type.read(item) for item in given)
        if option.count:
            return whole(0, 9)(value)
        if isinstance(option.type, click.Choice):
            return one_of(option.type.choices)(value)
        (getattr(option.type, "read", None) or text)(value)
        return value
    except (ValueError, TypeError, ConvfilterError) as error:
        raise UsageError(f"{escape(place)}: {error}") from None
