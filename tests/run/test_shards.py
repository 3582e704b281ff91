import random

import pytest

from convfilter import run_files
from convfilter.errors import UsageError
from convfilter.run.shards import in_shard, parse_shard

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2"}
SRUN = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}
JOB = {"SLURM_JOB_ID": "1"}
BATCH = JOB | {"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}
ARRAY = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "5"}


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("0/4", {}, (0, 4)),
        ("3/4", {}, (3, 4)),
        ("4/4", {}, (0, 4)),
        (" 1 / 2 ", {}, (1, 2)),
        ("1/1", {}, (0, 1)),
        ("auto", TORCHRUN, (1, 2)),
        ("auto", TORCHRUN | SRUN, (1, 2)),
        ("auto", SRUN | ARRAY, (11, 12)),
        ("auto", {"SLURM_PROCID": "0", "SLURM_NTASKS": "1"} | ARRAY, (2, 3)),
        ("auto", ARRAY, (2, 3)),
        (
            "auto",
            {**ARRAY, "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_ID": "20", "SLURM_ARRAY_TASK_STEP": "10"},
            (2, 3),
        ),
        ("auto", SRUN | JOB | {"SLURM_STEP_ID": "0"}, (3, 4)),
        ("auto", BATCH | {"SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1"}, (0, 1)),
        ("auto", BATCH | ARRAY, (2, 3)),
        ("auto", BATCH | {"SLURM_NTASKS": "1"}, (0, 1)),
        ("auto", {"RANK": "1"} | ARRAY, (2, 3)),
        ("auto", {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "3"}, (2, 3)),
    ],
)
def test_shares(text, environ, expected):
    assert parse_shard(text, environ) == expected


@pytest.mark.parametrize(
    ("text", "environ", "message"),
    [
        ("5/4", {}, "--shard: 5/4: I must be from 0 to N, and N at least 1"),
        ("0/0", {}, "N at least 1"),
        ("-1/4", {}, "--shard: expected I/N, such as 0/4, or auto, not '-1/4'"),
        ("1", {}, "expected I/N"),
        ("١/٢", {}, "expected I/N"),
        ("1/2/3\n", {}, r"not '1/2/3\n'"),
        ("auto", {}, "found neither RANK and WORLD_SIZE (torchrun), SLURM_PROCID and SLURM_NTASKS (srun), nor"),
        ("auto", BATCH, "--shard auto: the job has 4 tasks, but only srun starts one process for each; write srun"),
        ("auto", {**ARRAY, "SLURM_ARRAY_TASK_STEP": "3"}, "SLURM_ARRAY_TASK_COUNT=3 make no share"),
        ("auto", {**ARRAY, "SLURM_ARRAY_TASK_STEP": "0"}, "SLURM_ARRAY_TASK_COUNT=3 make no share"),
        ("auto", {"RANK": "2", "WORLD_SIZE": "2"}, "--shard auto: RANK=2 and WORLD_SIZE=2 make no share"),
        ("auto", {"RANK": "x", "WORLD_SIZE": "2"}, "--shard auto: RANK=x and WORLD_SIZE=2 make no share"),
    ],
)
def test_shares_that_make_no_sense(text, environ, message):
    with pytest.raises(UsageError) as caught:
        parse_shard(text, environ)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_all_shares_together_are_the_whole(count, first):
    paths = [f"sub{i % 10}/photo-{i}\udcff.png" for i in range(2000)]
    random.Random(count).shuffle(paths)
    shares = [parse_shard(f"{i}/{count}", {}) for i in range(first, count + first)]
    taken = [[path for path in paths if in_shard(path, *share)] for share in shares]
    assert sorted(path for share in taken for path in share) == sorted(paths)
    assert min(map(len, taken)) > 0.3 * len(paths) / count


def test_a_share_is_the_same_on_every_machine():
    assert [i for i in range(20) if in_shard(f"{i}.png", 0, 3)] == [1, 4, 11]


def test_every_share_tells_of_what_cannot_be_read(tmp_path):
    for shard in ("0/3", "1/3", "2/3"):
        [result] = run_files("edge", tmp_path / "missing.png", shard=shard)
        assert result.kind == "missing"
