"""Training as its users run it: stopped again and again, where it can't write, and on a state that is damaged."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import tiny
from flow import files
from processes import REPOSITORY, Child, run_script, until
from study import progress

EPOCHS = 20
SPEC = tiny.spec("trades", epochs=EPOCHS, checkpoints=[2], augmentation={"crop_padding": 1, "flip": True})
SPEC |= {"observers": {"loss-terms": {"every": 2}, "gradient-conflict": {"every": 5}}}
SCIENCE = (
    *("best.safetensors", "last.safetensors", "checkpoints.safetensors"),
    *("history.parquet", "energies.parquet", "statistics.parquet"),
)


class Run:
    """One run of the training script in a folder: its processes, its state, what it left."""

    def __init__(self, folder: Path, data: Path):
        folder.mkdir()
        self.folder, self.outputs, self.states = folder, folder / "run", folder / "state"
        self.arguments = ["--spec", json.dumps(SPEC), "--data", str(data), "--state", "state", "--run", "run"]
        self.arguments += ["--log", "train.log", "--certificate", "train.json"]
        self.started = 0

    def start(self) -> Child:
        self.started += 1
        output = self.folder / f"output{self.started}.txt"
        return Child(output, run_script, "train", self.arguments, self.folder)

    def finish(self) -> None:
        """From the command line, to the end."""
        command = [sys.executable, str(REPOSITORY / "scripts" / "train.py"), *self.arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def science(self) -> dict[str, str]:
        return {name: hashlib.sha256((self.outputs / name).read_bytes()).hexdigest() for name in SCIENCE}

    def files(self) -> set[str]:
        return {path.name for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith("output")}


STATE_FILES = {"lock", "owner.json", "state.safetensors"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "digits"
    tiny.dataset(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data) -> Run:
    run = Run(tmp_path_factory.mktemp("undisturbed") / "run", data)
    assert run.start().wait() == (0, "")
    assert progress(run.states) == (EPOCHS, 0)
    return run


@pytest.fixture
def run(tmp_path, data) -> Run:
    return Run(tmp_path / "run", data)


def test_a_run_that_is_stopped_again_and_again_gives_the_same_bytes(run, undisturbed):
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM):
        before, child = progress(run.states), run.start()
        until(lambda before=before: progress(run.states)[0] > before[0])  # an epoch more than ever before
        child.signal(number)
        code, output = child.wait()

        epoch, step = progress(run.states)
        assert before[0] < epoch < EPOCHS and step > 0 and code == 1 and not run.outputs.exists()
        message = f"[train digits/tiny/seed0] FAILED: asked to stop in epoch {epoch + 1}; the state is saved"
        assert output.startswith(message) and "log: train.log" in output
    run.finish()
    assert run.science() == undisturbed.science()
    assert run.files() == undisturbed.files() == {*SCIENCE, "timing.parquet", "train.log", "train.json", *STATE_FILES}
    assert list(pd.read_parquet(run.outputs / "timing.parquet")["epoch"]) == list(range(1, EPOCHS + 1))


@pytest.mark.parametrize("folder", ["state", "run"])
def test_a_folder_that_can_not_be_written_is_named(folder, run):
    (run.folder / folder).write_text("a file where a folder should be")
    if folder == "run":  # found out at the end: a short run is enough
        short = SPEC | {"training": SPEC["training"] | {"epochs": 2}}
        run.arguments[1] = json.dumps(short)
    code, output = run.start().wait()
    assert code == 1 and f"FAILED: {folder}/" in output and "be written (" in output and "writable" in output


def test_clean_state_removes_what_is_unfinished_and_what_killed_jobs_left_and_nothing_else(tmp_path):
    unfinished = [
        "tiny/state/digits-sat-seed0-0a/state.safetensors",
        "tiny/runs/a/.best.safetensors.17.part.safetensors",
        "tiny/data/a/.reading-x7/images.npy",
    ]
    others = ["tiny/runs/a/best.safetensors", "downloads/cifar10/.cifar-10.tar.gz.part", "tiny/a.17.part.csv"]
    for name in unfinished + others:
        (tmp_path / "results" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "results" / name).touch()
    for _ in range(2):
        command = ["make", "--file", REPOSITORY / "Makefile", "clean-state"]
        subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert files(tmp_path / "results") == sorted(map(Path, others))


def test_a_damaged_state_is_refused_with_what_to_do(run, undisturbed):
    shutil.copytree(undisturbed.states, run.states)
    (file,) = run.states.glob("*/state.safetensors")
    os.truncate(file, file.stat().st_size // 2)
    code, output = run.start().wait()
    assert code == 1 and f"FAILED: state/{file.parent.name}/state.safetensors: damaged" in output
    assert f"delete state/{file.parent.name} to train this run from the beginning" in output
    assert not run.outputs.exists()
