"""The device a job computes on."""

import contextlib
import ctypes
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.utils.deterministic
from filelock import FileLock, Timeout

from robustlens import arithmetic as arithmetics
from robustlens.console import log
from robustlens.errors import RobustlensError
from robustlens.gpus import jobs_per_gpu

POLL_SECONDS = 2.0
# Of <malloc.h>: blocks of at least the first size go back to the system as soon as they are freed, and so does free
# memory at the end of the heap beyond the second.
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
MOST, MOST_IN_OLDER_GLIBC = 2**30, 2**25


@contextlib.contextmanager
def use_device(threads: int, arithmetic: str) -> Iterator[torch.device]:
    """A GPU for this job alone, or the processor with `threads` threads; results are bit-stable only at equal threads.
    With `portable` arithmetic: the processor with one thread, in any case.

    Where several GPUs are visible (CUDA_VISIBLE_DEVICES), each job gets one that no other job of this user on this
    machine has, and waits while there is none. ROBUSTLENS_JOBS_PER_GPU lets several small runs share one. Where several
    processes train together (torchrun), each gets the GPU of its local rank; the first one waits for all of these GPUs.
    Raises RobustlensError where there are fewer GPUs than processes, and where this process does not compute with that
    arithmetic.
    """
    arithmetics.check(arithmetic)
    portable = arithmetic == arithmetics.PORTABLE
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only with this
    torch.set_num_threads(1 if portable else threads)
    # The same as use_deterministic_algorithms(True, warn_only=True), but that imports torch's compiler: 2 s per job.
    torch.set_deterministic_debug_mode("warn")
    # With it torch would also fill all memory that it takes, for programs that read some before they write to it.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # float32 means float32
    if portable or not torch.cuda.is_available():
        keep_freed_memory()
        yield torch.device("cpu")
        return
    names = [str(torch.cuda.get_device_properties(number).uuid) for number in range(torch.cuda.device_count())]
    choose = one_each if "LOCAL_RANK" in os.environ else one_of
    with choose(names, jobs_per_gpu()) as number:
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
        yield device


def keep_freed_memory() -> bool:
    """Let this process reuse the memory that it has freed. Otherwise the system zeroes it for every tensor of some
    megabytes: a pass through a ResNet-18 and its gradient take up to a fifth longer. False where there is no glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # The second setting alone would give every block back.
    kept = mallopt(MMAP_THRESHOLD, MOST) or mallopt(MMAP_THRESHOLD, MOST_IN_OLDER_GLIBC)
    return bool(kept and mallopt(TRIM_THRESHOLD, 2**31 - 1))


@contextlib.contextmanager
def one_each(names: list[str], jobs_each: int) -> Iterator[int]:
    """The local rank of this process of torchrun, which is the position in `names` of its device.

    The first process holds the devices of all, and the others wait for it when they meet (`Processes`). It takes them
    in the order of their names: two jobs with different orders could each wait for what the other has.
    """
    rank, count = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if count > len(names):
        raise RobustlensError(
            f"{count} processes for {len(names)} GPUs: ask for fewer `processes`, or make more GPUs visible"
        )
    with contextlib.ExitStack() as held:
        for name in sorted(names[:count]) if rank == 0 else []:
            held.enter_context(one_of([name], jobs_each))
        yield rank


@contextlib.contextmanager
def one_of(names: list[str], jobs_each: int) -> Iterator[int]:
    """The position in `names` of a device with fewer than `jobs_each` jobs, held until the block ends; the emptiest
    first. The locks are the operating system's: they end with their process."""
    folder = Path(tempfile.gettempdir()) / f"robustlens-devices-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    waiting = False
    while True:
        for slot in range(jobs_each):
            for number, name in enumerate(names):
                lock = FileLock(folder / f"{name}-{slot}")
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    continue
                try:
                    yield number
                finally:
                    lock.release()
                return
        if not waiting:
            log.warning("all %d GPUs are taken by other jobs; waiting for one", len(names))
            waiting = True
        time.sleep(POLL_SECONDS)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware computes in bfloat16, rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    supported = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    used = torch.backends.cpu.get_cpu_capability().startswith("AVX512")  # portable arithmetic goes without
    return device.type == "cpu" and used and any(getattr(torch.cpu, name, bool)() for name in supported)
