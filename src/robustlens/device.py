"""The device a job computes on."""

import torch


def use_device(threads: int) -> torch.device:
    """The first visible GPU, or the processor with `threads` threads; results are bit-stable only at equal threads."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
