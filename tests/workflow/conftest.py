"""One complete run of the tiny scale, and copies of it for the tests to change."""

import compileall
import json
import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from flow import Outcome, copy_of, copy_sources, snakemake_process


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder that all test processes share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def snapshot(shared) -> Path:
    """This repository as it was when the tests began."""
    folder = shared / "snapshot/checkout"
    with FileLock(shared / "snapshot.lock"):
        if not folder.exists():
            sources = copy_sources(shared / "copied/checkout")
            # Once for all copies: with PYTHONDONTWRITEBYTECODE no process keeps what it compiles.
            compileall.compile_dir(sources, quiet=1)
            sources.parent.rename(folder.parent)
    return folder


@pytest.fixture(scope="session")
def first_run(shared, snapshot, tmp_path_factory) -> tuple[Path, Outcome]:
    """A checkout in which `snakemake -c2` was run once, from nothing; its path has a space and a quote.

    The process that comes first makes it, and each has a copy of its own.
    """
    folder, outcome = shared / "first/it's a checkout", shared / "first.json"
    with FileLock(shared / "first.lock"):
        if not outcome.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that did not finish it
            process = snakemake_process(copy_of(snapshot, folder), "-c2", "-p")
            output, _ = process.communicate()
            outcome.write_text(json.dumps([process.returncode, output]))
    own = copy_of(folder, tmp_path_factory.mktemp("first") / "it's a checkout")
    return own, Outcome(*json.loads(outcome.read_text()))


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
