"""The training loop proper: the order of the images, steps, saving and stopping, in one process or in several.

A run is a pure function of its specification and the data: every random number comes from streams derived from the
seed, and everything that changes from step to step is in the saved state. So a run that was stopped anywhere and
resumed gives the same bytes as one that was not. What a step does is a `Task`'s affair, of which classification is one.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from robustlens.errors import RobustlensError
from robustlens.provenance import device_facts
from robustlens.seeds import derive, generator
from robustlens.training.parallel import Processes, Questions
from robustlens.training.state import RunState

SAVE_EVERY_SECONDS = 300.0
# Where several processes train together, they ask each other this often whether to stop; one process checks every step.
SECONDS_BETWEEN_QUESTIONS = 0.25


class Task(Protocol):
    """What is trained, and how. images: how many there are to train on."""

    images: int

    def before_epoch(self, epoch: int) -> None:
        """Called before its first step, and not when it is resumed later."""

    def step(self, batch: Tensor, epoch: int, number: int) -> None:
        """One step on the images at these positions (the whole batch: the same in every process). number: of steps
        done before, over all epochs."""

    def after_epoch(self, epoch: int) -> dict[str, Any]:
        """Called after its last step. What to report of the epoch, in the first process. Raises RobustlensError where
        the training has diverged."""

    def tensors(self) -> dict[str, Tensor]:
        """All that changes from step to step. Called in every process; the first one's are saved."""

    def record(self) -> dict[str, Any]:
        """What else changes, as JSON has it."""

    def load(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Go on from there."""


class Interrupted(RobustlensError):
    """The run was asked to stop; its state is saved."""


@dataclass
class Progress:
    """Where a run is. seconds: of the present epoch so far. timing: of the finished ones. devices: what it was computed
    on."""

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    timing: list[dict] = field(default_factory=list)
    devices: list[dict] = field(default_factory=list)


class Loop:
    """The epochs of a task, from the beginning or from where its saved state ends.

    stop: asked after every step; True saves the state and raises Interrupted. report: called with (epoch, epochs, what
    the task reports) after every epoch.
    """

    def __init__(
        self,
        task: Task,
        epochs: int,
        batch_size: int,
        seed: int,
        state: RunState,
        processes: Processes,
        stop: Callable[[], bool] = lambda: False,
        report: Callable[[int, int, dict], None] = lambda *_: None,
    ):
        self.task, self.epochs, self.batch_size, self.seed = task, epochs, batch_size, seed
        self.state, self.processes, self.stop, self.report = state, processes, stop, report
        self.device, self.progress = processes.device, Progress()
        self.steps_per_epoch = math.ceil(task.images / batch_size)
        last_batch = task.images % batch_size or batch_size
        if last_batch < processes.count:
            raise RobustlensError(
                f"the last batch of an epoch has {last_batch} images for {processes.count} processes; change "
                "`batch_size` or the size of the training split"
            )

    def run(self) -> None:
        """To the end. Raises Interrupted when asked to stop."""
        self._restore()
        self.processes.wait()
        self.saved_at, self.questions = time.monotonic(), Questions(self.processes, SECONDS_BETWEEN_QUESTIONS)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            while self.progress.epoch < self.epochs:
                self._epoch()

    def batches(self, epoch: int) -> tuple[Tensor, ...]:
        """Positions of the epoch's batches; the same in every process."""
        order = torch.randperm(self.task.images, generator=generator(self.seed, "order", epoch))
        return order.to(self.device).split(self.batch_size)

    def steps_done(self) -> int:
        return self.progress.epoch * self.steps_per_epoch + self.progress.step

    def _epoch(self) -> None:
        now, epoch, started = self.progress, self.progress.epoch + 1, time.monotonic()
        if (here := device_facts()) not in now.devices:
            now.devices.append(here)
        if now.step == 0:
            with seeded(derive(self.seed, "before epoch", epoch), self.device):
                self.task.before_epoch(epoch)
        batches = self.batches(epoch)
        while now.step < len(batches):
            done = self.steps_done()
            with seeded(derive(self.seed, "dropout", done, self.processes.rank), self.device):
                self.task.step(batches[now.step], epoch, done)
            now.step += 1
            if self._interrupted():
                now.seconds += time.monotonic() - started
                started = time.monotonic()
                self._save()
                if self._stop_asked():
                    raise Interrupted(f"asked to stop in epoch {epoch}; the state is saved in {self.state.folder}")
        now.seconds += time.monotonic() - started
        with seeded(derive(self.seed, "after epoch", epoch), self.device):
            facts = self.task.after_epoch(epoch)
        speed = self.task.images / now.seconds
        now.timing.append({"epoch": epoch, "seconds": now.seconds, "images_per_second": speed})
        now.epoch, now.step, now.seconds = epoch, 0, 0.0
        self._save()
        if self.processes.first:
            self.report(epoch, self.epochs, facts)

    def _interrupted(self) -> bool:
        """Whether it is time to save: when asked to stop, and every few minutes."""
        if not self.questions.due():
            return False
        return self._stop_asked() or self.processes.any(time.monotonic() - self.saved_at > SAVE_EVERY_SECONDS)

    def _stop_asked(self) -> bool:
        return self.processes.any(self.stop())

    def _save(self) -> None:
        tensors = self.task.tensors()
        if self.processes.first:
            self.state.save(tensors, {"progress": vars(self.progress), "task": self.task.record()})
        self.processes.wait()
        self.saved_at = time.monotonic()

    def _restore(self) -> None:
        saved = self.state.load()
        if saved is not None:
            tensors, record = saved
            self.progress = Progress(**record["progress"])
            self.task.load(tensors, record["task"])


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, PyTorch's global generators, which dropout draws from, start from `seed`; after it they are as before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if device.type == "cuda":
            torch.manual_seed(seed)
        else:  # without a GPU, torch.manual_seed keeps the stack of every call, for the day one is used
            torch.default_generator.manual_seed(seed)
        yield
