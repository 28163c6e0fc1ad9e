"""Data-parallel training in several processes."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import tiny
import torch
import torch.nn.functional as F
from processes import REPOSITORY, Child, until
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from robustlens.data.prepared import PreparedDataset
from robustlens.learning.method import Method
from robustlens.models.normalised import Normalised
from robustlens.models.weights import build, save_weights
from robustlens.seeds import derive
from robustlens.training import classification, loop, parallel
from robustlens.training.loop import Interrupted
from robustlens.training.parallel import Processes, Questions
from robustlens.training.state import RunState

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def one_of_two(
    rank: int, port: int, spec: dict, data: PreparedDataset, folder: Path, stop_after: int | None, others: dict
) -> None:
    """Process 1 alone is asked to stop; process 0 alone holds the state."""
    os.environ.update(WORLD_SIZE="2", RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    state = RunState(folder / "state", "digest")
    with state if rank == 0 else contextlib.nullcontext():
        run = tiny.training(spec, data, state, **others)
        run.loop.stop = lambda: rank == 1 and run.loop.steps_done() == stop_after
        try:
            finished = run.run()
        except Interrupted:
            assert stop_after
            return
    assert not stop_after
    save_weights(finished.last, folder / f"{rank}.safetensors")
    if rank == 0:
        finished.history.to_parquet(folder / "history.parquet")
        finished.statistics.to_parquet(folder / "statistics.parquet")


def two_processes(
    spec: dict, data: PreparedDataset, folder: Path, stop_after: int | None = None, **others: object
) -> list[dict[str, Tensor]]:
    """The last weights of both, where they come to the end."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    shared = port, spec, data, folder, stop_after, others
    children = [Child(folder / f"{r}.txt", one_of_two, r, *shared) for r in range(2)]
    for child in children:
        code, output = child.wait()
        assert code == 0, output
    return [] if stop_after else [load_file(folder / f"{rank}.safetensors") for rank in range(2)]


@tiny.in_float64()
def test_two_processes_train_the_network_that_one_would(tmp_path):
    """Without an attack or BatchNorm, which would see other random numbers or other batches."""
    data = tiny.random_images((1, 28, 28))  # batches of 5 + 5, 5 + 5, 3 + 2 images
    spec = tiny.colour_spec("standard", augmentation={"crop_padding": 0, "flip": False})
    spec |= {"architecture": {"family": "small-cnn", "dropout": 0.0}}
    alone = tiny.train(spec, data, tmp_path / "alone")
    first, second = two_processes(spec, data, tmp_path / "two")
    for name, value in alone.last.items():
        torch.testing.assert_close(first[name], value, **tiny.EQUAL)
        assert torch.equal(first[name], second[name])
    losses = [run["train_loss"] for run in (alone.history, pd.read_parquet(tmp_path / "two" / "history.parquet"))]
    assert list(losses[1]) == pytest.approx(list(losses[0]), rel=1e-12)


def test_two_processes_stay_equal_and_leave_the_same_bytes_after_one_of_them_was_told_to_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_QUESTIONS", 0.0)  # after every step
    data, spec = tiny.random_images((3, 8, 8)), tiny.colour_spec(averaging=tiny.SWA)
    once = two_processes(spec, data, tmp_path / "once")
    two_processes(spec, data, tmp_path / "resumed", stop_after=4)
    resumed = two_processes(spec, data, tmp_path / "resumed")
    for name, value in once[0].items():
        assert all(torch.equal(value, other[name]) for other in (once[1], *resumed)), name
    histories = [pd.read_parquet(tmp_path / name / "history.parquet") for name in ("once", "resumed")]
    assert histories[0].equals(histories[1])


@dataclass(frozen=True)
class Uneven(Method):
    """Its hooks leave other numbers in every process, and only the first one's loss reaches the part."""

    def parts(self, network, build):
        return {"other": build()}

    def before_epoch(self, learner, epoch):
        with torch.no_grad():
            learner.network.linear.bias += 0.1 * int(os.environ["RANK"])

    def after_epoch(self, learner, epoch):
        self.before_epoch(learner, epoch)

    def loss(self, learner, batch):
        loss = F.cross_entropy(learner(batch.x), batch.y, reduction="none")
        if os.environ["RANK"] == "1":
            return loss
        return {"own": loss, "other": F.cross_entropy(learner.run("other", batch.x), batch.y, reduction="none")}


def test_what_hooks_and_losses_make_of_one_process_alone_is_the_same_in_all(tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "create", lambda *_: Uneven())
    data, spec = tiny.random_images((3, 8, 8)), tiny.colour_spec("standard")
    first, second = two_processes(spec, data, tmp_path)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    with safe_open(tmp_path / "state" / "state.safetensors", framework="pt") as state:
        part = state.get_tensor("learner.parts.other.conv1.weight")
    assert not torch.equal(part, fresh_part(spec))


@dataclass(frozen=True)
class Passing(Method):
    """After every step it looks at its images once more, in train mode (as CFA's code does)."""

    def after_step(self, learner, batch):
        with torch.no_grad():
            learner.train()(batch.x)

    def loss(self, learner, batch):
        return F.cross_entropy(learner(batch.x), batch.y, reduction="none")


def test_what_is_done_after_a_step_is_the_same_in_all_and_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "create", lambda *_: Passing())
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_QUESTIONS", 0.0)
    data, spec = tiny.random_images((3, 8, 8)), tiny.colour_spec("standard", averaging=tiny.EMA)
    once, other = two_processes(spec, data, tmp_path / "once")
    two_processes(spec, data, tmp_path / "again", stop_after=2)
    again, _ = two_processes(spec, data, tmp_path / "again")
    for name, value in once.items():
        assert torch.equal(value, other[name]) and torch.equal(value, again[name]), name


def test_statistics_of_what_is_not_trained_are_not_averaged():
    """A mean of three equal numbers may be another number."""
    three = Processes.__new__(Processes)
    three.count = 3
    kept = nn.BatchNorm2d(2).requires_grad_(False)
    before = kept.running_mean.fill_(0.1).clone()
    three.average_statistics(kept)  # without the other two it would fail
    assert torch.equal(kept.running_mean, before)


def test_of_a_network_that_is_trained_the_statistics_are_and_the_normalisation_is_not(monkeypatch):
    seen = []
    monkeypatch.setattr(Processes, "_average", lambda _, tensors: seen.extend(tensors))
    norm = nn.BatchNorm2d(2)
    network = Normalised(nn.Sequential(nn.Conv2d(3, 2, 1), norm), mean=[0.1, 0.2, 0.3], std=[0.1, 0.2, 0.3])
    Processes.__new__(Processes).average_statistics(network)
    assert [id(tensor) for tensor in seen] == [id(norm.running_mean), id(norm.running_var)]


def fresh_part(spec: dict) -> Tensor:
    torch.manual_seed(derive(0, "weights"))
    return [build(spec["architecture"], 3, 3) for _ in range(2)][1].conv1.weight


def test_shares_of_a_batch_are_disjoint_and_whole_and_their_weighted_sums_give_its_mean():
    losses = torch.rand(7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean = 0.0
    shares = []
    for rank in range(3):
        processes = Processes.__new__(Processes)
        processes.count, processes.rank = 3, rank
        shares.append(processes.share(torch.arange(7)))
        mean += (losses[shares[-1]] * (3 / 7)).sum() / 3  # as the loop weighs them, and averages over processes
    assert sorted(torch.cat(shares).tolist()) == list(range(7))
    assert float(mean) == pytest.approx(float(losses.mean()))


class Slow:
    """The second of two processes, whose own clock says that a step takes ages; the first one's answers are given."""

    count = 2

    def __init__(self, answers: list[int]):
        self.answers, self.own = iter(answers), []

    def of_first(self, number: int) -> int:
        self.own.append(number)
        return next(self.answers)


def test_the_first_process_s_clock_decides_after_how_many_steps_all_ask_again(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(parallel.time, "monotonic", lambda: now[0])
    processes = Slow([3, 1, 2, 9])
    questions, asked = Questions(processes, seconds=5.0), []
    for step in range(1, 9):
        now[0] += 2.0 if step < 5 else 0.5
        if questions.due():
            asked.append(step)
    assert asked == [1, 4, 5, 7]
    # What it would have said itself: 5 s hold two steps of 2 s, and ten of half a second.
    assert processes.own == [2, 2, 10, 10]


def test_one_process_asks_itself_after_every_step_and_a_step_that_takes_ages_is_followed_by_a_question():
    processes = Processes(torch.device("cpu"))
    assert processes.count == 1 and processes.of_first(7) == 7
    questions = Questions(processes, seconds=1e9)
    assert all(questions.due() for _ in range(3))
    slow = Slow([1])
    assert Questions(slow, seconds=0.0).due() and slow.own == [1]


def epochs_done(states: Path) -> int:
    """Finished epochs in the saved state; 0 without one."""
    for file in states.glob("*/state.safetensors"):
        with safe_open(file, framework="np") as state:
            return json.loads(state.metadata()["record"])["progress"]["epoch"]
    return 0


def from_command_line(command: list[str], folder: Path, number: int | None) -> tuple[int, str]:
    """Exit code and output, after a signal as soon as an epoch more than before is saved."""
    before = epochs_done(folder / "state")
    with open(folder / "output.txt", "w+") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        try:
            if number:
                until(lambda: epochs_done(folder / "state") > before or process.poll() is not None, seconds=200)
                process.send_signal(number)
            code = process.wait(200)
        finally:
            process.kill()
        output.seek(0)
        return code, output.read()


def test_torchrun_s_processes_that_were_stopped_go_on_to_the_bytes_of_undisturbed_ones(tmp_path):
    """From the command line, as the workflow starts them: SIGTERM, and SLURM's warning, are for all of them."""
    data = tiny.dataset(tmp_path / "data")
    spec = tiny.spec("trades", epochs=40, augmentation={"crop_padding": 1, "flip": True})
    undisturbed = two_processes(spec, data, tmp_path / "undisturbed")[0]
    command = [sys.executable, str(REPOSITORY / "scripts" / "train.py"), "--spec", json.dumps(spec), "--data", "data"]
    command += ["--state", "state", "--run", "run", "--log", "log/train.log", "--certificate", "train.json"]
    command += ["--processes", "2"]
    for number in (signal.SIGTERM, signal.SIGUSR1, None):
        before = epochs_done(tmp_path / "state")
        code, said = from_command_line(command, tmp_path, number)
        if number:
            assert code != 0 and "FAILED: asked to stop in epoch" in said, said
            assert before < epochs_done(tmp_path / "state") < 40
        else:
            assert code == 0, said
    resumed = load_file(tmp_path / "run" / "last.safetensors")
    assert all(torch.equal(value, resumed[name]) for name, value in undisturbed.items())
    history = pd.read_parquet(tmp_path / "run" / "history.parquet")
    assert history.equals(pd.read_parquet(tmp_path / "undisturbed" / "history.parquet"))
    assert {path.name for path in (tmp_path / "log").iterdir()} == {"train.log", "train.process1.log"}
