"""How the processor computes: with instructions that all have in common, or with all that it has.

`portable` gives the same bytes on every x86-64 processor with AVX2 (docs/determinism.md). Libraries choose their
instructions when they are loaded, so that it is an environment, set before Python starts: by the Snakefile, or by hand,

    env $(python -m robustlens.arithmetic) python scripts/train.py ...

`native` leaves libraries their choice. Parameters that do not say which are from before there was one: native.
"""

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustlens.errors import RobustlensError

PORTABLE, NATIVE = "portable", "native"
CPUINFO = Path("/proc/cpuinfo")
VARIABLES = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # its convolutions
    "MKL_CBWR": "COMPATIBLE",  # its matrix products and functions
    "OPENBLAS_CORETYPE": "Haswell",  # the kernels of numpy's and scipy's matrix products for AVX2
    "NPY_ENABLE_CPU_FEATURES": "X86_V3",  # numpy's own kernels: AVX2 and FMA
    # How sums are cut depends on threads.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def of(parameters: Mapping[str, Any]) -> str:
    """The arithmetic of a job with these parameters."""
    return parameters.get("arithmetic", NATIVE)


def prepare(arithmetic: str) -> None:
    """Have the processes that this one starts compute so. Raises RobustlensError where the processor can't."""
    check_processor(arithmetic)
    if arithmetic == PORTABLE:
        os.environ.update(VARIABLES)


def is_prepared() -> bool:
    """Whether this process has the environment of portable arithmetic."""
    return all(os.environ.get(name) == value for name, value in VARIABLES.items())


def shell_prefix(arithmetic: str) -> str:
    """What the commands of jobs begin with. Snakemake gives each the number of threads of its rule, whatever the
    environment says; here portable jobs get one again."""
    threads = [f"{name}={value}" for name, value in VARIABLES.items() if name.endswith("_THREADS")]
    return "set -euo pipefail; " + (f"export {' '.join(threads)}; " if arithmetic == PORTABLE else "")


def check(arithmetic: str) -> None:
    """Raise RobustlensError unless this process computes so: in the environment of that arithmetic, and, if torch is
    loaded, with the instructions that the environment asks for."""
    if arithmetic != PORTABLE:
        return
    check_processor(arithmetic)
    torch = sys.modules.get("torch")
    late = torch and torch.backends.cpu.get_cpu_capability() != "AVX2"
    if late or not is_prepared():
        missing = [f"{name}={value}" for name, value in VARIABLES.items() if os.environ.get(name) != value]
        raise RobustlensError(
            f"arithmetic: portable needs {' '.join(missing) or 'its variables'} in the environment before Python "
            "starts. Snakemake sets them; by hand: env $(python -m robustlens.arithmetic) python scripts/..."
        )


def check_processor(arithmetic: str) -> None:
    """Raise RobustlensError where the processor can't compute so. Only Linux says in a file what a processor has; torch
    is built for x86-64 on no other Unix."""
    text = CPUINFO.read_text() if CPUINFO.exists() else ""
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    if arithmetic == PORTABLE and not {"avx2", "fma"} <= set(flags):
        raise RobustlensError(
            f"arithmetic: portable needs an x86-64 processor with AVX2, and this one ({platform.machine()}) has none; "
            "`--config arithmetic=native` computes on it, though not the same bytes"
        )


if __name__ == "__main__":
    print(*(f"{name}={value}" for name, value in VARIABLES.items()))
