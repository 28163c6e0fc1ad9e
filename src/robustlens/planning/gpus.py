"""GPUs that are not here: the rates that programs reach on them, as they were reported or are assumed."""

from dataclasses import dataclass

from robustlens.planning.work import BFLOAT16, FLOAT32


@dataclass(frozen=True)
class Gpu:
    """rates: the lowest and the highest FLOP/s that are delivered, by precision. source: where they come from."""

    name: str
    rates: dict[str, tuple[float, float]]
    source: str

    def hours(self, flops: dict[str, float]) -> tuple[float, float]:
        """Fewest and most hours that the FLOPs of each precision take."""
        return (
            sum(amount / self.rates[precision][1] for precision, amount in flops.items()) / 3600,
            sum(amount / self.rates[precision][0] for precision, amount in flops.items()) / 3600,
        )


GPUS = (
    Gpu(
        "A100",
        {BFLOAT16: (77e12, 114e12), FLOAT32: (10e12, 16e12)},
        "77 to 114 TFLOP/s in 16 bits, reached by airbench's public code on CIFAR-10 (according to its README); "
        "10 to 16 in float32, assumed: half to four fifths of the peak",
    ),
    Gpu(
        "H100",
        {BFLOAT16: (200e12, 300e12), FLOAT32: (34e12, 54e12)},
        "assumed: 200 to 300 TFLOP/s in 16 bits; 34 to 54 in float32, half to four fifths of the peak",
    ),
)
