"""Who is measured on what."""

import math
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Package:
    """Of a peer that is not in the project's environment. name: of the distribution; module: as Python imports it;
    undeclared: distributions that it imports without asking for them."""

    name: str
    version: str
    module: str
    undeclared: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


TORCHATTACKS = Package("torchattacks", "3.5.1", "torchattacks")
FOOLBOX = Package("foolbox", "3.3.4", "foolbox")
ART = Package("adversarial-robustness-toolbox", "1.20.1", "art", undeclared=("packaging",))
TORCH_FIDELITY = Package("torch-fidelity", "0.4.0", "torch_fidelity")
ATTACK_STEPS = 10
# Forward passes per image that PGD-10 training needs: 2 per attack step (one, and the image's gradient), 3 to train.
USEFUL_PASSES = 2 * ATTACK_STEPS + 3
# Those of an attack by backward(), which computes the gradients of the weights too.
WASTEFUL_PASSES = 3 * ATTACK_STEPS + 3
PEER, PLAIN = str(TORCHATTACKS), "plain loop"


@dataclass(frozen=True)
class Contestant:
    """kind: its class, by the KINDS of the module that has it; options: what that takes besides the problem. package:
    what it needs besides the project's environment. wasteful: its attack makes a `backward()`."""

    name: str
    kind: str
    options: dict = field(default_factory=dict)
    package: Package | None = None
    wasteful: bool = False

    @property
    def arithmetic(self) -> tuple[str, str] | None:
        """Of ours: precision and memory format."""
        return (self.options["precision"], self.options["memory_format"]) if self.kind == "ours" else None

    @property
    def passes(self) -> int:
        """Forward passes per image that a step of its training costs."""
        return WASTEFUL_PASSES if self.wasteful else USEFUL_PASSES

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
    options = {"precision": precision, "memory_format": memory_format, "as_a_job": True}
    return Contestant(f"3x3 convolutions {precision} {memory_format}", "probe", options)


PEERS = [
    Contestant(PEER, "torchattacks", package=TORCHATTACKS),
    Contestant(str(FOOLBOX), "foolbox", package=FOOLBOX, wasteful=True),
    Contestant(PLAIN, "reference", wasteful=True),
]
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
