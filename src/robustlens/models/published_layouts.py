"""Weights as other repositories publish them, brought to the names of our architectures.

What they put around a network's own names (`published_parts` finds the state dict in the file):

- TRADES, LBGAT, self-adaptive training: `sub_block1.*`, a copy of a wide ResNet's first stage that no image passes;
- AWP, DKL and most others: `module.` of DataParallel;
- RST, Chen2020Efficient (RobustBench): `model.`;
- RobustBench: `mu` and `sigma` where a CIFAR model normalises its inputs, `mean` and `std` in its DMWideResNet,
  `normalize.mean`, `normalize.std` and `model.*` in its ImageNet models; not every checkpoint has them;
- DM-Improves-AT (Wang et al. 2023): `module.0.*`, or `module.1.*` behind a normalisation `module.0.*`;
- MadryLab robustness: `module.model.*`, a copy of it in `module.attacker.model.*`, and `module.normalizer.new_mean`,
  `.new_std`;
- a LightningModule: what its author calls the network;
- torch.compile, DataParallel, AveragedModel, FSDP, activation checkpoints, Opacus: a name of their own in front of the
  whole network's names or, around a part of it, in their middle (`layer1._orig_mod.0.conv1.weight`), in any order;
- AveragedModel: how many weights were averaged, `n_averaged`;
- torch before 0.4.1: no `num_batches_tracked`.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from robustlens.errors import RobustlensError

PREFIXES = ("model.", "network.", "net.", "backbone.", "0.", "1.")
# What torch.compile, DataParallel (DistributedDataParallel, AveragedModel), FSDP, activation checkpoints and Opacus
# call the module that they are put around: the whole network, or a part of it.
AROUND = ("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_module")
UNUSED = ("sub_block1.", "attacker.")
COUNTERS = ("n_averaged",)
COUNTED = "num_batches_tracked"
MEANS, STDS = ("mu", "mean", "new_mean"), ("sigma", "std", "new_std")


def to_plain(state: Mapping[str, Tensor], expected_keys: Collection[str], prefix: str = "") -> dict[str, Tensor]:
    """The state dict under the names `expected_keys`, without what wrappers and normalisation layers add.

    prefix: what the network's names begin with, beside the usual prefixes.
    Counters of BatchNorm batches, which evaluation does not use, start from 0 where the file has none.
    Raises RobustlensError with the counts and the first of the missing and of the unexpected entries.
    """
    plain: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name = _plain_name(key, expected_keys, prefix)
        if name not in expected_keys and (name.startswith(UNUSED) or is_constant(name) or _last(name) in COUNTERS):
            continue
        if name in plain:
            raise RobustlensError(f"the file holds {name} twice, the second time as {key}")
        plain[name] = tensor
    for name in expected_keys:
        if name.endswith(COUNTED):
            plain.setdefault(name, torch.zeros((), dtype=torch.int64))
    missing = [name for name in expected_keys if name not in plain]
    unexpected = [name for name in plain if name not in expected_keys]
    if missing or unexpected:
        raise RobustlensError(f"missing entries: {some(missing)}; unexpected entries: {some(unexpected)}")
    return plain


@dataclass(frozen=True)
class StoredNormalisation:
    """Of inputs, as a file has it. mean, std: one number per channel; dtype: what they are stored as."""

    mean: list[float]
    std: list[float]
    dtype: torch.dtype

    @property
    def rounding(self) -> float:
        """The most that a number is off by its storing, relative to itself: 5e-4 in float16, 4e-3 in bfloat16."""
        return torch.finfo(self.dtype).eps / 2 if self.dtype.is_floating_point else 0.0


def stored_normalisation(
    state: Mapping[str, Tensor], expected_keys: Collection[str], prefix: str = ""
) -> list[StoredNormalisation]:
    """The input normalisations in a published state dict.

    One that changes nothing (mean 0, std 1) does not count. Raises RobustlensError for a mean without a std.
    """
    names = {key: _plain_name(key, expected_keys, prefix) for key in state}
    constants = {key: _last(name) for key, name in names.items() if name not in expected_keys}
    means, stds = ([state[key] for key, last in constants.items() if last in kind] for kind in (MEANS, STDS))
    if len(means) != len(stds):
        raise RobustlensError(f"the file holds {len(means)} means and {len(stds)} deviations of inputs, not as many")
    pairs = [
        StoredNormalisation(mean.flatten().tolist(), std.flatten().tolist(), min(mean.dtype, std.dtype, key=_digits))
        for mean, std in zip(means, stds, strict=True)
    ]
    return [pair for pair in pairs if set(pair.mean) != {0.0} or set(pair.std) != {1.0}]


def _digits(dtype: torch.dtype) -> float:
    """The more, the finer a type is."""
    return 1 / torch.finfo(dtype).eps if dtype.is_floating_point else math.inf


def without_wrappers(key: str) -> str:
    """The name of an entry without those of modules that are put around others."""
    return ".".join(part for part in key.split(".") if part not in AROUND)


def is_constant(name: str) -> bool:
    """Whether an entry is called like the mean or the deviation of a normalisation."""
    return _last(name) in MEANS + STDS


def some(names: Collection[str]) -> str:
    """How many there are, and the first of them."""
    shown = list(names)[:3]
    return f"{len(names)} ({', '.join(map(str, shown))}{', ...' if len(names) > 3 else ''})" if names else "none"


def _plain_name(key: str, expected_keys: Collection[str], own_prefix: str) -> str:
    """The key without what wrappers add to it."""
    if key in expected_keys:
        return key
    name, prefixes = without_wrappers(key), [own_prefix, *PREFIXES] if own_prefix else PREFIXES
    while name not in expected_keys:
        prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        if prefix is None:
            break
        name = name.removeprefix(prefix)
    return name


def _last(name: str) -> str:
    return name.rpartition(".")[2]
