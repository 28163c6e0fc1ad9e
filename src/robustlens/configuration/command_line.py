"""Options on Snakemake's command line of which it would keep a part without a word."""

from collections.abc import Sequence

from robustlens.configuration import reading
from robustlens.errors import RobustlensError

OPTIONS = {"--config": ("--config", "-C"), "--configfile": ("--configfile", "--configfiles")}


def check(arguments: Sequence[str]) -> None:
    """Raise RobustlensError for `--config` or `--configfile` more than once, of which the last alone would count, and
    for a key that `--config` has twice, of which the last value would count."""
    for option, names in OPTIONS.items():
        if len(given := _values(arguments, names)) > 1:
            what = "KEY=VALUE" if option == "--config" else "FILE"
            raise RobustlensError(
                f"{option} is there {len(given)} times, and only the last counts; write {option} {what} {what} ..."
            )
    keys: set[str] = set()
    for entry in (entry for values in _values(arguments, OPTIONS["--config"]) for entry in values):
        key, _, value = entry.partition("=")
        if key in keys:
            raise RobustlensError(f"--config: the key {key!r} occurs twice; join them")
        keys.add(key)
        reading.refuse_twice(value, f"--config {key}")


def _values(arguments: Sequence[str], names: Sequence[str]) -> list[list[str]]:
    """What follows each occurrence of an option, up to the next one."""
    found: list[list[str]] = []
    ours = False
    for argument in arguments:
        if argument == "--":
            break
        name, equals, value = argument.partition("=")
        if argument.startswith("-"):
            ours = name in names
            if ours:
                found.append([value] if equals else [])
                ours = not equals
        elif ours:
            found[-1].append(argument)
    return found
