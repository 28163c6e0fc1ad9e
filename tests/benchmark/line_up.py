"""Who is measured on what."""

import math
from dataclasses import dataclass, field

TORCHATTACKS = "3.5.1"
ATTACK_STEPS = 10
# Forward passes per image that PGD-10 training needs: 2 per attack step (one, and the image's gradient), 3 to train.
USEFUL_PASSES = 2 * ATTACK_STEPS + 3
# Those of an attack by backward(), which computes the gradients of the weights too.
WASTEFUL_PASSES = 3 * ATTACK_STEPS + 3
PEER, PLAIN = f"torchattacks {TORCHATTACKS}", "plain loop"


@dataclass(frozen=True)
class Contestant:
    """kind: its class in contestants.py; options: what that takes besides the problem."""

    name: str
    kind: str
    options: dict = field(default_factory=dict)

    @property
    def arithmetic(self) -> tuple[str, str] | None:
        """Of ours: precision and memory format."""
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


def probe(arithmetic: tuple[str, str]) -> Contestant:
    precision, memory_format = arithmetic
    options = {"precision": precision, "memory_format": memory_format}
    return Contestant(f"3x3 convolutions {precision} {memory_format}", "probe", options)


PEERS = [Contestant(PEER, "torchattacks"), Contestant(PLAIN, "reference")]
ON_PROCESSOR = [
    *PEERS,
    ours("float32", "contiguous"),
    ours("float32", "channels-last"),
    ours("bfloat16", "channels-last"),
]
ON_GPU = [
    *PEERS,
    ours("float32", "channels-last"),
    ours("bfloat16", "channels-last"),
    ours("bfloat16", "channels-last", compile=True),
    ours("bfloat16", "channels-last", augmented=True),  # an epoch as it is trained
    ours("bfloat16", "channels-last", compile=True, augmented=True),
]


@dataclass(frozen=True)
class Problem:
    """The network, a ResNet-18 of some width, and how it is measured.

    rounds: how many have to count. seconds: the batch is halved until all is estimated to take no longer. quick: once.
    """

    name: str
    width: int
    batch: int
    threads: int
    gpu: bool
    rounds: int = 5
    seconds: float = math.inf
    quick: bool = False

    @property
    def contestants(self) -> list[Contestant]:
        return ON_GPU if self.gpu else ON_PROCESSOR


def problems(gpu: bool, threads: int, minutes: float, quick: bool) -> list[Problem]:
    if quick:
        return [Problem("ResNet-18 of width 16", 16, 8, threads, gpu, rounds=1, quick=True)]
    if gpu:
        return [Problem("ResNet-18", 64, 128, threads, gpu)]
    return [
        Problem("ResNet-18", 64, 32, threads, gpu, seconds=30 * minutes),
        Problem("ResNet-18 of width 16", 16, 64, threads, gpu),
    ]
