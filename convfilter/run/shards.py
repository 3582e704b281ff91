"""One of several processes' share of the sources, chosen by a hash that all of them compute alike."""

import os
import re
from collections.abc import Mapping
from hashlib import blake2b

from convfilter.errors import UsageError, shorten


def parse_shard(text: str, environ: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return (index, count) of "I/N", or of "auto" from what torchrun or Slurm set; index is from 0 to count-1.

    I counts from 0 or from 1, as you like: N of N is 0 of N. UsageError where the text makes no sense.

    >>> parse_shard("2/4"), parse_shard("4/4"), parse_shard("auto", {"RANK": "1", "WORLD_SIZE": "2"})
    ((2, 4), (0, 4), (1, 2))
    """
    if text.strip() == "auto":
        return _auto_shard(environ)
    match = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text, re.ASCII)
    if not match:
        raise UsageError(f"--shard: expected I/N, such as 0/4, or auto, not '{shorten(text)}'")
    index, count = int(match[1]), int(match[2])
    if count < 1 or index > count:
        raise UsageError(f"--shard: {text.strip()}: I must be from 0 to N, and N at least 1")
    return index % count, count


def in_shard(relative: str, index: int, count: int) -> bool:
    """Return whether the source with this relative path belongs to shard ``index`` of ``count``.

    >>> [in_shard("sub/photo.png", i, 3) for i in range(3)].count(True)
    1
    """
    digest = blake2b(os.fsencode(relative), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count == index


def count_beside(text: str | None, environ: Mapping[str, str] = os.environ) -> int:
    """Return how many processes of this run share the machine: more than one where torchrun has started several.

    >>> count_beside("auto", {"LOCAL_WORLD_SIZE": "2"}), count_beside("0/4", {"LOCAL_WORLD_SIZE": "2"})
    (2, 1)
    """
    number = environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(number)) if text is not None and text.strip() == "auto" and number.isdecimal() else 1


def _auto_shard(environ: Mapping[str, str]) -> tuple[int, int]:
    if "RANK" in environ and "WORLD_SIZE" in environ:
        return _numbers(environ, "RANK", "WORLD_SIZE")
    shares = []  # an array of jobs, each of several tasks: both divide
    if "SLURM_ARRAY_TASK_ID" in environ and "SLURM_ARRAY_TASK_COUNT" in environ:
        first, step = environ.get("SLURM_ARRAY_TASK_MIN", "0"), environ.get("SLURM_ARRAY_TASK_STEP", "1")
        shares.append(_numbers(environ, "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", first, step))
    if "SLURM_PROCID" in environ and "SLURM_NTASKS" in environ:
        if "SLURM_JOB_ID" not in environ or "SLURM_STEP_ID" in environ:
            of_step = "SLURM_STEP_NUM_TASKS"  # fewer than the job's in the shell that salloc gives
            shares.append(_numbers(environ, "SLURM_PROCID", of_step if of_step in environ else "SLURM_NTASKS"))
        elif not shares:  # a batch script runs once, however many tasks its job has
            number = environ["SLURM_NTASKS"]
            if number != "1":
                raise UsageError(
                    f"--shard auto: the job has {number} tasks, but only srun starts one process for each; write srun "
                    "before the command"
                )
            shares.append((0, 1))
    if shares:
        index, count = 0, 1
        for its_index, its_count in shares:
            index, count = index * its_count + its_index, count * its_count
        return index, count
    raise UsageError(
        "--shard auto: found neither RANK and WORLD_SIZE (torchrun), SLURM_PROCID and SLURM_NTASKS (srun), nor "
        "SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT (sbatch --array) in the environment; say --shard I/N"
    )


def _numbers(environ: Mapping[str, str], rank: str, size: str, first: str = "0", step: str = "1") -> tuple[int, int]:
    try:
        (index, left), count = divmod(int(environ[rank]) - int(first), int(step)), int(environ[size])
    except (ValueError, ZeroDivisionError):
        index, left, count = -1, 0, 0
    if left or not 0 <= index < count:
        raise UsageError(f"--shard auto: {rank}={environ[rank]} and {size}={environ[size]} make no share")
    return index, count
