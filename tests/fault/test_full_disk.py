"""A disk full at each file that a job writes: it is named, nothing partial stays, the same command completes."""

import errno
import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from flow import RESULTS, THREAT, contents, files, sha256
from kills import ATTACKED, BATCHES, EVALUATE, EVALUATION, SCIENCE, TRAIN, WEIGHTS, die_writing
from study import TYPESET, Job, Study, progress

JOBS = (
    "data/digits",
    "train/digits/trades/seed0",
    "measure_energies/digits/sat/seed0",
    "fit_generator/digits/gaussian",
    "generate_pool/digits/gaussian",
    f"evaluate/digits/sat-no-random/seed0/{THREAT}/brief",
    "generate/digits/trades/seed0",
    "generate_grid/digits/trades/seed0",
    "reference_features/digits",
    "score/digits/trades/seed0",
    "studies/energy/tables/robustness",
    "studies/energy/figures/samples-digits",
    "studies/energy/figures/plane-digits-gif",
    "studies/energy/claims",
    "claims",
    "report",
    *TYPESET,
)
DATA, DOWNLOADS = RESULTS / "data/digits", Path("results/downloads/theirs")
THEIRS = RESULTS / "runs/digits/theirs/seed0/published.safetensors"
OF_THEIRS = RESULTS / "provenance/runs/digits/theirs/seed0.json"
WITH_TIMES = ("timing.parquet", "grid.parquet")  # what tells how long something took is never the same


def full_at(file: Path) -> None:
    """From now on the disk is full for this file of this process, and for no other."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.with_name(f".{file.name}.{os.getpid()}.part{file.suffix}").symlink_to("/dev/full")


def full_at_new(file: Path) -> None:
    """The same, where the process first removes what an earlier one has left beside the file."""
    rename = os.replace

    def full(old: Path, new: Path) -> None:
        if Path(new).name == file.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(old, new)

    os.replace = full


def partial_files(study: Study) -> list[Path]:
    return [path for path in study.results.rglob("*") if ".part" in path.name]


def test_every_script_is_among_those_that_are_tried(finished):
    assert {finished.job(name).script for name in JOBS} == {job.script for job in finished.jobs}


@pytest.mark.parametrize("name", JOBS)
def test_every_file_that_a_job_writes_is_named_when_the_disk_is_full(name, finished):
    job = finished.job(name)
    lasting = [path for path in job.outputs if "provenance" not in path.parts and path.name not in WITH_TIMES]
    expected = contents(finished.folder, lasting)
    for file in job.outputs:
        for path in job.outputs:  # as Snakemake does before a job starts
            (finished.folder / path).unlink(missing_ok=True)
        code, output = finished.run(job, partial(full_at, finished.folder / file))
        named = file.parent if file.suffix == ".npy" else file  # of the arrays: where they don't fit, all together
        said = (
            rf"FAILED: {named}: could not be written \(.*No space left on device\); .*then run the same command again"
        )
        assert code == 1 and re.search(said, output), output
        assert not (finished.folder / file).exists() and partial_files(finished) == []
        certificate = job.arguments[job.arguments.index("--certificate") + 1]
        assert not (finished.folder / certificate).exists()
    code, output = finished.run(job)
    assert code == 0, output
    assert contents(finished.folder, lasting) == expected
    assert all((finished.folder / path).exists() for path in job.outputs)


@pytest.fixture
def imported(one_run) -> Iterator[dict[str, Job]]:
    """By their scripts: the download of a third-party model, which is one of our own, and its import."""
    source = one_run.folder / WEIGHTS[0]
    archive = {"file": "theirs.safetensors", "sha256": sha256(source), "urls": [source.as_uri()]}
    architecture = json.loads((one_run.results / "provenance/runs/digits/trades/seed0.json").read_text())["parameters"]
    model = {"model": "theirs", "architecture": architecture["architecture"], "weights": archive}
    options = {
        "download": ({"archives": [archive]}, "--folder", DOWNLOADS, "--receipt", DOWNLOADS / "receipt.json"),
        "import_model": (
            model,
            "--downloads",
            DOWNLOADS,
            "--data",
            DATA,
            "--weights",
            THEIRS,
            "--certificate",
            OF_THEIRS,
        ),
    }
    jobs = {}
    for script, (spec, *own) in options.items():
        words = ["python", script, "--spec", json.dumps(spec), "--log", RESULTS / "logs/theirs.log", *own]
        jobs[script] = Job("theirs", script, shlex.join(map(str, words)))
    yield jobs
    for path in (DOWNLOADS, THEIRS.parent, OF_THEIRS.parent):
        shutil.rmtree(one_run.folder / path, ignore_errors=True)


@pytest.mark.parametrize(("script", "file"), [
    ("download", DOWNLOADS / ".theirs.safetensors.origin.json"),
    ("download", DOWNLOADS / "receipt.json"),
    ("import_model", THEIRS),
    ("import_model", OF_THEIRS),
])  # fmt: skip
def test_a_disk_that_is_full_for_the_model_of_others_is_named_and_the_same_command_completes(
    script, file, imported, one_run
):
    if script == "import_model":
        assert one_run.run(imported["download"]).code == 0
    code, output = one_run.run(imported[script], partial(full_at, one_run.folder / file))
    assert code == 1 and f"FAILED: {file}: could not be written (No space left on device); free space" in output
    assert not (one_run.folder / file).exists() and partial_files(one_run) == []
    assert one_run.run(imported[script]).code == 0 and (one_run.folder / file).exists()


def test_a_log_that_does_not_fit_costs_no_result(finished):
    job = finished.job("studies/energy/tables/robustness")
    log, expected = finished.results / f"logs/{job.name}.log", contents(finished.folder, job.outputs[1:])
    log.unlink()
    log.symlink_to("/dev/full")
    code, output = finished.run(job)
    log.unlink()
    assert (code, output) == (0, "")
    assert contents(finished.folder, job.outputs[1:]) == expected
    assert finished.run(job) == (0, "") and log.stat().st_size > 0


def test_a_disk_that_is_full_for_the_batches_of_an_evaluation_is_named_and_the_same_command_completes(one_run):
    made = [EVALUATION, ATTACKED]
    job, expected = one_run.job(EVALUATE), contents(one_run.folder, made)
    job = job._replace(command=f"{job.command} --save-every 0")
    for file in made:
        (one_run.folder / file).unlink()
    assert one_run.run(job, partial(die_writing, BATCHES, "after the rename", 1, 0.0)).code == -signal.SIGKILL
    (batches,) = one_run.results.rglob(f"state/**/{BATCHES}")
    code, output = one_run.run(job, partial(full_at_new, batches))
    said = rf"FAILED: {batches.relative_to(one_run.folder)}: could not be written \(.*\); free space"
    assert code == 1 and re.search(said, output), output
    assert batches.exists() and not (one_run.folder / ATTACKED).exists() and partial_files(one_run) == []
    assert one_run.run(job) == (0, "")
    assert contents(one_run.folder, made) == expected and not batches.exists()


@pytest.fixture
def trained_study(one_run) -> Iterator[Study]:
    """The study of one run with its training, which may be begun anew: what it had comes back."""
    kept = one_run.folder / "kept"
    (one_run.results / "state").rename(kept)
    yield one_run
    shutil.rmtree(one_run.results / "state", ignore_errors=True)
    kept.rename(one_run.results / "state")


def test_a_disk_that_is_full_for_the_owner_of_a_state_stops_a_training_that_then_goes_on(trained_study):
    expected, job = contents(trained_study.folder, SCIENCE), trained_study.job(TRAIN)
    (state,) = (trained_study.folder / "kept").glob("*/state.safetensors")
    file = RESULTS / "state" / state.parent.name / "owner.json"
    code, output = trained_study.run(job, partial(full_at, trained_study.folder / file))
    assert code == 1 and f"FAILED: {file}: could not be written (No space left on device); free space" in output
    assert [path.name for path in files(trained_study.results / "state")] == ["lock"]
    assert trained_study.run(job) == (0, "")
    assert contents(trained_study.folder, SCIENCE) == expected


@pytest.mark.parametrize("share", [0.05, 0.9])  # of the last state: the first one is a tenth of it
def test_a_disk_that_is_full_in_the_middle_of_a_state_leaves_the_one_before_it(share, trained_study):
    """By the kernel: no file of the process may be longer."""
    job, expected = trained_study.job(TRAIN), contents(trained_study.folder, SCIENCE)
    (whole,) = (trained_study.folder / "kept").glob("*/state.safetensors")
    limit = int(share * whole.stat().st_size)
    code, output = trained_study.run(job, largest_file=limit)
    file = RESULTS / "state" / whole.parent.name / whole.name
    assert code == 1 and f"FAILED: {file}: could not be written (File too large); free space" in output
    left = [path.name for path in files(trained_study.results / "state")]
    assert left == ["lock", "owner.json"] + ["state.safetensors"] * (share == 0.9)
    assert (progress(trained_study.results / "state") > (0, 0)) == (share == 0.9)
    assert trained_study.run(job) == (0, "")
    assert contents(trained_study.folder, SCIENCE) == expected
