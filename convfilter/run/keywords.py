"""The keywords of run_files with their types, for type checkers and editors; written from Options.

``pytest tests/run/test_options.py --rewrite`` writes it anew; change ``Options`` instead.
"""

from collections.abc import Iterable
from os import PathLike
from typing import Literal, TypedDict


class Keywords(TypedDict, total=False):
    """What run_files takes: the fields of ``Options``, each as a caller may give it."""

    recursive: bool
    include: str | Iterable[str]
    exclude: str | Iterable[str]
    frames: Literal["first", "all"] | int
    white: float
    background: str
    mode: Literal["L", "RGB"]
    mean: float | str | Iterable[float] | None
    std: float | str | Iterable[float] | None
    normalize: Literal["imagenet"] | None
    max_memory: int | str | None
    max_pixels: int
    gray_weights: bool
    seed: int
    weights: str | PathLike[str] | None
    prefix: str | None
    until: int | str | None
    exact: bool
    output: str | PathLike[str] | None
    name: str | None
    norm: Literal["minmax", "clip", "abs", "symmetric"] | None
    vmin: float | None
    vmax: float | None
    scale: Literal["channel", "layer", "run"] | None
    bits: Literal[8, 16]
    format: Literal["png", "svg", "npy"] | None
    channels: str | int | Iterable[int] | None
    recombine: bool
    grid: bool
    keep: bool
    steps: bool
    columns: int | None
    zoom: bool
    theme: Literal["light", "dark"]
    compress: int | None
    metadata: bool
    skip_existing: bool
    no_clobber: bool
    force: bool
    jobs: int | None
    device: str
    shard: str | None
    cluster: str | None
    unordered: bool
    dry_run: bool
    fail_fast: bool
