"""The number of jobs at once and the folder make no difference to the bytes. Kills are in tests/fault."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from flow import RESULTS, contents, files, snakemake_process

RUN = ("best.safetensors", "last.safetensors", "history.parquet", "energies.parquet")


@pytest.fixture(scope="module", autouse=True)
def one_core(snapshot, tmp_path_factory) -> tuple[Path, subprocess.Popen, Path]:
    """A run from nothing with one core, beside the other tests of this file: its folder (--directory, not that of the
    checkout), its process, and the file that it makes."""
    folder = tmp_path_factory.mktemp("elsewhere")
    evaluation = RESULTS / "evaluations/digits/weat-adv/seed0/robustness.parquet"
    process = snakemake_process(snapshot, "--directory", str(folder), "-c1", str(evaluation))
    yield folder, process, evaluation
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def test_one_core_and_two_in_another_folder_give_the_same_bytes(one_core, finished):
    folder, process, evaluation = one_core
    output, _ = process.communicate()
    assert process.returncode == 0, output
    data = [RESULTS / "data/digits" / name for name in files(folder / RESULTS / "data/digits")]
    made = [*data, evaluation, *(RESULTS / "runs/digits/weat-adv/seed0" / name for name in RUN)]
    assert len(data) == 10
    assert contents(folder, made) == contents(finished, made)
