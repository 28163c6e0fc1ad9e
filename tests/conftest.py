"""One thread for every test and every process that a test starts: fast on small tensors, the same sums everywhere.

`make test` gives the tests to two processes, the longest first. Tests that share a finished run stay together, but for
those of failures on SLURM, which mostly wait.
"""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
TOGETHER = ("workflow/test_slurm_failures.py", "workflow", "fault")  # what takes minutes; of the rest, a file at a time


def pytest_addoption(parser):
    parser.addoption("--fail-on-skip", action="store_true", help="a skipped test fails the session (for CI)")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for the groups
def pytest_collection_modifyitems(items):
    def group(item: pytest.Item) -> str:
        place = item.path.relative_to(Path(__file__).parent).as_posix()
        return next((name for name in TOGETHER if place.startswith(name)), place)

    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: TOGETHER.index(group(item)) if group(item) in TOGETHER else len(TOGETHER))


def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")  # of several processes the first one has it
    if reporter and session.config.getoption("--fail-on-skip") and reporter.stats.get("skipped"):
        session.exitstatus = 1
