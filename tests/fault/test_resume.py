"""Training as its users run it, in processes that are killed, stopped, doubled and starved of disk."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import tiny
from processes import REPOSITORY, Child, run_script, until
from safetensors import safe_open

EPOCHS = 20
SPEC = tiny.spec("trades", epochs=EPOCHS, augmentation={"crop_padding": 1, "flip": True})
SCIENCE = ("best.safetensors", "last.safetensors", "history.parquet", "energies.parquet")


class Run:
    """One run of the training script in a folder: its processes, its state, what it left."""

    def __init__(self, folder: Path, data: Path):
        folder.mkdir()
        self.folder, self.outputs, self.states = folder, folder / "run", folder / "state"
        self.arguments = ["--spec", json.dumps(SPEC), "--data", str(data), "--state", "state", "--run", "run"]
        self.arguments += ["--log", "train.log", "--certificate", "train.json"]
        self.started = 0

    def start(self, **limits: int) -> Child:
        self.started += 1
        output = self.folder / f"output{self.started}.txt"
        return Child(output, run_script, "train", self.arguments, self.folder, **limits)

    def finish(self) -> None:
        """From the command line, to the end."""
        command = [sys.executable, str(REPOSITORY / "scripts" / "train.py"), *self.arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def progress(self) -> tuple[int, int]:
        """(finished epochs, steps of the epoch after them) in the saved state; (0, 0) without one."""
        for file in self.states.glob("*/state.safetensors"):
            with safe_open(file, framework="np") as state:
                progress = json.loads(state.metadata()["record"])["progress"]
            return progress["epoch"], progress["step"]
        return 0, 0

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
    assert run.progress() == (EPOCHS, 0)
    return run


@pytest.fixture
def run(tmp_path, data) -> Run:
    return Run(tmp_path / "run", data)


def test_a_run_that_is_killed_and_stopped_again_and_again_gives_the_same_bytes(run, undisturbed):
    moments = random.Random(0)
    seconds = pd.read_parquet(undisturbed.outputs / "timing.parquet")["seconds"].mean()
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1):
        before, child = run.progress(), run.start()
        until(lambda before=before: run.progress()[0] > before[0])  # an epoch more than ever before
        time.sleep(moments.uniform(0, 2 * seconds))
        child.signal(number)
        code, output = child.wait()

        epoch, step = run.progress()
        assert before[0] < epoch < EPOCHS and not run.outputs.exists()
        if number == signal.SIGKILL:
            assert code == -signal.SIGKILL and output == ""
        else:
            assert code == 1 and step > 0
            message = f"[train digits/tiny/seed0] FAILED: asked to stop in epoch {epoch + 1}; the state is saved"
            assert output.startswith(message) and "log: train.log" in output
    run.finish()
    assert run.science() == undisturbed.science()
    assert run.files() == undisturbed.files() == {*SCIENCE, "timing.parquet", "train.log", "train.json", *STATE_FILES}
    assert list(pd.read_parquet(run.outputs / "timing.parquet")["epoch"]) == list(range(1, EPOCHS + 1))


def test_a_second_process_on_the_same_run_is_refused_and_the_first_is_not_disturbed(run, undisturbed):
    first = run.start()
    until(lambda: run.progress()[0] > 0)
    first.signal(signal.SIGSTOP)
    stopped_at = run.progress()

    code, output = run.start().wait()
    assert code == 1 and "this run is being trained by another process" in output and f'"pid": {first.pid}' in output
    assert run.progress() == stopped_at and not run.outputs.exists()

    first.signal(signal.SIGCONT)
    assert first.wait()[0] == 0
    assert run.science() == undisturbed.science()


def test_a_disk_that_is_too_full_for_the_state_is_named_and_leaves_nothing_partial(run, undisturbed):
    code, output = run.start(largest_file=2000).wait()
    (folder,) = run.states.iterdir()
    assert code == 1
    assert f"FAILED: state/{folder.name}/state.safetensors: could not be written (File too large); free space" in output
    assert run.files() == {"lock", "owner.json", "train.log"}
    assert run.start().wait()[0] == 0
    assert run.science() == undisturbed.science()


@pytest.mark.parametrize("too_large", ["best.safetensors", "history.parquet"])
def test_a_disk_that_is_too_full_for_the_results_is_named_and_loses_no_training(too_large, run, undisturbed):
    shutil.copytree(undisturbed.states, run.states)  # trained to the end: only the results are left to be written
    limit = (undisturbed.outputs / too_large).stat().st_size - 1
    code, output = run.start(largest_file=limit).wait()
    assert code == 1 and f"FAILED: run/{too_large}: could not be written (" in output
    assert too_large not in run.files() and not any("part" in name for name in run.files())
    assert "train.json" not in run.files()

    assert run.start().wait()[0] == 0
    assert run.science() == undisturbed.science()
    assert run.progress() == (EPOCHS, 0)


@pytest.mark.parametrize("folder", ["state", "run"])
def test_a_folder_that_can_not_be_written_is_named(folder, run):
    (run.folder / folder).write_text("a file where a folder should be")
    if folder == "run":  # found out at the end: a short run is enough
        short = SPEC | {"training": SPEC["training"] | {"epochs": 2}}
        run.arguments[1] = json.dumps(short)
    code, output = run.start().wait()
    assert code == 1 and f"FAILED: {folder}/" in output and "be written (" in output and "writable" in output


def test_a_damaged_state_is_refused_with_what_to_do(run, undisturbed):
    shutil.copytree(undisturbed.states, run.states)
    (file,) = run.states.glob("*/state.safetensors")
    os.truncate(file, file.stat().st_size // 2)
    code, output = run.start().wait()
    assert code == 1 and f"FAILED: state/{file.parent.name}/state.safetensors: damaged" in output
    assert f"delete state/{file.parent.name} to train this run from the beginning" in output
    assert not run.outputs.exists()
