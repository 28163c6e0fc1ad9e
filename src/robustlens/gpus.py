"""How many GPUs there are and how many jobs share one, told without PyTorch."""

import os
from pathlib import Path

from robustlens.errors import RobustlensError

DEVICES = Path(os.devnull).parent


def visible_gpus() -> int:
    """How many of NVIDIA's GPUs CUDA shows: those of this machine or, where it is set, of CUDA_VISIBLE_DEVICES."""
    here = len([*DEVICES.glob("nvidia[0-9]*")])
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None or not here:
        return here
    shown: list[str] = []
    for name in map(str.strip, chosen.split(",")):
        exists = name.startswith(("GPU-", "MIG-")) or (name.isdecimal() and int(name) < here)
        if not exists or name in shown:
            break  # CUDA shows what is listed before it
        shown.append(name)
    return len(shown)


def jobs_per_gpu() -> int:
    """ROBUSTLENS_JOBS_PER_GPU, by default 1. Raises RobustlensError unless it is a whole number from 1."""
    given = os.environ.get("ROBUSTLENS_JOBS_PER_GPU", "1")
    if not given.isdecimal() or int(given) < 1:
        raise RobustlensError(f"ROBUSTLENS_JOBS_PER_GPU: must be a whole number from 1, got {given!r}")
    return int(given)


def jobs_on_gpus() -> int:
    """How many jobs may compute on GPUs at the same time; 1 where there is no GPU."""
    return max(1, visible_gpus() * jobs_per_gpu())
