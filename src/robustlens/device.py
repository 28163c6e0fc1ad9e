"""The device a job computes on."""

import os

import torch


def use_device(threads: int) -> torch.device:
    """The first visible GPU, or the processor with `threads` threads; results are bit-stable only at equal threads."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only with this
    torch.set_num_threads(threads)
    # The same as use_deterministic_algorithms(True, warn_only=True), but that imports torch's compiler: 2 s a job.
    torch.set_deterministic_debug_mode("warn")
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
