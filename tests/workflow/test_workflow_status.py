"""`make status`, and the last screen of a run that failed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flow import RESULTS, TINY, copy_of, pending, snakemake_process, untouched
from processes import until

LONGER = "scales: {tiny: {datasets: {digits: {training: {epochs: 50}}}}}"
TRADES, SAT = (f"{RESULTS}/runs/digits/{recipe}/seed0/best.safetensors" for recipe in ("trades", "sat"))


def status(folder: Path, *arguments: str) -> str:
    """What `python scripts/status.py --configfile tests/tiny.yaml <arguments>` prints in `folder`."""
    done = subprocess.run(
        [sys.executable, "scripts/status.py", *TINY, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def counts(text: str, stage: str = "total") -> list[int]:
    """The jobs of a stage that are done, running, failed and left."""
    (row,) = re.findall(rf"^{stage} +(.*)$", text, re.MULTILINE)
    return [0 if count == "-" else int(count) for count in row.split()]


def undo_trainings(tree: Path) -> None:
    """Those of TRADES and SAT with seed 0."""
    for recipe in ("trades", "sat"):
        (state,) = (tree / RESULTS / "state").glob(f"digits-{recipe}-seed0-*")
        shutil.rmtree(state)
        shutil.rmtree(tree / RESULTS / "runs/digits" / recipe / "seed0")
        (tree / RESULTS / "logs/train/digits" / recipe / "seed0.log").unlink()


@pytest.fixture
def driver(tree) -> Callable[..., subprocess.Popen]:
    """Starts `snakemake <arguments>` where the trainings of TRADES and SAT with seed 0 are undone and take longer."""
    started = []

    def start(*arguments: str) -> subprocess.Popen:
        started.append(snakemake_process(tree, *arguments))
        return started[-1]

    undo_trainings(tree)
    (tree / "longer.yaml").write_text(LONGER)
    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def last_screen(output: str) -> str:
    """From what failed on."""
    place = re.search(r"^\d+ jobs? failed:", output, re.MULTILINE)
    assert place, output
    return output[place.start() :]


@pytest.fixture
def fresh(sources, tmp_path) -> Path:
    """A checkout without results."""
    return copy_of(sources, tmp_path / "checkout")


def test_before_anything_has_run_all_is_left(fresh):
    asked = pending(fresh)
    text = status(fresh)
    assert counts(text) == [0, 0, 0, len(asked)]
    assert counts(text, "train") == [0, 0, 0, sum(job.startswith("train/") for job in asked)]
    assert "Nothing is running." in text and "Failed" not in text
    assert text.splitlines()[-1].endswith("snakemake --configfile tests/tiny.yaml")
    assert not (fresh / "results").exists()


def test_of_a_target_only_its_jobs_are_counted(fresh):
    text = status(fresh, "-c1", TRADES)
    assert counts(text) == [0, 0, 0, 2] and counts(text, "train") == [0, 0, 0, 1]


def test_a_mistake_in_the_arguments_is_said_as_snakemake_says_it(fresh):
    done = subprocess.run(
        [sys.executable, "scripts/status.py", "nothing-makes-this"], cwd=fresh, capture_output=True, text=True
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("snakemake nothing-makes-this can't be planned:")


def test_a_finished_run_is_all_done_and_nothing_is_touched(finished):
    before = untouched(finished / RESULTS)
    text = status(finished)
    done, *others = counts(text)
    assert done == len(pending(finished, "--forceall")) and others == [0, 0, 0]
    assert text.splitlines()[-1] == "Everything is done."
    assert untouched(finished / RESULTS) == before


def test_a_training_is_followed_while_it_runs_and_explained_when_it_is_killed(tree, driver):
    process = driver("longer.yaml", "-c1", "--quiet", "all", "--", TRADES)
    log = tree / RESULTS / "logs/train/digits/trades/seed0.log"
    until(lambda: log.exists() and "epoch 1/50" in log.read_text(), 120)
    pid = int(re.search(r"process (\d+)", log.read_text())[1])
    os.kill(pid, signal.SIGSTOP)
    text = status(tree, "longer.yaml", "-c1", TRADES)
    assert counts(text) == [1, 1, 0, 0] and counts(text, "train") == [0, 1, 0, 0]
    step = r"epoch \d+/50, ETA 0:\d\d:\d\d"
    assert re.search(
        rf"\nRunning:\n  train digits/trades/seed0  {step} \(at \d+-\d\d-\d\d ..:..:..\)\n\nOnce no Snakemake is ",
        text,
    )

    os.kill(pid, signal.SIGKILL)
    output, _ = process.communicate()
    why = r"ended silently on \S+: killed \(out of memory, out of time\) or cancelled; its log ends with: \S+ \S+ "
    failure = rf"  train digits/trades/seed0\n    {why}{step} .*\n    log: {log.relative_to(tree)}\n"
    command = f"snakemake {' '.join(TINY)} longer.yaml -c1"
    assert process.returncode == 1
    assert re.match(rf"1 job failed:\n{failure}\nResume .*: .*{command} --quiet all -- {TRADES}\n", last_screen(output))
    text = status(tree, "longer.yaml", "-c1", TRADES)
    assert counts(text) == [1, 0, 1, 0]
    assert re.search(rf"\nNothing is running.\n\nFailed:\n{failure}\nResume with: .*{command} {TRADES}\n$", text)


def test_the_last_screen_names_what_failed_for_good_and_not_what_a_retry_completed(tree, driver):
    (tree / "diverges.yaml").write_text("scales: {tiny: {recipes: {sat: {training: {learning_rate: 1.0e+30}}}}}")
    arguments = ("longer.yaml", "diverges.yaml", "-c1", "--retries", "1", "--quiet", "progress", "--", TRADES, SAT)
    process = driver(*arguments)

    def owner() -> Path | None:
        return next((tree / RESULTS / "state").glob("digits-trades-seed0-*/owner.json"), None)

    until(lambda: owner() is not None, 120)
    os.kill(json.loads(owner().read_text())["pid"], signal.SIGKILL)
    output, _ = process.communicate()

    assert process.returncode == 1 and (tree / TRADES).exists() and not (tree / SAT).exists()
    assert output.count("Error in rule train:") == 3  # SAT twice, TRADES once
    first, name, why, where, _, again, *_ = last_screen(output).splitlines()
    assert (first, name) == ("1 job failed:", "  train digits/sat/seed0")
    assert why.startswith("    epoch 1 ended with a training loss of nan") and "`learning_rate` (now 1e+30)" in why
    assert where == f"    log: {RESULTS}/logs/train/digits/sat/seed0.log"
    assert again.startswith("Resume with the same command: ")
    assert again.endswith(f"snakemake {' '.join([*TINY, *arguments])}")

    text = status(tree, "longer.yaml", "diverges.yaml", "-c1", TRADES, SAT)
    assert counts(text) == [2, 0, 1, 0] and why in text
