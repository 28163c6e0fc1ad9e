"""Speed and memory of a PGD-10 adversarial training step: robustlens, two libraries and a plain loop in one run."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from contestants import CLASSES, EPSILON, network
from line_up import ATTACK_STEPS, PEER, PLAIN, USEFUL_PASSES, Contestant, Problem, probe
from rounds import Round, play, summary
from torch.utils.flop_counter import FlopCounterMode
from workers import Failed, Skipped, Worker

EPOCH_IMAGES = 50_000
GPU_STEPS = 60  # over all rounds
LEAST_BATCH = 8
Say = Callable[[str], None]


def measure(problem: Problem, folder: Path, say: Say) -> dict:
    """All that is found of a problem, as the JSON file has it; every contestant is done when it returns."""
    problem = fitted(problem, folder, say)
    with contextlib.ExitStack() as stack:
        return Measurement(problem, folder, say, stack).found


class Measurement:
    """The contestants of a problem: started, checked, warmed up, and run in turn."""

    def __init__(self, problem: Problem, folder: Path, say: Say, stack: contextlib.ExitStack):
        self.problem, self.folder, self.say, self.stack = problem, folder, say, stack
        self.workers: dict[str, Worker] = {}
        self.flops = forward_flops(problem.width)
        self.found = {"name": problem.name, "width": problem.width, "batch": problem.batch}
        self.found |= {"forward_flops_per_image": self.flops, "skipped": {}, "failed": {}, "checks": {}, "rows": {}}

        write_images(folder, problem.batch)
        self.start(problem.contestants)
        self.check()
        there = [c for c in problem.contestants if c.name in self.workers]
        self.probes = [probe(arithmetic) for arithmetic in dict.fromkeys(c.arithmetic for c in there) if arithmetic]
        self.start(self.probes)
        steps, self.probe_flops = self.warm_up()

        say(f"{problem.name}, batch {problem.batch}: {len(self.workers)} in turn, {problem.rounds} rounds")
        run = {name: partial(worker.turn, steps[name]) for name, worker in self.workers.items()}
        judged = [] if problem.quick else [p.name for p in self.probes if p.name in self.workers]
        threads = None if problem.quick or problem.gpu else problem.threads
        rounds, dropped = play(run, judged, threads, problem.rounds, most=2 * problem.rounds)
        self.found |= {"rounds": [vars(one) for one in rounds], "dropped": dropped}
        for contestant in there if rounds else []:
            if contestant.name in self.workers:
                self.found["rows"][contestant.name] = self.row(contestant, rounds)

    @contextlib.contextmanager
    def without(self, name: str) -> Iterator[None]:
        """What stops this contestant stops no other one."""
        try:
            yield
        except (Skipped, Failed) as reason:
            kind = "skipped" if isinstance(reason, Skipped) else "failed"
            self.found[kind][name] = str(reason)
            self.say(f"{name}: {kind}: {reason}")
            self.workers.pop(name, None)

    def start(self, contestants: list[Contestant]) -> None:
        """All at once."""
        for contestant in contestants:
            with self.without(contestant.name):
                self.workers[contestant.name] = worker = Worker(contestant, self.problem, self.folder)
                self.stack.callback(worker.stop)
        for contestant in contestants:
            if contestant.name in self.workers:
                with self.without(contestant.name):
                    self.workers[contestant.name].ready()

    def check(self) -> None:
        """Before any timing: all contestants compute the same thing as the plain loop."""
        x = np.load(self.folder / "images.npy")[: self.problem.batch].astype(np.float32) / 255
        one, ten = self.folder / "one.npy", self.folder / "ten.npy"
        plain = None
        for contestant in sorted(self.problem.contestants, key=lambda c: c.kind != "reference"):
            if contestant.name not in self.workers or contestant.augmented:
                continue
            with self.without(contestant.name):
                worker = self.workers[contestant.name]
                loss = worker.ask("check", attack_steps=1, file=str(one))["loss"]
                worker.ask("check", attack_steps=ATTACK_STEPS, file=str(ten))
                plain = plain or (np.load(one), worker)
                plain_loss = plain[1].ask("loss_of", file=str(one))["loss"]
                verdict = compared(np.load(one), np.load(ten), loss, x, plain[0], plain_loss, exact=contestant.exact)
                self.found["checks"][contestant.name] = verdict

    def warm_up(self) -> tuple[dict[str, int], dict[str, int]]:
        """Steps of each contestant in a round, and the floating-point operations of a step of each probe."""
        steps, flops = {}, {}
        for name, worker in list(self.workers.items()):
            with self.without(name):
                flops[name] = worker.ask("warm_up", attack_steps=ATTACK_STEPS, steps=10 if self.problem.gpu else 1)[
                    "flops"
                ]
                steps[name] = self.steps_a_round(worker)
        return steps, flops

    def steps_a_round(self, worker: Worker) -> int:
        """On a processor about a second's."""
        if self.problem.quick:
            return 1
        if self.problem.gpu:
            return math.ceil(GPU_STEPS / self.problem.rounds)
        return max(1, min(50, round(1 / worker.ask("run", steps=1)["seconds"])))

    def row(self, contestant: Contestant, rounds: list[Round]) -> dict:
        name, batch = contestant.name, self.problem.batch
        seconds = summary(rounds, name, None)
        useful = USEFUL_PASSES * self.flops * batch
        row = {
            "images_per_second": batch / seconds["median"],
            "best_images_per_second": batch / seconds["least"],
            "useful_flops_per_second": useful / seconds["median"],
            "memory_bytes": self.workers[name].ask("memory")["memory"],
        }
        for key, base in (("times_torchattacks", PEER), ("times_plain_loop", PLAIN)):
            row[key] = summary(rounds, name, base)["ratio"] if base in self.workers else None
        convolutions = probe(contestant.arithmetic).name if contestant.arithmetic else None
        if convolutions in self.workers:
            rates = [self.probe_flops[convolutions] / one.seconds[convolutions] for one in rounds]
            shares = [useful / one.seconds[name] / rate for one, rate in zip(rounds, rates, strict=True)]
            row |= {"convolution_flops_per_second": median(rates), "share_of_convolution_rate": median(shares)}
        if contestant.augmented:
            row["epoch_seconds"] = math.ceil(EPOCH_IMAGES / batch) * seconds["median"]
        return row


def fitted(problem: Problem, folder: Path, say: Say) -> Problem:
    """The problem with the largest batch that leaves it time to finish, by the rate of a probe."""
    if problem.seconds == math.inf:
        return problem
    write_images(folder, LEAST_BATCH)
    worker = Worker(probe(("float32", "channels-last")), replace(problem, batch=LEAST_BATCH), folder)
    try:
        worker.ready()
        rate = worker.ask("warm_up", attack_steps=0, steps=1)["flops"] / worker.ask("run", steps=5)["seconds"]
    finally:
        worker.stop()
    passes = sum(contestant.passes for contestant in problem.contestants)
    # Three more than the rounds: for the checks, for warming up, and for counting the steps of a round.
    seconds = passes * forward_flops(problem.width) / (0.7 * rate) * (problem.rounds + 3)  # an image
    batch = problem.batch
    while batch > LEAST_BATCH and batch * seconds > problem.seconds:
        batch //= 2
    if batch < problem.batch:
        say(
            f"{problem.name}: at {rate / 1e9:.0f} GFLOP/s batches of {problem.batch} would take "
            f"{problem.batch * seconds / 60:.0f} minutes; batches of {batch} are measured (see --minutes)"
        )
    return replace(problem, batch=batch)


def forward_flops(width: int) -> int:
    """Of one image, two a multiply-add."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(width).eval()(torch.zeros(1, 3, 32, 32))
    return counter.get_total_flops()


def write_images(folder: Path, batch: int) -> None:
    """Four batches of noise in CIFAR-10's shape."""
    random = np.random.default_rng(0)
    np.save(folder / "images.npy", random.integers(0, 256, (4 * batch, 3, 32, 32), dtype=np.uint8))
    np.save(folder / "labels.npy", random.integers(0, CLASSES, 4 * batch))


def compared(
    one: np.ndarray, ten: np.ndarray, loss: float, x: np.ndarray, plain: np.ndarray, plain_loss: float, exact: bool
) -> dict:
    """A contestant's adversarial images after one attack step (`one`) and ten, and its loss after one, against the
    plain loop's images after one step and its loss on the contestant's own: where a gradient is next to nothing, its
    sign is rounding, and BatchNorm shows the few pixels that differ for it to a small batch's loss. Raises Failed for
    images that leave the ball or [0, 1], and for more than rounding between the two."""
    outside = float(np.abs(ten - x).max()) - EPSILON
    if not (outside < 1e-6 and ten.min() >= 0 and ten.max() <= 1):
        raise Failed(f"its images leave the ball by {outside:.2g}, or [0, 1]: {ten.min():.3g} to {ten.max():.3g}")
    equal = float((np.abs(one - plain) < 1e-5).mean())
    apart = abs(loss / plain_loss - 1)
    least, most = (0.999, 1e-5) if exact else (0.8, 0.05)
    if not (equal >= least and apart <= most):
        raise Failed(f"{equal:.2%} of its pixels are the plain loop's, and its loss is {apart:.2g} off")
    return {"equal_pixels": equal, "loss_difference": apart}
