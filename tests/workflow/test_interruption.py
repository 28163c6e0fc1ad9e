"""A run that is killed goes on where it was, and ends with the bytes of one that is not."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from flow import RESULTS, ask, contents, files, jobs, run, snakemake_process
from processes import until
from safetensors import safe_open

RUN = ("best.safetensors", "last.safetensors", "history.parquet", "energies.parquet")
TRADES = RESULTS / "runs/digits/trades/seed0"
TABLE = RESULTS / "tables/energy-robustness.tex"


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


def saved_epoch(state: Path) -> int:
    """How many epochs the state of a training has behind it; 0 without one."""
    file = state / "state.safetensors"
    if not file.exists():
        return 0
    with safe_open(file, framework="numpy") as saved:
        return json.loads(saved.metadata()["record"])["progress"]["epoch"]


def test_killed_trainings_and_a_killed_snakemake_end_with_the_same_bytes(tree, finished):
    evaluation = RESULTS / "evaluations/digits/trades/seed0/robustness.parquet"
    made = [TRADES / name for name in RUN] + [evaluation] + [TABLE.with_suffix(s) for s in (".tex", ".csv", ".html")]
    (state,) = (tree / RESULTS / "state").glob("digits-trades-seed0-*")
    shutil.rmtree(state)
    for path in made:
        (tree / path).unlink()

    # The training is killed: Snakemake sees a failed job.
    first = snakemake_process(tree, "-c1", str(TABLE))
    until(lambda: saved_epoch(state) >= 1, 120)
    os.kill(json.loads((state / "owner.json").read_text())["pid"], signal.SIGKILL)
    output, _ = first.communicate()
    assert first.returncode == 1 and "Run the same command again to go on from here." in output
    assert files(tree / TRADES) == [] and saved_epoch(state) < 5

    # Snakemake is killed with all its jobs: it leaves a lock behind.
    reached = saved_epoch(state)
    second = snakemake_process(tree, "-c1", str(TABLE))
    until(lambda: saved_epoch(state) > reached, 120)
    os.killpg(second.pid, signal.SIGKILL)
    second.communicate()
    reached = saved_epoch(state)
    assert reached < 5 and files(tree / TRADES) == []
    code, output = ask(tree, "-c1", str(TABLE))
    assert code == 1 and "--unlock" in output
    code, output = ask(tree, "--unlock")
    assert code == 0, output

    code, output = run(tree, "-c1", "-p", str(TABLE))
    assert code == 0, output
    seed0 = "digits/trades/seed0"
    assert jobs(output) == {f"train/{seed0}", f"evaluate/{seed0}/robustness", "tables/energy-robustness"}
    epochs = [line.split()[2] for line in (tree / RESULTS / f"logs/train/{seed0}.log").read_text().splitlines()]
    assert epochs == [f"{epoch}/5," for epoch in range(reached + 1, 6)]
    assert contents(tree, made) == contents(finished, made)


def test_one_core_and_two_in_another_folder_give_the_same_bytes(one_core, finished):
    folder, process, evaluation = one_core
    output, _ = process.communicate()
    assert process.returncode == 0, output
    data = [RESULTS / "data/digits" / name for name in files(folder / RESULTS / "data/digits")]
    made = [*data, evaluation, *(RESULTS / "runs/digits/weat-adv/seed0" / name for name in RUN)]
    assert len(data) == 10
    assert contents(folder, made) == contents(finished, made)
