"""Named inputs of a command line reach the builder's keyword arguments."""

import argparse
from pathlib import Path

import pytest

from robustlens.errors import RobustlensError
from robustlens.report.builder import add_inputs, named_files, named_inputs


def build(context, *, history: list[Path], published: Path | None = None, more: list[Path]):
    """A builder."""


def given(*words: str) -> list[list[str]]:
    parser = argparse.ArgumentParser()
    add_inputs(parser)
    return parser.parse_args(list(words)).input


def test_lists_and_the_single_file_by_their_names_and_empty_lists_for_inputs_without_files():
    inputs = given("--input", "history", "a", "b", "--input", "published", "p.yaml")
    assert named_inputs(inputs, build) == {"history": [Path("a"), Path("b")], "published": Path("p.yaml"), "more": []}
    assert named_files(inputs) == [Path("a"), Path("b"), Path("p.yaml")]
    assert named_inputs(given(), build) == {"history": [], "more": []}
    assert named_inputs(given("--input", "more"), build)["more"] == []


def test_an_input_that_the_builder_does_not_take_is_refused_by_name():
    with pytest.raises(RobustlensError, match="no input 'histories'; it takes history, published, more"):
        named_inputs(given("--input", "histories", "a"), build)
    with pytest.raises(RobustlensError, match="published is one file, got 2"):
        named_inputs(given("--input", "published", "a", "b"), build)
