"""Speed and memory of a PGD-10 adversarial training step: robustlens, torchattacks and a plain loop in one run."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import numpy as np
from contestants import CLASSES, EPSILON, network
from rounds import Round, play, summary
from workers import TORCHATTACKS, Failed, Skipped, Worker

ATTACK_STEPS = 10
# Forward passes an image: 2 an attack step (a forward pass, the gradient of the images) and 3 to train. That of the
# weights in the attack is no use.
USEFUL = 2 * ATTACK_STEPS + 3
WASTEFUL = 3 * ATTACK_STEPS + 3
PEER, PLAIN = f"torchattacks {TORCHATTACKS}", "plain loop"
EPOCH_IMAGES = 50_000


@dataclass(frozen=True)
class Contestant:
    """probe: (precision, memory format) of the convolutions that its rate is compared with."""

    name: str
    kind: str
    options: dict = field(default_factory=dict)

    @property
    def probe(self) -> tuple[str, str] | None:
        return (self.options["precision"], self.options["memory_format"]) if self.kind == "ours" else None

    @property
    def exact(self) -> bool:
        return self.options.get("precision") != "bfloat16"

    @property
    def augmented(self) -> bool:
        return self.options.get("augmented", False)


def ours(precision: str, memory_format: str, **more: bool) -> Contestant:
    name = " ".join(["robustlens", precision, memory_format, *more])
    return Contestant(name, "ours", {"precision": precision, "memory_format": memory_format, **more})


PEERS = [Contestant(PEER, "torchattacks"), Contestant(PLAIN, "reference")]
ON_PROCESSOR = [*PEERS, ours("float32", "contiguous"), ours("float32", "channels-last")]
ON_PROCESSOR += [ours("bfloat16", "channels-last")]
ON_GPU = [*PEERS, ours("float32", "channels-last"), ours("bfloat16", "channels-last")]
ON_GPU += [ours("bfloat16", "channels-last", **more) for more in (
    {"compile": True}, {"augmented": True}, {"compile": True, "augmented": True}
)]  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """seconds: the batch is halved until all is estimated to take no longer. rounds: that have to count."""

    name: str
    width: int
    batch: int
    contestants: list[Contestant]
    threads: int
    gpu: bool
    rounds: int = 5
    seconds: float = math.inf
    quick: bool = False


def forward_flops(width: int) -> int:
    """Of one image, two a multiply-add."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(width).eval()(torch.zeros(1, 3, 32, 32))
    return counter.get_total_flops()


def write_images(folder: Path, batch: int) -> None:
    """Four batches of noise in CIFAR-10's shape."""
    random = np.random.default_rng(0)
    np.save(folder / "images.npy", random.integers(0, 256, (4 * batch, 3, 32, 32), dtype=np.uint8))
    np.save(folder / "labels.npy", random.integers(0, CLASSES, 4 * batch))


def measure(problem: Problem, folder: Path, say: Callable[[str], None]) -> dict:
    """All that was found, as the JSON file has it."""
    flops = forward_flops(problem.width)
    problem = _fitted(problem, flops, folder, say)
    write_images(folder, problem.batch)
    found = {"name": problem.name, "width": problem.width, "batch": problem.batch, "forward_flops_per_image": flops}
    found |= {"skipped": {}, "failed": {}, "checks": {}}
    with contextlib.ExitStack() as stack:
        workers = _ready(_started(problem, problem.contestants, folder, stack), found, say)
        _check(problem, workers, folder, found, say)
        names = {probe: f"3x3 convolutions {' '.join(probe)}" for probe in _probes(problem, workers)}
        probes = [Contestant(name, "probe", dict(zip(("precision", "memory_format"), probe, strict=True)))
                  for probe, name in names.items()]  # fmt: skip
        workers |= _ready(_started(problem, probes, folder, stack), found, say)
        counts, convolutions = {}, {}
        for name, worker in list(workers.items()):
            with _failures(name, workers, found, say):
                attack_steps = ATTACK_STEPS if name not in names.values() else None
                convolutions[name] = worker.ask("warm_up", steps=10 if problem.gpu else 1, attack_steps=attack_steps)
                counts[name] = _steps_a_round(problem, worker)
        run = {name: _turn(worker, counts[name]) for name, worker in workers.items()}
        say(f"{problem.name}, batch {problem.batch}: {problem.rounds} rounds of {len(run)} in turn")
        judged = [] if problem.quick else list(names.values())
        threads = None if problem.gpu or problem.quick else problem.threads
        rounds, dropped = play(run, judged, threads, problem.rounds, problem.rounds * 2)
        memory = {name: workers[name].ask("memory")["memory"] for name in workers if name not in names.values()}
    found |= {"rounds": [vars(one) for one in rounds], "dropped": dropped, "rows": {}}
    rates = {name: facts["flops"] for name, facts in convolutions.items() if name in workers}
    for contestant in problem.contestants:
        if contestant.name in workers and rounds:
            probe = names.get(contestant.probe)
            found["rows"][contestant.name] = _row(problem, contestant, rounds, flops, probe, rates, memory)
    return found


def _fitted(problem: Problem, flops: int, folder: Path, say: Callable[[str], None]) -> Problem:
    """The problem with the largest batch that leaves it time to finish, by the rate of a probe."""
    if problem.seconds == math.inf:
        return problem
    with contextlib.ExitStack() as stack:
        probe = Contestant("probe", "probe", {"precision": "float32", "memory_format": "channels-last"})
        worker = _started(replace(problem, batch=8), [probe], folder, stack)["probe"]
        worker.ready()
        rate = worker.ask("warm_up", steps=1)["flops"] / worker.ask("run", steps=5)["seconds"]
    passes = sum(WASTEFUL if c.kind == "reference" else USEFUL for c in problem.contestants)
    image = passes * flops / (0.7 * rate) * (problem.rounds + 3)  # beside the rounds: checks, warming up, counting
    batch = problem.batch
    while batch > 8 and batch * image > problem.seconds:
        batch //= 2
    if batch < problem.batch:
        say(
            f"{problem.name}: batch {batch}, for {problem.batch} would take {problem.batch * image / 60:.0f} minutes "
            f"at the {rate / 1e9:.0f} GFLOP/s of this machine (--minutes)"
        )
    return replace(problem, batch=batch)


def _started(
    problem: Problem, contestants: list[Contestant], folder: Path, stack: contextlib.ExitStack
) -> dict[str, Worker | Skipped]:
    workers: dict[str, Worker | Skipped] = {}
    job = {"width": problem.width, "batch": problem.batch, "folder": folder, "threads": problem.threads}
    for contestant in contestants:
        try:
            worker = Worker(contestant.kind, contestant.options, **job)
        except Skipped as reason:
            workers[contestant.name] = reason
            continue
        stack.callback(worker.stop)
        workers[contestant.name] = worker
    return workers


def _ready(started: dict[str, Worker | Skipped], found: dict, say: Callable[[str], None]) -> dict[str, Worker]:
    """Those that take part; they all have the same torch."""
    import torch

    workers = {name: worker for name, worker in started.items() if isinstance(worker, Worker)}
    for name, worker in started.items():
        with _failures(name, workers, found, say):
            if isinstance(worker, Skipped):
                raise worker
            installed = worker.ready()["torch"]
            if installed.split("+")[0] != torch.__version__.split("+")[0]:
                raise Skipped(f"it came with torch {installed}, the others have {torch.__version__}")
    return workers


@contextlib.contextmanager
def _failures(name: str, workers: dict[str, Worker], found: dict, say: Callable[[str], None]) -> Iterator[None]:
    """What stops a contestant stops no other one."""
    try:
        yield
    except (Skipped, Failed) as reason:
        kind = "skipped" if isinstance(reason, Skipped) else "failed"
        found[kind][name] = str(reason)
        say(f"{name}: {kind}: {reason}")
        workers.pop(name, None)


def _check(problem: Problem, workers: dict[str, Worker], folder: Path, found: dict, say: Callable[[str], None]) -> None:
    """Before any timing: all contestants compute the same thing."""
    x = np.load(folder / "images.npy")[: problem.batch].astype(np.float32) / 255
    reference = None
    for contestant in sorted(problem.contestants, key=lambda c: c.kind != "reference"):
        if contestant.name not in workers or contestant.augmented:
            continue
        with _failures(contestant.name, workers, found, say):
            worker, one, ten = workers[contestant.name], folder / "one.npy", folder / "ten.npy"
            loss = worker.ask("check", attack_steps=1, file=str(one))["loss"]
            worker.ask("check", attack_steps=ATTACK_STEPS, file=str(ten))
            reference = reference or (np.load(one), loss)
            found["checks"][contestant.name] = _compared(
                np.load(one), np.load(ten), loss, x, reference, contestant.exact
            )


def _compared(
    one: np.ndarray, ten: np.ndarray, loss: float, x: np.ndarray, reference: tuple[np.ndarray, float], exact: bool
) -> dict:
    """one, ten: adversarial images after one and ten attack steps, from the same start. Raises Failed."""
    outside = np.abs(ten - x).max() - EPSILON
    if not (outside < 1e-6 and ten.min() >= 0 and ten.max() <= 1):
        raise Failed(f"its adversarial images leave the ball by {outside:.2g}, or [0, 1]: {ten.min()} to {ten.max()}")
    equal = float((np.abs(one - reference[0]) < 1e-5).mean())
    apart = abs(loss / reference[1] - 1)
    least, most = (0.999, 1e-4) if exact else (0.8, 0.05)
    if not (equal >= least and apart <= most):
        raise Failed(
            f"it does something else: {equal:.2%} of the pixels are the plain loop's, the loss is {apart:.2g} off"
        )
    return {"equal_pixels": equal, "loss_difference": apart}


def _probes(problem: Problem, workers: dict[str, Worker]) -> list[tuple[str, str]]:
    wanted = [c.probe for c in problem.contestants if c.name in workers and c.probe]
    return list(dict.fromkeys(wanted))


def _steps_a_round(problem: Problem, worker: Worker) -> int:
    """On a processor about a second; on a GPU as many as give 60 steps in all."""
    if problem.gpu and not problem.quick:
        return math.ceil(60 / problem.rounds)
    seconds = worker.ask("run", steps=1)["seconds"]
    return 1 if problem.quick else max(1, min(50, round(1 / seconds)))


def _turn(worker: Worker, steps: int) -> Callable[[], tuple[float, float]]:
    def measured() -> tuple[float, float]:
        answer = worker.ask("run", steps=steps)
        return answer["seconds"], answer["processors"]

    return measured


def _row(
    problem: Problem,
    contestant: Contestant,
    rounds: list[Round],
    flops: int,
    probe: str | None,
    convolutions: dict[str, int],
    memory: dict[str, int | None],
) -> dict:
    seconds = summary(rounds, contestant.name, None)
    useful = USEFUL * flops * problem.batch
    row = {
        "seconds": seconds["median"],
        "least_seconds": seconds["least"],
        "images_per_second": problem.batch / seconds["median"],
        "best_images_per_second": problem.batch / seconds["least"],
        "useful_flops_per_second": useful / seconds["median"],
        "memory_bytes": memory[contestant.name],
    }
    for base in (PEER, PLAIN):
        there = base in rounds[0].seconds
        row[f"times_{base.split()[0]}"] = summary(rounds, contestant.name, base)["ratio"] if there else None
    if probe:
        rates = [useful / r.seconds[contestant.name] / (convolutions[probe] / r.seconds[probe]) for r in rounds]
        row["share_of_convolution_rate"] = median(rates)
        row["convolution_flops_per_second"] = median(convolutions[probe] / r.seconds[probe] for r in rounds)
    if contestant.augmented:
        row["epoch_seconds"] = math.ceil(EPOCH_IMAGES / problem.batch) * seconds["median"]
    return row
