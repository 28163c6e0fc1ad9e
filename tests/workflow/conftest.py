"""One complete run of the tiny scale, and copies of it for the tests to change."""

import shutil
from pathlib import Path

import pytest
from flow import Outcome, copy_of, copy_sources, run


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory) -> Path:
    """This repository as it was when the tests began."""
    return copy_sources(tmp_path_factory.mktemp("snapshot") / "checkout")


@pytest.fixture(scope="session")
def first_run(snapshot, tmp_path_factory) -> tuple[Path, Outcome]:
    """The checkout in which `snakemake -c2` was run once, from nothing; its path has a space and a quote."""
    folder = copy_of(snapshot, tmp_path_factory.mktemp("first") / "it's a checkout")
    return folder, run(folder, "-c2", "-p")


@pytest.fixture(scope="session")
def finished(first_run) -> Path:
    """The same, for tests that only read it."""
    folder, (code, output) = first_run
    assert code == 0, output
    return folder


@pytest.fixture
def tree(finished, tmp_path) -> Path:
    """A copy of the finished checkout at another place, to be changed by a test."""
    yield copy_of(finished, tmp_path / "tree")
    shutil.rmtree(tmp_path / "tree")


@pytest.fixture(scope="module")
def sources(snapshot, tmp_path_factory) -> Path:
    """A checkout without results."""
    return copy_of(snapshot, tmp_path_factory.mktemp("sources") / "checkout")
