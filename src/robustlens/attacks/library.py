"""What every attack taken from the pyautoattack library (Croce and Hein's AutoAttack) needs around it."""

import contextlib
import random
import sys
from collections.abc import Iterator

import numpy as np
import torch

from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError

NORMS = {"linf": "Linf", "l2": "L2"}


@contextlib.contextmanager
def isolated_randomness(device: torch.device) -> Iterator[None]:
    """The library seeds the global generators and clears the trace function (of a debugger, of a coverage
    measurement); outside this block all are as they were before it, but for generators of other GPUs than device, that
    of the images: to ask for them would take memory there, and nothing here draws from them."""
    python, numpy, trace = random.getstate(), np.random.get_state(), sys.gettrace()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            sys.settrace(trace)


def library_seed(generator: torch.Generator) -> int:
    """A seed for the library, which wants 31 bits, drawn from `generator`."""
    return int(torch.randint(2**31 - 1, (), generator=generator, device=generator.device))


def norm_name(threat: Threat) -> str:
    return NORMS[threat.norm]


def radius(threat: Threat) -> float:
    """epsilon. Raise RobustlensError where every image has its own: the library knows one for all."""
    if isinstance(threat.epsilon, torch.Tensor):
        raise RobustlensError("the library's attacks know one epsilon for all images; use PGD for one per image")
    return threat.epsilon


def require_classes(classes: int, least: int, attack: str) -> None:
    """Raise RobustlensError where an attack is not defined for so few classes."""
    if classes < least:
        raise RobustlensError(
            f"{attack} needs at least {least} classes, the model has {classes}; use PGD and Square instead"
        )


def target_classes(classes: int) -> int:
    """How many classes the targeted attacks try: nine as in AutoAttack's standard version, or all the others."""
    return min(9, classes - 1)
