"""The state dicts in one published file, of which only a named one is taken where there are several.

Files keep more than one network: `{"last": ..., "best": ...}` (Rice et al., RobustBench), raw and averaged weights
(`model` and `model_ema` of timm, `model_state_dict` and `unaveraged_model_state_dict` of DM-Improves-AT), or several
networks under prefixes of one state dict (`model.*` and `ema_model.*` of a LightningModule, epochs in our own
checkpoints.safetensors).
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from robustlens.errors import RobustlensError
from robustlens.models.published_layouts import COUNTED, UNUSED, is_constant, some, without_wrappers

# Keys of states by the names of weights that are no networks; `optimal_model` and `optimized` are.
OPTIMISERS = re.compile(r"optim(?!al|um|i[sz]ed)", re.IGNORECASE)
DEEPEST = 6  # a hostile file may hold itself


@dataclass(frozen=True)
class Part:
    """One network of a file. state: the entries that may be its own; prefix: what its names begin with there, with a
    dot at the end, or nothing."""

    state: dict[str, Tensor]
    prefix: str


def chosen_part(content: Any, expected_keys: Collection[str], part: str | None) -> Part:
    """The part of a file's content that is meant.

    expected_keys: the names of the network's own state dict. part: the keys that lead to the part and the prefix that
    its names have there, joined by dots (`last`, `state_dict.ema_model`); their beginning is enough where only one part
    begins so. None: the file's only one.
    Raises RobustlensError, with the parts that there are, where none or several are meant.
    """
    found = dict(_parts(content, expected_keys))
    if not found:
        raise RobustlensError(f"the file holds no state dict, but {_shown(content)}")
    if part is None:
        meant = list(found)
        if len(meant) > 1:
            raise RobustlensError(
                f"the file holds {len(meant)} state dicts, {_listed(meant)}: say which one is meant, as `part` beside "
                "`weights` in the model's entry (make evaluate: PART=NAME)"
            )
    else:
        meant = [part] if part in found else _beginning(part, found)
        if len(meant) != 1:
            which = f"several parts in {part!r}" if meant else f"no part {part!r}"
            raise RobustlensError(f"the file has {which}; its state dicts are {_listed(meant or list(found))}")
    return found[meant[0]] if part is None else _alone(found[meant[0]])


def _alone(part: Part) -> Part:
    """Without what has another prefix: by naming a part one says that the rest is not wanted. Constants of the inputs'
    normalisation may be outside."""
    own = {
        key: tensor
        for key, tensor in part.state.items()
        if without_wrappers(key).startswith(part.prefix) or is_constant(key)
    }
    return Part(own, part.prefix)


def _parts(content: Any, expected_keys: Collection[str]) -> Iterator[tuple[str, Part]]:
    for place, state in state_dicts(content):
        prefixes = _prefixes(state, expected_keys)
        owners = {key: _owner(without_wrappers(key), prefixes, expected_keys) for key in state}
        for prefix in prefixes or [""]:
            own = {key: tensor for key, tensor in state.items() if owners[key] in (prefix, None)}
            yield ".".join([*place, *([prefix[:-1]] if prefix else [])]), Part(own, prefix)


def state_dicts(content: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Each state dict inside mappings and sequences, with the keys that lead there. A list of weights counts, too: an
    average that has no names (torch_ema) is beside the network that it is of."""
    if isinstance(content, list | tuple):
        entries, is_state_dict = {str(number): value for number, value in enumerate(content)}, _are_weights
    elif isinstance(content, Mapping):
        entries, is_state_dict = {str(key): value for key, value in content.items()}, _are_named_weights
    else:
        return
    tensors = {key: value for key, value in entries.items() if isinstance(value, Tensor)}
    if is_state_dict(tensors):
        yield place, tensors
    for key, value in entries.items():
        if len(place) < DEEPEST and not OPTIMISERS.match(key):
            yield from state_dicts(value, (*place, key))


def _are_named_weights(tensors: dict[str, Tensor]) -> bool:
    return any(f".{key}".endswith(".weight") for key in tensors)


def _are_weights(tensors: dict[str, Tensor]) -> bool:
    return len(tensors) > 1 and any(t.ndim > 1 and t.is_floating_point() for t in tensors.values())


def _prefixes(state: Mapping[str, Tensor], expected_keys: Collection[str]) -> list[str]:
    """Those under which the state dict has all entries of the network. The copy in a MadryLab attacker is none."""
    needed = [key for key in expected_keys if not key.endswith(COUNTED)]
    names = dict.fromkeys(map(without_wrappers, state))
    ends = [name.removesuffix(needed[0]) for name in names if f".{name}".endswith(f".{needed[0]}")]
    found = [end for end in ends if not end.startswith(UNUSED) and all(end + key in names for key in needed)]
    return sorted(found, key=len)


def _owner(name: str, prefixes: list[str], expected_keys: Collection[str]) -> str | None:
    """The prefix of the network that an entry is of; None where it is not one of a network's own entries."""
    of = [p for p in prefixes if name.startswith(p) and name.removeprefix(p) in expected_keys]
    return max(of, key=len, default=None)


def _listed(names: list[str]) -> str:
    """Each by as much of its name as is needed."""
    short = [_shortest(name, names) for name in names]
    return ", ".join(repr(name) if name else "one without a name ('')" for name in short)


def _shortest(name: str, names: list[str]) -> str:
    keys = name.split(".")
    beginnings = [".".join(keys[:count]) for count in range(1, len(keys) + 1)]
    return next((start for start in beginnings if len(_beginning(start, names)) == 1), name)


def _beginning(start: str, names: Collection[str]) -> list[str]:
    return [name for name in names if f"{name}.".startswith(f"{start}.")]


def _shown(content: Any) -> str:
    return some(list(map(str, content))) if isinstance(content, Mapping) and content else f"a {type(content).__name__}"
