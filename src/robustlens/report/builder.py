"""How the named inputs of a command line reach the function that builds a table or a figure."""

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robustlens.errors import RobustlensError


def add_inputs(arguments: argparse.ArgumentParser) -> None:
    """--input NAME FILE..., any number of times."""
    arguments.add_argument(
        "--input", nargs="+", action="append", default=[], metavar=("NAME", "FILE"), help="an input and its files"
    )


def named_files(given: list[list[str]]) -> list[Path]:
    """All files of all inputs."""
    return [Path(file) for _, *files in given for file in files]


def named_inputs(given: list[list[str]], build: Callable) -> dict[str, Any]:
    """The arguments of `build` by name: a list of paths each or, for a parameter annotated as a `Path`, the only one.
    An input without files is an empty list where `build` has no default for it.

    Raises RobustlensError for an input that `build` does not take, and for several files where it takes one.
    """
    parameters = keywords(build)
    found: dict[str, Any] = {}
    for name, *files in given:
        if name not in parameters:
            raise RobustlensError(f"{build.__module__} has no input {name!r}; it takes {', '.join(parameters)}")
        paths = [Path(file) for file in files]
        if _takes_one(parameters[name]):
            if len(paths) != 1:
                raise RobustlensError(f"{build.__module__}: {name} is one file, got {len(paths)}")
            found[name] = paths[0]
        else:
            found[name] = paths
    for name, parameter in parameters.items():
        if name not in found and parameter.default is parameter.empty and not _takes_one(parameter):
            found[name] = []
    return found


def keywords(build: Callable) -> dict[str, inspect.Parameter]:
    """The named inputs of a builder: its keyword-only parameters."""
    parameters = inspect.signature(inspect.unwrap(build)).parameters.values()
    return {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}


def _takes_one(parameter: inspect.Parameter) -> bool:
    return parameter.annotation in (Path, Path | None)
