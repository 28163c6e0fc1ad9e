"""The same configuration gives the same bytes, whatever the number of jobs at a time and the folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from compare_results import compared, differences
from flow import REPOSITORY, RESULTS, snakemake_process

# What the comparison must have seen; a folder that is missing from both runs would be no difference.
TABLES = "studies/energy/tables"
SEEN = {".tex", ".csv", ".html", ".png", ".pdf", ".gif", ".parquet", ".safetensors", ".npz", ".npy", ".json"}


@pytest.fixture(scope="module", autouse=True)
def one_core(snapshot, tmp_path_factory) -> tuple[Path, subprocess.Popen]:
    """A run of everything, from nothing, one job at a time, in another folder than that of the checkout."""
    folder = tmp_path_factory.mktemp("one core")
    process = snakemake_process(snapshot, "--directory", str(folder), "-c1")
    yield folder, process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def test_one_job_at_a_time_and_two_in_another_folder_give_the_same_bytes(one_core, request):
    folder, process = one_core
    finished = request.getfixturevalue("finished")  # while the other runs; as an argument it would come before that
    output, _ = process.communicate()
    assert process.returncode == 0, output
    one, other = folder / RESULTS, finished / RESULTS
    assert list(differences(one, other)) == []
    assert {Path(name).suffix for name in compared(one)} >= SEEN
    assert {name.split("/")[0] for name in compared(one)} >= {"studies", "runs", "evaluations", "claims.csv"}


# The comparison itself ----------------------------------------------------------------------------------------------


@pytest.fixture
def pair(finished, tmp_path) -> tuple[Path, Path]:
    """The results of a run and a copy of them, to be changed."""
    return finished / RESULTS, shutil.copytree(finished / RESULTS, tmp_path / "copy")


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def change_certificate(path: Path, **entries: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.mark.parametrize(
    "name", [f"{TABLES}/robustness.csv", "studies/energy/figures/plane-digits.gif", "claims.csv", "report.html"]
)
def test_a_byte_more_is_found(name, pair):
    append(pair[1] / name)
    assert list(differences(*pair)) == [f"{name}: differs"]


def test_a_file_more_and_a_file_less_are_found(pair):
    (pair[1] / f"{TABLES}/robustness.csv").rename(pair[1] / f"{TABLES}/another.csv")
    found = list(differences(*pair))
    assert found == [f"{TABLES}/another.csv: only in {pair[1]}", f"{TABLES}/robustness.csv: only in {pair[0]}"]


def test_seconds_may_differ_and_nothing_else_of_their_files(pair):
    grid, timing = "generation/digits/trades/seed0/grid.parquet", "runs/digits/sat/seed0/timing.parquet"
    certificate = "provenance/studies/energy/tables/robustness.json"
    for name in (grid, timing):
        table = pd.read_parquet(pair[1] / name)
        table.assign(seconds=1e6).to_parquet(pair[1] / name, index=False)
    change_certificate(pair[1] / certificate, wall_seconds=1e6)
    append(pair[1] / "logs/train/digits/sat/seed0.log")
    assert list(differences(*pair)) == []

    pd.read_parquet(pair[1] / grid).assign(frechet=0.0).to_parquet(pair[1] / grid, index=False)
    change_certificate(pair[1] / certificate, parameters={}, versions={})
    assert list(differences(*pair)) == [
        f"{grid}: differs beyond its seconds",
        f"{certificate}: differs in parameters, versions",
    ]


def test_the_comparison_is_a_command(pair):
    command = [sys.executable, str(REPOSITORY / "tests/compare_results.py"), *map(str, pair)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("The same: "), done.stdout + done.stderr
    append(pair[1] / "claims.csv")
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "claims.csv: differs\n")
