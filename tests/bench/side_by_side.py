"""Times contenders in turn, round by round, so that what else the machine does falls on all of them alike."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TURN = 0.02  # seconds of a turn at least: below a millisecond a single call times what the one before left behind
PACKAGES = "convfilter", "torch", "numpy", "pillow", "opencv-python-headless", "scipy", "zlib-ng"


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of each contender by round; ``ratio`` is the first one's median over the best peer's."""

    work: str
    seconds: Mapping[str, Sequence[float]]
    against: str
    most: float | None

    @property
    def ratio(self) -> float:
        medians = {name: statistics.median(times) for name, times in self.seconds.items()}
        ours, *_ = medians
        return medians[ours] / min(medians[name] for name in medians if name.startswith(self.against))

    def __str__(self) -> str:
        verdict = (
            "" if self.most is None else f"  at most {self.most:g}: {'met' if self.ratio <= self.most else 'MISSED'}"
        )
        lines = [f"{self.work}: {self.ratio:.2f} of {self.against}{verdict}"]
        for name, times in self.seconds.items():
            low, *_, high = statistics.quantiles(times, n=10) if len(times) > 1 else (times[0], times[0])
            lines.append(
                f"    {name:28}{1e3 * statistics.median(times):10.2f} ms   ({1e3 * low:.2f} to {1e3 * high:.2f})"
            )
        return "\n".join(lines)


def take_turns(
    contenders: Mapping[str, Callable[[], object]], rounds: int, turn: float = TURN
) -> dict[str, list[float]]:
    """Return each contender's seconds a call, a round of all of them at a time, after one round that does not count.

    A turn is as many calls as fill its seconds, as ``timeit`` does it: most often one.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            calls, start = 0, time.perf_counter()
            while not calls or time.perf_counter() - start < turn:
                run()
                calls += 1
            if number:
                seconds[name].append((time.perf_counter() - start) / calls)
    return seconds


def machine() -> dict:
    """Return what the figures depend on: processor, cores, load and versions."""
    try:
        model = next(
            line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
        )
    except (OSError, StopIteration):
        model = platform.processor()
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"processor": model, "cores": os.cpu_count(), "load": load, "python": platform.python_version(), **found}


def report(rows: Sequence[Row], path: str | None) -> None:
    """Print the machine and how many targets were met; write everything as JSON where a path is given."""
    about = machine()
    print("; ".join(f"{name} {value}" for name, value in about.items()))
    targets = [row for row in rows if row.most is not None]
    print(f"{sum(row.ratio <= row.most for row in targets)} of {len(targets)} targets met")
    if path:
        Path(path).write_text(
            json.dumps({"machine": about, "rows": [asdict(r) | {"ratio": r.ratio} for r in rows]}, indent=1)
        )


def arguments(description: str, rounds: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--only", default="", help="run only works whose name holds this")
    return parser
