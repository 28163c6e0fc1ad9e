"""The work of a job, as passes through a network."""

from dataclasses import dataclass

from robustlens.planning.networks import Network

BFLOAT16, FLOAT32 = "bfloat16", "float32"


@dataclass(frozen=True)
class Calls:
    """Calls of a network on batches of `batch` images (a mean).

    forwards, gradients: forward passes and, among them, those that are followed by a gradient of the images. trained:
    more calls, followed by a gradient of the parameters. seconds: what the code around them takes. precision: on a GPU
    that has bfloat16.
    """

    name: str
    batch: float
    forwards: float
    gradients: float = 0.0
    trained: float = 0.0
    seconds: float = 0.0
    precision: str = FLOAT32

    @property
    def passes(self) -> float:
        """In forward passes of one image."""
        return self.batch * (self.forwards + self.gradients + 3 * self.trained)


@dataclass(frozen=True)
class Work:
    """What a job does with a network. processor: FLOPs of statistics, which are computed on the processor even if
    there is a GPU."""

    network: Network
    calls: tuple[Calls, ...]
    processor: float = 0.0

    @property
    def flops(self) -> float:
        return sum(self.flops_by("precision").values())

    def flops_by(self, what: str) -> dict[str, float]:
        """By the `name` or the `precision` of the calls."""
        found: dict[str, float] = {}
        for calls in self.calls:
            key = getattr(calls, what)
            found[key] = found.get(key, 0.0) + calls.passes * self.network.flops
        return found
