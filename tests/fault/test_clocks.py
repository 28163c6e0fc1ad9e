"""Clocks that jump: what we time is not touched; what Snakemake tells from the times of files, and what it can't."""

import ast
import itertools
import json
import os
import time
from pathlib import Path

import pandas as pd
import pytest
from damage import one_bit
from flow import NOTHING, RESULTS, contents, copy_of, run
from kills import EVALUATION, SCIENCE, TABLE, TARGETS, TRAIN, WEIGHTS
from processes import PATIENCE, REPOSITORY

HOUR, YEAR = 3600, 365 * 24 * 3600
WALL_CLOCKS = {"time", "time_ns", "now", "today", "utcnow", "localtime", "gmtime", "ctime"}


def test_nothing_in_the_library_or_the_scripts_asks_what_time_it_is():
    """By a module's name: `time.time()`, `datetime.now()`. Durations come from monotonic clocks."""
    asked = set()
    for file in [*(REPOSITORY / "src").rglob("*.py"), *(REPOSITORY / "scripts").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
                module = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
                if module in ("time", "datetime", "date") and node.attr in WALL_CLOCKS:
                    asked.add(f"{file.name}: {module}.{node.attr}")
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                asked |= {f"{file.name}: {alias.name}" for alias in node.names}
    assert asked == set()


def jumping() -> None:
    """From now on the clock of this process jumps by years, to and fro, whenever it is read."""
    real, jumps = time.time, itertools.cycle([YEAR, -YEAR, 10 * YEAR, -3 * HOUR])
    time.time = lambda: real() + next(jumps)
    time.time_ns = lambda: int(time.time() * 1e9)


def test_a_training_under_a_clock_that_jumps_takes_as_long_as_it_takes(one_run, tmp_path):
    job, started = one_run.job(TRAIN), time.monotonic()
    expected = contents(one_run.folder, SCIENCE)
    (one_run.results / "state").rename(tmp_path / "state")
    assert one_run.run(job, jumping) == (0, "")
    took = time.monotonic() - started
    assert contents(one_run.folder, SCIENCE) == expected
    timing = pd.read_parquet(one_run.folder / WEIGHTS[0].parent / "timing.parquet")["seconds"]
    certificate = json.loads((one_run.results / "provenance/runs/digits/trades/seed0.json").read_text())
    assert (timing > 0).all() and timing.sum() < took < PATIENCE
    assert timing.sum() < certificate["wall_seconds"] < took
    log = (one_run.results / f"logs/{TRAIN}.log").read_text()
    assert "ETA 0:0" in log and "ETA -" not in log


def move(folder: Path, files: list[Path], seconds: float) -> None:
    """As if the clock had been so far ahead when they were made."""
    for file in files:
        moment = (folder / file).stat().st_mtime + seconds
        os.utime(folder / file, (moment, moment))


def says(folder: Path, *arguments: str) -> str:
    code, output = run(folder, str(folder / "study.yaml"), "-n", "-c1", *arguments, *TARGETS)
    assert code == 0, output
    return output


@pytest.fixture
def folder(survivor, tmp_path) -> Path:
    """A study that Snakemake finished."""
    return copy_of(survivor.study.folder, tmp_path / "checkout")


@pytest.mark.parametrize("seconds", [YEAR, -YEAR])
def test_results_of_a_clock_that_was_wrong_all_the_time_are_up_to_date(seconds, folder):
    move(folder, [path.relative_to(folder) for path in (folder / RESULTS).rglob("*") if path.is_file()], seconds)
    assert NOTHING in says(folder)


def test_a_clock_that_was_set_back_between_two_jobs_re_runs_nothing_that_is_small(folder):
    """The weights are newer than what was made of them. Up to 1 MB Snakemake compares checksums; larger files cost an
    evaluation that was not needed, and nothing worse."""
    move(folder, WEIGHTS, HOUR)
    assert NOTHING in says(folder)
    assert "evaluate" in says(folder, "--max-checksum-file-size", "0")


def test_contents_that_changed_under_a_newer_time_are_seen(folder):
    (folder / WEIGHTS[0]).write_bytes(one_bit((folder / WEIGHTS[0]).read_bytes()))
    assert "evaluate" in says(folder)


def test_contents_that_changed_under_an_older_time_are_seen_by_the_job_that_reads_them(folder):
    """Snakemake goes by times alone, and says that all is done: `--forcerun evaluate`, or any new job, finds it."""
    before = (folder / WEIGHTS[0]).stat().st_mtime
    (folder / WEIGHTS[0]).write_bytes(one_bit((folder / WEIGHTS[0]).read_bytes()))
    os.utime(folder / WEIGHTS[0], (before, before))
    assert NOTHING in says(folder)
    code, output = run(folder, str(folder / "study.yaml"), "-c1", "--forcerun", "evaluate", *TARGETS)
    assert code == 1 and f"FAILED: {WEIGHTS[0]}: not the file that was made" in output


def test_an_input_from_the_future_is_named_and_after_a_touch_the_same_command_completes(folder):
    """Snakemake refuses an output older than its input: the clocks of two machines, or one that was set back."""
    expected, command = contents(folder, SCIENCE), (str(folder / "study.yaml"), "-c1", *TARGETS)
    move(folder, [EVALUATION], HOUR)
    (folder / TABLE[0]).unlink()
    code, output = run(folder, *command)
    assert code == 1 and "has older modification time" in output and str(EVALUATION) in output, output
    os.utime(folder / EVALUATION)
    code, output = run(folder, *command)
    assert code == 0, output
    assert contents(folder, SCIENCE) == expected
