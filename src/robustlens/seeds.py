"""Independent random streams from one seed."""

import hashlib

import torch


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for a named purpose: equal inputs give equal seeds, different ones unrelated seeds."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on `device` for a named purpose."""
    return torch.Generator(device).manual_seed(derive(seed, *purpose))
